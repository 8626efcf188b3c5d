"""Does the window stay alive? Gaps of its event loop while models and a training really run.

The real window opens a study, a hand scrolls and changes the window all the time, suggestions are asked for one after
the other, one is accepted and queued, a training from the queue starts and suggestions go on beside it, and in the end
it is cancelled. All of it happens in a home folder of its own: nobody's queue or models are touched.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medviewer.bench.figures import machine, row
from medviewer.errors import BadInput, MedviewerError

#: The bars: no gap above the first at the 99th percentile, none above the second; cancel within the third (ms).
P99_MS, MAX_MS, CANCEL_MS = 50.0, 250.0, 300.0

TASK = "lung-nodule-segment"


def measure(
    folder: Path | None = None, point_lps: Sequence[float] | None = None, seconds: float = 15.0
) -> Mapping[str, Any]:
    """Measure and give the document of `medviewer bench responsiveness --json`.

    Args:
        folder: a chest CT; the phantom study by default.
        point_lps: a nodule in it (mm); needed with a folder.
        seconds: how long suggestions, and then training beside them, are watched.

    Raises:
        BadInput: the study cannot be opened, or a place is missing.
    """
    if folder is not None and point_lps is None:
        raise BadInput("a folder needs a nodule to ask about", remedy="give --at X,Y,Z")
    with tempfile.TemporaryDirectory(prefix="medviewer-bench-") as home:
        before = os.environ.get("MEDVIEWER_HOME")
        os.environ["MEDVIEWER_HOME"] = home
        try:
            study, places = _study(folder, point_lps, Path(home))
            _let_its_patient_train(study)
            return _in_window(study, places, seconds)
        finally:
            if before is None:
                del os.environ["MEDVIEWER_HOME"]
            else:
                os.environ["MEDVIEWER_HOME"] = before


def _study(
    folder: Path | None, point_lps: Sequence[float] | None, home: Path
) -> tuple[Path, list[tuple[float, float, float]]]:
    if folder is not None and point_lps is not None:
        x, y, z = (float(v) for v in point_lps)
        return folder, [(x, y, z)]
    from medviewer.phantom.study import make_study, write_study

    study = make_study(seed=3)
    written = write_study(study, home / "study")
    return written.images_folder, [nodule.centre_lps for nodule in study.nodules]


def _let_its_patient_train(study: Path) -> None:
    """A fresh queue holds out one patient in five, by a secret of its own: make secrets until this one is not."""
    from medviewer import places as folders
    from medviewer.formats.scan import scan
    from medviewer.learning.queue import CorrectionQueue

    patients = {stack.patient_id for stack in scan([study]).stacks()}
    folder = folders.data_folder() / "queue"
    for _ in range(20):
        if not any(CorrectionQueue(folder).is_held_out(patient) for patient in patients):
            return
        shutil.rmtree(folder)


def _in_window(study: Path, places: Sequence[tuple[float, float, float]], seconds: float) -> Mapping[str, Any]:
    from medviewer.desktop.app import SWITCH_S, fill_right_column, make_window
    from medviewer.desktop.application import application
    from medviewer.desktop.heartbeat import Heartbeat, every, wait_until
    from medviewer.desktop.panels.finding import FindingState
    from medviewer.inference.prompt import Prompt
    from medviewer.volume.window import Window

    app = application()
    sys.setswitchinterval(SWITCH_S)
    window = make_window()
    window.resize(1600, 1000)
    window.show()
    fill_right_column(window)
    assert window.column is not None
    circle = window.column.circle  # type: ignore[attr-defined]
    heart = Heartbeat(window)
    loaded: list[bool] = []
    window.opener.loaded.connect(lambda: loaded.append(True))
    heart.begin("opening")
    window.open_paths([study])
    if not wait_until(lambda: bool(loaded), 120):
        raise BadInput("the study could not be opened", path=study)
    heart.stop()

    turns = [0]

    def hand() -> None:
        turns[0] += 1
        view = window.grid.views[turns[0] // 40 % 3] if turns[0] % 120 < 60 else window.grid.views[0]
        window.session.scroll(view.axes, 1 if turns[0] // 20 % 2 else -1)
        if turns[0] % 3 == 0:
            window.session.set_window(Window(1500.0 + 10 * (turns[0] % 20), -600.0 + 5 * (turns[0] % 30)))

    rest = every(33, hand, window)
    heart.begin("looking")
    wait_until(lambda: False, min(5.0, seconds))

    answers: list[float] = []

    def ask(nth: int) -> bool:
        began = time.perf_counter()
        circle.proposals.ask(Prompt.of(point_lps=list(places[nth % len(places)])))
        wait_until(lambda: _settled(circle, FindingState), 60)
        answers.append(time.perf_counter() - began)
        finding = circle.proposals.finding
        return finding is not None and finding.state is FindingState.PROPOSED

    def ask_for(duration: float) -> bool:
        until, nth, proposed = time.monotonic() + duration, 0, False
        while time.monotonic() < until or nth == 0:
            proposed = ask(nth)
            nth += 1
        return proposed

    heart.begin("suggesting")
    proposed = ask_for(seconds)
    notes: list[str] = []
    cancels: list[float] = []
    if not proposed:
        proposed = any(ask(nth) for nth in range(len(places)))
    if proposed:
        window.actions_table.do("accept-proposal")
        window.actions_table.do("done")
        wait_until(lambda: circle.training.pending > 0, 30)
        notes += _train(window, heart, ask_for, seconds, cancels)
    else:
        notes.append("no suggestion was made, so nothing could be queued and no training ran")
    heart.stop()
    rest()
    window.close()
    app.processEvents()
    busy = heart.gaps_ms.get("suggesting", []) + heart.gaps_ms.get("training", [])
    whole = row("busy", "ms", busy)
    rows = [row(f"event-loop gap, {phase}", "ms", gaps) for phase, gaps in heart.gaps_ms.items()]
    own = heart.own_ms.get("suggesting", []) + heart.own_ms.get("training", [])
    rows.append(row("of a gap, computed by the window", "ms", own))
    rows.append(row("answer, whole lesion", "s", answers))
    rows.append(row("cancel of a training", "ms", cancels))
    return {
        "name": "responsiveness",
        "machine": machine(),
        "n": len(busy),
        "rows": rows,
        "gap_p99_ms": whole["p99"],
        "gap_max_ms": whole["max"],
        "notes": notes,
    }


def _settled(circle: Any, states: Any) -> bool:
    finding = circle.proposals.finding
    return finding is not None and finding.state is not states.RUNNING and not circle.inference.busy


def _train(window: Any, heart: Any, ask_for: Any, seconds: float, cancels: list[float]) -> list[str]:
    """Train from the queue in the window's own jobs while suggestions go on, then cancel."""
    from medviewer.desktop.heartbeat import wait_until
    from medviewer.desktop.jobs import Outcome
    from medviewer.learning.train_process import TrainingRequest, train

    said: list[str] = []
    steps: list[int] = []
    job = window.jobs.start(
        "Training",
        lambda context: train(TrainingRequest(TASK), context),
        on_progress=lambda progress: steps.append(progress.done),
        on_failed=said.append,
    )
    heart.begin("training")
    wait_until(lambda: bool(steps) or job.outcome is not Outcome.RUNNING, 90)
    if job.outcome is Outcome.RUNNING:
        ask_for(seconds)
    if job.outcome is not Outcome.RUNNING:
        return [*said, "the training had ended before it could be cancelled"]
    began = time.perf_counter()
    job.cancel()
    wait_until(lambda: job.outcome is not Outcome.RUNNING, 10)
    cancels.append((time.perf_counter() - began) * 1000)
    return [*said, f"the training reported {len(steps)} times before it was cancelled"]


def verdict(document: Mapping[str, Any]) -> str:
    """The figures as lines for people, beside the bars."""
    lines = [
        f"{r['what']:<34} {r['median']} / {r['p99']} / {r['max']} {r['unit']} (n = {r['n']})" for r in document["rows"]
    ]
    lines.append("(median / 99th percentile / maximum)")
    p99, most = document["gap_p99_ms"], document["gap_max_ms"]
    if p99 is None:
        raise MedviewerError("nothing could be measured")
    well = p99 <= P99_MS and most <= MAX_MS
    lines.append(
        f"gaps while models and training run: p99 {p99} ms (bar {P99_MS:.0f}), max {most} ms (bar {MAX_MS:.0f})"
    )
    lines.append("the window stays alive" if well else "the window does not stay alive as it should")
    lines.append(document["machine"])
    return "\n".join([*lines, *document["notes"]])

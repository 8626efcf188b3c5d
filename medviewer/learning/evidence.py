"""Scripted runs whose figures stand in docs/evidence: do corrections help, and are wrong ones refused?

    python -m medviewer.learning.evidence corrections --data data/lidc_nodules --out docs/evidence/corrections.json
    python -m medviewer.learning.evidence phantom --data data/lidc_nodules --out docs/evidence/phantom.json

`corrections`: twenty val nodules of at least ten patients are "corrected" with their readers' outlines and queued; the
champion is retrained on them with a replay of the train split; the gate judges on the other val patients. Then the same
with outlines that are wrong on purpose. Everything happens in a folder of its own: the user's queue and models stay as
they are. The program's own doors are used (queue, training job, gate), nothing is promoted.

`phantom`: the way without public data. A dozen phantom nodules of a kind that the champion outlines badly are
corrected, phantoms are replayed, the gate judges on other phantom patients; with `--data` both models are then measured
on the real val nodules, which the gate did not see.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer import places
from medviewer.inference.store import ModelStore
from medviewer.jobs import JobContext, Progress
from medviewer.learning.datasets.lidc_nodules import NoduleCase, NoduleSet
from medviewer.learning.queue import CorrectionQueue, NewCase
from medviewer.learning.train_process import TrainingRequest, train

TASK = "lung-nodule-segment"
CORRECTED = 20
MOST_PER_PATIENT = 2
#: The phantom run: a kind that is in nobody's training set, and how many patients.
PHANTOM_KIND = "pleural-plaque"
PHANTOM_CORRECTED, PHANTOM_HELD_OUT, PHANTOM_SEED = 12, 30, 70_000

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def as_readers_drew(fraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """The readers' share, unchanged."""
    return fraction


def wrong_on_purpose(fraction: NDArray[np.float32]) -> NDArray[np.float32]:
    """An outline that is far too large and beside the nodule: grown by 5 pixels, moved by 9 rows and 9 columns."""
    from scipy import ndimage

    plane = np.ones((1, 3, 3), dtype=bool)
    grown = ndimage.binary_dilation(fraction >= 0.5, structure=plane, iterations=5)
    moved: NDArray[np.float32] = np.roll(grown, (9, 9), axis=(1, 2)).astype(np.float32)
    return moved


def chosen(nodules: NoduleSet, queue: CorrectionQueue) -> list[NoduleCase]:
    """The nodules that are corrected: patients in the order of a hash, none that the queue holds out."""
    order = sorted(range(len(nodules)), key=lambda n: hashlib.sha256(nodules.rows[n]["patient"].encode()).hexdigest())
    taken: list[NoduleCase] = []
    for n in order:
        patient = nodules.rows[n]["patient"]
        if sum(case.patient == patient for case in taken) < MOST_PER_PATIENT and not queue.is_held_out(patient):
            taken.append(nodules[n])
        if len(taken) == CORRECTED:
            break
    return taken


def corrections(data: Path, steps: int | None, seed: int) -> dict[str, Any]:
    """Both runs; their outcomes by name."""
    store = ModelStore()
    results: dict[str, Any] = {"task": TASK, "champion": store.champion(TASK).id, "steps": steps, "seed": seed}
    changes: tuple[tuple[str, Change], ...] = (("right", as_readers_drew), ("wrong", wrong_on_purpose))
    for name, change in changes:
        with tempfile.TemporaryDirectory() as place:
            queue = CorrectionQueue(Path(place) / "queue")
            cases = chosen(NoduleSet(data, "val"), queue)
            for case in cases:
                queue.add(NewCase(TASK, case.patient, _sample(case, change), subject=case.nodule, author="script"))
            request = TrainingRequest(
                TASK,
                data,
                True,
                steps,
                seed,
                Path(place) / "queue",
                places.shipped_models_folder(),
                Path(place) / "own",
            )
            outcome = train(request, JobContext(listener=_said))
            states = {str(state): count for state, count in queue.counts(TASK).items()}
        results[name] = {
            "nodules": len(cases),
            "patients": len({case.patient for case in cases}),
            "queue_afterwards": states,
            **outcome.as_json(),
        }
        print(f"{name}: {outcome.report['verdict']}: {outcome.report['reason']}", flush=True)
    return results


def phantom(data: Path | None, steps: int | None, seed: int) -> dict[str, Any]:
    """The run without public data; its outcome, and both models on the public val split where there is one."""
    from medviewer.learning.evaluations.nodule_segment import metrics_of, score_cases
    from medviewer.phantom.nodules import iterate_nodule_cases
    from medviewer.phantom.training_set import stretched

    with tempfile.TemporaryDirectory() as place:
        queue, own = CorrectionQueue(Path(place) / "queue"), Path(place) / "own"
        wanted = {"pending": PHANTOM_CORRECTED, "held-out": PHANTOM_HELD_OUT}
        for number in range(1000):
            # A patient's name decides whether he is held out; only those are rendered that are still wanted.
            patient = f"PHANTOM-{PHANTOM_SEED + number}-0000"
            state = "held-out" if queue.is_held_out(patient) else "pending"
            if wanted[state] == 0:
                continue
            (case,) = iterate_nodule_cases([PHANTOM_KIND], 1, PHANTOM_SEED + number)
            wanted[state] -= 1
            drawn = np.flatnonzero(case.mask.any(axis=(1, 2)))
            kept = slice(max(0, int(drawn[0]) - 2), int(drawn[-1]) + 3)
            sample: dict[str, NDArray[Any]] = {
                "images": stretched(case.image[kept]),
                "mask": case.mask[kept, 16:112, 16:112].astype(np.float32),
                "pixel_mm": np.asarray(case.pixel_mm),
                "slice_spacing_mm": np.asarray(case.slice_spacing_mm),
            }
            queue.add(NewCase(TASK, case.patient_id, sample, subject=case.nodule_id, author="script"))
            if not any(wanted.values()):
                break
        shipped = places.shipped_models_folder()
        request = TrainingRequest(TASK, None, True, steps, seed, Path(place) / "queue", shipped, own)
        outcome = train(request, JobContext(listener=_said))
        results = {"kind": PHANTOM_KIND, "steps": steps, "seed": seed, **outcome.as_json()}
        if data is not None:
            store = ModelStore(shipped, own)
            for name, version in (("champion", None), ("candidate", outcome.candidate)):
                scores = score_cases(store.get(TASK, version), NoduleSet(data, "val"), JobContext())
                results[f"{name}_on_val"] = {k: m.as_json() for k, m in metrics_of(scores).items()}
    print(f"phantom: {outcome.report['verdict']}: {outcome.report['reason']}", flush=True)
    return results


def _sample(case: NoduleCase, change: Change) -> dict[str, NDArray[Any]]:
    return {
        "images": case.images,
        "mask": change(case.fraction),
        "pixel_mm": np.asarray(case.pixel_mm),
        "slice_spacing_mm": np.asarray(case.slice_spacing_mm),
        "click_kji": np.asarray(case.click_kji),
    }


def _said(progress: Progress) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{progress.message} {progress.done} / {progress.total}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["corrections", "phantom"])
    parser.add_argument("--data", type=Path, help="the public nodule set; `corrections` needs it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args(arguments)
    data = None if told.data is None else told.data.resolve()
    if told.what == "phantom":
        results = phantom(data, told.steps, told.seed)
    elif data is None:
        parser.error("corrections needs --data")
    else:
        results = corrections(data, told.steps, told.seed)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(results, indent=1, default=str) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

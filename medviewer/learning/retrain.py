"""One retraining, from the champion to the gate's answer. Runs in a child process (`medviewer.learning.train_process`).

Champion -> candidate package -> both on the same golden and held-out cases -> gate -> report. Nothing is promoted here;
the candidate and the report are kept whatever the answer.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from medviewer import __version__
from medviewer.errors import BadInput, MedviewerError, Refused
from medviewer.inference.package import ModelPackage
from medviewer.inference.store import ModelStore, write_atomically
from medviewer.jobs import JobContext
from medviewer.learning.gate import Check, Compared, GateReport, PairedCase, decide, load_rule
from medviewer.learning.retrained import Judged, Recipe, Replay

#: Card kind -> module that can retrain it (`medviewer.learning.retrained.Recipe`).
RECIPES = {
    "nodule-segment": "medviewer.learning.recipes.lung_nodule_retrain",
    "volume-segment": "medviewer.learning.recipes.hippocampus_retrain",
}


@dataclass(frozen=True, slots=True)
class QueuedCase:
    """A case of the queue: its id, the hash of its patient, and its training sample's arrays."""

    id: str
    patient_hash: str
    arrays: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a run came to.

    Attributes:
        candidate: version of the candidate in the user's store.
        candidate_id, champion: ids of the packages (first 12 characters).
        report: the gate's.
        report_sha256: hash of the stored report file.
        seconds: of the whole run.
    """

    task: str
    candidate: str
    candidate_id: str
    champion: str
    report: Mapping[str, Any]
    report_sha256: str
    seconds: float

    @property
    def passed(self) -> bool:
        """True where the gate let the candidate through."""
        return bool(self.report["passed"])

    def as_json(self) -> dict[str, Any]:
        """The document of `medviewer train --json`."""
        return {
            "task": self.task,
            "candidate": self.candidate,
            "candidate_id": self.candidate_id,
            "champion": self.champion,
            "gate": dict(self.report),
            "report_sha256": self.report_sha256,
            "seconds": round(self.seconds, 1),
        }


def recipe_of(kind: str) -> Recipe:
    """The module that retrains models of this kind.

    Raises:
        Refused: none does.
    """
    require_recipe(kind)
    return cast(Recipe, importlib.import_module(RECIPES[kind]))


def require_recipe(kind: str) -> None:
    """Refuse what no recipe retrains, without importing one: recipes bring torch, and the window must not.

    Raises:
        Refused: none retrains models of this kind.
    """
    if kind not in RECIPES:
        raise Refused(f"models of the kind {kind!r} are not retrained from corrected outlines")


def run(
    task: str,
    store: ModelStore,
    *,
    corrections: Sequence[QueuedCase],
    held_out: Sequence[QueuedCase],
    data: Path | None,
    hash_of: Callable[[str], str],
    steps: int | None,
    seed: int,
    context: JobContext,
) -> TrainingOutcome:
    """Retrain, write the candidate, judge both, ask the gate, write the report.

    Where the corrected patients are found in the data folder's val split, its other patients are the held-out cases;
    else val joins the golden set.

    Args:
        corrections: cases to learn from.
        held_out: the user's cases that are never trained on.
        data: folder of the public data, or None.
        hash_of: patient -> hash as the queue makes it, to recognise patients of the data folder.
        steps: of each network; None: the recipe's own number.
        seed: of the run.

    Raises:
        BadInput: nothing to learn from, or a case cannot be used.
        Refused: this kind is not retrained.
    """
    began = time.monotonic()
    champion = store.champion(task)
    recipe = recipe_of(champion.card.kind)
    overlap = {c.patient_hash for c in corrections} & {c.patient_hash for c in held_out}
    if overlap:
        raise Refused(f"{len(overlap)} patients are both corrected and held out: the queue is not in order")
    if not corrections and data is None:
        raise BadInput(
            "there is nothing to learn from: no corrected case is pending",
            remedy="correct and queue cases, or give the training data with --data",
        )
    samples = [recipe.sample_of(c.id, c.patient_hash, c.arrays) for c in corrections]
    context.report(0, None, f"retraining {task} from {champion.card.version}")
    retrained = recipe.retrain(champion, samples, Replay(data), steps=steps, seed=seed, context=context)
    version = _version(champion)
    inputs = {
        "champion": champion.id,
        "cases": sorted(c.id for c in corrections),
        "patients": len({c.patient_hash for c in corrections}),
        "program": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **dict(retrained.facts),
    }
    changes = f"went on from {champion.card.version} ({champion.short_id}) with {len(corrections)} corrected cases"
    candidate = recipe.write_candidate(store.own / task / version, champion, retrained, {"run": inputs}, changes)
    golden, judged_held_out = _judged_samples(recipe, corrections, held_out, data, hash_of, context)
    report = _judge(recipe, champion, candidate, golden, judged_held_out, corrections, store, context)
    sha = _keep_report(store, task, champion, candidate, report, judged_held_out, inputs)
    return TrainingOutcome(
        task, version, candidate.short_id, champion.short_id, report.as_json(), sha, time.monotonic() - began
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """A sample with the name of its patient as the gate compares it (always the queue's hash)."""

    case: str
    patient: str
    sample: Any


def _judged_samples(
    recipe: Recipe,
    corrections: Sequence[QueuedCase],
    held_out: Sequence[QueuedCase],
    data: Path | None,
    hash_of: Callable[[str], str],
    context: JobContext,
) -> tuple[list[_Sample], list[_Sample]]:
    """The golden and the held-out samples."""
    golden = [_Sample(f"golden-{n}", s.patient, s) for n, s in enumerate(recipe.golden_set(context))]
    mine = [_Sample(c.id, c.patient_hash, recipe.sample_of(c.id, c.patient_hash, c.arrays)) for c in held_out]
    if data is None:
        return golden, mine
    public = [
        _Sample(f"val-{n}", hash_of(s.patient), s) for n, s in enumerate(recipe.split_of(data, "val"))
    ]  # fmt: skip
    corrected = {c.patient_hash for c in corrections}
    others = [s for s in public if s.patient not in corrected]
    if len(others) < len(public):
        waiting = {s.patient for s in mine}
        return golden, [s for s in others if s.patient not in waiting] + mine
    return golden + public, mine


def _judge(
    recipe: Recipe,
    champion: ModelPackage,
    candidate: ModelPackage,
    golden: Sequence[_Sample],
    held_out: Sequence[_Sample],
    corrections: Sequence[QueuedCase],
    store: ModelStore,
    context: JobContext,
) -> GateReport:
    integrity = [_golden_case(candidate)]
    sides = []
    for name, samples in (("golden", golden), ("held-out", held_out)):
        context.report(0, None, f"judging both models on {len(samples)} {name} cases")
        plain = [s.sample for s in samples]
        old, new = recipe.judge(champion, plain, context), recipe.judge(candidate, plain, context)
        sides.append(_compared(samples, old, new))
    integrity.append(_time(recipe, champion, candidate, [s.sample for s in golden][:3], context))
    return decide(
        champion.card.kind,
        sides[0],
        sides[1],
        training_patients=frozenset(c.patient_hash for c in corrections),
        integrity=integrity,
        earlier_looks=_earlier_looks(store, champion),
    )


def _compared(samples: Sequence[_Sample], old: Judged, new: Judged) -> Compared:
    cases = tuple(
        PairedCase(s.case, s.patient, a, b, group, old_missed, new_missed)
        for s, a, b, group, old_missed, new_missed in zip(
            samples, old.values, new.values, old.subgroups, old.missed, new.missed, strict=True
        )
        if np.isfinite(a) and np.isfinite(b)
    )
    return Compared(cases, old.calibration, new.calibration)


def _golden_case(candidate: ModelPackage) -> Check:
    from medviewer.inference.golden import check_golden

    try:
        check_golden(candidate)
    except MedviewerError as error:
        return Check("golden case", False, error.what)
    return Check("golden case", True, "the candidate's golden case comes out")


def _time(
    recipe: Recipe, champion: ModelPackage, candidate: ModelPackage, samples: Sequence[Any], context: JobContext
) -> Check:
    """Processor time of both on a few samples, the best of three rounds each (the machine has other work)."""
    limit = float(load_rule().facts["integrity"]["slower"])
    best = {}
    for package in (champion, candidate):
        rounds = []
        for _ in range(3):
            began = time.process_time()
            recipe.judge(package, samples, context)
            rounds.append(time.process_time() - began)
        best[package.id] = min(rounds)
    ratio = best[candidate.id] / max(best[champion.id], 1e-9)
    passed = ratio <= limit or not samples
    return Check("time", passed, f"the candidate takes {ratio:.2f} times the champion's time, {limit:g} are allowed")


def _attempts_file(store: ModelStore, task: str) -> Path:
    return store.own / task / "attempts.jsonl"


def _earlier_looks(store: ModelStore, champion: ModelPackage) -> list[frozenset[str]]:
    path = _attempts_file(store, champion.card.task)
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [frozenset(row["held_out"]) for row in rows if row["champion"] == champion.id]


def _keep_report(
    store: ModelStore,
    task: str,
    champion: ModelPackage,
    candidate: ModelPackage,
    report: GateReport,
    held_out: Sequence[_Sample],
    inputs: Mapping[str, Any],
) -> str:
    """Write the report and log the attempt; the hash of the report's file."""
    folder = store.own / task / "gate-reports"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "task": task,
        "champion": {"version": champion.card.version, "id": champion.id},
        "candidate": {"version": candidate.card.version, "id": candidate.id},
        "gate": report.as_json(),
        "run": dict(inputs),
    }
    data = (json.dumps(document, indent=1, default=str) + "\n").encode()
    write_atomically(folder / f"{candidate.card.version}.json", data)
    sha = hashlib.sha256(data).hexdigest()
    line = {
        "time": inputs["time"],
        "champion": champion.id,
        "candidate": candidate.id,
        "verdict": report.verdict,
        "held_out": sorted({s.patient for s in held_out}),
        "report_sha256": sha,
    }
    with _attempts_file(store, task).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")
    return sha


def _version(champion: ModelPackage) -> str:
    """A new version's name: that of the first ancestor, then the time."""
    base = champion.card.version.split("-c")[0]
    return f"{base}-c{datetime.now(UTC).strftime('%Y%m%d%H%M%S')}"

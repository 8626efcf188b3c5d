"""The circle on drawn nodules with a tiny model: queue, training, gate, promotion, rollback, and what goes wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nodule_makers import drawn_nodule

from medviewer.errors import BadInput, Cancelled, Refused
from medviewer.inference.networks.unet25d import Shape, UNet25d
from medviewer.inference.package import ModelPackage
from medviewer.inference.store import ModelStore
from medviewer.jobs import CancelToken, JobContext, Progress
from medviewer.learning import promote, retrain, train_process
from medviewer.learning.datasets.nodule_samples import corrected_nodule
from medviewer.learning.evaluate import evaluate
from medviewer.learning.gate import GateReport
from medviewer.learning.queue import CorrectionQueue, NewCase
from medviewer.learning.recipes import lung_nodule_package, lung_nodule_retrain
from medviewer.learning.train_process import TrainingRequest, train

TASK = "lung-nodule-segment"
TINY = Shape(5, (4, 8))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    torch.manual_seed(1)
    lung_nodule_package.write(
        folder / TASK / "1",
        [UNet25d(TINY).state_dict()],
        shape=TINY,
        facts=lung_nodule_package.card("1", changes="first", trained_on="drawings", metrics={}),
        calibration={"temperature": 1.0, "threshold": 0.5},
        metrics={},
    )
    return folder


@pytest.fixture
def store(shipped: Path, tmp_path: Path) -> ModelStore:
    return ModelStore(shipped, tmp_path / "own")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few golden and replay cases, drawn instead of rendered, and no process of its own."""
    drawn = {lung_nodule_retrain.GOLDEN_SEED: range(900, 910), lung_nodule_retrain.REPLAY_SEED: range(800, 806)}
    monkeypatch.setattr(
        lung_nodule_retrain, "_phantoms", lambda patients, seed, context: [drawn_nodule(n) for n in drawn[seed]]
    )

    def here(job: str, request: Any, context: JobContext) -> Any:
        return train_process.work(request, context)

    monkeypatch.setattr(train_process, "run_in_child", here)


def arrays(n: int) -> dict[str, np.ndarray]:
    case = drawn_nodule(n)
    return {
        "images": case.images,
        "mask": case.fraction,
        "pixel_mm": np.asarray(case.pixel_mm),
        "slice_spacing_mm": np.asarray(case.slice_spacing_mm),
    }


def write_split(folder: Path, split: str, numbers: range, prefix: str) -> None:
    """Drawn nodules in the layout of the public set, three readers each."""
    images, masks, first, rows = [], [], [0], []
    for n in numbers:
        case = drawn_nodule(n)
        images.append((case.images * 254).astype(np.uint8) & 0xFE)
        levels = np.round(case.fraction * 3).astype(int)
        masks.append(sum(((levels > r).astype(np.uint8) << r) for r in range(3)).astype(np.uint8))
        first.append(first[-1] + len(case.images))
        rows.append({"nodule": f"{prefix}{n}", "patient": f"{prefix}{n}", "n_readers": 3, "pixel_mm": case.pixel_mm,
                     "slice_spacing_mm": case.slice_spacing_mm, "diameter_mm": case.diameter_mm})  # fmt: skip
    np.savez(
        folder / f"{split}.npz", images=np.concatenate(images), masks=np.concatenate(masks),
        first=np.asarray(first), pad_level=np.zeros(first[-1], np.uint8),
    )  # fmt: skip
    with (folder / f"{split}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def queue(tmp_path: Path) -> CorrectionQueue:
    return CorrectionQueue(tmp_path / "queue")


def fill(queue: CorrectionQueue, pending: int, held_out: int) -> None:
    n = 0
    while pending or held_out:
        patient = f"someone-{n}"
        if queue.is_held_out(patient):
            if held_out:
                queue.add(NewCase(TASK, patient, arrays(n)))
                held_out -= 1
        elif pending:
            queue.add(NewCase(TASK, patient, arrays(n)))
            pending -= 1
        n += 1


def request_of(store: ModelStore, queue: CorrectionQueue, **changes: Any) -> TrainingRequest:
    facts: dict[str, Any] = {"steps": 2, "queue_folder": queue.folder, "shipped": store.shipped, "own": store.own}
    return TrainingRequest(TASK, **{**facts, **changes})


def states(queue: CorrectionQueue) -> dict[str, int]:
    return {str(state): count for state, count in queue.counts().items() if count}


def passed_by(monkeypatch: pytest.MonkeyPatch, verdict: str) -> None:
    """Let the gate answer this; what the gate itself does is tested elsewhere."""
    report = GateReport(verdict, "said so", (), None, None, {}, 1, "0" * 64)  # type: ignore[arg-type]
    monkeypatch.setattr(retrain, "decide", lambda *_, **__: report)


def test_from_the_queue_to_the_gates_honest_answer(store: ModelStore, queue: CorrectionQueue) -> None:
    fill(queue, 4, 3)
    heard: list[Progress] = []
    before = store.champion(TASK).id
    outcome = train(request_of(store, queue), JobContext(listener=heard.append))
    assert not outcome.passed  # two steps with three held-out patients cannot be shown to help
    assert store.champion(TASK).id == before
    assert states(queue) == {"pending": 4, "held-out": 3}
    document = outcome.as_json()
    assert {"candidate", "champion", "gate", "seconds"} <= set(document)
    assert {"passed", "reason", "metrics"} <= set(document["gate"])
    assert document["gate"]["metrics"]["held-out"]["n_cases"] == 3
    candidate = store.get(TASK, outcome.candidate)
    assert candidate.metrics["run"]["champion"] == before
    assert len(candidate.metrics["run"]["cases"]) == 4
    losses = [p.partial["loss"] for p in heard if p.partial and "loss" in p.partial]
    assert losses and all(np.isfinite(losses))
    report = promote.report_of(store, TASK, outcome.candidate)
    assert report is not None and report.sha256 == outcome.report_sha256
    with pytest.raises(Refused, match="gate did not let"):
        promote.promote_candidate(store, TASK, outcome.candidate)


def test_a_passed_candidate_is_promoted_and_rolled_back(
    store: ModelStore, queue: CorrectionQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(queue, 2, 1)
    passed_by(monkeypatch, "passed")
    outcome = train(request_of(store, queue), JobContext())
    assert states(queue) == {"used": 2, "held-out": 1}
    first = store.champion(TASK).id
    promoted = promote.promote_candidate(store, TASK, outcome.candidate)
    assert store.champion(TASK).id == promoted.id != first
    with pytest.raises(Refused, match="another model became champion"):
        promote.promote_candidate(store, TASK, outcome.candidate)
    assert promote.roll_back(store, TASK).id == first
    assert store.champion(TASK).id == first
    assert [r.passed for r in promote.reports_of(store, TASK)] == [True]


def test_a_candidate_that_was_changed_after_the_gate_is_refused(
    store: ModelStore, queue: CorrectionQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(queue, 2, 1)
    passed_by(monkeypatch, "passed")
    outcome = train(request_of(store, queue), JobContext())
    metrics = store.own / TASK / outcome.candidate / "metrics.json"
    metrics.write_text(metrics.read_text() + " ")
    with pytest.raises(Refused):
        promote.promote_candidate(store, TASK, outcome.candidate)


def test_a_cancel_gives_the_cases_back(store: ModelStore, queue: CorrectionQueue) -> None:
    fill(queue, 3, 0)
    token = CancelToken()

    def cancel_in_training(progress: Progress) -> None:
        if progress.partial is not None:
            assert states(queue) == {"training": 3}
            token.cancel()

    with pytest.raises(Cancelled):
        train(request_of(store, queue, steps=500), JobContext(token, cancel_in_training))
    assert states(queue) == {"pending": 3}


def test_the_public_data_replays_and_its_val_joins_the_golden_set(
    store: ModelStore, queue: CorrectionQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_split(tmp_path, "train", range(20), "T")
    write_split(tmp_path, "val", range(50, 56), "V")
    fill(queue, 3, 2)
    seen: dict[str, Any] = {}

    def look(kind: str, golden: Any, held_out: Any, **others: Any) -> GateReport:
        seen.update(golden=golden, held_out=held_out, **others)
        return GateReport("cannot-tell", "looked", (), None, None, {}, 1, "0" * 64)

    monkeypatch.setattr(retrain, "decide", look)
    outcome = train(request_of(store, queue, data=tmp_path), JobContext())
    assert store.get(TASK, outcome.candidate).metrics["run"]["replay"] == "train split of the public data"
    assert len(seen["golden"].cases) == 10 + 6
    assert len(seen["held_out"].cases) == 2
    assert not (seen["golden"].patients | seen["held_out"].patients) & seen["training_patients"]


def test_corrected_val_patients_are_judged_on_the_other_val_patients(
    store: ModelStore, queue: CorrectionQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_split(tmp_path, "train", range(20), "T")
    write_split(tmp_path, "val", range(50, 62), "V")
    mine = [f"V{n}" for n in range(50, 62) if not queue.is_held_out(f"V{n}")][:3]
    for patient in mine:
        queue.add(NewCase(TASK, patient, arrays(int(patient[1:]))))
    seen: dict[str, Any] = {}

    def look(kind: str, golden: Any, held_out: Any, **others: Any) -> GateReport:
        seen.update(golden=golden, held_out=held_out, **others)
        return GateReport("cannot-tell", "looked", (), None, None, {}, 1, "0" * 64)

    monkeypatch.setattr(retrain, "decide", look)
    train(request_of(store, queue, data=tmp_path), JobContext())
    assert len(seen["golden"].cases) == 10
    assert len(seen["held_out"].cases) == 12 - 3
    assert not seen["held_out"].patients & seen["training_patients"]


def test_earlier_attempts_on_the_same_held_out_patients_are_remembered(
    store: ModelStore, queue: CorrectionQueue
) -> None:
    fill(queue, 2, 3)
    attempts = []
    for seed in range(2):
        outcome = train(request_of(store, queue, seed=seed), JobContext())
        attempts.append(outcome.report["attempt"])
        folder = store.own / TASK / outcome.candidate
        folder.rename(folder.with_name(f"1-c{seed}"))  # two runs within one second
    assert attempts == [1, 2]
    lines = (store.own / TASK / "attempts.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert len(logged) == 2 and "passed" not in {row["verdict"] for row in logged}
    assert len(logged[0]["held_out"]) == 3


def test_nothing_to_learn_from_is_a_sentence(store: ModelStore, queue: CorrectionQueue) -> None:
    with pytest.raises(BadInput, match="pending"):
        train(request_of(store, queue), JobContext())
    with pytest.raises(BadInput, match="nothing to learn from"):
        train(request_of(store, queue, from_queue=False), JobContext())
    with pytest.raises(BadInput, match="steps"):
        train(request_of(store, queue, steps=0), JobContext())
    with pytest.raises(BadInput):
        train(TrainingRequest("no-such-task", shipped=store.shipped, own=store.own), JobContext())


def test_a_damaged_sample_gives_the_cases_back(store: ModelStore, queue: CorrectionQueue) -> None:
    broken = {**arrays(0), "mask": np.zeros((3, 5, 5))}
    patient = next(p for p in map(str, range(50)) if not queue.is_held_out(p))
    queue.add(NewCase(TASK, patient, broken))
    with pytest.raises(BadInput, match="mask"):
        train(request_of(store, queue), JobContext())
    assert states(queue) == {"pending": 1}


def test_a_patient_on_both_sides_is_refused(store: ModelStore) -> None:
    case = retrain.QueuedCase("a", "same", arrays(0))
    with pytest.raises(Refused, match="both corrected and held out"):
        retrain.run(TASK, store, corrections=[case], held_out=[case], data=None, hash_of=str, steps=1, seed=0,
                    context=JobContext())  # fmt: skip


def test_half_of_a_batch_are_corrections_but_none_is_seen_too_often() -> None:
    share = lung_nodule_retrain.correction_share
    assert share(0, 700) == 0
    assert share(40, 60) == 0.5
    for count in (1, 5, 20):
        assert share(count, 700) / count <= 8 * (1 - share(count, 700)) / 700 + 1e-9


def test_evaluate_gives_the_named_figures_and_sees_no_mask(store: ModelStore, tmp_path: Path) -> None:
    write_split(tmp_path, "val", range(50, 56), "V")
    champion: ModelPackage = store.champion(TASK)
    document = evaluate(TASK, tmp_path, "val", champion)
    assert (document["n_patients"], document["n_cases"]) == (6, 6)
    assert {"dice", "dice-readers", "hd95", "missed"} <= set(document["metrics"])
    assert set(document["metrics"]["dice"]) == {"value", "low", "high", "n"}
    with pytest.raises(Refused):
        evaluate("hippocampus-segment", tmp_path, "val", champion)
    with pytest.raises(BadInput):
        evaluate(TASK, tmp_path, "test", champion)


def test_a_queued_case_becomes_a_sample_with_its_click() -> None:
    case = corrected_nodule("c", "p", arrays(4))
    truth = drawn_nodule(4)
    assert case.click_kji == truth.click_kji
    np.testing.assert_array_equal(case.consensus, truth.consensus)
    grey = {**arrays(4), "images": (truth.images * 254).astype(np.uint8)}
    assert corrected_nodule("c", "p", grey).images.max() <= 1
    for broken in ({"mask": np.zeros_like(truth.fraction)}, {"images": truth.images[:1]}):
        with pytest.raises(BadInput):
            corrected_nodule("c", "p", {**arrays(4), **broken})

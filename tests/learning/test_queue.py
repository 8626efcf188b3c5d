"""The queue: who is held out is decided once, states move as allowed, and nothing is lost between programs."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medviewer.annotation.revision import Verdict
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.learning import queue_schema
from medviewer.learning.queue import CorrectionQueue, NewCase, State

CHECKOUT = Path(__file__).resolve().parents[2]
SAMPLE = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "mask": np.ones((2, 3, 4), dtype=np.float32)}


def _new(patient: str, **other: object) -> NewCase:
    return NewCase(task="lung-nodule-segment", patient_id=patient, sample=SAMPLE, **other)  # type: ignore[arg-type]


def _patient(queue: CorrectionQueue, *, held_out: bool, skip: int = 0) -> str:
    found = [p for n in range(400) if queue.is_held_out(p := f"P{n}") == held_out]
    return found[skip]


def test_a_case_comes_back_with_its_sample_and_without_the_patients_id(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    patient = _patient(queue, held_out=False)
    case = queue.add(_new(patient, author="Li Na", revision="r1", source="segment 1"))
    assert case.state is State.PENDING and case.weight == 1.0 and case.author == "Li Na"
    again = CorrectionQueue(tmp_path)
    assert again.cases() == (case,) and again.get(case.id) == case
    sample = again.sample(case.id)
    assert np.array_equal(sample["images"], SAMPLE["images"]) and sample["images"].dtype == np.uint8
    assert float(sample["weight"]) == 1.0
    assert {"id", "task", "state", "revision", "patient_hash", "author", "time"} <= set(case.as_json())
    del again, queue
    stored = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert patient.encode() + b"\0" not in stored and f'"{patient}"'.encode() not in stored
    assert case.patient_hash.encode() in stored


def test_one_patient_in_five_is_held_out_and_stays_so(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path / "a")
    share = np.mean([queue.is_held_out(f"patient {n}") for n in range(4000)])
    assert share == pytest.approx(0.2, abs=0.02)
    held = _patient(queue, held_out=True)
    first, second = queue.add(_new(held)), queue.add(_new(held, verdict=Verdict.FROM_SCRATCH))
    assert first.state is second.state is State.HELD_OUT
    for state in set(State) - {State.HELD_OUT}:
        with pytest.raises(Refused, match="held-out"):
            queue.set_state([first.id], state)
    free = queue.add(_new(_patient(queue, held_out=False)))
    with pytest.raises(Refused):
        queue.set_state([free.id], State.HELD_OUT)
    assert CorrectionQueue(tmp_path / "a").is_held_out(held)
    other = CorrectionQueue(tmp_path / "b")  # another user's secret: another choice, unlinkable hashes
    assert other.patient_hash(held) != queue.patient_hash(held)


def test_an_untouched_suggestion_counts_little_and_a_rejected_one_not_at_all(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    weak = queue.add(_new("P1", verdict=Verdict.UNTOUCHED))
    assert weak.weight == 0.3 and float(queue.sample(weak.id)["weight"]) == 0.3
    with pytest.raises(BadInput, match="rejected"):
        queue.add(_new("P1", verdict=Verdict.REJECTED))
    with pytest.raises(BadInput, match="patient ID"):
        queue.add(_new("  "))


def test_states_move_as_allowed_and_tell_their_story(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    patient = _patient(queue, held_out=False)
    case = queue.add(_new(patient))
    queue.set_state([case.id], "training")
    with pytest.raises(Refused, match="in training"):
        queue.set_state([case.id], "training")
    with pytest.raises(Refused, match="in training"):
        queue.remove([case.id])
    queue.set_state([case.id], "pending", run="run-1", note="the gate said no")
    queue.set_state([case.id], "returned", note="end slice missing")
    with pytest.raises(Refused):
        queue.set_state([case.id], "used")
    queue.set_state([case.id], "pending")
    queue.set_state([case.id], "training")
    queue.set_state([case.id], "used", run="run-2")
    assert [e.after for e in queue.events(case.id)] == [
        "pending", "training", "pending", "returned", "pending", "training", "used",
    ]  # fmt: skip
    assert queue.events(case.id)[2].run == "run-1"
    assert queue.counts()[State.USED] == 1
    for wrong in ("lost", ""):
        with pytest.raises(BadInput, match="no state"):
            queue.set_state([case.id], wrong)
    with pytest.raises(BadInput, match="no case"):
        queue.set_state(["case-99999"], "pending")


def test_a_move_of_several_happens_to_all_or_none(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    one = queue.add(_new(_patient(queue, held_out=False)))
    held = queue.add(_new(_patient(queue, held_out=True)))
    with pytest.raises(Refused):
        queue.set_state([one.id, held.id], "training")
    assert queue.get(one.id).state is State.PENDING
    with pytest.raises(BadInput):
        queue.remove([one.id, "absent"])
    assert len(queue.cases()) == 2


def test_a_newer_revision_takes_the_place_of_the_one_that_waits(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    patient = _patient(queue, held_out=False)
    first = queue.add(_new(patient, subject="stack nodule-1", revision="r1"))
    second = queue.add(_new(patient, subject="stack nodule-1", revision="r2"))
    other = queue.add(_new(patient, subject="stack nodule-2", revision="r2"))
    assert second.id == first.id and other.id != first.id
    assert queue.get(first.id).revision == "r2"
    assert len(list((tmp_path / "samples").iterdir())) == 2
    queue.set_state([first.id], "training")
    third = queue.add(_new(patient, subject="stack nodule-1", revision="r3"))
    assert third.id != first.id  # a run has the older one
    held = _patient(queue, held_out=True)
    kept = queue.add(_new(held, subject="s", revision="r1"))
    assert queue.add(_new(held, subject="s", revision="r2")).id == kept.id
    assert queue.get(kept.id).state is State.HELD_OUT


def test_removing_takes_the_sample_with_it(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    case = queue.add(_new("P1"))
    queue.remove([case.id])
    assert queue.cases() == () and list((tmp_path / "samples").iterdir()) == []
    with pytest.raises(BadInput, match="no case"):
        queue.get(case.id)


def test_a_damaged_sample_is_told(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    case = queue.add(_new("P1"))
    (file,) = (tmp_path / "samples").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(BadInput, match="damaged"):
        queue.sample(case.id)
    file.unlink()
    with pytest.raises(BadInput, match="damaged"):
        queue.sample(case.id)


def test_a_full_disk_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    queue = CorrectionQueue(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SaveFailed, match="No space left"):
            queue.add(_new("P1"))
    assert queue.cases() == () and list((tmp_path / "samples").iterdir()) == []


def _add_many(folder: str, name: str, count: int) -> None:
    queue = CorrectionQueue(Path(folder))
    for n in range(count):
        queue.add(_new(f"{name}-{n}"))


def test_several_programs_at_once_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    programs = [spawn.Process(target=_add_many, args=(str(tmp_path), f"p{n}", 12)) for n in range(3)]
    for program in programs:
        program.start()
    for program in programs:
        program.join(60)
        assert program.exitcode == 0
    queue = CorrectionQueue(tmp_path)
    assert len({c.id for c in queue.cases()}) == 36
    assert {queue.patient_hash(f"p{n}-{m}") for n in range(3) for m in range(12)} == {
        c.patient_hash for c in queue.cases()
    }


def test_cases_of_a_training_that_died_wait_again(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    case = queue.add(_new(_patient(queue, held_out=False)))
    code = (
        "import sys, os; from pathlib import Path; from medviewer.learning.queue import CorrectionQueue;"
        f"CorrectionQueue(Path(sys.argv[1])).set_state([{case.id!r}], 'training'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=CHECKOUT, check=False)
    assert queue.get(case.id).state is State.TRAINING
    assert CorrectionQueue(tmp_path).get(case.id).state is State.PENDING
    assert "gone" in queue.events(case.id)[-1].note
    queue.set_state([case.id], "training")  # ours, and we live
    assert CorrectionQueue(tmp_path).get(case.id).state is State.TRAINING


def test_without_its_secret_the_queue_refuses(tmp_path: Path) -> None:
    queue = CorrectionQueue(tmp_path)
    queue.add(_new("P1"))
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    (tmp_path / "secret.key").unlink()
    with pytest.raises(Refused, match="secret"):
        CorrectionQueue(tmp_path)


def test_a_queue_of_a_newer_program_is_shown_and_not_changed(tmp_path: Path) -> None:
    case = CorrectionQueue(tmp_path).add(_new("P1"))
    with sqlite3.connect(tmp_path / "queue.sqlite3") as connection:
        connection.execute(f"PRAGMA user_version={queue_schema.SCHEMA_VERSION + 1}")
    connection.close()
    newer = CorrectionQueue(tmp_path)
    assert newer.read_only and newer.why_read_only is not None and "newer medviewer" in newer.why_read_only
    assert newer.cases() == (case,) and "images" in newer.sample(case.id)
    for change in (lambda: newer.add(_new("P2")), lambda: newer.remove([case.id])):
        with pytest.raises(Refused, match="newer medviewer"):
            change()
    assert len(list((tmp_path / "samples").iterdir())) == 1


def test_an_older_queue_is_brought_up_to_date_after_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CorrectionQueue(tmp_path).add(_new("P1"))
    monkeypatch.setattr(queue_schema, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(queue_schema, "MIGRATIONS", {1: ("ALTER TABLE cases ADD COLUMN extra TEXT",)})
    assert CorrectionQueue(tmp_path).cases() == (case,)
    (backup,) = tmp_path.glob("queue-schema1-*.sqlite3")
    with sqlite3.connect(backup) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert old.execute("SELECT id FROM cases").fetchall() == [(case.id,)]
    old.close()
    monkeypatch.setattr(queue_schema, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(queue_schema, "MIGRATIONS", {2: ("DROP TABLE events", "not SQL")})
    with pytest.raises(SaveFailed):
        CorrectionQueue(tmp_path)
    with sqlite3.connect(tmp_path / "queue.sqlite3") as now:  # half a migration is none
        assert now.execute("PRAGMA user_version").fetchone() == (2,)
        assert now.execute("SELECT count(*) FROM events").fetchone() == (1,)
    now.close()


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite3").write_bytes(b"this is no database, and it is long enough to be looked at" * 50)
    with pytest.raises(BadInput, match="damaged"):
        CorrectionQueue(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveFailed):
        CorrectionQueue(tmp_path / "file" / "queue")

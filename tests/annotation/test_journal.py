"""Nothing that was announced is lost: not by kill -9, not by a torn write, not by a full disk."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from medviewer.annotation import journal as journal_module
from medviewer.annotation import recovery as recovery_module
from medviewer.annotation.editor import Editor
from medviewer.annotation.journal import Journal, JournalListeners
from medviewer.annotation.journal_file import MAGIC, JournalFile
from medviewer.annotation.operations import AddSegment, Paint
from medviewer.annotation.recovery import forget, keep_damaged, recover, resume, unfinished
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.errors import BadInput, SaveFailed
from medviewer.volume.grid import Grid
from tests.annotation.test_operations import SIZE, play, scripts

PROCESS = Path(__file__).with_name("editing_process.py")
CHECKOUT = Path(__file__).resolve().parents[2]


def _editor(folder: Path, **how: object) -> tuple[Editor, Journal]:
    segmentation = Segmentation(Grid.plain(SIZE), "stack-1")
    journal = Journal.begin(segmentation, folder=folder, facts={"series": "lung"}, **how)  # type: ignore[arg-type]
    return Editor(segmentation, journal=journal), journal


def _dab(number: int = 1, row: int = 0) -> Paint:
    return Paint.of_mask("brush stroke", (0, row, 0), np.ones((1, 1, 5), dtype=bool), number)


def _same(a: Segmentation, b: Segmentation) -> bool:
    return np.array_equal(a.labelmap, b.labelmap) and dict(a.segments) == dict(b.segments)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_process_loses_nothing_that_it_announced(tmp_path: Path, seed: int) -> None:
    child = subprocess.Popen(
        [sys.executable, str(PROCESS), str(tmp_path), str(seed)], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert child.stdout is not None
    announced: dict[int, int] = {}
    for line in child.stdout:
        record, checksum = line.split()
        announced[int(record)] = int(checksum)
        if len(announced) >= 40 + 17 * seed:
            break
    child.send_signal(signal.SIGKILL)
    for line in child.stdout:  # what it had announced before it died
        parts = line.split()
        if len(parts) == 2 and line.endswith("\n"):
            announced[int(parts[0])] = int(parts[1])
    assert child.wait() == -signal.SIGKILL
    (found,) = unfinished(tmp_path)
    assert found.stack_id == "stack-1" and found.facts["series"] == "lung 1.25 mm" and found.steps > 5
    recovered = recover(found.path)
    last = max(announced)
    assert recovered.records >= last
    assert recovered.steps == found.steps
    while recovered.records > last:  # written, but it died before it could announce: at most one edit and its end
        assert recovered.records <= last + 2
        data = found.path.read_bytes()
        found.path.write_bytes(data[: recovered.good_bytes - 1])
        recovered = recover(found.path)
    assert zlib.crc32(recovered.segmentation.labelmap.tobytes()) == announced[last]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scripts())
def test_the_journal_replays_to_the_same_segmentation_and_the_same_undo(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, object]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    editor, journal = _editor(folder)
    play(script, editor)
    was_open = editor.is_open
    journal.close(discard=False)
    recovered = recover(journal.path)
    assert _same(recovered.segmentation, editor.segmentation)
    editor.journal = None
    editor.finish()
    assert not recovered.torn
    if not was_open:
        assert recovered.records == journal.number
    assert recovered.history.undo_steps == editor.history.undo_steps
    assert recovered.history.redo_steps == editor.history.redo_steps
    play([("undo", None)] * 3, editor)
    continued = resume(recovered)
    play([("undo", None)] * 3, continued)
    assert _same(continued.segmentation, editor.segmentation)
    assert isinstance(continued.journal, Journal)
    continued.journal.close(discard=False)
    assert _same(recover(journal.path).segmentation, editor.segmentation)


def test_recovery_bears_a_torn_end_at_every_byte(tmp_path: Path) -> None:
    editor, journal = _editor(tmp_path)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    editor.do(_dab())
    before_last = journal.path.stat().st_size
    editor.do(_dab(row=1))
    journal.close(discard=False)
    whole = journal.path.read_bytes()
    torn = tmp_path / "torn.journal"
    for length in range(before_last, len(whole)):
        torn.write_bytes(whole[:length])
        recovered = recover(torn)
        assert recovered.torn == (length > before_last)
        assert recovered.segmentation.voxels(1) == 5
    flipped = bytearray(whole)
    flipped[-3] ^= 0xFF
    torn.write_bytes(flipped)
    recovered = recover(torn)
    assert recovered.torn and recovered.segmentation.voxels(1) == 5
    continued = resume(recovered)
    continued.do(_dab(row=2))
    assert isinstance(continued.journal, Journal)
    continued.journal.close(discard=False)
    assert recover(torn).segmentation.voxels(1) == 10 and not recover(torn).torn

    (kept,) = tmp_path.glob("torn.journal.damaged*")
    assert kept.read_bytes() == flipped, "what was cut off is kept beside"


def _damaged(folder: Path, at_record: int, byte: int) -> tuple[Path, bytes]:
    """A journal of seven records, one byte of one of which is flipped: (path, its bytes)."""
    editor, journal = _editor(folder)
    ends = [journal.path.stat().st_size]
    editor.do(AddSegment(Segment.named(1, "nodule")))
    ends.append(journal.path.stat().st_size)
    for row in range(5):
        editor.do(_dab(row=row))
        ends.append(journal.path.stat().st_size)
    journal.close(discard=False)
    data = bytearray(journal.path.read_bytes())
    data[ends[at_record - 1] + byte] ^= 0xFF
    journal.path.write_bytes(data)
    return journal.path, bytes(data)


@pytest.mark.parametrize("byte", [0, 3, 5, 8, 30], ids=["length", "huge length", "checksum", "first", "inside"])
def test_damage_in_the_middle_is_told_from_a_torn_end_and_nothing_is_thrown_away(tmp_path: Path, byte: int) -> None:
    path, data = _damaged(tmp_path, 3, byte)
    recovered = recover(path)
    assert recovered.torn and recovered.lost == 3, "three whole strokes follow the damaged one"
    assert recovered.segmentation.voxels(1) == 5
    (found,) = unfinished(tmp_path)
    assert found.lost == 3
    kept = keep_damaged(recovered)
    assert kept == path.with_name(f"{path.name}.damaged")
    continued = resume(recovered)
    continued.do(_dab(row=4))
    assert isinstance(continued.journal, Journal)
    continued.journal.close(discard=False)
    assert kept.read_bytes() == data and not path.with_name(f"{path.name}.damaged-2").exists()
    assert recover(path).segmentation.voxels(1) == 10 and recover(path).lost == 0


def test_a_journal_damaged_in_its_first_step_is_still_offered(tmp_path: Path) -> None:
    path, _ = _damaged(tmp_path, 1, 20)
    (found,) = unfinished(tmp_path)
    assert (found.path, found.steps, found.lost) == (path, 0, 5)


def test_a_second_damage_does_not_overwrite_what_was_kept_of_the_first(tmp_path: Path) -> None:
    path, first = _damaged(tmp_path, 3, 30)
    one = keep_damaged(recover(path))
    path.write_bytes(second := first[:-3])
    two = keep_damaged(recover(path))
    assert one is not None and two is not None
    assert (one.read_bytes(), two.read_bytes()) == (first, second)
    forget(path)
    assert list(tmp_path.glob("*.damaged*")) == [], "thrown away means all of it"


def test_damage_that_cannot_be_kept_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, data = _damaged(tmp_path, 3, 30)

    def full(path: Path, _data: bytes) -> None:
        raise SaveFailed("the file could not be saved: No space left on device", path=path)

    monkeypatch.setattr(recovery_module, "write_whole", full)
    recovered = recover(path)
    with pytest.raises(SaveFailed):
        resume(recovered)
    assert path.read_bytes() == data
    path.write_bytes(whole := data[: recover(path).good_bytes] + b"torn")
    continued = resume(recover(path))  # a torn end holds nothing: the work goes on
    assert isinstance(continued.journal, Journal)
    continued.journal.close(discard=False)
    assert path.read_bytes() == whole[:-4]


def test_what_is_no_journal_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    for data in (b"", b"something else", MAGIC, MAGIC + b"\x01"):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="journal"):
            recover(path)
    assert unfinished(tmp_path) == ()
    assert unfinished(tmp_path / "absent") == ()


def test_an_open_journal_is_not_offered_for_recovery_and_a_closed_one_is_removed(tmp_path: Path) -> None:
    editor, journal = _editor(tmp_path)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    assert unfinished(tmp_path) == ()  # its owner lives
    with pytest.raises(BadInput, match="another window"):
        resume(recover(journal.path))
    journal.close(discard=True)
    assert list(tmp_path.iterdir()) == []


def test_recovered_work_can_be_thrown_away(tmp_path: Path) -> None:
    editor, journal = _editor(tmp_path)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    journal.close(discard=False)
    (found,) = unfinished(tmp_path, stack_id="stack-1")
    assert found.steps == 1
    assert unfinished(tmp_path, stack_id="another") == ()
    forget(found.path)
    assert unfinished(tmp_path) == ()


def test_a_journal_without_edits_is_not_offered(tmp_path: Path) -> None:
    _, journal = _editor(tmp_path)
    journal.close(discard=False)
    assert unfinished(tmp_path) == ()


def test_confirmation_comes_after_the_flush(tmp_path: Path) -> None:
    flushed: list[float] = []
    told: list[tuple[int, float]] = []
    done = threading.Event()

    class Slow(JournalFile):
        def sync(self) -> None:
            time.sleep(0.05)
            super().sync()
            flushed.append(time.perf_counter())

    def confirmed(number: int) -> None:
        told.append((number, time.perf_counter()))
        if number == 3:
            done.set()

    editor, journal = _editor(tmp_path, opener=Slow, listeners=JournalListeners(on_confirmed=confirmed))
    began = time.perf_counter()
    editor.do(AddSegment(Segment.named(1, "nodule")))
    change = editor.do(_dab())
    assert time.perf_counter() - began < 0.05  # the hand did not wait for the disk
    assert change.record == 3 and not journal.is_confirmed
    assert recover(journal.path).records == 3  # but the operating system has it
    assert journal.flush(5.0) and done.wait(5.0)
    assert journal.is_confirmed
    assert told[-1][1] >= flushed[0]
    journal.close(discard=True)


class _Full(JournalFile):
    """A disk that is full while `full` is set; half of each write still gets through."""

    full = False

    def append(self, data: bytes) -> None:
        if type(self).full:
            import os

            os.lseek(self._handle, self.size, os.SEEK_SET)
            os.write(self._handle, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(data)


def test_a_full_disk_is_told_once_and_the_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.05)
    monkeypatch.setattr(_Full, "full", False)
    troubles: list[SaveFailed] = []
    relieved = threading.Event()
    listeners = JournalListeners(on_trouble=troubles.append, on_relief=relieved.set)
    editor, journal = _editor(tmp_path, opener=_Full, listeners=listeners)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    editor.do(_dab())
    assert journal.flush(5.0)
    monkeypatch.setattr(_Full, "full", True)
    for row in range(1, 5):
        editor.do(_dab(row=row))
    time.sleep(0.2)
    assert len(troubles) == 1
    assert "No space left" in troubles[0].sentence and "save elsewhere" in troubles[0].sentence
    assert editor.segmentation.voxels(1) == 25 and not journal.is_confirmed
    assert not journal.flush(1.0)
    assert recover(journal.path).segmentation.voxels(1) == 5  # what was saved stays readable
    monkeypatch.setattr(_Full, "full", False)
    assert relieved.wait(5.0) and journal.flush(5.0)
    assert journal.trouble is None
    journal.close(discard=False)
    recovered = recover(journal.path)
    assert not recovered.torn and _same(recovered.segmentation, editor.segmentation)


def test_a_failed_flush_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.05)
    fail = threading.Event()

    class Failing(JournalFile):
        def sync(self) -> None:
            if fail.is_set():
                fail.clear()
                raise OSError(errno.EIO, "Input/output error")
            super().sync()

    troubles: list[SaveFailed] = []
    editor, journal = _editor(tmp_path, opener=Failing, listeners=JournalListeners(on_trouble=troubles.append))
    editor.do(AddSegment(Segment.named(1, "nodule")))
    assert journal.flush(5.0)
    fail.set()
    editor.do(_dab())
    deadline = time.monotonic() + 5
    while not journal.is_confirmed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(troubles) == 1 and journal.is_confirmed
    journal.close(discard=False)
    assert _same(recover(journal.path).segmentation, editor.segmentation)


def test_work_can_be_saved_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Full, "full", False)
    editor, journal = _editor(tmp_path / "full", opener=_Full)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    monkeypatch.setattr(_Full, "full", True)
    editor.do(_dab())
    assert journal.trouble is not None
    monkeypatch.setattr(_Full, "full", False)
    moved = journal.moved_to(tmp_path / "elsewhere")
    editor.journal = moved
    editor.do(_dab(row=1))
    moved.close(discard=False)
    (found,) = unfinished(tmp_path / "elsewhere")
    assert _same(recover(found.path).segmentation, editor.segmentation)


def test_a_folder_that_cannot_be_written_keeps_the_work_in_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    troubles: list[SaveFailed] = []
    editor, journal = _editor(blocked, listeners=JournalListeners(on_trouble=troubles.append))
    editor.do(AddSegment(Segment.named(1, "nodule")))
    editor.do(_dab())
    assert editor.segmentation.voxels(1) == 5
    assert len(troubles) == 1
    with pytest.raises(SaveFailed):
        journal.close(discard=False)


_LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from medviewer.annotation.editor import Editor
from medviewer.annotation.journal import Journal, JournalListeners
from medviewer.annotation.operations import AddSegment, Paint
from medviewer.annotation.recovery import recover
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.volume.grid import Grid

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
segmentation = Segmentation(Grid.plain((4, 64, 64)), "s")
journal = Journal.begin(segmentation, folder=Path(sys.argv[1]),
                        listeners=JournalListeners(on_trouble=lambda e: print("TROUBLE", e.sentence)))
editor = Editor(segmentation, journal=journal)
editor.do(AddSegment(Segment.named(1, "nodule")))
random = np.random.default_rng(0)
for n in range(40):
    editor.do(Paint.of_mask("brush stroke", (n % 4, 0, 0), random.random((1, 64, 64)) < 0.5, int(random.integers(2))))
assert journal.trouble is not None
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
import time
deadline = time.monotonic() + 10
while not journal.is_confirmed and time.monotonic() < deadline:
    time.sleep(0.05)
journal.close(discard=False)
assert np.array_equal(recover(journal.path).segmentation.labelmap, segmentation.labelmap)
print("SAME")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_real_limit_of_the_operating_system_costs_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path), str(CHECKOUT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["TROUBLE", "SAME"]


def test_a_long_journal_is_compacted_and_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_RECORDS", 30)
    editor, journal = _editor(tmp_path)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    random = np.random.default_rng(0)
    sizes = []
    for n in range(200):
        chance = random.random()
        if chance < 0.2:
            editor.undo()
        elif chance < 0.3:
            editor.redo()
        else:
            mask = random.random((2, 4, 5)) < 0.5
            editor.do(Paint.of_mask("brush stroke", (n % 3, n % 4, n % 5), mask, int(n % 3 > 0)))
        if n % 20 == 19:
            assert journal.flush(5.0)
            sizes.append(journal.path.stat().st_size)
    time.sleep(0.1)
    journal.flush(5.0)
    assert min(b - a for a, b in pairwise(sizes)) < 0  # it became shorter
    steps = recover(journal.path).steps
    for _ in range(60):
        editor.undo()
    for _ in range(7):
        editor.redo()
    journal.close(discard=False)
    recovered = recover(journal.path)
    assert recovered.steps >= steps and not recovered.torn
    assert _same(recovered.segmentation, editor.segmentation)
    assert [p.suffix for p in tmp_path.iterdir()] == [".journal"]


def test_a_big_proposal_is_written_by_the_writer_and_in_order(tmp_path: Path) -> None:
    segmentation = Segmentation(Grid.plain((40, 256, 256)), "big")
    journal = Journal.begin(segmentation, folder=tmp_path)
    editor = Editor(segmentation, journal=journal)
    editor.do(AddSegment(Segment.named(1, "lung")))
    random = np.random.default_rng(0)
    editor.do(Paint.of_mask("accept proposal", (0, 0, 0), random.random((40, 256, 256)) < 0.5, 1))
    for row in range(10):
        editor.do(Paint.of_mask("brush stroke", (0, row, 0), np.ones((1, 1, 200), dtype=bool), 0))
    assert journal.flush(20.0)
    journal.close(discard=False)
    assert _same(recover(journal.path).segmentation, segmentation)


def test_a_journal_begun_on_existing_work_carries_it(tmp_path: Path) -> None:
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[1:3, 2:4, 5:7] = 3
    segmentation = Segmentation.from_labelmap(Grid.plain(SIZE), labels, [Segment.named(3, "肺结节")], "s")
    journal = Journal.begin(segmentation, folder=tmp_path)
    editor = Editor(segmentation, journal=journal)
    editor.do(Paint.of_mask("brush stroke", (0, 0, 0), np.ones((1, 1, 1), dtype=bool), 3))
    journal.close(discard=False)
    recovered = recover(journal.path)
    assert _same(recovered.segmentation, segmentation)
    assert recovered.segmentation.grid == segmentation.grid

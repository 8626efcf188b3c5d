"""Journal: every edit on disk, so that a crash costs nothing.

One file an editing session: `magic`, then records `u32 length | u32 CRC-32 | payload` (codec.py). The first record
holds the grid, the segments and the voxels to start from, each other one an operation. docs/adr/0003-journal.md says
what is promised when:

- **written**: `append` returns after the record was handed to the operating system, before the edit is announced. It
  survives the death of this process (kill -9). Records above `BIG_RECORD_BYTES` are written by the writer thread.
- **confirmed**: the writer thread has flushed it to the medium (fsync); `on_confirmed` tells. It survives a power cut.

If the disk is full the work goes on in memory: `on_trouble` says so once, the writer tries again until it works, and
`move_to` saves to another folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer import __version__, places
from medviewer.annotation import codec
from medviewer.annotation.journal_file import HEADER, MAGIC, JournalFile, Lock
from medviewer.annotation.operations import Operation
from medviewer.annotation.segmentation import Segmentation, box_of_true
from medviewer.errors import MedviewerError, SaveFailed
from medviewer.formats.atomic import sync_folder

_log = logging.getLogger(__name__)

#: Version of the file's content; a reader refuses a higher one.
VERSION = 1

#: Records of operations above this size are encoded and written by the writer thread, not by the caller.
BIG_RECORD_BYTES = 256 * 1024

#: The file is compacted (to one snapshot) beyond this size or this many records.
COMPACT_BYTES = 16 * 1024 * 1024
COMPACT_RECORDS = 20_000

#: After a failed write the writer tries again this often.
RETRY_S = 2.0


@dataclass(slots=True)
class _Waiting:
    """A record that is not on the medium yet. Encoded late if it is big."""

    number: int
    head: Mapping[str, Any]
    operation: Operation | None
    parts: tuple[bytes, ...] = ()
    base: NDArray[np.uint8] | None = None
    data: bytes = b""

    def bytes(self) -> bytes:
        if not self.data:
            parts = self.parts if self.base is None else (self.base.tobytes(),)
            self.data = codec.pack(self.head, self.operation, parts)
            self.base = None
        return self.data


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def journal_folder() -> Path:
    """Where journals lie unless told otherwise."""
    return places.data_folder() / "journal"


def start_record(segmentation: Segmentation, facts: Mapping[str, Any], number: int) -> _Waiting:
    """The first record of a file: everything that later ones build upon. The voxels are copied."""
    head: dict[str, Any] = {
        "kind": "start",
        "version": VERSION,
        "program": __version__,
        "stack": segmentation.stack_id,
        "time": _now(),
        "facts": dict(facts),
        "grid": codec.grid_as_json(segmentation.grid),
        "segments": [codec.segment_as_json(s) for s in segmentation.segments.values()],
        "number": number,
        "revision": segmentation.revision,
    }
    if segmentation.is_empty:
        return _Waiting(number, head, None)
    hull = None
    for each in segmentation.segments:
        box = segmentation.box(each)
        hull = hull if box is None else box.union(hull)
    if hull is None:
        hull = box_of_true(segmentation.labelmap != 0)
    assert hull is not None
    head["box"] = [list(hull.start_kji), list(hull.stop_kji)]
    return _Waiting(number, head, None, base=segmentation.labelmap[hull.slices].copy())


@dataclass(slots=True)
class JournalListeners:
    """Whom the journal tells; called from the caller's or the writer's thread, so they must be quick and thread-safe.

    Attributes:
        on_confirmed: all records up to this number are on the medium.
        on_trouble: records could not be written; told once until it works again.
        on_relief: writing works again.
    """

    on_confirmed: Callable[[int], None] = field(default=lambda _: None)
    on_trouble: Callable[[SaveFailed], None] = field(default=lambda _: None)
    on_relief: Callable[[], None] = field(default=lambda: None)


class Journal:
    """The journal of one editing session. Make one with `Journal.begin` or `recovery.resume`; close it at the end.

    Args:
        path: the file.
        segmentation: what is edited (its background count is written as a check).
        facts: plain values for people and for recovery: series, study date, author.
        listeners: whom to tell.
        opener: opens the file (tests hand in failing disks).
    """

    def __init__(
        self,
        path: Path,
        segmentation: Segmentation,
        facts: Mapping[str, Any],
        listeners: JournalListeners,
        opener: Callable[[Path], JournalFile] = JournalFile,
    ) -> None:
        self.path = path
        self.listeners = listeners
        self.facts = dict(facts)
        self._segmentation = segmentation
        self._opener = opener
        self._file: JournalFile | None = None
        self._lock_file: Lock | None = None
        self._state = threading.Condition()
        self._waiting: deque[_Waiting] = deque()  # not written
        self._unsynced: deque[_Waiting] = deque()  # written, not flushed
        self._number = 0
        self._confirmed = 0
        self._records_in_file = 0
        self._busy = False  # the writer has the file for itself: appends wait in the queue, never in the caller
        self._step_is_open = False
        self._compact_bytes = COMPACT_BYTES
        self._compact_records = COMPACT_RECORDS
        self._closing = False
        self._trouble: SaveFailed | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    @classmethod
    def begin(
        cls,
        segmentation: Segmentation,
        *,
        folder: Path | None = None,
        facts: Mapping[str, Any] | None = None,
        listeners: JournalListeners | None = None,
        opener: Callable[[Path], JournalFile] = JournalFile,
    ) -> Journal:
        """Begin a journal for a segmentation as it is now.

        A disk that cannot be written to is no error here: the work goes on in memory and `on_trouble` tells.
        """
        base = journal_folder() if folder is None else folder
        path = base / _new_name(segmentation.stack_id)
        journal = cls(path, segmentation, facts or {}, listeners or JournalListeners(), opener)
        journal._number = 1
        journal._start(start_record(segmentation, journal.facts, 1))
        return journal

    def continue_after(self, number: int) -> None:
        """Go on behind the records of an existing file (recovery.resume), of which `number` is the last."""
        self._number = self._confirmed = self._records_in_file = number
        self._start(None)

    def _start(self, first: _Waiting | None) -> None:
        trouble: OSError | None = None
        try:
            self._open()
        except OSError as error:
            trouble = error
        if first is not None:
            if first.base is not None or trouble is not None:
                self._waiting.append(first)
            else:
                trouble = self._write_or_queue(first)
        if trouble is not None:
            self._report(trouble)
        self._thread.start()

    def _open(self) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._lock_file is None:
                self._lock_file = Lock.take(lock_path(self.path))
            self._file = self._opener(self.path)
            if self._file.size == 0:
                self._file.append(MAGIC)

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def number(self) -> int:
        """Number of the newest record."""
        return self._number

    @property
    def confirmed(self) -> int:
        """All records up to this number are on the medium."""
        return self._confirmed

    @property
    def is_confirmed(self) -> bool:
        """True where everything is on the medium."""
        return self._confirmed == self._number

    @property
    def trouble(self) -> SaveFailed | None:
        """Why records cannot be written at the moment, or None."""
        return self._trouble

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, kind: str, operation: Operation | None, name: str = "", voxels: int = 0) -> int:
        """Write one record and give its number. Never raises for the disk's sake and never waits for it.

        Args:
            kind: "do", "part", "end", "abandon", "undo" or "redo" (editor.py).
            operation: what was applied, if anything.
            name: of the step.
            voxels: how many voxels changed.
        """
        head = {"kind": kind, "name": name, "t": round(time.time(), 3), "voxels": voxels}
        head["left"] = self._segmentation.voxels(0)
        trouble: OSError | None = None
        with self._state:
            self._number += 1
            record = _Waiting(self._number, {**head, "number": self._number}, operation)
            big = operation is not None and operation.nbytes > BIG_RECORD_BYTES
            if big or self._busy or self._waiting or self._file is None:
                self._waiting.append(record)
            else:
                trouble = self._write_or_queue(record)
            self._step_is_open = kind == "part"
            if trouble is not None:
                self._report(trouble)
            self._state.notify_all()
        return record.number

    def _write(self, record: _Waiting) -> None:
        """Write one record at the end of the file. Call with the state held."""
        assert self._file is not None
        self._file.append(framed(record.bytes()))
        self._unsynced.append(record)
        self._records_in_file += 1

    def _write_or_queue(self, record: _Waiting) -> OSError | None:
        try:
            self._write(record)
        except OSError as error:
            self._waiting.append(record)
            return error
        return None

    def _report(self, error: OSError) -> None:
        trouble = SaveFailed(
            f"the journal cannot be written: {error.strerror or error}; your work is kept in memory",
            path=self.path.parent,
            remedy="free space on this disk, or save elsewhere",
        )
        with self._state:  # both threads may meet it; told in here, so that relief never comes first
            first = self._trouble is None
            self._trouble = trouble
            if first:
                self.listeners.on_trouble(trouble)

    # -- the writer thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._state:
                while not (self._waiting or self._unsynced or self._closing):
                    self._state.wait()
                if self._closing and not self._waiting and not self._unsynced:
                    return
                if self._trouble is not None and not self._closing:
                    self._state.wait(RETRY_S)
                closing = self._closing
            error = self._write_waiting() or self._sync()
            if error is not None:
                self._report(error)
                if closing:
                    return
                continue
            with self._state:
                relieved = self._trouble is not None and not self._waiting and not self._unsynced
                if relieved:
                    self._trouble = None
                    self.listeners.on_relief()
            if self._is_long:
                self._compact()

    def _write_waiting(self) -> OSError | None:
        """Encode and write what waits, oldest first; appends meanwhile queue behind it."""
        while True:
            with self._state:
                if not self._waiting:
                    self._busy = False
                    return None
                self._busy = True
                record = self._waiting.popleft()
            try:
                record.bytes()
                self._open()
                with self._state:
                    self._write(record)
            except OSError as error:
                with self._state:
                    self._waiting.appendleft(record)
                    self._busy = False
                return error

    def _sync(self) -> OSError | None:
        """Flush what is written; told to the listener. A failed flush makes the records wait again."""
        with self._state:
            file, last = self._file, self._unsynced[-1].number if self._unsynced else 0
        if file is None or not last:
            return None
        try:
            file.sync()
        except OSError as error:
            with self._state:  # what the system did with these pages is unknown: write them again
                lost = list(self._unsynced)
                self._unsynced.clear()
                for record in reversed(lost):
                    self._waiting.appendleft(record)
                self._records_in_file -= len(lost)
                file.shrink(sum(HEADER.size + len(record.bytes()) for record in lost))
            return error
        with self._state:
            while self._unsynced and self._unsynced[0].number <= last:
                self._unsynced.popleft()
            self._confirmed = last
            self._state.notify_all()
        self.listeners.on_confirmed(last)
        return None

    @property
    def _is_long(self) -> bool:
        file = self._file
        if file is None:
            return False
        return file.size > self._compact_bytes or self._records_in_file > self._compact_records

    def _compact(self) -> None:
        """Replace the file by one snapshot of the same state, made by replaying it: the editor never waits for this."""
        with self._state:
            if self._waiting or self._step_is_open or self._closing:
                return
            self._busy = True
            number = self._number
        try:
            self._replace_by_snapshot(number)
            with self._state:
                self._unsynced.clear()
                self._confirmed = number
            self.listeners.on_confirmed(number)
        except (OSError, MedviewerError, ValueError):
            _log.exception("the journal could not be compacted; the long file is as good as before")
        size = 0 if self._file is None else self._file.size
        self._compact_bytes = max(COMPACT_BYTES, 2 * size)
        self._compact_records = self._records_in_file + COMPACT_RECORDS
        with self._state:
            self._busy = False
            self._state.notify_all()

    def _replace_by_snapshot(self, number: int) -> None:
        from medviewer.annotation.recovery import recover

        state = recover(self.path)
        if state.records != number:
            raise ValueError(f"replay ends at record {state.records}, not {number}")
        first = start_record(state.segmentation, {**self.facts, "steps": state.steps}, number)
        fresh_path = self.path.with_suffix(".new")
        fresh_path.unlink(missing_ok=True)
        fresh = self._opener(fresh_path)
        try:
            fresh.append(MAGIC + framed(first.bytes()))
            fresh.sync()
        finally:
            fresh.close()
        if self._file is not None:
            self._file.close()
            self._file = None
        fresh_path.replace(self.path)
        sync_folder(self.path.parent)
        self._records_in_file = 1
        self._file = self._opener(self.path)

    # -- the end ---------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything so far is on the medium; False if it is not after `timeout` seconds or on trouble.

        Not for the Qt thread.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._state:
            wanted = self._number
            self._state.notify_all()
            while self._confirmed < wanted:
                left = None if deadline is None else deadline - time.monotonic()
                if self._trouble is not None or (left is not None and left <= 0):
                    return False
                self._state.wait(0.05 if left is None else min(left, 0.05))
            return True

    def close(self, *, discard: bool) -> None:
        """End the journal.

        Args:
            discard: True once the work is stored elsewhere (a revision, a SEG): the file is removed. False keeps it, to
                be recovered.

        Raises:
            SaveFailed: the file is kept but the last records could not be written.
        """
        with self._state:
            self._closing = True
            self._state.notify_all()
        self._thread.join()
        if self._file is not None:
            self._file.close()
            self._file = None
        if discard:
            self.path.unlink(missing_ok=True)
        if self._lock_file is not None:
            self._lock_file.release()
            self._lock_file = None
        if not discard and self._trouble is not None:
            raise self._trouble

    def moved_to(self, folder: Path) -> Journal:
        """Begin again in another folder from the present state ("save elsewhere"); this one ends, its file stays."""
        moved = Journal.begin(
            self._segmentation, folder=folder, facts=self.facts, listeners=self.listeners, opener=self._opener
        )
        with contextlib.suppress(SaveFailed):  # that is why it is moved
            self.close(discard=False)
        return moved


def framed(payload: bytes) -> bytes:
    """A payload behind its length and CRC-32, as it stands in the file."""
    return HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def case_of(stack_id: str) -> str:
    """What the names of all journals of a stack begin with; it tells nobody which patient that is."""
    return f"{zlib.crc32(stack_id.encode()):08x}"


def _new_name(stack_id: str) -> str:
    case = case_of(stack_id)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return f"{case}-{stamp}-{os.urandom(3).hex()}.journal"


def lock_path(path: Path) -> Path:
    """The file whose lock says that a running program owns a journal."""
    return path.with_suffix(".lock")

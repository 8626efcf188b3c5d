"""Recovery: from a journal back to the segmentation, its undo history, and where the hand was."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.annotation import codec
from medviewer.annotation.editor import Editor
from medviewer.annotation.history import History
from medviewer.annotation.journal import (
    VERSION,
    Journal,
    JournalListeners,
    case_of,
    journal_folder,
    lock_path,
)
from medviewer.annotation.journal_file import HEADER, MAGIC, JournalFile, is_locked
from medviewer.annotation.operations import Operation
from medviewer.annotation.segmentation import Box, Segmentation
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats.atomic import write_whole

#: What every payload begins with: a deflate stream of the fast kind.
_PAYLOAD_START = zlib.compress(b"", codec.COMPRESSION)[:2]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A journal that was not closed: work that can be recovered.

    Attributes:
        path: the file.
        stack_id: the Stack that was edited.
        facts: what the program noted for people.
        started, changed: when (UTC).
        steps: how many strokes and other steps it holds (without what lies behind damage).
        lost: whole records behind damage in the middle: they cannot be replayed.
    """

    path: Path
    stack_id: str
    facts: Mapping[str, Any]
    started: datetime
    changed: datetime
    steps: int
    lost: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """What a journal gives back.

    Attributes:
        path: the file.
        segmentation: as it was after the last whole record.
        history: undo and redo as they were (since the last compaction).
        facts: what the program noted for people.
        steps: how many strokes and other steps it held.
        records: number of the last whole record.
        good_bytes: length of the whole records; behind them lies a torn one where `torn`.
        torn: True where the end of the file was not readable (the process died while it wrote).
        lost: whole records behind the first one that was not readable. None after a crash, which tears the last record
            only; some where the medium was damaged, and then work of a person is missing.
    """

    path: Path
    segmentation: Segmentation
    history: History
    facts: Mapping[str, Any]
    steps: int
    records: int
    good_bytes: int
    torn: bool
    lost: int = 0


def _payload_at(data: bytes, at: int) -> bytes | None:
    """Payload of the record that begins at a byte; None if no whole record does."""
    if at + HEADER.size > len(data):
        return None
    length, check = HEADER.unpack_from(data, at)
    start = at + HEADER.size
    if length == 0 or start + length > len(data) or zlib.crc32(memoryview(data)[start : start + length]) != check:
        return None
    return data[start : start + length]


def _payloads(data: bytes, at: int = len(MAGIC)) -> Iterator[tuple[int, bytes]]:
    """(end of the record in the file, payload) of every whole record from a byte on, up to the first broken one."""
    while (payload := _payload_at(data, at)) is not None:
        at += HEADER.size + len(payload)
        yield at, payload


def _lost_behind(data: bytes, good: int) -> int:
    """How many whole records lie behind the first broken one, found by how a record's payload begins."""
    lost = 0
    at = data.find(_PAYLOAD_START, good + HEADER.size)
    while at >= 0:
        ends = [end for end, _ in _payloads(data, at - HEADER.size)]
        lost += len(ends)
        at = data.find(_PAYLOAD_START, ends[-1] + HEADER.size if ends else at + 1)
    return lost


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"the journal cannot be read: {error.strerror or error}", path=path) from error
    if not data.startswith(MAGIC):
        raise BadInput("this is not a journal of medviewer", path=path)
    return data


def _begin(path: Path, payload: bytes) -> tuple[dict[str, Any], Segmentation]:
    head, _, parts = codec.unpack(payload)
    if head.get("kind") != "start":
        raise BadInput("the journal has no beginning", path=path)
    if head["version"] > VERSION:
        raise Refused(
            f"the journal was written by a newer medviewer ({head['program']})", path=path, remedy="open it with that"
        )
    grid = codec.grid_from_json(head["grid"])
    segments = [codec.segment_from_json(s) for s in head["segments"]]
    segmentation = Segmentation(grid, head["stack"])
    for segment in segments:
        segmentation.put_segment(segment)
    if "box" in head:
        box = Box(tuple(head["box"][0]), tuple(head["box"][1]))
        values = np.frombuffer(parts[0], dtype=np.uint8).reshape(box.size_kji)
        segmentation.write_values(box, values != 0, values[values != 0])
    return head, segmentation


def recover(path: Path) -> Recovered:
    """Replay a journal. The file is only read.

    Raises:
        BadInput: it is no journal, or not even its first record is whole.
        Refused: a newer program wrote it.
    """
    data = _read(path)
    records = _payloads(data)
    first = next(records, None)
    if first is None:
        raise BadInput("the journal holds no whole record: nothing was saved in it", path=path)
    good, payload = first
    head, segmentation = _begin(path, payload)
    editor = Editor(segmentation)
    number, steps = int(head["number"]), int(head["facts"].get("steps", 0))
    for end, payload in records:
        try:
            record, operation, _ = codec.unpack(payload)
            _replay(editor, record, operation)
        except ValueError:
            break
        if record["left"] != segmentation.voxels(0):
            break
        steps += record["kind"] in ("do", "end")
        number, good = int(record["number"]), end
    open_step = editor.is_open
    editor.finish()
    facts = {k: v for k, v in head["facts"].items() if k != "steps"}
    torn = good < len(data)
    lost = _lost_behind(data, good) if torn else 0
    return Recovered(path, segmentation, editor.history, facts, steps + open_step, number, good, torn, lost)


def _replay(editor: Editor, record: Mapping[str, Any], operation: Operation | None) -> None:
    kind, name = record["kind"], str(record["name"])
    if kind == "part":
        if not editor.is_open:
            editor.begin(name)
    elif kind not in ("end", "abandon"):
        editor.finish()
    if kind == "end":
        editor.finish()
    elif kind == "abandon":
        editor.abandon()
    elif kind in ("undo", "redo"):
        step = editor.history.next_undo if kind == "undo" else editor.history.next_redo
        if step is not None and step.operation == operation:
            _ = editor.undo() if kind == "undo" else editor.redo()
        elif operation is not None:  # a step from before the last compaction
            operation.apply(editor.segmentation)
    elif operation is not None:
        editor.do(operation)


def resume(
    recovered: Recovered,
    *,
    listeners: JournalListeners | None = None,
    opener: Callable[[Path], JournalFile] = JournalFile,
) -> Editor:
    """Go on where a recovered journal ends: an editor with its undo history whose edits go into the same file.

    What is not readable is kept beside it (`keep_damaged`) before it is cut off.

    Raises:
        BadInput: another window is at work on it.
        SaveFailed: whole records lie behind damage, and they could not be kept: nothing was cut off.
    """
    if is_locked(lock_path(recovered.path)):
        raise BadInput("another window is at work on this case", path=recovered.path, remedy="go on there")
    journal = Journal(recovered.path, recovered.segmentation, recovered.facts, listeners or JournalListeners(), opener)
    if recovered.torn:
        keep_damaged(recovered)
        with recovered.path.open("r+b") as file:
            file.truncate(recovered.good_bytes)
    journal.continue_after(recovered.records)
    return Editor(recovered.segmentation, recovered.history, journal)


def keep_damaged(recovered: Recovered) -> Path | None:
    """Copy a journal that is not readable to its end beside itself, flushed; asked again, the same copy is given.

    Raises:
        SaveFailed: it could not be copied, though whole records lie behind the damage. A torn end, which holds nothing
            that was ever announced, is copied where that is possible (None: it was not, or nothing is torn).
    """
    if not recovered.torn:
        return None
    data = _read(recovered.path)
    try:
        return _kept_beside(recovered.path, data)
    except SaveFailed:
        if recovered.lost:
            raise
        return None


def set_aside(path: Path) -> Path:
    """Keep a journal that cannot be recovered at all under another name, so that it is told only once.

    Raises:
        SaveFailed: it could not be copied; it stays as it is.
    """
    kept = _kept_beside(path, path.read_bytes())
    path.unlink(missing_ok=True)
    return kept


def _kept_beside(path: Path, data: bytes) -> Path:
    """A whole copy `NAME.journal.damaged`; an older one of other content stays and the new one is numbered."""
    for n in range(1, 1000):
        kept = path.with_name(f"{path.name}.damaged" if n == 1 else f"{path.name}.damaged-{n}")
        try:
            same = kept.read_bytes() == data
        except FileNotFoundError:
            write_whole(kept, data)
            return kept
        except OSError:
            continue
        if same:
            return kept
    raise SaveFailed("too many damaged copies of this journal are kept", path=path, remedy="move them elsewhere")


def forget(path: Path) -> None:
    """Throw the work of a journal away, after a person said so; with it the copies of it that were damaged."""
    path.unlink(missing_ok=True)
    for kept in path.parent.glob(f"{path.name}.damaged*"):
        kept.unlink(missing_ok=True)
    lock_path(path).unlink(missing_ok=True)


def unfinished(folder: Path | None = None, *, stack_id: str | None = None) -> tuple[Unfinished, ...]:
    """Journals with work in them (on one stack) that no running program owns, the newest first.

    Unreadable files are left out.
    """
    base = journal_folder() if folder is None else folder
    found: list[Unfinished] = []
    for path in base.glob("*.journal") if base.is_dir() else ():
        if is_locked(lock_path(path)):
            continue
        try:
            one = _summary(path, stack_id)
        except (BadInput, Refused, ValueError):
            continue
        if one is not None and (one.steps or one.lost):
            found.append(one)
    return tuple(sorted(found, key=lambda u: u.changed, reverse=True))


def at_work(stack_id: str, folder: Path | None = None) -> bool:
    """True where a running program has a journal of this stack open."""
    return any(is_locked(lock_path(path)) for path in _journals_of(stack_id, folder))


def beyond_recovery(stack_id: str, folder: Path | None = None) -> tuple[Path, ...]:
    """Journals of a stack whose very beginning is damaged, though they hold more than a crash leaves of a first record.

    No running program owns them.
    """
    found: list[Path] = []
    for path in _journals_of(stack_id, folder):
        if is_locked(lock_path(path)):
            continue
        try:
            data = path.read_bytes()
        except OSError:
            continue
        at = len(MAGIC)
        whole = data.startswith(MAGIC) and _payload_at(data, at) is not None
        length = HEADER.unpack_from(data, at)[0] if len(data) >= at + HEADER.size else 0
        if not whole and (0 < length <= len(data) - at - HEADER.size or _lost_behind(data, at)):
            found.append(path)
    return tuple(found)


def _journals_of(stack_id: str, folder: Path | None) -> list[Path]:
    base = journal_folder() if folder is None else folder
    return sorted(base.glob(f"{case_of(stack_id)}-*.journal")) if base.is_dir() else []


def _summary(path: Path, stack_id: str | None) -> Unfinished | None:
    data = _read(path)
    records = _payloads(data)
    first = next(records, None)
    if first is None:
        return None
    good = first[0]
    head, _, _ = codec.unpack(first[1])
    if stack_id is not None and head["stack"] != stack_id:
        return None
    steps, is_open = int(head["facts"].get("steps", 0)), False
    for end, payload in records:
        good = end
        kind = codec.kind_of(payload)
        steps += kind in ("do", "end")
        is_open = kind == "part"
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    started = datetime.fromisoformat(head["time"])
    facts = {k: v for k, v in head["facts"].items() if k != "steps"}
    lost = _lost_behind(data, good) if good < len(data) else 0
    return Unfinished(path, str(head["stack"]), facts, started, changed, steps + is_open, lost)

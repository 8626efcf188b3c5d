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
    journal_folder,
    lock_path,
)
from medviewer.annotation.journal_file import HEADER, MAGIC, JournalFile, is_locked
from medviewer.annotation.operations import Operation
from medviewer.annotation.segmentation import Box, Segmentation
from medviewer.errors import BadInput, Refused


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A journal that was not closed: work that can be recovered.

    Attributes:
        path: the file.
        stack_id: the Stack that was edited.
        facts: what the program noted for people.
        started, changed: when (UTC).
        steps: how many strokes and other steps it holds.
    """

    path: Path
    stack_id: str
    facts: Mapping[str, Any]
    started: datetime
    changed: datetime
    steps: int


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
    """

    path: Path
    segmentation: Segmentation
    history: History
    facts: Mapping[str, Any]
    steps: int
    records: int
    good_bytes: int
    torn: bool


def _payloads(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(end of the record in the file, payload) of every whole record."""
    at = len(MAGIC)
    while at + HEADER.size <= len(data):
        length, check = HEADER.unpack_from(data, at)
        payload = data[at + HEADER.size : at + HEADER.size + length]
        if len(payload) < length or zlib.crc32(payload) != check:
            return
        at += HEADER.size + length
        yield at, payload


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
    return Recovered(path, segmentation, editor.history, facts, steps + open_step, number, good, good < len(data))


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

    Raises:
        BadInput: another window is at work on it.
    """
    if is_locked(lock_path(recovered.path)):
        raise BadInput("another window is at work on this case", path=recovered.path, remedy="go on there")
    journal = Journal(recovered.path, recovered.segmentation, recovered.facts, listeners or JournalListeners(), opener)
    if recovered.torn:
        with recovered.path.open("r+b") as file:
            file.truncate(recovered.good_bytes)
    journal.continue_after(recovered.records)
    return Editor(recovered.segmentation, recovered.history, journal)


def forget(path: Path) -> None:
    """Throw the work of a journal away, after a person said so."""
    path.unlink(missing_ok=True)
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
        if one is not None and one.steps:
            found.append(one)
    return tuple(sorted(found, key=lambda u: u.changed, reverse=True))


def _summary(path: Path, stack_id: str | None) -> Unfinished | None:
    records = _payloads(_read(path))
    first = next(records, None)
    if first is None:
        return None
    head, _, _ = codec.unpack(first[1])
    if stack_id is not None and head["stack"] != stack_id:
        return None
    steps, is_open = int(head["facts"].get("steps", 0)), False
    for _, payload in records:
        kind = codec.kind_of(payload)
        steps += kind in ("do", "end")
        is_open = kind == "part"
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    started = datetime.fromisoformat(head["time"])
    facts = {k: v for k, v in head["facts"].items() if k != "steps"}
    return Unfinished(path, str(head["stack"]), facts, started, changed, steps + is_open)

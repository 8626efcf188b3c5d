"""Editor: the one door through which a Segmentation is edited.

Whatever comes in is applied, appended to the journal, remembered for undo, and only then announced. Several
operations between `begin` and `finish` are one step (a stroke); `abandon` takes them back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from medviewer.annotation.history import History, Step
from medviewer.annotation.operations import ChangeSegment, Operation, Paint, Together, merged
from medviewer.annotation.segmentation import Box, Segmentation

#: A pause longer than this does not count as time spent.
LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit changed; panels decide by it whether they refresh.

    Attributes:
        name: what a person calls it.
        box: voxels that may have changed, None for none.
        voxels: how many did.
        segments: True where the list of segments changed.
        record: number of the last journal record that belongs to it, 0 without a journal.
    """

    name: str
    box: Box | None = None
    voxels: int = 0
    segments: bool = False
    record: int = 0


class Recorder(Protocol):
    """What the editor needs of a journal (journal.py has it)."""

    def append(self, kind: str, operation: Operation | None, name: str = "", voxels: int = 0) -> int:
        """Write one record and give its number."""


class Editor:
    """Edits one Segmentation.

    Args:
        segmentation: what is edited; nobody else changes it.
        history: undo steps; a fresh one by default.
        journal: where every edit is appended before it is announced; None keeps the work in memory only.
    """

    def __init__(
        self, segmentation: Segmentation, history: History | None = None, journal: Recorder | None = None
    ) -> None:
        self.segmentation = segmentation
        self.history = history if history is not None else History()
        self.journal = journal
        self.tools: set[str] = set()
        self.active_seconds = 0.0
        self._last_edit: float | None = None
        self._listeners: list[Callable[[Change], None]] = []
        self._open: list[Operation] | None = None
        self._open_name = ""

    # -- listeners -------------------------------------------------------------------------------------------------

    def on_change(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call the listener (in the caller's thread) after every change; returns the function that ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _announce(self, change: Change) -> Change:
        for listener in tuple(self._listeners):
            listener(change)
        return change

    # -- edits -----------------------------------------------------------------------------------------------------

    def do(self, operation: Operation) -> Change:
        """Apply an operation: as a step of its own, or as part of the step that `begin` opened.

        Painting over a suggestion's segment marks that segment as edited, in the same step.

        Raises:
            ValueError: the operation does not fit the segmentation; nothing has changed then.
        """
        inverses, record = self._apply(operation)
        if not inverses:
            return Change(operation.name)
        change = self._change(operation.name, inverses, record)
        if self._open is None:
            self._close(operation.name, inverses)
        else:
            self._open.extend(inverses)
        return self._announce(change)

    def _apply(self, operation: Operation) -> tuple[list[Operation], int]:
        """Apply with its consequences and journal them; the inverses in the order of doing."""
        inverses: list[Operation] = []
        inverse = operation.apply(self.segmentation)
        if not inverse.voxels and not inverse.touches_segments:
            return [], 0
        applied: list[Operation] = [operation]
        inverses.append(inverse)
        if isinstance(operation, Paint) and isinstance(inverse, Paint):
            for number in sorted(operation.numbers | inverse.numbers):
                segment = self.segmentation.segments.get(number)
                if segment is not None and segment.provenance.model and not segment.provenance.edited:
                    mark = ChangeSegment(segment.edited(), operation.name)
                    inverses.append(mark.apply(self.segmentation))
                    applied.append(mark)
        whole = operation
        if len(applied) > 1:  # as one operation, exactly as a replay of the journal will see it
            whole = Together(operation.name, tuple(applied))
            inverses = [Together(operation.name, tuple(reversed(inverses)))]
        kind, step = ("do", operation.name) if self._open is None else ("part", self._open_name)
        voxels = sum(i.voxels for i in inverses)
        record = 0 if self.journal is None else self.journal.append(kind, whole, step, voxels)
        self._spend_time(operation.name)
        return inverses, record

    def _spend_time(self, name: str) -> None:
        now = time.monotonic()
        if self._last_edit is not None:
            self.active_seconds += min(now - self._last_edit, LONGEST_PAUSE_S)
        self._last_edit = now
        self.tools.add(name)

    def _change(self, name: str, inverses: list[Operation], record: int) -> Change:
        whole = Together(name, tuple(inverses))
        return Change(name, whole.box, whole.voxels, whole.touches_segments, record)

    def _close(self, name: str, inverses: list[Operation]) -> None:
        back = _as_one(name, inverses)
        self.history.push(Step(name, back.voxels, back))

    # -- strokes ---------------------------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Open a step: operations until `finish` are undone as one. An open step is finished first."""
        self.finish()
        self._open, self._open_name = [], name

    @property
    def is_open(self) -> bool:
        """True between `begin` and `finish`."""
        return self._open is not None

    def finish(self) -> None:
        """Close the open step, if there is one."""
        if self._open is None:
            return
        inverses, self._open = self._open, None
        if inverses:
            self._close(self._open_name, inverses)
            if self.journal is not None:
                step = self.history.next_undo
                self.journal.append("end", None, self._open_name, step.voxels if step else 0)

    def abandon(self) -> Change | None:
        """Take the open step back as if it had never been (Esc); None if there was nothing."""
        if self._open is None:
            return None
        inverses, self._open = self._open, None
        if not inverses:
            return None
        back = _as_one(self._open_name, inverses)
        back.apply(self.segmentation)
        record = 0 if self.journal is None else self.journal.append("abandon", back, self._open_name)
        return self._announce(Change(self._open_name, back.box, back.voxels, back.touches_segments, record))

    # -- undo and redo ---------------------------------------------------------------------------------------------

    def undo(self) -> Change | None:
        """Take the newest step back; None if there is none."""
        self.finish()
        return self._moved("undo", self.history.undo(self.segmentation))

    def redo(self) -> Change | None:
        """Do the last undone step again; None if there is none."""
        self.finish()
        return self._moved("redo", self.history.redo(self.segmentation))

    def _moved(self, kind: str, step: Step | None) -> Change | None:
        if step is None:
            return None
        record = 0 if self.journal is None else self.journal.append(kind, step.operation, step.name, step.voxels)
        self._spend_time(kind)
        change = Change(step.name, step.operation.box, step.voxels, step.operation.touches_segments, record)
        return self._announce(change)

    @property
    def can_undo(self) -> bool:
        """True where undo would do something."""
        return bool(self._open) or self.history.next_undo is not None

    @property
    def can_redo(self) -> bool:
        """True where redo would do something."""
        return not self._open and self.history.next_redo is not None

    @property
    def undo_text(self) -> str | None:
        """ "Undo: brush stroke, 412 voxels", or None."""
        step = self.history.next_undo
        return None if step is None else f"Undo: {step.text}"

    @property
    def redo_text(self) -> str | None:
        """ "Redo: brush stroke, 412 voxels", or None."""
        step = self.history.next_redo
        return None if step is None else f"Redo: {step.text}"


def _as_one(name: str, inverses: list[Operation]) -> Operation:
    """One operation that takes several edits back, given their inverses in the order of doing."""
    backwards = list(reversed(inverses))
    if len(backwards) == 1:
        return backwards[0]
    parts: list[Operation] = []
    run: list[Paint] = []
    for operation in backwards:
        if isinstance(operation, Paint):
            run.append(operation)
            continue
        if run:
            parts.append(merged(run, name))
            run = []
        parts.append(operation)
    if run:
        parts.append(merged(run, name))
    return parts[0] if len(parts) == 1 else Together(name, tuple(parts))

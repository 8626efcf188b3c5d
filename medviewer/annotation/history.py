"""Undo and redo: named steps, bounded in bytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from medviewer.annotation.operations import Operation
from medviewer.annotation.segmentation import Segmentation

#: Undo and redo together hold at most this many bytes; the oldest undo steps go first.
DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a person did, and the operation that takes it back (or does it again)."""

    name: str
    voxels: int
    operation: Operation

    @property
    def text(self) -> str:
        """ "brush stroke, 412 voxels"; without the number where no voxel changed."""
        if not self.voxels:
            return self.name
        return f"{self.name}, {self.voxels:,} voxel{'s' if self.voxels != 1 else ''}"


class History:
    """The steps that can be undone and redone, newest last.

    Args:
        limit_bytes: memory for both; a single step above it can be undone until the next one comes.
    """

    def __init__(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._undo: deque[Step] = deque()
        self._redo: deque[Step] = deque()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Memory that the steps hold."""
        return self._nbytes

    @property
    def undo_steps(self) -> tuple[Step, ...]:
        """What can be undone, the next one last."""
        return tuple(self._undo)

    @property
    def redo_steps(self) -> tuple[Step, ...]:
        """What can be redone, the next one last."""
        return tuple(self._redo)

    @property
    def next_undo(self) -> Step | None:
        """The step that undo would take back."""
        return self._undo[-1] if self._undo else None

    @property
    def next_redo(self) -> Step | None:
        """The step that redo would do again."""
        return self._redo[-1] if self._redo else None

    def push(self, step: Step) -> None:
        """Remember a new step; what could be redone is gone, and the oldest steps where there is no room."""
        for old in self._redo:
            self._nbytes -= old.operation.nbytes
        self._redo.clear()
        self._undo.append(step)
        self._nbytes += step.operation.nbytes
        while self._nbytes > self.limit_bytes and len(self._undo) > 1:
            self._nbytes -= self._undo.popleft().operation.nbytes

    def undo(self, segmentation: Segmentation) -> Step | None:
        """Take the newest step back; returns it (its operation is what was applied), or None."""
        return self._move(segmentation, self._undo, self._redo)

    def redo(self, segmentation: Segmentation) -> Step | None:
        """Do the step that was undone last again; returns it (its operation is what was applied), or None."""
        return self._move(segmentation, self._redo, self._undo)

    def _move(self, segmentation: Segmentation, source: deque[Step], target: deque[Step]) -> Step | None:
        if not source:
            return None
        step = source.pop()
        inverse = step.operation.apply(segmentation)
        target.append(Step(step.name, step.voxels, inverse))
        self._nbytes += inverse.nbytes - step.operation.nbytes
        return step

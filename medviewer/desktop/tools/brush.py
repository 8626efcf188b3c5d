"""Brush and eraser: a round pen in millimetres, drawn as it goes and done at the release, one undo step a stroke."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.operations import Operation
from medviewer.annotation.segmentation import Box
from medviewer.annotation.tools.brush import NAME as BRUSH
from medviewer.annotation.tools.eraser import NAME as ERASER
from medviewer.annotation.tools.eraser import erase_patch
from medviewer.annotation.tools.polygon import picture_patch
from medviewer.annotation.tools.stroke import Patch, stroke_patch
from medviewer.desktop.tool_protocol import Draft, Kind, PlanePosition, PlaneView, ToolLook, ToolStory
from medviewer.desktop.tools.editing import add_operation, do, editor_of, looks
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneAxes

#: A ball's stroke whose pieces together hold more voxels than this is worked out in the background.
BALL_AT_ONCE = 400_000

Place = tuple[float, float]


@looks(ToolLook(cursor="circle", hint="Paint. Ctrl erases, [ ] change the size, Shift+B makes it a ball."))
def brush(view: PlaneView, press: PlanePosition) -> ToolStory:
    """Paint the active segment; with Ctrl, erase it."""
    yield from _stroke(view, press, adds=not press.control)


@looks(ToolLook(cursor="circle", hint="Erase. Ctrl paints, [ ] change the size, Shift+B makes it a ball."))
def eraser(view: PlaneView, press: PlanePosition) -> ToolStory:
    """Erase the active segment (all of them where the background is active); with Ctrl, paint."""
    yield from _stroke(view, press, adds=press.control)


def _stroke(view: PlaneView, press: PlanePosition, *, adds: bool) -> ToolStory:
    editor = editor_of(view)
    if editor is None:
        return
    session = view.session
    number = session.active_segment
    adds = adds and number != 0
    trail = Trail(editor.segmentation.grid, view.axes, press.position, session.brush_diameter_mm)
    try:
        where = press
        trail.extend((press.row, press.column))
        view.set_draft(trail.draft(erases=not adds))
        while where.kind is not Kind.RELEASE:
            where = yield
            if where.kind in (Kind.MOVE, Kind.RELEASE):
                trail.extend((where.row, where.column))
                view.set_draft(trail.draft(erases=not adds))

        def operation_of(patch: Patch) -> Operation:
            if adds:
                return add_operation(editor.segmentation, number, patch, BRUSH)
            return erase_patch(number or None, patch, name=ERASER)

        if not session.brush_is_sphere:
            flat = trail.flat()
            if flat is not None:
                do(view, operation_of(flat))
            return
        if trail.ball_voxels() <= BALL_AT_ONCE:
            ball = trail.ball()
            if ball is not None:
                do(view, operation_of(ball))
            return
        view.services.jobs.start(
            "Painting a ball",
            trail.ball,
            on_done=lambda patch: do(view, operation_of(patch)) if patch is not None else None,
            wanted=lambda: session.editor is editor,
        )
    finally:
        view.set_draft(None)


class Trail:
    """What a round pen has covered since the press, as a picture of one cut, and as voxels when it is done.

    Args:
        grid: of the segmentation.
        axes, position: the cut.
        diameter_mm: size of the pen.
    """

    def __init__(self, grid: Grid, axes: PlaneAxes, position: int, diameter_mm: float) -> None:
        self._grid, self._axes, self._position = grid, axes, position
        self._diameter_mm = diameter_mm
        self._covered: NDArray[np.bool_] = np.zeros(axes.picture_size(grid.size_kji), dtype=np.bool_)
        self._way: list[Place] = []
        self._low = np.array(self._covered.shape)
        self._high = np.zeros(2, dtype=int)

    def extend(self, where: Place) -> None:
        """The pen moved to a picture position (row, column)."""
        before = self._way[-1] if self._way else where
        if self._way and before == where:
            return
        self._way.append(where)
        patch = stroke_patch(self._grid, self._axes, self._position, before, where, self._diameter_mm)
        shown = None if patch is None else patch.in_picture(self._axes, self._grid.size_kji, self._position)
        if shown is None:
            return
        (row, column), mask = shown
        rows, columns = mask.shape
        self._covered[row : row + rows, column : column + columns] |= mask
        self._low = np.minimum(self._low, (row, column))
        self._high = np.maximum(self._high, (row + rows, column + columns))

    def _part(self) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
        if np.any(self._high <= self._low):
            return None
        row, column = int(self._low[0]), int(self._low[1])
        return (row, column), self._covered[row : int(self._high[0]), column : int(self._high[1])]

    def draft(self, *, erases: bool) -> Draft | None:
        """What to draw over the picture now."""
        part = self._part()
        return None if part is None else Draft(mask=part[1], start=part[0], erases=erases)

    def flat(self) -> Patch | None:
        """The covered voxels of this cut, or None."""
        part = self._part()
        if part is None:
            return None
        return picture_patch(self._grid.size_kji, self._axes, self._position, *part)

    def ball_voxels(self) -> int:
        """About how many voxels the balls of all pieces hold together."""
        in_mm = np.asarray(self._grid.spacing_kji)
        one = float(np.prod(self._diameter_mm / in_mm + 2))
        return int(one * max(1, len(self._way)))

    def ball(self, context: JobContext | None = None) -> Patch | None:
        """The voxels that a ball of the pen's size covers on the same way, or None; may run in the background."""
        patches: list[Patch] = []
        for n, now in enumerate(self._way):
            if context is not None:
                context.report(n, len(self._way))
            before = self._way[max(0, n - 1)]
            patch = stroke_patch(self._grid, self._axes, self._position, before, now, self._diameter_mm, ball=True)
            if patch is not None:
                patches.append(patch)
        return united(patches)


def united(patches: list[Patch]) -> Patch | None:
    """One patch that covers what several cover; None of none."""
    whole: Box | None = None
    for patch in patches:
        whole = patch.box.union(whole)
    if whole is None:
        return None
    mask = np.zeros(whole.size_kji, dtype=np.bool_)
    for patch in patches:
        mask[patch.box.moved(whole.start_kji).slices] |= patch.mask
    return Patch(whole.start_kji, mask)

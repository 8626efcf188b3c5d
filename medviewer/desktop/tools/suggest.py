"""Suggest: a click on a lesion asks the model about it; a drag draws a box around it."""

from __future__ import annotations

import numpy as np

from medviewer.desktop.theme import colour
from medviewer.desktop.tool_protocol import Draft, Kind, PlanePosition, PlaneView, ToolLook, ToolStory
from medviewer.desktop.tools.editing import looks
from medviewer.errors import BadInput
from medviewer.formats.carry import Use, why_not
from medviewer.inference.prompt import Prompt
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneAxes

#: A drag smaller than this, in picture pixels along either side, is a click with an unsteady hand.
SMALLEST_BOX = 4.0


@looks(ToolLook(cursor="cross", annotates=False, colour_is_ai=True, hint="Click a lesion, or draw a box around it."))
def suggest(view: PlaneView, press: PlanePosition) -> ToolStory:
    """Ask about the clicked place, or about the box between press and release."""
    if press.right:
        return  # "not here" is a prompt that no shipped model takes yet
    if view.volume is None or view.volume.grid is None or press.point_lps is None:
        view.services.say("Without positions of its slices a model cannot be asked about this stack.", "warn")
        return
    reason = None if view.session.stack is None else why_not(view.session.stack, Use.SUGGESTION)
    if reason is not None:
        view.services.say(f"No model can be asked about these images: {reason}.", "warn")
        return
    grid = view.volume.grid
    violet = colour("ai")
    rgb = (violet.red(), violet.green(), violet.blue())
    where = press
    try:
        while where.kind is not Kind.RELEASE:
            where = yield
            if where.kind in (Kind.MOVE, Kind.RELEASE) and _is_box(press, where):
                view.set_draft(Draft(line=_corners(press, where), closed=True, colour=rgb))
        try:
            if _is_box(press, where):
                view.session.ask(Prompt.of(box_lps=box_lps(grid, view.axes, press, where)))
            else:
                prompt = Prompt.of(point_lps=press.point_lps.tolist())
                prompt.check_inside(grid)
                view.session.ask(prompt)
        except BadInput as error:
            view.services.say(error.sentence, "warn")
    finally:
        view.set_draft(None)


def _is_box(press: PlanePosition, where: PlanePosition) -> bool:
    return min(abs(where.row - press.row), abs(where.column - press.column)) >= SMALLEST_BOX


def _corners(press: PlanePosition, where: PlanePosition) -> tuple[tuple[float, float], ...]:
    return (
        (press.row, press.column),
        (press.row, where.column),
        (where.row, where.column),
        (where.row, press.column),
    )


def box_lps(grid: Grid, axes: PlaneAxes, press: PlanePosition, where: PlanePosition) -> tuple[float, ...]:
    """The box in mm (LPS: x0, y0, z0, x1, y1, z1) of a rectangle in one cut: as deep as its longer side is long."""
    size = grid.size_kji
    spacing = np.asarray(grid.spacing_kji)
    first = axes.to_index(size, press.position, press.row, press.column)
    last = axes.to_index(size, press.position, where.row, where.column)
    longest_mm = float(np.max(np.abs(last - first) * spacing))
    depth = max(1.0, longest_mm / 2 / spacing[axes.through])
    first[axes.through], last[axes.through] = press.position - depth, press.position + depth
    low, high = np.minimum(first, last), np.maximum(first, last)
    corners = grid.index_to_lps(
        [[k, j, i] for k in (low[0], high[0]) for j in (low[1], high[1]) for i in (low[2], high[2])]
    )
    return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())

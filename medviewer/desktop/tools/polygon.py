"""Polygon: clicks set corners; double click or Enter closes, Backspace takes the last corner back, Esc drops it."""

from __future__ import annotations

from medviewer.annotation.tools.eraser import erase_patch
from medviewer.annotation.tools.polygon import NAME, polygon_patch
from medviewer.desktop.tool_protocol import Draft, Kind, PlanePosition, PlaneView, ToolLook, ToolStory
from medviewer.desktop.tools.editing import add_operation, do, editor_of, looks

Place = tuple[float, float]


@looks(ToolLook(hint="Click corners. Enter or double click closes, Backspace takes the last one back; Ctrl erases."))
def polygon(view: PlaneView, press: PlanePosition) -> ToolStory:
    """Fill a polygon with the active segment; with Ctrl at the first click, erase it there."""
    editor = editor_of(view)
    if editor is None:
        return
    number = view.session.active_segment
    adds = number != 0 and not press.control
    corners: list[Place] = [(press.row, press.column)]
    try:
        while corners:
            where = yield
            here = (where.row, where.column)
            if where.kind is Kind.PRESS:
                corners.append(here)
            elif where.kind is Kind.DOUBLE or where.key in ("Return", "Enter"):
                break
            elif where.key == "Backspace":
                corners.pop()
            line = (*corners, here) if where.kind is Kind.MOVE else tuple(corners)
            view.set_draft(Draft(line=line, closed=len(line) > 2, erases=not adds) if corners else None)
        patch = polygon_patch(editor.segmentation.size_kji, view.axes, press.position, corners)
        if patch is None:
            if corners:
                view.services.say("A polygon needs at least three corners.", "warn")
        elif adds:
            do(view, add_operation(editor.segmentation, number, patch, NAME))
        else:
            do(view, erase_patch(number or None, patch, name=NAME))
    finally:
        view.set_draft(None)

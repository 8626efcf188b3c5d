"""The tools that draw: each is one generator function that reads as a story, press, moves, release."""

from __future__ import annotations

from medviewer.desktop.tool_protocol import Tool
from medviewer.desktop.tools.brush import brush, eraser
from medviewer.desktop.tools.fill import fill
from medviewer.desktop.tools.polygon import polygon
from medviewer.desktop.tools.suggest import suggest

#: Tools by the name that the keys table and the session give them ("tool-brush" takes "brush").
TOOLS: dict[str, Tool] = {
    "brush": brush,
    "eraser": eraser,
    "polygon": polygon,
    "fill": fill,
    "suggest": suggest,
}

__all__ = ["TOOLS"]

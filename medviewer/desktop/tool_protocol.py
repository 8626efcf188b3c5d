"""What a tool is: one generator function that reads as a story, press, moves, release.

    def brush(view: PlaneView, press: PlanePosition) -> ToolStory:
        stroke = begin(press)
        try:
            while True:
                where = yield                     # the next position in the plane
                stroke = extend(stroke, where)
                view.set_draft(Draft(mask=..., start=...))
                if where.kind is Kind.RELEASE:
                    break
            view.session.editor.do(operation_of(stroke))
        finally:
            view.set_draft(None)                  # also when Esc closes the story

The view starts the story at a press, sends it every later position and closes it on Esc, on a change of slice or
of stack, and on a change of tool. A story that is still alive after a release (a polygon) goes on receiving moves,
presses and keys.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from medviewer.volume.plane import PlaneAxes
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.desktop.services import Services
    from medviewer.desktop.session import ReadingSession


class Kind(StrEnum):
    """What happened at a position."""

    PRESS = "press"
    MOVE = "move"
    RELEASE = "release"
    DOUBLE = "double"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class PlanePosition:
    """A pointer event, told in the plane and in the patient.

    Attributes:
        kind: press, move, release, double click, or a key while the story is alive.
        position: index of the cut along the plane's through axis.
        row, column: fractional picture position, voxel centres at integers, as `PlaneAxes.to_index` takes it.
        index_kji: fractional voxel index; it may lie outside the volume.
        point_lps: mm (LPS), None without geometry.
        control, shift, alt: modifiers held; `control` means the opposite (add becomes erase).
        right: the right button.
        key: for Kind.KEY: "Return", "Backspace", ...
    """

    kind: Kind
    position: int
    row: float
    column: float
    index_kji: NDArray[np.float64]
    point_lps: NDArray[np.float64] | None
    control: bool = False
    shift: bool = False
    alt: bool = False
    right: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a running tool draws and has not yet done: painted over the overlay of one view.

    Attributes:
        line: picture positions (row, column), voxel centres at integers; drawn as a polyline.
        closed: the line's end is joined to its start.
        mask: True where the stroke will be, `[rows, columns]` of the picture (screen orientation); None for none.
        start: picture row and column of `mask[0, 0]`.
        colour: RGB of line and mask; None for the active segment's.
        erases: the mask shows what will be taken away.
    """

    line: tuple[tuple[float, float], ...] = ()
    closed: bool = False
    mask: NDArray[np.bool_] | None = None
    start: tuple[int, int] = (0, 0)
    colour: tuple[int, int, int] | None = None
    erases: bool = False


class PlaneView(Protocol):
    """What a tool sees of the view it works in."""

    @property
    def session(self) -> ReadingSession:
        """The reading session."""

    @property
    def services(self) -> Services:
        """Jobs, status line, actions."""

    @property
    def volume(self) -> Volume | None:
        """The shown volume."""

    @property
    def axes(self) -> PlaneAxes:
        """Which array axis goes where on the screen."""

    @property
    def position(self) -> int:
        """Index of the shown cut."""

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Size of a picture pixel in mm, downwards and to the right."""

    def set_draft(self, draft: Draft | None) -> None:
        """Draw what the tool would do, or nothing."""


#: A running tool: positions are sent in, nothing comes out.
ToolStory = Generator[None, PlanePosition, None]


class Tool(Protocol):
    """A tool: the generator function. Optional attributes of the function: see `ToolLook`."""

    def __call__(self, view: PlaneView, press: PlanePosition, /) -> ToolStory:
        """Begin the story at a press."""


@dataclass(frozen=True, slots=True)
class ToolLook:
    """How a tool appears; set on the function as `brush.look = ToolLook(...)` or left out.

    Attributes:
        cursor: "cross", "circle" (true size of the brush) or "point".
        annotates: True for tools that paint: taking one enters annotate mode (digits choose segments).
        hint: one short line for the status bar.
        colour_is_ai: True for prompts of the AI: the cursor is violet.
    """

    cursor: str = "cross"
    annotates: bool = True
    hint: str = ""
    colour_is_ai: bool = False


def look_of(tool: object) -> ToolLook:
    """The tool's look, or the plain one."""
    look = getattr(tool, "look", None)
    return look if isinstance(look, ToolLook) else ToolLook()

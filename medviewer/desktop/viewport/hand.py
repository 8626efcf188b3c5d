"""The hand in a view: presses, moves and keys become a drag, a tool's story, a click for the menu, or a crosshair.

At most one drag and one story run at a time. A story is a tool's generator (`tool_protocol`), which gets each event as
a PlanePosition until it ends or is closed as Esc does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QMouseEvent

from medviewer.desktop.tool_protocol import Kind, PlanePosition, Tool, ToolStory, look_of
from medviewer.desktop.viewport.drags import CLICK_PX, DRAGS, Drag, Pointer, pan, zoom

if TYPE_CHECKING:
    from medviewer.desktop.viewport.plane_view import PlaneViewport

#: A right press that ends sooner and nearer than this is a click.
RIGHT_CLICK_S = 0.4


class Hand:
    """What one view's pointer does.

    Args:
        view: the view that the pointer is in.
        tools: annotate and AI tools by name; other tools of the session are drags.
    """

    def __init__(self, view: PlaneViewport, tools: Mapping[str, Tool]) -> None:
        self._view, self._session, self._tools = view, view.session, tools
        self._drag: Drag | None = None
        self._drag_button = Qt.MouseButton.NoButton
        self._story: ToolStory | None = None
        self._story_position = -1
        self._press: tuple[QPointF, float] | None = None

    @property
    def tool(self) -> Tool | None:
        """The session's tool; None for those of read mode."""
        return self._tools.get(self._session.tool)

    # -- events ----------------------------------------------------------------------------------------------------

    def press(self, event: QMouseEvent) -> None:
        """Left: the tool; middle: pan; right: zoom, or a menu if it does not move."""
        if self._view.volume is None or self._drag is not None:
            return
        button = event.button()
        self._press = (event.position(), time.monotonic())
        if button is Qt.MouseButton.LeftButton:
            tool = self.tool
            if tool is not None:
                self._tool_press(tool, event)
            else:
                self._begin_drag(DRAGS.get(self._session.tool, DRAGS["window"]), event)
        elif button is Qt.MouseButton.MiddleButton:
            self._begin_drag(pan, event)
        elif button is Qt.MouseButton.RightButton:
            self._begin_drag(zoom, event)

    def move(self, event: QMouseEvent) -> None:
        """Drags and tools go on; else Shift moves the crosshair along."""
        if self._drag is not None:
            drag = self._drag
            if _ended(lambda: drag.send(_pointer_of(event))):
                self._drag = None
        elif self._story is not None:
            self._send(self._plane_position(Kind.MOVE, event))
        elif (
            event.modifiers() & Qt.KeyboardModifier.ShiftModifier
            and not event.buttons()
            and not self._session.annotating
        ):
            self._view.crosshair_to(event.position().x(), event.position().y())

    def release(self, event: QMouseEvent) -> None:
        """The story's end, or a menu after a right click that did not move."""
        press, self._press = self._press, None
        if self._drag is not None and event.button() is self._drag_button:
            drag, self._drag = self._drag, None
            _ended(lambda: drag.send(_pointer_of(event, released=True)))
            drag.close()
            if event.button() is Qt.MouseButton.RightButton and press is not None:
                near = (event.position() - press[0]).manhattanLength() < CLICK_PX
                if near and time.monotonic() - press[1] < RIGHT_CLICK_S:
                    self._right_click(event)
        elif self._story is not None and event.button() is Qt.MouseButton.LeftButton:
            self._send(self._plane_position(Kind.RELEASE, event))

    def double_click(self, event: QMouseEvent) -> bool:
        """A running shape ends; True where the click means the view itself."""
        if self._story is not None:
            self._send(self._plane_position(Kind.DOUBLE, event))
            return False
        if event.button() is Qt.MouseButton.LeftButton and self.tool is None:
            return True
        self._view.mousePressEvent(event)
        return False

    def key(self, key: str, where: QPointF) -> bool:
        """Give a key ("Return", "Backspace") to a story that is still alive; True if there was one."""
        if self._story is None:
            return False
        view = self._view
        row, column = view.placing.to_picture(where.x(), where.y())
        index = view.index_at(where.x(), where.y())
        grid = None if view.volume is None else view.volume.grid
        point = None if grid is None else grid.index_to_lps(index)
        self._send(PlanePosition(Kind.KEY, view.position, row, column, index, point, key=key))
        return True

    # -- stories and drags -----------------------------------------------------------------------------------------

    def close(self) -> bool:
        """End a running tool or drag as Esc does; True if there was one."""
        had = self._story is not None or self._drag is not None
        story, self._story = self._story, None
        drag, self._drag = self._drag, None
        if story is not None:
            story.close()
        if drag is not None:
            drag.close()
        return had

    def close_story(self) -> None:
        """End a running tool, if there is one; a drag goes on."""
        if self._story is not None:
            self.close()

    def leave_other_cut(self) -> None:
        """A story belongs to the cut that it began on."""
        if self._view.position != self._story_position:
            self.close_story()

    def _begin_drag(self, make: Callable[[PlaneViewport, Pointer], Drag], event: QMouseEvent) -> None:
        drag = make(self._view, _pointer_of(event))
        self._drag, self._drag_button = drag, event.button()
        if _ended(lambda: next(drag)):
            self._drag = None

    def _tool_press(self, tool: Tool, event: QMouseEvent) -> None:
        if self._story is not None:
            self._send(self._plane_position(Kind.PRESS, event))
            return
        if look_of(tool).colour_is_ai:
            self._view.crosshair_to(event.position().x(), event.position().y())  # all planes show what is asked about
        self._begin_story(tool, self._plane_position(Kind.PRESS, event))

    def _right_click(self, event: QMouseEvent) -> None:
        tool = self.tool
        if tool is not None and look_of(tool).colour_is_ai:
            self._begin_story(tool, self._plane_position(Kind.PRESS, event, right=True))
            self._send(self._plane_position(Kind.RELEASE, event, right=True))
            return
        self._view.menu_wanted.emit(event.globalPosition().toPoint())

    def _begin_story(self, tool: Tool, position: PlanePosition) -> None:
        story = tool(self._view, position)
        self._story, self._story_position = story, self._view.position
        self._guarded(lambda: next(story))

    def _send(self, position: PlanePosition) -> None:
        story = self._story
        if story is not None:
            self._guarded(lambda: story.send(position))

    def _guarded(self, step: Callable[[], object]) -> None:
        """One step of the story; if it ends or fails, there is no story any more."""
        story = self._story
        try:
            step()
        except StopIteration:
            if self._story is story:
                self._story = None
        except Exception:
            if self._story is story:
                self._story = None
            raise

    def _plane_position(self, kind: Kind, event: QMouseEvent, *, right: bool = False) -> PlanePosition:
        view, where, held = self._view, event.position(), event.modifiers()
        row, column = view.placing.to_picture(where.x(), where.y())
        index = view.index_at(where.x(), where.y())
        grid = None if view.volume is None else view.volume.grid
        return PlanePosition(
            kind=kind,
            position=view.position,
            row=row,
            column=column,
            index_kji=index,
            point_lps=None if grid is None else grid.index_to_lps(index),
            control=bool(held & Qt.KeyboardModifier.ControlModifier),
            shift=bool(held & Qt.KeyboardModifier.ShiftModifier),
            alt=bool(held & Qt.KeyboardModifier.AltModifier),
            right=right,
        )


def _pointer_of(event: QMouseEvent, released: bool = False) -> Pointer:
    held = event.modifiers()
    return Pointer(
        event.position().x(),
        event.position().y(),
        shift=bool(held & Qt.KeyboardModifier.ShiftModifier),
        control=bool(held & Qt.KeyboardModifier.ControlModifier),
        released=released,
    )


def _ended(step: Callable[[], object]) -> bool:
    """Do one step of a drag; True if the drag is over."""
    try:
        step()
    except StopIteration:
        return True
    return False

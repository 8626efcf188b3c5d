"""What dragging does while reading: each tool is one generator, press, moves, release, in reading order.

A story gets `Pointer`s in screen pixels; it ends with the release or when Esc closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medviewer.desktop.presets import drag_gain, dragged

if TYPE_CHECKING:
    from medviewer.desktop.viewport.plane_view import PlaneViewport

#: Zoom for a wheel detent, and for a pixel of dragging.
WHEEL_ZOOM = 1.15
DRAG_ZOOM = 1.008

#: A press that moved less than this is a click.
CLICK_PX = 4.0

#: Pixels of dragging for one slice at least (fewer where the stack has many slices).
SCROLL_PX = 8.0


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the pointer is: logical pixels of the view, modifiers, and whether the button was let go."""

    x: float
    y: float
    shift: bool = False
    control: bool = False
    released: bool = False


Drag = Generator[None, Pointer, None]


def window_level(view: PlaneViewport, press: Pointer) -> Drag:
    """To the right wider, upwards a higher level; Shift four times as fast, Ctrl as fine. A click: the crosshair."""
    volume = view.volume
    if volume is None:
        return
    gain = drag_gain(volume)
    is_integer = volume.is_whole
    last, moving = press, False
    before, followed = view.session.window, view.session.window_by_frame
    finished = False
    try:
        while True:
            now = yield
            moving = moving or abs(now.x - press.x) + abs(now.y - press.y) >= CLICK_PX
            if moving and (now.x != last.x or now.y != last.y):
                factor = 4.0 if now.shift else 0.25 if now.control else 1.0
                move = (now.x - last.x, last.y - now.y)
                view.session.set_window(dragged(view.session.window, move, gain, is_integer=is_integer, factor=factor))
                last = now
            if now.released:
                if not moving:
                    view.crosshair_to(now.x, now.y)
                finished = True
                return
    finally:
        if not finished and view.session.window != before:
            view.session.set_window(before)
            if followed:
                view.session.follow_frame_windows()


def pan(view: PlaneViewport, press: Pointer) -> Drag:
    """The picture follows the hand."""
    last = press
    while not last.released:
        now = yield
        view.set_placing(view.placing.panned(now.x - last.x, now.y - last.y))
        last = now


def zoom(view: PlaneViewport, press: Pointer) -> Drag:
    """Upwards larger, about the point of the press."""
    last = press
    while not last.released:
        now = yield
        view.set_placing(view.placing.zoomed(DRAG_ZOOM ** (last.y - now.y), press.x, press.y))
        last = now


def scroll(view: PlaneViewport, press: Pointer) -> Drag:
    """Downwards later slices; the height of the view is the whole stack, but a slice takes no more than some pixels."""
    volume = view.volume
    if volume is None:
        return
    total = view.axes.count(volume.size_kji)
    pixels = max(1.0, min(SCROLL_PX, view.height() / max(1, total)))
    start = view.position
    while True:
        now = yield
        wanted = start + round((now.y - press.y) / pixels)
        view.session.scroll(view.axes, wanted - view.position)
        if now.released:
            return


#: The tools of read mode.
DRAGS: dict[str, Callable[[PlaneViewport, Pointer], Drag]] = {
    "window": window_level,
    "pan": pan,
    "zoom": zoom,
    "scroll": scroll,
}

"""The wheel over a view: a detent is a slice; with Ctrl it zooms, with Shift ten slices or the brush, with Alt time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QWheelEvent

from medviewer.desktop.viewport.drags import WHEEL_ZOOM

if TYPE_CHECKING:
    from medviewer.desktop.viewport.plane_view import PlaneViewport

#: Units of angle for one slice, and pixels of a touchpad.
WHEEL_UNITS, TOUCHPAD_PX = 120, 24

#: Slices of a detent with Shift, and opacity of a detent with Alt.
PAGE, OPACITY = 10, 0.05


class Wheel:
    """Adds up what fine wheels and touchpads send in parts of a detent."""

    def __init__(self) -> None:
        self._turned = 0.0

    def take(self, event: QWheelEvent) -> float:
        """All detents so far, parts included; away from the hand is positive. Qt turns Alt+wheel into x."""
        pixels, angle = event.pixelDelta(), event.angleDelta()
        if not pixels.isNull() and event.phase() is not Qt.ScrollPhase.NoScrollPhase:
            self._turned += (pixels.x() + pixels.y()) / TOUCHPAD_PX
        else:
            self._turned += (angle.x() + angle.y()) / WHEEL_UNITS
        return self._turned

    def keep(self, rest: float) -> None:
        """What has not been used."""
        self._turned = rest


def turn(view: PlaneViewport, wheel: Wheel, event: QWheelEvent) -> None:
    """Do what the wheel asks of a view; the momentum after the fingers have left is dropped."""
    if event.phase() is Qt.ScrollPhase.ScrollMomentum:
        return
    turned, held = wheel.take(event), event.modifiers()
    session, actions = view.session, view.services.actions
    if held & Qt.KeyboardModifier.ControlModifier:
        wheel.keep(0.0)
        where = event.position()
        view.set_placing(view.placing.zoomed(WHEEL_ZOOM**turned, where.x(), where.y()))
        return
    steps = int(turned)
    wheel.keep(turned - steps)
    if not steps:
        return
    if held & Qt.KeyboardModifier.ShiftModifier:
        if session.annotating:
            actions.do("brush-larger" if steps > 0 else "brush-smaller")
        else:
            session.scroll(view.axes, -PAGE * steps)
    elif held & Qt.KeyboardModifier.AltModifier:
        if actions.can("next-time"):
            actions.do("previous-time" if steps > 0 else "next-time")
        else:
            session.set_overlay(opacity=session.overlay_opacity + OPACITY * steps)
    else:
        session.scroll(view.axes, -steps)

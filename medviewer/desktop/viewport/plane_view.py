"""One view: a cut through the volume with its overlays, drawn by QPainter; `hand` is the pointer in it.

Three layers are kept apart so that each change costs only its own work: the scaled grey picture (made anew for another
slice, window or zoom), the overlay of the cut (only the touched rectangle is coloured again), and lines and text,
drawn last. All of it happens in `paintEvent`, so that events that come faster than the screen are merged by Qt.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QEnterEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.tool_protocol import Draft, Tool, look_of
from medviewer.desktop.viewport import drawing
from medviewer.desktop.viewport.base_picture import BasePicture, Wanted
from medviewer.desktop.viewport.grey import GreySource
from medviewer.desktop.viewport.hand import Hand
from medviewer.desktop.viewport.laid_layer import LaidLayer, draw_dose_legend
from medviewer.desktop.viewport.layers import OverlayLayer
from medviewer.desktop.viewport.marks_layer import MarksLayer
from medviewer.desktop.viewport.overlay import box_in_cut, screen_rectangle
from medviewer.desktop.viewport.placing import Placing
from medviewer.desktop.viewport.wheel import Wheel, turn
from medviewer.volume.plane import PlaneAxes, PlaneName, acquired_plane, plane_axes
from medviewer.volume.volume import Volume


class PlaneViewport(QWidget):
    """Shows one plane of the session's volume. Fulfils `tool_protocol.PlaneView`."""

    activated = Signal()
    double_clicked = Signal()
    menu_wanted = Signal(QPoint)

    def __init__(
        self,
        session: ReadingSession,
        services: Services,
        name: PlaneName,
        source: GreySource,
        tools: Mapping[str, Tool],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(QSize(80, 80))
        self.setAccessibleName(f"{name} view")
        self.name = name
        self.brief = False
        self.smooth = True
        self.show_text = True
        self.show_crosshair = True
        self.is_active = False
        self.notes: tuple[str, ...] = ()
        self._session, self._services = session, services
        self._source = source
        self._axes = acquired_plane()
        self._area: object = None
        self._placing: Placing | None = None
        self._base = BasePicture(source)
        self._overlay = OverlayLayer()
        self._marks = MarksLayer()
        self._laid = LaidLayer()
        self._draft: Draft | None = None
        self._pointer: QPointF | None = None
        self._hand = Hand(self, tools)
        self._wheel = Wheel()
        self._texts = drawing.TextCache()
        session.changed.connect(self._on_changes)
        self._take_volume()

    # -- what a tool sees ------------------------------------------------------------------------------------------

    @property
    def session(self) -> ReadingSession:
        """The reading session."""
        return self._session

    @property
    def services(self) -> Services:
        """Jobs, status line, actions."""
        return self._services

    @property
    def volume(self) -> Volume | None:
        """The shown volume."""
        return self._session.volume

    @property
    def axes(self) -> PlaneAxes:
        """Which array axis goes where on the screen."""
        return self._axes

    @property
    def position(self) -> int:
        """Index of the shown cut."""
        return self._session.position_of(self._axes)

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Size of a picture pixel in mm, downwards and to the right."""
        volume = self.volume
        if volume is None:
            return 1.0, 1.0
        if volume.grid is not None:
            return self._axes.pixel_mm(volume.grid)
        stack = self._session.stack
        if stack is not None and stack.spacing_kji is not None:
            return stack.spacing_kji[1], stack.spacing_kji[2]
        if stack is not None and stack.pixel_aspect is not None:
            return stack.pixel_aspect, 1.0
        return 1.0, 1.0

    def set_draft(self, draft: Draft | None) -> None:
        """Draw what the running tool would do, or nothing."""
        self._draft = draft
        self.update()

    # -- zoom and pan ----------------------------------------------------------------------------------------------

    @property
    def placing(self) -> Placing:
        """Zoom and pan; fitted where nobody has moved the picture yet."""
        if self._placing is not None:
            return self._placing
        return self._fitted()

    def _fitted(self) -> Placing:
        volume = self.volume
        picture = (1, 1) if volume is None else self._axes.picture_size(volume.size_kji)
        room = (max(1, self.width()), max(1, self.height()))
        presented = self._session.presented
        if presented is not None and self._axes.through == 0:
            screen_mm = 25.4 / max(1, self.physicalDpiX())
            whole = Placing.fitted(picture, self.pixel_mm, room)
            return presented.placing(whole, screen_mm, self.devicePixelRatioF())
        if not self.brief or volume is None:
            return Placing.fitted(picture, self.pixel_mm, room)
        _, row, column = self._axes.from_index(volume.size_kji, self._session.crosshair_kji)
        return Placing.filled(picture, self.pixel_mm, room, (row, column))

    def _keep_crosshair_in_sight(self) -> None:
        """A small view that was moved by hand follows a crosshair that left it."""
        if not self.brief or self._placing is None:
            return
        where = self.screen_of(self._session.crosshair_kji)
        if not self.rect().contains(where.toPoint()):
            self._placing = self._placing.panned(self.width() / 2 - where.x(), self.height() / 2 - where.y())

    def set_placing(self, placing: Placing | None) -> None:
        """Another zoom or pan; None fits the picture into the view."""
        self._placing = placing
        self.update()

    def one_to_one(self) -> None:
        """One picture pixel on one device pixel."""
        placing = self.placing
        factor = 1.0 / (placing.zoom * self.devicePixelRatioF())
        self.set_placing(placing.zoomed(factor, self.width() / 2, self.height() / 2))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep zoom and middle; a fitted picture stays fitted."""
        if self._placing is not None:
            self._placing = self._placing.resized(self.width(), self.height())

    # -- changes of the session ------------------------------------------------------------------------------------

    def set_plane(self, name: PlaneName) -> None:
        """Show another plane."""
        self.name = name
        self.setAccessibleName(f"{name} view")
        self._take_volume()

    def _take_volume(self) -> None:
        self.close_story()
        self._take_axes()

    def _take_presented(self) -> None:
        """Another presentation; where it shows the same part turned the same way, zoom and pan stay."""
        before, placing = (self._axes, self._area), self._placing
        self._take_axes()
        if before == (self._axes, self._area):
            self._placing = placing

    def _take_axes(self) -> None:
        """The plane's axes; a presentation state may turn the acquired one."""
        volume = self.volume
        self._axes = plane_axes(None if volume is None else volume.grid, self.name)
        presented = self._session.presented
        self._area = None
        if presented is not None and self._axes.through == 0:
            self._axes, self._area = presented.axes, presented.shown_part
        self._placing = None
        self._base.forget()
        self._overlay.forget()
        self.update()

    def _on_changes(self, changes: Changes) -> None:
        if changes.volume:
            self._take_volume()
            return
        if changes.slices is not None:
            self._source.forget_reduced()
            if self._axes.through != 0 or self.position in changes.slices:
                self._base.forget()
            self.update()
        if changes.crosshair:
            self._hand.leave_other_cut()
            self._keep_crosshair_in_sight()
            self.update()
        if changes.tool:
            self._hand.close_story()
            self._choose_cursor()
            self.update()
        if changes.presented:
            self._take_presented()
        if changes.marks or changes.laid:
            self.update()
        if changes.window or changes.segments or changes.proposal:
            self._overlay.stale(segments=changes.segments, proposal=changes.proposal)
            self.update()
        if changes.overlay is not None:
            self._recolour(changes.overlay)

    def _recolour(self, box: tuple[slice, slice, slice]) -> None:
        volume = self.volume
        if volume is None:
            return
        touched = box_in_cut(self._axes, volume.size_kji, box, self.position)
        if touched is None:
            return
        rows, columns = touched
        if self._overlay.recolour(rows, columns):
            placing = self.placing
            near = placing.to_screen(rows.start - 0.5, columns.start - 0.5)
            far = placing.to_screen(rows.stop - 0.5, columns.stop - 0.5)
            self.update(screen_rectangle(near, far))
        else:
            self.update()

    # -- painting --------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what is exposed; the scaled picture is made anew only where it changed."""
        painter = QPainter(self)
        try:
            self._paint(painter, event.rect())
        finally:  # a painter that outlives its event takes the process down
            painter.end()

    def _paint(self, painter: QPainter, exposed: QRect) -> None:
        volume = self.volume
        if volume is None or min(self.width(), self.height()) < 8:
            painter.fillRect(exposed, Qt.GlobalColor.black)
            return
        base = self._picture(volume)
        ratio = base.devicePixelRatio()
        source = QRectF(exposed.x() * ratio, exposed.y() * ratio, exposed.width() * ratio, exposed.height() * ratio)
        painter.drawPixmap(QRectF(exposed), base, source)
        placing = self.placing
        if self._session.overlay_visible:
            if self._session.laid:
                self._laid.draw(painter, self._session.laid, volume, self._axes, self.position, placing)
            self._overlay.draw(painter, self._session, self._axes, self.position, placing)
            if self._session.marks or self._session.key_slices or self._session.presented is not None:
                self._marks.draw(painter, self, self._texts)
        if self._draft is not None:
            drawing.draw_draft(painter, self._draft, placing, self._session)
        if self.show_crosshair:
            drawing.draw_crosshair(painter, self)
        if self.show_text:
            drawing.draw_texts(painter, self, self._texts, self.pointer_index())
            if self._session.overlay_visible and self._session.laid:
                draw_dose_legend(painter, self, self._texts)
        drawing.draw_frame(painter, self)
        drawing.draw_brush(painter, self, self._pointer)

    def _picture(self, volume: Volume) -> QPixmap:
        session = self._session
        presented = session.presented
        shown = volume if presented is None or self._axes.through != 0 else presented.volume
        self._source.use(shown, session.window, session.inverted)
        placing = self.placing.resized(max(1, self.width()), max(1, self.height()))
        ratio = self.devicePixelRatioF()
        return self._base.picture(
            Wanted(
                session.window,
                session.inverted,
                self._axes,
                self.position,
                placing,
                ratio,
                self.smooth,
                session.file_overlays_shown,
                session.shutter_shown,
            )
        )

    # -- pointer ---------------------------------------------------------------------------------------------------

    def pointer_index(self) -> tuple[int, int, int] | None:
        """The voxel under the pointer, or None outside the picture."""
        volume = self.volume
        if self._pointer is None or volume is None:
            return None
        index = self.index_at(self._pointer.x(), self._pointer.y())
        nearest = np.floor(index + 0.5).astype(int)
        if np.any(nearest < 0) or np.any(nearest >= volume.size_kji):
            return None
        k, j, i = nearest.tolist()
        return k, j, i

    def colour_at(self, index_kji: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        """Red, green and blue of a voxel of a colour picture whose frame has arrived."""
        frame = self._source.colour_frame
        stack = self._session.stack
        if index_kji is None or frame is None or stack is None or not stack.is_colour:
            return None
        k, j, i = index_kji
        picture = frame(k)
        if picture is None or j >= picture.shape[0] or i >= picture.shape[1]:
            return None
        red, green, blue = (int(sample) for sample in picture[j, i, :3])
        return red, green, blue

    def has_padding(self) -> bool:
        """True where the shown image has padding, which is drawn black."""
        volume = self.volume
        return volume is not None and self._axes.through == 0 and self._source.has_padding(volume, self.position)

    def hidden_parts(self) -> tuple[str, ...]:
        """What is switched off in the picture, in words: overlay planes, the shutter."""
        session, volume = self._session, self.volume
        if volume is None or self._axes.through != 0:
            return ()
        words: list[str] = []
        stack = session.stack
        if stack is not None and self.position < len(stack.frames):
            frame = stack.frames[self.position]
            if frame.overlays and not session.file_overlays_shown:
                words.append("overlay off")
            if frame.shutter is not None and not session.shutter_shown:
                words.append("shutter open")
        return tuple(words)

    def index_at(self, x: float, y: float) -> NDArray[np.float64]:
        """The (fractional) voxel index at a screen position."""
        volume = self.volume
        size = (1, 1, 1) if volume is None else volume.size_kji
        row, column = self.placing.to_picture(x, y)
        return self._axes.to_index(size, self.position, row, column)

    def crosshair_to(self, x: float, y: float) -> None:
        """Put the crosshair at a screen position: all linked views follow, this one stays where it is."""
        if self.brief and self._placing is None:
            self._placing = self.placing
        self._session.move_crosshair(self.index_at(x, y))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """The hand begins something."""
        self.activated.emit()
        self._hand.press(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """What the hand does goes on; the value under the pointer is shown."""
        self._move_pointer(event.position())
        self._hand.move(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """What the hand does ends."""
        self._hand.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """A running shape ends; else this view alone, or back."""
        if self._hand.double_click(event):
            self.double_clicked.emit()

    def close_story(self) -> bool:
        """End a running tool or drag as Esc does; True if there was one."""
        return self._hand.close()

    def send_key(self, key: str) -> bool:
        """Give a key ("Return", "Backspace") to a tool that runs; True if there was one."""
        where = self._pointer if self._pointer is not None else QPointF(self.width() / 2, self.height() / 2)
        return self._hand.key(key, where)

    def _move_pointer(self, where: QPointF | None) -> None:
        before, self._pointer = self._pointer, where
        if self.show_text:
            self.update(drawing.pointer_text_rectangle(self))
        radius = drawing.brush_radius(self)
        if radius is not None:
            for point in (before, where):
                if point is not None:
                    side = 2 * radius + 6
                    self.update(QRectF(point.x() - side / 2, point.y() - side / 2, side, side).toAlignedRect())

    def enterEvent(self, event: QEnterEvent) -> None:
        """The view under the pointer takes wheel and keys."""
        self.activated.emit()

    def leaveEvent(self, event: QEvent) -> None:
        """No value is shown for a pointer that is elsewhere."""
        self._move_pointer(None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Slices, zoom, brush, time: see `wheel`."""
        event.accept()
        if self.volume is not None:
            turn(self, self._wheel, event)

    # -- looks -----------------------------------------------------------------------------------------------------

    def set_active(self, active: bool) -> None:
        """Draw the frame of the view that takes keys."""
        if active != self.is_active:
            self.is_active = active
            self.update()

    def _choose_cursor(self) -> None:
        tool = self._hand.tool
        shapes = {
            "pan": Qt.CursorShape.OpenHandCursor,
            "zoom": Qt.CursorShape.SizeVerCursor,
            "scroll": Qt.CursorShape.SplitVCursor,
        }
        if tool is None:
            self.setCursor(shapes.get(self._session.tool, Qt.CursorShape.ArrowCursor))
        elif look_of(tool).cursor == "circle":
            self.setCursor(Qt.CursorShape.BlankCursor)
        else:
            self.setCursor(Qt.CursorShape.CrossCursor)

    def tool_look(self) -> str | None:
        """How the session's tool draws its cursor; None for the tools of read mode."""
        tool = self._hand.tool
        return None if tool is None else look_of(tool).cursor

    def screen_of(self, index_kji: NDArray[np.float64]) -> QPointF:
        """Screen position of a (fractional) voxel index."""
        volume = self.volume
        size = (1, 1, 1) if volume is None else volume.size_kji
        _, row, column = self._axes.from_index(size, index_kji)
        x, y = self.placing.to_screen(row, column)
        return QPointF(x, y)

    def closeEvent(self, event: QCloseEvent) -> None:
        """End what runs."""
        self.close_story()
        super().closeEvent(event)

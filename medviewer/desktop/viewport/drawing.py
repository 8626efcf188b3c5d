"""Lines, text and cursors over a picture: crosshair, corner text, letters, scale bar, frame, brush, draft."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QPen, QPixmap, QPolygonF, QTransform

from medviewer.desktop.overlays.laid import words_at
from medviewer.desktop.session import ReadingSession
from medviewer.desktop.theme import colour, ui_font
from medviewer.desktop.tool_protocol import Draft
from medviewer.desktop.viewport.corner_text import ViewState, corner_text, scale_bar
from medviewer.desktop.viewport.overlay import premultiplied
from medviewer.desktop.viewport.placing import Placing
from medviewer.formats.catalog import StackKind
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneName, edge_letters_of_text, nearest_plane, plane_axes
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.desktop.viewport.plane_view import PlaneViewport
    from medviewer.formats.catalog import Stack

#: Distance of text from the view's edge, and height of a line, in logical pixels.
MARGIN, LINE = 12, 16

#: Free space around the crosshair's centre.
GAP = 20

#: Narrower views write less.
NARROW = 320


class TextCache:
    """Lines of text with a dark outline, drawn once and kept as small pictures."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, int, bool, float], QPixmap] = {}

    def line(self, text: str, ink: QColor, points: int, bold: bool, ratio: float) -> QPixmap:
        """The picture of one line; its height is that of the font."""
        key = (text, ink.name(), points, bold, ratio)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        if len(self._kept) > 200:
            self._kept.clear()
        font = ui_font(points, bold)
        metrics = QFontMetrics(font)
        width, height = metrics.horizontalAdvance(text) + 4, metrics.height() + 2
        picture = QPixmap(round(width * ratio), round(height * ratio))
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setFont(font)
        base = metrics.ascent() + 1
        painter.setPen(QColor(0, 0, 0, 70))
        for dx, dy in ((-2, 0), (2, 0), (0, -2), (0, 2), (-2, -1), (2, -1), (-2, 1), (2, 1)):
            painter.drawText(QPointF(2 + dx, base + dy), text)
        painter.setPen(QColor(0, 0, 0, 220))
        for dx, dy in ((-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)):
            painter.drawText(QPointF(2 + dx, base + dy), text)
        painter.setPen(ink)
        painter.drawText(QPointF(2, base), text)
        painter.end()
        self._kept[key] = picture
        return picture


def transform_of(placing: Placing) -> QTransform:
    """From picture coordinates (pixel corners at integers) to the screen."""
    left, top = placing.to_screen(-0.5, -0.5)
    return QTransform.fromTranslate(left, top).scale(placing.scale * placing.column_mm, placing.scale * placing.row_mm)


def plane_colour(name: PlaneName) -> QColor:
    """The colour of an anatomical plane."""
    return colour(name.value) if name is not PlaneName.ACQUIRED else colour("accent")


def shown_plane(view: PlaneViewport) -> PlaneName:
    """The anatomical plane that a view shows; for the acquired plane the one that it is nearest to."""
    if view.axes.name is not PlaneName.ACQUIRED:
        return view.axes.name
    return nearest_plane(None if view.volume is None else view.volume.grid)


def draw_crosshair(painter: QPainter, view: PlaneViewport) -> None:
    """Two thin lines in the colours of the planes they stand for, with a gap at the centre."""
    volume = view.volume
    if volume is None or volume.grid is None or min(volume.size_kji) < 2:
        return
    centre = view.screen_of(view.session.crosshair_kji)
    x, y = round(centre.x()), round(centre.y())
    through = {
        plane_axes(volume.grid, name).through: name for name in (PlaneName.AXIAL, PlaneName.CORONAL, PlaneName.SAGITTAL)
    }
    vertical, horizontal = (plane_colour(through[axis]) for axis in (view.axes.right, view.axes.down))
    vertical.setAlphaF(0.6)
    horizontal.setAlphaF(0.6)
    painter.fillRect(QRect(x, 0, 1, y - GAP), vertical)  # a filled strip costs a tenth of a line
    painter.fillRect(QRect(x, y + GAP, 1, view.height() - y - GAP), vertical)
    painter.fillRect(QRect(0, y, x - GAP, 1), horizontal)
    painter.fillRect(QRect(x + GAP, y, view.width() - x - GAP, 1), horizontal)


def pointer_text_rectangle(view: PlaneViewport) -> QRect:
    """Where the text about the pointer stands."""
    return QRect(0, view.height() - MARGIN - 4 * LINE, max(60, int(view.width() * 0.7)), MARGIN + 4 * LINE)


def draw_texts(
    painter: QPainter, view: PlaneViewport, cache: TextCache, pointer_kji: tuple[int, int, int] | None
) -> None:
    """Corner text, orientation letters, plane name and scale bar."""
    volume, session = view.volume, view.session
    if volume is None:
        return
    ratio = view.devicePixelRatioF()
    width, height = view.width(), view.height()
    under = words_at(session, pointer_kji) if pointer_kji is not None and session.laid else ()
    state = ViewState(
        view.axes,
        view.position,
        session.window,
        view.placing.zoom,
        pointer_kji,
        under_pointer=under,
        notes=view.notes,
        colour=view.colour_at(pointer_kji),
        own_window=session.window_by_frame and session.window.explanation != "auto",
        hides=view.hidden_parts(),
        padding=view.has_padding(),
    )
    brief = view.brief or width < NARROW
    corners = corner_text(session.stack, volume, state, brief=brief)
    ink, dim, amber = QColor("#f2f4f7"), QColor("#c9d0d9"), colour("warn")

    def left(lines: tuple[str, ...], y: float, first: QColor) -> None:
        for n, line in enumerate(lines):
            painter.drawPixmap(
                QPointF(MARGIN - 2, y + n * LINE), cache.line(line, first if n == 0 else dim, 9, False, ratio)
            )

    def right(lines: tuple[str, ...], y: float, first: QColor, rest: QColor) -> None:
        for n, line in enumerate(lines):
            picture = cache.line(line, first if n == 0 else rest, 9, False, ratio)
            painter.drawPixmap(QPointF(width - MARGIN + 2 - picture.width() / ratio, y + n * LINE), picture)

    room = max(0, (height // 2 - 30) // LINE)
    top = MARGIN - 2
    if view.brief:
        name = shown_plane(view)
        known = volume.grid is None or volume.grid.oriented
        words = name.value.capitalize() if known else "orientation unknown"
        painter.drawPixmap(QPointF(MARGIN - 2, top), cache.line(words, plane_colour(name), 9, False, ratio))
    left(corners.top_left[:room], top, ink)
    right(corners.top_right[:room], top, ink, dim)
    used = min(len(corners.top_right), room)
    right(corners.badges, top + used * LINE, amber, amber)
    right(corners.quiet, top + (used + len(corners.badges)) * LINE, dim, dim)
    bottom_left = corners.bottom_left[:room]
    left(bottom_left, height - MARGIN - len(bottom_left) * LINE, ink)
    bottom_right = corners.bottom_right[:room]
    right(bottom_right, height - MARGIN - len(bottom_right) * LINE, ink, dim)
    _draw_letters(painter, view, cache, ratio)
    widest = max((cache.line(t, dim, 9, False, ratio).width() / ratio for t in bottom_right), default=0.0)
    text_top = height - MARGIN - max(len(bottom_left), len(bottom_right)) * LINE
    _draw_scale_bar(painter, view, cache, ratio, (width - MARGIN - widest, text_top))
    if view.axes.through == 0 and not bool(volume.loaded[view.position]):
        waiting = cache.line("Reading this slice…", dim, 10, False, ratio)
        painter.drawPixmap(QPointF((width - waiting.width() / ratio) / 2, height / 2 - LINE), waiting)


def directions_of(stack: Stack | None, volume: Volume | None) -> Grid | None:
    """A grid for letters: the volume's; where gaps keep it from having one, the direction that all its images share."""
    if volume is None or volume.grid is not None:
        return None if volume is None else volume.grid
    if stack is None or stack.direction is None or stack.kind not in (StackKind.VOLUME, StackKind.FOUR_D):
        return None
    return Grid(volume.size_kji, (1.0, 1.0, 1.0), stack.direction, (0.0, 0.0, 0.0))


def _draw_letters(painter: QPainter, view: PlaneViewport, cache: TextCache, ratio: float) -> None:
    volume = view.volume
    grid = directions_of(view.session.stack, volume)
    letters = view.axes.edge_letters(grid)
    if grid is None and view.session.stack is not None and view.axes.through == 0:
        letters = edge_letters_of_text(view.session.stack.text.patient_orientation)
    width, height = view.width(), view.height()
    for letter, side in zip(letters, ("top", "right", "bottom", "left"), strict=True):
        if not letter:
            continue
        picture = cache.line(letter, QColor("#f2f4f7"), 12, True, ratio)
        w, h = picture.width() / ratio, picture.height() / ratio
        x = {"left": 8.0, "right": width - 8 - w}.get(side, (width - w) / 2)
        y = {"top": 6.0, "bottom": height - 6 - h}.get(side, (height - h) / 2)
        painter.drawPixmap(QPointF(x, y), picture)


def _draw_scale_bar(
    painter: QPainter, view: PlaneViewport, cache: TextCache, ratio: float, free: tuple[float, float]
) -> None:
    volume = view.volume
    if volume is None or view.brief:
        return
    width, height = view.width(), view.height()
    known = volume.grid is not None or (view.session.stack is not None and view.session.stack.spacing_kji is not None)
    if not known:
        picture = cache.line("no calibration", colour("warn"), 9, False, ratio)
        painter.drawPixmap(QPointF((width - picture.width() / ratio) / 2, height - 30 - LINE), picture)
        return
    free_to, text_top = free
    bar = scale_bar(view.placing.scale, min(width, height))
    if bar is None:
        return
    length = bar[0] * view.placing.scale
    words = "" if view.session.stack is None else view.session.stack.text.calibration
    label = cache.line(f"{bar[1]} ({words})" if words else bar[1], QColor("#f2f4f7"), 9, False, ratio)
    room = length + 6 + label.width() / ratio
    if width / 2 + 28 + room + 12 <= free_to:  # beside the letter at the bottom, where the corner text leaves room
        right, y = width / 2 + 28 + length, height - 20.0
    else:
        right, y = (width - room) / 2 + length, text_top - 12.0
    left, long = round(right - length), round(length)
    for ink, grow in ((QColor(0, 0, 0, 200), 1), (QColor("#f2f4f7"), 0)):
        for bar_part in (
            QRect(left, round(y), long, 1),
            QRect(left, round(y) - 4, 1, 9),
            QRect(left + long, round(y) - 4, 1, 9),
        ):
            painter.fillRect(bar_part.adjusted(-grow, -grow, grow, grow), ink)
    painter.drawPixmap(QPointF(right + 6, y - label.height() / ratio / 2), label)


def draw_frame(painter: QPainter, view: PlaneViewport) -> None:
    """The frame of the view that takes wheel and keys, in its plane's colour."""
    if view.is_active:
        ink, width, height = plane_colour(shown_plane(view)), view.width(), view.height()
        for strip in ((0, 0, width, 2), (0, height - 2, width, 2), (0, 0, 2, height), (width - 2, 0, 2, height)):
            painter.fillRect(QRect(*strip), ink)


def brush_radius(view: PlaneViewport) -> float | None:
    """Radius of the brush on the screen in logical pixels; None where the tool has no brush."""
    if view.volume is None or view.tool_look() != "circle":
        return None
    return view.session.brush_diameter_mm / 2 * view.placing.scale


def draw_brush(painter: QPainter, view: PlaneViewport, pointer: QPointF | None) -> None:
    """The brush in its true size in the patient."""
    radius = brush_radius(view)
    if radius is None or pointer is None:
        return
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for ink, thick in ((QColor(0, 0, 0, 160), 2.6), (_active_colour(view.session), 1.4)):
        painter.setPen(QPen(ink, thick))
        painter.drawEllipse(pointer, radius, radius)


def _active_colour(session: ReadingSession) -> QColor:
    segmentation = session.segmentation
    segment = None if segmentation is None else segmentation.segments.get(session.active_segment)
    return colour("accent") if segment is None else QColor(*segment.colour)


def draw_draft(painter: QPainter, draft: Draft, placing: Placing, session: ReadingSession) -> None:
    """What a running tool would do: its mask as a light fill, its line on top."""
    ink = _active_colour(session) if draft.colour is None else QColor(*draft.colour)
    painter.save()
    painter.setTransform(transform_of(placing), True)
    if draft.mask is not None and draft.mask.size:
        rgb = (255, 255, 255) if draft.erases else (ink.red(), ink.green(), ink.blue())
        value = premultiplied(rgb, 0.22 if draft.erases else max(0.3, session.overlay_opacity))
        argb = np.where(draft.mask, np.uint32(value), np.uint32(0)).astype(np.uint32)
        rows, columns = argb.shape
        image = QImage(argb.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32_Premultiplied)
        painter.drawImage(QRectF(draft.start[1], draft.start[0], columns, rows), image)
    if len(draft.line) > 0:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        pen = QPen(ink, 1.6)
        pen.setCosmetic(True)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        points = QPolygonF([QPointF(column + 0.5, row + 0.5) for row, column in draft.line])
        if draft.closed:
            painter.drawPolygon(points)
        else:
            painter.drawPolyline(points)
    painter.restore()

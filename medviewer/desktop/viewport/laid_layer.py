"""Objects of files over the picture: masks as fill and outline, contours as given, a dose as a colour wash.

Everything is made for the cut that is shown and kept until another cut, object or colour is wanted. Contours that lie
in the cut are drawn as they are; those that cross it are drawn as the lines in which they meet it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen

from medviewer.desktop.overlays.laid import DOSE_FROM, DOSE_STEPS, LaidObject, dose_colours
from medviewer.desktop.viewport.level_lines import level_lines, mask_lines, path_of_pieces
from medviewer.desktop.viewport.overlay import crop_in_cut, path_of
from medviewer.desktop.viewport.placing import Placing
from medviewer.formats.contours import FLAT, LaidContours
from medviewer.formats.dicom.objects.dose import Dose
from medviewer.formats.dose_cut import dose_in_cut
from medviewer.formats.laid import INSIDE, LaidSegments
from medviewer.volume.plane import PlaneAxes
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.desktop.viewport.drawing import TextCache
    from medviewer.desktop.viewport.plane_view import PlaneViewport

#: Width of outlines in logical pixels.
OUTLINE = 1.6

Float = NDArray[np.float64]


@dataclass(slots=True)
class _Fill:
    """A coloured picture and where its corner lies (row, column)."""

    image: QImage
    corner: tuple[int, int]
    smooth: bool = False


@dataclass(slots=True)
class _Stroke:
    path: QPainterPath
    colour: QColor


class LaidLayer:
    """Keeps what the session's objects look like in one view's cut."""

    def __init__(self) -> None:
        self._objects: tuple[LaidObject, ...] = ()
        self._key: object = None
        self._fills: list[_Fill] = []
        self._strokes: list[_Stroke] = []

    def draw(
        self,
        painter: QPainter,
        objects: tuple[LaidObject, ...],
        volume: Volume,
        axes: PlaneAxes,
        position: int,
        placing: Placing,
    ) -> None:
        """Draw all objects in a cut."""
        key = (axes, position, volume.size_kji)
        if objects is not self._objects or key != self._key:
            self._objects, self._key, self._fills, self._strokes = objects, key, [], []
            ordered = sorted(objects, key=lambda o: not isinstance(o.overlay.content, Dose))  # doses lie lowest
            for laid in ordered:
                self._make(laid, volume, axes, position)
        painter.save()
        painter.translate(*placing.to_screen(-0.5, -0.5))
        painter.scale(placing.scale * placing.column_mm, placing.scale * placing.row_mm)
        for fill in self._fills:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, fill.smooth)
            row, column = fill.corner
            painter.drawImage(QRectF(column, row, fill.image.width(), fill.image.height()), fill.image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for stroke in self._strokes:
            painter.strokePath(stroke.path, _pen(stroke.colour))
        painter.restore()

    def _make(self, laid: LaidObject, volume: Volume, axes: PlaneAxes, position: int) -> None:
        content = laid.overlay.content
        if isinstance(content, LaidSegments):
            self._masks(laid, content, axes, position)
        elif isinstance(content, LaidContours):
            for n, lines in enumerate(content.lines):
                if n not in laid.hidden:
                    within, across = contour_paths(lines, volume.size_kji, axes, position)
                    ink, faint = QColor(*laid.parts[n].colour), QColor(*laid.parts[n].colour)
                    faint.setAlphaF(min(1.0, 1.6 * laid.opacity))
                    self._strokes += [_Stroke(p, c) for p, c in ((across, faint), (within, ink)) if not p.isEmpty()]
        elif laid.space is not None and not laid.hidden:
            values = dose_in_cut(content, laid.space, axes, position)
            self._fills.append(_Fill(_dose_image(values, content.largest, laid.opacity), (0, 0), smooth=True))
            if laid.isodoses:
                self._strokes += _isodoses(values, content.largest)

    def _masks(self, laid: LaidObject, content: LaidSegments, axes: PlaneAxes, position: int) -> None:
        for n, segment in enumerate(content.segments):
            if n in laid.hidden or segment.is_empty:
                continue
            found = crop_in_cut(axes, content.size_kji, segment.start_kji, segment.shares, position)
            if found is None or not found[0].any():
                continue
            shares, corner = found[0].astype(np.uint8), found[1]
            rgb = laid.parts[n].colour
            graded = content.kind == "fractional"
            table = _share_table(rgb, laid.opacity * (1.6 if graded else 1.0))
            self._fills.append(_Fill(_image(shares, table), corner))
            mask = shares >= INSIDE
            if mask.any():
                self._strokes.append(_Stroke(path_of_pieces(mask_lines(mask, corner)), QColor(*rgb)))


def _pen(ink: QColor) -> QPen:
    pen = QPen(ink, OUTLINE)
    pen.setCosmetic(True)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    return pen


def _image(levels: NDArray[np.uint8], table: NDArray[np.uint32]) -> QImage:
    """A picture whose colours (premultiplied) stand in a table of 256."""
    words = table[levels]
    rows, columns = words.shape
    return QImage(words.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32_Premultiplied).copy()


def _table(alphas: Float, colours: Float) -> NDArray[np.uint32]:
    """Premultiplied colours of 256 alphas (0 to 1) and RGB (0 to 255) `[256, 3]`."""
    words = np.rint(alphas * 255).astype(np.uint32) << np.uint32(24)
    for channel, shift in ((0, 16), (1, 8), (2, 0)):
        words |= np.rint(alphas * colours[:, channel]).astype(np.uint32) << np.uint32(shift)
    return words


@lru_cache(maxsize=256)
def _share_table(rgb: tuple[int, int, int], opacity: float) -> NDArray[np.uint32]:
    """Colours of shares: the more of a voxel is inside, the more it is covered."""
    alphas = np.arange(256) / 255 * min(opacity, 1.0)
    return _table(alphas, np.broadcast_to(np.asarray(rgb, dtype=np.float64), (256, 3)))


def _dose_image(values: NDArray[np.float32], largest: float, opacity: float) -> QImage:
    """Colours of a dose; nothing below `DOSE_FROM` of the largest and outside the grid."""
    levels = np.fmax(values * np.float32(255 / largest if largest > 0 else 0), np.float32(0))  # NaN becomes 0
    alphas = np.where(np.arange(256) >= 255 * DOSE_FROM, opacity, 0.0)
    table = _table(alphas, dose_colours().astype(np.float64))
    return _image(np.minimum(levels, np.float32(255)).astype(np.uint8), table)


def _isodoses(values: NDArray[np.float32], largest: float) -> list[_Stroke]:
    """Lines of equal dose in their colours of the scale, traced on every second pixel."""
    coarse = np.fmax(values[::2, ::2], np.float32(0))
    strokes = []
    for share in DOSE_STEPS:
        path = path_of_pieces(level_lines(coarse, share * largest) * 2)
        strokes.append(_Stroke(path, QColor(*dose_colours()[round(255 * share)].tolist())))
    return strokes


# -- contours ----------------------------------------------------------------------------------------------------------


def contour_paths(
    lines: tuple[tuple[str, Float], ...], size_kji: tuple[int, int, int], axes: PlaneAxes, position: int
) -> tuple[QPainterPath, QPainterPath]:
    """Contours that lie in a cut, and those that cross it, in picture coordinates (pixel corners at integers).

    A contour in a plane parallel to the cut lies in the slice nearest to it. One that crosses is drawn as the parts of
    the cut that it encloses, or the points where it passes.
    """
    within, across = QPainterPath(), QPainterPath()
    for kind, index in lines:
        depth = index[:, axes.through]
        low, high = float(depth.min()), float(depth.max())
        if high - low <= 2 * FLAT:
            if int(np.floor((low + high) / 2 + 0.5)) == position:
                _add_line(within, _picture(index, size_kji, axes), kind)
        elif low <= position <= high:
            _add_crossing(across, _picture(index, size_kji, axes), depth - position, kind)
    return within, across


def _picture(index: Float, size_kji: tuple[int, int, int], axes: PlaneAxes) -> Float:
    """(row, column) of indices in the picture, shape (n, 2)."""
    row, column = index[:, axes.down], index[:, axes.right]
    if axes.flip_down:
        row = size_kji[axes.down] - 1 - row
    if axes.flip_right:
        column = size_kji[axes.right] - 1 - column
    return np.stack([row, column], axis=1)


def _add_line(path: QPainterPath, points: Float, kind: str) -> None:
    if kind == "POINT":
        for row, column in points.tolist():
            _add_cross(path, row, column)
    else:
        path.addPath(path_of([points], closed=kind.startswith("CLOSED")))


def _add_cross(path: QPainterPath, row: float, column: float) -> None:
    for down, right in ((2.5, 0.0), (0.0, 2.5)):
        path.moveTo(QPointF(column + 0.5 - right, row + 0.5 - down))
        path.lineTo(QPointF(column + 0.5 + right, row + 0.5 + down))


def _add_crossing(path: QPainterPath, points: Float, off: Float, kind: str) -> None:
    """Where a contour passes through the cut: a line between each pair of crossings inside a closed one."""
    closed = kind.startswith("CLOSED")
    ends, end_off = (np.roll(points, -1, axis=0), np.roll(off, -1)) if closed else (points[1:], off[1:])
    starts, start_off = (points, off) if closed else (points[:-1], off[:-1])
    crosses = (start_off > 0) != (end_off > 0)
    if not crosses.any():
        return
    share = (start_off[crosses] / (start_off[crosses] - end_off[crosses]))[:, None]
    at = starts[crosses] + share * (ends[crosses] - starts[crosses])
    if not closed or len(at) % 2:
        for row, column in at.tolist():
            _add_cross(path, row, column)
        return
    along = int(np.argmax(np.ptp(at, axis=0)))
    ordered = at[np.argsort(at[:, along])]
    for (row, column), (to_row, to_column) in zip(ordered[::2].tolist(), ordered[1::2].tolist(), strict=True):
        path.moveTo(QPointF(column + 0.5, row + 0.5))
        path.lineTo(QPointF(to_column + 0.5, to_row + 0.5))


# -- the legend of a dose ----------------------------------------------------------------------------------------------


def draw_dose_legend(painter: QPainter, view: PlaneViewport, cache: TextCache) -> None:
    """A scale of the dose at the right of a view, with its unit; the first dose that is shown."""
    shown = next((o for o in view.session.laid if isinstance(o.overlay.content, Dose) and not o.hidden), None)
    if shown is None or view.brief or view.height() < 320:
        return
    dose = shown.overlay.content
    assert isinstance(dose, Dose)
    ratio = view.devicePixelRatioF()
    height = min(180.0, view.height() * 0.35)
    left, top = view.width() - 46.0, (view.height() - height) / 2
    colours = dose_colours()[::-1]
    first = round(255 * DOSE_FROM)
    strip = np.zeros((256 - first, 1), dtype=np.uint32)
    for channel, shift in ((0, 16), (1, 8), (2, 0)):
        strip[:, 0] |= colours[: 256 - first, channel].astype(np.uint32) << shift
    strip |= np.uint32(0xFF000000)
    image = QImage(strip.data, 1, len(strip), 4, QImage.Format.Format_RGB32).copy()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    painter.fillRect(QRectF(left - 1, top - 1, 12, height + 2), QColor(0, 0, 0, 180))
    painter.drawImage(QRectF(left, top, 10, height), image)
    ink = QColor("#f2f4f7")
    for share in (1.0, *DOSE_STEPS):
        y = top + (1 - share) / (1 - DOSE_FROM) * height
        painter.fillRect(QRectF(left - 4, y - 0.5, 4, 1), ink)
        text = f"{share * dose.largest:.{1 if dose.largest >= 10 else 2}f}"
        label = cache.line(text, ink, 9, False, ratio)
        w, h = label.width() / ratio, label.height() / ratio
        painter.drawPixmap(QPointF(left - 7 - w, y - h / 2), label)
    unit = dose.unit or "no unit"
    for n, text in enumerate((f"Dose, {unit}", dose.summation)):
        title = cache.line(text, ink, 9, False, ratio) if text else None
        if title is not None:
            w, h = title.width() / ratio, title.height() / ratio
            painter.drawPixmap(QPointF(left + 12 - w, top - 8 - (2 - n) * h), title)

"""The lowest layer of a view: the grey (or coloured) cut, scaled to the screen and kept until something changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPixmap

from medviewer.desktop.viewport.file_graphics import FileGraphics
from medviewer.desktop.viewport.grey import GreySource, reduction
from medviewer.desktop.viewport.placing import Placing
from medviewer.volume.plane import PlaneAxes
from medviewer.volume.window import Window

#: Where picture pixels become larger than this on the screen they are drawn plain, so that one sees what was measured.
SMOOTH_UP_TO = 24.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that the picture depends on; two equal ones are the same picture.

    `ratio` is device pixels for a logical pixel; `overlays` and `shutter` say whether those of the file are drawn.
    """

    window: Window
    inverted: bool
    axes: PlaneAxes
    position: int
    placing: Placing
    ratio: float
    smooth: bool
    overlays: bool = True
    shutter: bool = True


class BasePicture:
    """Makes the picture when it is asked for and keeps the last one."""

    def __init__(self, source: GreySource) -> None:
        self._source = source
        self._graphics = FileGraphics()
        self._kept: QPixmap | None = None
        self._shows: Wanted | None = None

    def forget(self) -> None:
        """The voxels have changed."""
        self._shows = None

    def picture(self, wanted: Wanted) -> QPixmap:
        """The view-sized picture, black beside the cut."""
        if self._kept is not None and self._shows == wanted:
            return self._kept
        width, height, ratio = wanted.placing.width, wanted.placing.height, wanted.ratio
        size = QSize(max(1, round(width * ratio)), max(1, round(height * ratio)))
        if self._kept is None or self._kept.size() != size:
            self._kept = QPixmap(size)
        self._kept.setDevicePixelRatio(ratio)
        painter = QPainter(self._kept)
        try:
            painter.fillRect(QRectF(0, 0, width + 1, height + 1), Qt.GlobalColor.black)
            self._paint(painter, wanted)
        finally:
            painter.end()
        self._shows = wanted
        return self._kept

    def _paint(self, painter: QPainter, wanted: Wanted) -> None:
        placing = wanted.placing
        rgb = self._source.rgb(wanted.axes, wanted.position)
        if rgb is not None:
            rgb = np.ascontiguousarray(rgb)
            image = QImage(rgb.data, rgb.shape[1], rgb.shape[0], rgb.shape[1] * 3, QImage.Format.Format_RGB888)
            reduce = 1
        else:
            reduce = reduction(placing.scale * min(placing.row_mm, placing.column_mm) * wanted.ratio)
            grey = np.ascontiguousarray(self._source.cut(wanted.axes, wanted.position, reduce))
            rows, columns = grey.shape
            image = QImage(grey.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
            image = image.convertToFormat(QImage.Format.Format_RGB32)
        smooth = wanted.smooth and placing.zoom < SMOOTH_UP_TO and not _is_whole(placing, wanted.ratio)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        left, top, width, height = placing.rectangle()
        width *= image.width() * reduce / placing.columns
        height *= image.height() * reduce / placing.rows
        painter.drawImage(QRectF(left, top, width, height), image)
        graphics = self._source.graphics(wanted.axes, wanted.position)
        if graphics is not None:
            self._graphics.draw(painter, QRectF(*placing.rectangle()), graphics, wanted, placing.zoom * wanted.ratio)


def _is_whole(placing: Placing, ratio: float) -> bool:
    """True where one picture pixel is exactly one device pixel: nothing to smooth."""
    return abs(placing.zoom * ratio - 1.0) < 1e-6 and abs(placing.row_mm - placing.column_mm) < 1e-9

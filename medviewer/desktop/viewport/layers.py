"""The overlays of one view: the segmentation's cut and the proposal's cut, made when needed and kept until stale."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen

from medviewer.desktop.session import ReadingSession
from medviewer.desktop.theme import colour
from medviewer.desktop.viewport.contours import outlines
from medviewer.desktop.viewport.overlay import OverlayPicture, crop_in_cut, palette, path_of, premultiplied
from medviewer.desktop.viewport.placing import Placing
from medviewer.volume.plane import PlaneAxes

#: Width of outlines in logical pixels.
OUTLINE = 1.8

#: Fill of a proposal: it stays lighter than what somebody has accepted.
PROPOSAL_FILL = 0.16


class OverlayLayer:
    """Keeps what lies over the picture for the cut that is shown."""

    def __init__(self) -> None:
        self._key: object = None
        self._picture: OverlayPicture | None = None
        self._colours_stale = True
        self._proposal_key: object = None
        self._proposal: list[tuple[QImage, tuple[int, int], QPainterPath]] = []

    def forget(self) -> None:
        """Another volume."""
        self._key, self._picture = None, None
        self._proposal_key, self._proposal = None, []

    def stale(self, *, segments: bool, proposal: bool) -> None:
        """Colours or the proposal changed."""
        self._colours_stale = self._colours_stale or segments
        if proposal:
            self._proposal_key = None

    def recolour(self, rows: slice, columns: slice) -> bool:
        """Colour a changed rectangle of the kept cut; False where nothing is kept and all must be drawn."""
        if self._picture is None or self._colours_stale:
            return False
        self._picture.recolour(rows, columns)
        return True

    def draw(
        self, painter: QPainter, session: ReadingSession, axes: PlaneAxes, position: int, placing: Placing
    ) -> None:
        """Draw fills and outlines of the cut."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.translate(*placing.to_screen(-0.5, -0.5))
        painter.scale(placing.scale * placing.column_mm, placing.scale * placing.row_mm)
        self._draw_segments(painter, session, axes, position)
        self._draw_proposal(painter, session, axes, position)
        painter.restore()

    def _draw_segments(self, painter: QPainter, session: ReadingSession, axes: PlaneAxes, position: int) -> None:
        segmentation = session.segmentation
        if segmentation is None:
            self._picture = None
            return
        key = (id(segmentation), axes, position)
        if self._picture is None or self._key != key:
            self._picture = OverlayPicture(axes.cut(segmentation.labelmap, position))
            self._key, self._colours_stale = key, True
        colours = {number: segment.colour for number, segment in segmentation.segments.items()}
        if self._colours_stale:
            self._picture.recolour_all(palette(colours, session.hidden_segments, session.overlay_opacity))
            self._colours_stale = False
        if self._picture.is_empty:
            return
        image = self._picture.image()
        painter.drawImage(QRectF(0, 0, image.width(), image.height()), image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for number, path in self._picture.outlines():
            painter.strokePath(path, _pen(QColor(*colours.get(number, (255, 255, 255)))))

    def _draw_proposal(self, painter: QPainter, session: ReadingSession, axes: PlaneAxes, position: int) -> None:
        proposal, volume = session.proposal, session.volume
        if proposal is None or volume is None:
            self._proposal = []
            self._proposal_key = None
            return
        key = (id(proposal), axes, position)
        if self._proposal_key != key:
            self._proposal_key = key
            self._proposal = []
            violet = colour("ai")
            fill = premultiplied((violet.red(), violet.green(), violet.blue()), PROPOSAL_FILL)
            for segment in proposal.segments:
                found = crop_in_cut(axes, volume.size_kji, segment.start_kji, segment.mask, position)
                if found is None or not found[0].any():
                    continue
                mask, start = found[0] != 0, found[1]
                argb = np.where(mask, np.uint32(fill), np.uint32(0)).astype(np.uint32)
                rows, columns = argb.shape
                shared = QImage(argb.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32_Premultiplied)
                self._proposal.append((shared.copy(), start, path_of(outlines(mask, start))))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        pen = _pen(colour("ai"))
        pen.setDashPattern([3.2, 2.2])
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        for image, (row, column), path in self._proposal:
            painter.drawImage(QRectF(column, row, image.width(), image.height()), image)
            painter.strokePath(path, _halo())
            painter.strokePath(path, pen)


def _pen(ink: QColor) -> QPen:
    pen = QPen(ink, OUTLINE)
    pen.setCosmetic(True)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen


def _halo() -> QPen:
    """A thin dark line beneath the dashes, so that they are seen on bright tissue too."""
    return _pen(QColor(20, 10, 35, 110))

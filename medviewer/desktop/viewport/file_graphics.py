"""What a file itself lays over its picture: overlay planes in white with a dark rim, shutters in their own grey.

Drawn into the kept picture, so that it costs nothing while the pointer moves.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from medviewer.volume.overlay_plane import FrameGraphics

#: Premultiplied colours: graphics, their rim, regions.
_INK, _RIM, _REGION = 0xFFF2F4F7, 0x8C000000, 0x50393D40


class Shown(Protocol):
    """Which of the two are drawn."""

    @property
    def overlays(self) -> bool:
        """Overlay planes."""
        ...

    @property
    def shutter(self) -> bool:
        """Shutters."""
        ...


def draw_graphics(painter: QPainter, where: QRectF, graphics: FrameGraphics, shown: Shown, zoom: float) -> None:
    """Draw over a picture that fills `where`; below one device pixel a pixel (`zoom` < 1) lines are kept whole."""
    if shown.shutter and graphics.covered is not None and graphics.covered.any():
        level = round(255 * graphics.brightness)
        value = 0xFF000000 | level << 16 | level << 8 | level
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(where, _image(np.where(graphics.covered, np.uint32(value), np.uint32(0))))
    if not shown.overlays:
        return
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, zoom < 1)
    factor = max(1, int(1 / max(zoom, 1e-3)))
    if graphics.regions is not None:
        region = _kept(graphics.regions, factor)
        argb = np.where(region, np.uint32(_REGION), np.uint32(0))
        argb[region & ~_shrunk(region)] = _INK
        _draw(painter, where, argb, graphics.regions.shape, factor)
    if graphics.lines is not None:
        lines = _kept(graphics.lines, factor)
        argb = np.where(_grown(lines), np.uint32(_RIM), np.uint32(0))
        argb[lines] = _INK
        _draw(painter, where, argb, graphics.lines.shape, factor)


def _draw(painter: QPainter, where: QRectF, argb: NDArray[np.uint32], whole: tuple[int, ...], factor: int) -> None:
    rows, columns = argb.shape
    width, height = where.width() * columns * factor / whole[1], where.height() * rows * factor / whole[0]
    painter.drawImage(QRectF(where.left(), where.top(), width, height), _image(argb))


def _image(argb: NDArray[np.uint32]) -> QImage:
    argb = np.ascontiguousarray(argb, dtype=np.uint32)
    rows, columns = argb.shape
    return QImage(argb.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32_Premultiplied).copy()


def _kept(bits: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Blocks that have a bit: thin lines survive when the picture is made smaller."""
    if factor == 1:
        return bits
    rows, columns = (-(-n // factor) for n in bits.shape)
    padded = np.zeros((rows * factor, columns * factor), dtype=np.bool_)
    padded[: bits.shape[0], : bits.shape[1]] = bits
    some: NDArray[np.bool_] = np.asarray(padded.reshape(rows, factor, columns, factor).any(axis=(1, 3)))
    return some


def _grown(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bits and their eight neighbours."""
    rows, columns = bits.shape
    padded = np.pad(bits, 1)
    grown: NDArray[np.bool_] = np.zeros((rows, columns), dtype=np.bool_)
    for down in range(3):
        for right in range(3):
            np.logical_or(grown, padded[down : down + rows, right : right + columns], out=grown)
    return grown


def _shrunk(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bits whose eight neighbours are all set."""
    inner: NDArray[np.bool_] = np.logical_not(_grown(np.logical_not(bits)))
    return inner

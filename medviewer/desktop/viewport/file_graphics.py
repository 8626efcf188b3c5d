"""What a file itself lays over its picture: overlay planes in white with a dark rim, shutters in their own grey.

It is drawn into the kept picture, so that it costs nothing while the pointer moves; and the coloured image is kept too,
so that it costs little while the window is dragged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from medviewer.volume.overlay_plane import FrameGraphics

#: Premultiplied colours: graphics, their rim, regions.
_INK, _RIM, _REGION = 0xFFF2F4F7, 0x8C000000, 0x50393D40

#: Shutters up to so many pixels are kept as they are drawn; larger ones take less room and longer to draw.
_SMALL = 4_000_000


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


@dataclass(frozen=True, slots=True)
class _Part:
    """An image with its place in the picture: first row, first column, rows, columns, in picture pixels.

    `is_fine` says that it has thin lines, to be smoothed where they are drawn smaller.
    """

    image: QImage
    place: tuple[int, int, int, int]
    is_fine: bool = True


class FileGraphics:
    """Draws the graphics of a frame and keeps their coloured images until something else is to be drawn."""

    def __init__(self) -> None:
        self._graphics: FrameGraphics | None = None
        self._key: tuple[int, bool, bool] | None = None
        self._parts: list[_Part] = []

    def draw(self, painter: QPainter, where: QRectF, graphics: FrameGraphics, shown: Shown, zoom: float) -> None:
        """Draw over a picture that fills `where`.

        `zoom` is device pixels a picture pixel; where it is below one, thin lines are kept whole.
        """
        factor = max(1, int(1 / max(zoom, 1e-3)))
        key = factor, shown.overlays, shown.shutter
        if graphics is not self._graphics or key != self._key:
            self._graphics, self._key = graphics, key
            self._parts = list(_parts(graphics, factor, shown))
        sizes = [bits.shape for bits in (graphics.lines, graphics.regions, graphics.covered) if bits is not None]
        if not sizes:
            return
        down, right = where.height() / sizes[0][0], where.width() / sizes[0][1]
        for part in self._parts:
            is_cover = part.image.format() is QImage.Format.Format_Indexed8
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, zoom < 1 and not is_cover)
            row, column, rows, columns = part.place
            painter.drawImage(
                QRectF(where.left() + column * right, where.top() + row * down, columns * right, rows * down),
                part.image,
            )


def _parts(graphics: FrameGraphics, factor: int, shown: Shown) -> Iterator[_Part]:
    """Images of what is shown, in blocks of `factor` pixels: the shutter as it is, graphics no larger than they are."""
    if shown.shutter and graphics.covered is not None:
        level = round(255 * graphics.brightness)
        cover = np.ascontiguousarray(graphics.covered[::factor, ::factor]).view(np.uint8)
        rows, columns = cover.shape
        image = QImage(cover.data, columns, rows, columns, QImage.Format.Format_Indexed8)
        image.setColorTable([0, 0xFF000000 | level << 16 | level << 8 | level])
        is_small = cover.size <= _SMALL
        kept = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied) if is_small else image.copy()
        yield _Part(kept, (0, 0, rows * factor, columns * factor), is_fine=False)
    if not shown.overlays:
        return
    for bits, paint in ((graphics.regions, _region), (graphics.lines, _line)):
        box = None if bits is None else _box(bits, factor)
        if bits is not None and box is not None:
            row, column, row_end, column_end = box
            argb = paint(_kept(bits[row:row_end, column:column_end], factor))
            rows, columns = argb.shape
            image = QImage(argb.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32_Premultiplied)
            yield _Part(image.copy(), (row, column, rows * factor, columns * factor))


def _box(bits: NDArray[np.bool_], factor: int) -> tuple[int, int, int, int] | None:
    """First and last row and column (behind the last) around all bits, with room for a rim; None without a bit."""
    down = np.flatnonzero(bits.any(axis=1))
    if down.size == 0:
        return None
    right = np.flatnonzero(bits[down[0] : down[-1] + 1].any(axis=0))
    row, column = (max(0, int(edge) // factor - 1) * factor for edge in (down[0], right[0]))
    return row, column, int(down[-1]) + 1 + factor, int(right[-1]) + 1 + factor


def _line(line: NDArray[np.bool_]) -> NDArray[np.uint32]:
    argb = np.where(_grown(line), np.uint32(_RIM), np.uint32(0)).astype(np.uint32)
    argb[line] = _INK
    return argb


def _region(region: NDArray[np.bool_]) -> NDArray[np.uint32]:
    argb = np.where(region, np.uint32(_REGION), np.uint32(0)).astype(np.uint32)
    argb[region & _grown(~region)] = _INK
    return argb


def _kept(bits: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Blocks that have a bit: thin lines survive when the picture is made smaller."""
    if factor == 1:
        return bits
    rows, columns = (-(-n // factor) for n in bits.shape)
    kept: NDArray[np.bool_] = np.zeros((rows, columns), dtype=np.bool_)
    for down in range(factor):
        for right in range(factor):
            part = bits[down::factor, right::factor]
            kept[: part.shape[0], : part.shape[1]] |= part
    return kept


def _grown(bits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bits and their eight neighbours."""
    rows, columns = bits.shape
    padded = np.pad(bits, 1)
    grown: NDArray[np.bool_] = np.zeros((rows, columns), dtype=np.bool_)
    for down in range(3):
        for right in range(3):
            np.logical_or(grown, padded[down : down + rows, right : right + columns], out=grown)
    return grown

"""What lies over the picture: segments as fill and solid outline, a proposal as dashed violet outline.

An `OverlayPicture` belongs to one view and one cut. When voxels change only the touched rectangle is coloured again and
only the touched segments get new outlines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRect
from PySide6.QtGui import QImage, QPainterPath, QPolygonF

from medviewer.desktop.viewport.contours import Line, outlines
from medviewer.volume.plane import PlaneAxes

Rgb = tuple[int, int, int]


def palette(colours: Mapping[int, Rgb], hidden: Iterable[int], opacity: float) -> NDArray[np.uint32]:
    """256 premultiplied ARGB colours of labels; hidden segments and the background are clear."""
    table = np.zeros(256, dtype=np.uint32)
    for number in set(colours) - set(hidden) - {0}:
        table[number] = premultiplied(colours[number], opacity)
    return table


def premultiplied(rgb: Rgb, alpha: float) -> int:
    """0xAARRGGBB with the colour multiplied by alpha, as QImage's ARGB32_Premultiplied wants it."""
    red, green, blue = (round(channel * alpha) for channel in rgb)
    return round(255 * alpha) << 24 | red << 16 | green << 8 | blue


def path_of(lines: Iterable[Line], closed: bool = True) -> QPainterPath:
    """A path in picture coordinates: x = column + 0.5, y = row + 0.5 (Qt counts from the pixel's corner)."""
    path = QPainterPath()
    for line in lines:
        path.addPolygon(QPolygonF([QPointF(column + 0.5, row + 0.5) for row, column in line.tolist()]))
        if closed:
            path.closeSubpath()
    return path


def crop_in_cut(
    axes: PlaneAxes,
    size_kji: tuple[int, int, int],
    start_kji: tuple[int, int, int],
    crop: NDArray[np.generic],
    position: int,
) -> tuple[NDArray[np.generic], tuple[int, int]] | None:
    """The part of a box of voxels that lies in a cut, with the picture's (row, column) of its corner; None if none."""
    inside = position - start_kji[axes.through]
    if not 0 <= inside < crop.shape[axes.through]:
        return None
    part = axes.cut(crop, inside)
    row, column = start_kji[axes.down], start_kji[axes.right]
    if axes.flip_down:
        row = size_kji[axes.down] - row - crop.shape[axes.down]
    if axes.flip_right:
        column = size_kji[axes.right] - column - crop.shape[axes.right]
    return part, (row, column)


def box_in_cut(
    axes: PlaneAxes, size_kji: tuple[int, int, int], box: tuple[slice, slice, slice], position: int
) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that a box of voxels touches in a cut; None if it does not."""
    spans = [range(*part.indices(n)) for part, n in zip(box, size_kji, strict=True)]
    if position not in spans[axes.through] or not all(len(span) for span in spans):
        return None

    def picture(axis: int, flip: bool) -> slice:
        span, last = spans[axis], size_kji[axis] - 1
        return slice(last - span[-1], last - span[0] + 1) if flip else slice(span[0], span[-1] + 1)

    return picture(axes.down, axes.flip_down), picture(axes.right, axes.flip_right)


class OverlayPicture:
    """Fill and outlines of one cut of a label map."""

    def __init__(self, labels: NDArray[np.generic]) -> None:
        """Args: labels: the cut `[rows, columns]`, a view into the label map in screen orientation."""
        self._labels: NDArray[np.uint8] = labels.view(np.uint8)
        self._colours = np.zeros(256, dtype=np.uint32)
        self._argb: NDArray[np.uint32] = np.zeros(labels.shape, dtype=np.uint32)
        self._paths: dict[int, QPainterPath] = {}
        self._present: NDArray[np.bool_] = np.zeros(256, dtype=np.bool_)

    def recolour_all(self, colours: NDArray[np.uint32]) -> None:
        """Colour the whole cut with another palette and make all outlines anew."""
        self._colours = colours
        self._paths.clear()
        self._present = np.bincount(self._labels.ravel(), minlength=256) > 0
        if self._present[1:].any():
            np.take(colours, self._labels, out=self._argb, mode="clip")
        else:
            self._argb[:] = 0

    def recolour(self, rows: slice, columns: slice) -> None:
        """Colour a changed rectangle; outlines of the segments that are or were in it become stale."""
        before = self._present.copy()
        part = self._labels[rows, columns]
        self._argb[rows, columns] = self._colours[part]
        now = np.bincount(part.ravel(), minlength=256) > 0
        self._present = before | now
        self._paths.clear()

    @property
    def is_empty(self) -> bool:
        """True where no segment lies in the cut."""
        return not bool(self._present[1:].any())

    def image(self) -> QImage:
        """The fill, one pixel a voxel; it shares memory with this object."""
        rows, columns = self._labels.shape
        return QImage(self._argb.data, columns, rows, columns * 4, QImage.Format.Format_ARGB32_Premultiplied)

    def outlines(self) -> Iterable[tuple[int, QPainterPath]]:
        """Number and outline of each visible segment in the cut."""
        for number in np.flatnonzero(self._present).tolist():
            if number == 0 or not self._colours[number]:
                continue
            path = self._paths.get(number)
            if path is None:
                path = self._paths[number] = path_of(outlines(self._labels == number))
            yield number, path


def screen_rectangle(corner: tuple[float, float], far: tuple[float, float]) -> QRect:
    """The logical pixels between two screen corners, with a margin for outlines."""
    margin = 4
    left, top = int(min(corner[0], far[0])) - margin, int(min(corner[1], far[1])) - margin
    right, bottom = int(max(corner[0], far[0])) + margin, int(max(corner[1], far[1])) + margin
    return QRect(left, top, right - left + 1, bottom - top + 1)

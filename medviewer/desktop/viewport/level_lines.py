"""Lines of equal value through a picture, all at once: outlines of masks at one half, isodose lines.

Marching squares with linear interpolation (Lorensen and Cline 1987, in the plane). The pieces are not joined: a pen
with round ends draws them as one line, and thousands of them cost a millisecond.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QByteArray, QDataStream
from PySide6.QtGui import QPainterPath

from medviewer.desktop.viewport.contours import PIECES, corner_patterns

#: `PIECES` for masks, whose lines cross edges in their middles: `[pattern, first or second, end, (row, column)]`.
_MIDDLES = np.array([[0.0, 0.5], [0.5, 1.0], [1.0, 0.5], [0.5, 0.0]])
_HALVES = np.zeros((16, 2, 2, 2))
for _code, _edges in PIECES.items():
    for _n, _edge in enumerate(_edges):
        _HALVES[_code, _n] = _MIDDLES[list(_edge)]

Pieces = NDArray[np.float64]
AnyFloat = NDArray[np.float64] | np.float64


def level_lines(values: NDArray[np.float32], level: float) -> Pieces:
    """Straight pieces of the line on which a picture has a value.

    Args:
        values: `[rows, columns]` at pixel centres, finite.
        level: the value; pixels with it or more are inside.

    Returns:
        Pieces `[n, 2 ends, (row, column)]`, pixel centres at integers; none along the picture's border.
    """
    rows, columns, codes = _crossed((values >= level).view(np.uint8))
    corners = [values[rows + r, columns + c].astype(np.float64) for r, c in ((0, 0), (0, 1), (1, 1), (1, 0))]
    top_left, top_right, bottom_right, bottom_left = corners
    shares = (
        _crossing(top_left, top_right, level),
        _crossing(top_right, bottom_right, level),
        _crossing(bottom_left, bottom_right, level),
        _crossing(top_left, bottom_left, level),
    )
    return _pieces(rows, columns, codes, shares)


def mask_lines(mask: NDArray[np.bool_], corner: tuple[int, int]) -> Pieces:
    """The outline of a mask whose first pixel is the picture's `corner` (row, column)."""
    inside = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=np.uint8)
    inside[1:-1, 1:-1] = mask
    rows, columns, codes = _crossed(inside)
    base = np.stack([rows, columns], axis=1)[:, None] + (np.asarray(corner, dtype=np.float64) - 1)
    saddles = (codes == 5) | (codes == 10)
    return np.concatenate([base + _HALVES[codes, 0], base[saddles] + _HALVES[codes[saddles], 1]])


Index = NDArray[np.int64]


def _crossed(inside: NDArray[np.uint8]) -> tuple[Index, Index, NDArray[np.uint8]]:
    """Rows and columns of the cells between four pixels that are not all alike, and their patterns."""
    pattern = corner_patterns(inside)
    flat = np.flatnonzero((pattern != 0) & (pattern != 15))
    rows, columns = np.divmod(flat, np.int64(pattern.shape[1]))
    codes: NDArray[np.uint8] = pattern.ravel()[flat].astype(np.uint8)
    return rows, columns, codes


def _pieces(rows: Index, columns: Index, codes: NDArray[np.uint8], shares: tuple[AnyFloat, ...]) -> Pieces:
    """The pieces of some cells, whose edges are crossed after these shares of their lengths."""
    top, right, bottom, left = shares
    points = np.empty((rows.size, 4, 2))
    points[:, 0, 0], points[:, 0, 1] = rows, columns + top
    points[:, 1, 0], points[:, 1, 1] = rows + right, columns + 1
    points[:, 2, 0], points[:, 2, 1] = rows + 1, columns + bottom
    points[:, 3, 0], points[:, 3, 1] = rows + left, columns
    found = [np.zeros((0, 2, 2))]
    for code, pieces in PIECES.items():
        here = points[codes == code]
        if len(here):
            found += [here[:, piece] for piece in pieces]
    return np.concatenate(found)


def _crossing(first: NDArray[np.float64], second: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Share of the way from one corner to the next at which the level lies; one half where both are equal."""
    apart = second - first
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(apart == 0, 0.5, (level - first) / apart)
    return np.clip(share, 0.0, 1.0)


def path_of_pieces(pieces: Pieces) -> QPainterPath:
    """Pieces as a path in picture coordinates: x = column + 0.5, y = row + 0.5 (Qt counts from the pixel's corner).

    Written as Qt streams a path, since a call for each point would take a hundred times as long.
    """
    path = QPainterPath()
    if not len(pieces):
        return path
    points = np.empty(2 * len(pieces), dtype=[("kind", ">i4"), ("x", ">f8"), ("y", ">f8")])
    points["kind"] = np.tile([0, 1], len(pieces))  # move to, line to
    points["x"] = pieces[..., 1].ravel() + 0.5
    points["y"] = pieces[..., 0].ravel() + 0.5
    data = struct.pack(">i", len(points)) + points.tobytes() + struct.pack(">ii", 0, 0)
    QDataStream(QByteArray(data)) >> path
    return path

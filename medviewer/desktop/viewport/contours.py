"""Outlines of a mask as closed lines: marching squares at one half, so that corners are cut and no voxel is moved."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A closed line of (row, column) points in picture positions, voxel centres at integers, shape (n, 2).
Line = NDArray[np.float64]

#: The four cell edges: 0 top, 1 right, 2 bottom, 3 left. For each of the 16 corner patterns (bits: 1 top left, 2 top
#: right, 4 bottom right, 8 bottom left) the directed pieces (from edge, to edge). In the two saddles what is inside is
#: kept apart.
PIECES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((3, 0),), 2: ((0, 1),), 3: ((3, 1),), 4: ((1, 2),), 5: ((3, 0), (1, 2)), 6: ((0, 2),), 7: ((3, 2),),
    8: ((2, 3),), 9: ((2, 0),), 10: ((0, 1), (2, 3)), 11: ((2, 1),), 12: ((1, 3),), 13: ((1, 0),), 14: ((0, 3),),
}  # fmt: skip

# Twice the offset (row, column) of an edge's middle from the cell's top left corner.
_MIDDLE = ((0, 1), (1, 2), (2, 1), (1, 0))


def outlines(mask: NDArray[np.bool_], start: tuple[int, int] = (0, 0)) -> list[Line]:
    """Closed outlines of a 2-D mask; `start` is the picture position of `mask[0, 0]`.

    The line crosses half-way between a voxel inside and its neighbour outside; its last point is not its first again.
    """
    box = bounding_box(mask)
    if box is None:
        return []
    rows, columns = box
    inside = np.zeros((rows.stop - rows.start + 2, columns.stop - columns.start + 2), dtype=np.uint8)
    inside[1:-1, 1:-1] = mask[rows, columns]
    pattern = corner_patterns(inside)
    cells = np.argwhere((pattern != 0) & (pattern != 15))
    follow: dict[tuple[int, int], tuple[int, int]] = {}
    for (row, column), code in zip(cells.tolist(), pattern[cells[:, 0], cells[:, 1]].tolist(), strict=True):
        for begin, end in PIECES[code]:
            a, b = _MIDDLE[begin], _MIDDLE[end]
            follow[2 * row + a[0], 2 * column + a[1]] = (2 * row + b[0], 2 * column + b[1])
    offset = np.array([rows.start - 1 + start[0], columns.start - 1 + start[1]], dtype=np.float64)
    lines: list[Line] = []
    while follow:
        first, point = follow.popitem()
        line = [first]
        while point != first:
            line.append(point)
            point = follow.pop(point)
        lines.append(np.asarray(line, dtype=np.float64) / 2 + offset)
    return lines


def corner_patterns(inside: NDArray[np.uint8]) -> NDArray[np.integer[Any]]:
    """Which corners of each cell between four pixels are inside (1, else 0), as the bits of `PIECES`."""
    return inside[:-1, :-1] | inside[:-1, 1:] << 1 | inside[1:, 1:] << 2 | inside[1:, :-1] << 3


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns that hold the mask, or None where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return slice(top, bottom), slice(int(columns[0]), int(columns[-1]) + 1)

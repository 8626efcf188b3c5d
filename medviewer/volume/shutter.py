"""Display shutters: the part of a picture around the collimated field that is not shown (PS3.3 C.7.6.11).

Rows and columns count from 1 at the first pixel's centre, as in the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Shutter:
    """What stays open; several shapes: what lies in all of them.

    Attributes:
        rectangle: left, right, upper and lower edge (columns, columns, rows, rows); the edges are open.
        circle: row and column of the centre, radius in pixels along a row; or None.
        polygon: corners as (row, column), closed by itself; empty for none.
        brightness: how the closed part is drawn, 0 black to 1 white (Shutter Presentation Value / 65535).
    """

    rectangle: tuple[float, float, float, float] | None = None
    circle: tuple[float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] = ()
    brightness: float = 0.0


def closed(shutter: Shutter, rows: int, columns: int, pixel_aspect: float = 1.0) -> NDArray[np.bool_]:
    """Where a shutter covers a picture, [rows, columns].

    Args:
        shutter: which.
        rows, columns: of the picture.
        pixel_aspect: height of a pixel to its width, so that circles are round in the patient.
    """
    row = np.arange(1, rows + 1, dtype=np.float64)[:, None]
    column = np.arange(1, columns + 1, dtype=np.float64)[None, :]
    covered = np.zeros((rows, columns), dtype=np.bool_)
    if shutter.rectangle is not None:
        left, right, upper, lower = shutter.rectangle
        covered |= (column < left) | (column > right) | (row < upper) | (row > lower)
    if shutter.circle is not None:
        at_row, at_column, radius = shutter.circle
        covered |= ((row - at_row) * pixel_aspect) ** 2 + (column - at_column) ** 2 > radius**2
    if len(shutter.polygon) >= 3:
        covered |= ~_inside(shutter.polygon, rows, columns)
    return covered


def _inside(corners: tuple[tuple[float, float], ...], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside a polygon or on its edge (even-odd), a row at a time."""
    inside = np.zeros((rows, columns), dtype=np.bool_)
    points = np.asarray(corners, dtype=np.float64)
    following = np.roll(points, -1, axis=0)
    column = np.arange(1, columns + 1, dtype=np.float64)
    (r0, c0), (r1, c1) = points.T, following.T
    for n in range(max(0, int(points[:, 0].min()) - 1), min(rows, int(points[:, 0].max()) + 1)):
        row = n + 1.0
        crosses = (r0 <= row) != (r1 <= row)
        if crosses.any():
            at = np.sort(c0[crosses] + (row - r0[crosses]) / (r1 - r0)[crosses] * (c1 - c0)[crosses])
            for start, end in zip(at[::2], at[1::2], strict=False):
                inside[n] |= (column >= start) & (column <= end)
        for edge in np.flatnonzero((r0 == row) & (r1 == row)):  # level edges
            inside[n] |= (column >= min(c0[edge], c1[edge])) & (column <= max(c0[edge], c1[edge]))
    return inside

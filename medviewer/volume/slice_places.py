"""Parallel slices at places of their own: gaps, uneven steps, shifts. What a Grid cannot say, mapped as a Grid maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SlicePlaces:
    """Slices of one orientation, each where it was acquired. Between slices, places run straight from one to the next.

    Attributes:
        size_kji: slices, rows, columns.
        origins_lps: centre of the first voxel of each slice, mm, shape (slices, 3), ascending along the normal.
        column_lps, row_lps: unit vectors of increasing column and row index, perpendicular.
        spacing_ji: distance of rows and of columns, mm.
    """

    size_kji: tuple[int, int, int]
    origins_lps: Float
    column_lps: Float
    row_lps: Float
    spacing_ji: tuple[float, float]

    @classmethod
    def of(
        cls, size_kji: tuple[int, int, int], origins_lps: Float, column_lps: Float, row_lps: Float, spacing_ji: Float
    ) -> Self | None:
        """The places, or None where slices lie at one height or the directions are no right angle."""
        heights = origins_lps @ np.cross(column_lps, row_lps)
        if len(origins_lps) != size_kji[0] or np.any(np.diff(heights) <= 1e-3) or abs(column_lps @ row_lps) > 1e-2:
            return None
        rows, columns = (float(v) for v in spacing_ji)
        return cls(size_kji, origins_lps, column_lps, row_lps, (rows, columns))

    @property
    def normal_lps(self) -> Float:
        """Unit vector from slice to slice."""
        return np.cross(self.column_lps, self.row_lps)

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """The usual step between slices, and the distances of rows and columns, mm."""
        heights = self.origins_lps @ self.normal_lps
        step = float(np.median(np.diff(heights))) if len(heights) > 1 else 1.0
        return step, *self.spacing_ji

    def lps_to_index(self, point_lps: ArrayLike) -> Float:
        """Fractional indices (k, j, i) of points in mm (LPS), shape (..., 3) in and out."""
        points = np.asarray(point_lps, dtype=np.float64)
        k = _beyond(points @ self.normal_lps, self.origins_lps @ self.normal_lps, np.arange(len(self.origins_lps)))
        offset = points - self._origin(k)
        j = offset @ self.row_lps / self.spacing_ji[0]
        i = offset @ self.column_lps / self.spacing_ji[1]
        return np.stack([k, j, i], axis=-1)

    def index_to_lps(self, index_kji: ArrayLike) -> Float:
        """Points in mm (LPS) of (fractional) indices, shape (..., 3) in and out."""
        index = np.asarray(index_kji, dtype=np.float64)
        down = index[..., 1, None] * self.spacing_ji[0] * self.row_lps
        across = index[..., 2, None] * self.spacing_ji[1] * self.column_lps
        points: Float = self._origin(index[..., 0]) + down + across
        return points

    def _origin(self, k: Float) -> Float:
        slices = np.arange(len(self.origins_lps))
        return np.stack([_beyond(k, slices, self.origins_lps[:, axis]) for axis in range(3)], axis=-1)


def _beyond(x: Float, xs: ArrayLike, ys: ArrayLike) -> Float:
    """Linear interpolation that goes straight on beyond both ends."""
    places, values = np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)
    if places.size == 1:
        moved: Float = values[0] + (np.asarray(x, dtype=np.float64) - places[0])
        return moved
    low = np.clip(np.searchsorted(places, x, side="right") - 1, 0, places.size - 2)
    share = (x - places[low]) / (places[low + 1] - places[low])
    out: Float = values[low] + share * (values[low + 1] - values[low])
    return out

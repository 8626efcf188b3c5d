"""Slices that lie beside the places of a regular, upright grid (gantry tilt, gaps, uneven steps), laid on one.

Each slice is shifted within its own plane to where it truly lies; between slices the two true neighbours are blended
by distance. Nothing is turned, so that cuts parallel to the slices stay as sharp as they were acquired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medviewer.volume.grid import Grid

Float = NDArray[np.float64]
L = TypeVar("L", bound=np.generic)

#: Shifts and blends below this share of a pixel or step are none.
_NOTHING = 1e-4


@dataclass(frozen=True, slots=True)
class RegularPlan:
    """How slices become a regular grid.

    Attributes:
        grid: upright: its third axis is the normal of the slices; large enough to hold every slice whole.
        along_mm: distance of each slice from the first one along the normal, ascending.
        shift_ji: where the first voxel of each slice lies in the grid's plane, in voxels (fractions too).
        size_ji: rows and columns of the slices.
    """

    grid: Grid
    along_mm: tuple[float, ...]
    shift_ji: tuple[tuple[float, float], ...]
    size_ji: tuple[int, int]

    def neighbours(self, k: int) -> tuple[int, int, float]:
        """The slices before and after grid slice `k`, and the share of the second one (0 to 1)."""
        along = self.along_mm
        at = k * self.grid.spacing_kji[0]
        after = int(np.searchsorted(along, at - _NOTHING))
        if after >= len(along):
            return len(along) - 1, len(along) - 1, 0.0
        if after == 0 or abs(along[after] - at) <= _NOTHING * self.grid.spacing_kji[0] + 1e-6:
            return after, after, 0.0
        before = after - 1
        return before, after, (at - along[before]) / (along[after] - along[before])


def plan_regular(
    positions_lps: Float,
    row: Float,
    column: Float,
    spacing_ji: tuple[float, float],
    step: float,
    size_ji: tuple[int, int],
) -> RegularPlan:
    """Lay slices on an upright grid.

    Args:
        positions_lps: (n, 3), centre of the first voxel of each slice in mm, ascending along row x column.
        row, column: unit vectors of increasing column index and row index.
        spacing_ji: mm between rows, between columns.
        step: mm along the normal; it is changed a little so that the last slice lies on the grid.
        size_ji: rows, columns.
    """
    normal = np.cross(row, column)
    offset = positions_lps - positions_lps[0]
    along = offset @ normal
    sideways = np.stack([offset @ column / spacing_ji[0], offset @ row / spacing_ji[1]], axis=1)
    low = np.floor(sideways.min(axis=0) + _NOTHING)
    high = np.ceil(sideways.max(axis=0) - _NOTHING)
    count = max(1, round(float(along[-1]) / step)) if len(along) > 1 else 1
    even = float(along[-1]) / count if len(along) > 1 else step
    origin = positions_lps[0] + column * low[0] * spacing_ji[0] + row * low[1] * spacing_ji[1]
    grid = Grid(
        (count + 1 if len(along) > 1 else 1, int(size_ji[0] + high[0] - low[0]), int(size_ji[1] + high[1] - low[1])),
        (even, *spacing_ji),
        (*(float(v) for v in row), *(float(v) for v in column), *(float(v) for v in normal)),
        (float(origin[0]), float(origin[1]), float(origin[2])),
    )
    shift = tuple((float(j - low[0]), float(i - low[1])) for j, i in sideways)
    return RegularPlan(grid, tuple(float(a) for a in along), shift, size_ji)


def regular_slice(
    plan: RegularPlan, voxels: NDArray[np.generic], k: int, fill: float, padding: tuple[float, float] | None = None
) -> NDArray[np.generic]:
    """One slice of the grid, `[rows, columns]` in the type of `voxels` (whole types are rounded).

    Args:
        voxels: the slices `[k, j, i]` as they are.
        fill: stored value of what no slice covers.
        padding: inclusive range of stored values that are no tissue: they are taken from the nearest voxel, never
            blended.
    """
    before, after, share = plan.neighbours(k)
    first = _shifted(plan, voxels[before], plan.shift_ji[before], padding)
    blend = first
    if share > 0:
        second = _shifted(plan, voxels[after], plan.shift_ji[after], padding)
        blend = first * (1 - share) + second * share
        if padding is not None:
            hard = _in_range(first, padding) | _in_range(second, padding)
            blend = np.where(hard, first if share < 0.5 else second, blend)
    out: NDArray[np.generic] = np.where(np.isnan(blend), fill, blend)
    if voxels.dtype.kind in "iu":
        info = np.iinfo(voxels.dtype.name)
        out = np.clip(np.rint(out), info.min, info.max)
    return out.astype(voxels.dtype)


def regular_labels(plan: RegularPlan, labels: NDArray[L]) -> NDArray[L]:
    """Labels `[k, j, i]` of the slices on the grid, each from the nearest voxel; 0 outside."""
    out = np.zeros(plan.grid.size_kji, dtype=labels.dtype)
    rows, columns = plan.size_ji
    for k in range(plan.grid.size_kji[0]):
        before, after, share = plan.neighbours(k)
        source = before if share < 0.5 else after
        j, i = (math.floor(s + 0.5) for s in plan.shift_ji[source])
        out[k, j : j + rows, i : i + columns] = labels[source][: out.shape[1] - j, : out.shape[2] - i]
    return out


def _in_range(values: Float, limits: tuple[float, float]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (values >= limits[0]) & (values <= limits[1])
    return found


def _shifted(
    plan: RegularPlan, picture: NDArray[np.generic], shift: tuple[float, float], padding: tuple[float, float] | None
) -> Float:
    """A slice in the grid's plane, bilinear; NaN from half a voxel outside its outermost voxel centres."""
    out = picture.astype(np.float64)
    hard = None if padding is None else _in_range(out, padding)
    for axis, by in enumerate(shift):
        count, wanted = out.shape[axis], plan.grid.size_kji[1 + axis]
        at = np.arange(wanted) - by
        inside = (at >= -0.5) & (at < count - 0.5)
        kept = np.clip(at, 0, count - 1)
        low = np.floor(kept + _NOTHING).astype(np.int64)
        share = np.clip(kept - low, 0.0, 1.0)
        share[share < _NOTHING] = 0.0
        high = np.minimum(low + 1, count - 1)
        shape = (-1, 1) if axis == 0 else (1, -1)
        below = np.take(out, low, axis=axis)
        if share.any():
            above = np.take(out, high, axis=axis)
            mixed = below + (above - below) * share.reshape(shape)
            if hard is not None:
                nearest = np.where(share.reshape(shape) < 0.5, below, above)
                touched = np.take(hard, low, axis=axis) | np.take(hard, high, axis=axis)
                mixed = np.where(touched, nearest, mixed)
        else:
            mixed = below
        if hard is not None:
            hard = np.take(hard, np.where(share < 0.5, low, high), axis=axis)
        mixed[~inside if axis == 0 else (slice(None), ~inside)] = np.nan
        out = mixed
    return out


def to_regular(plan: RegularPlan, index_kji: Float) -> Float:
    """Where a (fractional) index of the slices as they are lies on the grid."""
    k, j, i = (float(v) for v in index_kji)
    nearest = min(max(round(k), 0), len(plan.along_mm) - 1)
    shift_j, shift_i = plan.shift_ji[nearest]
    return np.array([plan.along_mm[nearest] / plan.grid.spacing_kji[0], j + shift_j, i + shift_i])


def from_regular(plan: RegularPlan, index_kji: Float) -> Float:
    """The nearest slice, row and column as they are of a (fractional) index of the grid."""
    k, j, i = (float(v) for v in index_kji)
    at = k * plan.grid.spacing_kji[0]
    nearest = int(np.argmin(np.abs(np.asarray(plan.along_mm) - at)))
    shift_j, shift_i = plan.shift_ji[nearest]
    return np.array([float(nearest), j - shift_j, i - shift_i])

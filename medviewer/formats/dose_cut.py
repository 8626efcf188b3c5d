"""A dose grid in a cut of an image: resampled to the picture's pixels, quickly enough to follow the hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.dicom.objects.dose import Dose, Float, Single
from medviewer.formats.laid import Space
from medviewer.volume.plane import PlaneAxes

#: Pixels across a picture for which a dose that stands askew to the image is interpolated in full.
_ASKEW = 96
#: A coordinate that changes less than this over the picture does not depend on it.
_STILL = 1e-3


def dose_in_cut(dose: Dose, grid: Space, axes: PlaneAxes, position: int) -> Single:
    """Dose of a cut, float32 `[down, right]` at the pixels' centres; NaN outside the dose grid.

    Trilinear. Where the dose stands askew to the image it is taken on a coarser lattice of at most `_ASKEW` points a
    side, and interpolated between them.
    """
    size = grid.size_kji
    rows, columns = axes.picture_size(size)
    corner, right_end, bottom_end = (
        grid.index_to_lps(axes.to_index(size, position, row, column))
        for row, column in ((0, 0), (0, columns - 1), (rows - 1, 0))
    )
    step_column = (right_end - corner) / max(1, columns - 1)
    step_row = (bottom_end - corner) / max(1, rows - 1)
    found = _straight(dose, corner, step_row, step_column, rows, columns)
    if found is not None:
        return found
    down, right = max(1, -(-rows // _ASKEW)), max(1, -(-columns // _ASKEW))
    coarse_rows, coarse_columns = -(-(rows - 1) // down) + 1, -(-(columns - 1) // right) + 1
    r = np.arange(coarse_rows)[:, None, None] * down
    c = np.arange(coarse_columns)[None, :, None] * right
    coarse = dose.at(corner + r * step_row + c * step_column)
    if down == right == 1:
        return coarse[:rows, :columns]
    return _between(_between(coarse, 0, np.arange(rows) / down), 1, np.arange(columns) / right)


def _straight(dose: Dose, corner: Float, step_row: Float, step_column: Float, rows: int, columns: int) -> Single | None:
    """Where each axis of the dose runs along one direction of the picture, one after the other; else None."""
    normal = np.cross(dose.column_lps, dose.row_lps)
    matrix = np.stack([normal, dose.row_lps / dose.spacing_mm[0], dose.column_lps / dose.spacing_mm[1]])
    start = matrix @ (corner - dose.origin_lps)
    along_row, along_column = matrix @ step_row, matrix @ step_column
    kinds = []  # which direction each axis of the dose follows: 0 down, 1 right, -1 neither
    for axis in range(3):
        moves = abs(along_row[axis]) * rows > _STILL, abs(along_column[axis]) * columns > _STILL
        if all(moves):
            return None
        kinds.append(0 if moves[0] else 1 if moves[1] else -1)
    if sorted(kinds) != [-1, 0, 1]:
        return None
    count, step = {0: rows, 1: columns, -1: 1}, {0: along_row, 1: along_column, -1: np.zeros(3)}
    picture = dose.values
    for kind in (-1, 0, 1):  # the axis through the picture first: then little is left to do
        axis = kinds.index(kind)
        places = start[axis] + np.arange(count[kind]) * step[kind][axis]
        if axis == 0:
            places = dose.plane_of(places)
        picture = _between(picture, axis, places)
    still = kinds.index(-1)
    flat: Single = np.moveaxis(picture, still, 0)[0]
    return flat if [k for k in kinds if k >= 0] == [0, 1] else flat.T


def _between(values: Single, axis: int, places: Float) -> Single:
    """Linear interpolation along one axis at fractional indices; NaN outside."""
    count = values.shape[axis]
    slack = 1e-6
    inside = (places >= -slack) & (places <= count - 1 + slack)  # False for NaN
    at = np.clip(np.where(inside, places, 0.0), 0, count - 1)
    low = np.minimum(np.floor(at).astype(np.int64), max(count - 2, 0))
    shape = [1] * values.ndim
    shape[axis] = -1
    share = (at - low).astype(np.float32).reshape(shape)
    first = np.take(values, low, axis=axis)
    second = np.take(values, np.minimum(low + 1, count - 1), axis=axis)
    out: Single = first + share * (second - first)
    if not inside.all():
        where: list[slice | NDArray[np.bool_]] = [slice(None)] * values.ndim
        where[axis] = ~inside
        out[tuple(where)] = np.nan
    return out

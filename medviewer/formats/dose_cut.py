"""A dose grid in a cut of an image: resampled to the picture's pixels, quickly enough to follow the hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.dicom.dose import Dose, Float, Single
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneAxes

#: Pixels across a picture for which a dose that stands askew to the image is interpolated in full.
_ASKEW = 192
#: A coordinate that changes less than this over the picture does not depend on it.
_STILL = 1e-3


def dose_in_cut(dose: Dose, grid: Grid, axes: PlaneAxes, position: int) -> Single:
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
    fine_rows = _weights(np.arange(rows) / down, coarse_rows)
    fine_columns = _weights(np.arange(columns) / right, coarse_columns)
    fine: Single = (fine_rows @ coarse @ fine_columns.T).astype(np.float32)  # NaN spreads: the border is left out
    return fine


def _straight(dose: Dose, corner: Float, step_row: Float, step_column: Float, rows: int, columns: int) -> Single | None:
    """Where each axis of the dose runs along one direction of the picture: three small products. Else None."""
    normal = np.cross(dose.column_lps, dose.row_lps)
    matrix = np.stack([normal, dose.row_lps / dose.spacing_mm[0], dose.column_lps / dose.spacing_mm[1]])
    start = matrix @ (corner - dose.origin_lps)
    along_row, along_column = matrix @ step_row, matrix @ step_column
    kinds = []  # which direction each axis of the dose follows: 0 down, 1 right, None neither
    for axis in range(3):
        moves = abs(along_row[axis]) * rows > _STILL, abs(along_column[axis]) * columns > _STILL
        if all(moves):
            return None
        kinds.append(0 if moves[0] else 1 if moves[1] else None)
    if kinds.count(0) > 1 or kinds.count(1) > 1 or None not in kinds:
        return None
    picture = dose.values
    weights: dict[int, NDArray[np.float32]] = {}
    for axis in (2, 1, 0):
        kind = kinds[axis]
        count = {0: rows, 1: columns, None: 1}[kind]
        step = {0: along_row[axis], 1: along_column[axis], None: 0.0}[kind]
        places = start[axis] + np.arange(count) * step
        if axis == 0:
            places = dose.plane_of(places)
        made = _weights(places, dose.values.shape[axis])
        if kind is None:
            if np.isnan(made).any():
                return np.full((rows, columns), np.nan, dtype=np.float32)
            low = np.flatnonzero(made[0])
            first, last = int(low[0]), int(low[-1]) + 1
            part = np.moveaxis(picture, axis, 0)[first:last]
            picture = np.tensordot(made[0, first:last], part, axes=1)
        else:
            weights[kind] = made
    still = kinds.index(None)
    left = [kinds[axis] for axis in range(3) if axis != still]
    if left == [1, 0]:
        picture = picture.T
    out: Single = (weights[0] @ picture @ weights[1].T).astype(np.float32)
    return out


def _weights(places: Float, count: int) -> NDArray[np.float32]:
    """Linear interpolation at fractional indices as a matrix `[places, count]`; NaN rows outside."""
    slack = 1e-6
    inside = (places >= -slack) & (places <= count - 1 + slack)
    at = np.clip(np.where(inside, places, 0.0), 0, count - 1)
    low = np.minimum(np.floor(at).astype(np.int64), max(count - 2, 0))
    share = at - low
    matrix = np.zeros((len(at), count), dtype=np.float32)
    rows = np.arange(len(at))
    matrix[rows, low] = 1 - share
    matrix[rows, np.minimum(low + 1, count - 1)] += share
    matrix[~inside] = np.nan
    return matrix

"""Planes: orthogonal cuts through a Volume as the radiologist sees them.

Axial is seen from the feet (patient's right on the left of the screen, front up); coronal from the front (right on
the left, head up); sagittal from the left side (front on the left, head up). For an oblique acquisition the
plane is the grid's own plane nearest to the anatomical one, so no voxel is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from medviewer.volume.grid import Grid, orientation_letters


class PlaneName(StrEnum):
    """The three anatomical planes, and the plane in which the stack was acquired."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    ACQUIRED = "acquired"


#: Screen directions in LPS: to the right, downwards, and "next slice".
_SCREEN: dict[PlaneName, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    PlaneName.AXIAL: ((1, 0, 0), (0, 1, 0)),
    PlaneName.CORONAL: ((1, 0, 0), (0, 0, -1)),
    PlaneName.SAGITTAL: ((0, 1, 0), (0, 0, -1)),
}


@dataclass(frozen=True, slots=True)
class PlaneAxes:
    """Which array axis runs across the screen, down the screen and through it, and whether it is turned.

    Attributes:
        name: what to call the plane.
        through, down, right: array axes (0 = k, 1 = j, 2 = i).
        flip_down, flip_right: True where the index falls along the screen direction.
    """

    name: PlaneName
    through: int
    down: int
    right: int
    flip_down: bool
    flip_right: bool

    def cut(self, voxels: NDArray[np.generic], position: int) -> NDArray[np.generic]:
        """The 2-D picture `[down, right]` at an index of the through axis; a view, not a copy."""
        where: list[slice | int] = [slice(None)] * 3
        where[self.through] = int(position)
        picture = voxels[tuple(where)]
        if self.down > self.right:
            picture = picture.T
        if self.flip_down:
            picture = picture[::-1]
        if self.flip_right:
            picture = picture[:, ::-1]
        return picture

    def count(self, size_kji: Sequence[int]) -> int:
        """How many cuts there are."""
        return int(size_kji[self.through])

    def picture_size(self, size_kji: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return int(size_kji[self.down]), int(size_kji[self.right])

    def pixel_mm(self, grid: Grid | None) -> tuple[float, float]:
        """Size of a picture pixel in mm, downwards and to the right; (1, 1) without geometry."""
        if grid is None:
            return 1.0, 1.0
        return grid.spacing_kji[self.down], grid.spacing_kji[self.right]

    def to_index(self, size_kji: Sequence[int], position: float, row: float, column: float) -> NDArray[np.float64]:
        """Fractional `index_kji` of a picture position (row, column; centres at integers) in cut `position`."""
        index = np.empty(3)
        index[self.through] = position
        index[self.down] = size_kji[self.down] - 1 - row if self.flip_down else row
        index[self.right] = size_kji[self.right] - 1 - column if self.flip_right else column
        return index

    def from_index(
        self, size_kji: Sequence[int], index_kji: Sequence[float] | NDArray[np.float64]
    ) -> tuple[float, float, float]:
        """(position, row, column) in the picture of a fractional `index_kji`."""
        row = float(index_kji[self.down])
        column = float(index_kji[self.right])
        return (
            float(index_kji[self.through]),
            size_kji[self.down] - 1 - row if self.flip_down else row,
            size_kji[self.right] - 1 - column if self.flip_right else column,
        )

    def edge_letters(self, grid: Grid | None) -> tuple[str, str, str, str]:
        """Orientation letters at the top, right, bottom and left edge; empty without geometry or orientation."""
        if grid is None or not grid.oriented:
            return "", "", "", ""
        axes = (grid.axis_k, grid.axis_j, grid.axis_i)
        right = axes[self.right] * (-1 if self.flip_right else 1)
        down = axes[self.down] * (-1 if self.flip_down else 1)
        return (
            orientation_letters(-down),
            orientation_letters(right),
            orientation_letters(down),
            orientation_letters(-right),
        )


_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}


def edge_letters_of_text(patient_orientation: Sequence[str]) -> tuple[str, str, str, str]:
    """Letters at the top, right, bottom and left edge from Patient Orientation (0020,0020); empty where it is unclear.

    Its two values say where the rows point (to the right edge) and where the columns point (down).
    """
    if len(patient_orientation) != 2:
        return "", "", "", ""
    right, down = (value.strip().upper() for value in patient_orientation)
    if not right or not down or set(right + down) - set(_OPPOSITE) or max(len(right), len(down)) > 3:
        return "", "", "", ""
    left, up = ("".join(_OPPOSITE[letter] for letter in value) for value in (right, down))
    return up, right, down, left


def acquired_plane() -> PlaneAxes:
    """The plane in which the slices were stored: rows down, columns to the right."""
    return PlaneAxes(PlaneName.ACQUIRED, through=0, down=1, right=2, flip_down=False, flip_right=False)


def plane_axes(grid: Grid | None, name: PlaneName) -> PlaneAxes:
    """How to cut a grid so that the picture is nearest to an anatomical plane.

    Each array axis is given to the anatomical axis that it is nearest to (greedily, the best fit first), so
    that the three planes always use three different array axes. Without a grid only the acquired plane exists.
    """
    if grid is None or name is PlaneName.ACQUIRED:
        return acquired_plane()
    axes = np.stack([grid.axis_k, grid.axis_j, grid.axis_i])
    fit = np.abs(axes)
    anatomical = [-1, -1, -1]  # anatomical axis x, y, z -> array axis
    for _ in range(3):
        array_axis, body_axis = np.unravel_index(int(np.argmax(fit)), (3, 3))
        anatomical[int(body_axis)] = int(array_axis)
        fit[array_axis, :] = -1
        fit[:, body_axis] = -1
    right_lps, down_lps = (np.asarray(v, dtype=np.float64) for v in _SCREEN[name])
    right = anatomical[int(np.argmax(np.abs(right_lps)))]
    down = anatomical[int(np.argmax(np.abs(down_lps)))]
    through = ({0, 1, 2} - {right, down}).pop()
    return PlaneAxes(
        name,
        through=through,
        down=down,
        right=right,
        flip_down=bool(axes[down] @ down_lps < 0),
        flip_right=bool(axes[right] @ right_lps < 0),
    )


def nearest_plane(grid: Grid | None) -> PlaneName:
    """Which anatomical plane the acquired slices are nearest to; ACQUIRED without geometry."""
    if grid is None:
        return PlaneName.ACQUIRED
    normal = np.cross(grid.axis_i, grid.axis_j)
    return (PlaneName.SAGITTAL, PlaneName.CORONAL, PlaneName.AXIAL)[int(np.argmax(np.abs(normal)))]

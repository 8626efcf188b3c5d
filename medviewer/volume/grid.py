"""Grid: where the voxels of an array lie in the patient. The only place that multiplies matrices.

Frames: `index_kji` is (slice, row, column), voxel centres at integers; `point_lps` is millimetres in DICOM's
patient frame (x to the patient's Left, y to Posterior, z to Head).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

#: Two grids are the same where no corner differs by more than this share of the smallest spacing.
SAME_GRID_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """Size, spacing, direction and origin of a regular grid of voxels.

    Attributes:
        size_kji: voxels along slice, row, column.
        spacing_kji: distance of voxel centres in mm along slice, row, column; all positive.
        direction: 9 numbers, the unit vectors (LPS) of increasing i (column), j (row), k (slice), one after
            the other. They need not be perpendicular (gantry tilt), but must span space.
        origin_lps: centre of voxel [0, 0, 0] in mm.
        oriented: False where only sizes and spacing are known (a NIfTI file with both codes 0): distances are true,
            but direction and origin are not the patient's, so there are no letters and no anatomical planes.
    """

    size_kji: tuple[int, int, int]
    spacing_kji: tuple[float, float, float]
    direction: tuple[float, ...]
    origin_lps: tuple[float, float, float]
    oriented: bool = True

    def __post_init__(self) -> None:
        if len(self.direction) != 9:
            raise ValueError("direction needs nine numbers: unit vectors of i, j, k")
        if min(self.size_kji) < 1 or not all(s > 0 and np.isfinite(s) for s in self.spacing_kji):
            raise ValueError(f"size and spacing must be positive: {self.size_kji}, {self.spacing_kji}")
        if abs(np.linalg.det(np.asarray(self.direction).reshape(3, 3))) < 1e-3:
            raise ValueError("the three directions do not span space")

    @classmethod
    def plain(cls, size_kji: Sequence[int], spacing_kji: Sequence[float] = (1.0, 1.0, 1.0)) -> Self:
        """An axial grid with its first voxel at the origin of the patient frame."""
        k, j, i = (int(n) for n in size_kji)
        a, b, c = (float(s) for s in spacing_kji)
        return cls((k, j, i), (a, b, c), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (0.0, 0.0, 0.0))

    @property
    def axis_i(self) -> Float:
        """Unit vector (LPS) of increasing column index."""
        return np.asarray(self.direction[0:3], dtype=np.float64)

    @property
    def axis_j(self) -> Float:
        """Unit vector (LPS) of increasing row index."""
        return np.asarray(self.direction[3:6], dtype=np.float64)

    @property
    def axis_k(self) -> Float:
        """Unit vector (LPS) of increasing slice index."""
        return np.asarray(self.direction[6:9], dtype=np.float64)

    @property
    def step_matrix(self) -> Float:
        """3x3, columns: the step in mm (LPS) of one voxel along k, j, i."""
        sk, sj, si = self.spacing_kji
        return np.stack([self.axis_k * sk, self.axis_j * sj, self.axis_i * si], axis=1)

    def index_to_lps(self, index_kji: ArrayLike) -> Float:
        """Points in mm (LPS) of indices, shape (..., 3) in and out; fractional indices are fine."""
        index = np.asarray(index_kji, dtype=np.float64)
        points: Float = index @ self.step_matrix.T + np.asarray(self.origin_lps)
        return points

    def lps_to_index(self, point_lps: ArrayLike) -> Float:
        """Fractional indices (k, j, i) of points in mm (LPS), shape (..., 3) in and out."""
        offset = np.asarray(point_lps, dtype=np.float64) - np.asarray(self.origin_lps)
        index: Float = offset @ np.linalg.inv(self.step_matrix).T
        return index

    def contains_index(self, index_kji: ArrayLike) -> bool:
        """True where the (fractional) index lies within half a voxel of the grid."""
        index = np.asarray(index_kji, dtype=np.float64)
        return bool(np.all(index >= -0.5) and np.all(index < np.asarray(self.size_kji) - 0.5))

    def contains_lps(self, point_lps: ArrayLike) -> bool:
        """True where the point (mm, LPS) lies inside the voxels."""
        return self.contains_index(self.lps_to_index(point_lps))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel: |det| of the steps."""
        return float(abs(np.linalg.det(self.step_matrix)))

    @property
    def centre_lps(self) -> Float:
        """The middle of the grid in mm (LPS)."""
        return self.index_to_lps((np.asarray(self.size_kji) - 1) / 2)

    def cropped(self, start_kji: Sequence[int], size_kji: Sequence[int]) -> Grid:
        """The grid of `array[start : start + size]`; the start may be negative (padding)."""
        origin = self.index_to_lps(start_kji)
        k, j, i = (int(n) for n in size_kji)
        at = (float(origin[0]), float(origin[1]), float(origin[2]))
        return Grid((k, j, i), self.spacing_kji, self.direction, at, self.oriented)

    def corners_lps(self) -> Float:
        """The eight outer voxel centres, shape (8, 3), mm (LPS)."""
        ends = [(0, n - 1) for n in self.size_kji]
        index = np.array([(k, j, i) for k in ends[0] for j in ends[1] for i in ends[2]], dtype=np.float64)
        return self.index_to_lps(index)

    def same_as(self, other: Grid) -> bool:
        """True where both have equal size and no corner differs by more than `SAME_GRID_TOLERANCE` voxels."""
        if self.size_kji != other.size_kji:
            return False
        limit = SAME_GRID_TOLERANCE * min(self.spacing_kji)
        return bool(np.max(np.abs(self.corners_lps() - other.corners_lps())) <= limit)

    @property
    def is_orthogonal(self) -> bool:
        """True where the axes are perpendicular within 0.1 degree (else: gantry tilt)."""
        cosines = [self.axis_i @ self.axis_j, self.axis_i @ self.axis_k, self.axis_j @ self.axis_k]
        return bool(np.max(np.abs(cosines)) < np.sin(np.radians(0.1)))


def orientation_letters(direction_lps: ArrayLike) -> str:
    """Letters of where a direction points: the largest part first, up to three of R L A P H F.

    Parts under 0.0001 are dropped (PS3.3 C.7.6.1.1.1 names the letters). (0, 0, 0) gives an empty string.
    """
    vector = np.asarray(direction_lps, dtype=np.float64)
    names = (("L", "R"), ("P", "A"), ("H", "F"))
    parts = sorted(range(3), key=lambda axis: -abs(vector[axis]))
    return "".join(names[a][0 if vector[a] > 0 else 1] for a in parts if abs(vector[a]) >= 1e-4)


def main_letter(direction_lps: ArrayLike) -> str:
    """The one letter nearest to a direction."""
    return orientation_letters(direction_lps)[:1]

"""Which voxels a round pen covers on its way from one pointer event to the next.

The pen is a circle in the plane, or a ball; its size is in millimetres, so on anisotropic or sheared grids it covers
what it covers in the patient. The way between two events is covered without gaps, however fast the hand was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import Box
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneAxes
from medviewer.volume.volume import Volume

#: Pen sizes that the size keys step through, mm.
SIZES_MM: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 100.0)

#: A voxel centre exactly on the rim counts as covered, in spite of rounding: share of the radius.
RIM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Some voxels: a mask `[k, j, i]` and where its first voxel lies."""

    start_kji: tuple[int, int, int]
    mask: NDArray[np.bool_]

    @property
    def box(self) -> Box:
        """The box of the mask."""
        return Box.of(self.start_kji, self.mask.shape)

    def in_picture(
        self, axes: PlaneAxes, size_kji: tuple[int, int, int], position: int
    ) -> tuple[tuple[int, int], NDArray[np.bool_]] | None:
        """The part in one cut as the screen shows it: ((row, column) of its first pixel, mask `[down, right]`).

        Args:
            axes: how the picture is cut.
            size_kji: size of the whole segmentation.
            position: index of the cut along the through axis.
        """
        inside = position - self.start_kji[axes.through]
        if not 0 <= inside < self.mask.shape[axes.through]:
            return None
        mask = axes.cut(self.mask, inside).astype(np.bool_)
        row, column = self.start_kji[axes.down], self.start_kji[axes.right]
        if axes.flip_down:
            row = size_kji[axes.down] - row - self.mask.shape[axes.down]
        if axes.flip_right:
            column = size_kji[axes.right] - column - self.mask.shape[axes.right]
        return (row, column), mask


def next_size(diameter_mm: float, steps: int) -> float:
    """The pen size some steps up (or down) the list of sizes."""
    sizes = np.asarray(SIZES_MM)
    nearest = int(np.argmin(np.abs(np.log(sizes / max(diameter_mm, 1e-3)))))
    return float(sizes[int(np.clip(nearest + steps, 0, sizes.size - 1))])


def stroke_patch(
    grid: Grid,
    axes: PlaneAxes,
    position: int,
    before: tuple[float, float],
    now: tuple[float, float],
    diameter_mm: float,
    *,
    ball: bool = False,
) -> Patch | None:
    """The voxels that the pen covers between two pointer events in one cut.

    A voxel is covered where its centre is no farther than the radius from the way, and where the pen's own centre
    passed through it (so that a pen smaller than a voxel still draws).

    Args:
        grid: the segmentation's grid.
        axes: how the picture is cut.
        position: index of the cut along the plane's through axis.
        before, now: (row, column) in the picture, pixel centres at integers; equal for a press.
        diameter_mm: size of the pen.
        ball: True for a ball, False for a circle that stays in the cut.

    Returns:
        The voxels inside the grid, or None if there are none.
    """
    size = grid.size_kji
    a = axes.to_index(size, position, *before)
    b = axes.to_index(size, position, *now)
    if not (np.all(np.isfinite(a)) and np.all(np.isfinite(b))):
        return None
    spread = [0, 1, 2] if ball else sorted((axes.down, axes.right))
    metric = grid.step_matrix.T @ grid.step_matrix
    radius = diameter_mm / 2.0
    reach = np.zeros(3)
    reach[spread] = radius * np.sqrt(np.diag(np.linalg.inv(metric[np.ix_(spread, spread)])))
    lowest = np.minimum(np.floor(np.minimum(a, b) - reach), np.rint(np.minimum(a, b))).astype(int)
    highest = np.maximum(np.ceil(np.maximum(a, b) + reach), np.rint(np.maximum(a, b))).astype(int)
    box = Box.of(lowest, highest - lowest + 1).cut_to(size)  # type: ignore[arg-type]
    if box is None:
        return None
    mask = _near_line(box, a, b, metric, radius * (1.0 + RIM_TOLERANCE))
    _mark_line(mask, box, a, b)
    return Patch(box.start_kji, mask) if mask.any() else None


def _near_line(
    box: Box, a: NDArray[np.float64], b: NDArray[np.float64], metric: NDArray[np.float64], radius: float
) -> NDArray[np.bool_]:
    """Voxels of the box no farther than `radius` mm from the line a-b (indices), under a metric of index steps."""
    away = [
        (np.arange(lo, hi, dtype=np.float64) - a[axis]).reshape([-1 if n == axis else 1 for n in range(3)])
        for axis, (lo, hi) in enumerate(zip(box.start_kji, box.stop_kji, strict=True))
    ]
    squared = np.zeros(box.size_kji)
    for n in range(3):
        squared += metric[n, n] * away[n] ** 2
        for m in range(n):
            if abs(metric[n, m]) > 1e-12 * metric[n, n]:
                squared += 2.0 * metric[n, m] * away[n] * away[m]
    way = b - a
    length = float(way @ metric @ way)
    if length > 0.0:
        pull = metric @ way
        along = away[0] * pull[0] + away[1] * pull[1] + away[2] * pull[2]
        share = np.clip(along / length, 0.0, 1.0)
        squared += share * (share * length - 2.0 * along)
    near: NDArray[np.bool_] = squared <= radius * radius
    return near


def _mark_line(mask: NDArray[np.bool_], box: Box, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Set the voxels through which the line a-b passes, stepping less than half a voxel."""
    steps = int(np.ceil(float(np.max(np.abs(b - a))) / 0.4)) + 1
    points = np.floor(a + np.linspace(0.0, 1.0, steps + 1)[:, None] * (b - a) + 0.5).astype(int)
    points -= np.asarray(box.start_kji)
    inside = points[np.all((points >= 0) & (points < np.asarray(mask.shape)), axis=1)]
    mask[inside[:, 0], inside[:, 1], inside[:, 2]] = True


def within_values(patch: Patch, volume: Volume, lowest: float, highest: float) -> Patch | None:
    """The voxels of a patch whose value (HU or the volume's unit) lies in a closed range: the threshold brush."""
    values = volume.values(patch.start_kji, patch.mask.shape)
    mask = patch.mask & (values >= lowest) & (values <= highest)
    return Patch(patch.start_kji, mask) if mask.any() else None

"""Polygon: the pixels whose centres lie inside a closed line.

The even-odd rule with half-open edges: two polygons that share an edge share no pixel and leave none out between
them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.tools.stroke import Patch
from medviewer.volume.plane import PlaneAxes

NAME = "polygon"


def polygon_mask(corners: Sequence[tuple[float, float]], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixel centres inside a polygon, bool `[rows, columns]`.

    Args:
        corners: (row, column) of the corners, pixel centres at integers; the last is joined to the first. They
            may lie outside the picture.
        rows, columns: size of the picture.
    """
    toggles = np.zeros((rows, columns + 1), dtype=np.int32)
    points = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
    if len(points) < 3 or not np.all(np.isfinite(points)):
        return np.zeros((rows, columns), dtype=np.bool_)
    for start, end in zip(points.tolist(), np.roll(points, -1, axis=0).tolist(), strict=True):
        (y0, x0), (y1, x1) = sorted((start, end))  # an edge is reckoned the same way from both sides, to the last bit
        if y0 == y1:
            continue
        first, last = max(0, int(np.ceil(y0))), min(rows, int(np.ceil(y1)))
        if last <= first:
            continue
        y = np.arange(first, last)
        crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        at = np.clip(np.ceil(crossing), 0, columns).astype(int)
        toggles[y, at] += 1
    inside: NDArray[np.bool_] = (np.cumsum(toggles, axis=1)[:, :columns] % 2).astype(np.bool_)
    return inside


def polygon_patch(
    size_kji: tuple[int, int, int], axes: PlaneAxes, position: int, corners: Sequence[tuple[float, float]]
) -> Patch | None:
    """The voxels inside a polygon drawn in one cut, or None if it holds no voxel centre.

    Args:
        size_kji: size of the segmentation.
        axes: how the picture is cut.
        position: index of the cut along the plane's through axis.
        corners: (row, column) in the picture, pixel centres at integers.
    """
    rows, columns = axes.picture_size(size_kji)
    if not 0 <= position < axes.count(size_kji) or len(corners) < 3:
        return None
    points = np.asarray(corners, dtype=np.float64)
    top, left = (max(0, int(np.floor(n))) for n in points.min(axis=0))
    bottom, right = (min(n, int(np.ceil(m)) + 1) for n, m in zip((rows, columns), points.max(axis=0), strict=True))
    if bottom <= top or right <= left:
        return None
    mask = polygon_mask([(r - top, c - left) for r, c in points.tolist()], bottom - top, right - left)
    return picture_patch(size_kji, axes, position, (top, left), mask)


def picture_patch(
    size_kji: tuple[int, int, int],
    axes: PlaneAxes,
    position: int,
    first_pixel: tuple[int, int],
    mask: NDArray[np.bool_],
) -> Patch | None:
    """A mask of the picture `[down, right]` as voxels of the cut; None where it is empty.

    Args:
        size_kji: size of the segmentation.
        axes: how the picture is cut.
        position: index of the cut.
        first_pixel: (row, column) of `mask[0, 0]`.
        mask: must lie inside the picture.
    """
    if not mask.any():
        return None
    rows, columns = mask.shape
    row, column = first_pixel
    if axes.flip_down:
        mask, row = mask[::-1], size_kji[axes.down] - row - rows
    if axes.flip_right:
        mask, column = mask[:, ::-1], size_kji[axes.right] - column - columns
    if axes.down > axes.right:
        mask = mask.T
    start = [0, 0, 0]
    start[axes.through], start[axes.down], start[axes.right] = position, row, column
    return Patch((start[0], start[1], start[2]), np.ascontiguousarray(np.expand_dims(mask, axes.through)))

"""From a mask to the one lesion that was clicked: connected parts, diameter, volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: How near to the click (sigma, mm) the voxels of the clicked lesion lie, when parts compete for it.
NEAR_CLICK_MM = 4.0
#: A lesion with no voxel within this distance of the click was not the one that was clicked.
REACH_MM = 10.0


def component_at_click(
    mask: NDArray[np.bool_], click_kji: Sequence[float], spacing_kji: Sequence[float]
) -> NDArray[np.bool_]:
    """The connected part of a mask (26 neighbours) that lies at the click.

    Parts are weighed by their voxels, each counted less the further it lies from the click; a part that does not come
    within `REACH_MM` of it is none of the lesion's.

    Args:
        mask: `[k, j, i]`.
        click_kji: the click in voxels of the mask.
        spacing_kji: mm.

    Returns:
        A mask of the same shape; empty where nothing is near.
    """
    from scipy import ndimage

    if not mask.any():
        return np.zeros_like(mask)
    used = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(int(one[0]), int(one[-1]) + 1) for one in used)
    low = np.array([one[0] for one in used])
    where = np.argwhere(mask[box]) + low
    labels, _ = ndimage.label(mask[box], structure=np.ones((3, 3, 3), dtype=bool))
    offset = (where - np.asarray(click_kji, dtype=np.float64)) * np.asarray(spacing_kji, dtype=np.float64)
    square = np.sum(offset**2, axis=1)
    names = labels[tuple((where - low).T)]
    weight = np.bincount(names, weights=np.exp(-square / (2 * NEAR_CLICK_MM**2)))
    best = int(np.argmax(weight))
    if weight[best] <= 0 or square[names == best].min() > REACH_MM**2:
        return np.zeros_like(mask)
    chosen = np.zeros_like(mask)
    chosen[box] = labels == best
    return chosen


def longest_diameter_mm(mask: NDArray[np.bool_], spacing_kji: Sequence[float]) -> float:
    """Longest in-slice extent: the largest distance of two pixel centres in one slice plus one pixel (mm).

    This is the measure of the nodule sets' `diameter_mm`. 0 for an empty mask.
    """
    _, row_mm, column_mm = (float(s) for s in spacing_kji)
    longest = 0.0
    for plane in mask:
        if not plane.any():
            continue
        # The two pixels furthest apart are ends of rows.
        rows = np.flatnonzero(plane.any(axis=1))
        left = plane.argmax(axis=1)[rows]
        right = plane.shape[1] - 1 - plane[:, ::-1].argmax(axis=1)[rows]
        points = np.concatenate([np.stack([rows, left], 1), np.stack([rows, right], 1)]).astype(np.float64)
        points *= (row_mm, column_mm)
        apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1)).max()
        longest = max(longest, float(apart) + (row_mm + column_mm) / 2)
    return longest

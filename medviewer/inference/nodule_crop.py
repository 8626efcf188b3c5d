"""From HU to the grey values that the nodule networks know.

The networks learned on crops that were stretched slice by slice: each 128 x 128 crop from its own minimum to its own
maximum to 0..255, then the middle 96 x 96 was kept and the lowest bit dropped. Scanner padding far below air had
squeezed everything real into the upper part in some of them and is repaired before training. So here: 128 x 128
around the click, padding taken out, minimum and maximum of what is left in that slice, middle 96 x 96, `& 0xFE`,
divided by 254.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.volume.volume import Volume

#: Pixels whose extremes stretch a slice, and pixels that are kept of them.
STRETCH_SIZE = 128
CROP_SIZE = 96
#: Air is -1000 HU and detectors go a little below; what lies lower is the field outside the scanner's circle.
LOWEST_REAL_HU = -1100.0
#: Aerated lung: denser than free air (-1000 HU and its noise), thinner than any tissue.
LUNG_HU = (-965.0, -400.0)
#: Slices that are cut out above and below the click unless more are asked for (mm).
REACH_MM = 40.0


@dataclass(frozen=True, slots=True, eq=False)
class NoduleCrop:
    """A crop around a click in the networks' grey values.

    Attributes:
        images: `[k, 96, 96]` float32 in 0..1 in steps of 1/127; 0 where there is no tissue (padding, outside).
        start_kji: where voxel [0, 0, 0] of the crop lies in the volume; rows and columns may be negative.
        click_kji: the click in voxels of the crop (fractional).
        pixel_mm: mean of row and column spacing; `slice_spacing_mm`: distance of slices.
        spacing_kji: mm.
        real: `[k, 96, 96]` where there is tissue or air rather than padding.
        lung_share: share of the 128 x 128 pixels of the clicked slice (padding left out) with the HU of aerated
            lung, `LUNG_HU`; the air around a head or an arm lies below it.
    """

    images: NDArray[np.float32]
    start_kji: tuple[int, int, int]
    click_kji: tuple[float, float, float]
    pixel_mm: float
    slice_spacing_mm: float
    spacing_kji: tuple[float, float, float]
    real: NDArray[np.bool_]
    lung_share: float


def nodule_crop(
    volume: Volume,
    point_lps: Sequence[float],
    *,
    reach_mm: float = REACH_MM,
    slices: tuple[int, int] | None = None,
) -> NoduleCrop:
    """Cut out and stretch the crop around a click.

    Args:
        volume: a CT whose values are HU, with its Grid.
        point_lps: the click in mm (LPS).
        reach_mm: how far above and below the click slices are taken.
        slices: first and one past the last slice instead, cut to the volume; the clicked one must be among them.

    Raises:
        BadInput: the volume has no geometry, or the click lies outside of it.
    """
    grid = volume.grid
    if grid is None:
        raise BadInput("this stack has no geometry, so a click cannot be placed in it")
    if not grid.contains_lps(point_lps):
        place = ", ".join(f"{float(v):.1f}" for v in point_lps)
        raise BadInput(f"the click ({place} mm) lies outside the volume", remedy="click on the picture")
    index = grid.lps_to_index(point_lps)
    middle = [min(int(np.floor(v + 0.5)), n - 1) for v, n in zip(index, grid.size_kji, strict=True)]
    if slices is None:
        reach = max(1, round(reach_mm / grid.spacing_kji[0]))
        slices = (middle[0] - reach, middle[0] + reach + 1)
    low, high = max(0, slices[0]), min(grid.size_kji[0], slices[1])
    if not low <= middle[0] < high:
        raise ValueError(f"the clicked slice {middle[0]} is not among {slices}")
    corner = (middle[1] - STRETCH_SIZE // 2, middle[2] - STRETCH_SIZE // 2)
    values, real = _box(volume, low, high, corner)
    images = stretched(values, real)
    edge = (STRETCH_SIZE - CROP_SIZE) // 2
    inner = slice(edge, edge + CROP_SIZE)
    start = (low, corner[0] + edge, corner[1] + edge)
    there = real[middle[0] - low]
    plane = values[middle[0] - low][there]
    lung = (plane >= LUNG_HU[0]) & (plane <= LUNG_HU[1])
    return NoduleCrop(
        images=np.ascontiguousarray(images[:, inner, inner]),
        start_kji=start,
        click_kji=(float(index[0]) - start[0], float(index[1]) - start[1], float(index[2]) - start[2]),
        pixel_mm=float(grid.spacing_kji[1] + grid.spacing_kji[2]) / 2,
        slice_spacing_mm=float(grid.spacing_kji[0]),
        spacing_kji=grid.spacing_kji,
        real=np.ascontiguousarray(real[:, inner, inner]),
        lung_share=float(lung.mean()) if lung.size else 0.0,
    )


def stretched(values: NDArray[np.float32], real: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Each slice stretched from its lowest to its highest real value to 0..1 in the 127 steps of the training set.

    Args:
        values: `[k, j, i]` HU.
        real: `[k, j, i]`, False for padding and for pixels outside the volume.

    Returns:
        `[k, j, i]` float32 in 0..1; padding is 0, and so is a slice of one value.
    """
    low = np.where(real, values, np.inf).min(axis=(1, 2), keepdims=True)
    high = np.where(real, values, -np.inf).max(axis=(1, 2), keepdims=True)
    span = high - low
    usable = np.isfinite(span) & (span > 0)
    share = np.clip((values - np.where(usable, low, 0)) / np.where(usable, span, 1), 0, 1)
    grey = (share * 255.0).astype(np.uint8) & 0xFE
    answer: NDArray[np.float32] = np.where(real & usable, grey, 0).astype(np.float32) / np.float32(254.0)
    return answer


def _box(volume: Volume, low: int, high: int, corner: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """HU of `[low:high]` and 128 x 128 pixels from `corner`, and where they are real."""
    rows, columns = volume.size_kji[1:]
    values = np.zeros((high - low, STRETCH_SIZE, STRETCH_SIZE), dtype=np.float32)
    real = np.zeros(values.shape, dtype=bool)
    j0, j1 = max(0, corner[0]), min(rows, corner[0] + STRETCH_SIZE)
    i0, i1 = max(0, corner[1]), min(columns, corner[1] + STRETCH_SIZE)
    inside = (slice(None), slice(j0 - corner[0], j1 - corner[0]), slice(i0 - corner[1], i1 - corner[1]))
    part = volume.values((low, j0, i0), (high - low, j1 - j0, i1 - i0))
    there = part >= LOWEST_REAL_HU
    padding = volume.padding_mask(volume.voxels[low:high, j0:j1, i0:i1])
    if padding is not None:
        # A declared padding value inside the range of tissue (0 HU, say) is believed only where it is below air.
        there &= ~(padding & (part <= -1000.0))
    there &= np.asarray(volume.loaded[low:high], dtype=bool)[:, None, None]
    values[inside], real[inside] = part, there
    return values, real

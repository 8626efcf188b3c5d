"""From a click in a chest CT to the block that the nodule networks see, or to the reason why there is none.

In the training set a crop ends where the readers' outlines end, so the networks learned that beyond the last slice
the last slice repeats. A CT goes on: the first member's own drawing of the nodule says where it ends, and the block is
centred on what was drawn, so a click a few pixels beside the middle changes little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medviewer.inference.lesion import component_at_click
from medviewer.inference.nodule_crop import NoduleCrop, nodule_crop
from medviewer.inference.nodule_ensemble import NoduleEnsemble
from medviewer.inference.nodule_patch import PIXEL_MM, SIZE, SLICES, STEP_MM, Pose, blocks
from medviewer.inference.prompt import Prompt
from medviewer.inference.segment_nodule import LEAST_LUNG, NOT_IN_LUNG, NOTHING_FOUND, unfit_volume
from medviewer.volume.volume import Volume

REACH_MM = 30.0
"""How far up and down from the click the lesion is followed."""
LEAST_AREA_MM2 = 4.0
"""A drawing smaller than this in its largest slice is no nodule."""
ENDS_BELOW = 0.15
"""The lesion ends where a slice holds less than this share of its largest slice (a vessel may go on)."""
TUBE = 3.0
"""Longer along the body than this many times its width, and it is a vessel or a rib: of the train nodules 99.5 % reach
no further than 2.0 times their longest extent in a slice, about 2.5 times their width."""
LEAST_WIDTH_MM = 5.0
"""Width that is taken for a lesion drawn thinner, so that a few slices do not make a tube."""
LEAST_LUNG_AROUND = 0.45
"""Of the ring around a nodule at least this share is less than half as bright: so it is around 99 % of the train
nodules, attached ones included, and around a third of what is drawn in the wall, the hila and the mediastinum."""
RING_PIXELS = (2, 6)
"""Inner and outer distance of that ring from the drawn nodule."""
FURTHEST_MM = 8.0
"""The block is not moved further from the click than this."""


@dataclass(frozen=True, slots=True, eq=False)
class NoduleQuery:
    """The clicked nodule as the networks see it.

    Attributes:
        block: float32 [1, SLICES, SIZE, SIZE].
        crop: the crop around the click.
        slices: first and last slice of the lesion in the volume.
        picture: float32 [96, 96], the crop's slice at the middle of the lesion, for a thumbnail.
    """

    block: torch.Tensor
    crop: NoduleCrop
    slices: tuple[int, int]
    picture: NDArray[np.float32]


def nodule_query(volume: Volume, prompt: Prompt, ensemble: NoduleEnsemble) -> NoduleQuery | str:
    """The block at the prompt, or a sentence why the models of the lung's nodules say nothing here.

    Raises:
        BadInput: the prompt lies outside the volume.
    """
    point = prompt.middle_lps
    if point is None:
        return "this task needs to know which nodule: click on it or draw a box around it"
    reason = unfit_volume(volume)
    if reason is not None:
        return reason
    crop = nodule_crop(volume, point, reach_mm=REACH_MM)
    if crop.lung_share < LEAST_LUNG:
        return "there is hardly any lung around this place, and the model was made for nodules of the lung only"
    drawn = _draw(crop, ensemble)
    areas = drawn.sum((1, 2)) * PIXEL_MM**2
    if areas.max() < LEAST_AREA_MM2:
        return NOTHING_FOUND
    low_mm, high_mm = _extent(areas)
    if high_mm - low_mm > TUBE * max(_width_mm(drawn), LEAST_WIDTH_MM):
        return "what was found at this place runs on like a vessel or a rib, unlike a nodule"
    click = crop.click_kji[0]
    low = max(0, int(np.ceil(click + low_mm / crop.slice_spacing_mm - 1e-6)))
    high = min(len(crop.images) - 1, int(np.floor(click + high_mm / crop.slice_spacing_mm + 1e-6)))
    low, high = min(low, round(click)), max(high, round(click))
    images = crop.images[low : high + 1]
    pose = Pose(shift_kji_mm=(0.0, *_beside(drawn, crop)))
    block = blocks([images], [crop.pixel_mm], [crop.slice_spacing_mm], [pose])
    around = lung_around(block[0].numpy(), _first(ensemble).predict(block, mirrored=False).mask[0])
    if around is not None and around < LEAST_LUNG_AROUND:
        return NOT_IN_LUNG
    return NoduleQuery(
        block=block,
        crop=crop,
        slices=(crop.start_kji[0] + low, crop.start_kji[0] + high),
        picture=images[len(images) // 2],
    )


def lung_around(block: NDArray[np.float32], share: NDArray[np.float32]) -> float | None:
    """How much of the ring around the drawn nodule is less than half as bright as the nodule; None if none is drawn.

    Args:
        block: [SLICES, SIZE, SIZE], 0 to 1.
        share: expected share of readers, same shape.

    Returns:
        the largest such share of the three middle slices.
    """
    from scipy import ndimage

    found = []
    for picture, drawn in zip(block[1:-1], share[1:-1] >= 0.5, strict=True):
        lesion = component_at_click(drawn[None], (0, (SIZE - 1) / 2, (SIZE - 1) / 2), (1, PIXEL_MM, PIXEL_MM))[0]
        if lesion.sum() < LEAST_AREA_MM2 / PIXEL_MM**2:
            continue
        away = ndimage.distance_transform_edt(~lesion)
        ring = (away > RING_PIXELS[0]) & (away <= RING_PIXELS[1])
        if ring.any():
            found.append(float(np.mean(picture[ring] < 0.5 * np.median(picture[lesion]))))
    return max(found, default=None)


def _first(ensemble: NoduleEnsemble) -> NoduleEnsemble:
    """The first member alone: enough for finding."""
    return NoduleEnsemble(ensemble.members[:1], ensemble.device)


def _draw(crop: NoduleCrop, ensemble: NoduleEnsemble) -> NDArray[np.bool_]:
    """The clicked lesion on planes STEP_MM apart, [planes, SIZE, SIZE], the click in the middle of it all."""
    beside = (int(np.ceil(REACH_MM / STEP_MM / SLICES)) * 2 + 1) // 2
    shift = _click_shift(crop)
    offsets = np.arange(-beside, beside + 1) * SLICES * STEP_MM
    poses = [Pose(shift_kji_mm=(float(offset), *shift)) for offset in offsets]
    n = len(poses)
    parts = blocks([crop.images] * n, [crop.pixel_mm] * n, [crop.slice_spacing_mm] * n, poses, [crop.click_kji[0]] * n)
    mask = _first(ensemble).predict(parts, mirrored=False).mask.reshape(-1, SIZE, SIZE) >= 0.5
    planes = (np.arange(len(mask)) - (len(mask) - 1) / 2) * STEP_MM
    where = crop.click_kji[0] + planes / crop.slice_spacing_mm
    mask &= ((where >= -0.5) & (where <= len(crop.images) - 0.5))[:, None, None]
    middle = ((len(mask) - 1) / 2, (SIZE - 1) / 2, (SIZE - 1) / 2)
    return component_at_click(mask, middle, (STEP_MM, PIXEL_MM, PIXEL_MM))


def _width_mm(drawn: NDArray[np.bool_]) -> float:
    """Width of the drawn lesion in its largest slice: the diameter of the circle of that area."""
    area = float(drawn.sum((1, 2)).max()) * PIXEL_MM**2
    return 2 * float(np.sqrt(area / np.pi))


def _extent(areas: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """How far the lesion reaches below and above the click in mm, from its area on planes STEP_MM apart."""
    sizes = np.asarray(areas, np.float64)
    middle = (len(sizes) - 1) // 2
    inside = sizes >= ENDS_BELOW * sizes.max()
    if not inside[middle]:
        near = np.flatnonzero(inside)
        middle = int(near[np.argmin(np.abs(near - middle))])
    low = high = middle
    while low > 0 and inside[low - 1]:
        low -= 1
    while high < len(sizes) - 1 and inside[high + 1]:
        high += 1
    centre = (len(sizes) - 1) / 2
    return (low - centre - 0.5) * STEP_MM, (high - centre + 0.5) * STEP_MM


def _click_shift(crop: NoduleCrop) -> tuple[float, float]:
    """Where the click lies from the middle of the crop, mm along rows and columns."""
    middle = (crop.images.shape[1] - 1) / 2
    return (crop.click_kji[1] - middle) * crop.pixel_mm, (crop.click_kji[2] - middle) * crop.pixel_mm


def _beside(drawn: NDArray[np.bool_], crop: NoduleCrop) -> tuple[float, float]:
    """Where the middle of the drawn lesion lies from the middle of the crop, mm along rows and columns."""
    shift = _click_shift(crop)
    flat = np.asarray(drawn.max(0), bool)
    moved = []
    for there, start in ((flat.max(1), shift[0]), (flat.max(0), shift[1])):
        line = np.flatnonzero(there)
        offset = ((line[0] + line[-1]) / 2 - (SIZE - 1) / 2) * PIXEL_MM
        moved.append(start + float(np.clip(offset, -FURTHEST_MM, FURTHEST_MM)))
    return moved[0], moved[1]

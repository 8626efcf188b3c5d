"""The picture that the nodule classifier sees: a small block around the click, in millimetres.

A nodule crop has the scanner's own pixels (0.46 to 0.98 mm) and slices (0.45 to 5 mm apart). Size is the strongest
sign of a nodule's character, so the block is sampled in millimetres: `SLICES` slices `STEP_MM` apart, each of
`SIZE` x `SIZE` pixels of `PIXEL_MM`. Beyond the last slice of the crop the last slice is repeated. The same function
serves training (with a random turn, shift and scale) and inference (without).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

SLICES = 5
STEP_MM = 1.75
SIZE = 48
PIXEL_MM = 0.75
CROP_SIZE = 96


@dataclass(frozen=True, slots=True)
class Pose:
    """How one block lies in its crop.

    Attributes:
        shift_kji_mm: centre of the block relative to the middle of the crop, in millimetres along k, j, i.
        angle: turn within the slice, radians.
        scale: factor by which the nodule appears larger.
        mirror: True turns rows into columns' order reversed (left-right mirror) before the turn.
        upside_down: True reverses the slices.
    """

    shift_kji_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angle: float = 0.0
    scale: float = 1.0
    mirror: bool = False
    upside_down: bool = False


def slice_weights(
    n_slices: int, spacing_mm: float, pose: Pose, middle: float | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Which slices of a crop, and in what mixture, make the slices of the block.

    Args:
        n_slices: slices of the crop.
        spacing_mm: distance of neighbouring slices.
        pose: how the block lies.
        middle: slice index (may be fractional) of the click; the middle of the crop by default.

    Returns:
        lower index, upper index and weight of the upper one, each [SLICES].
    """
    centre = (n_slices - 1) / 2 if middle is None else middle
    offsets = (np.arange(SLICES) - (SLICES - 1) / 2) * STEP_MM / pose.scale
    if pose.upside_down:
        offsets = -offsets
    where = np.clip(centre + (offsets + pose.shift_kji_mm[0]) / spacing_mm, 0, n_slices - 1)
    lower = np.floor(where).astype(np.int64)
    upper = np.minimum(lower + 1, n_slices - 1)
    return lower, upper, (where - lower).astype(np.float32)


def sampling_matrix(pixel_mm: float, pose: Pose) -> NDArray[np.float32]:
    """The 2 x 3 matrix that `torch.nn.functional.affine_grid` wants (align_corners=False) for one pose."""
    half_out = SIZE * PIXEL_MM / 2
    half_in = CROP_SIZE * pixel_mm / 2
    factor = half_out / half_in / pose.scale
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    flip = -1.0 if pose.mirror else 1.0
    _, row_mm, column_mm = pose.shift_kji_mm
    return np.array(
        [
            [factor * cos * flip, -factor * sin, column_mm / half_in],
            [factor * sin * flip, factor * cos, row_mm / half_in],
        ],
        np.float32,
    )


def sample(stacks: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Cut blocks out of mixed slices.

    Args:
        stacks: float32 [n, SLICES, 96, 96], already mixed along k by `slice_weights`.
        matrices: float32 [n, 2, 3] of `sampling_matrix`.

    Returns:
        float32 [n, SLICES, SIZE, SIZE].
    """
    grid = torch.nn.functional.affine_grid(matrices, [len(stacks), SLICES, SIZE, SIZE], align_corners=False)
    return torch.nn.functional.grid_sample(stacks, grid, padding_mode="border", align_corners=False)


def blocks(
    images: Sequence[NDArray[np.float32]],
    pixel_mm: Sequence[float],
    spacing_mm: Sequence[float],
    poses: Sequence[Pose] | None = None,
    middles: Sequence[float | None] | None = None,
) -> torch.Tensor:
    """Blocks of several crops.

    Args:
        images: one float32 [k, 96, 96] per crop, values 0 to 1.
        pixel_mm: pixel spacing per crop.
        spacing_mm: slice spacing per crop.
        poses: how each block lies; straight in the middle by default.
        middles: slice index of the click per crop; the middle by default.

    Returns:
        float32 [n, SLICES, SIZE, SIZE].
    """
    poses = [Pose()] * len(images) if poses is None else poses
    middles = [None] * len(images) if middles is None else middles
    mixed = np.empty((len(images), SLICES, CROP_SIZE, CROP_SIZE), np.float32)
    matrices = np.empty((len(images), 2, 3), np.float32)
    for n, (crop, pixel, spacing, pose, middle) in enumerate(
        zip(images, pixel_mm, spacing_mm, poses, middles, strict=True)
    ):
        lower, upper, weight = slice_weights(len(crop), spacing, pose, middle)
        share = weight[:, None, None]
        mixed[n] = crop[lower] * (1 - share) + crop[upper] * share
        matrices[n] = sampling_matrix(pixel, pose)
    return sample(torch.from_numpy(mixed), torch.from_numpy(matrices))

"""Random views of a labelled volume for training: turned, scaled, mirrored, brighter, noisier (torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a view may go from the original (AI.md's figures for small organs; nnU-Net's list of operations).

    Attributes:
        turn_degrees: largest rotation about each axis.
        scale: largest relative change of size.
        shift_voxels: largest shift along each axis.
        warp_voxels: standard deviation of the elastic displacement at its control points.
        gain, offset: largest relative and absolute change of contrast and brightness (image of deviation 1).
        noise: largest standard deviation of added noise.
    """

    turn_degrees: float = 15.0
    scale: float = 0.15
    shift_voxels: float = 3.0
    warp_voxels: float = 1.0
    gain: float = 0.25
    offset: float = 0.2
    noise: float = 0.15


def view(
    image: Tensor, label: Tensor, classes: int, size_kji: Sequence[int], how: Augmentation, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One random view.

    Args:
        image: float32 `[k, j, i]`, normalised.
        label: int64 `[k, j, i]`, 0 background.
        classes: number of classes, background included.
        size_kji: size of the view.
        how: the ranges.
        random: where the numbers come from.

    Returns:
        Image `[1, k, j, i]` and label `[k, j, i]` of the view.
    """
    grid = _grid(image.shape, size_kji, how, random)
    one_hot = torch.stack([(label == c).float() for c in range(1, classes)])
    seen = F.grid_sample(image[None, None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0]
    inside = F.grid_sample(one_hot[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    background = 1.0 - inside.sum(0, keepdim=True)
    return _intensity(seen, how, random), torch.cat([background, inside]).argmax(0)


def _uniform(random: torch.Generator, low: float, high: float, n: int = 1) -> Tensor:
    return torch.rand(n, generator=random) * (high - low) + low


def _chance(random: torch.Generator, share: float) -> bool:
    return bool(torch.rand((), generator=random) < share)


def _rotation(angles: Tensor) -> Tensor:
    turned = torch.eye(3)
    for axis, angle in enumerate(angles.tolist()):
        a, b = [n for n in range(3) if n != axis]
        step = torch.eye(3)
        step[a, a] = step[b, b] = math.cos(angle)
        step[a, b], step[b, a] = -math.sin(angle), math.sin(angle)
        turned = turned @ step
    return turned


def _grid(size: Sequence[int], target: Sequence[int], how: Augmentation, random: torch.Generator) -> Tensor:
    """Sampling positions `[1, k, j, i, 3]` for `grid_sample` (x, y, z in -1..1)."""
    matrix = torch.eye(3)
    if _chance(random, 0.7):
        limit = math.radians(how.turn_degrees)
        common = 1.0 + _uniform(random, -how.scale, how.scale)
        each = 1.0 + _uniform(random, -how.scale / 3, how.scale / 3, 3)
        matrix = _rotation(_uniform(random, -limit, limit, 3)) @ torch.diag(common * each)
    if _chance(random, 0.5):
        matrix = matrix @ torch.diag(torch.tensor([1.0, 1.0, -1.0]))  # left and right; the labels are the same
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in target]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    points = points @ matrix.T + _uniform(random, -how.shift_voxels, how.shift_voxels, 3)
    if how.warp_voxels > 0 and _chance(random, 0.3):
        coarse = torch.randn((1, 3, 4, 5, 4), generator=random) * how.warp_voxels
        field = F.interpolate(coarse, size=tuple(target), mode="trilinear", align_corners=True)
        points = points + field[0].permute(1, 2, 3, 0)
    half = torch.tensor([(n - 1) / 2 for n in size])
    return (points / half).flip(-1)[None]


def _intensity(image: Tensor, how: Augmentation, random: torch.Generator) -> Tensor:
    if _chance(random, 0.15):
        image = _blurred(image, float(_uniform(random, 0.5, 1.0)))
    if _chance(random, 0.15):
        small = F.interpolate(image[None], scale_factor=float(_uniform(random, 0.5, 0.95)), mode="trilinear")
        image = F.interpolate(small, size=image.shape[1:], mode="trilinear")[0]
    if _chance(random, 0.3):
        low, high = image.min(), image.max()
        unit = (image - low) / (high - low + 1e-6)
        image = unit ** float(torch.exp(_uniform(random, math.log(0.7), math.log(1.5)))) * (high - low) + low
        image = (image - image.mean()) / (image.std() + 1e-6)
    if _chance(random, 0.5):
        image = image * (1 + _uniform(random, -how.gain, how.gain)) + _uniform(random, -how.offset, how.offset)
    if _chance(random, 0.3):
        image = image + torch.randn(image.shape, generator=random) * _uniform(random, 0.0, how.noise)
    return image


def _blurred(image: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-2, 3, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    out = image[None]
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[axis + 2] = 5
        padding = [0, 0, 0, 0, 0, 0]
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = 2
        out = F.conv3d(F.pad(out, padding, mode="replicate"), kernel.reshape(shape))
    return out[0]

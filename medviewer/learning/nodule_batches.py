"""Training samples of the nodule segmentation: windows of nodule crops with a click, turned, scaled, brightened.

A sample is one slice with its neighbours, a click somewhere in the same nodule, and the share of readers as target.
Nodules are drawn alike, whatever their number of slices, since each counts alike when the model is judged.
A few samples click beside every nodule; their target is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medviewer.inference.networks import unet25d
from medviewer.learning.datasets.nodule_samples import NoduleSample

#: Shares of samples: click beside the nodule; turned and scaled freely; crop cut short above or below.
EMPTY_SHARE = 0.06
FREE_SHARE = 0.6
CUT_SHARE = 0.1
#: The window's middle moves up to this many pixels from the crop's middle.
SHIFT = 16


@dataclass(frozen=True, slots=True, eq=False)
class NodulePool:
    """Nodules to draw samples from, all slices one after the other.

    Attributes:
        images: `[S, 96, 96]` float16 in 0..1; `fraction`: `[S, 96, 96]` float16, share of the readers.
        first: `[N + 1]`, nodule n has the slices first[n] .. first[n + 1] - 1.
        pixel_mm, spacing_mm: `[N]`.
        click: `[N, 3]`, where the case itself was clicked (slice within the nodule, row, column).
        alone: `[N]`, False where another nodule may be in view (no sample clicks beside it then).
        weights: `[N]`, how often a nodule is drawn in relation to the others (1, or less for weak labels).
        patients: `[N]` names.
    """

    images: NDArray[np.float16]
    fraction: NDArray[np.float16]
    first: NDArray[np.int64]
    pixel_mm: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    click: NDArray[np.int64]
    alone: NDArray[np.bool_]
    weights: NDArray[np.float64]
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.patients)


def pool_of(cases: Iterable[NoduleSample]) -> NodulePool:
    """Gather cases into a pool (about 37 kB a slice)."""
    images, fractions, first, pixel, spacing, clicks, weights, patients = [], [], [0], [], [], [], [], []
    places: dict[str, list[tuple[int, int, int, int]]] = {}
    for n, case in enumerate(cases):
        images.append(case.images.astype(np.float16))
        fractions.append(case.fraction.astype(np.float16))
        first.append(first[-1] + case.images.shape[0])
        pixel.append(case.pixel_mm)
        spacing.append(case.slice_spacing_mm)
        clicks.append(case.click_kji)
        weights.append(float(getattr(case, "weight", 1.0)))
        patients.append(case.patient)
        if case.row.get("row0") and case.row.get("col0") and case.row.get("series_uid"):
            place = (n, int(case.row["row0"]), int(case.row["col0"]), int(case.row["slice0"]))
            places.setdefault(case.row["series_uid"], []).append(place)
    if not patients:
        raise ValueError("no nodule to train on")
    alone = np.ones(len(patients), dtype=bool)
    for group in places.values():
        for n, row, column, k in group:
            for m, other_row, other_column, other_k in group:
                near_in_plane = max(abs(row - other_row), abs(column - other_column)) < 96
                if m != n and near_in_plane and abs(k - other_k) < 40:
                    alone[n] = False
    return NodulePool(
        np.concatenate(images),
        np.concatenate(fractions),
        np.asarray(first, dtype=np.int64),
        np.asarray(pixel),
        np.asarray(spacing),
        np.asarray(clicks, dtype=np.int64),
        alone,
        np.asarray(weights, dtype=np.float64),
        tuple(patients),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Input `x [B, slices + 2, w, w]`, `scalars [B, 3]`, target `fraction [B, w, w]` (share of readers, 0..1)."""

    x: Tensor
    scalars: Tensor
    fraction: Tensor


def draw(
    pool: NodulePool, count: int, rng: np.random.Generator, *, window: int = 64, slices: int = 5, plain: bool = False
) -> Batch:
    """Draw `count` random samples.

    Args:
        window: rows and columns of a sample.
        slices: neighbouring slices that go in.
        plain: no change of grey, size or angle (shift and click still vary).
    """
    chosen = rng.choice(len(pool), count, p=pool.weights / pool.weights.sum())
    rows = [_one(pool, int(n), rng, slices) for n in chosen]
    stack = torch.from_numpy(np.stack([pool.images[r.index] for r in rows]).astype(np.float32))
    target = torch.from_numpy(
        np.stack([np.zeros((96, 96), np.float32) if r.empty else pool.fraction[r.middle] for r in rows]).astype(
            np.float32
        )
    )
    size = stack.shape[-1]
    matrix, centre, zoom = _placements(rows, rng, size, window, plain)
    # Place of each output pixel in the crop: centre + matrix @ (row, column from the window's middle).
    axis = torch.arange(window, dtype=torch.float32) - (window - 1) / 2
    grid_rows, grid_columns = torch.meshgrid(axis, axis, indexing="ij")
    offset = torch.stack([grid_rows, grid_columns], dim=-1)
    at = torch.einsum("bij,hwj->bhwi", matrix, offset) + centre[:, None, None, :]
    sampling = (at.flip(-1) + 0.5) * 2 / size - 1  # grid_sample wants (column, row) in -1..1, edges outside
    sample = torch.nn.functional.grid_sample
    stack = sample(stack, sampling, mode="bilinear", padding_mode="border", align_corners=False)
    target = sample(target[:, None], sampling, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]
    clicks = torch.tensor([r.click for r in rows], dtype=torch.float32)
    pixel = torch.tensor([r.pixel_mm for r in rows], dtype=torch.float32)
    spacing = torch.tensor([r.spacing_mm for r in rows], dtype=torch.float32)
    away = torch.tensor([r.away for r in rows], dtype=torch.float32) * spacing
    apart = (at - clicks[:, None, None, :]) * pixel[:, None, None, None]
    blobs = unet25d.guide(apart[..., 0] / zoom[:, None, None], apart[..., 1] / zoom[:, None, None], away)
    if not plain:
        stack = _brightened(stack, rng)
    numbers = unet25d.scalars(pixel * zoom, spacing, away)
    return Batch(torch.cat([stack, blobs], dim=1), numbers, target.clamp(0, 1))


@dataclass(frozen=True, slots=True)
class _Sample:
    index: NDArray[np.int64]  # slices that go in, in the pool
    middle: int
    click: tuple[float, float]  # row, column in the crop
    away: int  # slices from the clicked slice
    pixel_mm: float
    spacing_mm: float
    empty: bool


def _one(pool: NodulePool, n: int, rng: np.random.Generator, slices: int) -> _Sample:
    low, high = int(pool.first[n]), int(pool.first[n + 1])
    middle = int(rng.integers(low, high))
    clicked, click = _click(pool, n, rng)
    empty = False
    if pool.alone[n] and rng.random() < EMPTY_SHARE:
        beside = _beside(pool, low, high, middle, rng)
        if beside is not None:
            click, empty = beside, True
    start, stop = low, high
    if rng.random() < CUT_SHARE:
        start, stop = int(rng.integers(low, middle + 1)), int(rng.integers(middle + 1, high + 1))
    index = unet25d.neighbours(stop - start, [middle - start], slices)[0] + start
    return _Sample(index, middle, click, middle - clicked, float(pool.pixel_mm[n]), float(pool.spacing_mm[n]), empty)


def _click(pool: NodulePool, n: int, rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
    """A clicked slice and place: near the case's own click, near the middle of the outline, or anywhere inside it."""
    low, high = int(pool.first[n]), int(pool.first[n + 1])
    count = high - low
    own, row, column = (int(v) for v in pool.click[n])
    way = rng.random()
    if way < 0.35:
        clicked = low + min(count - 1, max(0, own + int(rng.integers(-1, 2)) * (count > 2)))
        spread = rng.normal(0.0, 1.5, 2)
        return clicked, (row + float(spread[0]), column + float(spread[1]))
    area = (pool.fraction[low:high] >= 0.5).sum(axis=(1, 2)).astype(np.float64)
    if area.sum() == 0:
        return low + own, (float(row), float(column))
    clicked = low + int(rng.choice(count, p=area / area.sum()))
    places = np.argwhere(pool.fraction[clicked] >= 0.5)
    if way < 0.7:
        spot = places.mean(axis=0) + rng.normal(0.0, 2.0, 2)
    else:
        spot = places[int(rng.integers(len(places)))].astype(np.float64)
    return clicked, (float(spot[0]), float(spot[1]))


def _beside(pool: NodulePool, low: int, high: int, middle: int, rng: np.random.Generator) -> tuple[float, float] | None:
    """A place at least 10 pixels from every outline of the nodule; half of the time a bright one (vessel, wall)."""
    drawn = np.argwhere((pool.fraction[low:high] > 0).any(axis=0))
    bright = rng.random() < 0.5
    for _ in range(12):
        spot = rng.integers(20, 76, 2)
        if len(drawn) and np.min(np.sum((drawn - spot) ** 2, axis=1)) < 100:
            continue
        if not bright or pool.images[middle, spot[0], spot[1]] > 0.45:
            return float(spot[0]), float(spot[1])
    return None


def _placements(
    rows: Sequence[_Sample], rng: np.random.Generator, size: int, window: int, plain: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """For each sample the 2x2 matrix and the centre that carry window pixels into the crop, and the zoom."""
    matrices, centres, zooms = [], [], []
    for _row in rows:
        quarter, mirror = int(rng.integers(4)), bool(rng.random() < 0.5)
        angle, zoom = quarter * np.pi / 2, 1.0
        shift = rng.integers(-SHIFT, SHIFT + 1, 2).astype(np.float64)
        stretch = np.ones(2)
        if not plain and rng.random() < FREE_SHARE:
            angle += rng.uniform(-np.pi / 4, np.pi / 4)
            zoom = float(np.exp(rng.uniform(np.log(0.75), np.log(1.3))))
            stretch = np.exp(rng.uniform(-0.1, 0.1, 2))
            shift += rng.uniform(-0.5, 0.5, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if mirror:
            turn = turn @ np.diag([1.0, -1.0])
        # zoom > 1: the window sees more of the crop, its pixels are larger
        matrices.append(turn @ np.diag(stretch) * zoom)
        centres.append((size - 1) / 2 + shift)
        zooms.append(zoom)
    as_float = torch.float32
    return (
        torch.tensor(np.round(np.stack(matrices), 9), dtype=as_float),
        torch.tensor(np.stack(centres), dtype=as_float),
        torch.tensor(zooms, dtype=as_float),
    )


def _brightened(stack: Tensor, rng: np.random.Generator) -> Tensor:
    """Grey gain, offset and gamma for each sample, a little flicker for each slice, now and then noise."""
    count, slices = stack.shape[:2]

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32)

    changed = column(rng.random(count) < 0.7)[:, None, None, None].bool()
    gamma = column(np.exp(rng.uniform(np.log(0.7), np.log(1.5), count)))[:, None, None, None]
    gain = column(rng.uniform(0.7, 1.4, count))[:, None, None, None]
    offset = column(rng.uniform(-0.2, 0.2, count))[:, None, None, None]
    new = stack.clamp(1e-4, 1) ** gamma * gain + offset
    stack = torch.where(changed, new, stack)
    flicker = column(1 + rng.uniform(-0.05, 0.05, (count, slices)))[:, :, None, None]
    stack = stack * flicker
    sigma = column(np.where(rng.random(count) < 0.25, rng.uniform(0, 0.06, count), 0.0))[:, None, None, None]
    noise = torch.from_numpy(rng.standard_normal(tuple(stack.shape), dtype=np.float32))
    return stack + noise * sigma

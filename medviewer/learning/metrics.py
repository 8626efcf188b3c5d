"""Figures of one mask against another. Both `[k, j, i]` on the same voxels; distances in mm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure with its 95 % interval and the number of cases behind it (NaN bounds where there is none)."""

    value: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """`{"value", "low", "high", "n"}`, with null for what is not finite."""
        bounds = {name: float(getattr(self, name)) for name in ("value", "low", "high")}
        return {**{k: v if np.isfinite(v) else None for k, v in bounds.items()}, "n": self.n}


def dice(mask: Mask, truth: Mask) -> float:
    """2 |A and B| / (|A| + |B|); NaN where both are empty (nothing was asked and nothing said)."""
    total = int(mask.sum()) + int(truth.sum())
    return 2.0 * int(np.logical_and(mask, truth).sum()) / total if total else float("nan")


def surface_distances_mm(
    mask: Mask, truth: Mask, spacing_kji: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each border voxel of one mask the distance to the nearest border voxel of the other, both ways.

    A border voxel is one with a neighbour (of six) outside the mask; every border voxel counts alike.
    """
    from scipy import ndimage

    either = np.argwhere(mask | truth)
    if not len(either):
        return np.empty(0), np.empty(0)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(either.min(axis=0), either.max(axis=0), strict=True))
    borders = []
    for one in (mask[box], truth[box]):
        padded = np.pad(one, 1)
        borders.append(padded & ~ndimage.binary_erosion(padded))
    spacing = tuple(float(s) for s in spacing_kji)
    to_truth = ndimage.distance_transform_edt(~borders[1], sampling=spacing)
    to_mask = ndimage.distance_transform_edt(~borders[0], sampling=spacing)
    return np.asarray(to_truth[borders[0]]), np.asarray(to_mask[borders[1]])


def hd95_mm(mask: Mask, truth: Mask, spacing_kji: Sequence[float]) -> float:
    """Symmetric 95th percentile of the surface distances (the larger of both directions); NaN where one is empty."""
    if not mask.any() or not truth.any():
        return float("nan")
    there, back = surface_distances_mm(mask, truth, spacing_kji)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def near_outlines(fraction: NDArray[np.float32], pixels: int = 5) -> Mask:
    """Voxels within some pixels (in the slice) of where the readers' share changes from 0 or to 1, `[k, j, i]`.

    Calibration of a share is judged there; elsewhere the background would decide.
    """
    from scipy import ndimage

    drawn = np.asarray(fraction > 0, dtype=bool)
    if not drawn.any():
        return drawn
    axis = np.arange(-pixels, pixels + 1)
    disk = (axis[:, None] ** 2 + axis[None] ** 2 <= pixels**2)[None]
    around = np.asarray(ndimage.binary_dilation(drawn, structure=disk), dtype=bool)
    inside = np.asarray(ndimage.binary_erosion(fraction >= 1, structure=disk, border_value=0), dtype=bool)
    near: Mask = around & ~inside
    return near


def size_stratum(diameter_mm: float) -> str | None:
    """`<6mm`, `6-10mm` or `>10mm`, or None where the diameter is unknown."""
    if not np.isfinite(diameter_mm):
        return None
    return "<6mm" if diameter_mm < 6 else "6-10mm" if diameter_mm <= 10 else ">10mm"


def summarised(
    columns: Mapping[str, ArrayLike], groups: Sequence[str], strata: Sequence[str | None] | None = None
) -> dict[str, Metric]:
    """Mean and interval over groups (patients) of each column of per-case figures.

    Args:
        columns: name -> one number a case; NaN is left out and not counted in `n`.
        groups: the patient of each case.
        strata: the stratum of each case; adds `NAME/STRATUM` for each.
    """
    from medviewer.learning.statistics import bootstrap_by_group

    table: dict[str, Metric] = {}
    for name, column in columns.items():
        values = np.asarray(column, dtype=np.float64)
        parts: dict[str, NDArray[np.bool_]] = {name: np.isfinite(values)}
        for stratum in ("<6mm", "6-10mm", ">10mm") if strata is not None else ():
            inside = np.array([s == stratum for s in strata or ()], dtype=bool)
            if inside.any():
                parts[f"{name}/{stratum}"] = inside & np.isfinite(values)
        for label, chosen in parts.items():
            count = int(chosen.sum())
            if count == 0:
                table[label] = Metric(float("nan"), float("nan"), float("nan"), 0)
                continue
            of = [group for group, kept in zip(groups, chosen, strict=True) if kept]
            table[label] = Metric(*bootstrap_by_group(values[chosen], of), count)
    return table

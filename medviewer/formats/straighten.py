"""A tilted, gappy or uneven stack as a regular, upright one: what other planes and volume files are made of.

The acquired pictures stay what they are; the result is a stack of its own that says what was done.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.carry import is_resampled
from medviewer.formats.catalog import FrameRef, Quality, Stack, StackKind
from medviewer.jobs import JobContext
from medviewer.volume.regular import RegularPlan, plan_regular, regular_slice
from medviewer.volume.volume import Volume

#: Air, HU: what lies beside the slices of a CT.
_AIR_HU = -1000.0


def plan_of(stack: Stack) -> RegularPlan:
    """How the slices of a stack become regular.

    Raises:
        ValueError: it needs none or its positions are unknown; ask `carry.is_resampled` first.
    """
    if not is_resampled(stack) or stack.spacing_kji is None or stack.spacing_kji[0] is None:
        raise ValueError("this stack is not resampled")
    count, rows, columns = stack.size_kji
    positions = np.array([frame.position_lps for frame in stack.frames[:count]], dtype=np.float64)
    axes = np.asarray(stack.direction, dtype=np.float64)
    step = stack.spacing_kji[0]
    return plan_regular(positions, axes[:3], axes[3:6], stack.spacing_kji[1:], step, (rows, columns))


def straightened_stack(stack: Stack, plan: RegularPlan, time: int = 0) -> Stack:
    """The description of the regular stack of one time: an own id, its grid, and what was resampled and where."""
    one = stack.at_time(time)
    grid = plan.grid
    frames = []
    for k in range(grid.size_kji[0]):
        before, after, share = plan.neighbours(k)
        nearest = one.frames[before if share < 0.5 else after]
        x, y, z = grid.index_to_lps((k, 0, 0))
        frames.append(FrameRef(nearest.path, nearest.frame, (float(x), float(y), float(z))))
    return replace(
        one,
        id=f"{one.id}-upright",
        kind=StackKind.VOLUME,
        frames=tuple(frames),
        size_kji=grid.size_kji,
        grid=grid,
        spacing_kji=grid.spacing_kji,
        origin_lps=grid.origin_lps,
        direction=grid.direction,
        quality=tuple(_resampled(fault) for fault in one.quality),
        derived_from=stack.id,
    )


def _resampled(fault: Quality) -> Quality:
    if fault.code == "gantry-tilt":
        words = f"{fault.short or 'gantry tilt'} corrected"
        return Quality(fault.code, f"{fault.detail}; corrected by resampling", words)
    if fault.code in ("missing-slice", "uneven-spacing"):
        return Quality(fault.code, f"{fault.detail}; interpolated there", f"{fault.short or fault.code}, interpolated")
    return replace(fault, images=())


def fill_of(volume: Volume) -> float:
    """The stored value of what no slice covers: padding, air in CT, else nothing."""
    dtype = volume.voxels.dtype
    if volume.padding is not None:
        return float(volume.padding[0])
    low = float(np.iinfo(dtype.name).min) if dtype.kind in "iu" else -np.inf
    high = float(np.iinfo(dtype.name).max) if dtype.kind in "iu" else np.inf
    if volume.modality != "CT":
        return 0.0
    slope, intercept = volume.rescale_of(0)
    return float(np.clip(round((_AIR_HU - intercept) / slope), low, high))


def straightened(
    stack: Stack, volume: Volume, context: JobContext | None = None, time: int = 0
) -> tuple[Stack, Volume]:
    """The regular stack and its voxels (linear interpolation between true neighbours).

    Args:
        stack: one that `carry.is_resampled`.
        volume: its voxels of that time, all loaded.
        time: which time of a 4-D stack.

    Raises:
        ValueError: the stack is not resampled. Cancelled: a person asked for it.
    """
    context = context or JobContext()
    plan = plan_of(stack)
    source, fill = volume.voxels, fill_of(volume)
    padding, slope, intercept = volume.padding, volume.slope, volume.intercept
    if not volume.has_one_rescale:  # values first: stored values of unlike slopes cannot be blended
        source, fill, padding, slope, intercept = volume.values(), 0.0, None, 1.0, 0.0
    out: NDArray[np.generic] = np.empty(plan.grid.size_kji, dtype=source.dtype)
    for k in range(out.shape[0]):
        out[k] = regular_slice(plan, source, k, fill, padding)
        context.report(k + 1, out.shape[0], "laying the slices upright")
    description = straightened_stack(stack, plan, time)
    made = replace(
        volume,
        voxels=out,
        grid=plan.grid,
        slope=slope,
        intercept=intercept,
        tables=(),
        padding=padding,
        stack_id=description.id,
        loaded=np.ones(out.shape[0], dtype=np.bool_),
    )
    return replace(description, dtype=out.dtype.name), made

"""Brush: add voxels to a segment."""

from __future__ import annotations

from collections.abc import Iterable

from medviewer.annotation.operations import Paint
from medviewer.annotation.segmentation import Segmentation
from medviewer.annotation.tools.stroke import Patch, stroke_patch
from medviewer.volume.plane import PlaneAxes

NAME = "brush stroke"


def brush(
    segmentation: Segmentation,
    number: int,
    axes: PlaneAxes,
    position: int,
    before: tuple[float, float],
    now: tuple[float, float],
    diameter_mm: float,
    *,
    ball: bool = False,
    only_over: Iterable[int] | None = None,
) -> Paint | None:
    """The operation of one piece of a brush stroke; None where it covers nothing.

    Args:
        segmentation: what is painted.
        number: the segment; 0 paints background.
        axes, position, before, now, diameter_mm, ball: as in `stroke_patch`.
        only_over: numbers that may be overwritten, None for all (0 alone protects every other segment).
    """
    patch = stroke_patch(segmentation.grid, axes, position, before, now, diameter_mm, ball=ball)
    return None if patch is None else paint_patch(number, patch, only_over=only_over)


def paint_patch(number: int, patch: Patch, *, name: str = NAME, only_over: Iterable[int] | None = None) -> Paint:
    """The operation that gives the voxels of a patch to a segment."""
    return Paint.of_mask(name, patch.start_kji, patch.mask, number, only_over=only_over)

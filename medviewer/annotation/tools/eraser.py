"""Eraser: take voxels away from a segment, or from all."""

from __future__ import annotations

from medviewer.annotation.operations import Paint
from medviewer.annotation.segmentation import Segmentation
from medviewer.annotation.tools.stroke import Patch, stroke_patch
from medviewer.volume.plane import PlaneAxes

NAME = "eraser stroke"


def erase(
    segmentation: Segmentation,
    number: int | None,
    axes: PlaneAxes,
    position: int,
    before: tuple[float, float],
    now: tuple[float, float],
    diameter_mm: float,
    *,
    ball: bool = False,
) -> Paint | None:
    """The operation of one piece of an eraser stroke; None where it covers nothing.

    Args:
        segmentation: what is erased.
        number: the only segment that loses voxels; None for all.
        axes, position, before, now, diameter_mm, ball: as in `stroke_patch`.
    """
    patch = stroke_patch(segmentation.grid, axes, position, before, now, diameter_mm, ball=ball)
    return None if patch is None else erase_patch(number, patch)


def erase_patch(number: int | None, patch: Patch, *, name: str = NAME) -> Paint:
    """The operation that takes the voxels of a patch away from a segment (None: from all)."""
    return Paint.of_mask(name, patch.start_kji, patch.mask, 0, only_over=None if number is None else (number,))

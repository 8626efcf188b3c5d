"""A copy of a segmentation as it is now, quick to take in the Qt thread and whole in a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import Box, Segment, Segmentation
from medviewer.volume.grid import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """The segments and the marked voxels: the box around them, copied.

    Attributes:
        grid, stack_id, segments: of the segmentation.
        box: around all marked voxels, or None.
        values: uint8 `[k, j, i]` of the box.
    """

    grid: Grid
    stack_id: str
    segments: tuple[Segment, ...]
    box: Box | None
    values: NDArray[np.uint8]

    @classmethod
    def of(cls, segmentation: Segmentation) -> Self:
        """Take the copy: costs the marked box, not the volume."""
        hull: Box | None = None
        for number in segmentation.segments:
            box = segmentation.box(number)
            hull = hull if box is None else box.union(hull)
        values = np.zeros((0, 0, 0), np.uint8) if hull is None else segmentation.labelmap[hull.slices].copy()
        return cls(segmentation.grid, segmentation.stack_id, tuple(segmentation.segments.values()), hull, values)

    def segmentation(self) -> Segmentation:
        """The whole segmentation, made anew (in a job)."""
        whole = np.zeros(self.grid.size_kji, dtype=np.uint8)
        if self.box is not None:
            whole[self.box.slices] = self.values
        return Segmentation.from_labelmap(self.grid, whole, self.segments, self.stack_id)

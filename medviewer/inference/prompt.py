"""Prompt: what a person points at when they ask for a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from medviewer.errors import BadInput
from medviewer.volume.grid import Grid


@dataclass(frozen=True, slots=True)
class Prompt:
    """A click, a box, or nothing.

    Attributes:
        point_lps: the click in mm (LPS), or None.
        box_lps: x0, y0, z0, x1, y1, z1 in mm (LPS), each lower bound first, or None.
        patient: id of the patient, so that similar cases of theirs are left out; "" where unknown.
    """

    point_lps: tuple[float, float, float] | None = None
    box_lps: tuple[float, float, float, float, float, float] | None = None
    patient: str = ""

    @classmethod
    def of(
        cls, point_lps: Sequence[float] | None = None, box_lps: Sequence[float] | None = None, patient: str = ""
    ) -> Self:
        """A prompt of loose numbers; the corners of the box may come in any order.

        Raises:
            BadInput: wrong count of numbers, not finite, or a box without extent.
        """
        click = [float(v) for v in (() if point_lps is None else point_lps)]
        corners = [float(v) for v in (() if box_lps is None else box_lps)]
        if (point_lps is not None and len(click) != 3) or (box_lps is not None and len(corners) != 6):
            raise BadInput("a click has three coordinates and a box six", remedy="give LPS millimetres")
        if not np.all(np.isfinite([*click, *corners])):
            raise BadInput("a coordinate is not a finite number")
        point = None if point_lps is None else (click[0], click[1], click[2])
        if box_lps is None:
            return cls(point, None, patient)
        x0, y0, z0 = (min(corners[n], corners[n + 3]) for n in range(3))
        x1, y1, z1 = (max(corners[n], corners[n + 3]) for n in range(3))
        if min(x1 - x0, y1 - y0, z1 - z0) <= 0:
            raise BadInput("the box has no extent along at least one axis")
        return cls(point, (x0, y0, z0, x1, y1, z1), patient)

    @property
    def middle_lps(self) -> tuple[float, float, float] | None:
        """The click, else the middle of the box, else None; mm (LPS)."""
        if self.point_lps is not None or self.box_lps is None:
            return self.point_lps
        x0, y0, z0, x1, y1, z1 = self.box_lps
        return ((x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2)

    def check_inside(self, grid: Grid) -> None:
        """Raise `BadInput` where the click lies outside the voxels or the box does not touch them."""
        if self.point_lps is not None and not grid.contains_lps(self.point_lps):
            place = ", ".join(f"{v:.1f}" for v in self.point_lps)
            raise BadInput(f"the click ({place} mm) lies outside the volume", remedy="click on the picture")
        if self.box_lps is not None:
            low, high = box_to_index(self.box_lps, grid)
            if np.any(high < 0) or np.any(low > np.asarray(grid.size_kji) - 1):
                raise BadInput("the box lies outside the volume", remedy="draw it on the picture")


def box_to_index(
    box_lps: Sequence[float], grid: Grid
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Fractional index bounds (low, high; k, j, i) of the box's eight corners; not cut to the grid."""
    x, y, z = (box_lps[0], box_lps[3]), (box_lps[1], box_lps[4]), (box_lps[2], box_lps[5])
    corners = grid.lps_to_index([(a, b, c) for a in x for b in y for c in z])
    return corners.min(axis=0), corners.max(axis=0)

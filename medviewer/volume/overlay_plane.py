"""Overlay planes: one-bit graphics that belong to a picture and are drawn over it, never added to its values.

PS3.3 C.9.2. Cutting them to the picture is done here; reading them is the formats' work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OverlayPlane:
    """What a file says about one overlay (its group 60xx without the bits).

    Attributes:
        group: 0x6000 to 0x601E.
        rows, columns: of the overlay.
        origin: row and column of the picture's pixel under the overlay's first one; 1, 1 is the picture's first
            pixel, and either may be zero or negative.
        frames: how many pictures it has; the overlay of one frame lies over all.
        first_frame: the picture's frame (from 1) that the overlay's first frame belongs to.
        bit: -1 where the bits stand in Overlay Data; else the bit of the pixel words that holds them (retired).
        is_region: True for type R (a region of interest), False for G (graphics).
        name: label or description, "" where the file has none.
    """

    group: int
    rows: int
    columns: int
    origin: tuple[int, int] = (1, 1)
    frames: int = 1
    first_frame: int = 1
    bit: int = -1
    is_region: bool = False
    name: str = ""

    def frame_over(self, frame: int) -> int | None:
        """Which frame (from 0) of the overlay lies over a frame (from 0) of the picture; None for none."""
        if self.frames <= 1:
            return 0
        own = frame - (self.first_frame - 1)
        return own if 0 <= own < self.frames else None


def laid_over(bits: NDArray[np.bool_], origin: tuple[int, int], rows: int, columns: int) -> NDArray[np.bool_]:
    """An overlay's bits cut to a picture of [rows, columns]; what lies outside is dropped."""
    picture = np.zeros((rows, columns), dtype=np.bool_)
    top, left = origin[0] - 1, origin[1] - 1
    row0, column0 = max(0, top), max(0, left)
    row1, column1 = min(rows, top + bits.shape[0]), min(columns, left + bits.shape[1])
    if row1 > row0 and column1 > column0:
        picture[row0:row1, column0:column1] = bits[row0 - top : row1 - top, column0 - left : column1 - left]
    return picture


@dataclass(frozen=True, slots=True, eq=False)
class FrameGraphics:
    """What lies over one picture, [rows, columns] each; None for nothing.

    Attributes:
        lines: pixels that overlay planes of graphics draw.
        regions: pixels that overlay planes of regions mark.
        covered: pixels that a shutter covers.
        brightness: how covered pixels are drawn, 0 black to 1 white.
    """

    lines: NDArray[np.bool_] | None = None
    regions: NDArray[np.bool_] | None = None
    covered: NDArray[np.bool_] | None = None
    brightness: float = 0.0

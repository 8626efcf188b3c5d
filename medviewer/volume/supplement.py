"""Supplemental Palette: a grey picture whose highest stored values have colours of their own (PS3.3 C.7.6.19).

What lies below the first coloured value goes through the window as ever: flow in colour over anatomy in grey.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Supplement:
    """Colours [entries, 3] (eight bits) of the stored values from `first` on; above the last entry its colour."""

    first: int
    colours: NDArray[np.uint8]

    def over(self, grey: NDArray[np.uint8], stored: NDArray[np.generic]) -> NDArray[np.uint8]:
        """RGB [..., 3]: the grey picture with the colours of those stored values that have one."""
        at = stored.astype(np.int64) - self.first
        rgb = np.repeat(grey[..., None], 3, axis=-1)
        coloured = at >= 0
        rgb[coloured] = self.colours[np.minimum(at[coloured], len(self.colours) - 1)]
        return rgb

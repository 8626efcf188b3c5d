"""Palette colour tables, plain and segmented (PS3.3 C.7.6.3.1.5 and C.7.9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset


def read_palette(dataset: Dataset) -> tuple[NDArray[np.uint8], int] | None:
    """The table of a data set as eight-bit RGB [entries, 3] and the first mapped index; None where it has none."""
    from pydicom.pixels.processing import apply_color_lut

    descriptor = getattr(dataset, "RedPaletteColorLookupTableDescriptor", None)
    if descriptor is None or len(descriptor) != 3:
        return None
    entries = int(descriptor[0]) or 65536
    first = int(descriptor[1])
    indices = np.arange(first, first + entries, dtype=np.int64)
    colours = np.asarray(apply_color_lut(indices, dataset))[..., :3]
    if colours.dtype != np.uint8:
        top = int(colours.max(initial=0))
        colours = (colours >> 8 if top > 255 else colours).astype(np.uint8)
    return colours.astype(np.uint8), first

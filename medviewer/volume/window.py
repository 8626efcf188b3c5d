"""Window and level: from stored values to eight bits, by one lookup table a window.

The three functions are those of PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3.2 (LINEAR_EXACT) and C.11.2.1.3.1
(SIGMOID). Integers go through a table with one entry a stored value; floats are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.volume.volume import Volume


class VoiFunction(StrEnum):
    """Value of VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """Width and level (centre) in units of the value after the modality rescale."""

    width: float
    level: float
    function: VoiFunction = VoiFunction.LINEAR

    def apply(self, values: ArrayLike) -> NDArray[np.float64]:
        """Brightness 0 to 255 (float64) of values; any shape."""
        x = np.asarray(values, dtype=np.float64)
        c, w = self.level, self.width
        if self.function is VoiFunction.SIGMOID:
            return 255.0 / (1.0 + np.exp(np.clip(-4.0 * (x - c) / max(w, 1e-12), -700, 700)))
        if self.function is VoiFunction.LINEAR_EXACT:
            return np.clip((x - c) / max(w, 1e-12) + 0.5, 0.0, 1.0) * 255.0
        if w <= 1.0:
            return np.where(x <= c - 0.5, 0.0, 255.0)
        return np.clip((x - (c - 0.5)) / (w - 1.0) + 0.5, 0.0, 1.0) * 255.0


def lookup_table(window: Window, dtype: np.dtype, slope: float, intercept: float, *, invert: bool) -> NDArray[np.uint8]:
    """Brightness of every stored value of an integer type of at most 16 bits.

    The table is indexed by the stored value's unsigned bit pattern: `table[stored.view(uint16)]`.
    """
    info = np.iinfo(dtype)
    if info.bits > 16:
        raise ValueError(f"no table for {dtype}: more than 16 bits")
    unsigned = np.arange(2**info.bits, dtype=np.uint16 if info.bits == 16 else np.uint8)
    stored = unsigned.view(dtype).astype(np.float64)
    grey = np.rint(window.apply(stored * slope + intercept)).astype(np.uint8)
    return (255 - grey).astype(np.uint8) if invert else grey


class GreyMapper:
    """Turns stored values of one Volume into eight bits under one window; keeps its tables.

    The result is black where the volume's padding is, whatever the inversion.
    """

    def __init__(self, volume: Volume, window: Window, *, invert: bool = False) -> None:
        self._volume = volume
        self._window = window
        self._invert = invert != volume.inverted
        self._tables: dict[tuple[float, float], NDArray[np.uint8]] = {}

    def grey(self, stored: NDArray[np.generic], k: int = 0) -> NDArray[np.uint8]:
        """Eight bits of stored values (any shape) that have the rescale of slice `k`."""
        slope, intercept = self._volume.rescale_of(k)
        dtype = stored.dtype
        if dtype.kind in "iu" and dtype.itemsize <= 2:
            table = self._tables.get((slope, intercept))
            if table is None:
                table = lookup_table(self._window, dtype, slope, intercept, invert=self._invert)
                if self._volume.padding is not None:
                    low, high = self._volume.padding
                    pattern = np.arange(table.size, dtype=np.uint16 if dtype.itemsize == 2 else np.uint8).view(dtype)
                    table[(pattern >= low) & (pattern <= high)] = 0
                self._tables[(slope, intercept)] = table
            unsigned = np.ascontiguousarray(stored).view(np.uint16 if dtype.itemsize == 2 else np.uint8)
            grey_levels: NDArray[np.uint8] = table[unsigned]
            return grey_levels
        brightness = self._window.apply(stored.astype(np.float64) * slope + intercept)
        grey = np.rint(np.nan_to_num(brightness)).astype(np.uint8)  # what is no number is drawn as the lowest
        if self._invert:
            grey = (255 - grey).astype(np.uint8)
        padding = self._volume.padding_mask(stored)
        if padding is not None:
            grey[padding] = 0
        return grey


def auto_window(volume: Volume, low_percent: float = 0.5, high_percent: float = 99.5) -> Window:
    """Window between two percentiles of the loaded slices, without padding and without the lowest value (air).

    At most some 200,000 voxels are looked at, evenly spread.
    """
    slices = np.flatnonzero(volume.loaded)
    if slices.size == 0:
        return Window(1.0, 0.0)
    chosen = slices[np.linspace(0, slices.size - 1, min(9, slices.size)).astype(int)]
    step = max(1, int(np.sqrt(volume.voxels.shape[1] * volume.voxels.shape[2] * len(chosen) / 200_000)))
    parts: list[NDArray[np.float64]] = []
    for k in chosen:
        stored = volume.voxels[k, ::step, ::step]
        slope, intercept = volume.rescale_of(int(k))
        value = stored.astype(np.float64) * slope + intercept
        padding = volume.padding_mask(stored)
        parts.append(value[~padding] if padding is not None else value.ravel())
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Window(1.0, 0.0)
    above = values[values > values.min()]
    values = above if above.size else values
    low, high = np.percentile(values, [low_percent, high_percent])
    smallest = 1.0 if volume.voxels.dtype.kind in "iu" else max(float(high - low) / 4096, 1e-9)
    return Window(max(float(high - low), smallest), float(high + low) / 2)

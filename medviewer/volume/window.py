"""Window and level: from stored values to eight bits, by one lookup table a window.

The three functions are those of PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3.2 (LINEAR_EXACT) and C.11.2.1.3.1
(SIGMOID). Integers go through a table with one entry a stored value; floats are computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.volume.lut import LookupTable
from medviewer.volume.volume import Volume


class VoiFunction(StrEnum):
    """Value of VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


@dataclass(frozen=True, slots=True)
class Window:
    """How values after the modality step become brightness: a function of width and level, or a table of the file.

    Attributes:
        width, level: width and centre in units of the value; of a table, of the values that it has entries for.
        function: the shape; LINEAR needs a width of 1 at least (PS3.3 C.11.2.1.2.1), a smaller one is taken as
            LINEAR_EXACT, which is what who writes 0.5 for values from 0 to 1 means.
        table: a VOI LUT, used instead of width and level; None for a plain window.
        explanation: what the file calls it ("BRAIN"), "" where it says nothing.
    """

    width: float
    level: float
    function: VoiFunction = VoiFunction.LINEAR
    table: LookupTable | None = None
    explanation: str = field(default="", compare=False)

    def apply(self, values: ArrayLike) -> NDArray[np.float64]:
        """Brightness 0 to 255 (float64) of values; any shape."""
        if self.table is not None:
            return self.table.apply(values) * (255.0 / self.table.top)
        x = np.asarray(values, dtype=np.float64)
        c, w = self.level, self.width
        if self.function is VoiFunction.SIGMOID:
            return 255.0 / (1.0 + np.exp(np.clip(-4.0 * (x - c) / max(w, 1e-30), -700, 700)))
        if self.function is VoiFunction.LINEAR_EXACT or w < 1.0:
            return np.clip((x - c) / max(w, 1e-30) + 0.5, 0.0, 1.0) * 255.0
        if w == 1.0:
            return np.where(x <= c - 0.5, 0.0, 255.0)
        return np.clip((x - (c - 0.5)) / (w - 1.0) + 0.5, 0.0, 1.0) * 255.0


def window_of_table(table: LookupTable) -> Window:
    """A VOI LUT as a window; its width and level are those of the inputs, for showing and for dragging on from."""
    width = table.last - table.first + 1
    return Window(float(width), table.first + width / 2, table=table, explanation=table.explanation)


def lookup_table(volume: Volume, window: Window, k: int = 0, *, invert: bool = False) -> NDArray[np.uint8]:
    """Brightness of every stored value of a volume of at most 16 bits, for slice `k`.

    Modality step (slope and intercept, or LUT), VOI (function or LUT), inversion and padding are folded into one
    table, which is indexed by the stored value's unsigned bit pattern: `table[stored.view(uint16)]`.
    """
    dtype = volume.voxels.dtype
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise ValueError(f"no table for {dtype}: more than 16 bits")
    stored = np.arange(1 << 8 * dtype.itemsize, dtype=np.uint16 if dtype.itemsize == 2 else np.uint8).view(dtype)
    grey = np.rint(window.apply(volume.values_of(stored, k))).astype(np.uint8)
    if invert:
        grey = (255 - grey).astype(np.uint8)
    padding = volume.padding_mask(stored)
    if padding is not None:
        grey[padding] = 0
    return grey


class GreyMapper:
    """Turns stored values of one Volume into eight bits under one window; keeps its tables.

    The result is black where the volume's padding is, whatever the inversion. Floating-point voxels are windowed by
    LINEAR_EXACT where LINEAR is meant: the half and the one that LINEAR takes off (PS3.3 C.11.2.1.2.1) are steps of
    whole numbers, and a window of 1 over a map from 0 to 1 would become a threshold.
    """

    def __init__(self, volume: Volume, window: Window, *, invert: bool = False) -> None:
        self._volume = volume
        if volume.voxels.dtype.kind == "f" and window.function is VoiFunction.LINEAR:
            window = replace(window, function=VoiFunction.LINEAR_EXACT)
        self._window = window
        self._invert = invert != volume.inverted
        self._tables: dict[tuple[float, float, LookupTable | None], NDArray[np.uint8]] = {}

    def grey(self, stored: NDArray[np.generic], k: int = 0) -> NDArray[np.uint8]:
        """Eight bits of stored values (any shape) that have the modality step of slice `k`."""
        dtype = stored.dtype
        if dtype.kind in "iu" and dtype.itemsize <= 2:
            key = (*self._volume.rescale_of(k), self._volume.table_of(k))
            table = self._tables.get(key)
            if table is None:
                table = self._tables[key] = lookup_table(self._volume, self._window, k, invert=self._invert)
            kind = np.dtype(np.uint16 if dtype.itemsize == 2 else np.uint8)
            unsigned: NDArray[np.uint16 | np.uint8] = np.ascontiguousarray(stored).view(kind)
            grey_levels: NDArray[np.uint8] = np.take(table, unsigned)  # twice as fast as indexing
            return grey_levels
        brightness = self._window.apply(self._volume.values_of(stored, k))
        missing = np.isnan(brightness)  # what is no number is drawn as padding is
        grey = np.rint(np.where(missing, 0.0, brightness)).astype(np.uint8)
        if self._invert:
            grey = (255 - grey).astype(np.uint8)
            grey[missing] = 0
        padding = self._volume.padding_mask(stored)
        if padding is not None:
            grey[padding] = 0
        return grey


def sampled_values(volume: Volume, only: int | None = None) -> NDArray[np.float64]:
    """Some 200,000 values of the loaded slices at most, evenly spread, without padding and the lowest one (air).

    With `only`, those of one slice. Empty where nothing has arrived.
    """
    slices = np.flatnonzero(volume.loaded)
    if only is not None:
        slices = slices[slices == only]
    if slices.size == 0:
        return np.zeros(0)
    chosen = slices[np.linspace(0, slices.size - 1, min(9, slices.size)).astype(int)]
    step = max(1, int(np.sqrt(volume.voxels.shape[1] * volume.voxels.shape[2] * len(chosen) / 200_000)))
    parts: list[NDArray[np.float64]] = []
    for k in chosen:
        stored = volume.voxels[k, ::step, ::step]
        value = volume.values_of(stored, int(k))
        padding = volume.padding_mask(stored)
        parts.append(value[~padding] if padding is not None else value.ravel())
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return values
    above = values[values > values.min()]
    return above if above.size else values


def auto_window(
    volume: Volume, low_percent: float = 0.5, high_percent: float = 99.5, only: int | None = None
) -> Window:
    """Window between two percentiles of the `sampled_values`; with `only`, of one slice."""
    values = sampled_values(volume, only)
    if values.size == 0:
        return Window(1.0, 0.0)
    low, high = np.percentile(values, [low_percent, high_percent])
    middle, width = float(high + low) / 2, float(high - low)
    if volume.is_whole:
        whole = (width, middle) if width >= 1.0 else (1.0, middle + 1.0)  # one value only: black
        return Window(*whole, explanation="auto")
    return Window(width if width > 0 else max(abs(middle), 1e-9), middle, VoiFunction.LINEAR_EXACT, explanation="auto")


def share_inside(volume: Volume, window: Window) -> float:
    """Which share of the `sampled_values` is neither black nor white under a window; 0 where nothing has arrived."""
    values = sampled_values(volume)
    inside = np.abs(values - window.level) < window.width / 2
    return float(inside.mean()) if values.size else 0.0

"""What tests of pictures add to a DICOM file: overlay planes, lookup tables, colour tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset


def lut(first: int, outputs: Any, bits: int, *, declared: int | None = None, signed: bool = False) -> Dataset:
    """An item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    count = len(outputs) if declared is None else declared
    vr = "SS" if signed else "US"
    item.add_new(0x00283002, vr, [count % 65536, first, bits])
    item.add_new(0x00283006, "OW", np.asarray(outputs).astype("<u2").tobytes())
    return item


def with_overlay(data: Dataset, bits: np.ndarray, group: int = 0x6000, origin: Any = (1, 1), **more: Any) -> Dataset:
    """Add an overlay of [rows, columns] or [frames, rows, columns] bits."""
    data.add_new((group, 0x0010), "US", bits.shape[-2])
    data.add_new((group, 0x0011), "US", bits.shape[-1])
    data.add_new((group, 0x0040), "CS", more.get("kind", "G"))
    data.add_new((group, 0x0050), "SS", list(origin))
    data.add_new((group, 0x0100), "US", 1)
    data.add_new((group, 0x0102), "US", 0)
    if bits.ndim == 3:
        data.add_new((group, 0x0015), "IS", bits.shape[0])
        data.add_new((group, 0x0051), "US", more.get("first", 1))
    raw = np.packbits(bits.reshape(-1).astype(bool), bitorder="little").tobytes()
    raw = raw + b"\0" * (len(raw) % 2)
    data.add_new((group, 0x3000), "OW", more.get("raw", raw))
    return data


def with_palette(data: Any, tables: Any, first: int, bits: int, *, segmented: bool = False, entries: int = 0) -> Any:
    """Give a picture three colour tables [3][entries]; of segmented ones `entries` is the length when expanded."""
    for n, values in enumerate(tables):
        vr = "SS" if data.PixelRepresentation else "US"
        data.add_new(0x00281101 + n, vr, [(entries or len(values)) % 65536, first, bits])
        raw = np.asarray(values).astype("u1" if bits == 8 else "<u2").tobytes()
        data.add_new((0x00281221 if segmented else 0x00281201) + n, "OW", raw + b"\0" * (len(raw) % 2))
    return data

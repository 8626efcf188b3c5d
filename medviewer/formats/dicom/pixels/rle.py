"""RLE Lossless frames (PS3.5 annex G): one PackBits segment for each byte of each sample."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.colour import to_rgb
from medviewer.formats.dicom.pixels.native import PixelFault, keep_stored_bits, stored_from_bytes

AnyArray = NDArray[np.generic]


def decode_rle(stream: bytes, layout: PixelLayout, out: AnyArray | None = None) -> AnyArray:
    """One frame as stored values, [rows, columns] or RGB [rows, columns, 3].

    Args:
        stream: the frame's bytes, header of sixteen numbers first.
        layout: as the header declares it.
        out: C-contiguous [rows, columns] of the native type that may be filled and returned, instead of a new array.

    Raises:
        PixelFault: it is damaged or cut.
    """
    if len(stream) < 64:
        raise PixelFault("truncated", "truncated: the RLE header is cut")
    count, *offsets = struct.unpack_from("<16I", stream)
    width = max(1, layout.bits_allocated // 8)
    if count != layout.samples * width:
        raise PixelFault("bad-pixels", f"{count} RLE segments where {layout.samples * width} must be")
    offsets = offsets[:count]
    if offsets[0] != 64 or sorted(offsets) != offsets or offsets[-1] >= len(stream):
        raise PixelFault("bad-pixels", "RLE segments lie outside the frame")
    bits = layout.rows * layout.columns
    length = (bits + 7) // 8 if layout.bits_allocated == 1 else bits
    planes = []
    for start, end in zip(offsets, [*offsets[1:], len(stream)], strict=True):
        planes.append(_unpack(stream[start:end], length))
    if layout.bits_allocated == 1:
        return stored_from_bytes(planes[0].tobytes(), 0, layout, big_endian=False, swap=False)
    if layout.samples == 1 and width <= 2 and not layout.float_bits:
        return _one_sample(planes, layout, out)
    values = np.empty((layout.rows, layout.columns, layout.samples), dtype=layout.dtype)
    raw = values.view(np.uint8).reshape(layout.rows, layout.columns, layout.samples, width)
    for n, plane in enumerate(planes):  # the most significant byte of each sample comes first
        raw[:, :, n // width, width - 1 - n % width] = plane.reshape(layout.rows, layout.columns)
    keep_stored_bits(values, layout)
    if layout.samples == 1:
        return values[:, :, 0]
    return to_rgb(values, layout.bits_stored) if layout.photometric in ("YBR_FULL", "YBR_FULL_422") else values


def _one_sample(planes: list[NDArray[np.uint8]], layout: PixelLayout, out: AnyArray | None) -> AnyArray:
    """The usual case, in as few passes over memory as there are segments, and straight into its place."""
    values = np.empty((layout.rows, layout.columns), layout.dtype) if out is None else out
    high = planes[0].reshape(values.shape)
    words = values.view(f"u{values.dtype.itemsize}")
    words[...] = high
    if len(planes) == 2:
        np.left_shift(words, 8, out=words)
        np.bitwise_or(words, planes[1].reshape(values.shape), out=words)
    above = layout.bits_stored - 8 * (len(planes) - 1)
    clean = not layout.signed and layout.high_bit == layout.bits_stored - 1 and 0 < above < 8
    if not (clean and int(high.max()) < 1 << above):
        keep_stored_bits(values, layout)
    return values


def _unpack(data: bytes, length: int) -> NDArray[np.uint8]:
    """One PackBits segment (PS3.5 G.3)."""
    try:
        from rle.rle import decode_segment  # type: ignore[import-not-found]
    except ImportError as fault:
        raise PixelFault("no-codec", "the decoder for RLE Lossless is missing: pip install pylibjpeg-rle") from fault
    try:
        plane = np.frombuffer(decode_segment(data), dtype=np.uint8)
    except Exception as fault:
        raise PixelFault("bad-pixels", "an RLE segment is damaged") from fault
    if plane.size < length:
        raise PixelFault("truncated", f"truncated: an RLE segment holds {plane.size} of {length} bytes")
    return plane[:length]

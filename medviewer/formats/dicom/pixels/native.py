"""Uncompressed pixels: bytes of one frame to stored values, exactly (PS3.5 section 8).

The usual case, one sample of whole bytes in little endian, is read straight into its place in the volume.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.colour import from_422, partial_to_rgb, to_rgb
from medviewer.formats.dicom.syntaxes import NATIVE
from medviewer.formats.dicom.text import one_line

AnyArray = NDArray[np.generic]


class PixelFault(Exception):
    """Pixels that cannot be decoded, with a skip code of the command line's contract and a reason for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = one_line(reason)


#: Colour models whose uncompressed form has one pair of colour differences for two pixels.
HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


def frame_bits(layout: PixelLayout) -> int:
    """Bits of one uncompressed frame."""
    if layout.photometric in HALVED and layout.bits_allocated == 8:
        return layout.rows * layout.columns * 16
    return layout.rows * layout.columns * layout.samples * layout.bits_allocated


def is_direct(layout: PixelLayout) -> bool:
    """True where a frame's bytes are the array's bytes but for masked bits."""
    plain = layout.samples == 1 and layout.bits_allocated >= 8 and layout.transfer_syntax in NATIVE
    return plain and sys.byteorder == "little"


def read_direct(file: BinaryIO, offset: int, layout: PixelLayout, out: AnyArray) -> None:
    """Read one frame of a direct layout into `out`, C-contiguous [rows, columns] of the native type."""
    file.seek(offset)
    view = memoryview(out.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    got = 0
    while got < len(view):
        count = file.readinto(view[got:])  # type: ignore[attr-defined]
        if not count:
            raise PixelFault("truncated", f"truncated: {100 * got / len(view):.0f} % of the picture is there")
        got += count
    keep_stored_bits(out, layout)


def keep_stored_bits(values: AnyArray, layout: PixelLayout) -> None:
    """In place: value = (word >> (HighBit + 1 - BitsStored)) and BitsStored bits of it, with their sign.

    Bits above HighBit may hold an old overlay or rubbish and never count.
    """
    if layout.float_bits or layout.bits_allocated in (1, layout.bits_stored):
        return
    integers = values.view(layout.dtype)
    left = layout.bits_allocated - 1 - layout.high_bit
    if left:
        np.left_shift(integers, left, out=integers)
    np.right_shift(integers, layout.bits_allocated - layout.bits_stored, out=integers)


def stored_from_bytes(data: bytes, bit_offset: int, layout: PixelLayout, *, big_endian: bool, swap: bool) -> AnyArray:
    """Stored values of one frame: [rows, columns] or RGB [rows, columns, 3].

    Args:
        data: bytes that hold the frame; whole 16-bit words where `swap`.
        bit_offset: where it begins in them (whole bytes but for one-bit pixels).
        layout: the file's.
        big_endian: order of bytes in a word.
        swap: True where pixels lie in swapped 16-bit words whatever their size (OW in big endian).
    """
    rows, columns, samples = layout.rows, layout.columns, layout.samples
    bits = frame_bits(layout)
    if (bit_offset + bits + 7) // 8 > len(data):
        have = max(0, len(data) - bit_offset // 8)
        raise PixelFault("truncated", f"truncated: {100 * have * 8 / bits:.0f} % of the picture is there")
    if swap and layout.bits_allocated in (1, 8):
        data = np.frombuffer(data, ">u2", count=len(data) // 2).astype("<u2").tobytes() + data[len(data) // 2 * 2 :]
    if layout.bits_allocated == 1:
        first = bit_offset // 8
        raw = np.frombuffer(data, np.uint8, count=(bit_offset % 8 + bits + 7) // 8, offset=first)
        unpacked = np.unpackbits(raw, bitorder="little")[bit_offset % 8 : bit_offset % 8 + bits]
        return unpacked.reshape((rows, columns) if samples == 1 else (rows, columns, samples))
    raw = np.frombuffer(data, np.uint8, count=bits // 8, offset=bit_offset // 8)
    if layout.photometric in HALVED and layout.bits_allocated == 8:
        full = from_422(raw, rows, columns)
        return partial_to_rgb(full) if layout.photometric == "YBR_PARTIAL_422" else to_rgb(full, 8)
    dtype = layout.dtype.newbyteorder(">" if big_endian else "<")
    values: AnyArray = raw.view(dtype).astype(layout.dtype)
    keep_stored_bits(values, layout)
    if big_endian and not layout.float_bits and layout.bits_allocated in ((32,) if swap else (16, 32)):
        values = _smoother(_other_reading(raw, layout, in_words=swap), values)
    if samples == 1:
        return values.reshape(rows, columns)
    if layout.planar == 1:
        values = np.ascontiguousarray(np.moveaxis(values.reshape(samples, rows, columns), 0, -1))
    else:
        values = values.reshape(rows, columns, samples)
    return to_rgb(values, layout.bits_stored) if layout.photometric == "YBR_FULL" else values


def _other_reading(raw: NDArray[np.uint8], layout: PixelLayout, *, in_words: bool) -> AnyArray:
    """Pixels of a big endian file as the letter of the standard has them, where many writers do not keep to it.

    In OW the low 16-bit word of a 32-bit pixel comes first and only bytes within words are swapped (PS3.5 annex D);
    bytes of OB are never swapped, not even those of wider pixels (which OB must not hold).
    """
    values: AnyArray
    if in_words:
        words = raw.view(">u2").reshape(-1, 2).astype(np.uint32)
        values = (words[:, 1] << 16 | words[:, 0]).view(layout.dtype)
    else:
        values = raw.view(layout.dtype.newbyteorder("<")).astype(layout.dtype)
    keep_stored_bits(values, layout)
    return values


def _smoother(one: AnyArray, other: AnyArray) -> AnyArray:
    """The smoother of two readings of one picture: no element says which way a writer went. In doubt the first."""
    rough = [float(np.abs(np.diff(values.astype(np.float64))).sum()) for values in (one, other)]
    return other if rough[1] < rough[0] else one

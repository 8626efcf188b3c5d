"""Compressed frames to stored values, by permissive decoders (pydicom's plug-ins, OpenJPEG, CharLS, GDCM).

What the code stream says of itself is checked before a decoder sees it: a picture of another size than the
header's, or one without an end, is refused.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.colour import to_rgb
from medviewer.formats.dicom.pixels.decoder_calls import decode_direct, gdcm_buffer
from medviewer.formats.dicom.pixels.native import PixelFault, frame_bits, keep_stored_bits, stored_from_bytes
from medviewer.formats.dicom.pixels.rle import decode_rle
from medviewer.formats.dicom.syntaxes import DEFLATED_FRAMES, JPEG, JPEG_2000, JPEG_LS, RAW_FRAMES, RLE, syntax_name

AnyArray = NDArray[np.generic]

# pydicom logs a traceback for each plug-in that fails; ours is one sentence, told by the caller.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_LOSSY = frozenset(
    f"1.2.840.10008.1.2.{tail}" for tail in ("4.50", "4.51", "4.53", "4.55", "4.81", "4.91", "4.93", "4.203")
)
_ONLY_GDCM = frozenset({"1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})
_EXTENDED = "1.2.840.10008.1.2.4.51"
#: JPEG 2000 Part 2 streams that use nothing of part 2 but its transfer syntax are decoded as part 1.
_PART_2 = {"1.2.840.10008.1.2.4.92": "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.93": "1.2.840.10008.1.2.4.91"}
#: OpenJPEG may refuse more.
_MOST_J2K_BITS = 24
#: SOFn markers: C0 to CF without DHT, JPG and DAC; F7 is JPEG-LS.
_SOF = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What a code stream says of itself."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False


def decode(stream: bytes, layout: PixelLayout, out: AnyArray | None = None) -> AnyArray:
    """One compressed frame as stored values, [rows, columns] or RGB [rows, columns, 3].

    Args:
        stream: the frame's bytes.
        layout: as the header declares it.
        out: C-contiguous [rows, columns] of the native type that may be filled and returned, instead of a new array.

    Raises:
        PixelFault: it is damaged, of another size than declared, or no decoder reads it.
    """
    syntax = layout.transfer_syntax
    if syntax == DEFLATED_FRAMES:
        return _decode_deflated(stream, layout)
    if syntax == RAW_FRAMES:
        return stored_from_bytes(stream, 0, layout, big_endian=False, swap=False)
    if syntax == RLE:
        return decode_rle(stream, layout, out)
    head = stream_header(stream, syntax)
    if (head.rows, head.columns) != (layout.rows, layout.columns):
        raise PixelFault(
            "bad-pixels",
            f"the compressed picture is {head.rows} x {head.columns} where the header says "
            f"{layout.rows} x {layout.columns}",
        )
    if head.components != layout.samples:
        raise PixelFault(
            "bad-pixels", f"the compressed picture has {head.components} components, the header says {layout.samples}"
        )
    if syntax in _ONLY_GDCM or (syntax == _EXTENDED and head.precision > 8):
        values = _decode_gdcm(stream, layout, head)
        photometric = layout.photometric
    else:
        plain = None
        told = layout
        if syntax in JPEG and head.precision <= 8 < layout.bits_allocated:  # decoders want room for eight bits only
            told = replace(layout, bits_allocated=8, bits_stored=8, high_bit=7)
        if syntax not in JPEG_2000 or head.signed == layout.signed:
            plain = decode_direct(stream, told, head.precision, _bits_for_decoder(told))
        values, photometric = (
            (plain, layout.photometric) if plain is not None else _decode_pydicom(stream, told, head.precision)
        )
    return _as_stored(values, layout, head, photometric)


def stream_header(stream: bytes, syntax: str) -> StreamHeader:
    """Size, components and precision of a JPEG, JPEG-LS or JPEG 2000 code stream.

    Raises:
        PixelFault: there is no such header, or the stream has no end.
    """
    if syntax in JPEG_2000:
        return _j2k_header(stream)
    if syntax in JPEG or syntax in JPEG_LS:
        return _jpeg_header(stream)
    raise PixelFault("no-codec", f"no decoder for {syntax_name(syntax)}")


def _jpeg_header(stream: bytes) -> StreamHeader:
    if not stream.startswith(b"\xff\xd8"):
        raise PixelFault("bad-pixels", "the compressed picture is no JPEG")
    if b"\xff\xd9" not in stream[-64:] and not stream.rstrip(b"\0\xff").endswith(b"\xd9"):
        raise PixelFault("bad-pixels", "the compressed picture is cut: its end is missing")
    pos = 2
    while pos + 4 <= len(stream):
        if stream[pos] != 0xFF:
            break
        marker = stream[pos + 1]
        if marker == 0xFF or marker in _BARE:
            pos += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack_from(">H", stream, pos + 2)[0]
        if marker in _SOF and pos + 10 <= len(stream):
            precision, rows, columns, components = struct.unpack_from(">BHHB", stream, pos + 4)
            return StreamHeader(rows, columns, components, precision)
        if marker == 0xDA:
            break
        pos += 2 + length
    raise PixelFault("bad-pixels", "the compressed picture has no frame header")


def _j2k_header(stream: bytes) -> StreamHeader:
    at = stream[:4096].find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 42 > len(stream):
        raise PixelFault("bad-pixels", "the compressed picture is no JPEG 2000 code stream")
    x1, y1, x0, y0 = struct.unpack_from(">4I", stream, at + 8)
    components, depth = struct.unpack_from(">HB", stream, at + 40)
    if x1 <= x0 or y1 <= y0:
        raise PixelFault("bad-pixels", "the compressed picture has no size")
    return StreamHeader(y1 - y0, x1 - x0, components, (depth & 0x7F) + 1, bool(depth & 0x80))


def _decode_pydicom(stream: bytes, layout: PixelLayout, precision: int) -> tuple[AnyArray, str]:
    """Values as the decoder gives them and the colour model they are in."""
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    options: dict[str, Any] = {
        "rows": layout.rows, "columns": layout.columns, "number_of_frames": 1, "samples_per_pixel": layout.samples,
        "bits_allocated": layout.bits_allocated, "bits_stored": _bits_for_decoder(layout),
        "pixel_representation": int(layout.signed), "photometric_interpretation": layout.photometric,
        "pixel_keyword": "PixelData", "planar_configuration": layout.planar,
    }  # fmt: skip
    syntax = _PART_2.get(layout.transfer_syntax, layout.transfer_syntax)
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError as fault:
        raise PixelFault("no-codec", f"no decoder for {syntax_name(layout.transfer_syntax)}") from fault
    if not decoder.is_available:
        raise PixelFault(
            "no-codec", f"the decoder for {syntax_name(layout.transfer_syntax)} is missing: pip install python-gdcm"
        )
    # CharLS reads fragmented and odd-precision JPEG-LS that GDCM does not; OpenJPEG is the younger of the two.
    plugin = "pyjpegls" if layout.transfer_syntax in JPEG_LS else ""
    if layout.transfer_syntax in JPEG_2000:
        plugin = "pylibjpeg"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, facts = decoder.as_array(
                encapsulate([stream]), index=0, raw=True, validate=True, decoding_plugin=plugin, **options
            )
    except Exception as fault:  # plug-ins raise whatever they like
        if precision > _MOST_J2K_BITS:
            raise PixelFault("no-codec", f"no decoder for JPEG 2000 of {precision} bits") from fault
        raise PixelFault("bad-pixels", f"the compressed picture is damaged ({type(fault).__name__})") from fault
    return values, str(facts["photometric_interpretation"])


def _bits_for_decoder(layout: PixelLayout) -> int:
    """Bits Stored as decoders are told it: GDCM ends the whole process on 8-bit JPEG of fewer stored bits."""
    if layout.transfer_syntax in JPEG and layout.bits_allocated == 8:
        return 8
    return layout.bits_stored


def _decode_gdcm(stream: bytes, layout: PixelLayout, head: StreamHeader) -> AnyArray:
    """12-bit and retired JPEG processes, which pydicom's plug-ins do not read."""
    allocated = 8 if head.precision <= 8 else 16
    # JPEG Extended has 8 or 12 bits; streams that claim 16 (old GDCM wrote them) hold those of the header.
    stored = 8 if allocated == 8 else min(head.precision, max(9, layout.bits_stored))
    try:
        data = gdcm_buffer(stream, layout, allocated, stored)
    except ImportError as fault:
        raise PixelFault("no-codec", "the decoder for 12-bit JPEG is missing: pip install python-gdcm") from fault
    except ValueError as fault:
        raise PixelFault("bad-pixels", "the compressed picture is damaged (GDCM)") from fault
    count = layout.rows * layout.columns * layout.samples
    if len(data) < count * allocated // 8:
        raise PixelFault("bad-pixels", "the compressed picture is damaged (GDCM)")
    values = np.frombuffer(data, np.dtype(f"{'i' if layout.signed else 'u'}{allocated // 8}"), count)
    shape = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, layout.samples)
    return values.reshape(shape).copy()


def _as_stored(values: AnyArray, layout: PixelLayout, head: StreamHeader, photometric: str) -> AnyArray:
    """Into the layout's type, bits and colour model."""
    if layout.samples == 3:
        if photometric in ("YBR_FULL", "YBR_FULL_422"):
            values = to_rgb(values, layout.bits_stored)
        return values.astype(layout.dtype, copy=False)
    if layout.transfer_syntax in JPEG_2000:
        values = _j2k_sign(values, layout, head)
    elif layout.signed and head.precision < layout.bits_allocated:  # JPEG and JPEG-LS streams know no sign
        values = values.astype(layout.dtype, copy=True)
        keep_stored_bits(values, replace(layout, bits_stored=head.precision, high_bit=head.precision - 1))
    if layout.bits_stored < layout.bits_allocated:
        low = -(1 << (layout.bits_stored - 1)) if layout.signed else 0
        high = low + (1 << layout.bits_stored) - 1
        outside = bool(values.min() < low or values.max() > high)
        if outside and layout.transfer_syntax in _LOSSY:
            values = np.clip(values, low, high)
        elif outside or (layout.signed and layout.transfer_syntax in JPEG):
            values = values.astype(layout.dtype, copy=True)
            keep_stored_bits(values, replace(layout, high_bit=layout.bits_stored - 1))
    return values.astype(layout.dtype, copy=False)


def _j2k_sign(values: AnyArray, layout: PixelLayout, head: StreamHeader) -> AnyArray:
    """A code stream of the other sign than the header's: the bits are reread with the header's sign."""
    if head.signed == layout.signed or head.precision >= 8 * values.dtype.itemsize:
        return values.view(values.dtype.str.replace("u" if layout.signed else "i", "i" if layout.signed else "u"))
    return values


def _decode_deflated(stream: bytes, layout: PixelLayout) -> AnyArray:
    """Deflated Image Frame Compression (PS3.5 A.4.11): each frame is a raw deflate stream."""
    needed = (frame_bits(layout) + 7) // 8
    try:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream, needed + 2)
    except zlib.error as fault:
        raise PixelFault("bad-pixels", f"the deflated frame is damaged ({fault})") from fault
    return stored_from_bytes(data, 0, layout, big_endian=False, swap=False)

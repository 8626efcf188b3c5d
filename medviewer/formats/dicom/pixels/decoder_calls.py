"""The usual compressed pictures, one sample a pixel, straight from the decoders' packages.

pydicom's plug-ins parse, wrap and copy around the same calls; that costs as much as decoding itself for the fast
codecs, and importing pydicom costs a fresh process more than its first ten pictures. What is not plain here gets None
and takes the long way; so does whatever a package refuses.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import PixelLayout

AnyArray = NDArray[np.generic]

_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_OPENJPEG = tuple(f"1.2.840.10008.1.2.4.{tail}" for tail in (90, 91, 201, 202, 203))
_CODE_STREAM = b"\xff\x4f\xff\x51"


def decode_direct(stream: bytes, layout: PixelLayout, precision: int, bits: int) -> AnyArray | None:
    """One frame [rows, columns] as its decoder gives it, in the type that its precision needs; None if not plain.

    Args:
        stream: a code stream whose size and components were compared with the header.
        layout: as the header declares it.
        precision: bits of a sample as the code stream says.
        bits: Bits Stored as the decoder is to be told it.
    """
    decode = _DECODERS.get(layout.transfer_syntax)
    if decode is None or layout.samples != 1 or layout.bits_allocated not in (8, 16) or precision > 16:
        return None
    try:
        data, itemsize = decode(stream, layout, precision, bits)
        if len(data) != layout.rows * layout.columns * itemsize:
            return None
    except Exception:  # packages raise whatever they like; the long way finds the words for it
        return None
    values = np.frombuffer(data, f"{'i' if layout.signed else 'u'}{itemsize}")
    return values.reshape(layout.rows, layout.columns)


def _charls(stream: bytes, layout: PixelLayout, precision: int, bits: int) -> tuple[Any, int]:
    import _CharLS  # type: ignore[import-not-found]

    return _CharLS._decode(stream), 1 if precision <= 8 else 2


def _openjpeg(stream: bytes, layout: PixelLayout, precision: int, bits: int) -> tuple[Any, int]:
    import _openjpeg  # type: ignore[import-not-found]

    if not stream.startswith(_CODE_STREAM):
        raise ValueError("a file around the code stream")
    failed, data = _openjpeg.decode(io.BytesIO(stream), 0, as_array=False)
    if failed:
        raise ValueError("damaged")
    return data, 1 if precision <= 8 else 2


def _gdcm(stream: bytes, layout: PixelLayout, precision: int, bits: int) -> tuple[Any, int]:
    return gdcm_buffer(stream, layout, layout.bits_allocated, bits), layout.bits_allocated // 8


def gdcm_buffer(stream: bytes, layout: PixelLayout, allocated: int, stored: int) -> bytes:
    """The values of one frame as GDCM gives them.

    Raises:
        ImportError: GDCM is not installed.
        ValueError: it does not read this picture.
    """
    import gdcm

    # Every object here must outlive the last call: GDCM's Python objects do not keep each other alive.
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((layout.columns, layout.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(layout.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(layout.transfer_syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(layout.samples, allocated, stored, stored - 1, int(layout.signed)))
    raw = image.GetBuffer()
    if raw is None:
        raise ValueError("damaged")
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else bytes(raw)


_Decode = Callable[[bytes, PixelLayout, int, int], tuple[Any, int]]
_DECODERS: dict[str, _Decode] = {
    **dict.fromkeys(_LOSSLESS_JPEG, _gdcm),
    **dict.fromkeys(_JPEG_LS, _charls),
    **dict.fromkeys(_OPENJPEG, _openjpeg),
}

"""The sign of JPEG 2000 pixels, where the header denies the one that the code stream states.

A few converters write signed code streams under Pixel Representation 0. The bits are the same, but read as unsigned
ones all negative values wrap to the top of the range: air becomes the brightest thing in a CT. The code stream knows
what was encoded (ISO/IEC 15444-1 A.5.1), so its sign is the one to show.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medviewer.formats import source
from medviewer.formats.catalog import Quality
from medviewer.formats.dicom.syntaxes import JPEG_2000

if TYPE_CHECKING:
    from medviewer.formats.dicom.elements import Header
    from medviewer.formats.dicom.headers.header import ImageFile

#: Marker of the code stream's start and of its size segment; the first component's depth and sign lie after it.
_START = b"\xff\x4f\xff\x51"
_DEPTH_AT = 42
_READ = 4096


def with_stream_sign(path: Path, header: Header, image: ImageFile) -> ImageFile:
    """The image with signed pixels and a fault where its code stream calls them signed and its header does not.

    Args:
        path: the file.
        header: its elements, for where the pixels begin.
        image: what was made of them.

    Raises:
        OSError, SourceFault: it cannot be read.
    """
    layout = image.layout
    is_whole = layout.bits_stored == layout.bits_allocated and layout.samples == 1
    if layout.signed or not is_whole or layout.transfer_syntax not in JPEG_2000 or header.pixel_offset < 0:
        return image
    with source.open_binary(path) as file:
        file.seek(header.pixel_offset + 4)
        table = int.from_bytes(file.read(4), "little")  # the basic offset table stands before the first frame
        file.seek(header.pixel_offset + 8 + table)
        start = file.read(_READ)
    at = start.find(_START)
    if at < 0 or at + _DEPTH_AT >= len(start) or start[at + _DEPTH_AT] != 0x80 | (layout.bits_stored - 1):
        return image
    detail = (
        "the header calls the pixels unsigned, the compressed picture signed: they are shown signed; "
        "sums and hashes follow the header"
    )
    fault = Quality("bad-rescale", detail, short="sign of the pixels disputed")
    return replace(
        image, layout=replace(layout, signed=True, signed_by_stream=True), faults=(*image.faults, fault)
    )  # fmt: skip

"""Overlay planes of a header (groups 6000 to 601E, PS3.3 C.9.2): what there is, and the bits of one.

The bits stand in Overlay Data, or, in old files, in a bit of the pixel words above High Bit (retired, PS3.5 8.1.2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.text import decode, one_line
from medviewer.volume.overlay_plane import OverlayPlane

_ROWS, _COLUMNS, _FRAMES, _TYPE, _ORIGIN, _FIRST_FRAME = 0x10, 0x11, 0x15, 0x40, 0x50, 0x51
_BITS, _BIT, _LABEL, _DESCRIPTION, _DATA = 0x0100, 0x0102, 0x1500, 0x0022, 0x3000
#: An overlay may not declare more bits than this.
_MOST_BITS = 1 << 33


def overlay_groups(data: Elements) -> list[int]:
    """The overlay groups (0x6000, 0x6002, ...) that have rows."""
    return [group for group in range(0x6000, 0x6020, 2) if group << 16 | _ROWS in data]


def read_overlay_planes(data: Elements, layout: PixelLayout | None = None) -> tuple[list[OverlayPlane], str]:
    """The usable overlay planes of a data set, and what is wrong with others ("" for nothing).

    Args:
        data: an image's or a presentation state's top level.
        layout: of the image's pixels, for overlays inside them; None: there are no pixels.
    """
    planes: list[OverlayPlane] = []
    faults: list[str] = []
    for group in overlay_groups(data):
        plane, fault = _plane(data, group, layout)
        if plane is not None:
            planes.append(plane)
        if fault:
            faults.append(fault)
    return planes, "; ".join(faults)


def _plane(data: Elements, group: int, layout: PixelLayout | None) -> tuple[OverlayPlane | None, str]:
    base = group << 16
    rows, columns = data.integer(base | _ROWS), data.integer(base | _COLUMNS)
    values = data.bytes(base | _DATA)
    if not rows or not columns or rows < 0 or columns < 0:
        return None, f"the overlay {group:04X} has no size" if values else ""
    frames = max(1, data.integer(base | _FRAMES) or 1)
    origin = data.vector(base | _ORIGIN, 2)
    bit = data.integer(base | _BIT) or 0
    kind = data.text(base | _TYPE).upper()
    name = one_line(decode(data.bytes(base | _LABEL), ())[0] or decode(data.bytes(base | _DESCRIPTION), ())[0])[:64]
    inside = base | _DATA not in data
    if inside and not (layout is not None and _is_unused(bit, layout)):
        return None, "" if layout is None else f"the overlay {group:04X} has no data"
    needed = rows * columns * frames
    if needed > _MOST_BITS or (not inside and len(values) * 8 < needed):
        return None, f"the overlay {group:04X} of {rows} x {columns} has {len(values)} bytes"
    plane = OverlayPlane(
        group=group,
        rows=rows,
        columns=columns,
        origin=(1, 1) if origin is None else (int(origin[0]), int(origin[1])),
        frames=frames,
        first_frame=max(1, data.integer(base | _FIRST_FRAME) or 1),
        bit=bit if inside else -1,
        is_region=kind == "R",
        name=name,
    )
    return _shared(plane), ""


def _is_unused(bit: int, layout: PixelLayout) -> bool:
    """True where a bit of the pixel words holds no part of the value."""
    lowest = layout.high_bit + 1 - layout.bits_stored
    return 0 <= bit < layout.bits_allocated and not lowest <= bit <= layout.high_bit


def overlay_bits(data: Elements, plane: OverlayPlane, frame: int = 0) -> NDArray[np.bool_]:
    """Bits [rows, columns] of one frame (from 0) of an overlay that has Overlay Data.

    Frames follow one another without filling; the first bit is the least significant one of the first word.

    Raises:
        ValueError: the overlay's bits stand in the pixels, or there is no such frame.
    """
    values = data.bytes(plane.group << 16 | _DATA)
    count = plane.rows * plane.columns
    first = frame * count
    if plane.bit >= 0 or frame < 0 or len(values) * 8 < first + count:
        raise ValueError(f"no bits for frame {frame} of overlay {plane.group:04X}")
    start, stop = first // 8, (first + count + 7) // 8
    if data.big_endian and data.vr(plane.group << 16 | _DATA) == "OW":
        start, stop = start - start % 2, stop + stop % 2
        words = np.frombuffer(values[start:stop], np.uint8)
        raw = words[: words.size // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    else:
        raw = np.frombuffer(values[start:stop], np.uint8)
    bits = np.unpackbits(raw, bitorder="little")[first - 8 * start :][:count]
    return bits.reshape(plane.rows, plane.columns).astype(np.bool_)


@lru_cache(maxsize=256)
def _shared(plane: OverlayPlane) -> OverlayPlane:
    """One instance for all equal overlays: the files of a series repeat them."""
    return plane

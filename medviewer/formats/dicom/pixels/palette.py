"""Palette colour tables, plain and segmented (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and C.7.9.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements

#: Indirect segments may lead to one another this deep; a table has this many entries at most, made of so many segments.
_DEEPEST, _MOST, _MOST_SEGMENTS = 8, 65536, 200_000


class PaletteFault(ValueError):
    """A colour table that cannot be read; the message says why."""


def read_palette(data: Elements, *, signed: bool = False) -> tuple[NDArray[np.uint8], int] | None:
    """The table of a data set as eight-bit RGB [entries, 3] and the first mapped index; None where it has none.

    A colour that has fewer entries than said keeps its last one.

    Args:
        data: top level.
        signed: True where the stored values are signed: the first mapped index is read so.

    Raises:
        PaletteFault: a descriptor or the data of a colour are missing or make no sense.
    """
    if T.PALETTE[0].descriptor not in data:
        return None
    channels: list[NDArray[np.uint16]] = []
    count = first = 0
    widest = 8
    for tags in T.PALETTE:
        words = tuple(int(n) & 0xFFFF for n in data.numbers(tags.descriptor) if n is not None)
        if len(words) != 3:
            raise PaletteFault("a colour's descriptor is damaged")
        entries, start, bits = words[0] or _MOST, words[1], words[2]
        if not channels:
            count = entries
            first = start - 0x10000 if start > 0x7FFF and (signed or data.vr(tags.descriptor) == "SS") else start
        raw, is_segmented = data.bytes(tags.data), False
        if not raw:
            raw, is_segmented = data.bytes(tags.segmented), True
        if not raw:
            raise PaletteFault("a colour has no entries")
        values = _values(raw, bits, entries, data.big_endian, is_segmented=is_segmented)
        if is_segmented:
            values = _expanded(values, values.itemsize)
        if values.size == 0:
            raise PaletteFault("a colour has no entries")
        if bits > 8:
            widest = 16
        if values.size < count:
            values = np.concatenate([values, np.full(count - values.size, values[-1])])
        channels.append(values[:count].astype(np.uint16))
    table = np.stack(channels, axis=-1)
    if widest == 16 and int(table.max()) > 255:  # some write eight-bit colours under a descriptor of sixteen
        table = np.right_shift(table, 8).astype(np.uint16)
    return table.astype(np.uint8), first


def _values(
    raw: bytes, bits: int, entries: int, big_endian: bool, *, is_segmented: bool
) -> NDArray[np.uint8 | np.uint16]:
    """The data of one colour as numbers: words, or bytes packed in words."""
    order = ">" if big_endian else "<"
    words = np.frombuffer(raw, f"{order}u2", len(raw) // 2)
    packed = bits <= 8 and (is_segmented or len(raw) in (entries, entries + 1))
    if not packed:
        return words.astype(np.uint16)
    bytes_in_order = words.astype("<u2").tobytes() if len(raw) % 2 == 0 else raw
    return np.frombuffer(bytes_in_order, np.uint8)


def _expanded(data: NDArray[np.uint8 | np.uint16], width: int) -> NDArray[np.uint8 | np.uint16]:
    """A segmented table written out: discrete (0), linear (1) and indirect (2) segments."""
    out: list[int] = []
    budget = [_MOST_SEGMENTS]
    _expand([int(n) for n in data[: 4 * _MOST]], width, 0, None, out, 0, budget)
    return np.asarray(out[:_MOST], dtype=data.dtype)


def _expand(
    data: list[int], width: int, at: int, segments: int | None, out: list[int], depth: int, budget: list[int]
) -> None:
    """Add the entries of `segments` segments (None: all) from `at` on; `budget` counts down all segments."""
    if depth > _DEEPEST:
        raise PaletteFault("segments of a colour lead to one another")
    done = 0
    while at + 1 < len(data) and (segments is None or done < segments) and len(out) < _MOST:
        budget[0] -= 1
        if budget[0] < 0:
            raise PaletteFault("a colour has too many segments")
        code, length = data[at], data[at + 1]
        at += 2
        if code == 0:
            out.extend(data[at : at + length])
            at += length
        elif code == 1:
            if not out or at >= len(data):
                raise PaletteFault("a linear segment of a colour has no beginning or no end")
            steps = np.arange(1, length + 1) / max(1, length)
            out.extend(np.rint(out[-1] + (data[at] - out[-1]) * steps).astype(int).tolist())
            at += 1
        elif code == 2:
            size = 4 // width
            parts = data[at : at + size]
            if len(parts) < size or not out:
                raise PaletteFault("an indirect segment of a colour leads nowhere")
            offset = sum(part << 8 * width * n for n, part in enumerate(parts))
            if offset // width >= len(data):
                raise PaletteFault("an indirect segment of a colour leads nowhere")
            _expand(data, width, offset // width, length, out, depth + 1, budget)
            at += size
        else:
            raise PaletteFault(f"a segment of a colour is of the unknown kind {code}")
        done += 1

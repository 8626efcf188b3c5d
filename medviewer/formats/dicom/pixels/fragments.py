"""Frames of encapsulated pixel data: which fragments belong to which frame (PS3.5 A.4).

Nothing is believed: offset tables that do not point at fragments are set aside and frames are found by their
start markers instead.
"""

from __future__ import annotations

import itertools
import struct
from typing import BinaryIO

from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.syntaxes import RLE

#: Offset and length of one fragment in the file.
Fragment = tuple[int, int]

_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_MAX_FRAGMENTS = 5_000_000


def locate_frames(file: BinaryIO, start: int, size: int, frames: int, syntax: str) -> list[list[Fragment]]:
    """The fragments of each frame.

    Args:
        file: opened, seekable.
        start: offset of the encapsulated value (its first item is the basic offset table).
        size: of the file.
        frames: how many the header says.
        syntax: transfer syntax UID.

    Returns:
        One list of fragments a frame; there may be fewer frames than the header says.

    Raises:
        PixelFault: the items are damaged.
    """
    table, fragments = _items(file, start, size)
    if not fragments:
        raise PixelFault("truncated", "truncated: no compressed data follows the header")
    if frames == 1:
        return [fragments]
    if len(fragments) == frames or syntax == RLE:
        return [[fragment] for fragment in fragments[:frames]]
    by_table = _by_table(table, fragments, start)
    if by_table is not None and len(by_table) == frames:
        return by_table
    return _by_marker(file, fragments)[:frames]


def _items(file: BinaryIO, start: int, size: int) -> tuple[list[int], list[Fragment]]:
    file.seek(start)
    head = file.read(8)
    if head[:4] != _ITEM:
        raise PixelFault("bad-pixels", "the compressed data does not begin with an offset table")
    if len(head) < 8:
        raise PixelFault("truncated", "truncated: the file ends where the compressed data begins")
    length = struct.unpack("<I", head[4:])[0]
    if length > size - start - 8:
        raise PixelFault("truncated", "truncated: the offset table reaches beyond the end of the file")
    raw = file.read(length)
    table = list(struct.unpack(f"<{length // 4}I", raw[: length // 4 * 4]))
    fragments: list[Fragment] = []
    pos = start + 8 + length
    while pos + 8 <= size:
        file.seek(pos)
        head = file.read(8)
        if head[:4] == _END:
            break
        if head[:4] != _ITEM:
            if fragments:
                break  # rubbish after the last fragment
            raise PixelFault("bad-pixels", "the compressed data has no item where one must be")
        length = struct.unpack("<I", head[4:])[0]
        if length > size - pos - 8:
            raise PixelFault("truncated", "truncated: compressed data reaches beyond the end of the file")
        if length:
            fragments.append((pos + 8, length))
        if len(fragments) > _MAX_FRAGMENTS:
            raise PixelFault("too-large", f"more than {_MAX_FRAGMENTS} fragments")
        pos += 8 + length
    return table, fragments


def _by_table(table: list[int], fragments: list[Fragment], start: int) -> list[list[Fragment]] | None:
    if not table or sorted(set(table)) != table or table[0] != 0:
        return None
    base = fragments[0][0] - 8
    starts = {offset - 8 - base: n for n, (offset, _) in enumerate(fragments)}
    if any(offset not in starts for offset in table):
        return None
    firsts = [starts[offset] for offset in table] + [len(fragments)]
    return [fragments[a:b] for a, b in itertools.pairwise(firsts)]


def _by_marker(file: BinaryIO, fragments: list[Fragment]) -> list[list[Fragment]]:
    frames: list[list[Fragment]] = []
    for offset, length in fragments:
        file.seek(offset)
        if file.read(4).startswith(_STARTS) or not frames:
            frames.append([])
        frames[-1].append((offset, length))
    return frames


def read_fragments(file: BinaryIO, fragments: list[Fragment], room: memoryview) -> None:
    """Read the bytes of one frame into `room`, which is as long as they are.

    Raises:
        PixelFault: the file has become shorter.
    """
    at = 0
    for offset, length in fragments:
        file.seek(offset)
        end = at + length
        while at < end:
            count = file.readinto(room[at:end])  # type: ignore[attr-defined]
            if not count:
                raise PixelFault("truncated", "truncated: compressed data reaches beyond the end of the file")
            at += count

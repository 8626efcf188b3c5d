"""ZIP archives that lost their end or their directory: the members that are whole are found by their own headers.

A copy that was cut, or a download that stopped, has no central directory. The local headers before the cut say what
is there (APPNOTE.TXT 4.3.7); a directory is written anew from them, in memory, and read behind the archive's own bytes.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import BinaryIO

_LOCAL, _CENTRAL, _DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_LOCAL_HEAD = struct.Struct("<4sHHHHHIIIHH")
_HAS_DESCRIPTOR, _UTF8 = 0x08, 0x800
_STORED, _DEFLATED = 0, 8
_BLOCK = 1 << 20
#: Members that are looked for, and bytes that are unpacked on the way to the ends of members without a size.
_MAX_MEMBERS, _MAX_UNPACKED = 500_000, 16 << 30


@dataclass(frozen=True, slots=True)
class Rescue:
    """What is left of an archive.

    Attributes:
        file: the archive with a directory of its whole members, as `zipfile` reads it.
        whole: how many members are whole.
        cut: name of the member in which the archive ends, "" for none.
        share: how much of that member is there, 0 to 1; None where its size is unknown.
    """

    file: BinaryIO
    whole: int
    cut: str
    share: float | None


@dataclass(slots=True)
class _Member:
    name: bytes
    flags: int
    method: int
    stamp: int
    crc: int
    packed: int
    size: int
    offset: int
    end: int


class _WithDirectory(io.RawIOBase):
    """A file followed by bytes that are not in it; read-only."""

    def __init__(self, file: BinaryIO, end: int, tail: bytes) -> None:
        self._file, self._end, self._tail, self._at = file, end, tail, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end + len(self._tail)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._end + len(self._tail) if size is None or size < 0 else self._at + size
        data = b""
        if self._at < self._end:
            self._file.seek(self._at)
            data = self._file.read(min(stop, self._end) - self._at)
        if stop > self._end:
            data += self._tail[max(0, self._at - self._end) : stop - self._end]
        self._at += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def rescue(file: BinaryIO) -> Rescue | None:
    """Find the whole members of an archive without a directory.

    Args:
        file: opened, seekable; it is closed with the Rescue's file, or here where nothing is left.

    Returns:
        What is left, None for nothing.
    """
    size = file.seek(0, io.SEEK_END)
    members: list[_Member] = []
    cut, share, pos, unpacked = "", None, 0, 0
    while len(members) < _MAX_MEMBERS and unpacked < _MAX_UNPACKED:
        found = _next_header(file, pos, size)
        if found is None:
            break
        member, start = _member(file, found, size)
        if member is None:
            pos = found + 4
            continue
        if member.flags & _HAS_DESCRIPTOR and not member.packed:
            done = _find_end(file, member, start, size)
            unpacked += member.size
        else:
            member.end = start + member.packed
            done = member.end <= size
        if done:
            members.append(member)
            pos = member.end
        else:
            cut = member.name.decode("utf-8" if member.flags & _UTF8 else "cp437", "replace")
            share = max(0, size - start) / member.packed if member.packed else None
            pos = start
            if member.end >= size:
                break
    if not members:
        file.close()
        return None
    whole = _WithDirectory(file, size, _directory(members, size))
    return Rescue(whole, len(members), cut, share)  # type: ignore[arg-type]


def _next_header(file: BinaryIO, pos: int, size: int) -> int | None:
    """Offset of the next local header, None before the central directory or the end."""
    while pos + 4 <= size:
        file.seek(pos)
        block = file.read(_BLOCK)
        at = block.find(_LOCAL)
        if block.startswith(_CENTRAL):
            return None
        if at >= 0:
            return pos + at
        pos += max(1, len(block) - 3)
    return None


def _member(file: BinaryIO, at: int, size: int) -> tuple[_Member | None, int]:
    """What a local header says, and where its data begin."""
    file.seek(at)
    head = file.read(_LOCAL_HEAD.size)
    if len(head) < _LOCAL_HEAD.size:
        return None, at
    _, _, flags, method, time, date, crc, packed, unpacked, name_length, extra_length = _LOCAL_HEAD.unpack(head)
    name = file.read(name_length)
    extra = file.read(extra_length)
    if len(name) < name_length or len(extra) < extra_length or not name or method not in (_STORED, _DEFLATED):
        return None, at
    pos = 0
    while pos + 4 <= len(extra):  # ZIP64 sizes (4.5.3): the unpacked one comes first
        kind, length = struct.unpack_from("<HH", extra, pos)
        if kind == 1 and length >= 16 and pos + 20 <= len(extra):
            unpacked, packed = struct.unpack_from("<QQ", extra, pos + 4)
        pos += 4 + length
    start = at + _LOCAL_HEAD.size + name_length + extra_length
    return _Member(name, flags, method, date << 16 | time, crc, packed, unpacked, at, start), start


def _find_end(file: BinaryIO, member: _Member, start: int, size: int) -> bool:
    """Fill in sizes and checksum of a member that was written as a stream; False where it is cut."""
    if member.method == _STORED:
        return _find_descriptor(file, member, start, size)
    engine, crc, count, pos = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0, start
    file.seek(start)
    try:
        while not engine.eof:
            block = engine.unconsumed_tail
            if not block:
                block = file.read(_BLOCK)
                pos += len(block)
            if not block:
                member.end = size
                return False
            data = engine.decompress(block, _BLOCK)
            crc, count = zlib.crc32(data, crc), count + len(data)
            if count > _MAX_UNPACKED:
                return False
    except zlib.error:
        return False
    member.end = pos - len(engine.unused_data)
    member.packed, member.size, member.crc = member.end - start, count, crc
    return True


def _find_descriptor(file: BinaryIO, member: _Member, start: int, size: int) -> bool:
    """A stored member ends at the data descriptor (4.3.9) that gives just its length."""
    pos = start
    while pos + 16 <= size:
        file.seek(pos)
        block = file.read(_BLOCK)
        at = block.find(_DESCRIPTOR)
        while 0 <= at <= len(block) - 16:
            crc, packed, unpacked = struct.unpack_from("<3I", block, at + 4)
            if packed == unpacked == pos + at - start:
                member.crc, member.packed, member.size, member.end = crc, packed, unpacked, pos + at
                return True
            at = block.find(_DESCRIPTOR, at + 4)
        pos += max(1, len(block) - 15)
    member.end = size
    return False


def _directory(members: list[_Member], at: int) -> bytes:
    """A central directory of some members that stands at an offset; ZIP64 fields only where they are needed."""
    out = io.BytesIO()
    for m in members:
        large = max(m.packed, m.size, m.offset) >= 0xFFFFFFFF
        extra = struct.pack("<HHQQQ", 1, 24, m.size, m.packed, m.offset) if large else b""
        packed, size, offset = (0xFFFFFFFF,) * 3 if large else (m.packed, m.size, m.offset)
        out.write(
            struct.pack(
                "<4sHHHHIIIIHHHHHII", _CENTRAL, 45, 45, m.flags & ~_HAS_DESCRIPTOR, m.method, m.stamp, m.crc, packed,
                size, len(m.name), len(extra), 0, 0, 0, 0, offset,
            )
        )  # fmt: skip
        out.write(m.name + extra)
    length, count = out.tell(), len(members)
    out.write(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, at))
    out.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, at + length, 1))
    limit = min(count, 0xFFFF)
    out.write(
        struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, limit, limit, min(length, 0xFFFFFFFF), min(at, 0xFFFFFFFF), 0)
    )
    return out.getvalue()


#: What `zipfile` raises on damage of every kind.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError, KeyError,
    IndexError, struct.error,
)  # fmt: skip

"""Stored values of one frame of a file, whatever its transfer syntax.

The few last files stay open, so that frames of a multi-frame file are found without reading it again. Compressed
frames are decoded in child processes (`decoding`). Decoding a frame is thread-safe.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from medviewer.formats import source
from medviewer.formats.catalog import FrameRef, PixelLayout
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import (
    DEFLATED_LE,
    EXPLICIT_BE,
    Elements,
    Header,
    HeaderFault,
    inflate,
    parse_header,
)
from medviewer.formats.dicom.pixels.decoding.pool import pool
from medviewer.formats.dicom.pixels.decoding.process import EncodedFrame
from medviewer.formats.dicom.pixels.fragments import Fragment, locate_frames, read_fragments
from medviewer.formats.dicom.pixels.native import PixelFault, frame_bits, is_direct, read_direct, stored_from_bytes
from medviewer.formats.dicom.pixels.palette import PaletteFault, read_palette
from medviewer.formats.dicom.syntaxes import NATIVE

AnyArray = NDArray[np.generic]

_KEEP_OPEN = 4
_KEEP_PICTURES = 2


@dataclass(slots=True)
class _OpenFile:
    """A file that stays open. Its header is parsed, and its frames are located, when somebody asks."""

    path: Path
    file: BinaryIO
    size: int
    frames: list[list[Fragment]] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    _header: Header | None = None
    _inflated: bytes | None = None

    @property
    def header(self) -> Header:
        """Its header.

        Raises:
            HeaderFault: it is damaged.
        """
        with self.lock:
            if self._header is None:
                self._header = _parse(self.file, self.size)
            return self._header

    @property
    def inflated(self) -> bytes | None:
        """Everything after the meta group of a deflated file, None for others."""
        if self.header.transfer_syntax != DEFLATED_LE:
            return None
        with self.lock:
            if self._inflated is None:
                self._inflated = _inflate(self.file)
            return self._inflated


class _OpenFiles:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, tuple[int, int]], _OpenFile] = OrderedDict()

    def get(self, path: Path) -> _OpenFile:
        name = str(path)
        on_disk = _stamp_on_disk(name)  # asked once: a series costs as much in questions to the system as in reading
        key = (name, source.stamp(path) if on_disk is None else on_disk)
        with self._lock:
            known = self._open.get(key)
            if known is not None:
                self._open.move_to_end(key)
                return known
        opened = _open(path) if on_disk is None else _OpenFile(path, path.open("rb"), on_disk[1])
        with self._lock:
            self._open[key] = opened
            while len(self._open) > _KEEP_OPEN:
                self._open.popitem(last=False)  # closed when the last reader lets go of it
        return opened


def _stamp_on_disk(name: str) -> tuple[int, int] | None:
    """`source.stamp` of a regular file on disk, None for everything else."""
    try:
        state = os.stat(name)  # noqa: PTH116 - a Path's own costs more than the question
    except OSError:
        return None
    return (state.st_mtime_ns, state.st_size) if stat.S_ISREG(state.st_mode) else None


_FILES = _OpenFiles()


class _TiledPictures:
    """The tiled pictures decoded last: the slices of a mosaic are read one after the other from the same picture."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Path, tuple[int, int], int], AnyArray] = OrderedDict()

    def get(self, frame: FrameRef) -> AnyArray:
        key = (frame.path, source.stamp(frame.path), frame.frame)
        with self._lock:  # who wants another tile of the same picture waits for it
            if key not in self._known:
                self._known[key] = read_stored(replace(frame, tile=None))
                while len(self._known) > _KEEP_PICTURES:
                    self._known.popitem(last=False)
            return self._known[key]


_TILED = _TiledPictures()


def _open(path: Path) -> _OpenFile:
    size = source.size_of(path)
    on_disk = source.outer_archive(path) is None
    return _OpenFile(path, source.open_binary(path) if on_disk else io.BytesIO(source.read_all(path)), size)


def _parse(file: BinaryIO, size: int) -> Header:
    wanted = 65536
    while True:
        file.seek(0)
        buffer = file.read(wanted)
        try:
            return parse_header(buffer, size, T.WANTED)
        except Exception as fault:
            more = getattr(fault, "wanted", None)
            if more is None or wanted >= size:
                raise
            wanted = min(size, max(more, 4 * wanted))


def _inflate(file: BinaryIO) -> bytes:
    file.seek(0)
    data = file.read()
    pos = 132
    while data[pos : pos + 2] == b"\x02\x00":
        long = data[pos + 4 : pos + 6] in (b"OB", b"UN", b"OW", b"UT", b"SQ")
        length = struct.unpack_from("<I", data, pos + 8)[0] if long else struct.unpack_from("<H", data, pos + 6)[0]
        pos += (12 if long else 8) + length
    return inflate(data[pos:])


def read_stored(frame: FrameRef, out: AnyArray | None = None) -> AnyArray:
    """Stored values of one frame.

    Args:
        frame: which; its layout says how to read it.
        out: C-contiguous [rows, columns] of the native type to fill, for one sample a pixel.

    Returns:
        [rows, columns], or RGB [rows, columns, 3] for colour. `out` itself where given.

    Raises:
        PixelFault: it cannot be decoded.
        OSError, SourceFault: the file cannot be read any more.
    """
    layout = frame.layout
    assert layout is not None
    if frame.tile is not None:
        row, column, rows, columns = frame.tile
        tile = _TILED.get(frame)[row : row + rows, column : column + columns]
        if out is None:
            return np.ascontiguousarray(tile)
        out[...] = tile
        return out
    if frame.data_offset >= 0 and is_direct(layout):
        target = np.empty((layout.rows, layout.columns), layout.dtype) if out is None else out
        offset = frame.data_offset + frame.frame * (frame_bits(layout) // 8)
        if source.outer_archive(frame.path) is None:
            with frame.path.open("rb", buffering=0) as file:
                read_direct(file, offset, layout, target)
        else:
            opened = _FILES.get(frame.path)
            with opened.lock:
                read_direct(opened.file, offset, layout, target)
        return target
    try:
        values = _read_slowly(frame, layout, out)
    except HeaderFault as fault:
        raise PixelFault(fault.code, fault.reason) from fault
    if out is None or values is out:
        return values
    out[...] = values
    return out


def _read_slowly(frame: FrameRef, layout: PixelLayout, out: AnyArray | None) -> AnyArray:
    opened = _FILES.get(frame.path)
    if layout.transfer_syntax in NATIVE:
        bits = frame_bits(layout)
        first_bit = frame.frame * bits
        start, length = first_bit // 8, (first_bit % 8 + bits + 7) // 8
        big = layout.transfer_syntax == EXPLICIT_BE
        swap = big and opened.header.pixel_vr == "OW"
        if swap:  # whole 16-bit words
            start, length = start - start % 2, length + start % 2 + (length + start % 2) % 2
        inflated = opened.inflated
        if inflated is not None:
            at = opened.header.pixel_offset + start
            data = inflated[at : at + length]
        else:
            with opened.lock:
                opened.file.seek(opened.header.pixel_offset + start)
                data = opened.file.read(length)
        return stored_from_bytes(data, first_bit - 8 * start, layout, big_endian=big, swap=swap)
    return pool().decode(encoded_frame(frame, out))


def is_encoded(frame: FrameRef) -> bool:
    """True for a frame of a DICOM file whose pixels are compressed."""
    return frame.layout is not None and frame.layout.transfer_syntax not in NATIVE


def encoded_frame(frame: FrameRef, out: AnyArray | None = None) -> EncodedFrame:
    """Where the compressed bytes of a frame lie, for a decoding process.

    Raises:
        PixelFault: they cannot be found.
        OSError, SourceFault: the file cannot be read.
    """
    layout = frame.layout
    assert layout is not None
    opened = _FILES.get(frame.path)
    with opened.lock:
        if opened.frames is None:
            try:
                start = frame.data_offset if frame.data_offset >= 0 else opened.header.pixel_offset
            except HeaderFault as fault:
                raise PixelFault(fault.code, fault.reason) from fault
            opened.frames = locate_frames(opened.file, start, opened.size, layout.frames, layout.transfer_syntax)
        if frame.frame >= len(opened.frames):
            raise PixelFault("truncated", f"frame {frame.frame + 1} is missing: only {len(opened.frames)} are there")
        fragments = opened.frames[frame.frame]

    def fill(room: memoryview) -> None:
        with opened.lock:
            read_fragments(opened.file, fragments, room)

    return EncodedFrame(sum(length for _, length in fragments), fill, layout, out)


def elements_of(path: Path) -> Elements:
    """The elements of a file's top level that a scan reads, with their values.

    Raises:
        PixelFault: its header is damaged. OSError, SourceFault: it cannot be read any more.
    """
    try:
        return _FILES.get(path).header.data
    except HeaderFault as fault:
        raise PixelFault(fault.code, fault.reason) from fault


def palette_of(path: Path) -> tuple[NDArray[np.uint8], int] | None:
    """The colour table of a palette file: [entries, 3] of eight bits and the first mapped index; None without one."""
    return _palette(path, source.stamp(path))


@lru_cache(maxsize=32)
def _palette(path: Path, _stamp: tuple[int, int]) -> tuple[NDArray[np.uint8], int] | None:
    data = elements_of(path)
    try:
        return read_palette(data, signed=data.integer(T.PIXEL_REPRESENTATION) == 1)
    except PaletteFault as fault:
        raise PixelFault("bad-pixels", f"the colour table is damaged: {fault}") from fault

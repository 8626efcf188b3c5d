"""Uncompressed frames of files on disk, read straight into their places, several at once.

A slice is one `preadv` into the volume: no buffer between, no copy. Reads wait for disks without Python's lock, so a
few threads keep several of them in flight, and share the copying where the files are in memory already. Whatever goes
wrong with a frame is left to the careful reading of `pixels.read_stored`, which says what it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import FrameRef, PixelLayout
from medviewer.formats.dicom.pixels.native import frame_bits, is_direct, keep_stored_bits
from medviewer.jobs import CancelToken

AnyArray = NDArray[np.generic]

#: Reads in flight: as many as keep a disk busy, and no more than a small machine can copy at once.
_THREADS = 4
#: Frames that a thread reads before it tells.
_CHUNK = 8
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of one frame lie, and where they go.

    Attributes:
        k: a number to tell it by.
        path: of the file on disk.
        offset: of the frame's first byte.
        layout: how its pixels are stored.
        out: C-contiguous [rows, columns] of the native type.
    """

    k: int
    path: str
    offset: int
    layout: PixelLayout
    out: AnyArray


def direct_place(frame: FrameRef, k: int, out: AnyArray) -> Place | None:
    """The place of an uncompressed frame whose bytes are the array's bytes; None for every other frame."""
    layout = frame.layout
    if layout is None or frame.data_offset < 0 or frame.tile is not None or not is_direct(layout):
        return None
    if out.dtype != layout.dtype or out.shape != (layout.rows, layout.columns) or not out.flags.c_contiguous:
        return None
    offset = frame.data_offset + frame.frame * (frame_bits(layout) // 8)
    return Place(k, str(frame.path), offset, layout, out)


def read_places(places: Sequence[Place], token: CancelToken) -> Iterator[tuple[int, bool]]:
    """Read frames, the first ones first: the number of each, and whether it was read.

    Args:
        places: what to read and where to.
        token: ends the reading.
    """
    chunks = [places[n : n + _CHUNK] for n in range(0, len(places), _CHUNK)]
    if len(chunks) <= 1:
        for chunk in chunks:
            yield from _read_chunk(chunk, token)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read") as pool:
        pending = [pool.submit(_read_chunk, chunk, token) for chunk in chunks]
        try:
            for future in as_completed(pending):
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read_chunk(places: Sequence[Place], token: CancelToken) -> list[tuple[int, bool]]:
    """One file after the other; a file of several frames stays open."""
    told: list[tuple[int, bool]] = []
    opened, number = "", -1
    try:
        for place in places:
            if token.cancelled:
                break
            try:
                if place.path != opened:
                    if number >= 0:
                        os.close(number)
                    opened, number = "", -1
                    number = os.open(place.path, _FLAGS)
                    opened = place.path
                told.append((place.k, _read(number, place)))
            except OSError:
                told.append((place.k, False))
    finally:
        if number >= 0:
            os.close(number)
    return told


def _read(number: int, place: Place) -> bool:
    """Fill one place; False where the file ends before."""
    view = memoryview(place.out.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
    got = 0
    while got < len(view):
        count = _read_into(number, view[got:], place.offset + got)
        if count <= 0:
            return False
        got += count
    keep_stored_bits(place.out, place.layout)
    return True


if hasattr(os, "preadv"):

    def _read_into(number: int, view: memoryview, offset: int) -> int:
        return os.preadv(number, [view], offset)

else:  # Windows

    def _read_into(number: int, view: memoryview, offset: int) -> int:
        os.lseek(number, offset, os.SEEK_SET)
        data = os.read(number, len(view))
        view[: len(data)] = data
        return len(data)

"""What parent and child say to each other: records of fixed size with a short text behind them.

Nothing is pickled. The child may be in the hands of a hostile file, so the parent reads numbers, checks them, and
never runs what it is sent.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.native import PixelFault

_REQUEST = struct.Struct("<7QdI4x")
_REPLY = struct.Struct("<BBBx3III")
_TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
#: Faults that a child may tell of.
_CODES = frozenset({"bad-pixels", "too-large", "truncated", "no-codec", "unsupported"})
_MAX_TEXT = 4096
_DONE, _FAULT, _READY = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Request:
    """Decode the bytes at `start`, put the values at `target`.

    Attributes:
        size: of the mailbox.
        start, length: of the compressed bytes in it.
        target, capacity: of the room for the values.
        memory, seconds: the frame's limits.
        layout: as the header declares the frame.
    """

    size: int
    start: int
    length: int
    target: int
    capacity: int
    memory: int
    seconds: float
    layout: PixelLayout


@dataclass(frozen=True, slots=True)
class Decoded:
    """Where the child says that values lie: their type and shape."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class RequestWriter:
    """Packs requests; a layout is sent once, not with every frame."""

    def __init__(self) -> None:
        self._last: PixelLayout | None = None

    def pack(self, request: Request) -> bytes:
        """The bytes of a request."""
        text = b""
        if request.layout is not self._last:
            self._last = request.layout
            text = json.dumps(asdict(request.layout)).encode()
        r = request
        numbers = (r.size, r.start, r.length, r.target, r.capacity, r.memory, 0)
        return _REQUEST.pack(*numbers, r.seconds, len(text)) + text


class RequestReader:
    """Reads requests from a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._layout: PixelLayout | None = None

    def read(self) -> Request:
        """The next request.

        Raises:
            EOFError: the parent is gone.
        """
        size, start, length, target, capacity, memory, _, seconds, text = _REQUEST.unpack(
            read_exactly(self._descriptor, _REQUEST.size)
        )
        if text:
            self._layout = PixelLayout(**json.loads(read_exactly(self._descriptor, text)))
        assert self._layout is not None
        return Request(size, start, length, target, capacity, memory, seconds, self._layout)


def pack_done(values: np.ndarray[Any, Any]) -> bytes:
    """The reply that says which values lie in the mailbox."""
    shape = (*values.shape, 0, 0, 0)[:3]
    return _REPLY.pack(_DONE, _TYPES.index(values.dtype.str[1:]), values.ndim, *shape, 0, 0)


def pack_fault(fault: PixelFault) -> bytes:
    """The reply that says why there are none."""
    text = json.dumps([fault.code, fault.reason[:1000]]).encode()
    return _REPLY.pack(_FAULT, 0, 0, 0, 0, 0, len(text), 0) + text


def pack_ready() -> bytes:
    """What a process says first, when it can serve."""
    return _REPLY.pack(_READY, *[0] * 7)


def read_ready(descriptor: int) -> None:
    """Wait for a process's first word.

    Raises:
        EOFError: the child is gone.
        ValueError: it says something else.
    """
    if read_exactly(descriptor, _REPLY.size) != pack_ready():
        raise ValueError("a first word of no known form")


def read_reply(descriptor: int) -> Decoded | PixelFault:
    """The child's next reply.

    Raises:
        EOFError: the child is gone.
        ValueError: it says what no child of ours says.
    """
    kind, code, ndim, *shape, length, _ = _REPLY.unpack(read_exactly(descriptor, _REPLY.size))
    if kind == _DONE and code < len(_TYPES) and ndim in (2, 3) and not length:
        return Decoded(np.dtype(_TYPES[code]), tuple(shape[:ndim]))
    if kind == _FAULT and length <= _MAX_TEXT:
        told, reason = json.loads(read_exactly(descriptor, length))
        if told in _CODES and isinstance(reason, str):
            return PixelFault(told, reason)
    raise ValueError("a reply of no known form")


def read_exactly(descriptor: int, length: int) -> bytes:
    """So many bytes of a pipe.

    Raises:
        EOFError: the other side is gone.
    """
    data = os.read(descriptor, length)
    while len(data) < length:
        more = os.read(descriptor, length - len(data))
        if not more:
            raise EOFError
        data += more
    return data

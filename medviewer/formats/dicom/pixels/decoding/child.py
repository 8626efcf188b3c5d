"""What runs in a decoding process: take a frame from the mailbox, decode it, put its values back.

It goes on until the parent is gone. It starts without pydicom, Qt or torch; a decoder's package is imported with the
first frame that needs it.
"""

from __future__ import annotations

import importlib
import mmap
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.decoding import messages
from medviewer.formats.dicom.pixels.decoding.limits import Held
from medviewer.formats.dicom.pixels.decoding.mailbox import open_map
from medviewer.formats.dicom.pixels.native import PixelFault

#: Turns compressed bytes into stored values, [rows, columns] or [rows, columns, 3]; may fill `out` and return it.
Decoder = Callable[[bytes, PixelLayout, Any], Any]


def main(reference: str, decoder: str) -> None:
    """Serve frames until the parent closes the pipe; never returns.

    Args:
        reference: of the mailbox.
        decoder: `module:function`, a `Decoder`.
    """
    requests, replies = _claim_pipes()
    module, name = decoder.split(":")
    decode: Decoder = getattr(importlib.import_module(module), name)
    held = Held()
    os.write(replies, messages.pack_ready())
    reader = messages.RequestReader(requests)
    memory: mmap.mmap | None = None
    size = 0
    while True:
        try:
            request = reader.read()
        except (EOFError, OSError):
            os._exit(0)  # the program has ended; nobody waits for an answer
        try:
            if memory is None or size != request.size:
                memory = None  # the old one goes before the limits are those of the new one
            held.hold(request.memory + request.size, request.seconds)
            if memory is None:
                memory, size = open_map(reference, request.size), request.size
            reply = _serve(decode, memory, request)
        except MemoryError:
            reply = messages.pack_fault(PixelFault("too-large", "decoding needs more memory than a picture may take"))
        except PixelFault as fault:
            reply = messages.pack_fault(fault)
        except Exception as fault:  # decoders raise whatever they like
            reply = messages.pack_fault(
                PixelFault("bad-pixels", f"the compressed picture is damaged ({type(fault).__name__})")
            )
        try:
            os.write(replies, reply)
        except OSError:
            os._exit(0)


def _serve(decode: Decoder, memory: mmap.mmap, request: messages.Request) -> bytes:
    stream = memory[request.start : request.start + request.length]
    layout = request.layout
    room = None
    if layout.samples == 1:
        count = layout.rows * layout.columns
        if count * layout.dtype.itemsize <= request.capacity:
            room = np.frombuffer(memory, layout.dtype, count, request.target).reshape(layout.rows, layout.columns)
    values = decode(stream, layout, room)
    if values is not room:
        if values.nbytes > request.capacity:
            raise PixelFault("bad-pixels", "the compressed picture is larger than the header says")
        target = np.frombuffer(memory, values.dtype, values.size, request.target).reshape(values.shape)
        np.copyto(target, values)
    return messages.pack_done(values)


def _claim_pipes() -> tuple[int, int]:
    """The pipes to the parent, out of the way of decoders that print or read."""
    requests, replies = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (requests, replies):
            msvcrt.setmode(descriptor, os.O_BINARY)
    return requests, replies

"""Decoders that behave as a hostile frame would make a real one behave; they run in a decoding process."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from medviewer.formats.catalog import PixelLayout


def decode(stream: bytes, layout: PixelLayout, out: Any) -> Any:
    """Do what the first word of the frame says; a frame of any other words is decoded to its length."""
    word = stream.split(b" ")[0]
    if word == b"spin":  # OpenJPEG's endless loop of CVE-2023-39327, say
        while True:
            pass
    if word in (b"sleep", b"hang"):
        time.sleep(float(stream.split(b" ")[1]))
    if word == b"hog":
        return np.ones((20_000, 20_000), np.int64)
    if word == b"creep":  # bit by bit
        held = []
        while True:
            held.append(np.ones(2 << 20, np.int64))
            time.sleep(0.01)
    if word == b"crash":
        os.abort()
    if word == b"leave":
        os._exit(0)
    if word == b"raise":
        raise KeyError("whatever decoders raise")
    if word == b"large":
        return np.zeros((layout.rows * 2, layout.columns), np.uint16)
    if word == b"other":
        return np.zeros((layout.columns, layout.rows), np.uint16)
    if word == b"print":
        os.write(1, b"warning: corrupt data\n" * 100)
    if word == b"babble":
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, b"\xff" * 64)
            except OSError:
                continue
    out[...] = len(stream)
    return out

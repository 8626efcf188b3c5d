"""Memory that two processes see: compressed bytes lie in it on the way in, pixels on the way out.

It has no name that could outlive the program: an anonymous file on Linux, a file without a name on other POSIX systems,
a section of the page file on Windows.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]

#: Size at the start, and to which an idle mailbox shrinks again.
SMALL = 4 << 20
PAGE = 4096


class Mailbox:
    """The parent's end. `reference` goes on the child's command line, `descriptor` is handed down to it (POSIX)."""

    def __init__(self) -> None:
        self._base = ""
        self.descriptor = -1
        if sys.platform == "win32":
            self._base = f"medviewer-{uuid.uuid4().hex}"
        elif hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create("medviewer-decoding")
        else:
            self.descriptor, name = tempfile.mkstemp()
            Path(name).unlink()
        if self.descriptor >= 0:
            os.ftruncate(self.descriptor, SMALL)
        self.size = SMALL
        self._map = open_map(self.reference, SMALL)

    @property
    def reference(self) -> str:
        """What the child opens it by."""
        return self._base or str(self.descriptor)

    def resize(self, size: int) -> None:
        """Make it hold `size` bytes; what lies in it may be lost.

        Raises:
            OSError: there is no memory for it.
        """
        if self.descriptor >= 0:
            os.ftruncate(self.descriptor, size)
        new = open_map(self.reference, size)
        _close(self._map)
        self._map, self.size = new, size

    def view(self, offset: int, length: int) -> memoryview:
        """A part of it to write into; release it soon."""
        return memoryview(self._map)[offset : offset + length]

    def array(self, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> AnyArray:
        """A part of it as an array; let go of it soon."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._map, dtype, count, offset).reshape(shape)

    def close(self) -> None:
        """Let go of it."""
        _close(self._map)
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def open_map(reference: str, size: int) -> mmap.mmap:
    """The memory behind a mailbox's reference."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size, tagname=f"{reference}-{size}")
    return mmap.mmap(int(reference), size)


def _close(memory: mmap.mmap) -> None:
    with contextlib.suppress(BufferError):  # somebody still looks at a part: it goes with the last look
        memory.close()


def up_to_page(size: int) -> int:
    """The next multiple of a page."""
    return (size + PAGE - 1) // PAGE * PAGE

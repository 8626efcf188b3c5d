"""How much memory and time one compressed frame may cost, and how a process is held to it.

The numbers follow from what the header declares, never from what the compressed stream says of itself: the widest
decoder here (OpenJPEG) keeps 32-bit samples twice beside its result.
"""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from medviewer.formats.catalog import PixelLayout

#: Beyond the frame itself: the decoders' libraries, their tables, and tiles of a header's size.
MEMORY_BASE = 384 << 20
#: Bytes of working memory a declared sample: two images of 32 bits, a copy at each border, and the result.
MEMORY_PER_SAMPLE = 32
#: Compressed bytes are copied by some decoders.
MEMORY_PER_COMPRESSED_BYTE = 4
#: JPEG 2000 takes about 80 ns a sample on a slow core; a busy machine may be fifty times as slow.
SECONDS_BASE = 10.0
SECONDS_PER_SAMPLE = 4e-6


@dataclass(frozen=True, slots=True)
class Limits:
    """What one frame may cost.

    Attributes:
        memory: bytes of address space above those of the process at rest.
        seconds: until the process is stopped.
    """

    memory: int
    seconds: float


def limits_for(layout: PixelLayout, compressed_bytes: int) -> Limits:
    """The limits of one frame; memory in steps of 64 MiB, so that equal frames have equal ones."""
    samples = layout.rows * layout.columns * layout.samples
    memory = MEMORY_BASE + MEMORY_PER_SAMPLE * samples + MEMORY_PER_COMPRESSED_BYTE * compressed_bytes
    step = 64 << 20
    return Limits((memory + step - 1) // step * step, SECONDS_BASE + SECONDS_PER_SAMPLE * samples)


class Held:
    """Holds the process that it is made in to limits; made once, after the imports.

    On POSIX the kernel refuses memory beyond the limit and ends a process that computes too long, even where a decoder
    never gives the interpreter back. Elsewhere a thread of C ends it in time, and the parent watches its memory.
    """

    def __init__(self) -> None:
        self._rest = _address_space()
        self._memory = self._until = 0
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no picture of a patient in a core dump
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # a decoder has nothing to write

    def hold(self, memory: int, seconds: float) -> None:
        """Allow the next frame so much memory (bytes above those at rest) and so many seconds."""
        if sys.platform == "win32":
            import faulthandler
            import os

            with Path(os.devnull).open("w") as nowhere:
                faulthandler.dump_traceback_later(seconds + 5.0, exit=True, file=nowhere)
            return
        import resource

        if memory != self._memory and self._rest:
            self._memory = memory
            _lower(resource.RLIMIT_AS, self._rest + memory)
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = math.ceil(used.ru_utime + used.ru_stime + seconds + 2.0)
        if until != self._until:
            self._until = until
            _lower(resource.RLIMIT_CPU, until)


def _lower(kind: int, soft: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (soft, hard))


def _address_space() -> int:
    """Bytes of address space of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        import os

        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0

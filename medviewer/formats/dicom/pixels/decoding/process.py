"""One decoding process as its parent has it: started, asked, watched, killed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import medviewer
from medviewer.errors import Cancelled
from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.decoding import messages
from medviewer.formats.dicom.pixels.decoding.limits import Limits, limits_for
from medviewer.formats.dicom.pixels.decoding.mailbox import SMALL, Mailbox, up_to_page
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.jobs import CancelToken

AnyArray = NDArray[np.generic]

#: The word that makes the frozen program a decoding process.
SWITCH = "--decoding-process"
#: What decodes in the process.
DECODER = "medviewer.formats.dicom.pixels.codecs:decode"
#: One thread a process; and memory that a frame has used stays for the next one (GNU's allocator would give it back to
#: the system and have each page faulted in again, which takes as long as decoding RLE).
_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"), "1"),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
#: A process that has not begun to serve after so many seconds never will.
_START_SECONDS = 60.0
#: An idle process keeps no more of its mailbox than this.
_KEEP = 64 << 20
#: From here on the memory that is free is asked for.
_LARGE = 1 << 30
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrame:
    """One compressed frame.

    Attributes:
        length: of its bytes.
        fill: writes them into a buffer of that length.
        layout: as the header declares it.
        out: C-contiguous [rows, columns] to put the values into, or None for a new array.
    """

    length: int
    fill: Callable[[memoryview], None]
    layout: PixelLayout
    out: AnyArray | None = None


@dataclass(slots=True)
class Watched:
    """What the watchdog has to know of a process that works: how long it may take, how much memory, who may cancel."""

    deadline: float
    seconds: float
    memory: int
    token: CancelToken | None
    since: float


class Died(Exception):
    """The process ended without an answer, through no fault of the frame as far as can be told."""


class DecodingProcess:
    """A child process with a mailbox. One thread at a time uses it; `kill` may come from any."""

    def __init__(self, decoder: str = DECODER, limits: Callable[[PixelLayout, int], Limits] = limits_for) -> None:
        self._limits = limits
        self._mailbox = Mailbox()
        self._writer = messages.RequestWriter()
        self._verdict = ""
        self._killed = False
        self._is_ready = False
        self.watched: Watched | None = None
        try:
            self._process = _start(self._mailbox, decoder)
        except OSError:
            self._mailbox.close()
            raise
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._replies = self._process.stdin.fileno(), self._process.stdout.fileno()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """False once it has ended or was told to."""
        return not self._killed and self._process.poll() is None

    def decode(self, frames: Sequence[EncodedFrame], token: CancelToken | None) -> Iterator[AnyArray | PixelFault]:
        """Decode frames one after the other; the next is decoded while a result is copied.

        Yields:
            For each frame its values or its fault, in order. It ends early where a fault ended the process or the
            bytes of a later frame cannot be read.

        Raises:
            Died: the process was killed from outside; the frame that was due is as good as never asked for.
            Cancelled: the token was set, and the process killed for it.
            PixelFault: there is no memory for the frames.
            Exception: whatever the first frame's `fill` raises.
        """
        limits = [self._limits(frame.layout, frame.length) for frame in frames]
        most = max(limit.memory for limit in limits)
        if most > _LARGE and most > _free_memory():
            raise PixelFault("too-large", f"decoding may need {most >> 20} MB of memory, more than there is")
        places = self._make_room(frames)
        asked = 0
        for frame, (start, target, capacity), limit in zip(frames, places, limits, strict=True):
            try:
                with self._mailbox.view(start, frame.length) as view:
                    frame.fill(view)
            except Exception:
                if not asked:
                    raise
                break  # those before it are being decoded; it is asked for again
            request = messages.Request(
                self._mailbox.size, start, frame.length, target, capacity, limit.memory, limit.seconds, frame.layout
            )
            self._send(self._writer.pack(request))  # at once: it is decoded while the next one is read
            asked += 1
        self._watch(Limits(limits[0].memory, _START_SECONDS), token)
        try:
            if not self._is_ready:
                fault = self._await_start()
                if fault is not None:
                    yield fault
                    return
            for frame, place, limit in zip(frames[:asked], places, limits, strict=False):
                self._watch(limit, token)
                try:
                    reply = messages.read_reply(self._replies)
                    values = reply if isinstance(reply, PixelFault) else self._take(reply, frame, place)
                except (EOFError, OSError):
                    yield self._fault_of_death(self.watched)
                    return
                except ValueError:
                    self.kill("nonsense")
                    yield PixelFault("bad-pixels", "the decoder was damaged by the compressed picture")
                    return
                yield values
        finally:
            self.watched = None

    def _await_start(self) -> PixelFault | None:
        """Wait until the process has made its imports: they are no frame's time. The fault if it never does.

        Raises:
            Died, Cancelled: as `decode`.
        """
        try:
            messages.read_ready(self._replies)
        except (EOFError, OSError):
            self._fault_of_death(self.watched)
            return PixelFault("no-codec", "the decoding process cannot start: the installation may be damaged")
        except ValueError:
            self.kill("nonsense")
            return PixelFault("no-codec", "the decoding process cannot start: something else speaks in its place")
        self._is_ready = True
        return None

    def _watch(self, limits: Limits, token: CancelToken | None) -> None:
        now = time.monotonic()
        memory = limits.memory + self._mailbox.size
        self.watched = Watched(now + limits.seconds, limits.seconds, memory, token, now)

    def _make_room(self, frames: Sequence[EncodedFrame]) -> list[tuple[int, int, int]]:
        """Where each frame's bytes and values go: start, target, capacity."""
        places, at = [], 0
        for frame in frames:
            layout = frame.layout
            capacity = layout.rows * layout.columns * layout.samples * layout.dtype.itemsize
            target = up_to_page(at + frame.length)
            places.append((at, target, capacity))
            at = up_to_page(target + capacity)
        if at > self._mailbox.size:
            if at > _KEEP and at > _free_memory() // 2:
                raise PixelFault("too-large", f"decoding needs {at >> 20} MB of memory, more than there is")
            try:
                self._mailbox.resize(at + at // 4)
            except (OSError, OverflowError, ValueError) as fault:
                raise PixelFault("too-large", f"there is no memory to decode {at >> 20} MB") from fault
        return places

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except OSError as fault:
            self.kill("")
            raise Died from fault

    def _take(self, reply: messages.Decoded, frame: EncodedFrame, place: tuple[int, int, int]) -> AnyArray | PixelFault:
        """Copy the values out of the mailbox, if the child's word on them is sound."""
        layout = frame.layout
        expected = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, 3)
        if reply.shape != expected or reply.dtype.itemsize * int(np.prod(expected, dtype=np.int64)) > place[2]:
            return PixelFault("bad-pixels", "the compressed picture is of another size than the header says")
        values = self._mailbox.array(place[1], reply.dtype, reply.shape)
        if frame.out is None:
            return values.copy()
        np.copyto(frame.out, values, casting="unsafe")
        return frame.out

    def _fault_of_death(self, watched: Watched | None) -> PixelFault:
        """Why the process has gone while this was asked of it.

        Raises:
            Died, Cancelled: as `decode`.
        """
        assert watched is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        code = self._process.returncode
        verdict = self._verdict
        self.kill("")
        if verdict == "cancel" and watched.token is not None and watched.token.cancelled:
            raise Cancelled
        late = verdict == "time" and time.monotonic() >= watched.deadline
        if late or (code is not None and -code == getattr(signal, "SIGXCPU", 0)):
            return PixelFault("bad-pixels", f"decoding took longer than {watched.seconds:.0f} s and was stopped")
        if verdict == "memory":
            return PixelFault(
                "too-large", f"decoding needs more than the {watched.memory >> 20} MB that a picture like this may take"
            )
        if verdict or code is None or -code in (signal.SIGTERM, getattr(signal, "SIGKILL", 9)):
            raise Died
        _log.warning("a decoding process ended with code %s", code)
        return PixelFault("bad-pixels", "the decoder crashed on the compressed picture")

    def rest(self) -> None:
        """Give back what a large frame took of the mailbox."""
        if self._mailbox.size > _KEEP:
            with contextlib.suppress(OSError):
                self._mailbox.resize(SMALL)

    def kill(self, verdict: str) -> None:
        """End it at once; `verdict` says why: "time", "memory", "cancel", "end" or nothing."""
        self._verdict = self._verdict or verdict
        self._killed = True
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End it and let go of everything; no zombie stays."""
        self.kill("end")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._mailbox.close()


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _start(mailbox: Mailbox, decoder: str) -> subprocess.Popen[bytes]:
    """A new process (never a fork of this one) that serves this mailbox."""
    if getattr(sys, "frozen", False):
        command = [sys.executable, SWITCH, mailbox.reference, decoder]
    else:
        ours = str(Path(medviewer.__file__).parents[1])
        paths = [path or str(Path.cwd()) for path in sys.path]
        code = (
            "import sys;"
            f"sys.path[:]={paths + ([] if ours in paths else [ours])!r};"
            "sys.dont_write_bytecode=True;"
            "from medviewer.formats.dicom.pixels.decoding.child import main;"
            f"main({mailbox.reference!r},{decoder!r})"
        )
        command = [sys.executable, "-c", code]
    options: dict[str, Any] = {}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NO_WINDOW
    else:
        options["pass_fds"] = (mailbox.descriptor,)
        options["start_new_session"] = True  # Ctrl+C is the parent's business
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        env={**os.environ, **_ENVIRONMENT},
        **options,
    )

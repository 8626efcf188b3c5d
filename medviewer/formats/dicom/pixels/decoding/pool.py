"""The decoding processes of this program: as many as there are cores, at most four, started when first needed and kept
warm until the program ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.decoding.limits import Limits, limits_for
from medviewer.formats.dicom.pixels.decoding.process import DECODER, DecodingProcess, Died, EncodedFrame
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.source import SourceFault
from medviewer.jobs import CancelToken

AnyArray = NDArray[np.generic]

#: Why a frame has no values.
Fault = PixelFault | SourceFault | OSError

MOST = 4
#: Seconds between two looks of the watchdog.
PULSE = 0.05
#: How often a frame is tried again whose process was killed from outside.
RETRIES = 2


class DecodingPool:
    """Lends processes to threads, watches them, replaces the dead.

    Args:
        size: how many processes at most; by default one a core, at most four.
        decoder, limits: for tests: what decodes, and what a frame may cost.
    """

    def __init__(
        self,
        size: int | None = None,
        decoder: str = DECODER,
        limits: Callable[[PixelLayout, int], Limits] = limits_for,
    ) -> None:
        self.size = size or max(1, min(MOST, cores()))
        self._decoder, self._limits = decoder, limits
        self._changed = threading.Condition()
        self._idle: list[DecodingProcess] = []
        self._busy: set[DecodingProcess] = set()
        self._urgent = 0  # single frames that wait for a process: series let them pass
        self._awake = threading.Event()
        self._watchdog: threading.Thread | None = None
        self._closed = False

    @property
    def process_ids(self) -> list[int]:
        """Numbers of the processes that run."""
        with self._changed:
            return [process.pid for process in (*self._idle, *self._busy) if process.is_alive]

    def decode(self, frame: EncodedFrame, token: CancelToken | None = None) -> AnyArray:
        """Decode one frame, before any series that is being read.

        Raises:
            PixelFault: it cannot be decoded.
            SourceFault, OSError: its compressed bytes cannot be read.
            Cancelled: the token was set meanwhile.
        """
        [result] = list(self._run([frame], token, self._borrow_at_once))
        if isinstance(result, Exception):
            raise result
        return result

    def decode_some(
        self, frames: Sequence[EncodedFrame], token: CancelToken | None = None
    ) -> Iterator[AnyArray | Fault]:
        """Decode a few frames of a series in one process; values or fault of each, in order. To be read to its end.

        Raises:
            Cancelled: the token was set meanwhile.
        """
        return self._run(frames, token, self._borrow)

    def warm(self) -> None:
        """Start the processes ahead of the first frame; returns at once."""
        with self._changed:
            if self._closed:
                return
            while len(self._idle) + len(self._busy) < self.size:
                try:
                    self._idle.append(DecodingProcess(self._decoder, self._limits))
                except OSError:
                    return

    def close(self) -> None:
        """End all processes. Frames that are being decoded fail."""
        with self._changed:
            self._closed = True
            ended = [*self._idle, *self._busy]
            self._idle.clear()
            self._changed.notify_all()
        self._awake.set()
        for process in ended:
            if process in self._busy:
                process.kill("end")
            else:
                process.close()

    # -- lending -----------------------------------------------------------------------------------------------------

    def _run(
        self,
        frames: Sequence[EncodedFrame],
        token: CancelToken | None,
        borrow: Callable[[], DecodingProcess],
    ) -> Iterator[AnyArray | Fault]:
        done = tries = 0
        while done < len(frames):
            if token is not None:
                token.raise_if_cancelled()
            try:
                process = borrow()
            except PixelFault as fault:  # none can be had
                yield from [fault] * (len(frames) - done)
                return
            whole = False
            try:
                for result in process.decode(frames[done:], token):
                    done += 1
                    tries = 0
                    yield result
                whole = True
            except Died:
                tries += 1
                if tries > RETRIES or self._closed:
                    done += 1
                    tries = 0
                    yield PixelFault("bad-pixels", "the decoding process was killed from outside more than once")
            except (PixelFault, SourceFault, OSError) as fault:  # before anything was asked of the process
                whole = True
                done += 1
                yield fault
            finally:
                self._give_back(process, whole)

    def _borrow_at_once(self) -> DecodingProcess:
        with self._changed:
            self._urgent += 1
            try:
                while True:
                    process = self._take()
                    if process is not None:
                        return process
                    self._changed.wait()
            finally:
                self._urgent -= 1
                self._changed.notify_all()

    def _borrow(self) -> DecodingProcess:
        with self._changed:
            while True:
                process = None if self._urgent else self._take()
                if process is not None:
                    return process
                self._changed.wait()

    def _take(self) -> DecodingProcess | None:
        """A process that is free or may be started. The lock is held."""
        if self._closed:
            raise PixelFault("bad-pixels", "the program is ending")
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                break
            process.close()
        else:
            if len(self._busy) >= self.size:
                return None
            try:
                process = DecodingProcess(self._decoder, self._limits)
            except OSError as fault:
                reason = fault.strerror or "the system refuses"
                raise PixelFault("no-codec", f"the decoding process cannot be started ({reason})") from fault
        self._busy.add(process)
        if not self._awake.is_set():
            self._wake()
        return process

    def _give_back(self, process: DecodingProcess, whole: bool) -> None:
        """Take a process back; one that was not heard to the end still has answers in its pipe and is replaced."""
        keep = whole and not self._closed and process.is_alive
        if keep:
            process.rest()
        else:
            process.close()
        with self._changed:
            self._busy.discard(process)
            if keep:
                self._idle.append(process)
            self._changed.notify_all()  # whoever is woken alone may have to let another pass

    # -- watching ----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._awake.set()
        if self._watchdog is None or not self._watchdog.is_alive():
            self._watchdog = threading.Thread(target=self._watch, name="decoding-watchdog", daemon=True)
            self._watchdog.start()

    def _watch(self) -> None:
        quiet = 0
        while not self._closed:
            self._awake.wait()
            time.sleep(PULSE)
            with self._changed:
                busy = list(self._busy)
                quiet = 0 if busy else quiet + 1
                if quiet > 20:
                    self._awake.clear()
                    quiet = 0
            for process in busy:
                _judge(process)


def _judge(process: DecodingProcess) -> None:
    """Kill a process that takes too long or too much, or whose work nobody wants any more."""
    watched = process.watched
    if watched is None:
        return
    now = time.monotonic()
    if watched.token is not None and watched.token.cancelled:
        process.kill("cancel")
    elif now > watched.deadline:
        process.kill("time")
    elif now - watched.since > PULSE:
        import psutil

        with contextlib.suppress(psutil.Error):
            if psutil.Process(process.pid).memory_info().rss > watched.memory + (64 << 20):
                process.kill("memory")


def cores() -> int:
    """Processor cores that this program may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def pool() -> DecodingPool:
    """The program's own pool, ended with it."""
    made = DecodingPool()
    atexit.register(made.close)
    if hasattr(os, "register_at_fork"):  # nobody here forks; who does must not talk into our pipes
        os.register_at_fork(after_in_child=pool.cache_clear)
    return made

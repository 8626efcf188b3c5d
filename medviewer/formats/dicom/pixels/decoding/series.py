"""The compressed frames of a stack, spread over the decoding processes, in the order in which they are wanted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Cancelled
from medviewer.formats.dicom.pixels.decoding.pool import DecodingPool, Fault, pool
from medviewer.formats.dicom.pixels.decoding.process import EncodedFrame
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.syntaxes import JPEG_2000, RLE
from medviewer.formats.source import SourceFault
from medviewer.jobs import CancelToken

AnyArray = NDArray[np.generic]

#: Frames that one process gets at a time share its mailbox up to so many bytes, and are at most so many.
_BATCH_BYTES, _BATCH, _SLOW_BATCH = 8 << 20, 16, 2


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """One frame of a series.

    Attributes:
        index: the caller's number for it.
        locate: finds its compressed bytes; raises a `Fault`.
        store: takes its values, in some thread, unless they went into the frame's `out`.
    """

    index: int
    locate: Callable[[], EncodedFrame]
    store: Callable[[AnyArray], None] | None = None


def decode_series(
    wanted: Sequence[Wanted], token: CancelToken, processes: DecodingPool | None = None
) -> Iterator[tuple[int, Fault | None]]:
    """Decode frames on all cores; the first of them come first.

    Yields:
        The number of each frame when its values are stored, and its fault if there are none.

    Raises:
        Cancelled: the token was set.
    """
    processes = processes or pool()
    work = _Work(wanted, token, processes)
    helpers = [
        threading.Thread(target=work.help, name=f"decoding-{n}", daemon=True)
        for n in range(min(processes.size, len(wanted)) - 1)
    ]
    for helper in helpers:
        helper.start()
    left = len(wanted)
    try:
        for _ in work.decode_all():
            for told in work.finished():
                left -= 1
                yield told
        while left:
            for told in work.finished(wait=0.05):
                left -= 1
                yield told
            token.raise_if_cancelled()
            work.check()
    finally:
        work.stop()
        for helper in helpers:
            helper.join()


class _Work:
    """What is left to do, and what has been done, seen by several threads."""

    def __init__(self, wanted: Sequence[Wanted], token: CancelToken, processes: DecodingPool) -> None:
        self._wanted, self._token, self._processes = wanted, token, processes
        self._lock = threading.Lock()
        self._next = 0
        self._stopped = False
        self._broken: Exception | None = None
        self._done: queue.SimpleQueue[tuple[int, Fault | None]] = queue.SimpleQueue()

    def help(self) -> None:
        """Decode batches until there are none."""
        try:
            for _ in self.decode_all():
                pass
        except Cancelled:
            pass
        except Exception as error:  # told in the caller's thread
            self._broken = error

    def check(self) -> None:
        """Raise what ended a helper, if anything did."""
        if self._broken is not None:
            raise self._broken

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True

    def next_batch(self) -> list[tuple[Wanted, EncodedFrame]]:
        """The next frames with their bytes found; empty when there are none left."""
        while not self._stopped:
            self._token.raise_if_cancelled()
            with self._lock:
                first = self._next
                left = len(self._wanted) - first
                if not left:
                    break
                self._next += 1
            batch: list[tuple[Wanted, EncodedFrame]] = []
            self._locate(self._wanted[first], batch)
            more = min(_batch_size(batch[0][1]) if batch else 1, 1 + left // (2 * self._processes.size)) - 1
            if first and more > 0:  # the first frame of all is wanted at once
                with self._lock:
                    first, self._next = self._next, min(self._next + more, len(self._wanted))
                    last = self._next
                for wanted in self._wanted[first:last]:
                    self._locate(wanted, batch)
            if batch:
                return batch
        return []

    def _locate(self, wanted: Wanted, batch: list[tuple[Wanted, EncodedFrame]]) -> None:
        try:
            batch.append((wanted, wanted.locate()))
        except (PixelFault, SourceFault, OSError) as fault:
            self._done.put((wanted.index, fault))

    def decode_all(self) -> Iterator[None]:
        """Decode and store batches until there are none; comes back after each frame."""
        batch = self.next_batch()
        while batch:
            following: list[tuple[Wanted, EncodedFrame]] | None = None
            results = self._processes.decode_some([frame for _, frame in batch], self._token)
            for (wanted, frame), result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    self._done.put((wanted.index, result))
                else:
                    if wanted.store is not None and result is not frame.out:
                        wanted.store(result)
                    self._done.put((wanted.index, None))
                if following is None and len(batch) > 1:  # found while the process decodes the others
                    following = self.next_batch()
                yield
            batch = self.next_batch() if following is None else following

    def finished(self, wait: float = 0.0) -> Iterator[tuple[int, Fault | None]]:
        """What has been done since the last call; waits up to so many seconds for something."""
        try:
            if wait:
                yield self._done.get(timeout=wait)
            while True:
                yield self._done.get_nowait()
        except queue.Empty:
            return


def _batch_size(frame: EncodedFrame) -> int:
    layout = frame.layout
    size = layout.rows * layout.columns * layout.samples * layout.dtype.itemsize
    if layout.transfer_syntax in JPEG_2000 and not layout.transfer_syntax.startswith("1.2.840.10008.1.2.4.20"):
        most = 1
    else:
        most = _BATCH if layout.transfer_syntax == RLE else _SLOW_BATCH
    return max(1, min(most, _BATCH_BYTES // max(1, size)))

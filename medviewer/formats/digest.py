"""Sums over the pixels of a stack: hashes of the stored values, and least, greatest and mean value.

The hashes are over stored values in stack order, little endian, C order; colour interleaved, palettes as
indices, one-bit pixels as bytes of 0 and 1. They do not depend on how the file packs its pixels.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.formats import nifti, nrrd
from medviewer.formats.catalog import FrameRef, Skipped, Stack
from medviewer.formats.dicom.pixels.decoding.pool import Fault, pool
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import is_encoded, read_stored
from medviewer.formats.dicom.syntaxes import JPEG_2000
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext
from medviewer.volume.lut import LookupTable

AnyArray = NDArray[np.generic]

#: From so many quickly decoded frames on, a second decoding process is worth its start (0.1 s).
_MANY = 100


@dataclass(frozen=True, slots=True)
class StackDigest:
    """What the pixels of one stack sum up to.

    Attributes:
        sha256: of all frames in stack order; None where a frame cannot be decoded.
        sha256_file: in the file's frame order, where the stack is one file whose order is another one (of a mosaic,
            the tiled picture as it is stored); else None.
        low, high, mean: after the modality rescale, padding included, of finite numbers; None where there is nothing.
        frame_sha256: of each frame in stack order, None where it cannot be decoded.
        failed: frames that cannot be decoded.
    """

    sha256: str | None
    sha256_file: str | None
    low: float | None
    high: float | None
    mean: float | None
    frame_sha256: tuple[str | None, ...]
    failed: tuple[FailedFrame, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedFrame:
    """A frame that cannot be decoded, and why."""

    index: int
    path: Path
    reason: str
    code: str


@dataclass(slots=True)
class _Sums:
    low: float = float("inf")
    high: float = float("-inf")
    total: float = 0.0
    count: int = 0

    def add(self, values: AnyArray, slope: float, intercept: float, table: LookupTable | None = None) -> None:
        if table is not None:
            values, slope, intercept = table.apply(values), 1.0, 0.0
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
            if not values.size:
                return
        low, high = float(values.min()) * slope + intercept, float(values.max()) * slope + intercept
        self.low, self.high = min(self.low, low, high), max(self.high, low, high)
        self.total += float(values.sum(dtype=np.float64)) * slope + intercept * values.size
        self.count += values.size


def _little(values: AnyArray) -> bytes:
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def digest(stack: Stack, context: JobContext | None = None) -> StackDigest:
    """Read every frame of a stack once.

    Raises:
        Cancelled: a person asked for it.
    """
    context = context or JobContext()
    if stack.source != "dicom":
        return _digest_file(stack)
    sums = _Sums()
    whole = hashlib.sha256()
    in_file_order = _file_order(stack)
    kept: dict[int, bytes] = {}
    mosaics: set[Path] = set()
    hashes: list[str | None] = []
    failed: list[FailedFrame] = []
    for n, (frame, result) in enumerate(zip(stack.frames, _read_ahead(stack.frames), strict=True)):
        context.report(n, len(stack.frames), "reading pixels")
        if isinstance(result, Exception):
            failed.append(_failure(n, frame, result))
            hashes.append(None)
            continue
        values = result
        data = _little(values)
        whole.update(data)
        hashes.append(hashlib.sha256(data).hexdigest())
        if in_file_order:
            kept[frame.frame] = data
        if frame.layout is not None and frame.layout.signed_by_stream:
            values = values.view(values.dtype.str.replace("i", "u"))  # what is stored is what the header says
        if frame.tile is None:
            sums.add(values, frame.slope, frame.intercept, frame.table)
        elif frame.path not in mosaics:  # the sums of a mosaic are those of the picture as stored
            mosaics.add(frame.path)
            sums.add(read_stored(replace(frame, tile=None)), frame.slope, frame.intercept, frame.table)
    by_file = _whole_mosaic(stack)
    if in_file_order and not failed:
        by_file = hashlib.sha256(b"".join(kept[n] for n in sorted(kept))).hexdigest()
    some = sums.count > 0
    return StackDigest(
        sha256=None if failed else whole.hexdigest(),
        sha256_file=by_file,
        low=sums.low if some else None,
        high=sums.high if some else None,
        mean=sums.total / sums.count if some else None,
        frame_sha256=tuple(hashes),
        failed=tuple(failed),
    )


def _read_ahead(frames: Sequence[FrameRef]) -> Iterator[AnyArray | Fault]:
    """Each frame's stored values or its fault; of compressed ones, the next are decoded while one is looked at."""
    if len(frames) == 1 or not all(is_encoded(frame) and frame.tile is None for frame in frames):
        yield from map(_stored, frames)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    slow = any(frame.layout is not None and frame.layout.transfer_syntax in JPEG_2000 for frame in frames)
    threads = pool().size if slow or len(frames) >= _MANY else 1
    waiting: deque[Future[AnyArray | Fault]] = deque()
    executor = ThreadPoolExecutor(threads, "digest")
    try:
        for frame in frames:
            waiting.append(executor.submit(_stored, frame))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _stored(frame: FrameRef) -> AnyArray | Fault:
    try:
        return read_stored(frame)
    except (PixelFault, SourceFault, OSError) as fault:
        return fault


def _failure(index: int, frame: FrameRef, fault: Fault) -> FailedFrame:
    if isinstance(fault, OSError):
        return FailedFrame(index, frame.path, f"cannot be read ({fault.strerror})", "unreadable")
    return FailedFrame(index, frame.path, fault.reason, fault.code)


def _whole_mosaic(stack: Stack) -> str | None:
    """The hash of the one tiled picture that a mosaic was unpacked from; None for every other stack."""
    paths = {frame.path for frame in stack.frames}
    if stack.frames[0].tile is None or len(paths) != 1:
        return None
    try:
        return hashlib.sha256(_little(read_stored(replace(stack.frames[0], tile=None)))).hexdigest()
    except (PixelFault, SourceFault, OSError):
        return None


def _file_order(stack: Stack) -> bool:
    """True where the stack is one whole multi-frame file in another order than the file's."""
    paths = {frame.path for frame in stack.frames}
    order = [frame.frame for frame in stack.frames]
    layout = stack.layout
    return len(paths) == 1 and layout is not None and len(order) == layout.frames and order != sorted(order)


def _digest_file(stack: Stack) -> StackDigest:
    path = stack.frames[0].path
    sums = _Sums()
    whole = hashlib.sha256()
    hashes: list[str | None] = []
    slope, intercept = stack.frames[0].slope, stack.frames[0].intercept
    for time in range(stack.times):
        try:
            samples = nifti.read_samples(path, time) if stack.source == "nifti" else nrrd.read_samples(path, time)
        except (SourceFault, OSError) as fault:
            reason = fault.reason if isinstance(fault, SourceFault) else f"cannot be read ({fault.strerror})"
            code = fault.code if isinstance(fault, SourceFault) else "unreadable"
            everything = tuple(FailedFrame(n, path, reason, code) for n in range(len(stack.frames)))
            return StackDigest(None, None, None, None, None, (None,) * len(stack.frames), everything)
        sums.add(samples, slope, intercept)
        for k in range(samples.shape[0]):
            data = _little(samples[k])
            whole.update(data)
            hashes.append(hashlib.sha256(data).hexdigest())
    if not sums.count:
        return StackDigest(whole.hexdigest(), None, None, None, None, tuple(hashes))
    mean = sums.total / sums.count
    return StackDigest(whole.hexdigest(), None, sums.low, sums.high, mean, tuple(hashes))


def as_skipped(failed: FailedFrame) -> Skipped:
    """The entry of a file that cannot be shown because of this frame."""
    return Skipped(failed.path, failed.reason, failed.code)

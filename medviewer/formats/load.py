"""Stacks to Volumes: voxels in their stored type, slice by slice, the middle one (or the asked one) first.

Colour stacks become a grey Volume (luminance) for planes and measurements; `read_frame_rgb` gives their colours.
Palette stacks keep their indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, MedviewerError, MissingHere
from medviewer.formats.catalog import FrameRef, Stack
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.headers.graphics import frame_graphics
from medviewer.formats.dicom.pixels.colour import eight_bit, expand_palette, luminance
from medviewer.formats.dicom.pixels.decoding.series import Wanted, decode_series
from medviewer.formats.dicom.pixels.direct import direct_place, read_places
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import elements_of, encoded_frame, is_encoded, palette_of, read_stored
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext
from medviewer.volume.lut import LookupTable
from medviewer.volume.overlay_plane import FrameGraphics
from medviewer.volume.supplement import Supplement
from medviewer.volume.volume import Volume

AnyArray = NDArray[np.generic]

#: A volume may take this share of the memory that is free.
_MEMORY_SHARE = 0.85


def empty_volume(stack: Stack, time: int = 0) -> Volume:
    """A Volume of the stack's size with no slice loaded.

    Args:
        stack: any stack; of a 4-D one, one time.
        time: which time.

    Raises:
        BadInput: the machine has not the memory for it.
    """
    part = stack.at_time(time)
    dtype = np.dtype(stack.dtype)
    needed = int(np.prod(stack.size_kji, dtype=np.int64)) * dtype.itemsize
    free = _free_memory()
    if needed > _MEMORY_SHARE * free:
        raise BadInput(
            f"the stack needs {needed / 2**30:.1f} GB of memory where {free / 2**30:.1f} GB are free",
            path=stack.frames[0].path,
            remedy="close other studies or programs",
        )
    slopes = np.array([f.slope for f in part.frames], dtype=np.float64)
    intercepts = np.array([f.intercept for f in part.frames], dtype=np.float64)
    intercepts[slopes == 0] = 0.0
    slopes[slopes == 0] = 1.0
    return Volume(
        voxels=np.zeros(stack.size_kji, dtype=dtype),
        grid=stack.grid,
        slope=_one_or_all(slopes),
        intercept=_one_or_all(intercepts),
        unit=stack.unit,
        modality=stack.modality,
        padding=stack.padding,
        inverted=stack.inverted,
        stack_id=part.id,
        tables=_tables(part),
        loaded=np.zeros(stack.size_kji[0], dtype=np.bool_),
    )


def _tables(stack: Stack) -> tuple[LookupTable | None, ...]:
    """Modality LUTs of a stack as a Volume holds them: none, one for all, or one a slice."""
    tables = tuple(frame.table for frame in stack.frames)
    if all(table is None for table in tables):
        return ()
    return tables[:1] if all(table == tables[0] for table in tables) else tables


def _free_memory() -> float:
    import psutil

    return float(psutil.virtual_memory().available)


def _one_or_all(numbers: NDArray[np.float64]) -> float | NDArray[np.float64]:
    return float(numbers[0]) if bool(np.all(numbers == numbers[0])) else numbers


def read_slice(stack: Stack, volume: Volume, k: int, time: int = 0) -> None:
    """Fill one slice and set `volume.loaded[k]`.

    Raises:
        BadInput: its pixels cannot be read; the slice stays as it was.
        MissingHere: a decoder is missing on this machine.
    """
    if stack.source != "dicom":
        _read_whole_file(stack, volume, time)
        return
    frame = stack.at_time(time).frames[k]
    layout = frame.layout
    assert layout is not None
    try:
        if layout.samples == 3:
            volume.voxels[k] = luminance(read_stored(frame))
        else:
            read_stored(frame, out=volume.voxels[k])
    except (PixelFault, SourceFault, OSError) as fault:
        raise _sentence(frame, fault) from fault
    volume.loaded[k] = True


def _sentence(frame: FrameRef, fault: PixelFault | SourceFault | OSError) -> MedviewerError:
    if isinstance(fault, OSError):
        return BadInput(
            f"a picture cannot be read any more: {fault.strerror or type(fault).__name__}",
            path=frame.path,
            remedy="connect the disk or share again, then read the study again",
        )
    if fault.code == "no-codec":
        return MissingHere(fault.reason, path=frame.path)
    return BadInput(f"a picture cannot be shown: {fault.reason}", path=frame.path, remedy="the others still open")


def load_volume(
    stack: Stack,
    context: JobContext | None = None,
    first: int | None = None,
    volume: Volume | None = None,
    *,
    time: int = 0,
    allow_missing: bool = False,
) -> Volume:
    """Load all slices that are not yet loaded.

    Args:
        stack: what to load.
        context: for progress (a report after each slice) and cancel.
        first: the slice to begin with, then outwards; the middle one by default.
        volume: one from `empty_volume`, to go on with it.
        time: which time of a 4-D stack.
        allow_missing: leave slices that cannot be read unloaded instead of raising at the end.

    Raises:
        BadInput, MissingHere: slices cannot be read (raised after the others were), or there is no memory.
        Cancelled: a person asked for it.
    """
    context = context or JobContext()
    if volume is None:
        volume = empty_volume(stack, time)
    count = volume.size_kji[0]
    if stack.source != "dicom":  # read in one go
        if not volume.loaded.all():
            read_slice(stack, volume, 0, time)
        context.report(count, count, "reading slices")
        return volume
    middle = count // 2 if first is None else min(max(first, 0), count - 1)
    failed: list[MedviewerError] = []
    done = int(volume.loaded.sum())
    missing = [k for k in outwards(middle, count) if not volume.loaded[k]]
    for _, error in _read_slices(stack, volume, missing, time, context):
        if error is not None:
            failed.append(error)
        done += 1
        context.report(done, count, "reading slices")
    context.report(done, count, "reading slices")
    if failed and not allow_missing:
        if len(failed) == 1:
            raise failed[0]
        kind = type(failed[0])
        raise kind(
            f"{len(failed)} of {count} pictures could not be read, the first because: {failed[0].what}",
            path=failed[0].path,
            remedy=failed[0].remedy,
        )
    return volume


def _read_slices(
    stack: Stack, volume: Volume, wanted: Sequence[int], time: int, context: JobContext
) -> Iterator[tuple[int, MedviewerError | None]]:
    """Fill slices, the first wanted first: the index of each, and why it is not read.

    Three ways, tried in this order: compressed stacks are decoded by child processes on all cores (`decode_series`);
    uncompressed frames of files on disk are read straight into their places (`read_places`); everything else, and what
    went wrong in the second way, is read one by one with care (`read_slice`).
    """
    frames = stack.at_time(time).frames
    if len(wanted) > 1 and all(is_encoded(frames[k]) and frames[k].tile is None for k in wanted):
        series = [_wanted(frames[k], volume, k) for k in wanted]
        for k, fault in decode_series(series, context.token):
            volume.loaded[k] |= fault is None
            yield k, None if fault is None else _sentence(frames[k], fault)
        return
    found = [direct_place(frames[k], k, volume.voxels[k]) for k in wanted]
    places = [place for place in found if place is not None]
    for k, was_read in read_places(places, context.token):
        if was_read:
            volume.loaded[k] = True
            yield k, None
    context.check()
    for k in wanted:
        if volume.loaded[k]:
            continue
        try:
            read_slice(stack, volume, k, time)
        except (BadInput, MissingHere) as error:
            yield k, error
        else:
            yield k, None


def _wanted(frame: FrameRef, volume: Volume, k: int) -> Wanted:
    """One compressed frame and its place in the volume."""
    if not frame.layout or frame.layout.samples == 1:
        return Wanted(k, partial(encoded_frame, frame, volume.voxels[k]))

    def store(rgb: AnyArray) -> None:
        volume.voxels[k] = luminance(rgb)

    return Wanted(k, partial(encoded_frame, frame), store)


def outwards(first: int, count: int) -> Iterator[int]:
    """All indices below `count`, from `first` to both sides.

    >>> list(outwards(2, 5))
    [2, 3, 1, 4, 0]
    """
    yield first
    for distance in range(1, count):
        if first + distance < count:
            yield first + distance
        if first - distance >= 0:
            yield first - distance


def read_frame_rgb(stack: Stack, index: int) -> NDArray[np.uint8]:
    """The colours of one frame, [rows, columns, 3]; of a palette stack, expanded (grey where its table is damaged).

    Args:
        stack: a stack with `is_colour`.
        index: of the frame in `stack.frames`.

    Raises:
        BadInput: the stack has no colours, or its pixels cannot be read.
        MissingHere: a decoder is missing on this machine.
    """
    frame = stack.frames[index]
    layout = frame.layout
    if layout is None or not stack.is_colour:
        raise BadInput("the stack has no colours of its own", path=frame.path)
    try:
        if stack.source != "dicom":
            return _colours_of_file(stack, index)
        values = read_stored(frame)
        if layout.samples == 3:
            return eight_bit(values, layout.bits_stored)
        try:
            palette = palette_of(frame.path)
        except PixelFault:  # the stack carries the fault
            palette = None
    except (PixelFault, SourceFault, OSError) as fault:
        raise _sentence(frame, fault) from fault
    if palette is None:
        return np.repeat(eight_bit(values, layout.bits_stored)[..., None], 3, axis=-1)
    return expand_palette(values, *palette)


def read_icc_profile(stack: Stack, index: int) -> bytes | None:
    """The ICC profile of a frame of a DICOM colour stack, of the file or of its (first) optical path; None without.

    Raises:
        BadInput: the file cannot be read any more.
    """
    if stack.source != "dicom":
        return None
    frame = stack.frames[index]
    try:
        data = elements_of(frame.path)
    except (PixelFault, SourceFault, OSError) as fault:
        raise _sentence(frame, fault) from fault
    return data.bytes(T.ICC_PROFILE) or data.item(T.OPTICAL_PATH).bytes(T.ICC_PROFILE) or None


def read_supplement(stack: Stack) -> Supplement | None:
    """The colours of the highest stored values of a grey stack (Supplemental Palette); None where it has none.

    Raises:
        BadInput, MissingHere: the file cannot be read or its colour table is damaged.
    """
    frame = stack.frames[0]
    if stack.coloured_from is None:
        return None
    try:
        palette = palette_of(frame.path)
    except (PixelFault, SourceFault, OSError) as fault:
        raise _sentence(frame, fault) from fault
    return None if palette is None else Supplement(stack.coloured_from, palette[0])


def read_graphics(stack: Stack, index: int) -> FrameGraphics:
    """What the file lays over one frame: overlay planes and shutter.

    Args:
        stack: a stack with `has_graphics`.
        index: of the frame in `stack.frames`.

    Raises:
        BadInput, MissingHere: the file cannot be read.
    """
    frame = stack.frames[index]
    spacing = stack.spacing_kji
    aspect = spacing[1] / spacing[2] if spacing is not None else stack.pixel_aspect or 1.0
    try:
        return frame_graphics(frame, aspect)
    except (PixelFault, SourceFault, OSError) as fault:
        raise _sentence(frame, fault) from fault


def _colours_of_file(stack: Stack, index: int) -> NDArray[np.uint8]:
    time, k = divmod(index, stack.size_kji[0])
    path = stack.frames[0].path
    if stack.source == "nifti":
        from medviewer.formats import nifti

        samples = nifti.read_samples(path, time)
    else:
        from medviewer.formats import nrrd

        samples = nrrd.read_samples(path, time)
    return samples[k, :, :, :3].astype(np.uint8)


def _read_whole_file(stack: Stack, volume: Volume, time: int) -> None:
    """NIfTI and NRRD are read in one go."""
    path = stack.frames[0].path
    try:
        if stack.source == "nifti":
            from medviewer.formats import nifti

            volume.voxels[...] = nifti.read_voxels(path, time)
        else:
            from medviewer.formats import nrrd

            volume.voxels[...] = nrrd.read_voxels(path, time)
    except (SourceFault, OSError) as fault:
        raise _sentence(stack.frames[0], fault) from fault
    volume.loaded[...] = True

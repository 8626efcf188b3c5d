"""From ordered pictures to a Stack: what all of them say, what some of them lack, and an id that stays."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from medviewer.formats.catalog import FrameRef, Quality, Stack, StackKind
from medviewer.formats.dicom.headers.header import ImageFile
from medviewer.formats.dicom.headers.planes import FramePlane
from medviewer.formats.dicom.stacks.joining import ONE_BY_ONE
from medviewer.formats.dicom.stacks.time_labels import seconds_of
from medviewer.formats.quality import counted
from medviewer.volume.grid import Grid
from medviewer.volume.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One frame of one file, or one tile of a mosaic, with its plane."""

    file: ImageFile
    frame: int
    plane: FramePlane
    tile: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        layout = self.file.layout
        return (layout.rows, layout.columns) if self.tile is None else (self.tile[2], self.tile[3])

    @property
    def order(self) -> tuple[int, str, int]:
        """Order without geometry: instance number, file name, frame."""
        number = self.file.instance_number
        if self.file.concatenation[0]:
            return (number or 0, "", self.file.concatenation[1] + self.frame)
        return (number if number is not None else 1 << 40, str(self.file.path), self.frame)


def spacing_text(plane: FramePlane) -> str:
    """ "0.8 x 0.5 mm" or "unknown size"."""
    return "unknown size" if plane.spacing is None else "{:g} x {:g} mm".format(*plane.spacing)


def make_stack(
    ordered: Sequence[Picture],
    *,
    kind: StackKind,
    size_kji: tuple[int, int, int],
    times: int,
    grid: Grid | None,
    spacing_kji: tuple[float | None, float, float] | None,
    origin_lps: tuple[float, float, float] | None,
    direction: tuple[float, ...] | None,
    quality: Sequence[Quality],
    time_labels: tuple[str, ...],
    name: str,
) -> Stack:
    """A Stack of pictures in stack order.

    Args:
        ordered: the pictures of the first time, then of the second, ...
        kind, size_kji, times, grid, spacing_kji, origin_lps, direction, time_labels: as in `Stack`.
        quality: faults of the whole; those of single files are added here.
        name: what distinguishes it from its sisters.
    """
    first = ordered[0].file
    middle = ordered[size_kji[0] // 2]
    localizer = "localizer" if first.is_localizer else ""
    whole_name = ", ".join(part for part in (localizer, name) if part)
    frames = tuple(
        FrameRef(
            path=p.file.path,
            frame=p.frame,
            position_lps=_triple(p.plane.position),
            sop_instance_uid=p.file.sop_instance_uid,
            layout=p.file.layout,
            data_offset=p.file.data_offset,
            slope=p.plane.slope if p.file.layout.samples == 1 else 1.0,
            intercept=p.plane.intercept if p.file.layout.samples == 1 else 0.0,
            instance_number=p.file.instance_number,
            tile=p.tile,
            table=p.plane.table if p.file.layout.samples == 1 else None,
            windows=p.plane.windows if p.file.layout.samples == 1 else (),
            shutter=p.plane.shutter,
            overlays=p.file.overlays,
        )
        for p in ordered
    )
    text = replace(
        middle.file.text,
        spacing_source=middle.plane.spacing_source,
        calibration=middle.plane.calibration,
        thickness_mm=middle.plane.thickness or middle.file.text.thickness_mm,
    )
    return Stack(
        id=_identity(first, ordered, whole_name),
        kind=kind,
        frames=frames,
        size_kji=size_kji,
        times=times,
        grid=grid,
        spacing_kji=spacing_kji,
        dtype=first.layout.dtype.name,
        modality=first.modality,
        windows=_common_windows(ordered, middle, grid) if first.layout.samples == 1 else (),
        coloured_from=first.coloured_from,
        window_by_frame=grid is None and first.layout.samples == 1 and _unlike_windows(ordered),
        quality=_merged([*quality, *_file_faults(ordered)]),
        text=text,
        patient_id=text.patient_id,
        frame_of_reference_uid=first.frame_of_reference_uid,
        body_part=text.body_part,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        sop_class_uid=first.sop_class,
        unit=first.unit,
        padding=first.padding,
        inverted=first.inverted,
        frame_times_ms=_cine_times(ordered) if kind is StackKind.CINE else (),
        time_labels=time_labels,
        name=whole_name,
        origin_lps=origin_lps,
        direction=direction,
        pixel_aspect=middle.plane.aspect,
        display_fps=first.display_fps,
        sweeps=first.sweeps,
    )


def _cine_times(ordered: Sequence[Picture]) -> tuple[float, ...]:
    """Start of each picture in ms: the file's frame times, else triggers or times of day of the pictures."""
    first = ordered[0].file
    if len(first.frame_times_ms) == len(ordered):
        return first.frame_times_ms
    for name in ("trigger", "acquisition time", "time"):
        values = [p.plane.key(name) for p in ordered]
        seconds = [v / 1000 if isinstance(v, float) else seconds_of(v) if v is not None else None for v in values]
        known = [s for s in seconds if s is not None]
        if len(known) == len(ordered) and all(a < b for a, b in pairwise(known)):
            return tuple(round(1000 * (s - known[0]), 3) for s in known)
    return ()


def _unlike_windows(ordered: Sequence[Picture]) -> bool:
    """True where pictures have windows and not all the same."""
    first = {p.plane.windows[:1] for p in ordered}
    return len(first) > 1


def _common_windows(ordered: Sequence[Picture], middle: Picture, grid: Grid | None) -> tuple[Window, ...]:
    """The windows of a whole stack: the middle picture's; for MR slices with one each, the one of median width.

    Siemens and Philips write another window into each slice; the median is that of a typical one.
    """
    with_windows = [p.plane.windows for p in ordered if p.plane.windows]
    if grid is not None and middle.file.modality == "MR" and len(with_windows) > 2:
        return sorted(with_windows, key=lambda windows: (windows[0].width, windows[0].level))[len(with_windows) // 2]
    return middle.plane.windows or (with_windows[0] if with_windows else ())


def _triple(position: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    return None if position is None else (position[0], position[1], position[2])


def _identity(first: ImageFile, ordered: Sequence[Picture], name: str) -> str:
    """An id that depends on what the stack is, not on where its files lie or in which order they came."""
    layout = first.layout
    alone = layout.frames > 1 or first.modality in ONE_BY_ONE or not first.series_uid
    facts = (
        first.text.patient_id, first.study_uid, first.series_uid, first.sop_class, layout.rows, layout.columns,
        layout.samples, layout.dtype.str, first.frame_of_reference_uid, first.is_localizer, name,
        spacing_text(ordered[0].plane), first.sop_instance_uid if alone else "",
    )  # fmt: skip
    return hashlib.sha1(repr(facts).encode(), usedforsecurity=False).hexdigest()[:12]


def _file_faults(ordered: Sequence[Picture]) -> list[Quality]:
    """Each file's faults once; where not all images have it, in which."""
    images: dict[str, list[int]] = defaultdict(list)
    faults: dict[str, Quality] = {}
    for n, picture in enumerate(ordered):
        for fault in picture.file.faults:
            faults.setdefault(fault.code, fault)
            images[fault.code].append(n)
    return [
        fault
        if len(images[code]) == len(ordered)
        else replace(fault, detail=f"{fault.detail} (image {counted(images[code])})", images=tuple(images[code]))
        for code, fault in faults.items()
    ]


def _merged(quality: Sequence[Quality]) -> tuple[Quality, ...]:
    """One entry a code, the first one's words."""
    merged: dict[str, Quality] = {}
    for fault in quality:
        merged.setdefault(fault.code, fault)
    return tuple(merged.values())

"""From image files to patients, studies, series and stacks.

A series is split into stacks by rule, in this order: SOP class, size and type of the pixels, frame of
reference, localizers, planes that are unknown, pixel spacing, orientation; frames at one place by the first
attribute that tells them all apart. Multi-frame files are split the same way, each for itself; files of
equal grids are joined to one 4-D stack.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np

from medviewer.formats.catalog import (
    Patient,
    Quality,
    Series,
    Skipped,
    Stack,
    StackKind,
    Study,
)
from medviewer.formats.dicom.headers.header import ImageFile
from medviewer.formats.dicom.headers.planes import PLANAR_MODALITIES, FramePlane, orthonormal
from medviewer.formats.dicom.stacks.geometry import SAME_PLACE, distances, normal_of, stack_geometry
from medviewer.formats.dicom.stacks.joining import ONE_BY_ONE, join_files
from medviewer.formats.dicom.stacks.mosaic import tile_planes
from medviewer.formats.dicom.stacks.picture_stack import Picture, make_stack, spacing_text
from medviewer.formats.dicom.stacks.stack_names import distinct_names
from medviewer.formats.dicom.stacks.times import TimeSplit, split_times
from medviewer.formats.quality import counted

#: Orientations within this angle belong together, radians.
SAME_ORIENTATION = 0.01
#: Modalities whose multi-frame files without geometry run in time.
_RUNS = frozenset({"US", "XA", "RF", "ES", "NM", "IVUS", "IVOCT"})


def build_patients(
    images: Sequence[ImageFile], same_bytes: Callable[[ImageFile, ImageFile], bool]
) -> tuple[tuple[Patient, ...], tuple[Skipped, ...]]:
    """Group image files.

    Args:
        images: what a scan read, in any order.
        same_bytes: tells whether two files are copies of one another; asked only for equal SOP Instance UIDs.

    Returns:
        Patients with their studies, series and stacks in reading order; and the copies that were left out.
    """
    kept, copies = _without_copies(sorted(images, key=lambda f: str(f.path)), same_bytes)
    home_of: dict[tuple[str, str, str], str] = {}  # a series has one study, whatever its files say
    by_patient: dict[tuple[str, str], dict[str, dict[str, list[ImageFile]]]] = {}
    for file in kept:
        text = file.text
        studies = by_patient.setdefault((text.patient_id, text.patient_name), {})
        uid = file.series_uid or f"file:{file.path.name}"
        home = home_of.setdefault((text.patient_id, text.patient_name, uid), file.study_uid)
        studies.setdefault(home, {}).setdefault(uid, []).append(file)
    copied: dict[str, list[tuple[ImageFile, ImageFile]]] = defaultdict(list)
    for file, original in copies:
        copied[file.series_uid].append((file, original))
    patients = []
    for (patient_id, name), studies in by_patient.items():
        study_list = []
        for study_uid, series_map in studies.items():
            series_list = [_series(uid, files, copied.get(uid, ())) for uid, files in series_map.items()]
            series_list.sort(key=lambda s: (s.number if s.number is not None else 1 << 40, _first_time(s), s.uid))
            first = next(iter(series_map.values()))[0].text
            study_list.append(Study(study_uid, first.study_date, first.study_description, tuple(series_list)))
        study_list.sort(key=lambda s: (s.date, s.uid), reverse=True)
        patients.append(Patient(name, patient_id, tuple(study_list)))
    patients = _told_apart(sorted(patients, key=lambda p: (p.name.casefold(), p.id)))
    skipped = tuple(
        Skipped(file.path, f"a copy of {original.path.name}, which is shown", "duplicate-uid")
        for file, original in copies
    )
    return tuple(patients), skipped


def _told_apart(patients: Sequence[Patient]) -> list[Patient]:
    """The same patients with no stack id twice: two patients may share every identifier but the name."""
    seen: Counter[str] = Counter()

    def one(stack: Stack) -> Stack:
        seen[stack.id] += 1
        return stack if seen[stack.id] == 1 else replace(stack, id=f"{stack.id}-p{seen[stack.id]}")

    def series(found: Series) -> Series:
        return replace(found, stacks=tuple(one(stack) for stack in found.stacks))

    def study(found: Study) -> Study:
        return replace(found, series=tuple(series(part) for part in found.series))

    ids = [stack.id for p in patients for s in p.studies for part in s.series for stack in part.stacks]
    if len(set(ids)) == len(ids):
        return list(patients)
    return [replace(p, studies=tuple(study(part) for part in p.studies)) for p in patients]


def _first_time(series: Series) -> str:
    return series.stacks[0].text.series_time if series.stacks else ""


def _without_copies(
    files: Sequence[ImageFile], same_bytes: Callable[[ImageFile, ImageFile], bool]
) -> tuple[list[ImageFile], list[tuple[ImageFile, ImageFile]]]:
    """Files without those that repeat another one to the byte, and each copy with its original."""
    seen: dict[str, list[ImageFile]] = defaultdict(list)
    kept, copies = [], []
    for file in files:
        others = seen[file.sop_instance_uid] if file.sop_instance_uid else []
        original = next((o for o in others if o.size == file.size and same_bytes(o, file)), None)
        if original is not None:
            copies.append((file, original))
            continue
        others.append(file)
        kept.append(file)
    return kept, copies


def _series(uid: str, files: list[ImageFile], copies: Sequence[tuple[ImageFile, ImageFile]]) -> Series:
    planes = {file.path: file.planes for file in files}
    stacks = _unique_ids(join_files([stack for group in _by_file_class(files) for stack in _stacks_of(group)], planes))
    stacks = distinct_names([_with_copies(stack, copies) for stack in stacks])
    text = files[0].text
    description = text.series_description or text.protocol
    if not description:
        thickness = f"{text.thickness_mm:g} mm" if text.thickness_mm else ""
        description = " ".join(part for part in (files[0].modality, text.body_part, thickness) if part)
    return Series(
        "" if uid.startswith("file:") else uid, text.series_number, files[0].modality, description, tuple(stacks)
    )


def _with_copies(stack: Stack, copies: Sequence[tuple[ImageFile, ImageFile]]) -> Stack:
    """The stack, with a fault where files that repeat one of its images were left out."""
    index_of = {frame.path: n % stack.size_kji[0] for n, frame in reversed(list(enumerate(stack.frames)))}
    own = [(file, original) for file, original in copies if original.path in index_of]
    if not own:
        return stack
    images = tuple(sorted({index_of[original.path] for _, original in own}))
    named = ", ".join(f"{file.path.name} repeats {original.path.name}" for file, original in own[:4])
    more = ", ..." if len(own) > 4 else ""
    count = f"{len(own)} identical {'copy' if len(own) == 1 else 'copies'} of image {counted(images)} left out"
    short = f"{len(own)} duplicate{'s' if len(own) > 1 else ''} left out"
    fault = Quality("duplicate-slice", f"{count} ({named}{more})", short, images)
    return replace(stack, quality=(*stack.quality, fault))


def _by_file_class(files: Sequence[ImageFile]) -> list[list[ImageFile]]:
    """Files that may share a stack; a multi-frame file is a class of its own."""
    groups: dict[Hashable, list[ImageFile]] = {}
    for file in sorted(files, key=lambda f: f.instance_number if f.instance_number is not None else 1 << 40):
        layout = file.layout
        multi = layout.frames > 1 or len(file.planes) > 1
        alone = str(file.path) if multi or file.modality in ONE_BY_ONE else ""
        alone = file.concatenation[0] or alone
        kind = "colour" if layout.samples == 3 else "palette" if layout.is_palette else "grey"
        key = (
            file.sop_class, layout.rows, layout.columns, layout.samples, kind, layout.dtype.str, file.inverted,
            file.frame_of_reference_uid, file.is_localizer, file.mosaic, alone,
        )  # fmt: skip
        groups.setdefault(key, []).append(file)
    return list(groups.values())


def _stacks_of(files: Sequence[ImageFile]) -> list[Stack]:
    """Stacks of files of one class."""
    pictures = [Picture(file, n, plane) for file in files for n, plane in enumerate(file.planes)]
    extra: list[Quality] = []
    if files[0].mosaic is not None:
        pictures = [tile for file in files for tile in _tiles(file)]
        tiles = files[0].mosaic.tiles
        extra.append(Quality("mosaic", f"unpacked: each image holds {tiles} slices as tiles", f"mosaic of {tiles}"))
        if pictures[0].tile is None:
            return [_loose(pictures, Quality("mosaic", "tiles of several slices in one picture, shown as stored"))]
    placed = [p for p in pictures if p.plane.position is not None and p.plane.orientation is not None]
    loose = [p for p in pictures if p.plane.position is None or p.plane.orientation is None]
    stacks: list[Stack] = []
    by_spacing = _clusters(placed, _same_spacing)
    if len(by_spacing) > 1:
        kinds = ", ".join(sorted({spacing_text(group[0].plane) for group in by_spacing}))
        extra.append(Quality("mixed-spacing", f"the series has pixel spacings of {kinds}"))
    directions = len(_clusters(placed, _same_orientation))
    if directions > 1:
        extra.append(Quality("mixed-orientation", f"the series has pictures in {directions} directions"))
    for same_spacing in by_spacing:
        by_orientation = _clusters(same_spacing, _same_orientation)
        if len(by_orientation) > 2 and all(len(group) == 1 for group in by_orientation):
            stacks.append(_loose(same_spacing, *extra))
            continue
        for group in by_orientation:
            named = directions > 1
            stacks += _placed_stacks(group, extra, name=_plane_name(group[0].plane) if named else "")
    if loose:
        stacks.append(_loose(loose, name="without position" if placed else ""))
    return stacks


def _tiles(file: ImageFile) -> list[Picture]:
    """The slices of a mosaic, or the mosaic itself where its geometry is unknown."""
    assert file.mosaic is not None
    plane = file.planes[0]
    tiles = tile_planes(file.mosaic, plane, file.layout)
    if not tiles:
        return [Picture(file, 0, plane)]
    return [Picture(file, 0, tile_plane, tile) for tile, tile_plane in tiles]


def _same_spacing(a: Picture, b: Picture) -> bool:
    one, other = a.plane.spacing, b.plane.spacing
    if one is None or other is None or one == other:
        return one == other
    return all(abs(x - y) <= 1e-3 * max(x, y) for x, y in zip(one, other, strict=True))


def _same_orientation(a: Picture, b: Picture) -> bool:
    if a.plane.orientation == b.plane.orientation:
        return True
    one, other = np.asarray(a.plane.orientation), np.asarray(b.plane.orientation)
    return bool(
        np.linalg.norm(one[:3] - other[:3]) < SAME_ORIENTATION
        and np.linalg.norm(one[3:] - other[3:]) < SAME_ORIENTATION
    )


def _clusters(pictures: Sequence[Picture], same: Callable[[Picture, Picture], bool]) -> list[list[Picture]]:
    """Groups whose members are like the group's first one."""
    groups: list[list[Picture]] = []
    for picture in pictures:
        for group in groups:
            if same(group[0], picture):
                group.append(picture)
                break
        else:
            groups.append([picture])
    return groups


def _plane_name(plane: FramePlane) -> str:
    """The anatomical plane nearest to the picture's."""
    frame = orthonormal(plane.orientation or ())
    if frame is None:
        return ""
    normal = np.abs(normal_of(*frame))
    name = ("sagittal", "coronal", "axial")[int(np.argmax(normal))]
    return name if normal.max() > 0.95 else f"oblique {name}"


def _placed_stacks(pictures: Sequence[Picture], extra: Sequence[Quality], name: str) -> list[Stack]:
    """Stacks of pictures of one orientation with known positions."""
    frame = orthonormal(pictures[0].plane.orientation or ())
    assert frame is not None  # planes.py keeps no orientation that fails this
    normal = normal_of(*frame)
    positions = np.array([p.plane.position for p in pictures], dtype=np.float64)
    along = distances(positions, normal)
    order = sorted(range(len(pictures)), key=lambda n: (along[n], pictures[n].order))
    ordered = [pictures[n] for n in order]
    places = _place_numbers([float(along[n]) for n in order])
    split = split_times(ordered, places)
    return [_volume(part, frame, extra, name) for part in split]


def _place_numbers(sorted_along: Sequence[float]) -> list[int]:
    """A number for each slice that is equal for slices at one place."""
    numbers: list[int] = []
    last = float("-inf")
    for at in sorted_along:
        numbers.append(numbers[-1] if numbers and at - last <= SAME_PLACE else len(numbers))
        last = at
    return numbers


def _volume(
    part: TimeSplit[Picture], frame: tuple[tuple[float, ...], tuple[float, ...]], extra: Sequence[Quality], name: str
) -> Stack:
    first_time = part.times[0]
    sample = first_time[0]
    rows, columns = sample.size
    positions = np.array([p.plane.position for p in first_time], dtype=np.float64)
    geometry = stack_geometry(
        positions, frame[0], frame[1], sample.plane.spacing, sample.plane.thickness, (rows, columns)
    )
    ordered = [picture for time in part.times for picture in time]
    times, count = len(part.times), len(first_time)
    grid = geometry.grid
    if times > 1 and count == 1:
        kind, size, times = StackKind.CINE, (len(ordered), rows, columns), 1
        grid = None
    else:
        kind = StackKind.FOUR_D if times > 1 else StackKind.VOLUME if count > 1 else StackKind.SINGLE
        size = (count, rows, columns)
    spacing = sample.plane.spacing
    label = ", ".join(text for text in (name, part.name) if text)
    return make_stack(
        ordered,
        kind=kind,
        size_kji=size,
        times=times,
        grid=grid,
        spacing_kji=None if spacing is None else (geometry.step, *spacing),
        origin_lps=geometry.origin,
        direction=geometry.direction,
        quality=(*extra, *geometry.quality, *part.quality),
        time_labels=part.labels if kind is StackKind.FOUR_D else (),
        name=label,
    )


def _loose(pictures: Sequence[Picture], *extra: Quality, name: str = "") -> Stack:
    """One stack of pictures that have no common geometry."""
    ordered = sorted(pictures, key=lambda p: p.order)
    first = ordered[0]
    layout = first.file.layout
    one_file = all(p.file is first.file for p in ordered)
    if len(ordered) == 1:
        kind = StackKind.SINGLE
    elif one_file and (first.file.frame_times_ms or first.file.modality in _RUNS):
        kind = StackKind.CINE
    else:
        kind = StackKind.FRAMES
    spacings = {p.plane.spacing for p in ordered}
    spacing = spacings.pop() if len(spacings) == 1 else None
    faults = list(extra)
    if first.file.modality in PLANAR_MODALITIES and len(ordered) > 1 and not extra:
        faults.append(Quality("no-position", "where the pictures lie in the patient is unknown"))
    return make_stack(
        ordered,
        kind=kind,
        size_kji=(len(ordered), layout.rows, layout.columns),
        times=1,
        grid=None,
        spacing_kji=None if spacing is None else (first.plane.thickness, *spacing),
        origin_lps=None,
        direction=None,
        quality=tuple(faults),
        time_labels=(),
        name=name,
    )


def _unique_ids(stacks: Sequence[Stack]) -> list[Stack]:
    """Sisters that the facts do not tell apart get a number."""
    seen: Counter[str] = Counter()
    named = []
    for stack in stacks:
        seen[stack.id] += 1
        count = seen[stack.id]
        named.append(stack if count == 1 else replace(stack, id=f"{stack.id}-{count}"))
    return named

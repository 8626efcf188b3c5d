"""DICOM Segmentations laid on an image: each frame by its own plane, whatever the order of frames and segments.

Frames on the image's own voxels are copied. Others are laid by nearest voxel, and that is said. Where the image or
the segmentation has no geometry, frames are laid on the very images that they name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import MissingHere, Refused
from medviewer.formats.dicom.objects.seg_file import FramePlace, SegDescription, SegFile, SegFrame, refuse_tiled
from medviewer.formats.dicom.objects.seg_nearest import (
    LARGEST_LAID,
    SAME_SPACING,
    Block,
    Bytes,
    Crop,
    PlaneStack,
    plane_heights,
)
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.laid import RESAMPLED, LaidSegment, LaidSegments, Space, Target, refuse_stranger
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid

#: A frame lies on the grid's own voxels where no voxel of it is farther off than this share of a voxel in its plane ...
SAME_LATTICE_VOXELS = 0.1
#: ... and where its plane is no farther from a slice than this share of the slice distance.
HALF_SLICE = 0.5
#: Normals that differ more (1 - cosine; 0.25 degrees) are those of different stacks.
PARALLEL = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class _OnLattice:
    """How a frame's rows and columns run in the image: index of its first pixel, steps of one row and one column."""

    first: NDArray[np.int64]
    down: NDArray[np.int64]
    across: NDArray[np.int64]


def lay(seg: SegFile, target: Target, context: JobContext | None = None) -> LaidSegments:
    """The segments of a file on an image.

    Args:
        seg: the file.
        target: the image.
        context: for progress and cancel.

    Raises:
        Refused: another patient or frame of reference, a whole-slide image, no geometry and no reference, all of it
            outside the image.
        MissingHere: a decoder is missing on this machine.
    """
    context = context or JobContext()
    refuse_tiled(seg)
    refuse_stranger(
        "segmentation",
        seg.path,
        target,
        frame_of_reference_uid=seg.frame_of_reference_uid,
        patient_id=seg.patient_id,
    )
    notes, refused = list(seg.faults), _undescribed(seg)
    frames = _placed(seg.frames, target)
    notes += _left_out(seg.frames, frames)
    lattices = _lattices(frames, (seg.rows, seg.columns), target)
    if lattices is None:
        _refuse_uneven(seg, frames)
        notes.append(RESAMPLED)
    reader = _Reader(seg, context)
    blocks: dict[int, list[Block]] = {}
    outside: Counter[int] = Counter()
    if lattices is not None:
        for frame, lattice in zip(frames, lattices, strict=True):
            for number, corner, shares in reader.crops(frame):
                block = None if lattice is None else _copied(lattice, corner, shares, target.size_kji)
                if block is None:
                    outside[number] += 1
                else:
                    blocks.setdefault(number, []).append(block)
    else:
        assert target.grid is not None
        stack = PlaneStack.of(frames, target.grid)
        for number, crops in reader.by_segment(frames):
            laid = stack.lay(crops, target.grid, context)
            if laid is None:
                outside[number] += len(crops)
            else:
                blocks[number] = [laid]
    refused += reader.sentences(seg)
    where = "lies outside the image" if target.grid is not None else "was drawn on images that are not here"
    segments = []
    for description in sorted(seg.segments, key=lambda s: s.number):
        number = description.number
        if number in reader.damaged:
            continue
        if outside[number] and number not in blocks:
            refused.append(f"segment {number} ({description.label}) {where}")
            continue
        if outside[number]:
            notes.append(f"{outside[number]} frames of segment {number} ({description.label}) lie outside the image")
        segments.append(_joined(description, blocks.get(number, ())))
    if outside and not any(blocks.values()):
        raise Refused(f"this segmentation {where}", path=seg.path)
    if not segments and refused:
        raise Refused(f"no segment of this file can be shown: {refused[0]}", path=seg.path)
    return LaidSegments(target.size_kji, tuple(segments), seg.kind, tuple(notes), tuple(refused))


def _undescribed(seg: SegFile) -> list[str]:
    """Sentences about frames of segments that the file does not describe."""
    known = {s.number for s in seg.segments}
    if seg.kind == "label map":
        return []
    strange = Counter(f.number for f in seg.frames if f.number not in known)
    return [
        f"{count} frames belong to segment {number}, which the file does not describe"
        if number
        else f"{count} frames belong to no segment"
        for number, count in sorted(strange.items())
    ]


class _Reader:
    """Reads frames; remembers which segments are damaged."""

    def __init__(self, seg: SegFile, context: JobContext) -> None:
        self._seg, self._context = seg, context
        self._known = {s.number for s in seg.segments}
        self.damaged: dict[int, str] = {}
        self._strange: set[int] = set()
        self._done = self._voxels = 0

    def crops(self, frame: SegFrame) -> Iterable[tuple[int, tuple[int, int], Bytes]]:
        """What a frame marks: segment number, first row and column of the box around it, shares `[row, column]`."""
        self._done += 1
        self._context.report(self._done, len(self._seg.frames), "reading the segmentation")
        if self._seg.kind == "label map":
            yield from self._labels(frame)
            return
        if frame.number not in self._known or frame.number in self.damaged:
            return
        try:
            shares = self._seg.shares(frame)
        except (PixelFault, SourceFault, OSError) as fault:
            self._note(frame.number, frame, fault)
            return
        found = _boxed(shares)
        if found is not None:
            yield frame.number, *self._counted(found)

    def _counted(self, found: tuple[tuple[int, int], Bytes]) -> tuple[tuple[int, int], Bytes]:
        self._voxels += found[1].size
        if self._voxels > LARGEST_LAID:
            raise Refused("the segmentation is too large to be laid on an image", path=self._seg.path)
        return found

    def _labels(self, frame: SegFrame) -> Iterable[tuple[int, tuple[int, int], Bytes]]:
        try:
            values = self._seg.stored(frame)
        except (PixelFault, SourceFault, OSError) as fault:
            for number in self._known:  # nobody knows which of them this frame held
                self._note(number, frame, fault)
            return
        present = np.unique(values)
        for number in present[present != 0].tolist():
            if number not in self._known:
                self._strange.add(int(number))
                continue
            found = _boxed(np.where(values == number, np.uint8(255), np.uint8(0)))
            if found is not None:
                yield int(number), *self._counted(found)

    def _note(self, number: int, frame: SegFrame, fault: PixelFault | SourceFault | OSError) -> None:
        if isinstance(fault, PixelFault) and fault.code == "no-codec":
            raise MissingHere(fault.reason, path=self._seg.path) from fault
        reason = fault.strerror or "it cannot be read" if isinstance(fault, OSError) else fault.reason
        self.damaged.setdefault(number, f"frame {frame.index + 1}: {reason}")

    def by_segment(self, frames: Sequence[SegFrame]) -> Iterable[tuple[int, list[Crop]]]:
        """What all frames mark, segment by segment."""
        found: dict[int, list[Crop]] = {}
        for frame in frames:
            for number, corner, shares in self.crops(frame):
                assert frame.place is not None
                found.setdefault(number, []).append((frame.place, corner, shares))
        yield from found.items()

    def sentences(self, seg: SegFile) -> list[str]:
        """What is damaged, for people."""
        names = {s.number: s.label for s in seg.segments}
        lines = [f"segment {n} ({names[n]}) is damaged: {why}" for n, why in sorted(self.damaged.items())]
        if self._strange:
            shown = ", ".join(str(n) for n in sorted(self._strange)[:8])
            lines.append(f"voxels of segments that the file does not describe are left out: {shown}")
        return lines


def _boxed(shares: Bytes) -> tuple[tuple[int, int], Bytes] | None:
    """The box around what is marked, None where nothing is."""
    rows = np.flatnonzero(shares.any(axis=1))
    if rows.size == 0:
        return None
    part = shares[rows[0] : rows[-1] + 1]
    columns = np.flatnonzero(part.any(axis=0))
    return (int(rows[0]), int(columns[0])), np.ascontiguousarray(part[:, columns[0] : columns[-1] + 1])


def _joined(description: SegDescription, blocks: Sequence[Block]) -> LaidSegment:
    """One box around all blocks of a segment."""
    if not blocks:
        return LaidSegment(description, (0, 0, 0), np.zeros((0, 0, 0), dtype=np.uint8))
    low = np.min([b.start_kji for b in blocks], axis=0)
    high = np.max([np.add(b.start_kji, b.shares.shape) for b in blocks], axis=0)
    whole = np.zeros(high - low, dtype=np.uint8)
    for block in blocks:
        where = tuple(slice(a - b, a - b + n) for a, b, n in zip(block.start_kji, low, block.shares.shape, strict=True))
        np.maximum(whole[where], block.shares, out=whole[where])
    k, j, i = (int(n) for n in low)
    return LaidSegment(description, (k, j, i), whole)


def own_target(seg: SegFile) -> Target:
    """The lattice that a segmentation's own frames span, for use without its images.

    Raises:
        Refused: a whole-slide image, or planes that form no even stack.
    """
    refuse_tiled(seg)
    places = [f.place for f in seg.frames if f.place is not None]
    if not places or len(places) < len(seg.frames):
        raise Refused(
            "the segmentation says nothing about where its frames lie", path=seg.path, remedy="add --reference FOLDER"
        )
    _refuse_uneven(seg, seg.frames)
    first = places[0]
    normal = first.normal_lps
    heights, step = plane_heights(places, normal)
    depth = step or first.spacing_mm or first.thickness_mm or 1.0
    if step is not None and first.spacing_mm is not None and first.spacing_mm <= step * (1 + SAME_SPACING):
        depth = (heights[-1] - heights[0]) / max(1, round((heights[-1] - heights[0]) / first.spacing_mm))
    planes = (heights - heights[0]) / depth
    lowest = min(places, key=lambda p: float(p.origin_lps @ normal))
    shifts = [p.origin_lps - lowest.origin_lps for p in places]
    sideways = max(float(np.linalg.norm(s - (s @ normal) * normal)) for s in shifts)
    columns_mm, rows_mm = float(np.linalg.norm(first.column_step_lps)), float(np.linalg.norm(first.row_step_lps))
    uneven = float(np.max(np.abs(planes - np.rint(planes)))) > SAME_SPACING
    if uneven or sideways > SAME_LATTICE_VOXELS * min(columns_mm, rows_mm):
        raise Refused(
            "the segmentation's planes are no even stack, so they form no volume of their own",
            path=seg.path,
            remedy="add --reference FOLDER",
        )
    across, down = first.column_step_lps / columns_mm, first.row_step_lps / rows_mm
    x, y, z = (float(v) for v in lowest.origin_lps)
    grid = Grid(
        (round(float(planes[-1])) + 1, seg.rows, seg.columns),
        (float(depth), rows_mm, columns_mm),
        tuple(float(v) for v in (*across, *down, *normal)),
        (x, y, z),
    )
    return Target(grid.size_kji, grid, seg.frame_of_reference_uid, seg.patient_id, seg.study_uid)


# -- on the image's own voxels -----------------------------------------------------------------------------------------


def _placed(frames: Sequence[SegFrame], target: Target) -> list[SegFrame]:
    """The frames that can be laid: without those that tell neither a place nor an image of the target."""
    if target.grid is None:
        return list(frames)
    kept = [f for f in frames if f.place is not None or _by_reference(f, target) is not None]
    return kept or list(frames)


def _left_out(frames: Sequence[SegFrame], kept: Sequence[SegFrame]) -> list[str]:
    lost = sorted({f.index + 1 for f in frames} - {f.index + 1 for f in kept})
    if not lost:
        return []
    shown = ", ".join(map(str, lost[:8])) + (", ..." if len(lost) > 8 else "")
    if len(lost) == 1:
        return [f"frame {shown} says nothing about where it lies and is left out"]
    return [f"{len(lost)} frames say nothing about where they lie and are left out: {shown}"]


def _lattices(frames: Sequence[SegFrame], shape: tuple[int, int], target: Target) -> list[_OnLattice | None] | None:
    """Where each frame lies on the image's voxels (None: outside of it); None where one has a lattice of its own."""
    places = [f.place for f in frames if f.place is not None]
    if target.grid is None or len(places) < len(frames):
        named = [_by_reference(f, target) for f in frames]
        space = target.places if target.grid is None else target.grid
        if space is not None:
            own = [None if f.place is None else _on_voxels(f.place, shape, space) for f in frames]
            named = [a or b for a, b in zip(named, own, strict=True)]
        return named
    if not _has_spacing_of(places, target.grid):
        return None
    found: list[_OnLattice | None] = []
    for place in places:
        lattice = _on_voxels(place, shape, target.grid)
        if lattice is None:
            return None
        found.append(lattice)
    return found


def _by_reference(frame: SegFrame, target: Target) -> _OnLattice | None:
    """A frame on the image that it names."""
    k = next((target.slices[image] for image in frame.images if image in target.slices), None)
    if k is None:
        return None
    return _OnLattice(np.array([k, 0, 0]), np.array([0, 1, 0]), np.array([0, 0, 1]))


def _on_voxels(place: FramePlace, shape: tuple[int, int], grid: Space) -> _OnLattice | None:
    start = grid.lps_to_index(place.origin_lps)
    across = grid.lps_to_index(place.origin_lps + place.column_step_lps) - start
    down = grid.lps_to_index(place.origin_lps + place.row_step_lps) - start
    across_unit, down_unit = np.rint(across), np.rint(down)
    straight = np.abs(across_unit).sum() == 1 and np.abs(down_unit).sum() == 1 and not (across_unit * down_unit).any()
    if not straight:
        return None
    through = np.abs(across_unit) + np.abs(down_unit) == 0
    drift = np.abs(across - across_unit) * (shape[1] - 1) + np.abs(down - down_unit) * (shape[0] - 1)
    off = np.abs(start - np.rint(start)) + drift
    if np.any(off[~through] > SAME_LATTICE_VOXELS) or off[through][0] > HALF_SLICE:
        return None
    return _OnLattice(np.rint(start).astype(int), down_unit.astype(int), across_unit.astype(int))


def _copied(lattice: _OnLattice, corner: tuple[int, int], shares: Bytes, size: tuple[int, int, int]) -> Block | None:
    """A frame's box turned into the image's axes and cut at its borders; None where nothing of it is inside."""
    down_axis, across_axis = int(np.flatnonzero(lattice.down)[0]), int(np.flatnonzero(lattice.across)[0])
    block = shares if down_axis < across_axis else shares.T
    block = np.expand_dims(block, ({0, 1, 2} - {down_axis, across_axis}).pop())
    start = lattice.first + corner[0] * lattice.down + corner[1] * lattice.across
    for axis, step, count in (
        (down_axis, lattice.down[down_axis], shares.shape[0]),
        (across_axis, lattice.across[across_axis], shares.shape[1]),
    ):
        if step < 0:
            block = np.flip(block, axis)
            start[axis] -= count - 1
    low = np.maximum(start, 0)
    high = np.minimum(start + block.shape, size)
    if np.any(high <= low):
        return None
    inside = block[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
    if not inside.any():
        return None
    k, j, i = (int(n) for n in low)
    return Block((k, j, i), np.ascontiguousarray(inside))


def _has_spacing_of(places: Sequence[FramePlace], grid: Grid) -> bool:
    """True where the planes are as far apart as the grid's slices.

    Empty frames are left out of files, so a multiple of that is the same lattice too, unless the file says that its
    slices are that thick.
    """
    if not places:
        return True
    normal = places[0].normal_lps
    _, step = plane_heights(places, normal)
    if step is None:
        return True
    moved = grid.lps_to_index(normal * step) - grid.lps_to_index(np.zeros(3))
    slices = float(np.max(np.abs(moved)))
    if abs(slices - 1.0) <= SAME_SPACING:
        return True
    if slices < 1.0 or abs(slices - round(slices)) > SAME_SPACING:
        return False
    said = [mm / step * slices for mm in (places[0].spacing_mm, places[0].thickness_mm) if mm]
    return not said or any(abs(n - 1.0) <= SAME_SPACING for n in said)


def _refuse_uneven(seg: SegFile, frames: Sequence[SegFrame]) -> None:
    normals = np.asarray([f.place.normal_lps for f in frames if f.place is not None])
    if len(normals) and np.min(normals @ normals[0]) < 1 - PARALLEL:
        raise Refused("the segmentation's planes are not parallel, and they are not the image's", path=seg.path)

"""Segmentation: one uint8 label map on a Grid, with named, coloured, coded segments.

Voxels and segments change only through edit operations (operations.py), so that every change has an inverse, a name
and a place in the journal. What is handed out is read-only.
"""

from __future__ import annotations

import colorsys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.formats.dicom.codes import SegmentMeaning, meaning_of
from medviewer.volume.grid import Grid

#: The first eight colours: Okabe and Ito's colour-blind-safe palette and white.
FIRST_COLOURS: tuple[tuple[int, int, int], ...] = (
    (0xE6, 0x9F, 0x00),
    (0x56, 0xB4, 0xE9),
    (0x00, 0x9E, 0x73),
    (0xF0, 0xE4, 0x42),
    (0x00, 0x72, 0xB2),
    (0xD5, 0x5E, 0x00),
    (0xCC, 0x79, 0xA7),
    (0xFF, 0xFF, 0xFF),
)

_GOLDEN_ANGLE = 137.50776405003785 / 360.0

#: A label map holds eight bits: 0 is background, 255 numbers are left.
LAST_NUMBER = 255


def colour_of(number: int) -> tuple[int, int, int]:
    """RGB of a segment number (from 1): eight colour-blind-safe colours, then hues by the golden angle."""
    if 1 <= number <= len(FIRST_COLOURS):
        return FIRST_COLOURS[number - 1]
    red, green, blue = colorsys.hsv_to_rgb((number * _GOLDEN_ANGLE) % 1.0, 0.65, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


@dataclass(frozen=True, slots=True)
class Box:
    """A box of voxels, half open: `start_kji` belongs to it, `stop_kji` does not."""

    start_kji: tuple[int, int, int]
    stop_kji: tuple[int, int, int]

    @classmethod
    def of(cls, start_kji: Sequence[int], size_kji: Sequence[int]) -> Self:
        """The box of a given start and size."""
        k, j, i = (int(n) for n in start_kji)
        a, b, c = (int(n) for n in size_kji)
        return cls((k, j, i), (k + a, j + b, i + c))

    @property
    def size_kji(self) -> tuple[int, int, int]:
        """Voxels along slice, row, column; never negative."""
        k, j, i = (max(0, b - a) for a, b in zip(self.start_kji, self.stop_kji, strict=True))
        return k, j, i

    @property
    def voxels(self) -> int:
        """How many voxels the box holds."""
        k, j, i = self.size_kji
        return k * j * i

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as array slices: `labelmap[box.slices]`."""
        a, b = self.start_kji, self.stop_kji
        return slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2])

    def moved(self, origin_kji: Sequence[int]) -> Box:
        """The same box as counted from another voxel: from a box's start, the place inside that box."""
        k, j, i = (a - int(o) for a, o in zip(self.start_kji, origin_kji, strict=True))
        return Box.of((k, j, i), self.size_kji)

    def union(self, other: Box | None) -> Box:
        """The smallest box that holds both."""
        if other is None:
            return self
        a = [min(x, y) for x, y in zip(self.start_kji, other.start_kji, strict=True)]
        b = [max(x, y) for x, y in zip(self.stop_kji, other.stop_kji, strict=True)]
        return Box((a[0], a[1], a[2]), (b[0], b[1], b[2]))

    def cut_to(self, size_kji: Sequence[int]) -> Box | None:
        """The part inside an array of this size, or None."""
        a = [max(0, x) for x in self.start_kji]
        b = [min(int(n), x) for n, x in zip(size_kji, self.stop_kji, strict=True)]
        if any(y <= x for x, y in zip(a, b, strict=True)):
            return None
        return Box((a[0], a[1], a[2]), (b[0], b[1], b[2]))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a segment's voxels come from.

    Attributes:
        task, model, device: of the suggestion that was accepted; all "" for a segment drawn by hand.
        model_version: version of the model package.
        edited: True as soon as a person changed a voxel of it.
    """

    task: str = ""
    model: str = ""
    model_version: str = ""
    device: str = ""
    edited: bool = False

    @property
    def algorithm_type(self) -> str:
        """Segment Algorithm Type (0062,0008): AUTOMATIC, SEMIAUTOMATIC once a person edited, or MANUAL."""
        if not self.model:
            return "MANUAL"
        return "SEMIAUTOMATIC" if self.edited else "AUTOMATIC"


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One named part of a segmentation.

    Attributes:
        number: its value in the label map, 1 to 255.
        label: its name.
        colour: RGB, 0 to 255.
        meaning: coded category, type, modifier and region.
        provenance: whose work it is.
        tracking_uid: Tracking UID (0062,0021): stays with the lesion through every revision and file.
    """

    number: int
    label: str
    colour: tuple[int, int, int]
    meaning: SegmentMeaning = field(default_factory=SegmentMeaning)
    provenance: Provenance = field(default_factory=Provenance)
    tracking_uid: str = field(default_factory=_new_uid)

    def __post_init__(self) -> None:
        if not 1 <= self.number <= LAST_NUMBER:
            raise ValueError(f"a segment's number is 1 to {LAST_NUMBER}, not {self.number}")

    @classmethod
    def named(cls, number: int, label: str, *, provenance: Provenance | None = None) -> Self:
        """A segment with the colour of its number and the coded meaning of its label."""
        return cls(number, label, colour_of(number), meaning_of(label), provenance or Provenance())

    def edited(self) -> Segment:
        """The same segment, marked as changed by a person."""
        return replace(self, provenance=replace(self.provenance, edited=True))


class Segmentation:
    """A label map with its segments on a Grid.

    Attributes:
        grid: where the voxels lie; that of the image.
        stack_id: the Stack that it belongs to, "" if none.
        revision: counts the changes, from 0.

    Counts and boxes of segments are kept up to date with every edit, so that no question about the whole costs a walk
    through the volume.
    """

    def __init__(self, grid: Grid, stack_id: str = "") -> None:
        self.grid = grid
        self.stack_id = stack_id
        self.revision = 0
        self._labelmap: NDArray[np.uint8] = np.zeros(grid.size_kji, dtype=np.uint8)
        self._segments: dict[int, Segment] = {}
        self._counts = np.zeros(LAST_NUMBER + 1, dtype=np.int64)
        self._counts[0] = self._labelmap.size
        self._boxes: dict[int, Box] = {}
        self._dirty: Box | None = None

    @classmethod
    def from_labelmap(
        cls, grid: Grid, labelmap: ArrayLike, segments: Sequence[Segment] = (), stack_id: str = ""
    ) -> Self:
        """A segmentation that starts with voxels (copied); numbers without a segment get a plain one.

        Args:
            grid: its size must be that of the label map.
            labelmap: whole numbers 0 to 255, `[k, j, i]`.
            segments: what the numbers are.
            stack_id: the Stack that it belongs to.

        Raises:
            ValueError: the sizes differ, or a value does not fit eight bits.
        """
        array = np.asarray(labelmap)
        if array.shape != grid.size_kji:
            raise ValueError(f"label map {array.shape} does not fit the grid {grid.size_kji}")
        if array.size and (array.min() < 0 or array.max() > LAST_NUMBER):
            raise ValueError("a label map holds whole numbers from 0 to 255")
        whole = cls(grid, stack_id)
        whole._segments = {s.number: s for s in sorted(segments, key=lambda s: s.number)}
        whole._labelmap[...] = array
        whole._counts = counted(whole._labelmap)
        present = [int(n) for n in np.flatnonzero(whole._counts) if n]
        if present:
            hull = box_of_true(whole._labelmap != 0)
            if hull is not None:
                whole._boxes = dict.fromkeys(present, hull)
        for number in present:
            whole._segments.setdefault(number, Segment.named(number, f"Segment {number}"))
        return whole

    @property
    def labelmap(self) -> NDArray[np.uint8]:
        """The label map uint8 `[k, j, i]`: a live view that cannot be written to."""
        view = self._labelmap.view()
        view.flags.writeable = False
        return view

    @property
    def segments(self) -> Mapping[int, Segment]:
        """Segments by number, in the order in which they were added."""
        return MappingProxyType(self._segments)

    @property
    def size_kji(self) -> tuple[int, int, int]:
        """Voxels along slice, row, column."""
        return self.grid.size_kji

    def next_number(self) -> int:
        """The lowest free segment number.

        Raises:
            ValueError: all 255 are taken.
        """
        for number in range(1, LAST_NUMBER + 1):
            if number not in self._segments:
                return number
        raise ValueError("a segmentation holds at most 255 segments")

    def voxels(self, number: int) -> int:
        """How many voxels a segment has."""
        return int(self._counts[number])

    def volume_ml(self, number: int) -> float:
        """Volume of a segment in millilitres."""
        return self.voxels(number) * self.grid.voxel_volume_mm3 / 1000.0

    @property
    def is_empty(self) -> bool:
        """True where no voxel is marked."""
        return int(self._counts[0]) == self._labelmap.size

    def box(self, number: int) -> Box | None:
        """The exact box of a segment's voxels, or None if it has none."""
        around = self._boxes.get(number)
        if around is None or not self._counts[number]:
            return None
        inner = box_of_true(self._labelmap[around.slices] == number)
        if inner is None:
            return None
        tight = inner.moved([-n for n in around.start_kji])
        self._boxes[number] = tight
        return tight

    def mask(self, number: int) -> tuple[Box, NDArray[np.bool_]] | None:
        """A segment's box and its voxels in it, or None if it has none."""
        box = self.box(number)
        return None if box is None else (box, self._labelmap[box.slices] == number)

    def number_at(self, index_kji: Sequence[float]) -> int:
        """The segment number of the voxel at a (fractional) index; 0 outside the grid."""
        k, j, i = (int(np.floor(float(n) + 0.5)) for n in index_kji)
        inside = all(0 <= n < m for n, m in zip((k, j, i), self.size_kji, strict=True))
        return int(self._labelmap[k, j, i]) if inside else 0

    def take_dirty(self) -> Box | None:
        """The box of all voxels that changed since the last call, or None."""
        dirty, self._dirty = self._dirty, None
        return dirty

    # -- for operations.py only ------------------------------------------------------------------------------------

    def write_values(self, box: Box, mask: NDArray[np.bool_], values: int | NDArray[np.uint8]) -> None:
        """Set masked voxels of a box and keep counts and boxes right. Only operations call this."""
        part = self._labelmap[box.slices]
        old = part[mask]
        part[mask] = values
        self._counts -= counted(old)
        if isinstance(values, np.ndarray):
            new = counted(values)
            self._counts += new
            numbers = [int(n) for n in np.flatnonzero(new)]
        else:
            self._counts[values] += old.size
            numbers = [values]
        for number in numbers:
            if number:
                self._boxes[number] = box.union(self._boxes.get(number))
        self._dirty = box.union(self._dirty)
        self.revision += 1

    def put_segment(self, segment: Segment) -> None:
        """Add or replace a segment. Only operations call this."""
        self._segments[segment.number] = segment
        self.revision += 1

    def drop_segment(self, number: int) -> None:
        """Take a segment (without voxels) off the list. Only operations call this."""
        del self._segments[number]
        self._boxes.pop(number, None)
        self.revision += 1


def counted(numbers: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of 256 numbers occurs. In parts: `bincount` makes eight bytes of every voxel."""
    flat = numbers.reshape(-1)
    counts = np.zeros(LAST_NUMBER + 1, dtype=np.int64)
    for start in range(0, flat.size, 1 << 22):
        counts += np.bincount(flat[start : start + (1 << 22)], minlength=LAST_NUMBER + 1)
    return counts


def box_of_true(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds all True voxels of `[k, j, i]`, or None."""
    spans = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if found.size == 0:
            return None
        spans.append((int(found[0]), int(found[-1]) + 1))
    return Box((spans[0][0], spans[1][0], spans[2][0]), (spans[0][1], spans[1][1], spans[2][1]))

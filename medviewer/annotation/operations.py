"""Edit operations: frozen values that change a Segmentation and know their inverse.

`apply` changes the segmentation and returns the operation that takes the change back exactly. The inverse holds only
what really changed, so it also says how many voxels that were and where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import Box, Segment, Segmentation


class Operation(Protocol):
    """What every edit operation can do."""

    @property
    def name(self) -> str:
        """What a person calls it: "brush stroke"."""

    @property
    def box(self) -> Box | None:
        """The voxels that it may touch, None for none."""

    @property
    def voxels(self) -> int:
        """How many voxels it sets."""

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""

    @property
    def touches_segments(self) -> bool:
        """True where the list of segments changes."""

    def apply(self, segmentation: Segmentation) -> Operation:
        """Do it and return the inverse."""


@dataclass(frozen=True, slots=True)
class Paint:
    """Set some voxels of a box.

    Attributes:
        name: what a person calls it.
        where: the box; inside the segmentation.
        bits: one bit a voxel of the box, C order, packed: the voxels that are set.
        values: one segment number for all (0 erases), or one byte for each set voxel in C order.
        only_over: numbers that may be overwritten; None for all. Others stay as they are.
    """

    name: str
    where: Box
    bits: bytes = field(repr=False)
    values: int | bytes = field(repr=False)
    only_over: tuple[int, ...] | None = None

    @classmethod
    def of_mask(
        cls,
        name: str,
        start_kji: Sequence[int],
        mask: NDArray[np.bool_],
        value: int | NDArray[np.uint8],
        *,
        only_over: Iterable[int] | None = None,
    ) -> Self:
        """From a mask `[k, j, i]` whose first voxel lies at `start_kji`.

        Args:
            name: what a person calls it.
            start_kji: index of `mask[0, 0, 0]`.
            mask: voxels to set; must lie inside the segmentation.
            value: a segment number, or an array of numbers for the True voxels in C order.
            only_over: overwrite only voxels of these numbers.
        """
        values: int | bytes
        if isinstance(value, np.ndarray):
            distinct = np.unique(value)
            values = int(distinct[0]) if distinct.size == 1 else value.astype(np.uint8).tobytes()
        else:
            values = int(value)
        over = None if only_over is None else tuple(sorted(set(only_over)))
        return cls(name, Box.of(start_kji, mask.shape), np.packbits(mask).tobytes(), values, over)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The set voxels as bool `[k, j, i]` of the box."""
        packed = np.frombuffer(self.bits, dtype=np.uint8)
        return np.unpackbits(packed, count=self.where.voxels).view(np.bool_).reshape(self.where.size_kji)

    @property
    def box(self) -> Box | None:
        """The box."""
        return self.where if self.where.voxels else None

    @property
    def voxels(self) -> int:
        """How many voxels are set."""
        if isinstance(self.values, bytes):
            return len(self.values)
        return int(np.bitwise_count(np.frombuffer(self.bits, dtype=np.uint8)).sum())

    @property
    def nbytes(self) -> int:
        """Bytes of bits and values."""
        return 200 + len(self.bits) + (len(self.values) if isinstance(self.values, bytes) else 0)

    @property
    def touches_segments(self) -> bool:
        """Never."""
        return False

    @property
    def numbers(self) -> frozenset[int]:
        """The segment numbers that are written (0 is the background)."""
        return frozenset({self.values} if isinstance(self.values, int) else self.values)

    def apply(self, segmentation: Segmentation) -> Paint:
        """Set the voxels; the inverse sets those that really changed to what they were.

        Raises:
            ValueError: the box leaves the segmentation, or a number has no segment.
        """
        if self.where.voxels and self.where.cut_to(segmentation.size_kji) != self.where:
            raise ValueError(f"{self.where} leaves the segmentation {segmentation.size_kji}")
        unknown = [n for n in self.numbers if n and n not in segmentation.segments]
        if unknown:
            raise ValueError(f"no segment {unknown[0]}")
        mask = self.mask
        old = segmentation.labelmap[self.where.slices]
        values: int | NDArray[np.uint8]
        if isinstance(self.values, bytes):
            full = np.zeros(self.where.size_kji, dtype=np.uint8)
            full[mask] = np.frombuffer(self.values, dtype=np.uint8)
            changed = mask & (old != full)
        else:
            changed = mask & (old != self.values)
        if self.only_over is not None:
            changed &= np.isin(old, np.asarray(self.only_over, dtype=np.uint8))
        values = full[changed] if isinstance(self.values, bytes) else self.values
        before = old[changed]
        inverse = Paint.of_mask(self.name, self.where.start_kji, changed, before if before.size else 0)
        if before.size:
            segmentation.write_values(self.where, changed, values)
        return inverse


def merged(paints: Sequence[Paint], name: str) -> Paint:
    """One operation that does the same as several in this order (a voxel keeps the value written last)."""
    boxes = [p.box for p in paints if p.box is not None]
    if not boxes:
        return Paint(name, Box((0, 0, 0), (0, 0, 0)), b"", 0)
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    values = np.zeros(whole.size_kji, dtype=np.uint8)
    touched = np.zeros(whole.size_kji, dtype=np.bool_)
    for paint in paints:
        if paint.box is None:
            continue
        if paint.only_over is not None:
            raise ValueError("an operation that depends on what lies beneath cannot be merged")
        inner = paint.where.moved(whole.start_kji)
        mask = paint.mask
        number = paint.values
        values[inner.slices][mask] = np.frombuffer(number, dtype=np.uint8) if isinstance(number, bytes) else number
        touched[inner.slices] |= mask
    written = values[touched]
    return Paint.of_mask(name, whole.start_kji, touched, written if written.size else 0)


@dataclass(frozen=True, slots=True)
class AddSegment:
    """Add an empty segment to the list."""

    segment: Segment
    name: str = "add segment"

    @property
    def box(self) -> Box | None:
        """No voxel."""
        return None

    @property
    def voxels(self) -> int:
        """No voxel."""
        return 0

    @property
    def nbytes(self) -> int:
        """About a kilobyte."""
        return 1000

    @property
    def touches_segments(self) -> bool:
        """Always."""
        return True

    def apply(self, segmentation: Segmentation) -> DeleteSegment:
        """Add it.

        Raises:
            ValueError: the number is taken.
        """
        if self.segment.number in segmentation.segments:
            raise ValueError(f"segment {self.segment.number} is there already")
        segmentation.put_segment(self.segment)
        return DeleteSegment(self.segment.number, self.name)


@dataclass(frozen=True, slots=True)
class ChangeSegment:
    """Replace a segment's name, colour, meaning or provenance; voxels stay."""

    segment: Segment
    name: str = "change segment"

    @property
    def box(self) -> Box | None:
        """No voxel."""
        return None

    @property
    def voxels(self) -> int:
        """No voxel."""
        return 0

    @property
    def nbytes(self) -> int:
        """About a kilobyte."""
        return 1000

    @property
    def touches_segments(self) -> bool:
        """Always."""
        return True

    def apply(self, segmentation: Segmentation) -> ChangeSegment:
        """Replace it.

        Raises:
            ValueError: there is no segment of this number.
        """
        if self.segment.number not in segmentation.segments:
            raise ValueError(f"no segment {self.segment.number}")
        before = segmentation.segments[self.segment.number]
        segmentation.put_segment(self.segment)
        return ChangeSegment(before, self.name)


@dataclass(frozen=True, slots=True)
class DeleteSegment:
    """Erase a segment's voxels and take it off the list."""

    number: int
    name: str = "delete segment"

    @property
    def box(self) -> Box | None:
        """Unknown before it is applied; the inverse knows."""
        return None

    @property
    def voxels(self) -> int:
        """Unknown before it is applied; the inverse knows."""
        return 0

    @property
    def nbytes(self) -> int:
        """Next to nothing."""
        return 200

    @property
    def touches_segments(self) -> bool:
        """Always."""
        return True

    def apply(self, segmentation: Segmentation) -> Operation:
        """Delete it.

        Raises:
            ValueError: there is no segment of this number.
        """
        if self.number not in segmentation.segments:
            raise ValueError(f"no segment {self.number}")
        segment = segmentation.segments[self.number]
        drawn = segmentation.mask(self.number)
        back: Operation = AddSegment(segment, self.name)
        if drawn is not None:
            box, mask = drawn
            restore = Paint.of_mask(self.name, box.start_kji, mask, 0).apply(segmentation)
            back = Together(self.name, (back, restore))
        segmentation.drop_segment(self.number)
        return back


@dataclass(frozen=True, slots=True)
class Together:
    """Several operations in this order, as one."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def box(self) -> Box | None:
        """The box around all."""
        whole: Box | None = None
        for operation in self.operations:
            if operation.box is not None:
                whole = operation.box.union(whole)
        return whole

    @property
    def voxels(self) -> int:
        """The sum."""
        return sum(operation.voxels for operation in self.operations)

    @property
    def nbytes(self) -> int:
        """The sum."""
        return sum(operation.nbytes for operation in self.operations)

    @property
    def touches_segments(self) -> bool:
        """True where one of them does."""
        return any(operation.touches_segments for operation in self.operations)

    def apply(self, segmentation: Segmentation) -> Together:
        """Do all; if one fails, those before it are taken back."""
        back: list[Operation] = []
        try:
            for operation in self.operations:
                back.append(operation.apply(segmentation))
        except ValueError:
            for inverse in reversed(back):
                inverse.apply(segmentation)
            raise
        return Together(self.name, tuple(reversed(back)))


@dataclass(frozen=True, slots=True)
class AcceptProposal:
    """Make a proposal part of the segmentation: one undo step.

    Attributes:
        segments: the segments, with the suggestion's provenance; new ones are added, others replaced.
        paints: their voxels.
    """

    segments: tuple[Segment, ...]
    paints: tuple[Paint, ...]
    name: str = "accept proposal"

    @property
    def box(self) -> Box | None:
        """The box around all."""
        return Together(self.name, self.paints).box

    @property
    def voxels(self) -> int:
        """Voxels of all masks."""
        return sum(paint.voxels for paint in self.paints)

    @property
    def nbytes(self) -> int:
        """Bytes of all masks."""
        return 1000 * len(self.segments) + sum(paint.nbytes for paint in self.paints)

    @property
    def touches_segments(self) -> bool:
        """Always."""
        return True

    def apply(self, segmentation: Segmentation) -> Together:
        """Add the segments and set their voxels."""
        steps: list[Operation] = [
            ChangeSegment(s, self.name) if s.number in segmentation.segments else AddSegment(s, self.name)
            for s in self.segments
        ]
        return Together(self.name, (*steps, *self.paints)).apply(segmentation)


def accept_proposal(
    segment_masks: Iterable[tuple[Segment, Sequence[int], NDArray[np.generic]]], segmentation: Segmentation
) -> AcceptProposal:
    """The operation that accepts masks; parts outside the segmentation are cut off.

    Args:
        segment_masks: for each segment: the segment, `start_kji` of its mask and the mask `[k, j, i]`.
        segmentation: where it will be applied.
    """
    segments: list[Segment] = []
    paints: list[Paint] = []
    for segment, start_kji, array in segment_masks:
        segments.append(segment)
        mask: NDArray[np.bool_] = np.asarray(array).astype(np.bool_)
        where = Box.of(start_kji, mask.shape)
        inside = where.cut_to(segmentation.size_kji)
        if inside is None:
            continue
        part = mask[inside.moved(where.start_kji).slices]
        paints.append(Paint.of_mask("accept proposal", inside.start_kji, part, segment.number))
    return AcceptProposal(tuple(segments), tuple(paints))

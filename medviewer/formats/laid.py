"""What lies over an image: where it may lie, and masks of segments laid on the image's voxels.

Segments keep their own masks, so that two of them may share a voxel; a label map, which editing needs, has room for
one number a voxel and is made on request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Refused
from medviewer.formats.catalog import FrameRef, Stack
from medviewer.formats.dicom.objects.seg_file import SegDescription
from medviewer.volume.grid import Grid
from medviewer.volume.slice_places import SlicePlaces

#: What maps between an image's voxels and the patient.
Space = Grid | SlicePlaces

#: What is said where a mask's lattice is not the image's.
RESAMPLED = "resampled to the image's grid (nearest voxel)"

#: From this share on a voxel counts as inside (255 is all of it): one half.
INSIDE = 128


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The image that something is laid on.

    Attributes:
        size_kji: voxels.
        grid: where they lie; None where the image carries no even geometry.
        places: where each slice lies, for images whose slices have gaps or uneven steps and so no grid.
        frame_of_reference_uid, patient_id, study_uid, series_uid: "" where unknown.
        slices: slice index of an image by its SOP Instance UID and frame number (from 1).
    """

    size_kji: tuple[int, int, int]
    grid: Grid | None
    frame_of_reference_uid: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    slices: Mapping[tuple[str, int], int] = field(default_factory=dict)
    places: SlicePlaces | None = None

    @property
    def space(self) -> Space | None:
        """What maps between voxels and millimetres; None where nothing does."""
        return self.places if self.grid is None else self.grid

    @classmethod
    def of(cls, stack: Stack) -> Target:
        """The target that a stack (one time of it) is."""
        frames = stack.frames[: stack.size_kji[0]]
        return cls(
            stack.size_kji,
            stack.grid,
            stack.frame_of_reference_uid,
            stack.patient_id or stack.text.patient_id,
            stack.study_uid,
            stack.series_uid,
            {(f.sop_instance_uid, f.frame + 1): k for k, f in enumerate(frames) if f.sop_instance_uid},
            _places(stack, frames) if stack.grid is None else None,
        )


def _places(stack: Stack, frames: tuple[FrameRef, ...]) -> SlicePlaces | None:
    positions = [f.position_lps for f in frames]
    if stack.direction is None or stack.spacing_kji is None or any(p is None for p in positions) or not positions:
        return None
    directions = np.asarray(stack.direction[:6], dtype=np.float64)
    return SlicePlaces.of(
        stack.size_kji,
        np.asarray(positions, dtype=np.float64),
        directions[:3],
        directions[3:],
        np.asarray(stack.spacing_kji[1:], dtype=np.float64),
    )


def refuse_stranger(what: str, path: Path, target: Target, *, frame_of_reference_uid: str, patient_id: str) -> None:
    """Raises Refused where an object is of another patient or in another space than the image.

    Args:
        what: "segmentation", for the sentence.
        path: the object's file.
        target: the image.
        frame_of_reference_uid, patient_id: of the object; "" where it does not say.
    """
    if patient_id and target.patient_id and patient_id != target.patient_id:
        raise Refused(f"this {what} belongs to another patient than the image", path=path, remedy="open its own images")
    theirs, ours = frame_of_reference_uid, target.frame_of_reference_uid
    if theirs and ours and theirs != ours:
        raise Refused(
            f"this {what} lies in another frame of reference than the image, so nobody knows where it belongs",
            path=path,
            remedy="open the images that it was made on",
        )


@dataclass(frozen=True, slots=True, eq=False)
class LaidSegment:
    """One segment on the image's voxels.

    Attributes:
        description: number, name, colour and codes.
        start_kji: first voxel of the box that holds it.
        shares: uint8 `[k, j, i]` of the box: what part of each voxel is inside, 255 for all of it; of size 0 where
            nothing is marked.
    """

    description: SegDescription
    start_kji: tuple[int, int, int]
    shares: NDArray[np.uint8]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The voxels that are inside by at least one half."""
        inside: NDArray[np.bool_] = self.shares >= INSIDE
        return inside

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The box in the image, as array slices."""
        k, j, i = (slice(a, a + n) for a, n in zip(self.start_kji, self.shares.shape, strict=True))
        return k, j, i

    @property
    def is_empty(self) -> bool:
        """True where no voxel is marked."""
        return self.shares.size == 0

    def whole(self, size_kji: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The shares of all voxels of the image."""
        out = np.zeros(size_kji, dtype=np.uint8)
        out[self.box] = self.shares
        return out


@dataclass(frozen=True, slots=True, eq=False)
class LaidSegments:
    """Segments on an image's voxels.

    Attributes:
        size_kji: of the image.
        segments: in the order of their numbers.
        kind: "binary", "fractional" (shares are shown as they are) or "label map".
        notes: what had to be done or is left out, for people.
        refused: what could not be shown and why, one sentence part each.
    """

    size_kji: tuple[int, int, int]
    segments: tuple[LaidSegment, ...]
    kind: Literal["binary", "fractional", "label map"] = "binary"
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def overlap(self) -> int:
        """How many voxels belong to two segments or more."""
        drawn = [s for s in self.segments if not s.is_empty]
        if len(drawn) < 2:
            return 0
        lows = np.min([s.start_kji for s in drawn], axis=0)
        highs = np.max([[part.stop for part in s.box] for s in drawn], axis=0)
        counts = np.zeros(highs - lows, dtype=np.uint16)
        for segment in drawn:
            where = tuple(slice(p.start - low, p.stop - low) for p, low in zip(segment.box, lows, strict=True))
            counts[where] += segment.mask
        return int(np.count_nonzero(counts > 1))

    def labelmap(self, *, on_overlap: Literal["refuse", "later-wins"] = "refuse") -> NDArray[np.uint8]:
        """Segment numbers, uint8 `[k, j, i]` of the whole image.

        Raises:
            Refused: segments share voxels (unless the higher number may win), or a number is above 255.
        """
        return self.numbers(on_overlap=on_overlap, dtype=np.dtype(np.uint8)).view(np.uint8)

    def numbers(
        self, *, on_overlap: Literal["refuse", "later-wins"] = "refuse", dtype: np.dtype[np.generic] | None = None
    ) -> NDArray[np.generic]:
        """As `labelmap`, as wide as the numbers need (uint8 or uint16) where no type is given."""
        largest = max((s.description.number for s in self.segments), default=0)
        if dtype is None:
            dtype = np.dtype(np.uint8 if largest <= 255 else np.uint16)
        if largest > np.iinfo(dtype.name).max:
            raise Refused(
                f"segment {largest}: a label map of 8 bits holds numbers up to 255 only", remedy="choose other segments"
            )
        out = np.zeros(self.size_kji, dtype=dtype)
        for segment in sorted(self.segments, key=lambda s: s.description.number):
            part, mask = out[segment.box], segment.mask
            if on_overlap == "refuse" and np.any(part[mask]):
                raise Refused(
                    "segments of this file overlap, and in a label map a voxel can belong to one segment only",
                    remedy="open it with the later segments on top, or choose one segment",
                )
            part[mask] = segment.description.number
        return out

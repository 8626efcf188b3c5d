"""Segmentations, structure sets and doses that lie: what cannot be believed is refused and named, the rest is laid."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from medviewer.errors import MedviewerError
from medviewer.formats.laid import LaidSegments, Target
from medviewer.formats.overlays import as_segments, read_object
from medviewer.formats.scan import scan
from medviewer.volume.grid import Grid
from tests.fuzz.bases import base

GRID = Grid((4, 12, 10), (2.0, 0.8, 0.5), (1, 0, 0, 0, 1, 0, 0, 0, 1), (0.0, 0.0, 0.0))
TARGET = Target(GRID.size_kji, GRID, "1.2.3.3", "T1", "1.2.3.1", "1.2.3.2")


def laid(path: Path) -> LaidSegments:
    """What a file gives over a picture of the same lattice."""
    (found,) = scan([path]).objects
    return as_segments(read_object(found, TARGET), TARGET)


def changed(path: Path, change: Callable[[Dataset], object]) -> Path:
    data = pydicom.dcmread(io.BytesIO(base("made:seg.dcm")))
    change(data)
    data.save_as(path)
    return path


def _frame(data: Dataset, n: int) -> Dataset:
    return data.PerFrameFunctionalGroupsSequence[n]


def _refer(data: Dataset, n: int, number: int) -> None:
    _frame(data, n).SegmentIdentificationSequence[0].ReferencedSegmentNumber = number


def _place(data: Dataset, n: int, at: list[float]) -> None:
    _frame(data, n).PlanePositionSequence[0].ImagePositionPatient = at


def _renumber(data: Dataset) -> None:
    data.SegmentSequence[1].SegmentNumber = 65535
    for n in (1, 3):
        _refer(data, n, 65535)


def test_the_whole_file_is_laid(tmp_path: Path) -> None:
    found = laid(changed(tmp_path / "seg.dcm", lambda data: None))
    assert [s.description.number for s in found.segments] == [1, 2] and not found.notes


#: What is wrong, how, which segments are laid (none: all of it is refused), and what is said.
LIES: dict[str, tuple[Callable[[Dataset], object], list[int], str]] = {
    "segment 65535": (_renumber, [1, 65535], ""),
    "a frame of a segment that is not described": (lambda d: _refer(d, 1, 99), [1, 2], "belong to segment 99"),
    "a frame of segment 0": (lambda d: _refer(d, 1, 0), [1, 2], "belong to no segment"),
    "a frame outside the picture": (lambda d: _place(d, 1, [0.0, 0.0, 900.0]), [1, 2], "lie outside the image"),
    "all frames outside the picture": (
        lambda d: [_place(d, n, [9e4, 0.0, 2.0 * n]) for n in range(4)],
        [],
        "lies outside the image",
    ),
    "more frames said than there": (lambda d: setattr(d, "NumberOfFrames", 9), [1, 2], ""),
    "another frame of reference": (lambda d: setattr(d, "FrameOfReferenceUID", "9.9.9"), [], "frame of reference"),
    "two segments of one number": (lambda d: setattr(d.SegmentSequence[1], "SegmentNumber", 1), [1], "described twice"),
    "no description of segments": (lambda d: d.__delattr__("SegmentSequence"), [], "does not describe"),
    "pixels that are cut": (lambda d: setattr(d, "PixelData", d.PixelData[:20]), [], "cut short"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_segmentation_that_lies(lie: str, tmp_path: Path) -> None:
    change, numbers, says = LIES[lie]
    path = changed(tmp_path / "seg.dcm", change)
    try:
        found = laid(path)
    except MedviewerError as error:
        assert error.sentence.isprintable() and says in error.sentence and numbers == []
        return
    assert [s.description.number for s in found.segments] == numbers
    assert says in " ".join([*found.notes, *found.refused])

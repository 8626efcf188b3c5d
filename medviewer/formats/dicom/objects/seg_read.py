"""Reading DICOM Segmentation objects onto an image: as masks of their own, or as one label map."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, Refused
from medviewer.formats.dicom.objects.seg_file import (
    LABEL_MAP_STORAGE,
    SEGMENTATION_STORAGE,
    SegDescription,
    open_seg_file,
)
from medviewer.formats.dicom.objects.seg_lay import lay
from medviewer.formats.laid import LaidSegments, Target
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid

__all__ = ["LABEL_MAP_STORAGE", "SEGMENTATION_STORAGE", "SegDescription", "read_seg", "read_segments"]


def read_segments(path: Path, target: Target, context: JobContext | None = None) -> LaidSegments:
    """The segments of a DICOM SEG (binary, fractional or label map) on an image, each with a mask of its own.

    A segment that is damaged or lies outside is left out and named in `refused`; the others stay.

    Args:
        path: the file, or a member of a ZIP.
        target: the image that it is laid on.
        context: for progress and cancel.

    Raises:
        BadInput: it cannot be read or is no segmentation. MissingHere: a decoder is missing.
        Refused: another patient or frame of reference, a whole-slide image, all of it outside.
    """
    return lay(open_seg_file(path), target, context)


def read_seg(
    path: Path,
    grid: Grid,
    *,
    frame_of_reference_uid: str = "",
    on_overlap: Literal["refuse", "later-wins"] = "refuse",
) -> tuple[NDArray[np.uint8], tuple[SegDescription, ...]]:
    """The segments of a DICOM SEG as one label map on a grid; fractions count from one half.

    Args:
        path: the file, or a member of a ZIP.
        grid: of the image it is shown on.
        frame_of_reference_uid: of the image; "" where unknown.
        on_overlap: a label map holds one number a voxel: refuse a file whose segments overlap, or let the segment with
            the higher number win.

    Returns:
        The label map uint8 `[k, j, i]` and what its numbers are.

    Raises:
        BadInput: it cannot be read, is no segmentation, or a part of it is damaged.
        Refused: another frame of reference, no geometry, all of it outside the grid, overlapping segments, a number
            above 255.
    """
    seg = open_seg_file(path)
    if any(frame.place is None for frame in seg.frames):
        raise Refused("the segmentation says nothing about where its frames lie", path=path)
    laid = lay(seg, Target(grid.size_kji, grid, frame_of_reference_uid))
    if laid.refused:
        raise BadInput(f"the segmentation cannot be read whole: {laid.refused[0]}", path=path)
    try:
        return laid.labelmap(on_overlap=on_overlap), tuple(s.description for s in laid.segments)
    except Refused as refused:
        raise Refused(refused.what, path=path, remedy=refused.remedy) from refused

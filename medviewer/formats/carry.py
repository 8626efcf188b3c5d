"""What a stack's geometry can carry, and why not: one answer for buttons, tools and the command line."""

from __future__ import annotations

from enum import StrEnum

from medviewer.errors import Refused
from medviewer.formats.catalog import Quality, Stack, StackKind
from medviewer.formats.quality import OF_GEOMETRY
from medviewer.volume.grid import Grid


class Use(StrEnum):
    """What somebody wants to do with a stack; the value is the words in a sentence."""

    PLANES = "other planes"
    MARKS = "outlines in three dimensions"
    SUGGESTION = "a suggestion"
    VOLUME_FILE = "a volume file"
    SURFACE = "a surface"
    DICOM_MASK = "a DICOM segmentation"
    MILLIMETRES = "lengths in millimetres"


_WITHOUT_GRID = {
    StackKind.CINE: "this is a cine without positions in the patient",
    StackKind.SINGLE: "this is a single picture without a position in the patient",
}
#: Geometry that resampling at the true positions makes regular.
_RESAMPLED = frozenset({"gantry-tilt", "missing-slice", "uneven-spacing"})


def why_not(stack: Stack, use: Use) -> str | None:
    """Why a stack cannot carry something: a part of a sentence; None where it can.

    Tilted, gappy and uneven stacks carry other planes, since those are resampled at the true positions; what would
    measure or mark across slices that were never acquired is not carried.
    """
    if use is Use.MILLIMETRES:
        return None if stack.spacing_kji is not None else "the size of a pixel is unknown"
    if use is Use.PLANES:
        if stack.size_kji[0] < 2:
            return "there is one slice only" if stack.grid is not None else _without_grid(stack)
        return None if stack.grid is not None or is_resampled(stack) else _without_grid(stack)
    if stack.grid is None:
        return _without_grid(stack)
    if stack.derived_from and use in (Use.MARKS, Use.SUGGESTION, Use.DICOM_MASK):
        return "these voxels are interpolated; mark the images as they were acquired"
    if not stack.grid.oriented and use in (Use.SUGGESTION, Use.DICOM_MASK):
        return "the file gives no orientation: nobody knows which side is left"
    if use is Use.SUGGESTION and not stack.grid.is_orthogonal:
        return f"models know upright images only ({_without_grid(stack)})"
    if use is Use.VOLUME_FILE and stack.is_colour:
        return "colours would be lost"
    if use is Use.DICOM_MASK:
        if stack.source != "dicom":
            return "it lies on DICOM images, and this study has none"
        if not stack.frame_of_reference_uid:
            return "the images name no frame of reference"
    return None


def _without_grid(stack: Stack) -> str:
    faults = "; ".join(f"{q.detail} [{q.code}]" for q in faults_of_geometry(stack))
    return faults or _WITHOUT_GRID.get(stack.kind, "the pictures share no geometry")


def faults_of_geometry(stack: Stack) -> tuple[Quality, ...]:
    """The stack's faults that concern where its pictures lie."""
    return tuple(q for q in stack.quality if q.code in OF_GEOMETRY)


def is_resampled(stack: Stack) -> bool:
    """True where other planes come from resampling: tilt, gaps or uneven steps with known positions."""
    if stack.derived_from or stack.size_kji[0] < 2 or stack.spacing_kji is None or stack.source != "dicom":
        return False
    placed = all(f.position_lps is not None for f in stack.frames) and stack.direction is not None
    return placed and bool(stack.codes & _RESAMPLED) and stack.kind in (StackKind.VOLUME, StackKind.FOUR_D)


def grid_for(stack: Stack, use: Use) -> Grid:
    """The stack's grid for a use.

    Raises:
        Refused: the geometry cannot carry it; the sentence says why.
    """
    reason = why_not(stack, use)
    if reason is not None or stack.grid is None:
        raise Refused(f"the geometry cannot carry {use}: {reason}", path=stack.frames[0].path)
    return stack.grid

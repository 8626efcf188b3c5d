"""Segmentations to files and back: DICOM SEG, and what a segment's words are there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from medviewer.annotation.segmentation import Provenance, Segment, Segmentation, colour_of
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.objects.seg import SegDescription, SegText, read_seg, write_seg
from medviewer.volume.grid import Grid

_TYPES: dict[str, Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]] = {
    "AUTOMATIC": "AUTOMATIC",
    "SEMIAUTOMATIC": "SEMIAUTOMATIC",
}


def description_of(segment: Segment) -> SegDescription:
    """A segment in the words of DICOM SEG; its version is the model's, with the first 12 characters of its id."""
    source = segment.provenance
    parameters = (("device", source.device),) if source.device else ()
    return SegDescription(
        number=segment.number,
        label=segment.label,
        meaning=segment.meaning,
        colour=segment.colour,
        algorithm_type=_TYPES.get(source.algorithm_type, "MANUAL"),
        algorithm_name=source.task,
        algorithm_version=f"{source.model_version}+{source.model[:12]}" if source.model else "",
        algorithm_parameters=parameters,
        tracking_id=segment.label,
        tracking_uid=segment.tracking_uid,
    )


def segment_of(description: SegDescription) -> Segment:
    """A segment from its words in a file; what the file leaves out is chosen anew."""
    version, _, model = description.algorithm_version.rpartition("+")
    provenance = Provenance()
    if description.algorithm_type != "MANUAL":
        device = dict(description.algorithm_parameters).get("device", "")
        edited = description.algorithm_type == "SEMIAUTOMATIC"
        provenance = Provenance(description.algorithm_name, model or "unknown", version, device, edited)
    segment = Segment(
        description.number,
        description.label,
        description.colour or colour_of(description.number),
        description.meaning,
        provenance,
    )
    if not description.tracking_uid:
        return segment
    return Segment(segment.number, segment.label, segment.colour, segment.meaning, provenance, description.tracking_uid)


def save_seg(path: Path, segmentation: Segmentation, stack: Stack, text: SegText | None = None) -> dict[int, int]:
    """Save as DICOM SEG on the images of the stack; arguments, result and errors as `write_seg`.

    Segments without a voxel are left out.
    """
    drawn = [s for s in segmentation.segments.values() if segmentation.voxels(s.number)]
    return write_seg(path, segmentation.labelmap, stack, [description_of(s) for s in drawn], text)


def open_seg(
    path: Path,
    grid: Grid,
    *,
    stack_id: str = "",
    frame_of_reference_uid: str = "",
    on_overlap: Literal["refuse", "later-wins"] = "refuse",
) -> Segmentation:
    """A DICOM SEG as a Segmentation on an image's grid; arguments and errors as `read_seg`."""
    labelmap, descriptions = read_seg(path, grid, frame_of_reference_uid=frame_of_reference_uid, on_overlap=on_overlap)
    return Segmentation.from_labelmap(grid, labelmap, _segments(descriptions), stack_id)


def _segments(descriptions: Iterable[SegDescription]) -> list[Segment]:
    return [segment_of(description) for description in descriptions]

"""DICOM Segmentation (PS3.3 A.51): label maps written on a Stack's images, through highdicom.

Written as BINARY, one set of frames a segment, frames without a voxel left out. Reading is in `seg_read.py`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer import __version__
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats import source
from medviewer.formats.atomic import write_whole
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.codes import Code, SegmentMeaning
from medviewer.formats.dicom.objects.seg_read import SegDescription, read_seg, read_segments
from medviewer.formats.laid import INSIDE, LaidSegments, Target

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SegDescription", "SegText", "read_seg", "write_seg", "write_segments"]

MANUFACTURER = "medviewer"

#: Content Label (0070,0080) allows 16 characters of CS.
_CONTENT_LABEL = "SEGMENTATION"


@dataclass(frozen=True, slots=True)
class SegText:
    """What the file says about itself.

    Attributes:
        description: Series Description (0008,103E) and Content Description (0070,0081).
        author: Content Creator's Name (0070,0084), "" where unknown.
        series_number: Series Number (0020,0011).
    """

    description: str = "Segmentation"
    author: str = ""
    series_number: int = 900


def write_seg(
    path: Path,
    labelmap: NDArray[np.uint8],
    stack: Stack,
    segments: Sequence[SegDescription],
    text: SegText | None = None,
) -> dict[int, int]:
    """Save a label map as DICOM SEG on the images that it was drawn on.

    The file is written under a temporary name, read back and compared voxel for voxel before it takes its name.

    Args:
        path: the file to write.
        labelmap: segment numbers, uint8 `[k, j, i]` in stack order.
        stack: the source images (plain files or members of a ZIP).
        segments: what the numbers are; numbers without a voxel are described but have no frame.
        text: what the file says about itself.

    Returns:
        Our number -> Segment Number in the file. A BINARY file counts from 1 without gaps (PS3.3 C.8.20.4.1).

    Raises:
        BadInput: nothing is drawn, or a number has no description.
        Refused: the stack has no DICOM images, or its geometry cannot carry a SEG.
        SaveFailed: full disk, no permission; nothing was replaced.
    """
    text = text or SegText()
    ordered = sorted(segments, key=lambda s: s.number)
    numbers = {s.number: n for n, s in enumerate(ordered, start=1)}
    _check(labelmap, stack, numbers)
    if text.author and not text.author.isprintable():
        raise BadInput("the author's name holds characters that cannot be stored")
    lookup = np.zeros(256, dtype=np.uint8)
    for ours, theirs in numbers.items():
        lookup[ours] = theirs
    slices = np.flatnonzero(labelmap.any(axis=(1, 2)))
    first, last = int(slices[0]), int(slices[-1])
    part = lookup[labelmap[first : last + 1]]
    dataset = _dataset(part, stack, range(first, last + 1), ordered, text)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)

    def check(temporary: Path) -> None:
        assert stack.grid is not None
        back, _ = read_seg(temporary, stack.grid)
        if not np.array_equal(back, lookup[labelmap]):
            raise SaveFailed(
                "the file read back differs from what was drawn", path=path, remedy="save as NIfTI or NRRD"
            )

    write_whole(path, buffer.getvalue(), check)
    return numbers


def write_segments(path: Path, laid: LaidSegments, stack: Stack, text: SegText | None = None) -> dict[int, int]:
    """As `write_seg`, for segments that may overlap and have any numbers."""
    text = text or SegText()
    drawn = [s for s in laid.segments if not s.is_empty]
    if not drawn:
        raise BadInput("nothing is marked, so there is nothing to save")
    marked = [k for s in drawn for k in (s.start_kji[0], s.start_kji[0] + s.shares.shape[0])]
    first, end = min(marked), max(marked)
    size = (end - first, *laid.size_kji[1:])
    share_voxels = laid.overlap > 0 or len(drawn) > 255
    part = np.zeros((*size, len(drawn)) if share_voxels else size, dtype=np.uint8)
    for n, segment in enumerate(drawn):
        k, j, i = segment.box
        if share_voxels:
            part[k.start - first : k.stop - first, j, i, n] = segment.mask
        else:
            part[k.start - first : k.stop - first, j, i][segment.mask] = n + 1
    marks: NDArray[np.uint8] = (part.max(axis=-1) if share_voxels else part > 0).astype(np.uint8)
    _check(marks, stack, {1: 1}, size=size)
    descriptions = [s.description for s in drawn]
    dataset = _dataset(part, stack, range(first, end), descriptions, text)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)

    def check(temporary: Path) -> None:
        back = read_segments(temporary, Target(laid.size_kji, stack.grid))
        for ours, theirs in zip(drawn, back.segments, strict=True):
            if not np.array_equal(theirs.whole(laid.size_kji) >= INSIDE, ours.whole(laid.size_kji) >= INSIDE):
                raise SaveFailed("the file read back differs from the masks", path=path, remedy="save as .nrrd")

    write_whole(path, buffer.getvalue(), check)
    return {s.number: n for n, s in enumerate(descriptions, start=1)}


def _check(
    labelmap: NDArray[np.uint8],
    stack: Stack,
    numbers: dict[int, int],
    size: tuple[int, int, int] | None = None,
) -> None:
    if labelmap.shape != (size or stack.size_kji) or labelmap.dtype != np.uint8:
        raise ValueError(f"label map {labelmap.dtype} {labelmap.shape} does not fit the stack {stack.size_kji}")
    if stack.source != "dicom":
        raise Refused(
            "a DICOM SEG needs DICOM images to lie on, and this study has none", remedy="save as .nii.gz or .nrrd"
        )
    if stack.grid is None or not stack.frame_of_reference_uid:
        raise Refused(
            "these images carry no common geometry, so a DICOM SEG cannot lie on them", remedy="save as .nrrd"
        )
    if not numbers:
        raise BadInput("there is no segment to save")
    drawn = sorted({int(n) for image in labelmap for n in np.flatnonzero(np.bincount(image.ravel()))} - {0})
    if not drawn:
        raise BadInput("nothing is drawn yet, so there is nothing to save")
    unknown = [n for n in drawn if n not in numbers]
    if unknown:
        raise BadInput(f"segment {unknown[0]} has voxels but no description")


def _source_images(stack: Stack, slices: range) -> list[Dataset]:
    """Headers of the images of some slices; one dataset for each file."""
    import pydicom

    datasets: dict[Path, Dataset] = {}
    for k in slices:
        path = stack.frames[k].path
        if path not in datasets:
            try:
                with source.open_binary(path) as file:
                    datasets[path] = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            except (OSError, source.SourceFault) as error:
                raise BadInput("a source image cannot be read any more", path=path) from error
            _complete(datasets[path])
    return list(datasets.values())


#: Attributes of type 2 (PS3.3 C.7.1.1, C.7.2.1): must be there, may be empty. Old files lack some.
_MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)

#: Optional references that highdicom copies; de-identification often leaves half of one, which is worse than none.
_REFERENCES = ("ReferencedStudySequence", "ReferencedPatientSequence", "ReferencedPerformedProcedureStepSequence")


def _complete(dataset: Dataset) -> None:
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None if keyword.endswith(("Date", "Time")) else "")
    for keyword in _REFERENCES:
        items = dataset.get(keyword) or ()
        if any(not (i.get("ReferencedSOPClassUID") and i.get("ReferencedSOPInstanceUID")) for i in items):
            delattr(dataset, keyword)


def _dataset(
    part: NDArray[np.uint8], stack: Stack, slices: range, segments: Sequence[SegDescription], text: SegText
) -> Dataset:
    import highdicom
    from highdicom.content import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
    from highdicom.uid import UID

    grid = stack.grid
    assert grid is not None
    images = _source_images(stack, slices)
    is_series = len(images) == len(slices) and all("PerFrameFunctionalGroupsSequence" not in d for d in images)
    geometry: dict[str, Any] = {}
    if not is_series:  # frames of multi-frame files: say where each plane lies
        origins = [grid.index_to_lps((k, 0, 0)) for k in slices]
        positions = [stack.frames[k].position_lps or tuple(o.tolist()) for k, o in zip(slices, origins, strict=True)]
        spacing = grid.spacing_kji
        geometry = {
            "plane_positions": [PlanePositionSequence("PATIENT", position) for position in positions],
            "plane_orientation": PlaneOrientationSequence("PATIENT", [*grid.direction[0:3], *grid.direction[3:6]]),
            "pixel_measures": PixelMeasuresSequence(
                (spacing[1], spacing[2]), slice_thickness=spacing[0], spacing_between_slices=spacing[0]
            ),
        }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the style of names, which are the source's
            seg = highdicom.seg.Segmentation(
                source_images=images,
                pixel_array=part,
                segmentation_type="BINARY",
                segment_descriptions=[_description(n, s) for n, s in enumerate(segments, start=1)],
                series_instance_uid=UID(),
                series_number=text.series_number,
                sop_instance_uid=UID(),
                instance_number=1,
                manufacturer=MANUFACTURER,
                manufacturer_model_name=MANUFACTURER,
                software_versions=__version__,
                device_serial_number="0",
                content_label=_CONTENT_LABEL,
                content_description=text.description[:64],
                content_creator_name=_person(text.author),
                omit_empty_frames=True,
                **geometry,
            )
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise Refused(f"these images cannot carry a DICOM SEG ({error})", remedy="save as .nii.gz or .nrrd") from error
    seg.SpecificCharacterSet = "ISO_IR 192"  # names of segments and people in any script
    seg.SeriesDescription = text.description[:64]
    seg.ContentQualification = "RESEARCH"
    for item, segment in zip(seg.SegmentSequence, segments, strict=True):
        if segment.meaning.modifier is not None:
            kind = item.SegmentedPropertyTypeCodeSequence[0]
            kind.SegmentedPropertyTypeModifierCodeSequence = [_coded(segment.meaning.modifier)]
    whole: Dataset = seg
    return whole


def _person(name: str) -> str | None:
    """A free name as DICOM PN: never more than the family group's 64 characters."""
    clean = " ".join(name.replace("\\", " ").replace("=", " ").replace("^", " ").split())
    return f"{clean[:63]}^" if clean else None


def _coded(code: Code) -> Any:
    from highdicom.sr.coding import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _description(number: int, segment: SegDescription) -> Any:
    import highdicom
    from highdicom.color import CIELabColor
    from pydicom.sr.codedict import codes

    meaning: SegmentMeaning = segment.meaning
    algorithm = None
    if segment.algorithm_type != "MANUAL":
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=segment.algorithm_name[:64] or MANUFACTURER,
            family=codes.DCM.ArtificialIntelligence,
            version=segment.algorithm_version[:64] or "unknown",
            parameters=dict(segment.algorithm_parameters) or None,
        )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=segment.label[:64] or f"Segment {number}",
        segmented_property_category=_coded(meaning.category),
        segmented_property_type=_coded(meaning.kind),
        algorithm_type=segment.algorithm_type,
        algorithm_identification=algorithm,
        tracking_uid=segment.tracking_uid or None,
        tracking_id=(segment.tracking_id or segment.label or f"Segment {number}")[:64]
        if segment.tracking_uid
        else None,
        anatomic_regions=None if meaning.region is None else [_coded(meaning.region)],
        display_color=None if segment.colour is None else CIELabColor.from_rgb(*segment.colour),
    )

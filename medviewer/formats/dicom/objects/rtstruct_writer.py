"""RT Structure Sets of label maps (PS3.3 A.19): contours in the planes of the images, through the pixels' edges.

A contour runs half way between the centres of an inside and an outside pixel, so a reader that asks which pixel
centres lie inside finds the very mask again. Holes are joined to their outer contour by a keyhole, which every
reader understands.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, MissingHere, Refused
from medviewer.formats import source
from medviewer.formats.atomic import write_whole
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.objects.seg_read import SegDescription
from medviewer.formats.laid import INSIDE, LaidSegments
from medviewer.formats.source import SourceFault

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management (retired), as RT objects name a study

Points = NDArray[np.float64]


def contours(mask: NDArray[np.bool_]) -> list[Points]:
    """Closed contours of a 2-D mask as (row, column) in pixels, without the repeated last point; holes by keyhole.

    Raises:
        MissingHere: scikit-image is not installed.
    """
    try:
        from skimage.measure import find_contours
    except ImportError as fault:
        raise MissingHere("contours need scikit-image", remedy="pip install scikit-image") from fault
    rings: list[Points] = [
        np.asarray(ring[:-1] - 1.0) for ring in find_contours(np.pad(mask, 1).astype(np.float64), 0.5)  # type: ignore[no-untyped-call]
    ]  # fmt: skip
    areas = [_signed_area(ring) for ring in rings]
    if not rings:
        return []
    sign = np.sign(areas[int(np.argmax(np.abs(areas)))])  # the largest ring is no hole
    outers = [ring for ring, area in zip(rings, areas, strict=True) if area * sign > 0]
    sizes = [abs(area) for area in areas if area * sign > 0]
    for hole, area in zip(rings, areas, strict=True):
        if area * sign > 0:
            continue
        around = [n for n, outer in enumerate(outers) if sizes[n] > abs(area) and _is_inside(hole[0], outer)]
        if around:
            n = min(around, key=lambda at: sizes[at])
            outers[n] = _keyhole(outers[n], hole)
    return outers


def _signed_area(ring: Points) -> float:
    y, x = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def _is_inside(point: Points, ring: Points) -> bool:
    """Even-odd rule."""
    a, b = ring, np.roll(ring, -1, axis=0)
    crosses = (a[:, 0] > point[0]) != (b[:, 0] > point[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = a[:, 1] + (point[0] - a[:, 0]) / (b[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    return bool(np.sum(crosses & (point[1] < at)) % 2)


def _keyhole(outer: Points, hole: Points) -> Points:
    """One ring: along the outer contour, over to the hole, around it, and back the same way."""
    apart = np.linalg.norm(outer[:, None] - hole[None], axis=2)
    start, entry = np.unravel_index(int(np.argmin(apart)), apart.shape)
    around = np.roll(hole, -int(entry), axis=0)
    return np.concatenate([outer[: start + 1], around, around[:1], outer[start:]])


def write_rtstruct(
    path: Path,
    labelmap: NDArray[np.uint8],
    stack: Stack,
    segments: Sequence[SegDescription],
    *,
    label: str = "medviewer",
) -> int:
    """Save a label map as RT Structure Set on the images that it was drawn on.

    Args:
        path: the file to write; it is there whole or not at all.
        labelmap: segment numbers, uint8 `[k, j, i]` in stack order.
        stack: the source images.
        segments: what the numbers are.
        label: Structure Set Label (3006,0002), at most 16 characters.

    Returns:
        How many contours were written.

    Raises:
        BadInput: nothing is drawn, or the images cannot be read any more. MissingHere: scikit-image is missing.
        Refused: the images have no geometry that contours could lie in. SaveFailed: it cannot be written.
    """
    if stack.source != "dicom" or stack.grid is None or not stack.frame_of_reference_uid:
        raise Refused("these images carry no common geometry, so contours cannot lie on them", remedy="save as .nrrd")
    if labelmap.shape != stack.size_kji:
        raise ValueError(f"label map {labelmap.shape} does not fit the stack {stack.size_kji}")
    if not labelmap.any():
        raise BadInput("nothing is drawn yet, so there is nothing to save")
    ordered = sorted(segments, key=lambda s: s.number)
    return _write(path, ((s, labelmap == s.number) for s in ordered), stack, label)


def write_structures(path: Path, laid: LaidSegments, stack: Stack, *, label: str = "medviewer") -> int:
    """As `write_rtstruct`, for segments that may overlap."""
    if stack.source != "dicom" or stack.grid is None or not stack.frame_of_reference_uid:
        raise Refused("these images carry no common geometry, so contours cannot lie on them", remedy="save as .nrrd")
    drawn = [s for s in laid.segments if not s.is_empty]
    if not drawn:
        raise BadInput("nothing is marked, so there is nothing to save")
    masks = ((s.description, s.whole(laid.size_kji) >= INSIDE) for s in drawn)
    return _write(path, masks, stack, label)


def _write(path: Path, segments: Iterable[tuple[SegDescription, NDArray[np.bool_]]], stack: Stack, label: str) -> int:
    dataset = _empty_structure_set(stack, label)
    references = [_image_reference(stack, k) for k in range(stack.size_kji[0])]
    dataset.ReferencedFrameOfReferenceSequence = [_frame_reference(stack, dataset.StudyInstanceUID, references)]
    rois, drawn, observed = [], [], []
    total = 0
    for number, (segment, mask) in enumerate(segments, start=1):
        rings = _segment_contours(mask, stack, references)
        total += len(rings)
        rois.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=stack.frame_of_reference_uid,
                ROIName=segment.label[:64],
                ROIGenerationAlgorithm=segment.algorithm_type,
            )
        )
        colour = list(segment.colour or (255, 220, 0))
        drawn.append(_item(ROIDisplayColor=colour, ContourSequence=rings, ReferencedROINumber=number))
        observed.append(
            _item(ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType="", ROIInterpreter="")
        )
    dataset.StructureSetROISequence, dataset.ROIContourSequence = rois, drawn
    dataset.RTROIObservationsSequence = observed
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_whole(path, buffer.getvalue())
    return total


def _item(**values: Any) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _segment_contours(mask: NDArray[np.bool_], stack: Stack, references: Sequence[Dataset]) -> list[Dataset]:
    grid = stack.grid
    assert grid is not None
    found = []
    for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for ring in contours(mask[k]):
            index = np.concatenate([np.full((len(ring), 1), float(k)), ring], axis=1)
            points = grid.index_to_lps(index)
            found.append(
                _item(
                    ContourImageSequence=[references[k]],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{v:.4f}" for v in points.ravel()],
                )
            )
    return found


def _image_reference(stack: Stack, k: int) -> Dataset:
    frame = stack.frames[k]
    item = _item(ReferencedSOPClassUID=stack.sop_class_uid, ReferencedSOPInstanceUID=frame.sop_instance_uid)
    if frame.layout is not None and frame.layout.frames > 1:
        item.ReferencedFrameNumber = frame.frame + 1
    return item


def _frame_reference(stack: Stack, study_uid: str, references: Sequence[Dataset]) -> Dataset:
    series = _item(SeriesInstanceUID=stack.series_uid, ContourImageSequence=list(references))
    study = _item(
        ReferencedSOPClassUID=_STUDY_COMPONENT, ReferencedSOPInstanceUID=study_uid, RTReferencedSeriesSequence=[series]
    )
    return _item(FrameOfReferenceUID=stack.frame_of_reference_uid, RTReferencedStudySequence=[study])


def _empty_structure_set(stack: Stack, label: str) -> Dataset:
    """Patient and study of the images, everything else new."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ImplicitVRLittleEndian, generate_uid

    path = stack.frames[0].path
    try:
        with source.open_binary(path) as file:
            image = pydicom.dcmread(file, stop_before_pixels=True, force=True)
    except (OSError, SourceFault) as fault:
        raise BadInput("a source image cannot be read any more", path=path) from fault
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    # Implicit VR: a long contour does not fit into the 64 kB that explicit DS may have.
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = STRUCTURE_SET_STORAGE, generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = STRUCTURE_SET_STORAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
        "ReferringPhysicianName", "StudyID",
    ):  # fmt: skip
        value = image.get(keyword)
        setattr(dataset, keyword, str(value) if value else "")
    dataset.StudyInstanceUID = image.get("StudyInstanceUID") or generate_uid()
    now = datetime.now()
    dataset.InstanceCreationDate = dataset.StructureSetDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.StructureSetTime = now.strftime("%H%M%S")
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "RTSTRUCT", generate_uid(), 901
    dataset.OperatorsName, dataset.Manufacturer = "", "medviewer"
    dataset.ManufacturerModelName = "medviewer"
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = stack.frame_of_reference_uid, ""
    dataset.StructureSetLabel = label[:16]
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset

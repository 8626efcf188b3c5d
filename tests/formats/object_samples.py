"""Radiotherapy objects and segmentations made by code, for tests: what is in them is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medviewer.formats.catalog import Stack


def item(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def _object(stack: Stack, sop_class: str, modality: str) -> Dataset:
    """Patient, study and frame of reference of a stack's images."""
    image = pydicom.dcmread(stack.frames[0].path, stop_before_pixels=True)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = sop_class, generate_uid()
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = sop_class, made.SOPInstanceUID
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(made, keyword, image.get(keyword, ""))
    made.SeriesInstanceUID, made.Modality = generate_uid(), modality
    return made


def write_structures(
    path: Path,
    stack: Stack,
    structures: Sequence[tuple[str, Sequence[tuple[str, np.ndarray]]]],
    *,
    colours: Sequence[Sequence[int] | None] = (),
    images: Sequence[str] = (),
    **extra: Any,
) -> None:
    """An RT Structure Set; each structure is a name and its contours as (geometric type, points in mm)."""
    made = _object(stack, "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")
    frame = made.FrameOfReferenceUID
    made.StructureSetLabel = "Plan A"
    made.StructureSetROISequence = [
        item(ROINumber=n, ROIName=name, ReferencedFrameOfReferenceUID=frame, ROIGenerationAlgorithm="MANUAL")
        for n, (name, _) in enumerate(structures, start=1)
    ]
    made.ROIContourSequence = []
    for n, (_, contours) in enumerate(structures, start=1):
        rings = [
            item(
                ContourGeometricType=kind,
                NumberOfContourPoints=len(points),
                ContourData=[f"{v:.5f}" for v in np.asarray(points).ravel()],
                ContourImageSequence=[
                    item(ReferencedSOPClassUID=stack.sop_class_uid, ReferencedSOPInstanceUID=uid) for uid in images
                ],
            )
            for kind, points in contours
        ]
        roi = item(ReferencedROINumber=n, ContourSequence=rings)
        if n <= len(colours) and colours[n - 1] is not None:
            roi.ROIDisplayColor = list(colours[n - 1] or ())
        made.ROIContourSequence.append(roi)
    made.RTROIObservationsSequence = [
        item(ObservationNumber=n, ReferencedROINumber=n, RTROIInterpretedType="ORGAN")
        for n in range(1, len(structures) + 1)
    ]
    for keyword, value in extra.items():
        setattr(made, keyword, value)
    made.save_as(path, enforce_file_format=True)


def write_dose(
    path: Path,
    stack: Stack,
    values: np.ndarray,
    *,
    origin: Sequence[float],
    spacing: Sequence[float],
    offsets: Sequence[float],
    orientation: Sequence[float] = (1, 0, 0, 0, 1, 0),
    scaling: float = 1e-3,
    bits: int = 32,
    **extra: Any,
) -> None:
    """An RT Dose whose planes lie at `offsets`; `values` in its unit, [planes, rows, columns]."""
    made = _object(stack, "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE")
    made.NumberOfFrames, made.Rows, made.Columns = values.shape
    made.ImagePositionPatient, made.ImageOrientationPatient = list(origin), list(orientation)
    made.PixelSpacing, made.GridFrameOffsetVector = list(spacing), [f"{o:.4f}" for o in offsets]
    made.DoseUnits, made.DoseType, made.DoseSummationType, made.DoseGridScaling = "GY", "PHYSICAL", "PLAN", scaling
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = bits
    made.HighBit, made.PixelRepresentation = bits - 1, 0
    made.PixelData = np.rint(values / scaling).astype(f"<u{bits // 8}").tobytes()
    for keyword, value in extra.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    made.save_as(path, enforce_file_format=True)


def write_segmentation(path: Path, stack: Stack, pixels: np.ndarray, kind: str, count: int, **options: Any) -> Dataset:
    """A SEG by highdicom; colours and names are known by the segment's number."""
    import highdicom
    from pydicom.sr.codedict import codes

    described = [
        highdicom.seg.SegmentDescription(
            n, f"S{n}", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL",
            display_color=highdicom.color.CIELabColor.from_rgb(20 * n, 255 - 30 * n, 90),
        )
        for n in range(1, count + 1)
    ]  # fmt: skip
    made = highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(f.path) for f in stack.frames],
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="y",
        software_versions="1",
        device_serial_number="2",
        **options,
    )
    made.save_as(path)
    return made

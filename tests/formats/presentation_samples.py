"""Grayscale presentation states with what a test asks for, written by pydicom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

GSPS = "1.2.840.10008.5.1.4.1.1.11.1"


def item(**values: Any) -> Dataset:
    """A sequence item."""
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def references(images: Sequence[Dataset]) -> list[Dataset]:
    """Items of Referenced Image Sequence."""
    return [item(ReferencedSOPClassUID=i.SOPClassUID, ReferencedSOPInstanceUID=i.SOPInstanceUID) for i in images]


def lut(first: int, bits: int, entries: Sequence[int], *, signed: bool = False) -> Dataset:
    """An item of a LUT sequence."""
    made = Dataset()
    made.add_new(0x00283002, "SS" if signed else "US", [len(entries) % 65536, first, bits])
    made.LUTExplanation = "made"
    made.add_new(0x00283006, "US", list(entries))
    return made


def presentation_state(images: Sequence[Dataset], path: Path, **values: Any) -> Path:
    """A presentation state for whole images; `values` are attributes by keyword, which replace the plain ones."""
    first = images[0]
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = GSPS
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SpecificCharacterSet = "ISO_IR 192"
    for name in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime"):
        setattr(made, name, first.get(name, ""))
    made.PatientBirthDate = made.PatientSex = made.AccessionNumber = made.ReferringPhysicianName = made.StudyID = ""
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber, made.Modality = generate_uid(), 80, 1, "PR"
    made.Manufacturer = "tests"
    made.ContentLabel, made.ContentDescription, made.ContentCreatorName = "TEST STATE", "as asked", "Doe^Jane"
    made.PresentationCreationDate, made.PresentationCreationTime = "20260102", "030405"
    series: Mapping[str, list[Dataset]] = {}
    series = {i.SeriesInstanceUID: [j for j in images if j.SeriesInstanceUID == i.SeriesInstanceUID] for i in images}
    made.ReferencedSeriesSequence = [
        item(SeriesInstanceUID=uid, ReferencedImageSequence=references(of_series)) for uid, of_series in series.items()
    ]
    made.PresentationLUTShape = "IDENTITY"
    made.DisplayedAreaSelectionSequence = [
        item(
            DisplayedAreaTopLeftHandCorner=[1, 1],
            DisplayedAreaBottomRightHandCorner=[first.Columns, first.Rows],
            PresentationSizeMode="SCALE TO FIT",
            PresentationPixelAspectRatio=[1, 1],
        )
    ]
    for name, value in values.items():
        if value is None:
            if name in made:
                delattr(made, name)
        else:
            setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return path

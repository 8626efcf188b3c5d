"""Writes a volume as CT Image Storage: valid DICOM that other viewers open (PS3.3 A.3, C.8.2.1)."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medviewer import __version__
from medviewer.errors import BadInput, SaveFailed
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

#: Root for UIDs made from a hash: 2.25 and a number of up to 128 bits (PS3.5 B.2).
_UID_ROOT = "2.25."
#: The stored value of 0 HU is 1024, as most scanners have it.
INTERCEPT = -1024


@dataclass(frozen=True, slots=True)
class CtText:
    """What the headers of a written series say.

    Attributes:
        patient_name, patient_id: as DICOM has them; the files say that identity was removed.
        patient_sex: "M", "F", "O" or empty. patient_age: "058Y" or empty.
        study_description, series_description, series_number, study_date, study_time: of study and series.
        body_part: BodyPartExamined. kernel: ConvolutionKernel. kvp: tube voltage in kV.
        window: centre and width in HU.
        synthetic: True writes SyntheticData (0008,001C) = YES.
    """

    patient_name: str
    patient_id: str
    patient_sex: str = ""
    patient_age: str = ""
    study_description: str = ""
    series_description: str = ""
    series_number: int = 1
    study_date: str = "20260101"
    study_time: str = "120000"
    body_part: str = "CHEST"
    kernel: str = "STANDARD"
    kvp: int = 120
    window: tuple[float, float] = (-600.0, 1500.0)
    synthetic: bool = False


def uid_from(*names: object) -> str:
    """A UID that depends on names only: the same names give the same UID."""
    digest = hashlib.sha256("\x1f".join(str(n) for n in names).encode()).digest()
    return _UID_ROOT + str(int.from_bytes(digest[:16], "big"))


def write_ct_series(
    volume: Volume,
    folder: Path,
    *,
    text: CtText,
    uid_seed: str,
    thickness_mm: float | None = None,
    context: JobContext | None = None,
) -> tuple[Path, ...]:
    """Write each slice of `volume` as one CT image, Explicit VR Little Endian, rescale 1 and -1024.

    The files are written into a hidden folder beside and then moved: a write that fails leaves `folder` as it was.
    InstanceNumber and file names run from head to feet, as on a scanner.

    Args:
        volume: HU with a Grid whose rows and columns are perpendicular.
        folder: made if it is missing; files of the same names are replaced.
        text: what the headers say.
        uid_seed: study, series and image UIDs are made from it.
        thickness_mm: SliceThickness; the spacing if not given.
        context: told how many files are written.

    Returns:
        The files in slice order (index k).

    Raises:
        BadInput: the volume has no geometry, or values that a CT image of 16 bits cannot hold.
        SaveFailed: the folder cannot be written or the disk is full.
        Cancelled: a person asked for it.
    """
    context = JobContext() if context is None else context
    if volume.grid is None:
        raise BadInput("a volume without geometry cannot be written as CT", remedy="export its frames as pictures")
    count = volume.size_kji[0]
    bits = _bits_needed(volume)
    head_first = volume.grid.axis_k[2] >= 0
    names = [f"IM{(count - k if head_first else k + 1):04d}.dcm" for k in range(count)]
    waiting: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for k, name in enumerate(names):
            context.report(k, count, "writing the images")
            image = _image(volume, k, int(name[2:6]), text, uid_seed, thickness_mm)
            _pixels(image, volume, k, bits)
            image.save_as(waiting / name, enforce_file_format=True)
        _flush(waiting)
        for name in names:
            (waiting / name).replace(folder / name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SaveFailed(
            f"the images could not be written: {reason}",
            path=folder,
            remedy="free some space or choose another folder",
        ) from error
    finally:
        if waiting is not None:
            shutil.rmtree(waiting, ignore_errors=True)
    context.report(count, count, "writing the images")
    return tuple(folder / name for name in names)


def _flush(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        handle = os.open(path, os.O_RDWR)  # Windows flushes only what is open for writing
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _image(volume: Volume, k: int, number: int, text: CtText, seed: str, thickness: float | None) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    grid = volume.grid
    assert grid is not None
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid_from(seed, "image", k)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid_from("medviewer", "implementation")
    meta.ImplementationVersionName = f"MEDVIEWER_{__version__}"[:16]
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"] if text.synthetic else ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    if text.synthetic:
        ds.add_new(0x0008001C, "CS", "YES")  # SyntheticData
    _patient_and_study(ds, text, seed)
    _series(ds, text, seed)
    ds.KVP = str(text.kvp)
    ds.ConvolutionKernel = text.kernel
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = uid_from(seed, "frame of reference")
    ds.PositionReferenceIndicator = ""
    ds.AcquisitionNumber = "1"
    ds.InstanceNumber = str(number)
    ds.SliceThickness = _decimal(thickness if thickness is not None else grid.spacing_kji[0])
    ds.SpacingBetweenSlices = _decimal(grid.spacing_kji[0])
    ds.ImagePositionPatient = [_decimal(v) for v in grid.index_to_lps((k, 0, 0))]
    ds.ImageOrientationPatient = [_decimal(v) for v in (*grid.axis_i, *grid.axis_j)]
    ds.PixelSpacing = [_decimal(grid.spacing_kji[1]), _decimal(grid.spacing_kji[2])]
    along = np.cross(grid.axis_i, grid.axis_j)
    ds.SliceLocation = _decimal(float(np.dot(grid.index_to_lps((k, 0, 0)), along)))
    ds.WindowCenter, ds.WindowWidth = _decimal(text.window[0]), _decimal(text.window[1])
    return ds


def _patient_and_study(ds: FileDataset, text: CtText, seed: str) -> None:
    ds.PatientName = text.patient_name
    ds.PatientID = text.patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = text.patient_sex
    if text.patient_age:
        ds.PatientAge = text.patient_age
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Invented patient" if text.synthetic else "Written without identity"
    ds.StudyInstanceUID = uid_from(seed, "study")
    ds.StudyDate = text.study_date
    ds.StudyTime = text.study_time
    ds.StudyID = "1"
    ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ""
    if text.study_description:
        ds.StudyDescription = text.study_description


def _series(ds: FileDataset, text: CtText, seed: str) -> None:
    ds.Modality = "CT"
    ds.SeriesInstanceUID = uid_from(seed, "series", text.series_number)
    ds.SeriesNumber = str(text.series_number)
    ds.SeriesDate, ds.SeriesTime = text.study_date, text.study_time
    ds.AcquisitionDate, ds.AcquisitionTime = text.study_date, text.study_time
    ds.ContentDate, ds.ContentTime = text.study_date, text.study_time
    if text.series_description:
        ds.SeriesDescription = text.series_description
    ds.BodyPartExamined = text.body_part
    ds.Manufacturer = "medviewer"
    ds.ManufacturerModelName = "medviewer phantom" if text.synthetic else "medviewer"
    ds.SoftwareVersions = __version__
    ds.DeviceSerialNumber = "0"


def _bits_needed(volume: Volume) -> int:
    """12 bits as scanners have, 16 where metal exceeds them; one depth for the whole series."""
    count, rows, columns = volume.size_kji
    ends = [(part.min(), part.max()) for part in (volume.values((k, 0, 0), (1, rows, columns)) for k in range(count))]
    lowest, highest = float(min(low for low, _ in ends)), float(max(high for _, high in ends))
    top = INTERCEPT + 65535
    if not (lowest > INTERCEPT - 0.5 and highest < top + 0.5):
        raise BadInput(
            f"values from {lowest:.0f} to {highest:.0f} HU do not fit a CT image, which holds {INTERCEPT} to {top}"
        )
    return 12 if highest - INTERCEPT < 4095.5 else 16


def _pixels(ds: FileDataset, volume: Volume, k: int, bits: int) -> None:
    rows, columns = volume.size_kji[1:]
    values = np.rint(volume.values((k, 0, 0), (1, rows, columns))[0]) - INTERCEPT
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, bits, bits - 1
    ds.PixelRepresentation = 0
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(INTERCEPT), "1", "HU"
    ds.PixelData = values.astype("<u2").tobytes()


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2) with no needless digit."""
    text = f"{float(value):.8f}".rstrip("0").rstrip(".")
    text = "0" if text in ("-0", "") else text
    return text if len(text) <= 16 else f"{float(value):.9g}"

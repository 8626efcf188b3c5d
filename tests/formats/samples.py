"""DICOM files made by the tests: small, valid, and wrong only where a test asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def picture(pixels: NDArray[Any], **elements: Any) -> FileDataset:
    """A CT image of some pixels; elements by keyword override it, None takes one away."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance = elements.pop("SOPInstanceUID", generate_uid())
    sop_class = elements.pop("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, instance
    data.PatientName, data.PatientID = "Test^Patient", "T1"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    data.Modality, data.StudyDate, data.SeriesNumber, data.InstanceNumber = "CT", "20260102", 1, 1
    data.Rows, data.Columns = pixels.shape[-2:] if pixels.shape[-1] != 3 else pixels.shape[-3:-1]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelSpacing, data.SliceThickness = [0.8, 0.5], 2.0
    data.ImageOrientationPatient, data.ImagePositionPatient = list(AXIAL), [0.0, 0.0, 0.0]
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.WindowCenter, data.WindowWidth = 40, 400
    raw = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    data["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"
    for name, value in elements.items():
        if value is None:
            del data[name]
        else:
            setattr(data, name, value)
    return data


def ramp(shape: Sequence[int], start: int = 0, dtype: str = "int16") -> NDArray[Any]:
    """Pixels that differ everywhere."""
    return ((np.arange(int(np.prod(shape))) * 7 + start) % 3000).astype(dtype).reshape(shape)


def save(data: Dataset, path: Path) -> Path:
    """Write one file as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def series(
    folder: Path,
    positions: Sequence[Sequence[float]],
    *,
    orientation: Sequence[float] = AXIAL,
    size: tuple[int, int] = (6, 5),
    names: Sequence[str] | None = None,
    **elements: Any,
) -> list[Path]:
    """One file a position; slice n holds `ramp(size, 100 * n)`.

    An element given as a list as long as the positions goes by slice.
    """
    paths = []
    for n, position in enumerate(positions):
        own = {
            key: value[n] if isinstance(value, list) and len(value) == len(positions) else value
            for key, value in elements.items()
        }
        own.setdefault("InstanceNumber", len(positions) - n)
        own.setdefault("ImagePositionPatient", [float(v) for v in position])
        own.setdefault("ImageOrientationPatient", list(orientation))
        data = picture(ramp(size, 100 * n), **own)
        paths.append(save(data, folder / (names[n] if names else f"{n:03}.dcm")))
    return paths


def along_z(count: int, step: float = 2.0, start: float = 0.0) -> list[tuple[float, float, float]]:
    """Positions of even axial slices."""
    return [(10.0, 20.0, start + n * step) for n in range(count)]

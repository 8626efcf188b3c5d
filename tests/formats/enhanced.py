"""An Enhanced CT as other programs write it: one file, many frames, each with its own position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medviewer.volume.grid import Grid

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def write_enhanced_ct(path: Path, grid: Grid) -> None:
    """Frames in falling order of the grid's slices; the voxels of slice k hold k."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = ENHANCED_CT, generate_uid()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ENHANCED_CT, ds.SOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.Modality, ds.PatientID, ds.PatientName = "CT", "P1", "Test^One"
    ds.PatientBirthDate, ds.PatientSex, ds.StudyID, ds.AccessionNumber = "", "", "", ""
    ds.StudyDate, ds.StudyTime, ds.ReferringPhysicianName, ds.PositionReferenceIndicator = "", "", "", ""
    ds.SeriesNumber, ds.InstanceNumber, ds.ImageType = 1, 1, ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.Rows, ds.Columns, ds.NumberOfFrames = grid.size_kji[1], grid.size_kji[2], grid.size_kji[0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    shared = _item(
        PixelMeasuresSequence=[
            _item(PixelSpacing=[grid.spacing_kji[1], grid.spacing_kji[2]], SliceThickness=grid.spacing_kji[0])
        ],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=list(grid.direction[:6]))],
        PixelValueTransformationSequence=[_item(RescaleIntercept=0, RescaleSlope=1, RescaleType="HU")],
    )
    ds.SharedFunctionalGroupsSequence = [shared]
    frames, voxels = [], []
    for k in reversed(range(grid.size_kji[0])):
        position = [float(v) for v in grid.index_to_lps((k, 0, 0))]
        frames.append(_item(PlanePositionSequence=[_item(ImagePositionPatient=position)]))
        voxels.append(np.full(grid.size_kji[1:], k, dtype=np.int16))
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = np.stack(voxels).tobytes()
    ds.save_as(path, enforce_file_format=True)

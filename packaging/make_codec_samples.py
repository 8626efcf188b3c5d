"""Makes resources/codecs: one small synthetic image in each transfer syntax, for `medviewer self-test`.

Needs what a user does not: dcmtk's dcmcjpeg, dcmcjpls and dcmcrle on the PATH, python-gdcm, and imagecodecs for HTJ2K.
Run it again only when a transfer syntax is added: python packaging/make_codec_samples.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import gdcm
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

OUT = Path(__file__).resolve().parents[1] / "resources" / "codecs"
UID = "2.25.31415926535897932384626433832795"


def picture(bits: int) -> np.ndarray:
    """32 x 32 with a ramp, an edge, a disk and reproducible noise."""
    row, column = np.mgrid[0:32, 0:32]
    grey = 4.0 * column + 2.0 * row + 60.0 * ((row - 16) ** 2 + (column - 16) ** 2 < 64)
    grey += np.random.default_rng(7).normal(0, 3, grey.shape)
    scale = (2**bits - 1) / 300
    return np.clip(grey * scale, 0, 2**bits - 1).astype(np.uint16 if bits > 8 else np.uint8)


def dataset(bits: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = f"{UID}.{bits}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{UID}.1", f"{UID}.2"
    data.PatientName, data.PatientID, data.Modality = "Codec^Sample", "CODEC", "OT"
    data.StudyDate = data.StudyTime = data.AccessionNumber = data.StudyID = ""
    data.PatientBirthDate = data.PatientSex = data.ReferringPhysicianName = ""
    data.SeriesNumber, data.InstanceNumber, data.ConversionType = 1, 1, "SYN"
    data.Rows = data.Columns = 32
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated = 16 if bits > 8 else 8
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelData = picture(bits).tobytes()
    data["PixelData"].VR = "OW" if bits > 8 else "OB"
    return data


def with_dcmtk(command: list[str], source: Path, name: str) -> None:
    subprocess.run([*command, str(source), str(OUT / f"{name}.dcm")], check=True)


def with_gdcm(source: Path, name: str, syntax: int) -> None:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    if not change.Change():
        sys.exit(f"GDCM cannot write {name}")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(OUT / f"{name}.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.Write()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        eight, twelve = Path(folder) / "8.dcm", Path(folder) / "12.dcm"
        dataset(8).save_as(eight, enforce_file_format=True)
        dataset(12).save_as(twelve, enforce_file_format=True)
        with_dcmtk(["dcmcjpeg", "+eb", "+q", "95"], eight, "jpeg-baseline")
        with_dcmtk(["dcmcjpeg", "+ee", "+q", "95"], twelve, "jpeg-extended-12")
        with_dcmtk(["dcmcjpeg", "+el"], twelve, "jpeg-lossless-57")
        with_dcmtk(["dcmcjpeg", "+e1"], twelve, "jpeg-lossless-70")
        with_dcmtk(["dcmcjpls", "+el"], twelve, "jpeg-ls-lossless")
        with_dcmtk(["dcmcjpls", "+en"], twelve, "jpeg-ls-near")
        with_dcmtk(["dcmcrle"], twelve, "rle")
        with_dcmtk(["dcmconv", "+td"], twelve, "deflated")
        with_gdcm(twelve, "jpeg2000-lossless", gdcm.TransferSyntax.JPEG2000Lossless)
        with_gdcm(twelve, "jpeg2000", gdcm.TransferSyntax.JPEG2000)
        for name, syntax, implicit in (
            ("implicit-little", ImplicitVRLittleEndian, True),
            ("explicit-little", ExplicitVRLittleEndian, False),
        ):
            data = dataset(12)
            data.file_meta.TransferSyntaxUID = syntax
            data.save_as(OUT / f"{name}.dcm", implicit_vr=implicit, little_endian=True)
        with_dcmtk(["dcmconv", "+tb"], twelve, "explicit-big")
        import imagecodecs

        data = dataset(12)
        code = imagecodecs.htj2k_encode(picture(12), reversible=True)
        data.PixelData = encapsulate([code])
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        data.save_as(OUT / "htj2k-lossless.dcm", enforce_file_format=True)
    np.save(OUT / "grey-8.npy", picture(8))
    np.save(OUT / "grey-12.npy", picture(12))


if __name__ == "__main__":
    main()

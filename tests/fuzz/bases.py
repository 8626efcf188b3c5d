"""The whole files that are damaged: pydicom's own, files made by code, and the corpus where somebody has it."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from tests.formats import samples

#: Larger files are left out: a case must cost milliseconds.
LARGEST = 160_000


@cache
def bases() -> dict[str, bytes]:
    """Files by name, in the order of names; always the same ones on one machine."""
    found = dict(_made())
    found |= _pydicom()
    found |= _corpus()
    return dict(sorted(found.items()))


@cache
def base(name: str) -> bytes:
    """One of them; made ones and pydicom's are on every machine."""
    return _made()[name] if name.startswith("made:") else bases()[name]


def _pydicom() -> dict[str, bytes]:
    from pydicom.data.data_manager import DATA_ROOT

    root = Path(DATA_ROOT)
    files = {}
    for path in (p for folder in ("test_files", "charset_files", "palettes") for p in (root / folder).rglob("*")):
        tiny = "TINY_ALPHA/PT" in path.as_posix()
        text = path.suffix in (".txt", ".dump", ".json", ".md", ".icc", ".py")
        if path.is_file() and not tiny and not text and path.stat().st_size < LARGEST:
            files[f"pydicom:{path.relative_to(root).as_posix()}"] = path.read_bytes()
    return files


def _corpus() -> dict[str, bytes]:
    named = os.environ.get("MEDVIEWER_CORPUS")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "corpus"
    files: dict[str, bytes] = {}
    for part in ("files", "made", "volumes"):
        for path in sorted(p for p in (folder / part).rglob("*") if p.is_file()):
            if path.stat().st_size < LARGEST:
                files[f"corpus:{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    for case in sorted((folder / "series").glob("*")):
        first = next((p for p in sorted(case.rglob("*")) if p.is_file() and p.stat().st_size < LARGEST), None)
        if first is not None:
            files[f"corpus:{first.relative_to(folder).as_posix()}"] = first.read_bytes()
    return files


def _bytes(data: Dataset) -> bytes:
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _uid(text: str) -> str:
    return str(generate_uid(entropy_srcs=["fuzz", text]))


@cache
def _made() -> dict[str, bytes]:
    """One small file of each kind; the same bytes on every run."""
    grey = samples.ramp((12, 10))
    made = {"made:ct.dcm": samples.picture(grey, SOPInstanceUID=_uid("ct"))}
    many = samples.ramp((6, 12, 10), dtype="uint8")
    us = {"NumberOfFrames": "6", "Modality": "US", "FrameTime": "40", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.3.1"}
    for name, syntax in (("rle", RLELossless), ("jls", JPEGLSLossless), ("j2k", JPEG2000Lossless)):
        pixels = samples.ramp((6, 64, 64), dtype="uint8") if name == "j2k" else many  # OpenJPEG wants 64 at least
        data = samples.picture(pixels, SOPInstanceUID=_uid(name), **us)
        data.compress(syntax, generate_instance_uid=False)
        made[f"made:{name}.dcm"] = data
    made["made:frames.dcm"] = samples.picture(many, SOPInstanceUID=_uid("frames"), **us)
    colour = samples.ramp((8, 9, 3), dtype="uint8")
    made["made:colour.dcm"] = samples.picture(
        colour, SOPInstanceUID=_uid("rgb"), SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0
    )
    made["made:seg.dcm"] = _seg()
    made["made:enhanced.dcm"] = _enhanced()
    files = {name: _bytes(data) for name, data in made.items()}
    files["made:volume.nii"] = nifti()
    files["made:volume.nii.gz"] = gzip.compress(nifti(), mtime=0)
    files["made:volume.nrrd"] = nrrd()
    files["made:study.zip"] = _zip({"a/1.dcm": files["made:ct.dcm"], "b/2.dcm": files["made:rle.dcm"]})
    files["made:nested.zip"] = _zip({"inner.zip": files["made:study.zip"], "x.nii": nifti()})
    return files


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)
    return out.getvalue()


def nifti(size_ijk: tuple[int, int, int] = (5, 4, 3)) -> bytes:
    """A small NIfTI-1 file of int16."""
    head = bytearray(352)
    i, j, k = size_ijk
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, i, j, k, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    struct.pack_into("<8f", head, 76, 1, 0.8, 0.7, 2, 1, 1, 1, 1)
    struct.pack_into("<3f", head, 108, 352, 1, 0)
    struct.pack_into("<2h", head, 252, 0, 1)
    struct.pack_into("<12f", head, 280, 0.8, 0, 0, -10, 0, 0.7, 0, -20, 0, 0, 2, 5)
    head[344:348] = b"n+1\0"
    return bytes(head) + np.arange(i * j * k, dtype="<i2").tobytes()


def nrrd(**fields: str) -> bytes:
    """A small NRRD of int16; fields by keyword, "_" for a blank, override its own."""
    own = {
        "type": "int16", "dimension": "3", "space": "left-posterior-superior", "sizes": "5 4 3",
        "space directions": "(0.8,0,0) (0,0.7,0) (0,0,2)", "kinds": "domain domain domain", "endian": "little",
        "encoding": "raw", "space origin": "(10,20,5)",
    } | {name.replace("_", " "): value for name, value in fields.items()}  # fmt: skip
    head = "NRRD0004\n" + "".join(f"{name}: {value}\n" for name, value in own.items()) + "\n"
    return head.encode() + np.arange(60, dtype="<i2").tobytes()


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _groups(count: int) -> list[Dataset]:
    return [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=[0.0, 0.0, 2.0 * n])],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=1 + n % 2)],
        )
        for n in range(count)
    ]


def _shared() -> list[Dataset]:
    return [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[0.8, 0.5], SliceThickness=2.0)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=list(samples.AXIAL))],
            PixelValueTransformationSequence=[_item(RescaleIntercept=0, RescaleSlope=1, RescaleType="HU")],
        )
    ]


def _enhanced() -> Dataset:
    return samples.picture(
        samples.ramp((4, 12, 10)), SOPInstanceUID=_uid("enhanced"), SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        NumberOfFrames="4", ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None,
        SharedFunctionalGroupsSequence=_shared(), PerFrameFunctionalGroupsSequence=_groups(4),
    )  # fmt: skip


def _seg() -> Dataset:
    code = {"CodingSchemeDesignator": "SCT", "CodeMeaning": "Tissue"}
    segments = [
        _item(
            SegmentNumber=n, SegmentLabel=f"part {n}", SegmentAlgorithmType="MANUAL",
            SegmentedPropertyCategoryCodeSequence=[_item(CodeValue="85756007", **code)],
            SegmentedPropertyTypeCodeSequence=[_item(CodeValue="85756007", **code)],
        )
        for n in (1, 2)
    ]  # fmt: skip
    bits = np.packbits(samples.ramp((4, 12, 10)).ravel() % 3 == 0, bitorder="little")
    data = samples.picture(
        samples.ramp((4, 12, 10), dtype="uint8"), SOPInstanceUID=_uid("seg"), Modality="SEG",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", NumberOfFrames="4", ImagePositionPatient=None,
        ImageOrientationPatient=None, PixelSpacing=None, BitsAllocated=1, BitsStored=1, HighBit=0,
        SegmentationType="BINARY", SegmentSequence=segments, RescaleSlope=None, RescaleIntercept=None,
        SharedFunctionalGroupsSequence=_shared(), PerFrameFunctionalGroupsSequence=_groups(4),
        ReferencedSeriesSequence=[_item(SeriesInstanceUID="1.2.3.2")],
    )  # fmt: skip
    data.PixelData = bits.tobytes()
    return data

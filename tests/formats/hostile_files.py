"""Hostile files, made by code, one function each: the whole table of what a clinic's folder may hold.

A maker gets an empty folder, fills it, and returns nothing; `ROWS` says what must be said about each file.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from tests.formats import samples
from tests.fuzz.bases import base, nifti, nrrd
from tests.fuzz.structure import elements

Maker = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile file or folder.

    Attributes:
        row: the row of the table it belongs to.
        name: what is wrong, in a few words.
        make: fills a folder.
        expect: what is said of files by name: "shown", "shown CODE" (a quality code), "skipped CODE", "object KIND",
            several joined by "|" where more than one answer is right.
        says: a part of the sentence.
    """

    row: str
    name: str
    make: Maker
    expect: dict[str, str]
    says: str = ""


def raw(**changes: Any) -> bytes:
    """A valid CT image of 12 x 10 as bytes, with elements changed as in `samples.picture`."""
    out = io.BytesIO()
    samples.picture(samples.ramp((12, 10)), **changes).save_as(out, enforce_file_format=True)
    return out.getvalue()


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """One explicit little endian element, with a length that may lie."""
    value += b"\0" * (len(value) % 2) if vr in (b"UI", b"OB") else b" " * (len(value) % 2)
    count = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"OB", b"OW", b"SQ", b"UT", b"UN"):
        return head + b"\0\0" + struct.pack("<I", count) + value
    return head + struct.pack("<H", count & 0xFFFF) + value


def put(data: bytes, tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """A file with an element put in its place; an element of the tag that is there already goes."""
    found = [e for e in elements(data) if e.tag >> 16 != 2]
    for old in found:
        if old.tag == tag:
            return data[: old.at] + element(tag, vr, value, length) + data[old.end :]
    at = next(e.at for e in found if e.tag > tag)
    return data[:at] + element(tag, vr, value, length) + data[at:]


def one(data: bytes | Callable[[], bytes], name: str = "bad.dcm") -> Maker:
    """A folder with one file."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data())

    return make


def _with(**changes: Any) -> Maker:
    return one(lambda: raw(**changes))


def _put(tag: int, vr: bytes, value: bytes) -> Maker:
    return one(lambda: put(raw(), tag, vr, value))


def _deep(levels: int) -> bytes:
    head = struct.pack("<HH", 0x0008, 0x1115) + b"SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = raw()
    at = next(e.at for e in elements(data) if e.tag > 0x00081115)
    return data[:at] + head * levels + data[at:]


def _many_items(count: int) -> bytes:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * count
    return put(raw(), 0x00081115, b"SQ", items)


def _repeated(tag: int) -> bytes:
    data = raw()
    old = next(e for e in elements(data) if e.tag == tag)
    return data[: old.end] + data[old.at : old.end] + data[old.end :]


def _undefined(tag: int, vr: bytes) -> bytes:
    return put(raw(), tag, vr, b"", 0xFFFFFFFF)


def _deflated(size: int) -> bytes:
    data = raw()
    body = next(e.at for e in elements(data) if e.tag >> 16 > 2)
    meta = data[:body].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    length = struct.pack("<H", 22)
    meta = meta.replace(b"\x02\x00\x10\x00UI" + struct.pack("<H", 20), b"\x02\x00\x10\x00UI" + length)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    whole = element(0x00080005, b"CS", b"ISO_IR 100") + element(0x00090010, b"UN", b"", size)
    packed = engine.compress(whole)
    for _ in range(size >> 20):
        packed += engine.compress(bytes(1 << 20))
    return meta + packed + engine.flush()


def _compressed(fragments: list[bytes], syntax: str, **changes: Any) -> bytes:
    data = samples.picture(samples.ramp((12, 10), dtype="uint8"), **changes)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = encapsulate(fragments)
    data["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _j2k_that_claims(size: int) -> bytes:
    """A code stream of a head only that declares size x size pixels."""
    siz = struct.pack(">HHIIIIIIIIHBBB", 41, 0, size, size, 0, 0, size, size, 0, 0, 1, 7, 1, 1)
    cod = struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 0, 4, 4, 0, 1)
    qcd = struct.pack(">HBB", 4, 0x40, 0x40)
    sot = struct.pack(">HHIBB", 10, 0, 0, 0, 1)
    stream = b"\xff\x4f\xff\x51" + siz + b"\xff\x52" + cod + b"\xff\x5c" + qcd + b"\xff\x90" + sot + b"\xff\x93"
    return _compressed([stream + bytes(200) + b"\xff\xd9"], JPEG2000Lossless, Rows=size, Columns=size)


def _jpeg_that_claims(size: int) -> bytes:
    sof = struct.pack(">HBHHB", 11, 8, size, size, 1) + b"\x01\x11\x00"
    table = b"\xff\xdb" + struct.pack(">HB", 67, 0) + bytes([1] * 64)
    huffman = b"\xff\xc4" + struct.pack(">HB", 20, 0) + bytes([1] + [0] * 15) + b"\0"
    huffman += b"\xff\xc4" + struct.pack(">HB", 20, 0x10) + bytes([1] + [0] * 15) + b"\0"
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + b"\x01\x00\x00\x3f\x00" + bytes(100)
    stream = b"\xff\xd8" + table + b"\xff\xc0" + sof + huffman + scan + b"\xff\xd9"
    return _compressed([stream], JPEGBaseline8Bit, Rows=size, Columns=size)


def _archive(*members: tuple[str, bytes]) -> Maker:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / "bad.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members:
                file.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)

    return make


def _link(target: str, *, outside: bool = False) -> Maker:
    def make(folder: Path) -> None:
        if outside:
            (folder.parent / "secret.dcm").write_bytes(raw(PatientName="Secret^Person"))
        (folder / "link").symlink_to(target)

    return make


def directory_file(*references: str) -> bytes:
    """A DICOMDIR whose records name some files, one component or the whole path each."""
    records = b""
    for reference in references:
        record = element(0x00041430, b"CS", b"IMAGE") + element(0x00041500, b"CS", reference.encode("latin-1"))
        records += b"\xfe\xff\x00\xe0" + struct.pack("<I", len(record)) + record
    body = element(0x00041130, b"CS", b"HOSTILE") + element(0x00041220, b"SQ", records)
    meta = element(0x00020001, b"OB", b"\0\1") + element(0x00020002, b"UI", b"1.2.840.10008.1.3.10")
    meta += element(0x00020003, b"UI", b"1.2.3") + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1")
    return bytes(128) + b"DICM" + element(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta + body


def _directory(*references: str) -> Maker:
    return one(lambda: directory_file(*references), "DICOMDIR")


def _table(offsets: list[int]) -> Callable[[], bytes]:
    """Six RLE frames with another basic offset table."""

    def make() -> bytes:
        data = base("made:rle.dcm")
        at = data.index(b"\xfe\xff\x00\xe0")
        length = struct.unpack_from("<I", data, at + 4)[0]
        table = struct.pack(f"<{len(offsets)}I", *offsets)
        return data[: at + 4] + struct.pack("<I", len(table)) + table + data[at + 8 + length :]

    return make


def _without_fragment() -> bytes:
    data = base("made:rle.dcm")
    items = [e for e in elements(data) if e.tag == 0xFFFEE000]
    return data[: items[3].at] + data[items[3].end :]


def _without_fragments() -> bytes:
    data = base("made:rle.dcm")
    return data[: data.index(b"\xfe\xff\x00\xe0")] + b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"


def _frames(count: bytes) -> Callable[[], bytes]:
    return lambda: put(base("made:rle.dcm"), 0x00280008, b"IS", count)


def _palette(**changes: Any) -> Maker:
    def make(folder: Path) -> None:
        data = samples.picture(samples.ramp((12, 10), dtype="uint8"), PhotometricInterpretation="PALETTE COLOR")
        for name in ("Red", "Green", "Blue"):
            descriptor = f"{name}PaletteColorLookupTableDescriptor"
            setattr(data, descriptor, changes.get("descriptor", [256, 0, 16]))
            if changes.get("data", True):
                setattr(data, f"{name}PaletteColorLookupTableData", bytes(changes.get("length", 512)))
        samples.save(data, folder / "bad.dcm")

    return make


def _two(first: dict[str, Any], second: dict[str, Any]) -> Maker:
    def make(folder: Path) -> None:
        shared = {"SOPInstanceUID": "1.2.3.4", "StudyInstanceUID": "1.2.3.40", "SeriesInstanceUID": "1.2.3.41"}
        for name, changes in (("a.dcm", first), ("b.dcm", second)):
            start = changes.pop("start", 0) if "start" in changes else 0
            samples.save(samples.picture(samples.ramp((12, 10), start), **{**shared, **changes}), folder / name)

    return make


def _nifti(offset: int, form: str, value: float) -> Maker:
    def make(folder: Path) -> None:
        data = bytearray(nifti())
        struct.pack_into(form, data, offset, value)
        (folder / "bad.nii").write_bytes(data)

    return make


def _nifti_bomb(folder: Path) -> None:
    data = bytearray(nifti())
    struct.pack_into("<8h", data, 40, 3, 32767, 32767, 30, 1, 1, 1, 1)
    (folder / "bad.nii.gz").write_bytes(gzip.compress(bytes(data) + bytes(40 << 20)))


def _nrrd(**fields: str) -> Maker:
    return one(nrrd(**fields), "bad.nrrd")


def _mhd(data_file: str) -> Maker:
    text = f"ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementDataFile = {data_file}\n"
    return one(text.encode(), "bad.mhd")


def _lut(entries: int, length: int) -> Maker:
    """A modality LUT whose descriptor and data differ."""
    inner = element(0x00283002, b"US", struct.pack("<3H", entries, 0, 16))
    inner += element(0x00283003, b"LO", b"HU") + element(0x00283006, b"OW", bytes(length))
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner

    def make() -> bytes:
        data = raw(RescaleSlope=None, RescaleIntercept=None, PixelRepresentation=0)
        return put(data, 0x00283000, b"SQ", item)

    return one(make)


def _voi_lut(entries: int, length: int) -> Maker:
    inner = element(0x00283002, b"US", struct.pack("<3H", entries, 0, 16)) + element(0x00283006, b"OW", bytes(length))
    item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
    return one(lambda: put(raw(), 0x00283010, b"SQ", item))


_R1 = "no preamble, no meta, wrong extension, 0 bytes, text, HTML"
_R2 = "truncated tag, value or pixel data"
_R3 = "undefined lengths, nesting, items, odd VR, duplicate tags"
_R4 = "Rows x Columns x frames beyond the data"
_R5 = "bombs, zip-slip, links, device names, long paths"
_R6 = "DICOMDIR with .. or absolute paths"
_R7 = "offset table wrong, fragments missing, frame count lies"
_R8 = "bits, samples, pixel representation"
_R9 = "NaN, inf, 1e30, empty, comma decimals in DS and IS"
_R10 = "W=0, slope=0, LUT shorter than said, palette missing"
_R11 = "identifiers shared"
_R12 = "UIDs with letters, too long, path characters"
_R13 = "text"
_R14 = "NIfTI, NRRD, MHD"

ROWS: tuple[Case, ...] = (
    Case(_R1, "no preamble", one(lambda: raw()[128:].replace(b"DICM", b"", 1)), {"bad.dcm": "shown"}),
    Case(_R1, "no meta", one(lambda: raw()[raw().index(b"\x08\x00\x16\x00UI") :]), {"bad.dcm": "shown"}),
    Case(_R1, "wrong extension", one(raw, "letter.docx"), {"letter.docx": "shown"}),
    Case(_R1, "0 bytes", one(b""), {"bad.dcm": "skipped empty"}, "empty file"),
    Case(_R1, "one byte", one(b"D"), {"bad.dcm": "skipped not-dicom"}),
    Case(_R1, "text", one(b"hello\n" * 40), {"bad.dcm": "skipped not-dicom"}, "looks like text"),
    Case(
        _R1,
        "HTML login page",
        one(b"\n <!DOCTYPE html><html><title>Sign in</title>"),
        {"bad.dcm": "skipped not-dicom"},
        "not DICOM (looks like HTML)",
    ),
    Case(_R1, "only preamble", one(bytes(128) + b"DICM"), {"bad.dcm": "skipped truncated"}),
    Case(_R1, "a program with a preamble", one(lambda: b"MZ" + raw()[2:]), {"bad.dcm": "shown"}),
    Case(_R2, "in a tag", one(lambda: raw()[:383]), {"bad.dcm": "skipped truncated"}, "truncated"),
    Case(_R2, "in a value", one(lambda: raw()[: raw().index(b"Test^Patient") + 3]), {"bad.dcm": "skipped truncated"}),
    Case(_R2, "in the pixels", one(lambda: raw()[:-94]), {"bad.dcm": "skipped truncated|shown truncated"}, "61 %"),
    Case(
        _R2,
        "whole frames before the cut",
        one(lambda: base("made:frames.dcm")[:-200]),
        {"bad.dcm": "shown truncated"},
        "4 of 6 frames",
    ),
    Case(
        _R2,
        "in the last fragment",
        one(lambda: base("made:rle.dcm")[:-30]),
        {"bad.dcm": "shown truncated|shown frame-count-mismatch|skipped truncated"},
    ),
    Case(
        _R3,
        "value of undefined length",
        one(lambda: _undefined(0x00081030, b"UN")),
        {"bad.dcm": "skipped bad-header|skipped truncated|shown"},
    ),
    Case(
        _R3,
        "length beyond the file",
        one(lambda: put(raw(), 0x00091001, b"UN", b"x", 0xFFFFFFFE)),
        {"bad.dcm": "skipped truncated"},
    ),
    Case(
        _R3,
        "sequences 10000 deep",
        one(lambda: _deep(10_000)),
        {"bad.dcm": "skipped too-large"},
        "nested more than 64 deep",
    ),
    Case(_R3, "a million items", one(lambda: _many_items(1_000_000)), {"bad.dcm": "shown|skipped too-large"}),
    Case(_R3, "odd VR", _put(0x00081030, b"ZZ", b"hello"), {"bad.dcm": "shown"}),
    Case(
        _R3,
        "VR of no letters",
        _put(0x00081030, b"\1\2", b"hello"),
        {"bad.dcm": "skipped bad-header|skipped truncated|shown"},
    ),
    Case(_R3, "Rows as text", _put(0x00280010, b"DS", b"12"), {"bad.dcm": "shown"}),
    Case(_R3, "a tag twice", one(lambda: _repeated(0x00280010)), {"bad.dcm": "shown"}),
    Case(_R3, "pixels twice", one(lambda: raw() + element(0x7FE00010, b"OW", bytes(240))), {"bad.dcm": "shown"}),
    Case(_R4, "65535 x 65535", _with(Rows=65535, Columns=65535), {"bad.dcm": "skipped truncated"}, "0 %"),
    Case(
        _R4,
        "1000 frames of 65535 x 65535",
        _with(Rows=65535, Columns=65535, NumberOfFrames="1000"),
        {"bad.dcm": "skipped truncated"},
    ),
    Case(
        _R4,
        "J2K of 40000 x 40000 in 300 bytes",
        one(lambda: _j2k_that_claims(40_000)),
        {"bad.dcm": "skipped too-large|skipped bad-pixels"},
    ),
    Case(
        _R4,
        "J2K of 20000 x 20000 in 300 bytes",
        one(lambda: _j2k_that_claims(20_000)),
        {"bad.dcm": "skipped too-large|skipped bad-pixels"},
    ),
    Case(
        _R4,
        "JPEG of 65500 x 65500 in 400 bytes",
        one(lambda: _jpeg_that_claims(65_500)),
        {"bad.dcm": "skipped too-large|skipped bad-pixels"},
    ),
    Case(_R5, "deflated data set", one(lambda: _deflated(600 << 20)), {"bad.dcm": "skipped too-large"}, "grows beyond"),
    Case(
        _R5,
        "zip bomb",
        _archive(("bomb.dcm", bytes(100 << 20)), ("good.dcm", raw())),
        {"bomb.dcm": "skipped zip-unsafe", "good.dcm": "shown"},
        "unpacks to 100 MB",
    ),
    Case(_R5, "gzip bomb", _nifti_bomb, {"bad.nii.gz": "skipped truncated|skipped too-large"}),
    Case(
        _R5,
        "zip-slip",
        _archive(
            ("../../out.dcm", raw()),
            ("/etc/out2.dcm", raw()),
            ("C:\\out3.dcm", raw()),
            ("good.dcm", raw(SOPInstanceUID="1.2")),
        ),
        {"out.dcm": "skipped zip-unsafe", "good.dcm": "shown"},
        "leads out",
    ),
    Case(
        _R5,
        "device names in an archive",
        _archive(("CON", raw()), ("aux.dcm", raw(SOPInstanceUID="1.2")), ("NUL.txt", b"x")),
        {"CON": "shown", "aux.dcm": "shown", "NUL.txt": "skipped not-dicom"},
    ),
    Case(
        _R5,
        "a member with a long path",
        _archive(("d/" * 150 + "n" * 300 + ".dcm", raw())),
        {"n" * 300 + ".dcm": "shown"},
    ),
    Case(
        _R5,
        "a name with a line end and marks",
        _archive(("evil\n\u202egnp.dcm", b"text")),
        {"evil\n\u202egnp.dcm": "skipped not-dicom"},
    ),
    Case(_R5, "a link in a circle", _link("."), {}),
    Case(_R5, "a link to nothing", _link("nowhere"), {"link": "skipped unreadable"}),
    Case(_R5, "a link to itself", _link("link"), {"link": "skipped unreadable"}),
    Case(_R5, "a link to a device", _link("/dev/zero"), {"link": "skipped unreadable|skipped outside-folder"}),
    Case(
        _R5,
        "a link out of the folder",
        _link("../secret.dcm", outside=True),
        {"link": "skipped outside-folder"},
        "leads out",
    ),
    Case(
        _R6, "two steps up", _directory("..\\..\\SECRET"), {"DICOMDIR": "skipped outside-folder"}, "leaves the folder"
    ),
    Case(_R6, "an absolute path", _directory("/etc/passwd", "C:\\WINDOWS\\X"), {"DICOMDIR": "skipped outside-folder"}),
    Case(_R6, "empty components", _directory("A\\\\B"), {"DICOMDIR": "skipped outside-folder"}),
    Case(_R7, "offset table of rubbish", one(_table([7, 3, 99999, 1, 2, 5])), {"bad.dcm": "shown"}),
    Case(_R7, "offset table beyond the file", one(_table([0] + [0xFFFFFF00] * 5)), {"bad.dcm": "shown"}),
    Case(_R7, "offset table of one entry", one(_table([0])), {"bad.dcm": "shown"}),
    Case(
        _R7,
        "a fragment missing",
        one(_without_fragment),
        {"bad.dcm": "shown truncated|shown frame-count-mismatch"},
        "1 of 6 frames",
    ),
    Case(
        _R7,
        "more frames said than there",
        one(_frames(b"60")),
        {"bad.dcm": "shown truncated|shown frame-count-mismatch"},
    ),
    Case(
        _R7,
        "ten million frames said",
        one(_frames(b"9999999")),
        {"bad.dcm": "shown truncated|shown frame-count-mismatch"},
    ),
    Case(_R7, "fewer frames said than there", one(_frames(b"2")), {"bad.dcm": "shown frame-count-mismatch|shown"}),
    Case(_R7, "no frames said", one(_frames(b"0")), {"bad.dcm": "shown|skipped bad-header"}),
    Case(_R7, "frames below zero", one(_frames(b"-4")), {"bad.dcm": "skipped bad-header"}, "Number of Frames"),
    Case(_R7, "no fragments", one(_without_fragments), {"bad.dcm": "skipped truncated|skipped bad-header"}),
    Case(_R8, "BitsStored 0", _with(BitsStored=0), {"bad.dcm": "skipped bad-header"}, "Bits Stored is 0"),
    Case(_R8, "BitsStored beyond Allocated", _with(BitsStored=20), {"bad.dcm": "skipped bad-header"}),
    Case(_R8, "HighBit below BitsStored", _with(BitsStored=12, HighBit=3), {"bad.dcm": "skipped bad-header"}),
    Case(_R8, "HighBit missing", _with(BitsStored=12, HighBit=None), {"bad.dcm": "shown"}),
    Case(
        _R8, "SamplesPerPixel 2", _with(SamplesPerPixel=2), {"bad.dcm": "skipped bad-header"}, "Samples per Pixel is 2"
    ),
    Case(_R8, "PixelRepresentation missing", _with(PixelRepresentation=None), {"bad.dcm": "shown|skipped bad-header"}),
    Case(_R8, "PixelRepresentation 7", _with(PixelRepresentation=7), {"bad.dcm": "skipped bad-header"}),
    Case(_R8, "BitsAllocated 24", _with(BitsAllocated=24), {"bad.dcm": "skipped unsupported|skipped bad-header"}),
    *(
        Case(
            _R9,
            f"{name} {value.decode()!r}",
            _put(tag, b"DS", value),
            {"bad.dcm": f"shown {code}|skipped {code}" if code else "shown"},
        )
        for name, tag, values, code in (
            (
                "spacing",
                0x00280030,
                (b"nan\\nan", b"inf\\1", b"1,5\\1,5", b"", b"0\\0", b"-1\\1", b"1e30\\1e30"),
                "no-spacing",
            ),
            ("position", 0x00200032, (b"nan\\0\\0", b"1\\2", b"1e400\\0\\0"), "no-position"),
            (
                "orientation",
                0x00200037,
                (b"nan\\0\\0\\0\\1\\0", b"1\\0\\0\\2\\0\\0", b"0\\0\\0\\0\\0\\0"),
                "bad-orientation",
            ),
            ("window", 0x00281051, (b"nan", b"inf", b"W/C", b"1,5", b"-3", b"1e400"), "bad-window"),
            ("slope", 0x00281053, (b"nan", b"inf", b"1,5", b"W/C", b"1e400"), "bad-rescale"),
            ("intercept", 0x00281052, (b"nan", b"W/C", b"inf"), "bad-rescale"),
            ("thickness", 0x00180050, (b"nan", b"1,5", b"-2", b"1e30"), ""),
        )
        for value in values
    ),
    Case(_R9, "instance number 'W/C'", _put(0x00200013, b"IS", b"W/C"), {"bad.dcm": "shown"}),
    Case(_R9, "instance number of 400 digits", _put(0x00200013, b"IS", b"9" * 400), {"bad.dcm": "shown"}),
    Case(_R9, "series number nan", _put(0x00200011, b"IS", b"nan"), {"bad.dcm": "shown"}),
    Case(_R10, "width 0", _with(WindowWidth=0), {"bad.dcm": "shown bad-window"}),
    Case(_R10, "centre without width", _with(WindowWidth=None), {"bad.dcm": "shown bad-window|shown"}),
    Case(_R10, "slope 0", _with(RescaleSlope=0), {"bad.dcm": "shown bad-rescale"}),
    Case(_R10, "modality LUT shorter than said", _lut(4096, 100), {"bad.dcm": "shown bad-rescale|shown"}),
    Case(_R10, "VOI LUT shorter than said", _voi_lut(4096, 100), {"bad.dcm": "shown bad-window|shown"}),
    Case(_R10, "palette missing", _palette(data=False), {"bad.dcm": "shown|skipped bad-header|skipped bad-pixels"}),
    Case(
        _R10,
        "palette shorter than said",
        _palette(length=20),
        {"bad.dcm": "shown|skipped bad-header|skipped bad-pixels"},
    ),
    Case(
        _R10,
        "palette of no descriptor",
        _palette(descriptor=[0, 0, 0]),
        {"bad.dcm": "shown|skipped bad-header|skipped bad-pixels"},
    ),
    Case(
        _R11,
        "same SOP UID with other pixels",
        _two({}, {"start": 50}),
        {"a.dcm": "shown", "b.dcm": "shown"},
        "share one SOP Instance UID",
    ),
    Case(
        _R11,
        "the same file twice",
        lambda folder: [(folder / n).write_bytes(raw(SOPInstanceUID="1.2.9")) for n in ("a.dcm", "b.dcm")],
        {"a.dcm": "shown", "b.dcm": "skipped duplicate-uid"},
        "a copy of a.dcm",
    ),
    Case(
        _R11,
        "one series UID in two patients",
        _two({}, {"PatientID": "T2", "PatientName": "Other^One", "SOPInstanceUID": "1.2.3.5"}),
        {"a.dcm": "shown", "b.dcm": "shown"},
        "two patients share a series UID",
    ),
    Case(
        _R11,
        "PatientID differing in a study",
        _two({}, {"PatientID": "T2", "SOPInstanceUID": "1.2.3.5", "SeriesInstanceUID": "1.2.3.42"}),
        {"a.dcm": "shown", "b.dcm": "shown"},
        "two patients share a study UID",
    ),
    Case(_R12, "letters", _put(0x0020000E, b"UI", b"abc.DEF.1"), {"bad.dcm": "shown"}),
    Case(_R12, "200 characters", _put(0x0020000E, b"UI", b"1." * 100), {"bad.dcm": "shown"}),
    Case(_R12, "path characters", _put(0x00080018, b"UI", b"../../../tmp/x"), {"bad.dcm": "shown"}),
    Case(_R12, "no UIDs", _with(StudyInstanceUID=None, SeriesInstanceUID=None), {"bad.dcm": "shown"}),
    Case(
        _R13,
        "1 MB of description",
        one(lambda: put(raw(), 0x00081030, b"UT", b"long " * 200_000)),
        {"bad.dcm": "shown"},
    ),
    Case(
        _R13,
        "marks of direction",
        _with(PatientName="Doe^\u202eJohn\u2066", SpecificCharacterSet="ISO_IR 192"),
        {"bad.dcm": "shown"},
    ),
    Case(_R13, "control characters", _put(0x00100010, b"PN", b"Doe\x00\x07\x1b[31m^John"), {"bad.dcm": "shown"}),
    Case(_R13, "markup", _put(0x00100010, b"PN", b"<b>Doe</b><img src=x>^J"), {"bad.dcm": "shown"}, "<b>Doe</b>"),
    Case(_R13, "a formula", _put(0x00081030, b"LO", b"=cmd|' /C calc'!A0"), {"bad.dcm": "shown"}, "=cmd"),
    Case(_R14, "dim below 0", _nifti(42, "<h", -5), {"bad.nii": "skipped bad-header"}, "dimensions"),
    Case(_R14, "eight dimensions", _nifti(40, "<h", 8), {"bad.nii": "skipped bad-header"}),
    Case(
        _R14, "vox_offset beyond the file", _nifti(108, "<f", 1e9), {"bad.nii": "skipped truncated|skipped bad-header"}
    ),
    Case(_R14, "vox_offset below 0", _nifti(108, "<f", -10), {"bad.nii": "skipped bad-header"}, "offset"),
    Case(_R14, "vox_offset nan", _nifti(108, "<f", float("nan")), {"bad.nii": "skipped bad-header"}),
    Case(_R14, "affine nan", _nifti(280, "<f", float("nan")), {"bad.nii": "shown no-position"}, "orientation"),
    Case(
        _R14,
        "NRRD data outside",
        _nrrd(data_file="../../etc/passwd"),
        {"bad.nrrd": "skipped outside-folder"},
        "elsewhere",
    ),
    Case(
        _R14, "NRRD data at an absolute place", _nrrd(data_file="/etc/passwd"), {"bad.nrrd": "skipped outside-folder"}
    ),
    Case(
        _R14,
        "NRRD data by a pattern",
        _nrrd(data_file="slice%03d.raw 1 9 1"),
        {"bad.nrrd": "skipped outside-folder|skipped unsupported"},
    ),
    Case(_R14, "NRRD sizes below 0", _nrrd(sizes="5 -4 3"), {"bad.nrrd": "skipped unsupported|skipped bad-header"}),
    Case(
        _R14,
        "NRRD of 10^18 voxels",
        _nrrd(sizes="1000000 1000000 1000000"),
        {"bad.nrrd": "skipped too-large|skipped truncated"},
    ),
    Case(
        _R14,
        "NRRD that skips back",
        _nrrd(byte_skip="-5000"),
        {"bad.nrrd": "skipped bad-header|skipped truncated|shown"},
    ),
    Case(
        _R14,
        "MHD data outside",
        _mhd("../../etc/passwd"),
        {"bad.mhd": "skipped not-dicom|skipped outside-folder|skipped unsupported"},
    ),
)

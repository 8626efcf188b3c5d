"""Reading headers by comparison gives what reading each with care gives, whatever the files are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.headers.header import ImageFile
from medviewer.formats.dicom.headers.header_reader import HeaderReader
from medviewer.formats.dicom.headers.memory import Memory
from tests.formats import samples
from tests.formats.samples import ramp

PYDICOMS = Path(pydicom.__file__).parent / "data" / "test_files"


def outcome(work: object) -> object:
    """A result, or what was raised."""
    try:
        return work()  # type: ignore[operator]
    except Exception as fault:
        return type(fault).__name__, getattr(fault, "code", ""), str(fault)


def both(reader: HeaderReader, path: Path) -> tuple[object, object]:
    """What the reader that remembers says of a file, and what one says that has never seen another."""
    size = path.stat().st_size
    start = path.read_bytes()[: reader.first_read]
    with_care = outcome(lambda: HeaderReader().read(path, start, size))
    return outcome(lambda: reader.read(path, start, size)), with_care


class CountingReader(HeaderReader):
    """Counts the files that were read with care."""

    careful = 0

    def _read_with_care(self, path: Path, start: bytes, size: int) -> object:  # type: ignore[override]
        self.careful += 1
        return super()._read_with_care(path, start, size)


def rich(n: int, series: int, **elements: object) -> Dataset:
    """One of many files of a series, with sequences, private elements and all that differs in a real one."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CT", "99T", "thorax"
    data = samples.picture(
        ramp((6, 5), n),
        SOPInstanceUID=f"1.2.3.{series}.{n}",
        SeriesInstanceUID=f"1.2.3.9.{series}",
        InstanceNumber=n,
        ImagePositionPatient=[0.0, 0.0, n * 1.25],
        ContentTime=f"1010{n % 60:02}",
        XRayTubeCurrent=100 + n % 17,
        SeriesDescription=f"series {series}",
        ProcedureCodeSequence=Sequence([code]),
        **elements,
    )
    block = data.private_block(0x0029, "TEST", create=True)
    block.add_new(0x10, "OB", bytes(range(n % 200, 250)) * 8)
    block.add_new(0x11, "LO", f"slice {n}")
    return data


def written(data: Dataset, path: Path, *, syntax: str | None = None) -> Path:
    if syntax is not None:
        data.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, data, enforce_file_format=True, implicit_vr=None, little_endian=None)
    return path


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_files_of_a_series_are_compared_not_parsed(tmp_path: Path, syntax: str | None) -> None:
    reader = CountingReader()
    for series in range(3):
        for n in range(40):
            path = written(rich(n, series), tmp_path / f"{series}-{n}.dcm", syntax=syntax)
            found, with_care = both(reader, path)
            assert isinstance(found, ImageFile) and found == with_care
    assert reader.careful < 30


def test_series_that_alternate_are_compared_too(tmp_path: Path) -> None:
    reader = CountingReader()
    for n in range(160):
        path = written(rich(n, n % 16), tmp_path / f"{n}.dcm")
        found, with_care = both(reader, path)
        assert found == with_care
    assert reader.careful < 60


def test_big_endian_is_always_read_with_care(tmp_path: Path) -> None:
    reader = CountingReader()
    for n in range(4):
        found, with_care = both(reader, written(rich(n, 0), tmp_path / f"{n}.dcm", syntax=ExplicitVRBigEndian))
        assert isinstance(found, ImageFile) and found == with_care
    assert reader.careful == 4


def damaged(data: bytes, dice: random.Random) -> bytes:
    """A file with bytes, lengths or pieces of its header changed."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(128, len(out))
        kind = dice.randrange(6)
        if kind == 0:
            out[at] = dice.randrange(256)
        elif kind == 1:
            out[at : at + 2] = dice.choice((b"\0\0", b"\xff\xff", b"SQ", b"UN", b"OB", b"DS", b"\\1"))
        elif kind == 2:
            out[at : at + 4] = b"\xff\xff\xff\xff"
        elif kind == 3:
            del out[at : at + dice.randrange(1, 20)]
        elif kind == 4:
            out[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 20)))
        else:
            out = out[: max(140, at)]
        if len(out) < 140:
            break
    return bytes(out)


def files(tmp_path: Path) -> Iterator[bytes]:
    for syntax in (None, ImplicitVRLittleEndian):
        for n in range(6):
            yield written(rich(n, 1), tmp_path / "made.dcm", syntax=syntax).read_bytes()
    for name in ("CT_small", "MR_small", "MR_small_implicit", "JPEG2000", "SC_rgb_small_odd", "nested_priv_SQ"):
        yield (PYDICOMS / f"{name}.dcm").read_bytes()


def test_damaged_files_have_the_same_outcome(tmp_path: Path) -> None:
    reader, dice = HeaderReader(), random.Random(9)
    path = tmp_path / "x.dcm"
    shown = 0
    for data in files(tmp_path):
        for _ in range(60):
            path.write_bytes(data if dice.random() < 0.3 else damaged(data[:20000], dice))
            found, with_care = both(reader, path)
            assert found == with_care
            shown += isinstance(found, ImageFile)
    assert shown > 300


def test_pydicoms_own_files_have_the_same_outcome() -> None:
    reader = HeaderReader()
    seen = 0
    for _ in range(2):  # the second time against the patterns of the first
        for path in sorted(PYDICOMS.glob("*.dcm")):
            if path.stat().st_size < 3_000_000:
                found, with_care = both(reader, path)
                assert repr(found) == repr(with_care), path.name
                seen += 1
    assert seen > 100


TAGS = (0x00100010, 0x00280010, 0x00181151)


def fact(data: Elements, more: str = "") -> tuple[object, ...]:
    """Reads its second element only where the first one says so."""
    first = data.text(TAGS[0])
    return (first, more, data.text(TAGS[1]) if first.startswith("a") else TAGS[2] in data)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.booleans(), st.sampled_from("pq")), max_size=60
    )
)
@settings(max_examples=60, deadline=None)
def test_what_is_remembered_is_what_would_be_worked_out(rows: list[tuple[str, str, bool, str]]) -> None:
    memory = Memory(TAGS)
    for first, second, third, more in rows:
        data = Elements({TAGS[0]: (b"LO", first.encode()), TAGS[1]: (b"LO", second.encode())})
        if third:
            data.raw[TAGS[2]] = (b"IS", b"1")
        assert memory.take(fact, data, more) == fact(data, more)


def test_a_fact_that_reads_all_elements_is_not_mixed_up() -> None:
    memory = Memory(TAGS)

    def all_of(data: Elements) -> list[int]:
        return sorted(data.raw)

    for tags in ([TAGS[0]], [TAGS[0], TAGS[1]], [TAGS[1]]):
        assert memory.take(all_of, Elements(dict.fromkeys(tags, (b"LO", b"x")))) == sorted(tags)


def test_a_fact_is_worked_out_once_for_equal_elements() -> None:
    memory, calls = Memory(TAGS), []

    def counted(data: Elements) -> str:
        calls.append(1)
        return data.text(TAGS[0])

    for n in range(50):
        raw = {TAGS[0]: (b"LO", b"same"), TAGS[1]: (b"US", str(n).encode())}
        assert memory.take(counted, Elements(raw)) == "same"
    assert len(calls) == 1


def test_the_position_is_the_one_that_pydicom_reads(tmp_path: Path) -> None:
    reader = HeaderReader()
    for n in range(20):
        path = written(rich(n, 0), tmp_path / f"{n}.dcm")
        data = path.read_bytes()
        found = reader.read(path, data[: reader.first_read], len(data))
        truth = dcmread(path)
        assert isinstance(found, ImageFile)
        assert found.planes[0].position == tuple(float(v) for v in truth.ImagePositionPatient)
        assert (found.sop_instance_uid, found.instance_number) == (truth.SOPInstanceUID, truth.InstanceNumber)
        assert found.text.tube_current_ma == truth.XRayTubeCurrent
        assert data[found.data_offset : found.data_offset + 60] == truth.PixelData

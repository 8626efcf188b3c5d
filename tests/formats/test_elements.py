"""Our header reader against pydicom's, and against damage."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.data.data_manager import DATA_ROOT

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import HeaderFault, NeedMore, looks_like_dicom, parse_header
from tests.formats import samples

FILES = sorted(p for p in (Path(DATA_ROOT) / "test_files").glob("*.dcm"))


@cache
def _file(name: str) -> bytes:
    found = get_testdata_file(name, download=False)
    assert found is not None
    return Path(str(found)).read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_same_elements_as_pydicom_reads(path: Path) -> None:
    data = path.read_bytes()
    try:
        header = parse_header(data, len(data), T.WANTED)
    except HeaderFault as fault:
        assert fault.code in ("truncated", "not-dicom", "bad-header")
        return
    reference = pydicom.dcmread(io.BytesIO(data), force=True)
    for tag in T.WANTED:
        if tag in header.data.raw and tag in reference and not isinstance(reference[tag].value, bytes):
            value = reference[tag].value
            if isinstance(value, (int, float)):
                assert header.data.number(tag) == pytest.approx(float(value)), hex(tag)
            elif tag not in (T.PATIENT_NAME,) and header.data.vr(tag) in ("UI", "CS", "DA", "TM"):
                text = "\\".join(value) if isinstance(value, pydicom.multival.MultiValue) else str(value or "")
                assert header.data.text(tag).replace(" ", "") == text.replace(" ", ""), hex(tag)
        elif tag in reference and tag not in header.data and "PixelData" in reference and tag < 0x7FE00000:
            pytest.fail(f"{tag:08x} was not read")
    if "PixelData" in reference and not header.deflated and header.pixel_length >= 0:
        start = header.pixel_offset
        assert data[start : start + header.pixel_length] == reference.PixelData


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4000))
def test_a_cut_file_is_a_fault_and_nothing_else(cut: int) -> None:
    data = _file("CT_small.dcm")[:cut]
    try:
        parse_header(data, len(data), T.WANTED)
    except HeaderFault as fault:
        assert fault.reason


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(128, 6000), st.integers(0, 255)), min_size=1, max_size=12))
def test_changed_bytes_are_a_fault_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    data = bytearray(_file("MR_small.dcm"))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        parse_header(bytes(data), len(data), T.WANTED)
    except HeaderFault as fault:
        assert fault.code in ("truncated", "bad-header", "too-large", "bad-pixels")


def test_a_buffer_that_ends_too_soon_asks_for_more() -> None:
    data = _file("CT_small.dcm")
    with pytest.raises(NeedMore) as need:
        parse_header(data[:600], len(data), T.WANTED)
    assert need.value.wanted > 600


def test_a_length_beyond_the_file_is_not_believed() -> None:
    data = bytearray(_file("CT_small.dcm"))
    at = data.index(b"\x28\x00\x10\x00US")  # Rows
    data[at : at + 8] = b"\x29\x00\x10\x00UN\x00\x00"
    data[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    with pytest.raises(HeaderFault) as fault:
        parse_header(bytes(data), len(data), T.WANTED)
    assert fault.value.code == "truncated"


def test_deep_nesting_is_refused_without_a_stack_overflow() -> None:
    item = b""
    for _ in range(500):
        body = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\x0d\xe0\0\0\0\0"
        item = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + body + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with pytest.raises(HeaderFault) as fault:
        parse_header(item, len(item), T.WANTED)
    assert fault.value.code == "too-large"


def test_numbers_that_are_none_are_none(tmp_path: Path) -> None:
    path = samples.save(samples.picture(samples.ramp((4, 4))), tmp_path / "a.dcm")
    data = path.read_bytes()
    for text in (b"nan", b"inf", b"1,5", b"   "):
        changed = data.replace(b"DS\x04\x000.8\\", b"DS\x04\x00" + text.ljust(3) + b"\\")
        header = parse_header(changed, len(changed), T.WANTED)
        assert header.data.vector(T.PIXEL_SPACING, 2) is None or changed == data


def test_what_is_no_dicom_is_not_taken_for_it() -> None:
    for other in (b"<!DOCTYPE html><html>", b"\x89PNG\r\n\x1a\n" + b"\0" * 200, b"hello world " * 30, b"\0" * 400):
        assert not looks_like_dicom(other)
    whole = _file("CT_small.dcm")
    assert looks_like_dicom(whole)
    without_meta = whole[whole.index(b"\x08\x00\x05\x00CS") :]
    assert looks_like_dicom(without_meta)
    assert parse_header(without_meta, len(without_meta), T.WANTED).data.text(T.MODALITY) == "CT"

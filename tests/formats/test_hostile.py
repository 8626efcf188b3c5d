"""Damaged files end in a picture or a reason, never in an exception, and cost neither minutes nor gigabytes."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data.data_manager import DATA_ROOT

from medviewer.formats.digest import digest
from medviewer.formats.scan import scan

SMALL = sorted(p for p in (Path(DATA_ROOT) / "test_files").glob("*.dcm") if p.stat().st_size < 60_000)


@cache
def _bytes(path: Path) -> bytes:
    return path.read_bytes()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of pydicom's with bytes changed, cut, doubled or with a length that lies."""
    data = bytearray(_bytes(draw(st.sampled_from(SMALL))))
    for _ in range(draw(st.integers(1, 6))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        how = draw(st.sampled_from(["change", "cut", "double", "length", "zero"]))
        if how == "change":
            data[at] = draw(st.integers(0, 255))
        elif how == "cut":
            del data[at:]
        elif how == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 100))]
        elif how == "zero":
            data[at : at + 20] = b"\0" * len(data[at : at + 20])
        else:
            data[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00"]))
    return bytes(data)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_damage_costs_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    path.write_bytes(data)
    start = time.monotonic()
    catalog = scan([path])
    assert all(skip.reason and skip.code for skip in catalog.skipped)
    for stack in catalog.stacks():
        found = digest(stack)
        assert all(failure.reason and failure.code for failure in found.failed)
    assert catalog.skipped or catalog.objects or next(catalog.stacks(), None) is not None
    assert time.monotonic() - start < 20


def test_a_declared_volume_of_gigabytes_allocates_nothing(tmp_path: Path) -> None:
    import tracemalloc

    from tests.formats import samples

    data = samples.picture(samples.ramp((6, 5)), Rows=65535, Columns=65535, NumberOfFrames="1000")
    samples.save(data, tmp_path / "big.dcm")
    tracemalloc.start()
    catalog = scan([tmp_path])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [s.code for s in catalog.skipped] == ["truncated"] and peak < 20 << 20

"""Benches of reading and drawing: right checksums, counted otherwise here, and figures of the contract."""

from __future__ import annotations

import json
import tempfile
import zlib

import numpy as np
import pydicom
import pytest

from medviewer.bench import load, made_folder, scan
from medviewer.cli.main import main
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume
from tests.formats import samples
from tests.formats.samples import along_z


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    voxels = np.random.default_rng(2).integers(-1000, 1000, (15, 64, 64)).astype(np.int16)
    grid = Grid((15, 64, 64), (1.25, 0.7, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (0.0, 0.0, -33.5))
    write_ct_series(Volume(voxels, grid, unit="HU", modality="CT"), folder, text=CtText("A^B", "1"), uid_seed="bench")
    return folder


def told(capsys, *words):
    assert main(["bench", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_scan_counts_what_pydicom_counts(study, capsys):
    figures = told(capsys, "scan", str(study))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in study.iterdir()]
    total = sum(float(h.ImagePositionPatient[2]) for h in headers)
    expected = repr([(headers[0].SeriesInstanceUID, round(total, 1), len(headers))])
    assert figures["crc"] == zlib.crc32(expected.replace("UID(", "").encode())
    assert figures["seconds"] > 0 and figures["series"] == 1


def test_scan_says_what_an_unchanged_folder_costs(study, capsys):
    figures = told(capsys, "scan", str(study))
    assert {"name", "machine", "n", "rows", "seconds", "seconds_unchanged", "cpu_seconds", "crc"} <= set(figures)
    anew, unchanged = figures["rows"]
    assert (anew["what"], unchanged["what"]) == ("scan", "scan, nothing changed")
    for row in (anew, unchanged):
        assert set(row) == {"what", "unit", "median", "p95", "p99", "max", "n"} and row["n"] == figures["n"] == 5
    assert figures["seconds"] == pytest.approx(anew["median"], abs=1e-3)
    assert figures["seconds_unchanged"] > 0 and figures["files"] == 15


def test_one_line_of_json_wherever_the_option_stands(study, capsys):
    for words in (["load", "--json", str(study)], ["--json", "load", str(study)], ["load", str(study), "--json"]):
        assert main(["bench", *words]) == 0
        out = capsys.readouterr().out
        assert out.count("\n") == 1 and json.loads(out)["shape"] == [15, 64, 64]


def test_load_says_what_memory_it_took(study, capsys):
    figures = told(capsys, "load", str(study))
    assert [row["what"] for row in figures["rows"]] == ["load", "scan", "first slice after the scan"]
    assert figures["voxels_mb"] == 15 * 64 * 64 * 2 / 2**20
    assert figures["peak_mb"] is None or figures["peak_mb"] < 64


def test_without_a_folder_one_is_made_and_removed(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(made_folder, "SERIES", 2)
    monkeypatch.setattr(made_folder, "SLICES", 3)
    monkeypatch.setattr(made_folder, "LOAD_SLICES", 4)
    monkeypatch.setattr(made_folder, "LOAD_ROWS", 32)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert told(capsys, "scan")["files"] == 6
    assert told(capsys, "load")["shape"] == [4, 32, 32]
    assert list(tmp_path.iterdir()) == []


def test_doors_for_benches_that_time_from_outside(study):
    context = {"folder": str(study)}
    slices = sorted((pydicom.dcmread(p) for p in study.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    values = np.stack([d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in slices])
    found = load.factory(context)()
    assert found.dtype == np.int16 and np.array_equal(found, values)
    facts = scan.factory(context)()
    assert facts["series"] == {str(slices[0].SeriesInstanceUID): 15}
    assert sum(facts["zsum"].values()) == pytest.approx(sum(float(d.ImagePositionPatient[2]) for d in slices))
    assert scan.unchanged(context)() == scan.unchanged(context)() == facts


def test_values_that_leave_the_stored_type_are_not_wrapped(tmp_path):
    paths = samples.series(tmp_path, along_z(3), RescaleIntercept=-1024)
    data = pydicom.dcmread(paths[1])
    data.PixelData = np.full((6, 5), -32768, "<i2").tobytes()
    samples.save(data, paths[1])
    found = load.factory({"folder": str(tmp_path)})()
    assert found[1, 0, 0] == -32768 - 1024 and found[0, 0, 1] == 7 - 1024


def test_load_reads_the_values_that_pydicom_reads(study, capsys):
    figures = told(capsys, "load", str(study))
    slices = sorted((pydicom.dcmread(p) for p in study.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    values = np.stack([d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in slices])
    sample = np.ascontiguousarray(np.rint(values[::7, ::5, ::3])).astype("<i2")
    assert figures["crc"] == zlib.crc32(sample.tobytes())


@pytest.mark.parametrize("name", ["scroll", "window"])
def test_drawing_has_a_latency(study, capsys, qapp, name):
    figures = told(capsys, name, str(study))
    assert figures["name"] == name and 0 < figures["latency_ms"] < 1000
    assert figures["rows"][0]["n"] == figures["n"] == 120


def test_a_bench_of_drawing_needs_a_folder(capsys):
    assert main(["bench", "scroll"]) == 2
    assert "needs a folder" in capsys.readouterr().err

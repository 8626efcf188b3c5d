"""Benches of reading and drawing: right checksums, counted otherwise here, and figures of the contract."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pydicom
import pytest

from medviewer.cli.main import main
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume


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

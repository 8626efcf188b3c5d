"""bench codecs: figures of the contract beside the peers, and the door for benches that time from outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from medviewer.bench import codecs
from medviewer.cli.main import main


def test_figures_beside_the_plugins_and_two_independent_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(codecs, "ROUNDS", 1)
    monkeypatch.setattr(codecs, "FRAMES", 3)
    monkeypatch.setattr(codecs, "_MADE", {"rle": "pylibjpeg", "jpegll": ""})
    assert main(["bench", "codecs", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "codecs" and told["n"] == 1 and told["seconds"] > 0 and told["machine"]
    rows = {row["what"]: row for row in told["rows"]}
    for codec in ("rle", "jpegll"):
        assert rows[f"{codec}: ours, 1 process"]["n"] == 3 and rows[f"{codec}: ours, 2 processes"]["n"] == 1
        assert rows[f"{codec}: two independent processes"]["median"] > 0
        assert told["ratio_to_fastest_plugin"][codec] > 0 and told["parallel_efficiency"][codec] > 0
    assert "rle: pydicom/pylibjpeg" in rows and "jpegll: pydicom/gdcm" in rows
    assert set(rows["rle: ours, 1 process"]) >= {"what", "unit", "median", "p95", "p99", "max", "n"}


def test_a_folder_without_compressed_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "codecs", str(tmp_path), "--json"]) == 2
    assert "no compressed pictures" in json.loads(capsys.readouterr().out)["error"]


def test_the_door_decodes_fragments_and_deflated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "FRAMES", 1)
    codecs._make(tmp_path)
    decode = codecs.factory({})
    truth = codecs._picture(0)
    for codec in ("rle", "jpegll", "jls", "j2k"):
        path = tmp_path / codec / "0000.dcm"
        fragment = bytes(next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)))
        assert np.array_equal(decode(codec, fragment, str(path)), truth)
    data = pydicom.dcmread(tmp_path / "rle" / "0000.dcm")
    data.decompress()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    data.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    whole = (tmp_path / "deflated.dcm").read_bytes()
    assert np.array_equal(decode("deflated", whole, str(tmp_path / "deflated.dcm")), truth)

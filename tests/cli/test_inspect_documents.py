"""`medviewer inspect` of reports and other documents: the words that the window shows, and what a program can use."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from medviewer.cli.main import main
from tests.formats.document_samples import encapsulated_document, key_images, measurement_report
from tests.formats.presentation_samples import presentation_state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("documents")
    image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    image.save_as(made / "ct.dcm")
    measurement_report(image, made / "sr.dcm")
    key_images([image], made / "ko.dcm", "=1+1")
    presentation_state([image], made / "ps.dcm")
    encapsulated_document(made / "pdf.dcm", b"%PDF-1.4\n", "application/pdf")
    return made


def test_a_report_that_is_named_prints_its_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder / "sr.dcm")]) == 0
    text = capsys.readouterr().out
    assert "SR: SR - Imaging Measurement Report, 3 measurements, verified" in text
    assert "\n    Length: 12.25 mm\n" in text
    assert "not among the open files" in text


def test_in_a_folder_words_are_printed_on_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder)]) == 0
    assert "Length: 12.25 mm" not in capsys.readouterr().out
    assert main(["inspect", str(folder), "--text"]) == 0
    text = capsys.readouterr().out
    for words in ("Length: 12.25 mm", "Key Object Description: =1+1", "TEST STATE", "It is shown on request only"):
        assert words in text
    assert "not among the open files" not in text and "Source: CT image (series 1, image 1)" in text


def test_json_has_text_measurements_and_key_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--text", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    objects = {row["kind"]: row for row in document["objects"]}
    image = pydicom.dcmread(folder / "ct.dcm").SOPInstanceUID
    first = objects["SR"]["measurements"][0]
    assert first["values"] == ["Length 12.2 mm"] and not first["by_device"]
    assert first["graphics"][0] == {
        "shape": "CIRCLE",
        "in": "image",
        "points": [[20.0, 30.0], [20.0, 40.0]],
        "images": [{"sop_instance_uid": image, "frames": []}],
    }
    assert objects["KO"]["images"] == [{"sop_instance_uid": image, "frames": []}]
    assert objects["KO"]["text"].startswith("For Referring Provider\n")
    assert objects["PDF"]["summary"] == "PDF - Letter, 9 bytes"


def test_a_damaged_report_costs_a_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pydicom.dcmread(folder / "sr.dcm")
    inner = pydicom.Dataset()
    for _ in range(70):
        outer = pydicom.Dataset()
        outer.ContentSequence = [inner]
        inner = outer
    data.ContentSequence = [inner]
    path = tmp_path / "deep.dcm"
    data.save_as(path)
    code = main(["inspect", str(path)])
    captured = capsys.readouterr()
    assert code in (0, 2) and "nested more than 64 deep" in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err

"""`inspect` keeps the contract of docs/cli.md: one JSON document at every exit code, hashes by definition."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import XRayAngiographicImageStorage

from medviewer.cli.main import main
from medviewer.formats import nifti
from medviewer.volume.grid import Grid
from tests.formats import samples
from tests.formats.samples import along_z, ramp


def inspect(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["inspect", *words, "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def stacks(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        stack
        for patient in document["patients"]
        for study in patient["studies"]
        for series in study["series"]
        for stack in series["stacks"]
    ]


def test_a_series_with_hashes_and_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.series(tmp_path, along_z(4), PatientName="Wang^XiaoDong=王^小东", SpecificCharacterSet="ISO_IR 192")
    document = inspect(capsys, str(tmp_path), "--pixels", "--frames")
    assert document["files"] == 4 and document["skipped"] == [] and document["objects"] == []
    assert document["patients"][0]["name"] == "Wang^XiaoDong=王^小东" and document["patients"][0]["id"] == "T1"
    (stack,) = stacks(document)
    expected = np.stack([ramp((6, 5), 100 * n) for n in range(4)])
    assert stack["sha256"] == hashlib.sha256(expected.astype("<i2").tobytes()).hexdigest()
    assert stack["kind"] == "volume" and stack["size"] == [4, 6, 5] and stack["times"] == 1
    assert stack["spacing"] == [2.0, 0.8, 0.5] and stack["origin"] == [10.0, 20.0, 0.0]
    assert stack["direction"] == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert (stack["dtype"], stack["modality"], stack["window"]) == ("int16", "CT", [400.0, 40.0])
    values = expected.astype(float) - 1024
    assert (stack["min"], stack["max"]) == (values.min(), values.max())
    assert stack["mean"] == pytest.approx(values.mean())
    assert [f["position"][2] for f in stack["frames"]] == [0, 2, 4, 6]
    assert stack["frames"][1]["sha256"] == hashlib.sha256(expected[1].tobytes()).hexdigest()
    assert stack["frames"][1]["frame"] == 0


def test_without_pixels_nothing_is_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.series(tmp_path, along_z(2))
    (stack,) = stacks(inspect(capsys, str(tmp_path)))
    assert "sha256" not in stack and "frames" not in stack


def test_a_file_whose_frames_fall_has_both_hashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.formats.enhanced import write_enhanced_ct

    write_enhanced_ct(tmp_path / "e.dcm", Grid.plain((4, 6, 5)))
    (stack,) = stacks(inspect(capsys, str(tmp_path), "--pixels", "--frames"))
    order = [f["frame"] for f in stack["frames"]]
    assert order == [3, 2, 1, 0]
    assert stack["sha256"] != stack["sha256_file"]


def test_pictures_that_cannot_be_decoded_are_skipped_and_the_rest_is_stacked_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGLSLossless

    paths = samples.series(tmp_path, along_z(5))
    data = pydicom.dcmread(paths[2])
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.PixelData = encapsulate([b"rubbish that is no JPEG at all"])
    data["PixelData"].is_undefined_length = True
    data.save_as(paths[2])
    document = inspect(capsys, str(tmp_path), "--pixels")
    assert [s["code"] for s in document["skipped"]] == ["bad-pixels"]
    (stack,) = stacks(document)
    assert stack["size"][0] == 4 and [q["code"] for q in stack["quality"]] == ["missing-slice"]
    assert stack["sha256"] and not stack["three_d"]


def test_a_cut_multi_frame_file_shows_what_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = samples.picture(
        ramp((4, 6, 5)), Modality="XA", SOPClassUID=XRayAngiographicImageStorage, NumberOfFrames=4, FrameTime=33.0
    )
    path = samples.save(data, tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes()[:-70])
    (stack,) = stacks(inspect(capsys, str(path), "--pixels"))
    assert stack["size"][0] == 2 and [q["code"] for q in stack["quality"]] == ["truncated"]


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"\x89PNG\r\n\x1a\n" + b"\1" * 300])
def test_nothing_opened_is_exit_code_2_with_one_sentence(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    assert main(["inspect", str(path), "--json"]) == 2
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["skipped"][0]["reason"] and document["exit_code"] == 2
    assert err.count("\n") == 1 and "x.dcm" in err and "Traceback" not in err


def test_a_wrong_and_an_empty_folder_have_their_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path)]) == 2
    assert "the folder is empty" in capsys.readouterr().err


def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 10)])
    (tmp_path / "notes.txt").write_text("hello")
    assert main(["inspect", str(tmp_path), "--pixels"]) == 0
    text = capsys.readouterr().out
    for part in ("Test^Patient  [T1]", "study 2026-01-02", "volume 4 x 6 x 5", "missing-slice: 2 images are missing"):
        assert part in text
    assert "not DICOM (looks like text)" in text


def test_a_file_with_two_faults_is_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = get_testdata_file("DICOMDIR", download=False)
    assert found is not None
    data, at = bytearray(Path(str(found)).read_bytes()), 0
    for name in (b"..\\..\\ONE", b"..\\..\\TWO"):
        at = data.index(b"\x04\x00\x00\x15CS", at) + 8
        length = int.from_bytes(data[at - 2 : at], "little")
        data[at : at + length] = name.ljust(length)[:length]
    (tmp_path / "DICOMDIR").write_bytes(data)
    assert main(["inspect", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("a reference leaves the folder") == 2 and "skipped 1 of 1 files" in text


def test_nifti_is_listed_like_everything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxels = ramp((4, 6, 5))
    nifti.write(tmp_path / "x.nii.gz", voxels, Grid.plain((4, 6, 5)), slope=2.0, intercept=1.0)
    (stack,) = stacks(inspect(capsys, str(tmp_path), "--pixels"))
    assert stack["sha256"] == hashlib.sha256(voxels.tobytes()).hexdigest()
    assert stack["max"] == float(voxels.max()) * 2 + 1 and stack["dtype"] == "int16"


def test_objects_are_told_with_what_their_pixels_and_the_other_files_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.formats.object_samples import write_dose, write_segmentation, write_structures
    from tests.formats.test_seg import only_stack, write_series

    size = (3, 10, 12)
    write_series(tmp_path / "ct", Grid.plain(size, (2.0, 1.0, 1.0)))
    stack = only_stack(tmp_path / "ct")
    values = np.full((2, 5, 5), 20.0)
    values[1, 2, 2] = 62.1
    write_dose(tmp_path / "dose.dcm", stack, values, origin=(0, 0, 0), spacing=(2, 2), offsets=[0, 2])
    marked = np.zeros((*size, 2), np.uint8)
    marked[1, 2:5, 3:6, 0] = 1
    marked[2, 2:5, 3:6, 1] = 1
    write_segmentation(tmp_path / "seg.dcm", stack, marked, "BINARY", 2)
    here, ring = stack.frames[1].sop_instance_uid, np.array([[1, 1, 2.0], [5, 1, 2], [5, 5, 2]])
    for name, images in (("rt.dcm", [here]), ("gone.dcm", ["1.2.3"]), ("partly.dcm", [here, "1.2.3"])):
        write_structures(tmp_path / name, stack, [("Liver", [("CLOSED_PLANAR", ring)])], images=images)
    assert main(["inspect", str(tmp_path), "--pixels", "--json"]) == 0
    objects = {Path(o["path"]).name: o for o in json.loads(capsys.readouterr().out)["objects"]}
    told = {name: o["summary"] for name, o in objects.items()}
    assert told == {
        "dose.dcm": "RTDOSE - 62.1 Gy max, PLAN, 2 planes",
        "seg.dcm": "SEG - 2 segments: S1, S2 - binary, 2 frames",
        "rt.dcm": "RTSTRUCT - Plan A - 1 structure: Liver",
        "gone.dcm": "RTSTRUCT - Plan A - 1 structure: Liver - its images are not here",
        "partly.dcm": "RTSTRUCT - Plan A - 1 structure: Liver - 1 of its 2 images is not here",
    }
    assert objects["seg.dcm"]["images_here"] is True and objects["gone.dcm"]["images_here"] is False
    frames = np.concatenate([marked[1, ..., 0], marked[2, ..., 1]])
    assert objects["seg.dcm"]["sha256"] == hashlib.sha256(frames.tobytes()).hexdigest()
    assert objects["dose.dcm"]["max"] == 62100

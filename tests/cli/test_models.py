"""`medviewer models` and `medviewer predict`: documents, exit codes and files, through the same door as a person's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from medviewer.cli.main import main
from medviewer.formats import nifti
from medviewer.inference.package import ModelPackage
from medviewer.volume.volume import Volume
from tests.inference.conftest import blob_volume, make_package

__all__ = ["make_package"]
Make = Callable[..., ModelPackage]
Run = Callable[..., tuple[int, Any, str]]
TASK = "blob-segment"


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def call(*words: str, json_wanted: bool = True) -> tuple[int, Any, str]:
        code = main([*words, *(["--json"] if json_wanted else [])])
        out, error = capsysbinary.readouterr()
        return code, json.loads(out) if json_wanted else out.decode(), error.decode()

    return call


@pytest.fixture
def store(own_home: Path, make_package: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user folder with versions 1 and 2, and no shipped models."""
    monkeypatch.setattr("medviewer.places.shipped_models_folder", lambda: tmp_path / "none")
    folder = own_home / "data" / "models"
    make_package(folder, "1")
    make_package(folder, "2", shift=0.3)
    return folder


def write_nifti(path: Path, volume: Volume) -> Path:
    assert volume.grid is not None
    nifti.write(path, volume.voxels, volume.grid)
    return path


def test_list_show_verify(store: Path, run: Run) -> None:
    code, listed, _ = run("models", "list")
    assert code == 0
    assert [(m["task"], m["version"], m["champion"]) for m in listed["models"]] == [
        (TASK, "1", True),
        (TASK, "2", False),
    ]
    code, shown, _ = run("models", "show", TASK, "2")
    assert code == 0 and shown["card"]["version"] == "2" and shown["id"].startswith(listed["models"][1]["id"])
    code, checked, _ = run("models", "verify")
    assert code == 0 and checked["ok"] and len(checked["models"]) == 2
    code, text, _ = run("models", "list", json_wanted=False)
    assert code == 0 and TASK in text


def test_promote_changes_the_next_suggestion_and_rollback_changes_it_back(
    store: Path, run: Run, tmp_path: Path
) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", blob_volume())
    models = []
    for step in ((), ("promote", TASK, "2", "--without-gate", "--reason", "a test"), ("rollback", TASK)):
        if step:
            assert run("models", *step)[0] == 0
        code, said, _ = run("predict", TASK, str(path), "--device", "cpu")
        assert code == 0
        models.append(said["model"])
    assert models[0] == models[2] != models[1]
    code, said, _ = run("models", "rollback", TASK)
    assert code == 2 and "no earlier model" in said["error"]


def test_promote_asks_the_gate(store: Path, run: Run) -> None:
    code, said, _ = run("models", "promote", TASK, "2", "--reason", "looks nicer")
    assert code == 3 and "never passed the gate" in said["error"]
    code, said, _ = run("models", "promote", TASK, "2", "--without-gate")
    assert code == 2 and "--reason" in said["error"]
    assert [m["champion"] for m in run("models", "list")[1]["models"]] == [True, False]
    assert not (store / TASK / "history.jsonl").exists()


def test_promote_without_the_gate_is_said_loudly_and_kept(store: Path, run: Run) -> None:
    code, said, error = run("models", "promote", TASK, "2", "--without-gate", "--reason", "measured elsewhere")
    assert code == 0 and said["gate"] == "none" and "NO GATE PASSED" in error
    kept = json.loads((store / TASK / "history.jsonl").read_text())
    assert kept["reason"] == "no gate passed: measured elsewhere" and kept["gate_report"] == ""
    code, said, error = run("models", "promote", TASK, "1")
    assert code == 0 and said["gate"] == "not needed" and error == ""


@pytest.mark.parametrize("passed", [True, False])
def test_promote_goes_by_the_gates_report(store: Path, run: Run, passed: bool) -> None:
    ids = [run("models", "show", TASK, version)[1]["id"] for version in "12"]
    report = {
        "champion": {"version": "1", "id": ids[0]},
        "candidate": {"version": "2", "id": ids[1]},
        "gate": {"passed": passed, "reason": "as judged"},
    }
    (store / TASK / "gate-reports").mkdir()
    (store / TASK / "gate-reports" / "2.json").write_text(json.dumps(report))
    code, said, _ = run("models", "promote", TASK, ids[1][:8], "--reason", "by me")
    if not passed:
        assert code == 3 and "did not let" in said["error"]
        return
    assert code == 0 and said["gate"] == "passed"
    kept = json.loads((store / TASK / "history.jsonl").read_text())
    assert kept["reason"] == "as judged; by me" and len(kept["gate_report"]) == 64


def test_a_damaged_pointer_leaves_the_other_tasks(store: Path, run: Run, make_package: Make) -> None:
    make_package(store, "1", card={"task": "drop-segment"})
    (store / TASK / "champion.json").write_text("{")
    code, said, _ = run("models", "list")
    rows = {(m["task"], m["version"]): m for m in said["models"]}
    assert code == 0 and rows["drop-segment", "1"]["champion"] and rows["drop-segment", "1"]["fault"] is None
    for version in "12":
        assert not rows[TASK, version]["champion"] and "cannot be read" in rows[TASK, version]["fault"]
    assert f"models promote {TASK} 1" in rows[TASK, "1"]["fault"]
    assert run("models", "show", TASK, "2")[0] == 0
    assert run("models", "promote", TASK, "1")[0] == 0
    assert [m["champion"] for m in run("models", "list")[1]["models"]] == [True, False, True]


def test_a_wrong_hash_is_refused_with_one_sentence(store: Path, run: Run, tmp_path: Path) -> None:
    weights = store / TASK / "1" / "weights-0.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    path = write_nifti(tmp_path / "a.nii.gz", blob_volume())
    code, said, error = run("predict", TASK, str(path))
    assert code == 3 and "does not match its manifest" in said["error"] and error.count("\n") == 1
    code, checked, _ = run("models", "verify", TASK)
    assert code == 3 and not checked["ok"] and [m["ok"] for m in checked["models"]] == [False, True]


def test_add_takes_a_package_and_keeps_the_champion(store: Path, run: Run, make_package: Make, tmp_path: Path) -> None:
    other = make_package(tmp_path / "elsewhere", "3", shift=0.6)
    code, said, _ = run("models", "add", str(other.folder))
    assert code == 0 and said["version"] == "3"
    assert run("models", "add", str(other.folder))[0] == 3
    assert run("models", "add", str(tmp_path))[0] == 2
    assert run("models", "list")[1]["models"][0]["champion"]


def test_evaluate_measures_a_folder_of_the_training_datas_layout(store: Path, run: Run, tmp_path: Path) -> None:
    from tests.learning.test_hippocampus_segment import synthetic_case, write_split

    write_split(tmp_path, "test", [synthetic_case(n) for n in range(3)])
    code, said, _ = run("models", "evaluate", TASK, str(tmp_path), "--split", "test")
    assert code == 0 and said["n_cases"] == said["n_patients"] == 3 and said["task"] == TASK
    assert {"dice", "dice-near", "dice-far", "hd95"} <= said["metrics"].keys()
    dice = said["metrics"]["dice"]
    assert set(dice) == {"value", "low", "high", "n"} and dice["low"] <= dice["value"] <= dice["high"]
    code, text, _ = run("models", "evaluate", TASK, str(tmp_path), "--split", "test", json_wanted=False)
    assert code == 0 and "dice-near" in text


@pytest.mark.parametrize("out", ["mask.nii.gz", "mask.nrrd"])
def test_predict_writes_a_mask_that_another_reader_finds_in_place(
    store: Path, run: Run, tmp_path: Path, out: str
) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", blob_volume())
    code, said, _ = run("predict", TASK, str(path), "--out", str(tmp_path / out))
    assert code == 0 and {"task", "model", "device", "seconds", "abstained", "check_first"} <= said.keys()
    mask, image = sitk.ReadImage(str(tmp_path / out)), sitk.ReadImage(str(path))
    counts = np.bincount(sitk.GetArrayFromImage(mask).ravel(), minlength=3)
    assert [int(n) for n in counts[1:3]] == [s["voxels"] for s in said["segments"]]
    assert np.allclose(mask.GetOrigin(), image.GetOrigin()) and np.allclose(mask.GetDirection(), image.GetDirection())


def test_a_seg_on_dicom_comes_back_voxel_for_voxel(store: Path, run: Run, make_package: Make, tmp_path: Path) -> None:
    from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
    from medviewer.formats.dicom.objects.seg_read import read_seg
    from medviewer.formats.scan import scan

    make_package(store, "1", card={"task": "ct-segment", "input": {"modalities": ["CT"], "prompt": "optional"}})
    ball = blob_volume(modality="CT")
    from medviewer.volume.grid import Grid

    axial = Volume(ball.voxels, Grid.plain(ball.size_kji), modality="CT")
    write_ct_series(axial, tmp_path / "ct", text=CtText("Blob^Test", "T1"), uid_seed="blob")
    nii, seg = tmp_path / "m.nii.gz", tmp_path / "m.dcm"
    for out in (nii, seg):
        code, said, _ = run("predict", "ct-segment", str(tmp_path / "ct"), "--out", str(out))
        assert code == 0, said
    stack = next(scan([tmp_path / "ct"]).stacks())
    assert stack.grid is not None
    labels, described = read_seg(seg, stack.grid)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(nii)))
    assert np.array_equal(labels, mask)
    assert {d.algorithm_type for d in described} == {"AUTOMATIC"} and described[0].algorithm_name == "ct-segment"


def test_abstaining_is_exit_code_3_with_the_reason(store: Path, run: Run, tmp_path: Path) -> None:
    head = blob_volume(90)
    path = write_nifti(tmp_path / "head.nii.gz", head)
    code, said, _ = run("predict", TASK, str(path), "--out", str(tmp_path / "m.nii.gz"))
    assert code == 3 and "draw a box" in said["abstained"] and not (tmp_path / "m.nii.gz").exists()
    code, _, error = run("predict", TASK, str(path), json_wanted=False)
    assert code == 3 and "draw a box" in error
    code, said, _ = run("predict", TASK, str(path), "--box", "-60,-60,30,-35,-35,60")
    assert code == 0 and said["abstained"] is None


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("predict", "nonsense", "PATH"), 2, "known tasks: blob-segment"),
        (("predict", TASK, "PATH", "--at", "900,0,0"), 2, "outside the volume"),
        (("predict", TASK, "PATH", "--at", "-1,2"), 2, "write 3 numbers"),
        (("predict", TASK, "PATH", "--at", "a,b,c"), 2, "wrong point"),
        (("predict", TASK, "PATH", "--stack", "zz"), 2, "no stack 'zz'"),
        (("predict", TASK, "PATH", "--out", "mask.png"), 2, "written as .dcm"),
        (("predict", TASK, "PATH", "--out", "mask.dcm"), 3, "needs DICOM images"),
        (("predict", TASK, "PATH", "--device", "tpu"), 2, "no device 'tpu'"),
        (("predict", TASK, "/nowhere"), 2, "no such file"),
        (("models", "promote", TASK, "9"), 2, "no version '9'"),
        (("models", "evaluate", TASK, "/nowhere"), 2, "val.zip"),
        (("models", "frobnicate"), 2, "wrong command line"),
    ],
)
def test_bad_input_is_one_sentence(
    store: Path, run: Run, tmp_path: Path, words: tuple[str, ...], code: int, sentence: str
) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", blob_volume())
    got, said, error = run(*[str(path) if word == "PATH" else word for word in words])
    assert got == code and sentence in said["error"] and error.count("\n") == 1


def test_cuda_that_is_not_there_is_missing_here(store: Path, run: Run, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a graphics card")
    path = write_nifti(tmp_path / "a.nii.gz", blob_volume())
    code, said, _ = run("predict", TASK, str(path), "--device", "cuda")
    assert code == 4 and "pip install" in said["error"]

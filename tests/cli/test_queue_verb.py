"""`medviewer queue`: what it prints is the contract."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medviewer.cli.main import main
from medviewer.cli.queue import case_names
from medviewer.errors import BadInput
from medviewer.formats import nifti
from medviewer.learning import samples
from medviewer.learning.samples import TaskFacts
from medviewer.volume.grid import Grid
from tests.formats.test_seg import NODULE, only_stack, write_series

KEYS = {"id", "task", "state", "revision", "patient_hash", "author", "time"}
GRID = Grid((12, 60, 60), (2.0, 0.7, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-20.0, -10.0, 50.0))


@pytest.fixture(autouse=True)
def known_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(task: str) -> TaskFacts:
        if task != "lung-nodule-segment":
            raise BadInput(f"there is no task {task!r}")
        return TaskFacts(task, "nodule-segment", ("nodule",))

    monkeypatch.setattr(samples, "task_facts", facts)


def _json(capsysbinary: pytest.CaptureFixture[bytes], *words: str) -> tuple[int, dict]:
    code = main(["queue", *words, "--json"])
    return code, json.loads(capsysbinary.readouterr().out)


def _study(folder: Path) -> tuple[Path, np.ndarray]:
    write_series(folder / "study", GRID)
    labels = np.zeros(GRID.size_kji, dtype=np.uint8)
    labels[2:5, 10:16, 12:18], labels[7:10, 40:45, 40:46] = 1, 1
    return folder / "study", labels


def test_what_is_drawn_in_a_nifti_is_queued_lesion_by_lesion(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    study, labels = _study(tmp_path)
    nifti.write(tmp_path / "mask.nii.gz", labels, GRID)
    add = ["add", "lung-nodule-segment", str(study), "--mask", str(tmp_path / "mask.nii.gz"), "--author", "Li Na"]
    code, added = _json(capsysbinary, *add)
    assert code == 0 and len(added["cases"]) == 2
    assert all(set(case) >= KEYS and case["author"] == "Li Na" for case in added["cases"])
    assert added["cases"][0]["state"] == added["cases"][1]["state"]  # one patient
    code, listed = _json(capsysbinary, "list")
    assert code == 0 and listed["cases"] == added["cases"]
    assert _json(capsysbinary, *add)[1]["cases"][0]["id"] == added["cases"][0]["id"]  # once more: no second copy
    assert len(_json(capsysbinary, "list", "lung-nodule-segment")[1]["cases"]) == 2
    assert _json(capsysbinary, "list", "other-task")[1]["cases"] == []
    first = added["cases"][0]["id"]
    code, shown = _json(capsysbinary, "show", first)
    assert code == 0 and shown["cases"][0]["id"] == first and shown["sample"]["mask"][1:] == [96, 96]
    code, exported = _json(capsysbinary, "export", str(tmp_path / "out"))
    assert code == 0 and len(list((tmp_path / "out").glob("*.npz"))) == 2
    assert json.loads((tmp_path / "out" / "cases.json").read_text())["cases"] == exported["cases"]
    code, one = _json(capsysbinary, "export", str(tmp_path / "one"), first)
    assert code == 0 and [case["id"] for case in one["cases"]] == [first]
    assert [path.name for path in (tmp_path / "one").glob("*.npz")] == [f"{first}.npz"]
    code, removed = _json(capsysbinary, "remove", first)
    assert code == 0 and removed["cases"][0]["id"] == first
    assert len(_json(capsysbinary, "list")[1]["cases"]) == 1


def test_what_is_drawn_in_a_seg_is_queued(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    from medviewer.formats.dicom.objects.seg import write_seg

    study, labels = _study(tmp_path)
    write_seg(tmp_path / "seg.dcm", labels, only_stack(study), [NODULE])
    code, added = _json(capsysbinary, "add", "lung-nodule-segment", str(study), "--mask", str(tmp_path / "seg.dcm"))
    assert code == 0 and len(added["cases"]) == 2


def test_numbers_of_a_mask_that_the_task_has_no_label_for_are_refused_unless_named(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    from dataclasses import replace

    from medviewer.formats.dicom.objects.seg import write_seg

    study, labels = _study(tmp_path)
    labels[6:][labels[6:] > 0] = 2
    nifti.write(tmp_path / "mask.nii.gz", labels, GRID)
    add = ["queue", "add", "lung-nodule-segment", str(study), "--mask"]
    assert main([*add, str(tmp_path / "mask.nii.gz")]) == 2
    said = capsysbinary.readouterr()
    assert b"lung-nodule-segment has no label 2" in said.err and said.out == b""
    nodules = [replace(NODULE, number=n, label=f"Nodule {n}") for n in (1, 2)]
    write_seg(tmp_path / "seg.dcm", labels, only_stack(study), nodules)
    code, added = _json(capsysbinary, *add[1:], str(tmp_path / "seg.dcm"))
    assert code == 0 and len(added["cases"]) == 2


def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "list"]) == 0
    assert capsys.readouterr().out == "the queue is empty\n"
    study, labels = _study(tmp_path)
    nifti.write(tmp_path / "mask.nii.gz", labels, GRID)
    assert main(["queue", "add", "lung-nodule-segment", str(study), "--mask", str(tmp_path / "mask.nii.gz")]) == 0
    assert main(["queue", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].startswith("case-00001")
    assert main(["queue", "show", "case-00001"]) == 0
    assert "images: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "no-such-task", "x", "--mask", "y"], "there is no task"),
        (["add", "lung-nodule-segment"], "say what to add"),
        (["add", "lung-nodule-segment", "study"], "--mask FILE"),
        (["add", "lung-nodule-segment", "--data", "folder"], "--cases FILE"),
        (["add", "lung-nodule-segment", "absent", "--mask", "absent"], "absent"),
        (["show", "case-00042"], "no case"),
        (["remove", "case-00042"], "no case"),
        (["list", "--state", "lost"], "no state"),
        (["export", "out"], "no such case"),
        (["export", "out", "case-00001"], "case-00001"),
        (["export", "case-00001"], "case-00001 is a case, not a folder"),
        ([], "wrong command line"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["queue", *words]) == 2
    said = capsys.readouterr()
    assert said.out == "" and sentence in said.err and len(said.err.splitlines()) == 1


def test_names_of_cases_are_read_from_lines_csv_and_json(tmp_path: Path) -> None:
    files = {
        "lines": "a_n1\n\n# a comment\nb_n2\n",
        "csv": "patient,nodule\nP,a_n1\nQ,b_n2\n",
        "json": '["a_n1", "b_n2"]',
        "document": '{"cases": [{"id": "a_n1"}, {"id": "b_n2"}]}',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        assert case_names(tmp_path / name) == ["a_n1", "b_n2"]
    for name, text in {"empty": "\n", "broken": "[1,"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput):
            case_names(tmp_path / name)


@pytest.mark.data
def test_cases_of_the_training_datas_layout_are_queued(
    public_data: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    import csv

    with (public_data / "lidc_nodules" / "val.csv").open(newline="") as file:
        names = [row["nodule"] for row in csv.DictReader(file)][:3]
    (tmp_path / "cases.txt").write_text("\n".join(names))
    words = ["--data", str(public_data / "lidc_nodules"), "--split", "val", "--cases", str(tmp_path / "cases.txt")]
    code, added = _json(capsysbinary, "add", "lung-nodule-segment", *words)
    assert code == 0 and len(added["cases"]) == 3
    assert {case["state"] for case in added["cases"]} <= {"pending", "held-out"}

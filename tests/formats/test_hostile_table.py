"""Every row of the table of hostile input: a clear answer, no crash, little memory and time, and the rest opens."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from medviewer.cli.main import main
from tests.formats import samples
from tests.formats.hostile_files import ROWS, Case
from tests.formats.samples import along_z

#: No file of the table may cost more than this: seconds of this process, bytes above what it had.
SECONDS, BYTES = 5.0, 700 << 20


def _peak_from_here() -> None:
    """Have the greatest resident size counted anew (Linux)."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Greatest resident size in bytes since then; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if _peak() else 0


def inspect(paths: list[Path], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and what was said on stderr."""
    code = main(["inspect", *map(str, paths), "--pixels", "--frames", "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


def answers(document: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """What is said of each file by name: ("shown CODE", sentence) and so on."""
    said: dict[str, list[tuple[str, str]]] = {}
    for skip in document["skipped"]:
        said.setdefault(Path(skip["path"]).name, []).append((f"skipped {skip['code']}", skip["reason"]))
    for found in document["objects"]:
        said.setdefault(Path(found["path"]).name, []).append((f"object {found['kind']}", found["summary"]))
    for patient in document["patients"]:
        for study in patient["studies"]:
            for stack in (stack for series in study["series"] for stack in series["stacks"]):
                text = f"{patient['name']} {study['description']}"
                for name in {Path(frame["path"]).name for frame in stack["frames"]}:
                    said.setdefault(name, []).append(("shown", text))
                    for fault in stack["quality"]:
                        said[name].append((f"shown {fault['code']}", fault["detail"]))
    return said


@pytest.mark.parametrize("case", ROWS, ids=lambda case: f"{case.row}: {case.name}"[:110])
def test_hostile(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    samples.series(folder / "good", along_z(3), PatientID="GOOD", SeriesInstanceUID="1.2.77", StudyInstanceUID="1.2.7")
    case.make(folder)
    before = _resident()
    _peak_from_here()
    began = time.process_time()  # the machine may be busy with other work
    code, document, err = inspect([folder], capsys)
    took, grown = time.process_time() - began, _peak() - before
    assert code == 0 and "Traceback" not in err
    good = [p for p in document["patients"] if p["id"] == "GOOD"]
    assert [len(s["stacks"]) for p in good for study in p["studies"] for s in study["series"]] == [1]
    said = answers(document)
    sentences = [sentence for name in said for _, sentence in said[name]] + document["warnings"]
    for name, expected in case.expect.items():
        got = [answer for answer, _ in said.get(name, [])]
        assert set(got) & set(expected.split("|")), f"{name}: {said.get(name)}"
    if case.says:
        assert any(case.says in sentence for sentence in sentences), sentences
    for sentence in sentences:
        assert len(sentence) < 2500 and sentence.isprintable(), repr(sentence[:200])
        assert "Error" not in sentence and "malformed header (" not in sentence, sentence
    assert took < SECONDS and grown < BYTES, f"{took:.1f} s, {grown >> 20} MB"

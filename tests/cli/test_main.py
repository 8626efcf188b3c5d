"""Every verb is found, and every end has its exit code and its one sentence."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medviewer import __version__
from medviewer.cli.main import VERBS, _join_coordinates, main


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"medviewer.cli.{VERBS[verb]}")
    assert module.HELP
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    assert "usage: medviewer" in capsys.readouterr().out


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"medviewer {__version__}\n"


def test_a_wrong_option_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--no-such-option", "x"]) == 2
    error = capsys.readouterr().err
    assert "wrong command line" in error and error.count("\n") == 1


def test_with_json_an_error_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--json", "/nowhere/at/all"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2 and "/nowhere/at/all" in document["error"]


def test_a_negative_coordinate_is_a_value_not_an_option() -> None:
    assert _join_coordinates(["--at", "-57.2,131.3,-520.4", "x"]) == ["--at=-57.2,131.3,-520.4", "x"]
    assert _join_coordinates(["--at=-57.2,1,2"]) == ["--at=-57.2,1,2"]


def test_the_command_line_starts_without_torch_or_qt() -> None:
    code = "import sys, medviewer.cli.main as m; m.main(['--version']); print({'torch', 'PySide6'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_home_that_cannot_be_made_is_bad_input_with_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("x")
    monkeypatch.setenv("MEDVIEWER_HOME", str(tmp_path / "a file"))
    assert main(["queue", "list", "--json"]) == 2
    said = capsys.readouterr()
    assert "folder for your work" in json.loads(said.out)["error"] and said.err.count("\n") == 1


def test_a_bug_is_said_even_where_the_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("x")
    monkeypatch.setenv("MEDVIEWER_HOME", str(tmp_path / "a file"))
    monkeypatch.setattr("medviewer.cli.inspect.run", lambda _: 1 // 0)
    assert main(["inspect", "x", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["exit_code"] == 1


def test_a_mistyped_verb_is_no_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspec"]) == 2
    assert "no verb" in capsys.readouterr().err
    assert main(["open", "--task", "nope"]) == 2
    assert "lung-nodule-segment" in capsys.readouterr().err


def test_a_dead_display_is_a_sentence() -> None:
    environment = {**os.environ, "DISPLAY": ":987"}
    environment.pop("QT_QPA_PLATFORM", None)
    done = subprocess.run(
        [sys.executable, "-m", "medviewer", "open"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 4 and "there is no display" in done.stderr

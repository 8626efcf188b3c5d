"""Every verb is found, and every end has its exit code and its one sentence."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

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

"""`inspect --json` writes exactly one JSON document in UTF-8, whatever happens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medviewer.cli.main import main
from medviewer.formats import scan as scanning
from tests.formats import samples
from tests.formats.samples import along_z


def run(*words: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object], str]:
    code = main(["inspect", *words, "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out), err


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError("deep"), MemoryError(), AssertionError(), OSError(5, "I/O")]
)
def test_a_bug_of_ours(error: Exception, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    import medviewer.cli.inspect as verb

    for name in ("scan", "open_catalog"):
        if hasattr(verb, name):
            monkeypatch.setattr(verb, name, fails)
    monkeypatch.setattr(scanning, "scan", fails)
    code, document, err = run("nowhere", capfd=capfd)
    assert (code, document["exit_code"]) == (1, 1) and "a bug of ours" in str(document["error"])
    assert "Traceback" not in err


def test_cancelled(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    import medviewer.cli.inspect as verb

    for name in ("scan", "open_catalog"):
        if hasattr(verb, name):
            monkeypatch.setattr(verb, name, stops)
    code, document, _ = run("nowhere", capfd=capfd)
    assert (code, document["exit_code"]) == (130, 130)


@pytest.mark.parametrize("words", [[], ["--no-such-option", "x"], ["nowhere at all"], ["--pixels=3", "x"]])
def test_bad_input(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    code, document, err = run(*words, capfd=capfd)
    assert code == 2 and document["exit_code"] == 2 and document["error"] and len(err.strip().splitlines()) == 1


def test_an_option_is_written_in_full(capfd: pytest.CaptureFixture[str]) -> None:
    """A shortened --json would be an option whose errors are no JSON."""
    assert main(["inspect", "nowhere", "--js"]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    (path,) = samples.series(tmp_path / "s", along_z(1))
    os.rename(os.fsencode(path), os.fsencode(tmp_path) + b"/\xff\xfe\xe4.dcm")  # noqa: PTH104
    (tmp_path / "s").rmdir()
    with open(os.fsencode(tmp_path) + b"/\xc3\x28.txt", "wb") as file:  # noqa: PTH123
        file.write(b"hello")
    done = subprocess.run(
        [sys.executable, "-m", "medviewer.cli.main", "inspect", str(tmp_path), "--pixels", "--frames", "--json"],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    document = json.loads(done.stdout.decode("utf-8"))
    assert done.returncode == 0 and document["files"] == 2 and len(document["skipped"]) == 1


def test_only_rubbish_is_exit_2_and_rubbish_beside_a_study_is_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("hello")
    code, document, _ = run(str(tmp_path), capfd=capfd)
    assert (code, document["files"], document["exit_code"]) == (2, 1, 2)
    samples.series(tmp_path / "s", along_z(2))
    code, document, _ = run(str(tmp_path), capfd=capfd)
    assert (code, document["files"]) == (0, 3) and "exit_code" not in document

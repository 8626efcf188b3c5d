"""`medviewer inspect` against tables of right answers, row by row.

One table is the project's own: files that come with the pydicom package, their values agreed on by at least two of
DCMTK, GDCM and pydicom; it always runs. The others lie in the corpus of difficult files, whose files have licences of
their own and are no part of the project: those tests are skipped where it is absent. How disputed files are read is
told in docs/disputed-files.md.
"""

from __future__ import annotations

import json
import os
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from medviewer.cli.main import main
from tests.formats.truth import Row, read_table, wrong_with_file, wrong_with_series, wrong_with_volume

KNOWN = read_table(Path(__file__).with_name("known_pictures.csv"))
_NAMED = os.environ.get("MEDVIEWER_CORPUS")
CORPUS = Path(_NAMED) if _NAMED else Path(__file__).resolve().parents[3] / "shared" / "corpus"

#: Rows whose least and greatest value are of the reading that the row itself calls false (see docs/disputed-files.md).
OTHER_READING = frozenset({"files/jpeg/GH195.dcm"})


def _rows(table: str) -> list[Row]:
    return read_table(CORPUS / table) if (CORPUS / table).is_file() else []


def _in_folders() -> dict[str, list[Row]]:
    rows = sorted(_rows("series.csv"), key=lambda row: row["series"])
    return {name: list(group) for name, group in groupby(rows, key=lambda row: row["series"])}


SERIES = _in_folders()
FILES = [row for row in _rows("manifest.csv") if row["path"].rpartition("/")[0] not in {f"series/{n}" for n in SERIES}]
VOLUMES = _rows("volumes.csv")


@pytest.fixture(autouse=True)
def _there(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("data") and not (CORPUS / "manifest.csv").is_file():
        pytest.skip("the corpus of difficult files is absent: set MEDVIEWER_CORPUS to run this test")


def inspect(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The verb's answer; its exit code and what it says to people must go with it."""
    capsys.readouterr()
    code = main(["inspect", str(path), "--pixels", "--frames", "--json"])
    out, err = capsys.readouterr()
    answer: dict[str, Any] = json.loads(out)
    assert "Traceback" not in err
    assert code == (0 if answer["patients"] or answer["objects"] else 2)
    return answer


def place_of(name: str) -> Path:
    """A row's file: in the corpus, or `pydicom:NAME` in the pydicom package."""
    if not name.startswith("pydicom:"):
        return CORPUS / name
    from pydicom.data import get_charset_files, get_testdata_file

    found = get_testdata_file(name[8:], download=False) or next(iter(get_charset_files(name[8:])), None)
    if found is None:
        pytest.skip(f"this pydicom has no {name[8:]}")
    return Path(found)


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row["path"])
def test_files_of_pydicom(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong_with_file(row, inspect(place_of(row["path"]), capsys)) is None


@pytest.mark.data
@pytest.mark.parametrize("row", FILES or [{"path": "none"}], ids=lambda row: row["path"])
def test_files_of_the_corpus(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    if row["path"] in OTHER_READING:
        row = {**row, "min": "", "max": "", "mean": "", "tolerance": "0", "judgement": ""}
    assert wrong_with_file(row, inspect(place_of(row["path"]), capsys)) is None


@pytest.mark.data
@pytest.mark.parametrize("name", SERIES or ["none"])
def test_series_of_the_corpus(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong_with_series(SERIES[name], inspect(CORPUS / "series" / name, capsys)) is None


@pytest.mark.data
@pytest.mark.parametrize("row", VOLUMES or [{"path": "none"}], ids=lambda row: row["path"])
def test_volumes_of_the_corpus(row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong_with_volume(row, inspect(CORPUS / row["path"], capsys)) is None

"""The report of a scan: each file is counted once, and nothing in it is more than text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from medviewer.formats.import_report import as_csv, as_text, harmless, import_report
from medviewer.formats.scan import scan
from tests.formats import samples
from tests.formats.samples import along_z


def fill(folder: Path) -> None:
    paths = samples.series(folder / "a", along_z(5))
    samples.series(folder / "b", along_z(3), SeriesInstanceUID="1.2.9", SeriesNumber=2)
    (folder / "copy.dcm").write_bytes(paths[0].read_bytes())
    (folder / "=cmd.txt").write_text("hello")
    (folder / "notes.txt").write_text("hello")
    (folder / "empty.dcm").write_bytes(b"")
    samples.save(samples.picture(samples.ramp((4, 4)), PixelData=None, Rows=None, Columns=None), folder / "object.dcm")


def test_each_file_is_counted_once(tmp_path: Path) -> None:
    fill(tmp_path)
    report = import_report(scan([tmp_path]))
    assert report.summary == "13 files: 8 shown in 2 series, 1 object, 1 copy, 3 not shown"
    assert [(g.code, len(g.files)) for g in report.groups] == [("not-dicom", 2), ("empty", 1), ("duplicate-uid", 1)]
    assert report.shown + report.objects + report.skipped == report.files


def test_an_empty_scan_says_so(tmp_path: Path) -> None:
    assert import_report(scan([tmp_path])).summary == "0 files: none shown"


def test_text_names_every_file_with_its_reason(tmp_path: Path) -> None:
    fill(tmp_path)
    text = as_text(scan([tmp_path]))
    assert "notes.txt: not DICOM (looks like text)" in text and "copy.dcm: a copy of 000.dcm" in text
    assert "Copies of what is shown: 1" in text and "empty.dcm: empty file" in text


def test_csv_has_a_row_a_file_and_no_formula(tmp_path: Path) -> None:
    fill(tmp_path)
    rows = list(csv.DictReader(io.StringIO(as_csv(scan([tmp_path])))))
    assert len(rows) == 13 and {row["result"] for row in rows} == {"shown", "object", "copy", "not shown"}
    reasons = {Path(row["path"]).name: row["reason"] for row in rows}
    assert reasons["empty.dcm"] == "empty file"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2", "@sum", "=cmd|' /C calc'!A0"])
def test_formulas_lose_their_meaning(cell: str) -> None:
    assert harmless(cell) == f"'{cell}" and harmless("a=b") == "a=b"

"""The corpus of difficult files against its own table: the same stored values, or a reason.

The corpus is no part of the project (its files have licences of their own); the test is skipped where it is absent.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from medviewer.formats.digest import digest
from medviewer.formats.scan import scan


@pytest.fixture(scope="module")
def corpus() -> Path:
    named = os.environ.get("MEDVIEWER_CORPUS")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "corpus"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the corpus of difficult files is absent: set MEDVIEWER_CORPUS to run this test")
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(10**8)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.data
def test_lossless_pictures_have_the_corpus_values(corpus: Path) -> None:
    wrong = []
    seen = 0
    for row in _rows(corpus / "manifest.csv"):
        path = corpus / row["path"]
        lossless = row["expected"] == "ok" and row["tolerance"] == "0" and row["sha256"]
        if not lossless or row["path"].startswith("pydicom:") or row["judgement"].startswith("disputed"):
            continue
        if path.stat().st_size > 1_000_000:
            continue
        seen += 1
        stacks = list(scan([path]).stacks())
        hashes = {value for stack in stacks for found in [digest(stack)] for value in (found.sha256, found.sha256_file)}
        if row["sha256"] not in hashes:
            wrong.append(row["path"])
    assert wrong == [] and seen > 200


@pytest.mark.data
def test_what_must_be_refused_is_refused_with_a_reason(corpus: Path) -> None:
    shown, seen = [], 0
    for row in _rows(corpus / "manifest.csv"):
        if not row["expected"].startswith("refuse") or row["path"].startswith("pydicom:"):
            continue
        seen += 1
        catalog = scan([corpus / row["path"]])
        for stack in catalog.stacks():
            if not stack.codes and not digest(stack).failed:
                shown.append(row["path"])
        assert all(skip.reason and skip.code for skip in catalog.skipped)
    assert shown == [] and seen > 30


@pytest.mark.data
def test_series_have_the_corpus_geometry(corpus: Path) -> None:
    wrong, seen = [], 0
    for row in _rows(corpus / "series.csv"):
        if not row["sha256_volume"] or row["problem_codes"] or not row["origin_lps"]:
            continue
        seen += 1
        stacks = list(scan([corpus / "series" / row["series"]]).stacks())
        match = [s for s in stacks if digest(s).sha256 == row["sha256_volume"]]
        if len(match) != 1 or match[0].grid is None or match[0].quality:
            wrong.append(f"{row['series']}: {[s.quality for s in stacks]}")
            continue
        origin = [float(v) for v in row["origin_lps"].split()]
        if max(abs(a - b) for a, b in zip(origin, match[0].grid.origin_lps, strict=True)) > 1e-3:
            wrong.append(f"{row['series']}: origin {match[0].grid.origin_lps}")
    assert wrong == [] and seen >= 12

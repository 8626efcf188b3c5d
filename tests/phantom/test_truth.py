from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import BadInput
from medviewer.phantom.study import PhantomStudy, StudyFiles
from medviewer.phantom.truth import read_truth


def test_the_truth_is_read_back_as_it_was(study: PhantomStudy, files: StudyFiles) -> None:
    truth = read_truth(files.truth_folder)
    assert truth.patient_id == study.patient_id
    assert study.volume.grid is not None
    assert truth.grid.same_as(study.volume.grid)
    for read, made in zip(truth.nodules, study.nodules, strict=True):
        assert (read.name, read.kind, read.start_kji) == (made.name, made.kind, made.start_kji)
        assert np.array_equal(read.mask, made.mask)
        assert np.allclose(read.centre_lps, made.centre_lps)
        assert read.ratings == made.ratings
        assert (read.diameter_mm, read.volume_mm3, read.hu) == (made.diameter_mm, made.volume_mm3, made.hu)


def test_the_table_for_people_has_a_row_for_each_nodule(study: PhantomStudy, files: StudyFiles) -> None:
    with (files.truth_folder / "nodules.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == [n.kind for n in study.nodules]
    assert float(rows[0]["x_lps"]) == pytest.approx(study.nodules[0].centre_lps[0], abs=1e-3)


def test_a_folder_without_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="truth cannot be read"):
        read_truth(tmp_path)
    (tmp_path / "nodules.json").write_text("{}")
    np.savez(tmp_path / "masks.npz", a=np.zeros(1))
    with pytest.raises(BadInput, match="not a phantom's truth"):
        read_truth(tmp_path)

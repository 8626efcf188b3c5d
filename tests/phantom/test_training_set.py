from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import SaveFailed
from medviewer.phantom.nodules import PhantomCase, nodule_cases
from medviewer.phantom.training_set import stretched, write_training_set


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return nodule_cases(("solid", "small", "part-solid"), 3, seed=21)


def test_the_files_have_the_layout_of_the_public_set(cases: list[PhantomCase], tmp_path: Path) -> None:
    arrays_path, table_path = write_training_set(tmp_path, "train", cases)
    with np.load(arrays_path) as packed:
        arrays = {name: packed[name] for name in packed.files}
    count = len(arrays["images"])
    expected = {
        "images": ((count, 96, 96), np.uint8),
        "masks": ((count, 96, 96), np.uint8),
        "nodule": ((count,), np.int32),
        "first": ((len(cases) + 1,), np.int32),
        "z_mm": ((count,), np.float32),
        "pad_level": ((count,), np.uint8),
    }
    assert {name: (a.shape, a.dtype) for name, a in arrays.items()} == expected
    assert not (arrays["images"] & 1).any()
    assert arrays["first"][-1] == count
    with table_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for n, (case, row) in enumerate(zip(cases, rows, strict=True)):
        part = slice(arrays["first"][n], arrays["first"][n + 1])
        assert int(row["n_slices"]) == part.stop - part.start
        assert (arrays["nodule"][part] == n).all()
        assert np.allclose(np.diff(arrays["z_mm"][part]), case.slice_spacing_mm, atol=1e-3)
        votes = sum((arrays["masks"][part] >> r) & 1 for r in range(case.n_readers))
        assert int((votes * 2 >= case.n_readers).sum()) == case.mask.sum()
        assert (row["kind"], row["patient"]) == (case.kind, case.patient_id)


def test_the_columns_are_those_of_the_public_set_and_the_kind(
    cases: list[PhantomCase], tmp_path: Path, public_data: Path
) -> None:
    _, table_path = write_training_set(tmp_path, "val", cases)
    real = (public_data / "lidc_nodules" / "val.csv").read_text().splitlines()[0].split(",")
    ours = table_path.read_text().splitlines()[0].split(",")
    assert ours == [*real, "kind"]


def test_the_learning_room_reads_it(cases: list[PhantomCase], tmp_path: Path) -> None:
    from medviewer.learning.datasets.lidc_nodules import NoduleSet

    write_training_set(tmp_path, "train", cases)
    read = list(NoduleSet(tmp_path, "train"))
    for case, back in zip(cases, read, strict=True):
        assert back.patient == case.patient_id
        assert back.readers.shape[0] == case.n_readers
        assert int(back.consensus.sum()) == int(case.mask.sum())


def test_each_slice_spans_its_own_crop(cases: list[PhantomCase]) -> None:
    image = cases[0].image
    grey = stretched(image)
    assert grey.shape == (len(image), 96, 96)
    low, high = image.min(axis=(1, 2)), image.max(axis=(1, 2))
    k, j, i = len(image) // 2, 48, 48
    share = (float(image[k, j + 16, i + 16]) - low[k]) / (high[k] - low[k])
    assert abs(grey[k, j, i] / 255 - share) <= 2 / 255


def test_a_folder_that_cannot_be_made_is_named(cases: list[PhantomCase], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveFailed):
        write_training_set(tmp_path / "file", "train", cases)

"""Masks are laid by geometry: equal grids as they are, others by nearest voxel, strangers not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import BadInput, Refused
from medviewer.formats import nifti, nrrd
from medviewer.formats.masks import read_mask
from medviewer.volume.grid import Grid
from tests.formats import samples

GRID = Grid((6, 20, 24), (2.0, 1.0, 1.0), (1, 0, 0, 0, 1, 0, 0, 0, 1), (-5.0, 7.0, 100.0))


def block() -> np.ndarray:  # type: ignore[type-arg]
    labels = np.zeros(GRID.size_kji, np.uint8)
    labels[1:4, 5:12, 6:15] = 1
    labels[4, 2:4, 2:4] = 7
    return labels


def test_an_equal_grid_is_taken_as_it_is(tmp_path: Path) -> None:
    nifti.write(tmp_path / "m.nii.gz", block(), GRID)
    laid = read_mask(tmp_path / "m.nii.gz", GRID)
    assert np.array_equal(laid.labelmap, block()) and laid.note == ""
    assert [s.number for s in laid.segments] == [1, 7]


def test_slices_in_falling_order_are_laid_where_they_belong(tmp_path: Path) -> None:
    flipped = Grid(
        GRID.size_kji, GRID.spacing_kji, (1, 0, 0, 0, 1, 0, 0, 0, -1),
        tuple(GRID.index_to_lps((5, 0, 0)).tolist()),
    )  # fmt: skip
    nrrd.write(tmp_path / "m.nrrd", block()[::-1], flipped)
    laid = read_mask(tmp_path / "m.nrrd", GRID)
    assert np.array_equal(laid.labelmap, block()) and "resampled" in laid.note


def test_a_finer_mask_keeps_its_volume(tmp_path: Path) -> None:
    fine = Grid((12, 40, 48), (1.0, 0.5, 0.5), GRID.direction, (-5.25, 6.75, 99.5))
    nifti.write(tmp_path / "m.nii", block().repeat(2, 0).repeat(2, 1).repeat(2, 2), fine)
    laid = read_mask(tmp_path / "m.nii", GRID)
    assert abs(int((laid.labelmap == 1).sum()) - int((block() == 1).sum())) < 70


def test_a_mask_of_another_place_is_refused(tmp_path: Path) -> None:
    nifti.write(tmp_path / "m.nii", block(), Grid(GRID.size_kji, GRID.spacing_kji, GRID.direction, (900.0, 0.0, 0.0)))
    with pytest.raises(Refused, match="outside"):
        read_mask(tmp_path / "m.nii", GRID)


def test_pictures_are_no_masks(tmp_path: Path) -> None:
    samples.series(tmp_path / "ct", samples.along_z(3))
    with pytest.raises(BadInput, match="mask"):
        read_mask(tmp_path / "ct", GRID)
    nifti.write(tmp_path / "f.nii", np.full(GRID.size_kji, 0.5, np.float32), GRID)
    with pytest.raises(BadInput, match="whole numbers"):
        read_mask(tmp_path / "f.nii", GRID)


def test_labels_above_255_are_laid_with_their_numbers(tmp_path: Path) -> None:
    from medviewer.formats.laid import Target
    from medviewer.formats.overlays import as_segments, read_overlay

    labels = block().astype(np.uint16) * 300  # 300 and 2100, as atlases of the brain have them
    nifti.write(tmp_path / "m.nii.gz", labels, GRID)
    target = Target(GRID.size_kji, GRID)
    laid = as_segments(read_overlay(tmp_path / "m.nii.gz", target), target)
    assert [s.description.number for s in laid.segments] == [300, 2100]
    assert np.array_equal(laid.numbers(), labels)
    with pytest.raises(Refused, match="2100"):
        read_mask(tmp_path / "m.nii.gz", GRID)

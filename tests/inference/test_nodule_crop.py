"""From HU to the training set's grey values: the same numbers as the set's own preparation, borders and padding too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.errors import BadInput
from medviewer.inference.nodule_crop import nodule_crop
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume


def chest(size: tuple[int, int, int] = (9, 200, 220), seed: int = 0, slope: float = 1.0) -> Volume:
    rng = np.random.default_rng(seed)
    hu = rng.normal(-700, 200, size).clip(-1000, 900)
    hu[:, 90:110, 100:120] = 40
    stored = np.round((hu + 1024) / slope).astype(np.int16)
    grid = Grid(size, (1.25, 0.7, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-80.0, 30.0, -200.0))
    return Volume(stored, grid, slope, -1024.0, "HU", "CT")


def as_the_set_was_made(hu: np.ndarray) -> np.ndarray:
    """The recipe of the data's README in its own words, on whole 128 x 128 slices."""
    out = np.empty(hu.shape, np.uint8)
    for k, plane in enumerate(hu.astype(np.float64)):
        out[k] = ((plane - plane.min()) / (plane.max() - plane.min()) * 255).astype(np.uint8)
    return (out[:, 16:112, 16:112] & 0xFE).astype(np.float32) / 254


@settings(max_examples=20, deadline=None)
@given(j=st.integers(64, 136), i=st.integers(64, 156), k=st.integers(0, 8))
def test_grey_values_are_those_of_the_training_set(j: int, i: int, k: int) -> None:
    volume = chest()
    assert volume.grid is not None
    crop = nodule_crop(volume, volume.grid.index_to_lps((k, j, i)), reach_mm=20)
    hu = volume.values()[:, j - 64 : j + 64, i - 64 : i + 64]
    np.testing.assert_allclose(crop.images, as_the_set_was_made(hu), atol=1e-6)
    assert crop.click_kji == pytest.approx((k, 48, 48))
    assert crop.start_kji == (0, j - 48, i - 48)
    assert crop.pixel_mm == pytest.approx(0.7)
    assert crop.slice_spacing_mm == pytest.approx(1.25)


def test_steps_are_those_of_seven_bits() -> None:
    volume = chest()
    assert volume.grid is not None
    grey = nodule_crop(volume, volume.grid.centre_lps).images * 127
    np.testing.assert_allclose(grey, np.round(grey), atol=1e-4)


def test_padding_far_below_air_does_not_stretch_the_slice() -> None:
    volume = chest(seed=3)
    assert volume.grid is not None
    at = volume.grid.index_to_lps((4, 100, 110))
    clean = nodule_crop(volume, at)
    stored = volume.voxels.copy()
    stored[:, 36:60, 46:174] = -2000 + 1024  # a band of the 128 x 128 crop, partly in the 96 x 96
    padded = nodule_crop(Volume(stored, volume.grid, 1.0, -1024.0, "HU", "CT"), at)
    same = padded.real
    assert 0 < (~same).sum() < same.size
    np.testing.assert_allclose(padded.images[same], clean.images[same], atol=1.5 / 127)
    assert np.all(padded.images[~same] == 0)


def test_the_crop_at_the_border_of_the_volume_keeps_its_place() -> None:
    volume = chest()
    assert volume.grid is not None
    crop = nodule_crop(volume, volume.grid.index_to_lps((0, 5, 215)))
    assert crop.images.shape[1:] == (96, 96)
    assert crop.start_kji == (0, 5 - 48, 215 - 48)
    assert not crop.real[:, :43].any()
    assert crop.real[:, 43:, :53].all()
    assert not crop.real[:, :, 53:].any()


def test_a_slice_of_one_value_is_black_and_finite() -> None:
    grid = Grid.plain((3, 130, 130))
    crop = nodule_crop(Volume(np.zeros((3, 130, 130), np.int16), grid, unit="HU"), (65, 65, 1))
    assert np.all(crop.images == 0)


def test_slices_that_have_not_arrived_are_no_tissue() -> None:
    volume = chest()
    assert volume.grid is not None
    loaded = np.ones(9, dtype=bool)
    loaded[7] = False
    partly = Volume(volume.voxels, volume.grid, 1.0, -1024.0, "HU", "CT", loaded=loaded)
    crop = nodule_crop(partly, volume.grid.index_to_lps((4, 100, 110)))
    assert not crop.real[7 - crop.start_kji[0]].any()


def test_a_click_outside_is_bad_input() -> None:
    volume = chest()
    with pytest.raises(BadInput, match="outside the volume"):
        nodule_crop(volume, (900.0, 0.0, 0.0))


def test_without_geometry_there_is_no_crop() -> None:
    with pytest.raises(BadInput, match="no geometry"):
        nodule_crop(Volume(np.zeros((3, 130, 130), np.int16), None), (0.0, 0.0, 0.0))


def test_lung_is_told_from_the_air_around_a_head() -> None:
    volume = chest()
    assert volume.grid is not None
    assert nodule_crop(volume, volume.grid.centre_lps).lung_share > 0.5
    rng = np.random.default_rng(0)
    head = np.where(np.arange(200)[None, :, None] < 90, rng.normal(-1000, 8, (9, 200, 220)), 40.0).astype(np.int16)
    assert nodule_crop(Volume(head, volume.grid, unit="HU"), volume.grid.centre_lps).lung_share < 0.02

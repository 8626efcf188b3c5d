"""A Volume gives values in its unit, slice by slice where the rescale differs."""

from __future__ import annotations

import numpy as np
import pytest

from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume


def test_values_follow_the_rescale_of_each_slice() -> None:
    stored = np.ones((2, 2, 2), dtype=np.int16) * 10
    volume = Volume(stored, Grid.plain((2, 2, 2)), slope=np.array([1.0, 0.5]), intercept=np.array([-1024.0, 2.0]))
    assert volume.values()[:, 0, 0].tolist() == [-1014.0, 7.0]
    assert volume.values((1, 0, 0), (1, 1, 1)).ravel().tolist() == [7.0]
    assert volume.value_at((1, 0, 0)) == 7.0
    assert not volume.has_one_rescale


def test_a_box_is_cut_to_the_volume() -> None:
    volume = Volume(np.zeros((2, 4, 4), dtype=np.uint8), None)
    assert volume.values((-1, 2, 3), (9, 9, 9)).shape == (2, 2, 1)


def test_nothing_is_said_of_a_voxel_outside_or_not_yet_loaded() -> None:
    volume = Volume(np.zeros((2, 2, 2), dtype=np.int16), None, loaded=np.array([True, False]))
    assert volume.value_at((0, 0, 0)) == 0.0
    assert volume.value_at((1, 0, 0)) is None
    assert volume.value_at((-1, 0, 0)) is None


def test_a_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Volume(np.zeros((2, 2, 2)), Grid.plain((2, 2, 3)))

"""Lesions on their way into the user's own library: the picture around them, their size, one name a lesion."""

from __future__ import annotations

import numpy as np
import pytest
from annotating import small_volume

from medviewer.annotation.segmentation import Box, Segment, Segmentation
from medviewer.desktop.suggesting.keeping import AROUND_MM, around, lesions_of, longest_mm
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume


def test_the_part_around_a_lesion_lies_where_it_lay_in_the_patient() -> None:
    rng = np.random.default_rng(3)
    grid = Grid((60, 300, 280), (2.0, 0.7, 0.8), (0, 1, 0, 0, 0, -1, 1, 0, 0), (5.0, -7.0, 11.0))
    volume = Volume(rng.integers(-900, 100, grid.size_kji).astype(np.int16), grid, unit="HU", modality="CT")
    part = around(volume, Box((30, 150, 140), (33, 160, 152)))
    assert part.grid is not None
    assert part.grid.size_kji == part.voxels.shape == (3 + 2 * int(AROUND_MM / 2), 10 + 160, 12 + 160)
    for index in ((0, 0, 0), (10, 20, 30), tuple(n - 1 for n in part.size_kji)):
        whole = np.rint(grid.lps_to_index(part.grid.index_to_lps(index))).astype(int)
        assert part.value_at(index) == volume.value_at(whole.tolist())


def test_the_longest_extent_is_that_of_one_slice_not_through_slices() -> None:
    grid = Grid.plain((10, 40, 40), (5.0, 0.5, 0.5))
    mask = np.zeros((3, 20, 20), bool)
    mask[0, 0, 0] = mask[2, 19, 19] = True
    mask[1, 3, 4] = mask[1, 3 + 6, 4 + 8] = True
    assert longest_mm(mask, grid) == pytest.approx(10 * 0.5 + 0.5)
    assert longest_mm(np.zeros((2, 3, 3), bool), grid) is None


def test_a_lesion_has_the_same_name_each_time_and_its_point_lies_in_it() -> None:
    volume = small_volume()
    assert volume.grid is not None
    nodule = Segment.named(1, "Nodule 1")
    segmentation = Segmentation.from_labelmap(volume.grid, volume.voxels > 0, (nodule,), "stack-a")
    first, second = lesions_of(volume, segmentation, (1,)), lesions_of(volume, segmentation, (1,))
    assert first[0].id == second[0].id
    assert len(first[0].id) == 32
    assert segmentation.number_at(volume.grid.lps_to_index(first[0].point_lps)) == 1
    assert first[0].diameter_mm == pytest.approx(12.0, abs=1.0)
    assert lesions_of(volume, segmentation, (2,)) == ()

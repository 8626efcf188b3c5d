"""Grid maps indices and millimetres both ways, as SimpleITK does."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from medviewer.volume.grid import Grid, main_letter, orientation_letters


def _rotation(angles: tuple[float, float, float]) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


angle = st.floats(-3.1, 3.1)
spacing = st.floats(0.1, 8.0)
coordinate = st.floats(-900.0, 900.0)
grids = st.builds(
    lambda size, space, angles, origin: Grid(size, space, tuple(_rotation(angles).T.ravel()), origin),
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(spacing, spacing, spacing),
    st.tuples(angle, angle, angle),
    st.tuples(coordinate, coordinate, coordinate),
)


@given(grids, st.tuples(coordinate, coordinate, coordinate))
def test_a_point_comes_back_from_its_index(grid: Grid, index: tuple[float, float, float]) -> None:
    assert np.allclose(grid.lps_to_index(grid.index_to_lps(index)), index, atol=1e-6)


@given(grids, st.tuples(*[st.integers(-5, 45)] * 3))
def test_points_are_those_of_simpleitk(grid: Grid, index: tuple[int, int, int]) -> None:
    image = sitk.Image([int(n) for n in reversed(grid.size_kji)], sitk.sitkUInt8)
    image.SetSpacing([float(s) for s in reversed(grid.spacing_kji)])
    image.SetOrigin(grid.origin_lps)
    columns = np.stack([grid.axis_i, grid.axis_j, grid.axis_k], axis=1)
    image.SetDirection([float(v) for v in columns.ravel()])
    theirs = image.TransformContinuousIndexToPhysicalPoint([float(n) for n in reversed(index)])
    assert np.allclose(grid.index_to_lps(index), theirs, atol=1e-4)


@given(grids, st.tuples(*[st.integers(-3, 6)] * 3))
def test_a_crop_lies_where_its_voxels_lay(grid: Grid, start: tuple[int, int, int]) -> None:
    crop = grid.cropped(start, (2, 3, 4))
    assert np.allclose(crop.index_to_lps((1, 2, 3)), grid.index_to_lps(np.add(start, (1, 2, 3))), atol=1e-6)


def test_voxels_reach_half_a_voxel_from_their_centres() -> None:
    grid = Grid.plain((2, 3, 4), (5.0, 1.0, 1.0))
    assert grid.contains_lps((0, 0, -2.4)) and not grid.contains_lps((0, 0, -2.6))
    assert grid.contains_lps((3.4, 2.4, 7.4)) and not grid.contains_lps((3.6, 2.4, 7.4))


def test_a_tilted_grid_keeps_its_voxel_volume_and_says_that_it_is_tilted() -> None:
    tilt = np.radians(20)
    sheared = Grid((3, 3, 3), (2.0, 1.0, 1.0), (1, 0, 0, 0, 1, 0, 0, np.sin(tilt), np.cos(tilt)), (0, 0, 0))
    assert not sheared.is_orthogonal
    assert sheared.voxel_volume_mm3 == pytest.approx(2.0 * np.cos(tilt))


def test_a_grid_that_spans_no_space_is_refused() -> None:
    with pytest.raises(ValueError, match="span"):
        Grid((2, 2, 2), (1, 1, 1), (1, 0, 0, 1, 0, 0, 0, 0, 1), (0, 0, 0))


def test_letters_name_the_largest_part_first() -> None:
    assert orientation_letters((1, 0, 0)) == "L"
    assert orientation_letters((-0.9, 0.3, 0.00001)) == "RP"
    assert main_letter((0.1, -0.2, 0.95)) == "H"
    assert orientation_letters((0, 0, 0)) == ""

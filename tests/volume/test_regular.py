"""Tilted, uneven and gappy slices on an upright grid, against SimpleITK and against a known patient."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from medviewer.volume.regular import from_regular, plan_regular, regular_labels, regular_slice, to_regular

ROW, COLUMN = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
SPACING = (0.8, 0.5)


def smooth_patient(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A value at each point in mm: linear, so that linear interpolation is exact."""
    return np.asarray(3.0 * points[..., 0] - 2.0 * points[..., 1] + 5.0 * points[..., 2] + 400.0)


def slices(positions: NDArray[np.float64], size: tuple[int, int], row=ROW, column=COLUMN) -> NDArray[np.float64]:
    j, i = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    plane = j[..., None] * SPACING[0] * column + i[..., None] * SPACING[1] * row
    return smooth_patient(positions[:, None, None, :] + plane[None])


def inside(values: NDArray[np.float64], fill: float) -> NDArray[np.bool_]:
    return np.asarray(values != fill)


@pytest.mark.parametrize("tilt", [-25.0, -3.0, 0.5, 14.0, 30.0])
def test_a_tilted_stack_is_where_the_patient_is(tilt: float) -> None:
    slant = np.array([0.0, np.tan(np.radians(tilt)), 1.0])
    positions = np.array([-5.0, 7.0, 30.0]) + np.arange(9)[:, None] * 4.0 * slant
    voxels = slices(positions, (20, 16))
    plan = plan_regular(positions, ROW, COLUMN, SPACING, 4.0, (20, 16))
    assert plan.grid.is_orthogonal and plan.grid.spacing_kji == pytest.approx((4.0, 0.8, 0.5))
    made = np.stack([regular_slice(plan, voxels, k, -1e9) for k in range(plan.grid.size_kji[0])])
    k, j, i = np.meshgrid(*(np.arange(n) for n in made.shape), indexing="ij")
    truth = smooth_patient(plan.grid.index_to_lps(np.stack([k, j, i], axis=-1)))
    whole = inside(made, -1e9)
    rows = whole[:, 1:-1]  # voxels within half a voxel outside the outermost centres repeat their neighbour
    core = rows & whole[:, :-2] & whole[:, 2:]
    assert whole.sum() >= 9 * 19 * 16
    assert np.allclose(made[:, 1:-1][core], truth[:, 1:-1][core], atol=1e-6)


def test_simpleitk_resamples_a_sheared_image_to_the_same_voxels() -> None:
    import SimpleITK as sitk

    turn = np.array([[0.936, -0.275, 0.218], [0.29, 0.956, -0.036], [-0.199, 0.097, 0.975]])
    row = turn[:, 0] / np.linalg.norm(turn[:, 0])
    column = turn[:, 1] - (turn[:, 1] @ row) * row
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    slant = normal + np.tan(np.radians(17.0)) * column + 0.1 * row
    positions = np.array([10.0, -20.0, 5.0]) + np.arange(7)[:, None] * 3.0 * slant
    rng = np.random.default_rng(5)
    voxels = rng.integers(-1000, 2000, (7, 30, 24)).astype(np.int16)
    plan = plan_regular(positions, row, column, SPACING, 3.0, (30, 24))
    made = np.stack([regular_slice(plan, voxels, k, -1024) for k in range(plan.grid.size_kji[0])])

    # SimpleITK's images are upright: the shear goes into the transform, index to point by index to point
    source = sitk.GetImageFromArray(voxels.astype(np.float64))
    target = sitk.Image([int(n) for n in plan.grid.size_kji[::-1]], sitk.sitkFloat64)
    sheared = np.stack([row * SPACING[1], column * SPACING[0], (positions[-1] - positions[0]) / 6], axis=1)
    upright = plan.grid.step_matrix[:, ::-1]
    matrix = np.linalg.inv(sheared) @ upright
    start = np.linalg.inv(sheared) @ (np.asarray(plan.grid.origin_lps) - positions[0])
    transform = sitk.AffineTransform(matrix.ravel().tolist(), start.tolist())
    truth = sitk.GetArrayFromImage(sitk.Resample(source, target, transform, sitk.sitkLinear, -1024.0))
    agree = np.abs(truth - made) <= 0.5 + 1e-6
    assert agree.mean() > 0.999  # voxels exactly on the border may fall on either side
    assert (made != -1024).mean() > 0.5


@pytest.mark.parametrize("steps", [[4, 4, 8, 4, 4], [4, 4.7, 3.3, 4, 4], [4, 12, 4]])
def test_gaps_and_uneven_steps_are_filled_from_the_true_neighbours(steps: list[float]) -> None:
    places = np.concatenate([[0.0], np.cumsum(steps)])
    positions = np.stack([np.zeros_like(places), np.zeros_like(places), places], axis=1)
    voxels = slices(positions, (5, 6))
    plan = plan_regular(positions, ROW, COLUMN, SPACING, 4.0, (5, 6))
    assert plan.grid.size_kji == (round(sum(steps) / 4.0) + 1, 5, 6)
    for k in range(plan.grid.size_kji[0]):
        j, i = np.meshgrid(np.arange(5), np.arange(6), indexing="ij")
        truth = smooth_patient(plan.grid.index_to_lps(np.stack([np.full_like(j, k), j, i], axis=-1)))
        assert np.allclose(regular_slice(plan, voxels, k, 0.0), truth, atol=1e-6)
    assert plan.neighbours(0) == (0, 0, 0.0)
    assert plan.neighbours(plan.grid.size_kji[0] - 1)[2] == 0.0


def test_padding_is_never_blended_with_tissue() -> None:
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.4, 4.0]])
    voxels = np.full((2, 8, 8), 100, dtype=np.int16)
    voxels[:, :4] = -2000
    plan = plan_regular(positions, ROW, COLUMN, SPACING, 2.0, (8, 8))
    made = np.stack([regular_slice(plan, voxels, k, -2000, (-2000, -2000)) for k in range(plan.grid.size_kji[0])])
    assert set(np.unique(made)) == {-2000, 100}


def test_labels_keep_their_numbers() -> None:
    positions = np.arange(4)[:, None] * np.array([[0.0, 0.55, 2.0]])
    labels = np.zeros((4, 6, 6), dtype=np.uint8)
    labels[:, 2:4, 2:4] = np.array([1, 2, 3, 4], dtype=np.uint8)[:, None, None]
    plan = plan_regular(positions, ROW, COLUMN, SPACING, 2.0, (6, 6))
    made = regular_labels(plan, labels)
    assert [int(made[k].max()) for k in range(4)] == [1, 2, 3, 4]
    assert [int((made[k] > 0).sum()) for k in range(4)] == [4, 4, 4, 4]


def test_places_go_there_and_back() -> None:
    slant = np.array([0.1, np.tan(np.radians(20)), 1.0])
    places = np.array([0.0, 3.0, 6.0, 12.0, 15.0])
    positions = np.array([4.0, 5.0, 6.0]) + places[:, None] * slant
    plan = plan_regular(positions, ROW, COLUMN, SPACING, 3.0, (20, 16))
    for k in range(5):
        there = to_regular(plan, np.array([k, 7.0, 3.0]))
        point = positions[k] + 7.0 * SPACING[0] * COLUMN + 3.0 * SPACING[1] * ROW
        assert np.allclose(plan.grid.index_to_lps(there), point, atol=1e-9)
        assert np.allclose(from_regular(plan, there), [k, 7.0, 3.0])

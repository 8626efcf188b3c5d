"""Sorting and grids: any order of files, any direction, checked against SimpleITK and against plain vectors."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medviewer.formats.catalog import Stack, StackKind
from medviewer.formats.dicom.headers.planes import orthonormal
from medviewer.formats.dicom.stacks.geometry import stack_geometry
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from tests.formats import samples


def rotation(a: float, b: float, c: float) -> NDArray[np.float64]:
    """A rotation by three angles."""
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return np.asarray(x @ y @ z)


def only_stack(folder: Path) -> Stack:
    stacks = list(scan([folder]).stacks())
    assert len(stacks) == 1
    return stacks[0]


angles = st.floats(-3.0, 3.0)


@settings(max_examples=60, deadline=None)
@given(angles, angles, angles, st.floats(0.2, 8.0), st.integers(2, 12))
def test_a_straight_stack_of_any_direction_has_its_grid(a: float, b: float, c: float, step: float, count: int) -> None:
    axes = rotation(a, b, c)
    row, column, normal = axes[:, 0], axes[:, 1], axes[:, 2]
    origin = np.array([-120.0, 33.0, 7.5])
    positions = origin + np.arange(count)[:, None] * step * normal
    found = stack_geometry(positions, tuple(row), tuple(column), (0.7, 0.4), None, (8, 9))
    assert found.quality == () and found.grid is not None
    assert found.grid.spacing_kji == pytest.approx((step, 0.7, 0.4))
    for k, j, i in ((0, 0, 0), (count - 1, 3, 2), (1, 7, 8)):
        expected = origin + k * step * normal + j * 0.7 * column + i * 0.4 * row
        assert np.allclose(found.grid.index_to_lps((k, j, i)), expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(angles, angles, st.floats(1.0, 30.0), st.floats(1.0, 5.0), st.integers(3, 10))
def test_a_tilted_gantry_gives_a_sheared_grid_that_is_true(
    a: float, b: float, tilt: float, step: float, count: int
) -> None:
    axes = rotation(a, b, 0.3)
    row, column, normal = axes[:, 0], axes[:, 1], axes[:, 2]
    slant = normal + np.tan(np.radians(tilt)) * column
    positions = np.arange(count)[:, None] * step * slant
    found = stack_geometry(positions, tuple(row), tuple(column), (1.0, 1.0), None, (4, 4))
    assert [q.code for q in found.quality] == ["gantry-tilt"]
    assert found.step == pytest.approx(step)
    assert found.grid is not None and not found.grid.is_orthogonal
    assert np.allclose(found.grid.index_to_lps((count - 1, 0, 0)), positions[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("places", "code", "step", "images", "words"),
    [
        ([0, 5, 10, 20, 25], "missing-slice", 5.0, (2, 3), "between image 3 and 4: 10.0 mm where 5.0 is usual"),
        ([0, 5, 15], "missing-slice", 5.0, (1, 2), "1 image is missing"),
        ([0, 1, 2, 6, 7, 8], "missing-slice", 1.0, (2, 3), "3 images are missing"),
        ([0, 1, 3, 4, 5, 7], "missing-slice", 1.0, (1, 2, 4, 5), "image 5 and 6: 2.0 mm"),
        ([0, 5, 10, 17, 22, 27], "uneven-spacing", 5.0, (2, 3), "between image 3 and 4: 7.0 mm where 5.0 is usual"),
        ([0, 2.5, 5, 8.7], "uneven-spacing", 2.5, (2, 3), "z 5.0 to 8.7"),
        ([0, 5, 10, 15, 17.5, 20, 22.5, 25], "uneven-spacing", 2.5, (0, 1, 2, 3), "between image 1 and 2"),
        ([0, 5, 10, 10.5, 15, 20], "uneven-spacing", 5.0, (2, 3, 4), "0.5 mm where 5.0 is usual"),
    ],
)
def test_gaps_and_uneven_steps_carry_no_grid(
    places: list[float], code: str, step: float, images: tuple[int, ...], words: str
) -> None:
    positions = np.array([(0.0, 0.0, z) for z in places])
    found = stack_geometry(positions, (1, 0, 0), (0, 1, 0), (1.0, 1.0), None, (4, 4))
    assert found.grid is None and [q.code for q in found.quality] == [code]
    assert found.step == pytest.approx(step) and words in found.quality[0].detail
    assert found.quality[0].images == images


def test_the_small_steps_of_bed_joins_are_no_fault() -> None:
    steps = [3.27] * 20 + [3.19, 3.29] + [3.27] * 20
    positions = np.array([(0.0, 0.0, z) for z in np.cumsum([0.0, *steps])])
    found = stack_geometry(positions, (1, 0, 0), (0, 1, 0), (4.7, 4.7), None, (4, 4))
    assert found.quality == () and found.grid is not None


def test_a_gap_in_thin_slices_is_seen() -> None:
    places = [n * 0.2 for n in range(40) if n != 20]
    positions = np.array([(0.0, 0.0, z) for z in places])
    found = stack_geometry(positions, (1, 0, 0), (0, 1, 0), (0.2, 0.2), None, (4, 4))
    assert [q.code for q in found.quality] == ["missing-slice"]


def test_noise_of_an_orientation_is_taken_away_and_more_is_refused() -> None:
    axes = orthonormal((1.0, 0.001, 0.0, 0.002, 1.003, 0.0))
    assert axes is not None
    assert np.dot(axes[0], axes[1]) == pytest.approx(0.0, abs=1e-12)
    assert orthonormal((1, 0, 0, 0.5, 0.866, 0)) is None
    assert orthonormal((0, 0, 0, 0, 0, 0)) is None


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(7)), numbers=st.permutations(range(1, 8)))
def test_any_order_of_files_and_numbers_gives_the_same_volume(
    order: list[int], numbers: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("series")
    names = [f"{place:02}.dcm" for place in order]
    samples.series(folder, samples.along_z(7), names=names, InstanceNumber=numbers)
    stack = only_stack(folder)
    volume = load_volume(stack)
    assert stack.kind is StackKind.VOLUME and stack.quality == ()
    assert all(np.array_equal(volume.voxels[n], samples.ramp((6, 5), 100 * n)) for n in range(7))
    assert volume.grid is not None and volume.grid.origin_lps == (10.0, 20.0, 0.0)
    shutil.rmtree(folder)


@pytest.mark.parametrize("turn", [(0, 0, 0), (1.57079632679, 0, 0), (0.4, -0.7, 0.2), (3.1, 0.1, 1.9)])
def test_simpleitk_sees_the_same_places_and_values(turn: tuple[float, float, float], tmp_path: Path) -> None:
    import SimpleITK as sitk

    axes = rotation(*turn)
    orientation = [*axes[:, 0], *axes[:, 1]]
    positions = [np.array([5.0, -7.0, 11.0]) + n * 2.5 * axes[:, 2] for n in range(5)]
    paths = samples.series(tmp_path, [p.tolist() for p in positions], orientation=orientation)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(p) for p in paths])
    image = reader.Execute()
    stack = only_stack(tmp_path)
    volume = load_volume(stack)
    assert volume.grid is not None
    values = volume.values()
    assert np.array_equal(sitk.GetArrayFromImage(image), values)
    for index in ((0, 0, 0), (4, 5, 3), (2, 1, 4)):
        k, j, i = index
        assert np.allclose(volume.grid.index_to_lps(index), image.TransformIndexToPhysicalPoint((i, j, k)), atol=1e-3)

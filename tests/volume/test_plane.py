"""The three planes show the body as radiologists see it, whatever the acquisition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneName, edge_letters_of_text, nearest_plane, plane_axes

AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
CORONAL = (1, 0, 0, 0, 0, -1, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1, -1, 0, 0)
TURNED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)


@pytest.mark.parametrize("direction", [AXIAL, CORONAL, SAGITTAL, TURNED])
@pytest.mark.parametrize(
    ("name", "letters"),
    [
        (PlaneName.AXIAL, ("A", "L", "P", "R")),
        (PlaneName.CORONAL, ("H", "L", "F", "R")),
        (PlaneName.SAGITTAL, ("H", "P", "F", "A")),
    ],
)
def test_edges_carry_the_letters_of_the_plane(
    direction: tuple[float, ...], name: PlaneName, letters: tuple[str, ...]
) -> None:
    grid = Grid((4, 5, 6), (2, 1, 1), direction, (0, 0, 0))
    assert plane_axes(grid, name).edge_letters(grid) == letters


@given(
    st.sampled_from([AXIAL, CORONAL, SAGITTAL, TURNED]),
    st.sampled_from(list(PlaneName)),
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5)),
)
def test_a_voxel_is_shown_where_the_plane_says(
    direction: tuple[float, ...], name: PlaneName, index: tuple[int, int, int]
) -> None:
    size = (4, 5, 6)
    grid = Grid(size, (2.0, 1.0, 0.5), direction, (10.0, -3.0, 8.0))
    voxels = np.zeros(size, dtype=np.int16)
    voxels[index] = 7
    axes = plane_axes(grid, name)
    position, row, column = axes.from_index(size, index)
    picture = axes.cut(voxels, int(position))
    assert picture.shape == axes.picture_size(size)
    assert picture[int(row), int(column)] == 7
    assert np.array_equal(axes.to_index(size, position, row, column), index)


def test_the_acquired_plane_is_named() -> None:
    assert nearest_plane(Grid((2, 2, 2), (1, 1, 1), CORONAL, (0, 0, 0))) is PlaneName.CORONAL
    assert nearest_plane(Grid((2, 2, 2), (1, 1, 1), SAGITTAL, (0, 0, 0))) is PlaneName.SAGITTAL
    assert nearest_plane(None) is PlaneName.ACQUIRED


def test_without_geometry_only_the_acquired_plane_exists_and_has_no_letters() -> None:
    axes = plane_axes(None, PlaneName.CORONAL)
    assert axes.name is PlaneName.ACQUIRED
    assert axes.edge_letters(None) == ("", "", "", "")


def test_letters_of_a_radiograph_come_from_its_patient_orientation() -> None:
    assert edge_letters_of_text(("L", "F")) == ("H", "L", "F", "R")
    assert edge_letters_of_text(("A", "FR")) == ("HL", "A", "FR", "P")
    for unclear in ((), ("L",), ("L", ""), ("X", "F"), ("<b>", "F"), ("L", "F", "A")):
        assert edge_letters_of_text(unclear) == ("", "", "", "")

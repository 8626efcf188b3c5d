"""Objects on images with gaps: each slice keeps its place, and nothing is laid on slices that are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medviewer.cli.main import main
from medviewer.formats.catalog import Stack
from medviewer.formats.contours import lay_contours, masks_of
from medviewer.formats.dicom.objects.dose import read_dose
from medviewer.formats.dicom.objects.rtstruct import read_structures
from medviewer.formats.dicom.objects.seg_read import read_segments
from medviewer.formats.dose_cut import dose_in_cut
from medviewer.formats.laid import INSIDE, Target
from medviewer.formats.scan import scan
from medviewer.volume.plane import acquired_plane
from medviewer.volume.slice_places import SlicePlaces
from tests.formats import samples
from tests.formats.object_samples import write_dose, write_segmentation, write_structures

HEIGHTS = (0.0, 2.0, 4.0, 10.0, 12.0)
SIZE = (5, 20, 24)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("gap")
    study = {"PatientBirthDate": "", "PatientSex": "", "StudyTime": "", "StudyID": "1", "AccessionNumber": ""}
    samples.series(
        folder, [(0, 0, z) for z in HEIGHTS], size=SIZE[1:], ReferringPhysicianName="",
        PositionReferenceIndicator="", **study,
    )  # fmt: skip
    (found,) = scan([folder]).stacks()
    assert found.grid is None and "missing-slice" in found.codes
    return found


@given(st.lists(st.floats(0.3, 9.0), min_size=1, max_size=6), st.floats(-3, 9), st.floats(-40, 40), st.floats(-40, 40))
def test_places_map_there_and_back(steps: list[float], k: float, j: float, i: float) -> None:
    angle = 0.4
    column = np.array([np.cos(angle), np.sin(angle), 0.0])
    row = np.array([-np.sin(angle) * 0.8, np.cos(angle) * 0.8, 0.6])
    heights = np.concatenate([[0.0], np.cumsum(steps)])
    origins = np.array([5.0, -7.0, 9.0]) + heights[:, None] * (np.cross(column, row) + 0.1 * row)
    places = SlicePlaces.of((len(heights), 30, 40), origins, column, row, np.array([0.7, 0.5]))
    assert places is not None
    assert np.allclose(places.lps_to_index(places.index_to_lps((k, j, i))), (k, j, i), atol=1e-6)
    whole = round(k) % len(heights)
    assert np.allclose(places.index_to_lps((whole, 0, 0)), origins[whole])


def test_slices_at_one_height_have_no_places() -> None:
    twice = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert SlicePlaces.of((2, 3, 3), twice, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.ones(2)) is None


def square(z: float) -> np.ndarray:
    return np.array([[2.1, 3.0, z], [8.1, 3.0, z], [8.1, 11.0, z], [2.1, 11.0, z]])


def test_contours_lie_on_their_own_slices(stack: Stack, tmp_path: Path) -> None:
    contours = [("CLOSED_PLANAR", square(z)) for z in (4.0, 10.0)]
    write_structures(tmp_path / "rt.dcm", stack, [("a", contours)])
    target = Target.of(stack)
    laid = lay_contours(read_structures(tmp_path / "rt.dcm"), target)
    assert [round(float(points[0, 0]), 6) for _, points in laid.lines[0]] == [2.0, 3.0]
    mask = masks_of(laid, target).segments[0].whole(SIZE) >= INSIDE
    j, i = np.meshgrid(np.arange(20) * 0.8, np.arange(24) * 0.5, indexing="ij")
    inside = (i > 2.1) & (i <= 8.1) & (j > 3.0) & (j <= 11.0)
    assert np.array_equal(mask[2], inside) and np.array_equal(mask[3], inside) and not mask[[0, 1, 4]].any()


def test_masks_lie_on_their_own_slices_with_and_without_references(stack: Stack, tmp_path: Path) -> None:
    drawn = np.zeros(SIZE, dtype=np.uint8)
    drawn[2, 4:9, 5:12], drawn[3, 2:6, 8:20] = 1, 1
    made = write_segmentation(tmp_path / "x.dcm", stack, drawn, "BINARY", 1)
    for frame in made.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    made.save_as(tmp_path / "y.dcm")
    for name in ("x.dcm", "y.dcm"):
        laid = read_segments(tmp_path / name, Target.of(stack))
        assert np.array_equal(laid.segments[0].whole(SIZE) >= INSIDE, drawn > 0)


def test_doses_are_sampled_at_the_slices_places(stack: Stack, tmp_path: Path) -> None:
    values = np.arange(13.0)[:, None, None] * np.ones((13, 12, 14))  # as many Gy as mm high
    offsets = [float(n) for n in range(13)]
    write_dose(tmp_path / "d.dcm", stack, values, origin=(-1, -1, 0), spacing=(2, 2), offsets=offsets)
    dose, space = read_dose(tmp_path / "d.dcm"), Target.of(stack).space
    assert space is not None
    for k, height in enumerate(HEIGHTS):
        cut = dose_in_cut(dose, space, acquired_plane(), k)
        assert cut.shape == SIZE[1:] and np.allclose(cut, height, atol=2e-3)
    folder = str(stack.frames[0].path.parent)
    assert main(["render", folder, str(tmp_path / "x.png"), "--overlay", str(tmp_path / "d.dcm")]) == 0

from __future__ import annotations

import numpy as np
import pytest

from medviewer.errors import BadInput
from medviewer.phantom.lesion import COMMON_KINDS, RARE_KINDS
from medviewer.phantom.nodules import PhantomCase, longest_extent, nodule_cases

ALL_KINDS = (*COMMON_KINDS, *RARE_KINDS)


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return nodule_cases(ALL_KINDS, len(ALL_KINDS), seed=11)


def by_kind(cases: list[PhantomCase], kind: str) -> PhantomCase:
    return next(case for case in cases if case.kind == kind)


def test_each_case_is_a_crop_with_its_nodule_in_the_middle(cases: list[PhantomCase]) -> None:
    for case in cases:
        assert case.image.dtype == np.int16
        assert case.image.shape == case.mask.shape == case.readers.shape
        assert case.image.shape[1:] == (128, 128)
        middle = np.argwhere(case.mask).mean(axis=0)
        assert np.all(np.abs(middle[1:] - 64) * case.pixel_mm < 6), case.kind
        assert not case.mask[:2].any()
        assert not case.mask[-2:].any()
        assert 0.55 <= case.pixel_mm <= 0.85
        assert 0.7 <= case.slice_spacing_mm <= 2.5


def test_the_readers_consensus_is_exactly_the_truth_and_they_differ(cases: list[PhantomCase]) -> None:
    overlaps = []
    for case in cases:
        masks = [(case.readers >> r) & 1 == 1 for r in range(case.n_readers)]
        votes = np.sum(masks, axis=0)
        assert np.array_equal(votes * 2 >= case.n_readers, case.mask), case.kind
        assert not (case.readers >> case.n_readers).any()
        overlaps += [
            2 * (a & b).sum() / (a.sum() + b.sum())
            for n, a in enumerate(masks)
            for b in masks[:n]
            if a.any() or b.any()
        ]
    # Readers of real nodules: 0.76 on average.
    assert 0.65 < np.mean(overlaps) < 0.92


def test_what_a_nodule_is_made_of_can_be_measured(cases: list[PhantomCase]) -> None:
    from scipy.ndimage import binary_erosion

    def inner(case: PhantomCase) -> np.ndarray:
        return case.image[binary_erosion(case.mask, iterations=2)]

    solid = by_kind(cases, "solid")
    assert abs(np.median(inner(solid)) - solid.hu) < 40
    glass = by_kind(cases, "ground-glass")
    assert abs(np.median(inner(glass)) - glass.hu) < 90
    part = inner(by_kind(cases, "part-solid"))
    assert np.percentile(part, 10) < -350
    assert np.percentile(part, 97) > -150
    cavity = inner(by_kind(cases, "cavitary"))
    assert np.percentile(cavity, 20) < -850


def test_around_a_free_nodule_there_is_lung_and_at_the_wall_there_is_wall(cases: list[PhantomCase]) -> None:
    from scipy.ndimage import binary_dilation

    def ring(case: PhantomCase) -> np.ndarray:
        near = binary_dilation(case.mask, iterations=2)
        return case.image[binary_dilation(near, iterations=2) & ~near]

    assert np.mean(ring(by_kind(cases, "solid")) < -600) > 0.75
    wall = ring(by_kind(cases, "juxta-pleural"))
    assert np.mean(wall > -200) > 0.15
    assert np.mean(wall < -600) > 0.25


def test_patients_do_not_depend_on_how_many_are_asked_for() -> None:
    few, more = nodule_cases(("solid",), 1, seed=5), nodule_cases(("solid",), 2, seed=5)
    assert np.array_equal(few[0].image, more[0].image)
    assert np.array_equal(few[0].readers, more[0].readers)
    assert few[0].ratings == more[0].ratings
    assert more[0].patient_id != more[1].patient_id
    assert not np.array_equal(more[0].image[:5], more[1].image[:5])


def test_a_patient_with_two_nodules_keeps_scanner_and_name() -> None:
    first, second = nodule_cases(("small", "solid"), 1, seed=6, per_patient=2)
    assert first.patient_id == second.patient_id
    assert first.nodule_id != second.nodule_id
    assert (first.pixel_mm, first.slice_spacing_mm) == (second.pixel_mm, second.slice_spacing_mm)
    assert (first.kind, second.kind) == ("small", "solid")


def test_the_crop_is_a_volume_whose_grid_finds_the_nodule(cases: list[PhantomCase]) -> None:
    case = by_kind(cases, "solid")
    grid = case.volume.grid
    assert grid is not None
    k, j, i = np.rint(grid.lps_to_index(case.centre_lps)).astype(int)
    assert case.mask[k, j, i]
    assert case.volume_mm3 == pytest.approx(case.mask.sum() * grid.voxel_volume_mm3, rel=1e-5)


def test_an_unknown_kind_is_refused_before_any_work() -> None:
    with pytest.raises(BadInput, match="no nodules of kind 'cubic'"):
        nodule_cases(("cubic",), 3)


def test_longest_extent_is_the_largest_distance_of_two_pixels_in_one_slice() -> None:
    mask = np.zeros((2, 20, 20), dtype=np.bool_)
    mask[0, 3, 2:8] = True
    mask[1, 5:9, 5:8] = True
    assert longest_extent(mask) == pytest.approx(6.0)
    mask[1, 12, 11] = True
    assert longest_extent(mask) == pytest.approx(np.hypot(7, 6) + 1)

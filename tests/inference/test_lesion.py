"""Connected parts and diameters, against plain geometry and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.inference.lesion import component_at_click, longest_diameter_mm


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return np.asarray(np.sum((grid - np.asarray(centre)) ** 2, -1) <= radius**2)


def test_only_the_part_at_the_click_is_kept() -> None:
    small, large = ball((20, 60, 60), (10, 20, 20), 4), ball((20, 60, 60), (10, 45, 45), 8)
    found = component_at_click(small | large, (10, 21, 19), (1, 1, 1))
    np.testing.assert_array_equal(found, small)


def test_a_click_just_beside_still_finds_it() -> None:
    lesion = ball((20, 60, 60), (10, 20, 20), 4)
    np.testing.assert_array_equal(component_at_click(lesion, (10, 20, 26), (1, 1, 1)), lesion)


def test_a_far_part_is_not_the_lesion_that_was_clicked() -> None:
    lesion = ball((20, 60, 60), (10, 45, 45), 4)
    assert not component_at_click(lesion, (10, 10, 10), (1, 1, 1)).any()


def test_distance_counts_in_millimetres() -> None:
    lesion = ball((20, 60, 60), (3, 30, 30), 2)
    assert component_at_click(lesion, (9, 30, 30), (1.0, 0.7, 0.7)).any()
    assert not component_at_click(lesion, (9, 30, 30), (5.0, 0.7, 0.7)).any()


def test_nothing_gives_nothing() -> None:
    assert not component_at_click(np.zeros((3, 4, 5), bool), (1, 1, 1), (1, 1, 1)).any()
    assert longest_diameter_mm(np.zeros((3, 4, 5), bool), (1, 1, 1)) == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), pixel=st.floats(0.4, 1.2))
def test_diameter_is_the_largest_distance_of_two_pixels_plus_one(seed: int, pixel: float) -> None:
    from scipy.spatial.distance import pdist

    rng = np.random.default_rng(seed)
    mask = rng.random((4, 12, 12)) < 0.2
    expected = 0.0
    for plane in mask:
        points = np.argwhere(plane) * pixel
        if len(points):
            expected = max(expected, (pdist(points).max() if len(points) > 1 else 0.0) + pixel)
    assert longest_diameter_mm(mask, (2.0, pixel, pixel)) == pytest.approx(expected)

"""Boxes and crops in a cut: the same as cutting the whole volume, in every orientation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.desktop.viewport.overlay import OverlayPicture, box_in_cut, crop_in_cut, palette, premultiplied
from medviewer.volume.plane import PlaneAxes, PlaneName

SIZE = (5, 6, 7)

ALL_AXES = [
    PlaneAxes(PlaneName.AXIAL, through, down, right, flip_down, flip_right)
    for through, down, right in itertools.permutations(range(3))
    for flip_down in (False, True)
    for flip_right in (False, True)
]

boxes = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in SIZE))


@settings(max_examples=40)
@given(boxes, st.sampled_from(ALL_AXES))
def test_a_box_s_rectangle_is_where_its_voxels_are(box, axes):
    slices = tuple(slice(a, min(a + n, size)) for (a, n), size in zip(box, SIZE, strict=True))
    whole = np.zeros(SIZE, dtype=bool)
    whole[slices] = True
    for position in range(SIZE[axes.through]):
        cut = axes.cut(whole, position)
        found = box_in_cut(axes, SIZE, slices, position)
        drawn = np.zeros_like(cut)
        if found is not None:
            drawn[found] = True
        assert np.array_equal(drawn, cut)


@settings(max_examples=40)
@given(boxes, st.sampled_from(ALL_AXES), st.integers(0, 2**31))
def test_a_crop_lies_where_the_whole_would(box, axes, seed):
    slices = tuple(slice(a, min(a + n, size)) for (a, n), size in zip(box, SIZE, strict=True))
    whole = np.zeros(SIZE, dtype=np.uint8)
    crop = np.random.default_rng(seed).integers(0, 2, [s.stop - s.start for s in slices]).astype(np.uint8)
    whole[slices] = crop
    for position in range(SIZE[axes.through]):
        cut = axes.cut(whole, position)
        drawn = np.zeros_like(cut)
        found = crop_in_cut(axes, SIZE, tuple(s.start for s in slices), crop, position)
        if found is not None:
            part, (row, column) = found
            drawn[row : row + part.shape[0], column : column + part.shape[1]] = part
        assert np.array_equal(drawn, cut)


def test_recolouring_a_rectangle_equals_recolouring_all():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (40, 50)).astype(np.uint8)
    colours = palette({1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}, {2}, 0.5)
    picture = OverlayPicture(labels)
    picture.recolour_all(colours)
    labels[5:12, 8:30] = rng.integers(0, 4, (7, 22))
    picture.recolour(slice(5, 12), slice(8, 30))
    fresh = OverlayPicture(labels)
    fresh.recolour_all(colours)
    assert picture.image() == fresh.image()
    assert [n for n, _ in picture.outlines()] == [1, 3], "hidden segments have no outline"


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 0), (1.0, 0xFFE69F00)])
def test_premultiplied_colours(alpha, expected):
    assert premultiplied((0xE6, 0x9F, 0x00), alpha) == expected

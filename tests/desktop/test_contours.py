"""Outlines: they enclose exactly the mask, wherever it lies and whatever it looks like."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PySide6.QtCore import QPointF, Qt

from medviewer.desktop.viewport.contours import bounding_box, outlines
from medviewer.desktop.viewport.overlay import path_of

masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@settings(max_examples=60)
@given(masks, st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
def test_the_outline_holds_the_mask_s_voxels_and_no_other(mask, start):
    path = path_of(outlines(mask, start))
    path.setFillRule(Qt.FillRule.OddEvenFill)
    for row in range(-1, mask.shape[0] + 1):
        for column in range(-1, mask.shape[1] + 1):
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and bool(mask[row, column])
            centre = QPointF(column + start[1] + 0.5, row + start[0] + 0.5)
            assert path.contains(centre) == inside


def test_an_empty_mask_has_no_outline():
    assert outlines(np.zeros((4, 5), dtype=bool)) == []
    assert bounding_box(np.zeros((4, 5), dtype=bool)) is None


def test_a_square_s_outline_runs_half_way_to_its_neighbours():
    mask = np.zeros((6, 6), dtype=bool)
    mask[2:4, 1:5] = True
    (line,) = outlines(mask)
    assert line[:, 0].min() == 1.5 and line[:, 0].max() == 3.5
    assert line[:, 1].min() == 0.5 and line[:, 1].max() == 4.5


def test_a_hole_has_an_outline_of_its_own():
    mask = np.ones((7, 7), dtype=bool)
    mask[3, 3] = False
    assert len(outlines(mask)) == 2

"""Zoom and pan: there and back, fixed points, limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medviewer.desktop.viewport.placing import MAX_ZOOM, MIN_ZOOM, STRIP_GROWS, Placing

sizes = st.integers(1, 3000)
millimetres = st.floats(0.05, 8.0)
screens = st.floats(20, 4000)
places = st.floats(-500, 3500)


@st.composite
def placings(draw):
    placing = Placing.fitted(
        (draw(sizes), draw(sizes)), (draw(millimetres), draw(millimetres)), (draw(screens), draw(screens))
    )
    placing = placing.zoomed(draw(st.floats(0.3, 6.0)), draw(places), draw(places))
    return placing.panned(draw(st.floats(-200, 200)), draw(st.floats(-200, 200)))


@given(placings(), places, places)
def test_to_the_screen_and_back(placing, row, column):
    x, y = placing.to_screen(row, column)
    assert placing.to_picture(x, y) == pytest.approx((row, column), rel=1e-6, abs=1e-4)


@given(placings(), st.floats(0.5, 2.0), places, places)
def test_zooming_keeps_what_lies_under_the_pointer(placing, factor, x, y):
    before = placing.to_picture(x, y)
    after = placing.zoomed(factor, x, y)
    assert after.to_picture(x, y) == pytest.approx(before, rel=1e-6, abs=1e-3)
    assert MIN_ZOOM * 0.999 <= after.zoom <= MAX_ZOOM * 1.001


@given(sizes, sizes, millimetres, millimetres, screens, screens)
def test_a_fitted_picture_fills_the_view_one_way_and_stays_inside(rows, columns, row_mm, column_mm, width, height):
    placing = Placing.fitted((rows, columns), (row_mm, column_mm), (width, height))
    left, top, wide, high = placing.rectangle()
    assert left >= -1e-6 * width and top >= -1e-6 * height
    assert wide <= width * (1 + 1e-9) and high <= height * (1 + 1e-9)
    assert wide == pytest.approx(width) or high == pytest.approx(height)


def test_one_pixel_is_as_wide_as_its_millimetres():
    placing = Placing.fitted((10, 10), (2.0, 0.5), (500, 500))
    (x0, y0), (x1, y1) = placing.to_screen(3, 3), placing.to_screen(4, 4)
    assert (y1 - y0) / (x1 - x0) == pytest.approx(4.0)


def test_a_picture_cannot_be_lost_by_panning():
    placing = Placing.fitted((100, 100), (1.0, 1.0), (300, 300)).panned(10_000, -10_000)
    left, top, wide, high = placing.rectangle()
    assert left < 300 and top + high > 0
    assert wide > 0


@given(sizes, sizes, millimetres, millimetres, screens, screens, st.floats(0, 1), st.floats(0, 1))
def test_a_strip_grows_and_keeps_the_place_in_sight(rows, columns, row_mm, column_mm, width, height, down, right):
    view = (width, height)
    fit = Placing.fitted((rows, columns), (row_mm, column_mm), view)
    at = (down * (rows - 1), right * (columns - 1))
    filled = Placing.filled((rows, columns), (row_mm, column_mm), view, at)
    assert fit.scale <= filled.scale <= fit.scale * STRIP_GROWS * 1.0001
    x, y = filled.to_screen(*at)
    assert -1e-6 * width <= x <= width * (1 + 1e-6) and -1e-6 * height <= y <= height * (1 + 1e-6)
    left, top, wide, high = filled.rectangle()
    if wide >= width * 1.0001:
        assert left <= 1e-6 * wide and left + wide >= width - 1e-6 * wide, (
            "no empty edge beside a picture that is wider"
        )
    if high >= height * 1.0001:
        assert top <= 1e-6 * high and top + high >= height - 1e-6 * high


def test_a_picture_that_is_no_strip_is_fitted():
    assert Placing.filled((100, 100), (1, 1), (300, 200), (5, 5)) == Placing.fitted((100, 100), (1, 1), (300, 200))

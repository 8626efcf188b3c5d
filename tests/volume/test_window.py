"""Window functions give PS3.3's values; the table gives what the function gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medviewer.volume.volume import Volume
from medviewer.volume.window import GreyMapper, VoiFunction, Window, auto_window


@pytest.mark.parametrize(
    ("function", "value", "brightness"),
    [
        (VoiFunction.LINEAR, -160, 0.0),
        (VoiFunction.LINEAR, -159, 0.639),
        (VoiFunction.LINEAR, 0, 102.256),
        (VoiFunction.LINEAR, 40, 127.820),
        (VoiFunction.LINEAR, 239, 255.0),
        (VoiFunction.LINEAR_EXACT, -159, 0.638),
        (VoiFunction.LINEAR_EXACT, 0, 102.0),
        (VoiFunction.LINEAR_EXACT, 40, 127.5),
        (VoiFunction.LINEAR_EXACT, 240, 255.0),
        (VoiFunction.SIGMOID, -160, 30.397),
        (VoiFunction.SIGMOID, 0, 102.335),
        (VoiFunction.SIGMOID, 240, 224.603),
    ],
)
def test_brightness_at_level_40_width_400(function: VoiFunction, value: float, brightness: float) -> None:
    assert Window(400, 40, function).apply(value) == pytest.approx(brightness, abs=5e-4)


def test_a_window_of_width_one_is_a_step() -> None:
    assert list(Window(1, 40).apply([39, 40])) == [0.0, 255.0]


@given(
    st.sampled_from(["int16", "uint16", "uint8", "int8"]),
    st.floats(1, 4000),
    st.floats(-1200, 3000),
    st.sampled_from(list(VoiFunction)),
    st.booleans(),
)
def test_the_table_gives_what_the_function_gives(
    dtype: str, width: float, level: float, function: VoiFunction, invert: bool
) -> None:
    info = np.iinfo(dtype)
    stored = np.linspace(info.min, info.max, 300).astype(dtype).reshape(1, 20, 15)
    volume = Volume(stored, None, slope=1.5, intercept=-1000.0)
    window = Window(width, level, function)
    grey = GreyMapper(volume, window, invert=invert).grey(stored)
    wanted = np.rint(window.apply(stored.astype(float) * 1.5 - 1000.0))
    assert np.array_equal(grey, 255 - wanted if invert else wanted)


def test_padding_is_black_and_monochrome1_is_inverted() -> None:
    stored = np.array([[[-2000, 0, 100]]], dtype=np.int16)
    volume = Volume(stored, None, padding=(-2000, -2000), inverted=True)
    assert list(GreyMapper(volume, Window(100, 50)).grey(stored).ravel()) == [0, 255, 0]


def test_floats_are_windowed_as_integers_are() -> None:
    values = np.array([[[0.0, 50.0, 100.0]]], dtype=np.float32)
    grey = GreyMapper(Volume(values, None), Window(100, 50, VoiFunction.LINEAR_EXACT)).grey(values)
    assert list(grey.ravel()) == [0, 128, 255]


def test_auto_window_leaves_out_padding_and_slices_that_have_not_arrived() -> None:
    stored = np.zeros((3, 50, 50), dtype=np.int16)
    stored[1] = np.linspace(0, 1000, 2500).astype(np.int16).reshape(50, 50)
    stored[2] = 30000
    volume = Volume(stored, None, padding=(0, 0), loaded=np.array([True, True, False]))
    window = auto_window(volume)
    assert 950 < window.width < 1000
    assert 480 < window.level < 520

"""Colour tables give pydicom's colours: plain, packed, segmented; a supplemental one colours only what it is for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_samples import with_palette
from pydicom import dcmread
from pydicom.pixels.processing import apply_color_lut
from samples import picture, save

from medviewer.formats.load import load_volume, read_frame_rgb, read_supplement
from medviewer.formats.scan import scan
from medviewer.volume.window import GreyMapper

SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def indices(high: int, dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(3).integers(0, high, (14, 11)).astype(dtype)


def palette_picture(pixels: np.ndarray) -> Any:
    return picture(pixels, PhotometricInterpretation="PALETTE COLOR", RescaleSlope=None, RescaleIntercept=None)


@SLOW
@given(st.integers(1, 300), st.integers(0, 200), st.sampled_from([8, 16]), st.integers(0, 2**32 - 1))
def test_colours_are_pydicoms(tmp_path: Path, entries: int, first: int, bits: int, seed: int) -> None:
    even = entries + entries % 2  # pydicom counts the byte that fills up eight-bit tables of odd length
    tables = np.random.default_rng(seed).integers(0, 2**bits, (3, even))
    tables[0, 0] = 2**bits - 1
    pixels = indices(500 if bits == 16 else 256)  # pydicom wraps indices of eight-bit tables
    path = save(with_palette(palette_picture(pixels), tables, first, bits), tmp_path / "a.dcm")
    (stack,) = scan([path]).stacks()
    read = dcmread(path)
    truth = apply_color_lut(read.pixel_array, read)
    assert stack.codes == frozenset()
    assert np.array_equal(read_frame_rgb(stack, 0), truth >> 8 if bits == 16 else truth)


def test_a_segmented_table_is_written_out_as_pydicom_does(tmp_path: Path) -> None:
    red = [0, 2, 10, 60000, 1, 50, 65535, 0, 1, 7, 1, 47, 300]
    green = [0, 1, 65535, 1, 99, 0]
    blue = [0, 1, 5, 1, 49, 40000, 1, 50, 40000]
    data = with_palette(palette_picture(indices(100)), (red, green, blue), 0, 16, segmented=True, entries=100)
    path = save(data, tmp_path / "a.dcm")
    (stack,) = scan([path]).stacks()
    read = dcmread(path)
    assert np.array_equal(read_frame_rgb(stack, 0), apply_color_lut(read.pixel_array, read) >> 8)


def test_an_indirect_segment_repeats_earlier_segments(tmp_path: Path) -> None:
    """PS3.3 C.7.9.2.3: the offset counts bytes, its less significant half comes first."""
    words = [0, 1, 1000, 1, 3, 4000, 2, 2, 0, 0]  # one entry, a ramp of three, and both once more
    expanded = [1000, 2000, 3000, 4000, 1000, 2000, 3000, 4000]
    data = with_palette(
        palette_picture(np.arange(8, dtype="u2").reshape(2, 4)), (words,) * 3, 0, 16, segmented=True, entries=8
    )
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    assert read_frame_rgb(stack, 0)[..., 0].ravel().tolist() == [value >> 8 for value in expanded]


@pytest.mark.parametrize("harm", ["absent", "no data", "bad segment"])
def test_a_damaged_table_costs_the_colours_and_not_the_picture(tmp_path: Path, harm: str) -> None:
    data = palette_picture(indices(256, "u1"))
    if harm == "no data":
        data = with_palette(data, np.zeros((3, 256)), 0, 8)
        del data[0x00281202]
    elif harm == "bad segment":
        data = with_palette(data, [[9, 9, 9, 9]] * 3, 0, 8, segmented=True, entries=256)
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    assert stack.codes == {"bad-window"} and "colour table" in stack.quality[0].detail
    rgb = read_frame_rgb(stack, 0)
    assert np.array_equal(rgb[..., 1], load_volume(stack).voxels[0])


def test_a_supplemental_table_colours_what_lies_above_and_leaves_the_rest_to_the_window(tmp_path: Path) -> None:
    pixels = np.array([[0, 500, 999, 1000], [1001, 1002, 1003, 2000]], dtype="u2")
    data = picture(pixels, RescaleIntercept=0, WindowCenter=500, WindowWidth=1000, PixelPresentation="COLOR")
    colours = np.array([[200, 10, 0, 7], [0, 100, 0, 8], [0, 0, 50, 9]]) * 256
    (stack,) = scan([save(with_palette(data, colours, 1000, 16), tmp_path / "a.dcm")]).stacks()
    assert stack.coloured_from == 1000 and not stack.is_colour
    volume = load_volume(stack)
    grey = GreyMapper(volume, stack.windows[0]).grey(volume.voxels[0])
    rgb = read_supplement(stack).over(grey, volume.voxels[0])
    assert rgb[0, 1].tolist() == [int(grey[0, 1])] * 3 and 0 < grey[0, 1] < 255
    assert rgb[0, 3].tolist() == [200, 0, 0] and rgb[1, 0].tolist() == [10, 100, 0]
    assert rgb[1, 2].tolist() == rgb[1, 3].tolist() == [7, 8, 9]


def test_a_palette_that_is_not_meant_for_the_screen_leaves_the_picture_grey(tmp_path: Path) -> None:
    data = with_palette(picture(indices(100)), np.zeros((3, 8)), 10, 16)
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    assert stack.coloured_from is None and not stack.is_colour


def test_segments_that_lead_round_in_circles_cost_a_sentence_and_no_time(tmp_path: Path) -> None:
    circle = [0, 1, 9, 2, 65535, 6, 0] + [0, 0] * 4000 + [2, 65535, 6, 0] * 4000
    data = with_palette(palette_picture(indices(9)), (circle,) * 3, 0, 16, segmented=True, entries=256)
    path = save(data, tmp_path / "a.dcm")
    before = time.monotonic()
    (stack,) = scan([path]).stacks()
    assert time.monotonic() - before < 5.0 and stack.codes == {"bad-window"}

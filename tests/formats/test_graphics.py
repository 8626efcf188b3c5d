"""Overlay planes and shutters of files: pydicom's bits at their place, cut to the picture, never in the values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_samples import with_overlay
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian
from samples import picture, save

from medviewer.formats.catalog import Stack
from medviewer.formats.load import load_volume, read_graphics
from medviewer.formats.scan import scan

SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def one(path: Path) -> Stack:
    """The only stack of a file."""
    (stack,) = scan([path]).stacks()
    return stack


def random_bits(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Bits that look like nothing."""
    return np.random.default_rng(seed).random(shape) < 0.4


@SLOW
@given(st.integers(1, 40), st.integers(1, 40), st.integers(-20, 40), st.integers(-20, 40), st.integers(0, 15))
def test_an_overlay_lies_at_its_origin_and_is_cut_to_the_picture(
    tmp_path: Path, rows: int, columns: int, row: int, column: int, number: int
) -> None:
    group = 0x6000 + 2 * number
    bits = random_bits((rows, columns), rows * columns)
    path = save(with_overlay(picture(np.zeros((24, 30), "i2")), bits, group, (row, column)), tmp_path / "a.dcm")
    stack = one(path)
    truth = np.zeros((24, 30), dtype=bool)
    for (r, c), bit in np.ndenumerate(dcmread(path).overlay_array(group)):
        if 0 <= r + row - 1 < 24 and 0 <= c + column - 1 < 30:
            truth[r + row - 1, c + column - 1] = bit
    assert np.array_equal(read_graphics(stack, 0).lines, truth)
    assert not load_volume(stack).voxels.any()


def test_frames_of_an_overlay_follow_one_another_without_filling(tmp_path: Path) -> None:
    bits = random_bits((3, 5, 7))
    pixels = np.zeros((5, 5, 7), "u2")
    data = picture(pixels, NumberOfFrames=5, Modality="XA", SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1")
    path = save(with_overlay(data, bits, first=2), tmp_path / "a.dcm")
    stack = one(path)
    truth = dcmread(path).overlay_array(0x6000)
    found = [read_graphics(stack, n).lines for n in range(5)]
    assert found[0] is None and found[4] is None
    assert all(np.array_equal(found[n + 1], truth[n]) for n in range(3))


def test_an_overlay_in_big_endian_words(tmp_path: Path) -> None:
    bits = random_bits((9, 11))
    raw = np.packbits(bits.reshape(-1), bitorder="little").tobytes() + b"\0"
    swapped = np.frombuffer(raw, "<u2").astype(">u2").tobytes()
    data = with_overlay(picture(np.zeros((9, 11), "u2")), bits, raw=swapped)
    data.PixelData = b"\0" * 198
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    path = tmp_path / "a.dcm"
    dcmwrite(path, data, little_endian=False, implicit_vr=False, force_encoding=True)
    assert np.array_equal(read_graphics(one(path), 0).lines, bits)


@pytest.mark.parametrize("bit", [12, 15])
def test_an_overlay_in_unused_bits_of_the_pixels(tmp_path: Path, bit: int) -> None:
    bits = random_bits((8, 6))
    values = np.arange(48, dtype="u2").reshape(8, 6) * 85
    data = picture(values | (bits.astype("u2") << bit), BitsStored=12, HighBit=11, RescaleIntercept=0)
    data.add_new(0x60000010, "US", 8)
    data.add_new(0x60000011, "US", 6)
    data.add_new(0x60000040, "CS", "G")
    data.add_new(0x60000050, "SS", [1, 1])
    data.add_new(0x60000100, "US", 16)
    data.add_new(0x60000102, "US", bit)
    stack = one(save(data, tmp_path / "a.dcm"))
    assert np.array_equal(read_graphics(stack, 0).lines, bits)
    assert np.array_equal(load_volume(stack).voxels[0], values)
    assert stack.codes == frozenset()


def test_regions_are_kept_apart_from_lines(tmp_path: Path) -> None:
    lines, region = random_bits((6, 6), 1), random_bits((6, 6), 2)
    data = with_overlay(picture(np.zeros((6, 6), "i2")), lines)
    stack = one(save(with_overlay(data, region, 0x6002, kind="R"), tmp_path / "a.dcm"))
    graphics = read_graphics(stack, 0)
    assert np.array_equal(graphics.lines, lines) and np.array_equal(graphics.regions, region)


def test_an_overlay_that_is_too_short_is_flagged_and_the_others_are_drawn(tmp_path: Path) -> None:
    bits = random_bits((8, 8))
    data = with_overlay(picture(np.zeros((8, 8), "i2")), bits, raw=b"\xff\xff")
    stack = one(save(with_overlay(data, bits, 0x6004), tmp_path / "a.dcm"))
    assert stack.codes == {"bad-overlay"} and "6000" in stack.quality[0].detail
    assert np.array_equal(read_graphics(stack, 0).lines, bits)


def test_a_rectangular_and_a_circular_shutter_close_what_either_closes(tmp_path: Path) -> None:
    data = picture(np.zeros((30, 40), "i2"), PixelSpacing=[2.0, 1.0])
    data.ShutterShape = ["RECTANGULAR", "CIRCULAR"]
    data.ShutterLeftVerticalEdge, data.ShutterRightVerticalEdge = 5, 36
    data.ShutterUpperHorizontalEdge, data.ShutterLowerHorizontalEdge = 3, 28
    data.CenterOfCircularShutter, data.RadiusOfCircularShutter = [15, 20], 14
    data.ShutterPresentationValue = 65535
    graphics = read_graphics(one(save(data, tmp_path / "a.dcm")), 0)
    truth = np.ones((30, 40), dtype=bool)
    for r in range(1, 31):
        for c in range(1, 41):
            far = (2.0 * (r - 15)) ** 2 + (c - 20) ** 2  # pixels are twice as high as wide
            truth[r - 1, c - 1] = not (5 <= c <= 36 and 3 <= r <= 28 and far <= 14**2)
    assert np.array_equal(graphics.covered, truth) and graphics.brightness == 1.0


@SLOW
@given(st.lists(st.tuples(st.integers(-3, 44), st.integers(-3, 48)), min_size=3, max_size=3, unique=True))
def test_a_polygonal_shutter_is_open_inside(tmp_path: Path, corners: list[tuple[int, int]]) -> None:
    """A triangle: inside is what lies on one side of all edges."""
    data = picture(np.zeros((40, 44), "i2"), ShutterShape="POLYGONAL")
    data.VerticesOfThePolygonalShutter = np.ravel(corners).tolist()
    covered = read_graphics(one(save(data, tmp_path / "a.dcm")), 0).covered
    row, column = np.mgrid[1:41, 1:45]
    sides = np.array(
        [
            (c1 - c0) * (row - r0) - (r1 - r0) * (column - c0)
            for (r0, c0), (r1, c1) in zip(corners, corners[1:] + corners[:1], strict=True)
        ]
    )
    inside = (sides > 0).all(axis=0) | (sides < 0).all(axis=0)
    outside = (sides > 0).any(axis=0) & (sides < 0).any(axis=0)
    assert covered is not None and not covered[inside].any() and covered[outside].all()


def test_a_polygonal_shutter_may_have_a_dent(tmp_path: Path) -> None:
    data = picture(np.zeros((12, 12), "i2"), ShutterShape="POLYGONAL")
    data.VerticesOfThePolygonalShutter = [2, 2, 2, 10, 6, 10, 6, 5, 10, 5, 10, 2]  # an L, (row, column)
    covered = read_graphics(one(save(data, tmp_path / "a.dcm")), 0).covered
    opened = np.zeros((12, 12), dtype=bool)
    opened[1:6, 1:10] = True
    opened[1:10, 1:5] = True
    assert np.array_equal(~covered, opened)


def test_a_shutter_of_a_frame(tmp_path: Path) -> None:
    data = picture(
        np.zeros((2, 10, 10), "u2"),
        NumberOfFrames=2,
        Modality="XA",
        PixelSpacing=None,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1.1",
    )
    frames = []
    for n in range(2):
        frame, shutter = Dataset(), Dataset()
        shutter.ShutterShape, shutter.ShutterPresentationValue = "CIRCULAR", 0
        shutter.CenterOfCircularShutter, shutter.RadiusOfCircularShutter = [5, 5], 2 + n
        frame.FrameDisplayShutterSequence = Sequence([shutter])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    stack = one(save(data, tmp_path / "a.dcm"))
    opened = [int((~read_graphics(stack, n).covered).sum()) for n in range(2)]
    assert opened == [13, 29]  # lattice points within 2 and 3 of a point


def test_a_shutter_with_numbers_out_of_this_world_is_no_shutter(tmp_path: Path) -> None:
    data = picture(np.zeros((4, 4), "i2"), ShutterShape="CIRCULAR")
    data.CenterOfCircularShutter, data.RadiusOfCircularShutter = [1, 1], 2_000_000_000
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    assert not stack.has_graphics


def test_a_shutter_without_its_numbers_is_no_shutter(tmp_path: Path) -> None:
    stack = one(save(picture(np.zeros((4, 4), "i2"), ShutterShape=["CIRCULAR", "POLYGONAL"]), tmp_path / "a.dcm"))
    assert not stack.has_graphics

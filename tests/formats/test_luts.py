"""Modality LUTs, VOI LUTs and windows of files give what pydicom's own functions give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_samples import lut
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.sequence import Sequence
from samples import picture, save

from medviewer.formats.digest import digest
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from medviewer.volume.window import GreyMapper, VoiFunction


def one(path: Path) -> tuple[Any, Any]:
    """The only stack of a file and its volume."""
    (stack,) = scan([path]).stacks()
    return stack, load_volume(stack)


@st.composite
def tables(draw: st.DrawFn, widths: tuple[int, ...]) -> tuple[int, list[int], int, bool]:
    signed = draw(st.booleans())
    first = draw(st.integers(-300, 300)) if signed else draw(st.integers(0, 600))
    bits = draw(st.sampled_from(widths))
    count = draw(st.integers(1, 300))
    seed = draw(st.integers(0, 2**32 - 1))
    outputs = np.random.default_rng(seed).integers(0, 2**bits, count)
    return first, outputs.tolist(), bits, signed


SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(tables((8, 16)))
def test_values_after_a_modality_lut_are_pydicoms(tmp_path: Path, made: Any) -> None:
    first, outputs, bits, signed = made
    low = -900 if signed else 0
    pixels = np.random.default_rng(1).integers(low, 1000, (12, 10)).astype("i2" if signed else "u2")
    pixels[0, :5] = np.clip([first - 1, first, first + 1, first + len(outputs) - 1, first + len(outputs)], low, 1000)
    data = picture(pixels, RescaleSlope=None, RescaleIntercept=None)
    data.ModalityLUTSequence = Sequence([lut(first, outputs, bits, signed=signed)])
    data.ModalityLUTSequence[0].ModalityLUTType = "US"
    path = save(data, tmp_path / "a.dcm")
    stack, volume = one(path)
    read = dcmread(path)
    truth = apply_modality_lut(read.pixel_array, read).astype(float)
    assert np.array_equal(volume.values()[0], truth)
    assert volume.value_at((0, 3, 4)) == truth[3, 4]
    sums = digest(stack)
    assert (sums.low, sums.high) == (truth.min(), truth.max()) and sums.mean == pytest.approx(truth.mean())
    assert stack.codes == frozenset()


@SLOW
@given(tables((10, 12, 16)), st.sampled_from([-50.0, 0.0, 20.0]))  # pydicom wraps inputs of eight-bit tables
def test_brightness_under_a_voi_lut_is_pydicoms(tmp_path: Path, made: Any, intercept: float) -> None:
    first, outputs, bits, signed = made
    pixels = np.random.default_rng(2).integers(-700 if signed else 0, 700, (12, 10)).astype("i2" if signed else "u2")
    data = picture(pixels, WindowCenter=None, WindowWidth=None, RescaleIntercept=intercept)
    data.VOILUTSequence = Sequence([lut(first, outputs, bits, signed=signed)])
    data.VOILUTSequence[0].LUTExplanation = "NORMAL"
    path = save(data, tmp_path / "a.dcm")
    stack, volume = one(path)
    assert [window.explanation for window in stack.windows] == ["NORMAL"]
    read = dcmread(path)
    values = apply_modality_lut(read.pixel_array, read)
    truth = apply_voi_lut(values.astype("int32"), read, prefer_lut=True).astype(float) * 255 / (2**bits - 1)
    grey = GreyMapper(volume, stack.windows[0]).grey(volume.voxels[0]).astype(float)
    assert np.abs(grey - truth).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("function", list(VoiFunction))
@pytest.mark.parametrize(("width", "level"), [(400.0, 40.0), (1.0, 0.0), (2.5, 100.25), (4096.0, 1024.0)])
def test_brightness_under_a_window_is_pydicoms(
    tmp_path: Path, function: VoiFunction, width: float, level: float
) -> None:
    pixels = np.arange(-1200, 2800, dtype="i2").reshape(50, 80)
    data = picture(pixels, WindowCenter=level, WindowWidth=width, VOILUTFunction=function.value)
    path = save(data, tmp_path / "a.dcm")
    stack, volume = one(path)
    read = dcmread(path)
    read.BitsStored = 16
    with np.errstate(over="ignore"):
        truth = apply_windowing(apply_modality_lut(read.pixel_array, read), read)
    low, high = (-32768 - 1024, 32767 - 1024)  # pydicom spreads over all values that the pixels could have
    truth = (truth - low) / (high - low) * 255
    grey = GreyMapper(volume, stack.windows[0]).grey(volume.voxels[0]).astype(float)
    assert np.abs(grey - truth).max() <= 0.51


def test_a_table_of_65536_entries_is_written_as_zero(tmp_path: Path) -> None:
    outputs = np.arange(65536)[::-1]
    data = picture(np.array([[0, 1, 65535, 0]], dtype="u2"), RescaleSlope=None, RescaleIntercept=None)
    data.ModalityLUTSequence = Sequence([lut(0, outputs, 16, declared=65536)])
    _, volume = one(save(data, tmp_path / "a.dcm"))
    assert volume.values().ravel().tolist() == [65535, 65534, 0, 65535]


def test_eight_bit_entries_may_be_packed_or_stand_in_words(tmp_path: Path) -> None:
    outputs = np.arange(256)[::-1]
    for name, raw in (("words", outputs.astype("<u2").tobytes()), ("packed", outputs.astype("u1").tobytes())):
        data = picture(np.array([[0, 3, 255, 0]], dtype="u1"), RescaleSlope=None, RescaleIntercept=None)
        item = lut(0, outputs, 8)
        item["LUTData"].value = raw
        data.ModalityLUTSequence = Sequence([item])
        _, volume = one(save(data, tmp_path / f"{name}.dcm"))
        assert volume.values().ravel().tolist() == [255, 252, 0, 255], name


def test_a_table_shorter_than_said_is_used_and_flagged(tmp_path: Path) -> None:
    pixels = np.array([[0, 2, 9, 1]], dtype="u2")
    data = picture(pixels, RescaleSlope=None, RescaleIntercept=None, WindowCenter=None, WindowWidth=None)
    data.ModalityLUTSequence = Sequence([lut(0, [7, 8, 9], 12, declared=10)])
    data.VOILUTSequence = Sequence([lut(0, [7, 8, 9], 12, declared=10)])
    stack, volume = one(save(data, tmp_path / "a.dcm"))
    assert volume.values().ravel().tolist() == [7, 9, 9, 8]
    assert stack.codes == {"bad-rescale", "bad-window"}


def test_a_modality_lut_is_not_rescaled_on_top(tmp_path: Path) -> None:
    data = picture(np.array([[0, 1, 2, 2]], dtype="u2"), RescaleSlope=3, RescaleIntercept=5)
    data.ModalityLUTSequence = Sequence([lut(0, [10, 20, 30], 8)])
    data.ModalityLUTSequence[0].ModalityLUTType = "HU"
    stack, volume = one(save(data, tmp_path / "a.dcm"))
    assert volume.values().ravel().tolist() == [10, 20, 30, 30] and stack.unit == "HU"


def test_slices_of_a_series_may_have_unlike_tables(tmp_path: Path) -> None:
    for n, outputs in enumerate(([10, 20], [30, 40], [50, 60])):
        data = picture(
            np.array([[0, 1], [1, 0]], dtype="u2"), RescaleSlope=None, RescaleIntercept=None, InstanceNumber=n + 1,
            ImagePositionPatient=[0.0, 0.0, 2.0 * n],
        )  # fmt: skip
        data.ModalityLUTSequence = Sequence([lut(0, outputs, 8)])
        save(data, tmp_path / f"{n}.dcm")
    _, volume = one(tmp_path)
    assert volume.values()[:, 0].tolist() == [[10, 20], [30, 40], [50, 60]]
    assert volume.values((1, 0, 0), (1, 1, 2)).ravel().tolist() == [30, 40]
    assert not volume.has_one_rescale


def test_windows_and_tables_are_listed_with_their_names(tmp_path: Path) -> None:
    data = picture(np.zeros((4, 4), "i2"), WindowCenter=[40, -600], WindowWidth=[400, 1500])
    data.WindowCenterWidthExplanation = ["SOFT", "LUNG"]
    data.VOILUTSequence = Sequence([lut(-100, [0, 100, 255], 8, signed=True), lut(0, [255, 0], 8, signed=True)])
    stack, _ = one(save(data, tmp_path / "a.dcm"))
    assert [(w.table is not None, w.explanation) for w in stack.windows] == [
        (True, ""), (True, ""), (False, "SOFT"), (False, "LUNG"),
    ]  # fmt: skip
    assert stack.windows[0].table.first == -100 and stack.windows[0].level == -98.5


@pytest.mark.parametrize(
    ("width", "level", "usable"),
    [
        ("0", "40", 0),
        ("-1", "40", 0),
        ("400", None, 0),
        (None, "40", 0),
        ("400", "4,5", 0),
        (["400", "0"], ["4", "5"], 1),
    ],
)
def test_windows_that_make_no_sense_are_left_out_and_flagged(
    tmp_path: Path, width: Any, level: Any, usable: int
) -> None:
    data = picture(np.zeros((4, 4), "i2"), WindowCenter=None, WindowWidth=None)
    for tag, value in ((0x00281051, width), (0x00281050, level)):
        if value is not None:
            text = "\\".join(value) if isinstance(value, list) else value
            data.add_new(tag, "LO", text)  # a DS that pydicom would refuse to write
    path = tmp_path / "a.dcm"
    data.save_as(path)
    raw = path.read_bytes()
    for tag in (b"\x28\x00\x50\x10", b"\x28\x00\x51\x10"):
        raw = raw.replace(tag + b"LO", tag + b"DS")
    path.write_bytes(raw)
    stack, _ = one(path)
    assert len(stack.windows) == usable and stack.codes == {"bad-window"}


def test_slopes_of_pet_survive_however_small(tmp_path: Path) -> None:
    slopes = [6e-8, 1.5e-7, 9e-6]
    pixels = np.arange(64, dtype="i2").reshape(8, 8) * 500
    for n, slope in enumerate(slopes):
        save(
            picture(
                pixels, RescaleSlope=f"{slope:g}", RescaleIntercept=0, Modality="PT", InstanceNumber=n + 1,
                ImagePositionPatient=[0.0, 0.0, 2.0 * n], WindowCenter=None, WindowWidth=None,
                SOPClassUID="1.2.840.10008.5.1.4.1.1.128",
            ),
            tmp_path / f"{n}.dcm",
        )  # fmt: skip
    from medviewer.volume.window import auto_window

    stack, volume = one(tmp_path)
    assert np.allclose(volume.values(), pixels[None] * np.array(slopes)[:, None, None], rtol=1e-6)
    grey = GreyMapper(volume, auto_window(volume)).grey(volume.voxels[2], 2)
    assert grey.min() == 0 and grey.max() == 255 and np.unique(grey).size > 60
    assert digest(stack).high == pytest.approx(63 * 500 * 9e-6)


def test_frames_have_their_own_windows_and_tables(tmp_path: Path) -> None:
    data = picture(
        np.arange(12, dtype="u2").reshape(3, 2, 2), ImageOrientationPatient=None, ImagePositionPatient=None,
        PixelSpacing=None, WindowCenter=None, WindowWidth=None, NumberOfFrames=3, Modality="XA",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1.1",
    )  # fmt: skip
    frames = []
    for n in range(3):
        voi, frame = Dataset(), Dataset()
        if n == 2:
            voi.VOILUTSequence = Sequence([lut(0, [0, 255], 8)])
        else:
            voi.WindowCenter, voi.WindowWidth = 10 * n + 5, 20
        frame.FrameVOILUTSequence = Sequence([voi])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    stack, _ = one(save(data, tmp_path / "a.dcm"))
    assert stack.window_by_frame
    assert [(f.windows[0].level, f.windows[0].table is not None) for f in stack.frames] == [
        (5, False), (15, False), (1.0, True),
    ]  # fmt: skip


def test_slices_of_mr_share_the_window_of_median_width(tmp_path: Path) -> None:
    for n, width in enumerate((900, 100, 500, 300, 2000)):
        save(
            picture(
                np.full((4, 4), 50 * n, "i2"), Modality="MR", InstanceNumber=n + 1, WindowWidth=width,
                WindowCenter=width / 2, ImagePositionPatient=[0.0, 0.0, 2.0 * n],
                SOPClassUID="1.2.840.10008.5.1.4.1.1.4",
            ),
            tmp_path / f"{n}.dcm",
        )  # fmt: skip
    stack, _ = one(tmp_path)
    assert stack.windows[0].width == 500 and not stack.window_by_frame


def test_a_lossy_syntax_is_said_even_where_the_file_is_silent(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    data = dcmread(str(get_testdata_file("SC_rgb_small_odd_jpeg.dcm")))
    del data.LossyImageCompression
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    assert "lossy" in stack.codes

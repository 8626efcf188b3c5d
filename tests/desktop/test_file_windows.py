"""What files say about how to show them, in the real window: windows, tables, graphics, colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from medviewer.cli.main import main
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.presets import first_window
from medviewer.desktop.viewport.corner_text import ViewState, view_lines, window_text
from medviewer.desktop.viewport.grey import averaged
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from medviewer.volume.plane import acquired_plane
from medviewer.volume.window import GreyMapper, VoiFunction, Window, auto_window
from tests.formats.picture_samples import lut, with_overlay, with_palette
from tests.formats.samples import picture, save

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def window(qtbot):
    made = MainWindow()
    qtbot.addWidget(made)
    made.resize(1200, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()


def opened(qtbot, window: MainWindow, path: Path) -> None:
    """Open a path and wait until all of its first stack is there."""
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.open_paths([path])
    window.grid.views[0].setFocus()
    QApplication.processEvents()


def press(window: MainWindow, key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(QApplication.focusWidget() or window, key, held)
    QApplication.processEvents()


def pixel(window: MainWindow, row: float, column: float) -> tuple[int, int, int]:
    """The colour on the screen in the middle of a picture's pixel (row, column from 0)."""
    view = window.grid.views[0]
    image: QImage = view.grab().toImage()
    x, y = view.placing.to_screen(row, column)
    ratio = image.devicePixelRatio()
    found = image.pixelColor(round(x * ratio), round(y * ratio))
    return found.red(), found.green(), found.blue()


def brightness(window: MainWindow, row: float, column: float) -> int:
    red, green, blue = pixel(window, row, column)
    assert red == green == blue
    return red


def ct(pixels: np.ndarray, **elements: Any) -> Any:
    """Pixels whose value is what is stored, without position: one view."""
    return picture(pixels, RescaleIntercept=0, ImageOrientationPatient=None, ImagePositionPatient=None, **elements)


def test_key_0_walks_through_windows_and_tables_of_the_file_and_dragging_leaves_a_table(qtbot, window, tmp_path):
    data = ct(np.tile(np.arange(64, dtype="u2") * 4, (64, 1)), WindowCenter=[100, 50], WindowWidth=[200, 20])
    data.WindowCenterWidthExplanation = ["WIDE", "NARROW"]
    item = lut(0, np.arange(256)[::-1], 8)
    item.LUTExplanation = "NEGATIVE"
    data.VOILUTSequence = [item]
    opened(qtbot, window, save(data, tmp_path / "a.dcm"))
    session = window.session
    assert session.window.explanation == "NEGATIVE"
    assert brightness(window, 32, 2) > 240 and brightness(window, 32, 61) < 30
    seen = []
    for _ in range(4):
        press(window, Qt.Key.Key_0)
        seen.append(session.window.explanation)
    assert seen == ["WIDE", "NARROW", "auto", "NEGATIVE"]
    assert window_text(session.window) == "VOI table   NEGATIVE"
    view = window.grid.views[0]
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(300, 300))
    QTest.mouseMove(view, QPoint(320, 290))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(320, 290))
    assert session.window.table is None and session.window.width > 256
    assert brightness(window, 32, 2) < brightness(window, 32, 61)


def test_digits_choose_the_files_windows_where_there_are_no_presets(qtbot, window, tmp_path):
    data = ct(
        np.tile(np.arange(64, dtype="u2") * 4, (64, 1)), Modality="MG", WindowCenter=[9, 8], WindowWidth=[200, 20]
    )
    opened(qtbot, window, save(data, tmp_path / "a.dcm"))
    press(window, Qt.Key.Key_2)
    assert (window.session.window.width, window.session.window.level) == (20, 8)
    press(window, Qt.Key.Key_1)
    assert (window.session.window.width, window.session.window.level) == (200, 9)
    assert "for CT" in (window.actions_table.why_not("preset-3") or "")


def test_frames_follow_their_own_windows_until_a_person_chooses(qtbot, window, tmp_path):
    from pydicom.dataset import Dataset

    pixels = np.zeros((3, 32, 32), "u2")
    pixels[0], pixels[1], pixels[2] = 100, 1000, 50
    data = ct(pixels, NumberOfFrames=3, Modality="XA", WindowCenter=None, WindowWidth=None)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1.1"
    data.PerFrameFunctionalGroupsSequence = []
    for level in (100, 1000):
        voi, frame = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = level, 20
        frame.FrameVOILUTSequence = [voi]
        data.PerFrameFunctionalGroupsSequence.append(frame)
    data.PerFrameFunctionalGroupsSequence.append(Dataset())
    opened(qtbot, window, save(data, tmp_path / "a.dcm"))
    session = window.session
    press(window, Qt.Key.Key_Home)
    assert session.window.level == 100 and 120 < brightness(window, 16, 16) < 145
    press(window, Qt.Key.Key_Down)
    assert session.window.level == 1000 and 120 < brightness(window, 16, 16) < 145
    assert (
        "own"
        in view_lines(
            session.stack, session.volume, ViewState(acquired_plane(), 1, session.window, 1.0, own_window=True)
        )[0]
    )
    press(window, Qt.Key.Key_Down)
    assert session.window.explanation == "auto"
    session.set_window(Window(500.0, 250.0))
    press(window, Qt.Key.Key_Home)
    assert session.window == Window(500.0, 250.0)
    press(window, Qt.Key.Key_0)
    assert session.window.level == 100


def test_overlay_planes_and_shutters_are_drawn_and_switched_by_key(qtbot, window, tmp_path):
    bits = np.zeros((64, 64), dtype=bool)
    bits[8:16, 8:16] = True
    data = with_overlay(ct(np.full((64, 64), 20, "i2")), bits)
    data.ShutterShape, data.ShutterPresentationValue = "RECTANGULAR", 0
    data.ShutterLeftVerticalEdge, data.ShutterRightVerticalEdge = 1, 32
    data.ShutterUpperHorizontalEdge, data.ShutterLowerHorizontalEdge = 1, 64
    opened(qtbot, window, save(data, tmp_path / "a.dcm"))
    assert window.top.buttons["file-overlays"].isVisible() and window.top.buttons["shutter"].isChecked()
    grey = 115  # 20 under 400 / 40
    qtbot.waitUntil(lambda: pixel(window, 12, 12) == (242, 244, 247))
    assert abs(brightness(window, 40, 12) - grey) <= 1 and brightness(window, 40, 50) == 0
    assert window.session.volume.value_at((0, 12, 12)) == 20
    press(window, Qt.Key.Key_G, SHIFT)
    assert abs(brightness(window, 12, 12) - grey) <= 1 and brightness(window, 40, 50) == 0
    assert window.grid.views[0].hidden_parts() == ("overlay off",)
    press(window, Qt.Key.Key_S, SHIFT)
    assert abs(brightness(window, 40, 50) - grey) <= 1
    assert window.grid.views[0].hidden_parts() == ("overlay off", "shutter open")
    press(window, Qt.Key.Key_G, SHIFT)
    press(window, Qt.Key.Key_S, SHIFT)
    assert pixel(window, 12, 12) == (242, 244, 247) and brightness(window, 40, 50) == 0


def test_a_file_without_graphics_says_so(qtbot, window, tmp_path):
    opened(qtbot, window, save(ct(np.zeros((16, 16), "i2")), tmp_path / "a.dcm"))
    assert window.actions_table.why_not("file-overlays") == "These files have no overlay planes."
    assert window.actions_table.why_not("shutter") == "These files have no shutter."
    assert not window.top.buttons["file-overlays"].isVisible() and not window.top.buttons["shutter"].isVisible()


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_however_the_grey_scale_is_turned(qtbot, window, tmp_path, photometric):
    pixels = np.full((64, 64), 40, "i2")
    pixels[:, :32] = -2000
    data = ct(pixels, PhotometricInterpretation=photometric, PixelPaddingValue=-2000)
    opened(qtbot, window, save(data, tmp_path / "a.dcm"))
    for _ in range(2):
        assert brightness(window, 32, 10) == 0 and 100 < brightness(window, 32, 50) < 150
        press(window, Qt.Key.Key_V)
    assert window.grid.views[0].has_padding()
    volume = window.session.volume
    assert auto_window(volume).level - 1 <= 40 <= auto_window(volume).level + 1
    state = ViewState(acquired_plane(), 0, window.session.window, 1.0, (0, 3, 3))
    assert "padding" in view_lines(window.session.stack, volume, state)[1]


def test_presentation_lut_shape_inverse_and_monochrome1_turn_the_picture_once(tmp_path):
    pixels = np.arange(64, dtype="u2").reshape(8, 8) * 16
    for photometric, shape, turned in (
        ("MONOCHROME2", "IDENTITY", False), ("MONOCHROME2", "INVERSE", True), ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", None, True),
    ):  # fmt: skip
        data = ct(pixels, PhotometricInterpretation=photometric)
        if shape is not None:
            data.PresentationLUTShape = shape
        (stack,) = scan([save(data, tmp_path / f"{photometric}{shape}.dcm")]).stacks()
        assert stack.inverted is turned


def test_colours_are_not_rescaled_and_their_samples_are_told(qtbot, window, tmp_path):
    pixels = np.zeros((32, 32, 3), "u1")
    pixels[..., 0], pixels[..., 1] = 200, 30
    data = ct(pixels, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0, RescaleSlope=2)
    opened(qtbot, window, save(data, tmp_path / "a.dcm"))
    assert pixel(window, 16, 16) == (200, 30, 0)
    view = window.grid.views[0]
    assert view.colour_at((0, 5, 5)) == (200, 30, 0)
    state = ViewState(acquired_plane(), 0, window.session.window, 1.0, (0, 5, 5), colour=(200, 30, 0))
    assert view_lines(window.session.stack, window.session.volume, state) == ("100 %   R 200 G 30 B 0",)


def test_a_supplemental_palette_colours_the_window(qtbot, window, tmp_path):
    pixels = np.full((32, 32), 500, "u2")
    pixels[:, 16:] = 1001
    data = ct(pixels, WindowCenter=500, WindowWidth=1000, PixelPresentation="COLOR")
    colours = np.array([[10, 250], [20, 40], [30, 0]]) * 256
    opened(qtbot, window, save(with_palette(data, colours, 1000, 16), tmp_path / "a.dcm"))
    qtbot.waitUntil(lambda: pixel(window, 16, 24) == (250, 40, 0))
    assert brightness(window, 16, 8) == 128


def test_a_parametric_map_from_0_to_1_is_no_threshold(tmp_path):
    values = np.linspace(0, 1, 1024, dtype="f4").reshape(32, 32)
    data = ct(np.zeros((32, 32), "i4"), WindowCenter=0.5, WindowWidth=1, Modality="OT", PixelSpacing=None)
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.FloatPixelData = values.tobytes()
    path = save(data, tmp_path / "a.dcm")
    assert main(["render", str(path), str(tmp_path / "a.png"), "--size", "320x320", "--no-text"]) == 0
    image = QImage(str(tmp_path / "a.png"))
    shown = np.array([[image.pixelColor(10 * c + 5, 10 * r + 5).red() for c in range(32)] for r in range(32)])
    assert np.abs(shown - values * 255).max() <= 1.0


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_of_floats_and_what_is_no_number_are_black(tmp_path, inverted):
    values = np.array([[-999.5, -999.0, 0.25, np.nan], [0.75, 1.0, 0.0, np.inf]], dtype="f4")
    data = ct(np.zeros((2, 4), "i4"), WindowCenter=0.5, WindowWidth=1, Modality="OT")
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.FloatPixelData, data.FloatPixelPaddingValue, data.FloatPixelPaddingRangeLimit = (
        values.tobytes(),
        -999.0,
        -999.5,
    )
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    volume = load_volume(stack)
    grey = GreyMapper(volume, stack.windows[0], invert=inverted).grey(volume.voxels[0])
    wanted = [[0, 0, 191, 0], [64, 0, 255, 0]] if inverted else [[0, 0, 64, 0], [191, 255, 0, 255]]
    assert grey.tolist() == wanted
    assert auto_window(volume).width < 1.01


def test_a_narrow_window_over_floats_has_no_bands():
    from medviewer.volume.volume import Volume

    values = np.linspace(1000.0, 1000.01, 256, dtype="f8").reshape(1, 16, 16)
    grey = GreyMapper(Volume(values, None), Window(0.01, 1000.005, VoiFunction.LINEAR)).grey(values)
    assert np.array_equal(grey.ravel(), np.arange(256))
    wide = (np.arange(256, dtype="i4") + 2_000_000).reshape(1, 16, 16)
    grey = GreyMapper(Volume(wide, None), Window(256.0, 2_000_128.0)).grey(wide)
    assert np.array_equal(grey.ravel(), np.arange(256))


def test_an_mr_window_that_fits_nothing_is_replaced_and_said(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2000, (64, 64)).astype("i2")
    for width, level, replaced in ((50, 20000, True), (1500, 800, False), (50000, 800, True)):
        data = ct(pixels, Modality="MR", WindowWidth=width, WindowCenter=level, SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
        (stack,) = scan([save(data, tmp_path / f"{width}.dcm")]).stacks()
        shown = first_window(stack, load_volume(stack))
        assert shown.explanation == (f"auto (file: {width} / {level})" if replaced else "")


def test_padding_has_no_part_in_reduced_pictures():
    pixels = np.random.default_rng(4).integers(0, 4000, (130, 90)).astype("i2")
    pixels[:, 40:50] = -2000
    for factor in (2, 4, 8):
        rows, columns = 130 // factor, 90 // factor
        blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        assert np.array_equal(averaged(pixels, factor), np.rint(blocks.mean(axis=(1, 3))).astype("i2"))
        tissue = np.ma.masked_equal(blocks, -2000)
        share = (~tissue.mask).mean(axis=(1, 3))
        wanted = np.where(share >= 0.5, np.rint(tissue.mean(axis=(1, 3)).filled(0)), -2000)
        assert np.array_equal(averaged(pixels, factor, (-2000, -2000)), wanted.astype("i2"))


def test_pet_is_shown_from_0_whatever_its_file_says(tmp_path):
    pixels = np.random.default_rng(1).gamma(2.0, 300.0, (64, 64)).astype("i2")
    data = ct(pixels, Modality="PT", WindowWidth=65535, WindowCenter=32767, SOPClassUID="1.2.840.10008.5.1.4.1.1.128")
    (stack,) = scan([save(data, tmp_path / "a.dcm")]).stacks()
    shown = first_window(stack, load_volume(stack))
    assert shown.level == shown.width / 2 and shown.width == pytest.approx(np.percentile(pixels, 99.5), rel=0.02)
    assert shown.explanation == "auto (file: 65535 / 32767)"


def test_render_draws_the_files_graphics(tmp_path):
    bits = np.zeros((64, 64), dtype=bool)
    bits[20:40, 20:40] = True
    path = save(with_overlay(ct(np.full((64, 64), -500, "i2")), bits), tmp_path / "a.dcm")
    assert main(["render", str(path), str(tmp_path / "a.png"), "--size", "640x640", "--no-text"]) == 0
    image = QImage(str(tmp_path / "a.png"))
    assert image.pixelColor(300, 300).red() == 242 and image.pixelColor(30, 30).red() == 0

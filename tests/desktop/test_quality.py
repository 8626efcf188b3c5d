"""Faults of a stack are seen: a mark with a number, a sheet of meanings and images, and why buttons are off."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from reading import opened

from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.opening.quality_card import QualityMark, QualitySheet
from medviewer.desktop.theme import tokens
from medviewer.desktop.tools import TOOLS
from medviewer.desktop.viewport.corner_text import ViewState, corner_text
from medviewer.formats import nifti
from medviewer.formats.catalog import Quality
from medviewer.volume.plane import acquired_plane
from medviewer.volume.window import Window
from tests.formats import samples


@pytest.fixture
def window(qtbot):
    made = MainWindow(tools=TOOLS)
    qtbot.addWidget(made)
    made.resize(1300, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()


def sheet_of(window: MainWindow) -> QualitySheet:
    (sheet,) = window.findChildren(QualitySheet)
    return sheet


def test_a_sound_stack_has_no_mark(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(9), size=(40, 36))
    opened(qtbot, window, tmp_path)
    assert not window.series.cards[0].mark.isVisible()
    assert "Nothing is known" in (window.actions_table.why_not("quality") or "")


def test_the_mark_opens_a_sheet_that_leads_to_the_images(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 6, 10, 12)], size=(40, 36), BurnedInAnnotation="YES")
    opened(qtbot, window, tmp_path)
    card = window.series.cards[0]
    assert card.mark.isVisible() and card.mark.text() == "2"
    assert "cuts across the gap are interpolated" in card.mark.toolTip()
    QTest.mouseClick(card.mark, Qt.MouseButton.LeftButton)
    sheet = sheet_of(window)
    said = "\n".join(label.text() for label in sheet.findChildren(QLabel))
    assert "Between image 4 and 5" not in said and "between image 4 and 5: 4.0 mm where 2.0 is usual" in said
    assert "1 image missing" in said and "text burned in" in said
    buttons = {button.text(): button for button in sheet.findChildren(QPushButton)}
    QTest.mouseClick(buttons["Copy"], Qt.MouseButton.LeftButton)
    assert "(missing-slice)" in QGuiApplication.clipboard().text()
    QTest.mouseClick(buttons["Image 5"], Qt.MouseButton.LeftButton)
    assert window.session.crosshair_kji[0] == 4.0


def test_the_key_opens_the_sheet(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 6, 10, 12)], size=(40, 36))
    opened(qtbot, window, tmp_path)
    QTest.keyClick(window, Qt.Key.Key_I, Qt.KeyboardModifier.ShiftModifier)
    assert sheet_of(window).isVisible()


def test_words_of_files_are_never_markup(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(5), size=(40, 36))
    copy = tmp_path / "<b>x<" / "copy.dcm"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "001.dcm").read_bytes())
    opened(qtbot, window, tmp_path)
    card = window.series.cards[0]
    QTest.mouseClick(card.mark, Qt.MouseButton.LeftButton)
    labels = sheet_of(window).findChildren(QLabel)
    assert labels and all(label.textFormat() is Qt.TextFormat.PlainText for label in labels)


def test_tools_say_why_a_stack_cannot_carry_them(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 6, 10, 12)], size=(40, 36))
    opened(qtbot, window, tmp_path)
    brush = window.top.buttons["tool-brush"]
    assert not brush.isEnabled() and "1 image is missing" in brush.toolTip()
    assert not window.top.buttons["tool-suggest"].isEnabled()
    assert window.top.buttons["layout"].isEnabled() and window.top.buttons["tool-window"].isEnabled()
    with qtbot.waitSignal(window.opener.loaded, timeout=5000):
        window.actions_table.do("layout")
    assert "interpolated" in (window.actions_table.why_not("tool-brush") or "")


def test_an_unoriented_volume_can_be_outlined_but_not_asked_about(qtbot, window, tmp_path: Path) -> None:
    import struct

    import numpy as np

    from medviewer.volume.grid import Grid

    path = tmp_path / "x.nii"
    nifti.write(path, np.arange(9 * 40 * 36, dtype=np.int16).reshape(9, 40, 36), Grid.plain((9, 40, 36), (2, 1, 1)))
    data = bytearray(path.read_bytes())
    struct.pack_into("<2h", data, 252, 0, 0)
    path.write_bytes(data)
    opened(qtbot, window, path)
    assert window.actions_table.why_not("tool-brush") is None
    assert "which side is left" in (window.actions_table.why_not("tool-suggest") or "")
    assert window.grid.views[0].axes.edge_letters(window.session.volume.grid) == ("", "", "", "")


def test_what_is_no_fault_is_told_without_amber(qtbot) -> None:
    mosaic = Quality("mosaic", "36 slices lie in each image")
    parent = QWidget()
    qtbot.addWidget(parent)
    mark = QualityMark((mosaic,), parent)
    assert not mark.isHidden() and mark.text() == "" and tokens().warn not in mark.styleSheet()
    assert "tiles in one image" in mark.toolTip()
    loud = QualityMark((mosaic, Quality("burned-in", "the header says so")), parent)
    assert loud.text() == "1" and tokens().warn in loud.styleSheet()


def test_padding_is_a_plain_note_below_the_faults(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(4), size=(40, 36), BurnedInAnnotation="YES")
    opened(qtbot, window, tmp_path)
    state = ViewState(acquired_plane(), 0, Window(400, 40), 1.0, padding=True)
    written = corner_text(window.session.stack, window.session.volume, state)
    assert written.badges == ("text burned in",) and written.quiet == ("padding hidden",)

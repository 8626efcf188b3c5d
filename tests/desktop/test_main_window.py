"""The window as a whole: keys, modes, folding, errors nobody caught, and what is not imported at start."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit
from reading import a_volume

from medviewer.desktop.app import ErrorKeeper
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.tool_protocol import Kind, ToolLook
from medviewer.volume.window import Window

NONE, CONTROL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier


class RecordingTool:
    """A tool that tells what it was told."""

    look = ToolLook(cursor="circle", annotates=True, hint="draw")

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, view, press):
        self.told.append(f"{press.kind} {press.row:.0f} {press.column:.0f}")
        try:
            while True:
                where = yield
                self.told.append(where.kind.value if where.kind is not Kind.KEY else f"key {where.key}")
                if where.kind is Kind.RELEASE and not self.lives_on:
                    return
        finally:
            self.told.append("end")

    lives_on = False


@pytest.fixture
def tool():
    return RecordingTool()


@pytest.fixture
def window(qtbot, tool):
    made = MainWindow(tools={"brush": tool})
    qtbot.addWidget(made)
    made.resize(1400, 900)
    made.show()
    qtbot.waitExposed(made)
    made.session.show(None, a_volume(), Window(400.0, 40.0))
    QApplication.processEvents()
    made.grid.views[0].setFocus()
    yield made
    made.close()


def press(window, key, held=NONE):
    QTest.keyClick(QApplication.focusWidget() or window, key, held)


def test_keys_walk_through_the_slices(window):
    view = window.grid.views[0]
    for key, position in (
        (Qt.Key.Key_Down, 11), (Qt.Key.Key_Up, 10), (Qt.Key.Key_PageDown, 19), (Qt.Key.Key_PageUp, 9),
        (Qt.Key.Key_Home, 0), (Qt.Key.Key_End, 19),
    ):  # fmt: skip
        press(window, key)
        assert view.position == position


def test_digits_set_windows_while_reading_and_segments_while_annotating(window):
    press(window, Qt.Key.Key_2)
    assert window.session.window == Window(1500.0, -600.0)
    press(window, Qt.Key.Key_B)
    assert window.session.tool == "brush" and window.session.annotating
    press(window, Qt.Key.Key_3)
    assert window.session.active_segment == 3
    assert window.session.window == Window(1500.0, -600.0)
    press(window, Qt.Key.Key_W)
    assert window.session.tool == "window" and window.session.annotating, "W stays in annotate mode"
    press(window, Qt.Key.Key_Escape)
    assert not window.session.annotating


def test_an_mr_has_no_ct_windows_and_says_so(window):
    from dataclasses import replace

    window.session.show(None, replace(a_volume(), modality="MR", unit=""), Window(100.0, 50.0))
    press(window, Qt.Key.Key_2)
    assert window.session.window == Window(100.0, 50.0)
    assert "for CT" in window.status.sentence


def test_letters_stay_in_text_fields(window):
    field = QLineEdit(window)
    field.show()
    field.setFocus()
    QTest.keyClicks(field, "vb2x ")
    assert field.text() == "vb2x "
    assert not window.session.inverted and window.session.tool == "window"


def test_a_key_that_cannot_act_says_why(window):
    press(window, Qt.Key.Key_Z, CONTROL)
    assert window.status.sentence == "There is nothing to undo."


def test_space_peeks_while_it_is_held(window):
    target = window.grid.views[0]
    QTest.keyPress(target, Qt.Key.Key_Space)
    assert not window.session.overlay_visible
    QTest.keyRelease(target, Qt.Key.Key_Space)
    assert window.session.overlay_visible


def test_invert_text_crosshair_and_layout_by_key(window):
    for key, read in (
        (Qt.Key.Key_V, lambda: window.session.inverted is True),
        (Qt.Key.Key_I, lambda: window.grid.views[0].show_text),
        (Qt.Key.Key_X, lambda: window.grid.crosshair_shown is True),
        (Qt.Key.Key_M, window.grid.views[1].isVisible),
    ):
        before = read()
        press(window, key)
        assert read() is not before
        window.grid.views[0].setFocus()


def test_columns_fold_away_with_one_key(window):
    width = window.grid.width()
    press(window, Qt.Key.Key_F9)
    QApplication.processEvents()
    assert window.grid.width() > width + 500
    press(window, Qt.Key.Key_F9)
    QApplication.processEvents()
    assert window.grid.width() == width


def test_a_tool_is_told_press_move_release(window, tool):
    window.take_tool("brush")
    view = window.grid.views[0]
    QTest.mousePress(view, Qt.MouseButton.LeftButton, NONE, view.rect().center())
    QTest.mouseMove(view, view.rect().center() * 1.1)
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, NONE, view.rect().center())
    assert [line.split()[0] for line in tool.told] == ["press", "move", "release", "end"]


def test_escape_and_a_change_of_slice_end_a_tool(window, tool):
    tool.lives_on = True
    window.take_tool("brush")
    view = window.grid.views[0]
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, NONE, view.rect().center())
    assert tool.told[-1] == "release"
    press(window, Qt.Key.Key_Return)
    assert tool.told[-1] == "key Return"
    press(window, Qt.Key.Key_Escape)
    assert tool.told[-1] == "end"
    assert window.session.tool == "brush", "Esc goes one step back only"
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, NONE, view.rect().center())
    window.session.scroll(view.axes, 1)
    assert tool.told[-1] == "end"


def test_the_help_sheet_lists_every_action(qtbot, window):
    from PySide6.QtWidgets import QLabel

    from medviewer.desktop.help_sheet import HelpSheet

    sheet = HelpSheet(window.keymap)
    qtbot.addWidget(sheet)
    texts = " ".join(label.text() for label in sheet.findChildren(QLabel))
    own_line = [b.text for b in window.keymap.table if not b.action.startswith("segment-")]
    assert [text for text in own_line if text not in texts] == [] and "the segment of that number" in texts


def test_every_button_says_its_key(window):
    for action, button in window.top.buttons.items():
        hint = window.keymap.hint(action)
        assert hint and hint in button.toolTip(), action


def test_an_error_nobody_caught_is_a_sentence_and_the_window_goes_on(qtbot, window, caplog, monkeypatch):
    keeper = ErrorKeeper(window)
    monkeypatch.setattr(sys, "excepthook", keeper.caught)

    def fails(*_):
        raise RuntimeError("Doe^John 4711")

    window.actions_table.register("invert", fails)
    with caplog.at_level(logging.ERROR), qtbot.captureExceptions():
        try:
            window.actions_table.do("invert")
        except RuntimeError:
            keeper.caught(*sys.exc_info())
    assert "your work is kept" in window.banner.text
    assert "Doe" not in caplog.text and "Doe" not in window.banner.text
    assert "RuntimeError" in caplog.text
    press(window, Qt.Key.Key_Down)
    assert window.grid.views[0].position == 11


def test_a_failing_painter_leaves_the_window_alive(qtbot, window, monkeypatch):
    from medviewer.desktop.viewport import drawing

    def fails(*_):
        raise ValueError("broken")

    with qtbot.captureExceptions() as caught:
        monkeypatch.setattr(drawing, "draw_texts", fails)
        window.grid.views[0].update()
        qtbot.wait(50)
        monkeypatch.undo()
    assert caught
    window.grid.views[0].update()
    qtbot.wait(20)
    assert not window.grid.views[0].grab().isNull()


START = """
import sys
from PySide6.QtWidgets import QApplication
from medviewer.desktop.application import application
from medviewer.desktop.app import fill_right_column, make_window
app = application()
window = make_window()
window.show()
app.processEvents()
heavy = {"torch", "SimpleITK", "scipy", "sqlalchemy", "vtk", "sklearn", "highdicom", "skimage"}
print("start", sorted(heavy & set(sys.modules)))
fill_right_column(window)
app.processEvents()
print("column", sorted((heavy - {"sqlalchemy"}) & set(sys.modules)))
"""


def test_a_fresh_window_has_not_imported_the_heavy_packages(own_home):
    ran = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.strip().splitlines()[-2:] == ["start []", "column []"]

"""F1: every key of the table is told, and the sheet needs no scrolling on a small screen."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QScrollArea

from medviewer.desktop.help_sheet import HelpSheet
from medviewer.desktop.keys import TABLE, Keymap


def test_every_action_is_told_and_the_sheet_fits_a_small_screen(qtbot) -> None:
    sheet = HelpSheet(Keymap())
    qtbot.addWidget(sheet)
    sheet.show()
    qtbot.waitExposed(sheet)
    said = [label.text() for label in sheet.findChildren(QLabel)]
    for binding in TABLE:
        if binding.action.startswith("segment-") and binding.keys != ("0",):
            continue  # one line for the nine digits
        assert ", ".join(binding.keys) in said, binding
        assert any(text.startswith(binding.text) for text in said), binding
    assert "1 to 9" in said
    assert sheet.width() <= 1300 and sheet.height() <= 740
    assert sheet.findChild(QScrollArea).verticalScrollBar().maximum() == 0


def test_a_segment_key_of_ones_own_has_its_own_line(qtbot) -> None:
    from dataclasses import replace

    table = [replace(b, keys=("Ctrl+2",)) if b.action == "segment-2" else b for b in TABLE]
    sheet = HelpSheet(Keymap(table))
    qtbot.addWidget(sheet)
    assert "Ctrl+2" in [label.text() for label in sheet.findChildren(QLabel)]

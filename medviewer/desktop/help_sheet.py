"""F1: the keys table as a sheet, and what the program is for."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from medviewer import __version__
from medviewer.desktop.keys import ANNOTATE, READ, Binding, Keymap
from medviewer.desktop.notice import WORDING
from medviewer.desktop.theme import tokens, ui_font

_MOUSE = (
    ("left drag", "the tool: window and level at first"),
    ("left click", "crosshair in all planes"),
    ("middle drag", "pan"),
    ("right drag", "zoom about the point of the press"),
    ("right click", "menu"),
    ("wheel", "one slice; Shift ten slices (annotating: brush size)"),
    ("Ctrl + wheel", "zoom about the pointer"),
    ("Alt + wheel", "next time of a 4-D series; else opacity of the overlay"),
    ("Shift + move", "crosshair follows the pointer"),
    ("double click", "this view alone, or back"),
    ("Ctrl while drawing", "the opposite: add becomes erase"),
)


#: The groups of the keys table, side by side.
_COLUMNS = (("Study", "Slices", "Windows", "Window"), ("Picture", "Suggest"), ("Annotate", "Mouse"))


class HelpSheet(QDialog):
    """All keys by group; closes with Esc."""

    def __init__(self, keymap: Keymap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(1240, 700)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 12)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        body = QWidget()
        columns = QHBoxLayout(body)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(24)
        groups: dict[str, list[Binding]] = {}
        for binding in keymap.table:
            groups.setdefault(binding.group, []).append(binding)
        for names in _COLUMNS:
            half = QVBoxLayout()
            half.setSpacing(6)
            for name in names:
                rows = list(_MOUSE) if name == "Mouse" else _rows(groups[name])
                half.addWidget(_group(name, rows))
            half.addStretch(1)
            columns.addLayout(half, 1)
        scroll.setWidget(body)
        column.addWidget(scroll, 1)
        foot = QHBoxLayout()
        words = QLabel(f"medviewer {__version__}.  {WORDING}")
        words.setStyleSheet(f"color: {tokens().dim};")
        words.setWordWrap(True)
        foot.addWidget(words, 1)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        foot.addWidget(close)
        column.addLayout(foot)


def _rows(bindings: list[Binding]) -> list[tuple[str, str]]:
    """A line each; the digits that take a segment, all alike, share one."""
    rows: list[tuple[str, str]] = []
    digits = [b for b in bindings if b.action.startswith("segment-") and b.keys and b.text == f"segment {b.keys[0]}"]
    if len(digits) < 9:
        digits = []  # somebody has changed them: each has its own line
    for binding in bindings:
        if binding not in digits:
            rows.append((", ".join(binding.keys), binding.text + _mode(binding)))
        elif binding is digits[0]:
            keys = f"{digits[0].keys[0]} to {digits[-1].keys[0]}"
            rows.append((keys, f"the segment of that number{_mode(binding)}"))
    return rows


def _mode(binding: Binding) -> str:
    if binding.modes == READ:
        return "  (reading)"
    return "  (annotating)" if binding.modes == ANNOTATE and "annotating" not in binding.text else ""


def _group(name: str, rows: list[tuple[str, str]]) -> QWidget:
    box = QWidget()
    grid = QGridLayout(box)
    grid.setContentsMargins(0, 0, 0, 4)
    grid.setHorizontalSpacing(10)
    grid.setVerticalSpacing(2)
    title = QLabel(name)
    title.setFont(ui_font(10, bold=True))
    grid.addWidget(title, 0, 0, 1, 2)
    for n, (key, text) in enumerate(rows, start=1):
        keys = QLabel(key)
        keys.setFont(ui_font(9))
        keys.setStyleSheet(f"color: {tokens().accent};")
        keys.setFixedWidth(124)
        what = QLabel(text)
        what.setFont(ui_font(9))
        what.setWordWrap(True)
        grid.addWidget(keys, n, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(what, n, 1, Qt.AlignmentFlag.AlignTop)
    grid.setColumnStretch(1, 1)
    return box

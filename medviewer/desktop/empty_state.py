"""The middle of the window while there is no picture: what to do first, or what is being read."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from medviewer.desktop.theme import DARK, ui_font

_FIRST = "Drop a folder, files or a ZIP here: DICOM, NIfTI or NRRD.\nNothing leaves this computer."


class EmptyState(QWidget):
    """One sentence and one button; while something is read, what."""

    def __init__(self, on_open: Callable[[], object], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("emptyState")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(f"QWidget#emptyState {{ background: {DARK.canvas}; }}")
        column = QVBoxLayout(self)
        column.setSpacing(8)
        column.addStretch(5)
        self._title = QLabel("Open a study")
        self._title.setFont(ui_font(12, bold=True))
        self._title.setStyleSheet(f"color: {DARK.text};")
        self._hint = QLabel(_FIRST)
        self._hint.setTextFormat(Qt.TextFormat.PlainText)
        self._hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._hint.setStyleSheet(f"color: {DARK.dim};")
        self._button = QPushButton("Open a folder")
        self._button.setProperty("tone", "accent")
        self._button.setFixedWidth(160)
        self._button.clicked.connect(on_open)
        for widget in (self._title, self._hint, self._button):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(6)

    def set_busy(self, what: str) -> None:
        """What is being read, or "" when nothing is; the place of the text stays."""
        self._title.setText("One moment" if what else "Open a study")
        self._hint.setText(f"{what}\n" if what else _FIRST)
        policy = self._button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._button.setSizePolicy(policy)
        self._button.setVisible(not what)

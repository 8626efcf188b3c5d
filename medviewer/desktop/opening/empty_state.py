"""The middle of the window while there is no picture: what to do first, or what is being read."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from medviewer.desktop.theme import DARK, ui_font

_FIRST = "Drop a folder, files or a ZIP here: DICOM, NIfTI or NRRD.\nNothing leaves this computer."


class EmptyState(QWidget):
    """One sentence and one button; while something is read, what, how far and a way out."""

    def __init__(
        self, on_open: Callable[[], object], on_cancel: Callable[[], object], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("emptyState")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(f"QWidget#emptyState {{ background: {DARK.canvas}; }}")
        column = QVBoxLayout(self)
        column.setSpacing(8)
        column.addStretch(5)
        self._title = QLabel("Open a study")
        self._title.setTextFormat(Qt.TextFormat.PlainText)
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
        self._bar = QProgressBar()
        self._bar.setFixedWidth(260)
        self._bar.setTextVisible(False)
        self._cancel = QPushButton("Cancel (Esc)")
        self._cancel.setFixedWidth(160)
        self._cancel.clicked.connect(on_cancel)
        for widget in (self._title, self._hint, self._bar, self._button, self._cancel):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)
        self._keep_place(self._bar)
        self._bar.hide()
        self._cancel.hide()
        column.addStretch(6)

    @staticmethod
    def _keep_place(widget: QWidget) -> None:
        """What is hidden keeps its place: nothing jumps."""
        policy = widget.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        widget.setSizePolicy(policy)

    def set_busy(self, what: str) -> None:
        """What is being read, or "" when nothing is; the place of the text stays."""
        self._title.setText("One moment" if what else "Open a study")
        self._hint.setText(f"{what}\n" if what else _FIRST)
        self._button.setVisible(not what)
        if not what:
            self._bar.hide()
            self._cancel.hide()

    def set_progress(self, done: int, total: int | None) -> None:
        """How many of how many files have been looked at; a way out appears with it."""
        self._bar.setRange(0, total or 0)
        self._bar.setValue(done)
        self._bar.show()
        self._cancel.show()
        if total:
            self._hint.setText(f"{self._hint.text().splitlines()[0]}\n{done:,} of {total:,} files")

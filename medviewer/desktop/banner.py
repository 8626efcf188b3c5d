"""A sentence above the pictures that stays until somebody has dealt with it, with one button at most."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from medviewer.desktop.status_line import set_tone


class Banner(QFrame):
    """Hidden while there is nothing to say; never covers the picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self._on_click: Callable[[], None] | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.setSpacing(8)
        self._text = QLabel()
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setWordWrap(True)
        row.addWidget(self._text, 1)
        self._button = QPushButton()
        self._button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._button.clicked.connect(self._clicked)
        row.addWidget(self._button)
        self._close = QPushButton("Close")
        self._close.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._close.clicked.connect(self.hide)
        row.addWidget(self._close)
        self.hide()

    @property
    def text(self) -> str:
        """What it says; "" while hidden."""
        return "" if self.isHidden() else self._text.text()

    def show_text(
        self, text: str, tone: str = "plain", button: str = "", on_click: Callable[[], None] | None = None
    ) -> None:
        """Say something until it is closed or clicked; "" takes the banner away."""
        self._text.setText(text)
        self._on_click = on_click
        self._button.setText(button)
        self._button.setVisible(bool(button))
        set_tone(self, tone)
        self.setVisible(bool(text))

    def _clicked(self) -> None:
        self.hide()
        if self._on_click is not None:
            self._on_click()

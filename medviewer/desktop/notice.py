"""The notice of the first start: what this program is not for. Accepted once a version, or by the environment."""

from __future__ import annotations

import logging
import os

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from medviewer import __version__, places
from medviewer.desktop.theme import tokens, ui_font

log = logging.getLogger(__name__)

WORDING = "Research and education use only. Not a medical device. Not for primary diagnosis."


def is_accepted() -> bool:
    """True where this version's notice was accepted here before, or `MEDVIEWER_NOTICE=accepted` says so (logged)."""
    if os.environ.get("MEDVIEWER_NOTICE", "").strip().lower() == "accepted":
        log.info("notice accepted by the environment variable MEDVIEWER_NOTICE, version %s", __version__)
        return True
    try:
        return (places.config_folder() / "notice-accepted").read_text(encoding="utf-8").strip() == __version__
    except OSError:
        return False


def accept() -> None:
    """Remember the click; where that cannot be written the notice comes again, which does no harm."""
    log.info("notice accepted by a click, version %s", __version__)
    try:
        (places.config_folder() / "notice-accepted").write_text(__version__, encoding="utf-8")
    except OSError:
        return


class Notice(QDialog):
    """Name, version, what it is not for, and two buttons."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("medviewer")
        self.setModal(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 18)
        column.setSpacing(10)
        title = QLabel(f"medviewer {__version__}")
        title.setFont(ui_font(12, bold=True))
        column.addWidget(title)
        words = QLabel(WORDING)
        words.setFont(ui_font(10, bold=True))
        words.setWordWrap(True)
        column.addWidget(words)
        more = QLabel(
            "What the models suggest is not verified by a physician until somebody accepts it, and even then it is "
            "opinion learnt from readers, not pathology. Screens are not calibrated by this program."
        )
        more.setWordWrap(True)
        more.setStyleSheet(f"color: {tokens().dim};")
        column.addWidget(more)
        row = QHBoxLayout()
        row.addStretch(1)
        leave = QPushButton("Leave")
        leave.clicked.connect(self.reject)
        agree = QPushButton("I understand")
        agree.setProperty("tone", "accent")
        agree.setDefault(True)
        agree.clicked.connect(self.accept)
        row.addWidget(leave)
        row.addWidget(agree)
        column.addLayout(row)
        self.setFixedWidth(480)
        self.setWindowFlag(Qt.WindowType.WindowContextHelpButtonHint, False)

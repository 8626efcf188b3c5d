"""How many files are not shown and why, at the bottom of the series; a click asks for the whole report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from medviewer.desktop.theme import tokens, ui_font
from medviewer.formats.catalog import Skipped

#: What the skip codes are called in the card.
_REASONS = {
    "not-dicom": "not DICOM",
    "empty": "empty",
    "unreadable": "unreadable",
    "truncated": "cut short",
    "no-pixels": "without pixels",
    "no-codec": "no decoder",
    "bad-header": "bad header",
    "bad-pixels": "bad pixels",
    "bad-rescale": "bad rescale",
    "unsupported": "unsupported",
    "too-large": "too large",
    "encrypted": "encrypted",
    "zip-unsafe": "unsafe archive",
    "outside-folder": "outside the folder",
    "duplicate-uid": "copies",
}


#: Nothing of the study is lost by these: text files beside the images, copies of what is shown.
_HARMLESS = frozenset({"not-dicom", "duplicate-uid"})


def is_loss(skipped: Iterable[Skipped]) -> bool:
    """Whether one of them may be a picture that somebody misses."""
    return any(skip.code not in _HARMLESS for skip in skipped)


class SkippedCard(QFrame):
    """Counts by reason; hidden where nothing was skipped. `wanted` asks for the report."""

    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("skippedCard")
        self.setStyleSheet(
            f"QFrame#skippedCard {{ background: {tokens().raised}; border: 1px solid {tokens().line};"
            f" border-radius: 6px; }} QFrame#skippedCard:focus {{ border-color: {tokens().accent}; }}"
        )
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip("What became of every file")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 9, 12, 9)
        column.setSpacing(4)
        self._title = QLabel()
        self._title.setFont(ui_font(9, bold=True))
        self._reasons = QLabel()
        self._reasons.setFont(ui_font(9))
        self._reasons.setWordWrap(True)
        self._reasons.setStyleSheet(f"color: {tokens().dim};")
        for label in (self._title, self._reasons):
            label.setTextFormat(Qt.TextFormat.PlainText)
            column.addWidget(label)
        self.hide()

    def show_skipped(self, skipped: tuple[Skipped, ...], warnings: tuple[str, ...] = ()) -> None:
        """Count them by reason, and the warnings about the whole."""
        self.setVisible(bool(skipped or warnings))
        if not skipped and not warnings:
            return
        files = "file" if len(skipped) == 1 else "files"
        title = f"{len(skipped)} {files} skipped" if skipped else "Read with a warning"
        self._title.setText(title)
        tone = tokens().warn if warnings or is_loss(skipped) else tokens().text
        self._title.setStyleSheet(f"color: {tone};")
        counts = Counter(_REASONS.get(s.code, s.code) for s in skipped).most_common()
        shown = [f"{n} {'copy' if (reason, n) == ('copies', 1) else reason}" for reason, n in counts[:3]]
        rest = sum(n for _, n in counts[3:])
        lines = [", ".join(shown + ([f"{rest} other"] if rest else []))] if skipped else []
        if warnings:
            first = warnings[0].partition(" (")[0]
            lines.append(first[:1].upper() + first[1:] + (f" (+{len(warnings) - 1})" if len(warnings) > 1 else ""))
        self._reasons.setText("\n".join(lines))
        self.setAccessibleName(f"{self._title.text()}: {self._reasons.text()}")

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the report."""
        if self.rect().contains(event.position().toPoint()):
            self.wanted.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter or Space ask for it too."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.wanted.emit()
        else:
            super().keyPressEvent(event)

"""What is wrong with a stack: an amber mark with a number on its card, and a sheet of meanings and images.

What is no fault (padding, a mosaic) is in the sheet too, in plain text; alone it has a dim sign without a number.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QToolButton, QVBoxLayout, QWidget

from medviewer.desktop.icons import drawn_icon, has_icons
from medviewer.desktop.theme import colour, tokens, ui_font
from medviewer.formats.catalog import Quality, Stack
from medviewer.formats.quality import QUIET, sentence, short_words

_WIDTH = 420
#: So many images of a fault get a button of their own.
_BUTTONS = 6


def faults_text(faults: Sequence[Quality]) -> str:
    """Every fault with its meaning, as plain text to be read and copied."""
    return "\n\n".join(f"{short_words(q)} ({q.code})\n{sentence(q.code)}\n{_capital(q.detail)}" for q in faults)


def faults_tip(faults: Sequence[Quality]) -> str:
    """The same as a tooltip: what files say in it stays plain text."""
    lines = [f"<b>{html.escape(short_words(q))}</b><br>{html.escape(sentence(q.code))}" for q in faults]
    return f"<qt>{'<br><br>'.join(lines)}</qt>" if lines else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


class QualityMark(QToolButton):
    """Amber sign with the number of faults, a dim one where none is a fault; hidden where there is nothing to say."""

    def __init__(self, faults: Sequence[Quality], parent: QWidget) -> None:
        super().__init__(parent)
        self.setFixedSize(QSize(38, 20))
        self.setIconSize(QSize(14, 14))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setFont(ui_font(9, bold=True))
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        loud = sum(fault.code not in QUIET for fault in faults)
        tone = "warn" if loud else "dim"
        self.setText(str(loud) if loud else "")
        if has_icons():
            ink = colour(tone)
            self.setIcon(drawn_icon("alert-outline" if loud else "information-outline", ink, ink, ink, ink))
        self.setStyleSheet(
            f"QToolButton {{ color: {getattr(tokens(), tone)}; background: transparent; border: none; padding: 0; }}"
            f"QToolButton:hover, QToolButton:focus {{ background: {tokens().raised}; border-radius: 4px; }}"
        )
        self.setToolTip(faults_tip(faults))
        count = len(faults)
        self.setAccessibleName(f"{count} remark{'s' if count > 1 else ''} on quality")
        self.setAccessibleDescription(faults_text(faults))
        self.setVisible(bool(faults))


class QualitySheet(QFrame):
    """All faults of a stack, one after another, with the images that they are about."""

    image_chosen = Signal(int)

    def __init__(self, stack: Stack, can_go: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("qualitySheet")
        self.setStyleSheet(
            f"QFrame#qualitySheet {{ background: {tokens().raised}; border: 1px solid {tokens().line}; }}"
        )
        self.setFixedWidth(_WIDTH)
        self._faults = stack.quality
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(12, 12, 12, 8)
        column.setSpacing(4)
        for n, fault in enumerate(stack.quality):
            if n:
                column.addSpacing(8)
            self._add(column, fault, can_go)
        if not stack.quality:
            column.addWidget(_label("Nothing is known to be wrong with these images.", "text"))
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(body)
        body.setAutoFillBackground(False)
        area.viewport().setAutoFillBackground(False)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(1, 1, 1, 1)
        whole.setSpacing(0)
        whole.addWidget(area, 1)
        row = QHBoxLayout()
        row.setContentsMargins(12, 4, 12, 10)
        copy = QPushButton("Copy")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(faults_text(self._faults)))
        copy.setEnabled(bool(stack.quality))
        row.addStretch(1)
        row.addWidget(copy)
        whole.addLayout(row)
        wanted = body.heightForWidth(_WIDTH - 2) if body.hasHeightForWidth() else body.sizeHint().height()
        self.setFixedHeight(min(520, wanted + 56))

    def _add(self, column: QVBoxLayout, fault: Quality, can_go: bool) -> None:
        head = _label(short_words(fault), "text" if fault.code in QUIET else "warn", bold=True)
        column.addWidget(head)
        meaning = sentence(fault.code)
        if meaning:
            column.addWidget(_label(meaning, "text"))
        column.addWidget(_label(_capital(fault.detail), "dim"))
        if fault.images and can_go:
            row = QHBoxLayout()
            row.setSpacing(4)
            for image in fault.images[:_BUTTONS]:
                button = QPushButton(f"Image {image + 1}")
                button.setFont(ui_font(9))
                button.clicked.connect(lambda _=False, image=image: self._go(image))
                row.addWidget(button)
            row.addStretch(1)
            column.addLayout(row)

    def _go(self, image: int) -> None:
        self.image_chosen.emit(image)
        self.close()


def _label(text: str, tone: str, bold: bool = False) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setFont(ui_font(9, bold))
    label.setStyleSheet(f"color: {getattr(tokens(), tone)};")
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def show_sheet(stack: Stack, where: QPoint, go: Callable[[int], None] | None, parent: QWidget) -> QualitySheet:
    """Open the sheet at a place of the screen; `go` shows an image of the stack, None where it is not shown."""
    sheet = QualitySheet(stack, go is not None, parent)
    if go is not None:
        sheet.image_chosen.connect(go)
    screen = QGuiApplication.screenAt(where) or QGuiApplication.primaryScreen()
    room = screen.availableGeometry()
    x = min(where.x(), room.right() - sheet.width())
    y = min(where.y(), room.bottom() - sheet.height())
    sheet.move(max(room.left(), x), max(room.top(), y))
    sheet.show()
    return sheet

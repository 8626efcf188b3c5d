"""A report or another document beside the pictures: plain text that can be selected, searched and copied.

Nothing of it is ever interpreted: lines get weight and ink from their role, never from what they say. A click on a line
that points at pictures goes there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QEvent, QMimeData, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import (
    QFontMetricsF,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QShortcut,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
)
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from medviewer.desktop.plain import tip
from medviewer.desktop.theme import colour, icon, icon_size, tokens, ui_font
from medviewer.formats.dicom.objects.sr_text import Role, TextLine

#: Width of the panel at 100 %.
WIDTH = 372

#: Lines are written for so long, in this many at a time; the rest follows while the window lives on.
_WRITE_S, _CHUNK = 0.004, 12
#: A longer line is cut here, and more lines are left out; the command line prints all.
MAX_SHOWN, MAX_LINES = 20_000, 20_000

_INK = {Role.TITLE: "text", Role.HEADING: "text", Role.FACT: "text", Role.CONTEXT: "dim", Role.WARNING: "warn"}


class State(StrEnum):
    """What the panel has to show."""

    LOADING = "loading"
    SHOWN = "shown"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class DocumentView:
    """What the panel shows.

    Attributes:
        kind: badge in the head ("SR").
        title: name of the document.
        state: see there.
        lines: its text.
        targets: numbers of the lines that lead to a picture.
        leads: which of them say so by their colour.
        sentence: what went wrong.
        switch: text of the button that shows or hides it on the pictures, "" for none.
        is_on: state of that button.
        action: text of a further button ("Open the PDF"), "" for none.
        why_no_action: why that button is off, or None.
    """

    kind: str
    title: str
    state: State = State.SHOWN
    lines: tuple[TextLine, ...] = ()
    targets: frozenset[int] = frozenset()
    leads: frozenset[int] = frozenset()
    sentence: str = ""
    switch: str = ""
    is_on: bool = False
    action: str = ""
    why_no_action: str | None = None


class DocumentPanel(QFrame):
    """The panel; hidden until there is a document.

    Signals:
        line_chosen: number of a line that leads to a picture.
        switched: the document is to be shown on the pictures, or not.
        action_wanted: the further button.
        closed: the panel was closed by hand.
    """

    line_chosen = Signal(int)
    switched = Signal(bool)
    action_wanted = Signal()
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("documentPanel")
        self.setFixedWidth(WIDTH)
        self.setStyleSheet(
            f"QFrame#documentPanel {{ background: {tokens().panel}; border: none;"
            f" border-right: 1px solid {tokens().line}; }}"
        )
        self._waiting: deque[tuple[int, TextLine]] = deque()
        self._formats: dict[tuple[Role, bool], QTextCharFormat] = {}
        self.shown: DocumentView | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 9, 1, 0)
        column.setSpacing(6)
        column.addLayout(self._head())
        column.addLayout(self._buttons())
        column.addWidget(self._search_row())
        self.text = _Text(self._is_target, self)
        self.text.chosen.connect(self.line_chosen)
        column.addWidget(self.text, 1)
        self._writer = QTimer(self)
        self._writer.setInterval(0)
        self._writer.timeout.connect(self._write_some)
        for keys, call in (
            (QKeySequence.StandardKey.Find, self.search),
            (QKeySequence.StandardKey.FindNext, self._next),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(call)
        self.hide()

    def _head(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(8)
        self._kind = QLabel()
        self._kind.setTextFormat(Qt.TextFormat.PlainText)
        self._kind.setFont(ui_font(9, bold=True))
        self._kind.setStyleSheet(
            f"color: {tokens().accent}; border: 1px solid {tokens().accent}; border-radius: 3px; padding: 0 4px;"
        )
        self._kind.setFixedHeight(20)
        self._title = QLabel()
        self._title.setTextFormat(Qt.TextFormat.PlainText)
        self._title.setFont(ui_font(10, bold=True))
        self._title.setMinimumWidth(40)
        row.addWidget(self._kind)
        row.addWidget(self._title, 1)
        row.addWidget(self._tool("magnify", "Search in the text (Ctrl+F)", self.search))
        row.addWidget(self._tool("close", "Close the text", self.close_by_hand))
        return row

    def _tool(self, name: str, words: str, call: Callable[[], None]) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(name))
        button.setIconSize(icon_size())
        button.setToolTip(words)
        button.setAccessibleName(words)
        button.setFixedSize(28, 28)
        button.setStyleSheet("QToolButton { border: none; }")
        button.clicked.connect(lambda _=False: call())
        return button

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 11, 0)
        self.switch = QPushButton()
        self.switch.setCheckable(True)
        self.switch.setStyleSheet(f"QPushButton:checked {{ border-color: {tokens().accent}; }}")
        self.switch.clicked.connect(self.switched)
        self.action = QPushButton()
        self.action.clicked.connect(lambda _=False: self.action_wanted.emit())
        row.addWidget(self.switch)
        row.addWidget(self.action)
        row.addStretch(1)
        return row

    def _search_row(self) -> QWidget:
        self._search = QWidget()
        row = QHBoxLayout(self._search)
        row.setContentsMargins(0, 0, 11, 0)
        row.setSpacing(4)
        self.field = QLineEdit()
        self.field.setPlaceholderText("Search")
        self.field.setAccessibleName("Search in the text")
        self.field.textEdited.connect(lambda _: self._find_from(self._start_of_selection()))
        self.field.returnPressed.connect(self._next)
        self.field.installEventFilter(self)
        self._found = QLabel()
        self._found.setFont(ui_font(9))
        self._found.setStyleSheet(f"color: {tokens().dim};")
        row.addWidget(self.field, 1)
        row.addWidget(self._found)
        self._search.hide()
        return self._search

    # -- showing ---------------------------------------------------------------------------------------------------

    def show_document(self, view: DocumentView) -> None:
        """Show a document; another one that is shown goes."""
        self.shown = view
        self._writer.stop()
        self._kind.setText(view.kind)
        metrics = QFontMetricsF(self._title.font())
        self._title.setText(metrics.elidedText(view.title, Qt.TextElideMode.ElideRight, WIDTH - 150))
        self._title.setToolTip("" if self._title.text() == view.title else "the whole title stands in the text")
        self.setAccessibleName(f"{view.kind} {view.title}")
        self.set_switch(view.switch, view.is_on)
        self.action.setVisible(bool(view.action))
        self.action.setText(view.action)
        self.action.setEnabled(view.why_no_action is None)
        self.action.setToolTip(tip(view.why_no_action or ""))
        self.text.clear()
        self._found.clear()
        lines = {
            State.LOADING: (TextLine("Reading…", 0, Role.CONTEXT),),
            State.DAMAGED: (TextLine(view.sentence, 0, Role.WARNING),),
            State.SHOWN: view.lines or (TextLine("This document has no content.", 0, Role.CONTEXT),),
        }[view.state]
        if len(lines) > MAX_LINES:
            left_out = TextLine(
                f"{len(lines) - MAX_LINES} more lines: `medviewer inspect` prints them", 0, Role.WARNING
            )
            lines = (*lines[:MAX_LINES], left_out)
        self._waiting = deque(enumerate(lines))
        self._write_some()
        if self._waiting:
            self._writer.start()
        self.show()

    def set_switch(self, text: str, is_on: bool) -> None:
        """The button that shows or hides it on the pictures."""
        self.switch.setVisible(bool(text))
        self.switch.setText(text)
        self.switch.setChecked(is_on)

    def close_by_hand(self) -> None:
        """Fold the panel away."""
        self._writer.stop()
        self.hide()
        self.shown = None
        self.closed.emit()

    def mark_line(self, number: int) -> None:
        """Bring a line into sight and select it."""
        block = self.text.document().findBlockByNumber(number)
        if block.isValid():
            cursor = QTextCursor(block)
            cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor)
            self.text.setTextCursor(cursor)
            self.text.ensureCursorVisible()

    def _is_target(self, line: int) -> bool:
        return self.shown is not None and line in self.shown.targets

    def _write_some(self) -> None:
        until = time.monotonic() + _WRITE_S
        while self._waiting:
            self._write_lines([self._waiting.popleft() for _ in range(min(_CHUNK, len(self._waiting)))])
            if time.monotonic() > until:
                return
        self._writer.stop()

    def _write_lines(self, some: Sequence[tuple[int, TextLine]]) -> None:
        cursor = QTextCursor(self.text.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for number, line in some:
            space = QTextBlockFormat()
            space.setLeftMargin(14.0 * line.depth)
            space.setTopMargin(6.0 if line.role is Role.HEADING else 0.0)
            if number:
                cursor.insertBlock(space)
            else:
                cursor.setBlockFormat(space)
            cursor.insertText(_shown_text(line), self._format(line, number))
        cursor.endEditBlock()

    def _format(self, line: TextLine, number: int) -> QTextCharFormat:
        leads = self.shown is not None and number in self.shown.leads
        known = self._formats.get((line.role, leads))
        if known is not None:
            return known
        made = self._formats[line.role, leads] = QTextCharFormat()
        points = {Role.TITLE: 12, Role.CONTEXT: 9}.get(line.role, 10)
        made.setFont(ui_font(points, line.role in (Role.TITLE, Role.HEADING)))
        made.setForeground(colour("accent" if leads else _INK[line.role]))
        return made

    # -- searching -------------------------------------------------------------------------------------------------

    def search(self) -> None:
        """Open the search field, or go to it."""
        self._search.show()
        self.field.setFocus()
        self.field.selectAll()

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        """Esc closes the search field."""
        if (
            watched is self.field
            and isinstance(event, QKeyEvent)
            and event.type() is QEvent.Type.KeyPress
            and event.key() == Qt.Key.Key_Escape
        ):
            self._search.hide()
            self.text.setFocus()
            return True
        return False

    def _start_of_selection(self) -> int:
        return self.text.textCursor().selectionStart()

    def _next(self) -> None:
        self._find_from(self.text.textCursor().selectionEnd())

    def _find_from(self, start: int) -> None:
        """Select the next place of the searched words, from the top again at the end."""
        words = self.field.text()
        self._found.clear()
        if not words:
            return
        while self._waiting:
            self._write_some()
        document = self.text.document()
        found = document.find(words, start, QTextDocument.FindFlag(0))
        if found.isNull():
            found = document.find(words, 0, QTextDocument.FindFlag(0))
        if found.isNull():
            self._found.setText("not found")
        else:
            self.text.setTextCursor(found)
            self.text.ensureCursorVisible()


def _shown_text(line: TextLine) -> str:
    text = line.text
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} … (cut here; `medviewer inspect` prints it whole)"


class _Text(QTextEdit):
    """Read-only text; a click or Enter on a line that leads to a picture emits its number."""

    chosen = Signal(int)

    def __init__(self, is_target: Callable[[int], bool], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_target = is_target
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFont(ui_font(10))
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet(
            f"QTextEdit {{ background: {tokens().panel}; color: {tokens().text};"
            f" selection-background-color: {tokens().accent}; selection-color: #0b0e12; }}"
        )
        self.setAccessibleName("Text of the document")
        self.viewport().setMouseTracking(True)

    def createMimeDataFromSelection(self) -> QMimeData:
        """The clipboard gets plain text and nothing else."""
        made = QMimeData()
        made.setText(self.textCursor().selection().toPlainText())
        return made

    def _line_at(self, where: QPoint) -> int:
        return self.cursorForPosition(where).blockNumber()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """A hand over lines that lead somewhere."""
        super().mouseMoveEvent(event)
        leads = self._is_target(self._line_at(event.position().toPoint()))
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if leads else Qt.CursorShape.IBeamCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click that selects nothing goes to the picture."""
        super().mouseReleaseEvent(event)
        line = self._line_at(event.position().toPoint())
        is_click = event.button() is Qt.MouseButton.LeftButton and not self.textCursor().hasSelection()
        if is_click and self._is_target(line):
            self.chosen.emit(line)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter does what a click does; letters stay with the window."""
        line = self.textCursor().blockNumber()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._is_target(line):
            self.chosen.emit(line)
        elif (
            event.text() and event.text().isprintable() and not event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            event.ignore()
        else:
            super().keyPressEvent(event)

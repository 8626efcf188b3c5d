"""The queue card: corrected cases on their way into the next training."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from medviewer.desktop.panels.parts import Card, ElidedLabel, FirstStep, button, label, row
from medviewer.desktop.theme import colour

#: State of a case in the queue: its colour and what it means, in words.
STATES = {
    "pending": ("dim", "waits for the next training"),
    "training": ("accent", "in the training that runs now"),
    "used": ("good", "was trained on"),
    "held-out": ("text", "kept to judge candidates; never trained on"),
    "returned": ("warn", "sent back to be corrected again"),
}
#: So many lines are listed at once; a long queue scrolls.
_VISIBLE_LINES = 8
_LINE_HEIGHT = 40


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case of the queue: id, task in words, state, author, time ("2026-11-21 14:02"), short patient hash."""

    id: str
    task: str
    state: str
    author: str
    time: str
    patient: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """All that the queue card shows.

    Attributes:
        cases: the queue, newest first; None while it is read.
        why_not_done: why "Done" cannot be pressed now, or None.
        storing: True while the revision is being stored.
        done: the sentence about the case just queued, or empty.
        sentence: what went wrong, or empty.
    """

    cases: tuple[CaseView, ...] | None = None
    why_not_done: str | None = None
    storing: bool = False
    done: str = ""
    sentence: str = ""


class _Dot(QWidget):
    """The state as a dot, hollow where nothing was trained on the case (the word stands beside it)."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "dim"
        self.filled = True
        self.setFixedSize(10, 10)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(colour(self.name), 1.5))
        painter.setBrush(colour(self.name) if self.filled else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QRectF(1.5, 1.5, 7, 7))
        painter.end()


class _CaseLine(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(_LINE_HEIGHT)
        self._dot = _Dot()
        self._task = ElidedLabel("", "")
        self._state = label("", "dim")
        self._detail = ElidedLabel("", "dim")
        first = row()
        first.addWidget(self._task, 1)
        first.addWidget(self._state)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addLayout(first)
        words.addWidget(self._detail)
        line = row(self._dot)
        line.addLayout(words, 1)
        self.setLayout(line)

    def show_case(self, case: CaseView) -> None:
        name, meaning = STATES.get(case.state, ("dim", case.state))
        self._dot.name = name
        self._dot.filled = case.state not in ("pending", "held-out")
        self._dot.update()
        self._task.set_text(case.task)
        self._state.setText(case.state)
        self._detail.set_text(f"{case.time}  {case.author}  patient {case.patient}")
        self.setToolTip(f"{case.state}: {meaning}")


class QueueCard(Card):
    """The Done button and the list of cases."""

    done_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Queue", parent)
        self._view = QueueView()
        self._first = FirstStep("")
        self.add(self._first)
        self.done_button = button(
            "Done  Ctrl+D", "primary", "Store this correction for good and queue it", self.done_asked.emit
        )
        self._said = label("", "good", wrap=True)
        self.add(row(self.done_button, None))
        self.add(self._said)
        self._inside = QWidget()
        self._list = QVBoxLayout(self._inside)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(0)
        self._list.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._inside)
        self._lines: list[_CaseLine] = []
        self.add(self._scroll)
        self.show_queue(QueueView())

    @property
    def view(self) -> QueueView:
        """What is shown now."""
        return self._view

    def show_queue(self, view: QueueView) -> None:
        """Show another state of the queue."""
        self._view = view
        cases = view.cases or ()
        counts = {state: sum(c.state == state for c in cases) for state in STATES}
        parts = [f"{counts[state]} {state}" for state in ("pending", "held-out", "used") if counts[state]]
        self.set_note(", ".join(parts) if view.cases is not None else "reading")
        self._first.setVisible(not cases)
        if view.cases is not None:
            self._first.say(
                "No corrected case yet. When the outline is right, Done stores it; every fifth patient or so is kept "
                "aside to judge the next model."
            )
        else:
            self._first.say("Reading the queue.")
        self.done_button.setEnabled(view.why_not_done is None and not view.storing)
        self.done_button.setText("Storing" if view.storing else "Done  Ctrl+D")
        self.done_button.setToolTip(view.why_not_done or "Store this correction for good and queue it (Ctrl+D)")
        text = view.sentence or view.done
        self._said.setText(text)
        self._said.setVisible(bool(text))
        role = "bad" if view.sentence else "good"
        if self._said.property("role") != role:
            self._said.setProperty("role", role)
            self._said.style().unpolish(self._said)
            self._said.style().polish(self._said)
        shown = cases[:200]
        while len(self._lines) < len(shown):
            line = _CaseLine()
            self._lines.append(line)
            self._list.insertWidget(self._list.count() - 1, line)
        for n, line in enumerate(self._lines):
            line.setVisible(n < len(shown))
            if n < len(shown):
                line.show_case(shown[n])
        self._list.setContentsMargins(0, 0, 12 if len(shown) > _VISIBLE_LINES else 0, 0)
        self._scroll.setVisible(bool(cases))
        self._scroll.setFixedHeight(min(len(cases), _VISIBLE_LINES) * _LINE_HEIGHT)

"""What cards are made of: the frame, labels, buttons, a value on its scale, a progress line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from medviewer.desktop.theme import colour

#: Padding inside a card and the step of the grid that everything sits on, in device-independent pixels.
CARD_PADDING = 12
STEP = 4


def label(text: str = "", role: str = "", *, wrap: bool = False, parent: QWidget | None = None) -> QLabel:
    """A line of plain text in one of the roles of the style sheet ("title", "headline", "dim", ...)."""
    made = QLabel(text, parent)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wrap)
    if role:
        made.setProperty("role", role)
    if wrap:
        made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return made


def set_role(widget: QWidget, role: str, name: str = "role") -> None:
    """Give a widget another role and let the style sheet see it."""
    if widget.property(name) == role:
        return
    widget.setProperty(name, role)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def button(text: str, kind: str = "", tip: str = "", on_click: Callable[[], None] | None = None) -> QPushButton:
    """A push button; `kind` is "primary", "good", "link", "chip" or "" (plain)."""
    made = QPushButton(text)
    if kind:
        made.setProperty("kind", kind)
    made.setToolTip(tip)
    made.setAccessibleName(text)
    made.setAutoDefault(False)
    if on_click is not None:
        made.clicked.connect(lambda _checked=False: on_click())
    return made


def row(*items: QWidget | QLayout | int | None, spacing: int = 2 * STEP) -> QHBoxLayout:
    """Widgets side by side; an int is a fixed gap, None the stretch."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for item in items:
        if item is None:
            layout.addStretch(1)
        elif isinstance(item, int):
            layout.addSpacing(item)
        elif isinstance(item, QLayout):
            layout.addLayout(item)
        else:
            layout.addWidget(item)
    return layout


class ElidedLabel(QLabel):
    """One line that ends in "…" where it does not fit; the whole text is its tooltip then."""

    def __init__(self, text: str = "", role: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        if role:
            self.setProperty("role", role)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._whole = ""
        self.set_text(text)

    def set_text(self, text: str) -> None:
        """Show another text."""
        self._whole = text
        self._fit()

    def whole_text(self) -> str:
        """The text before it was cut."""
        return self._whole

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut again at the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        shown = QFontMetrics(self.font()).elidedText(self._whole, Qt.TextElideMode.ElideRight, max(self.width(), 8))
        self.setText(shown)
        self.setToolTip("" if shown == self._whole else self._whole)


class Card(QFrame):
    """A titled frame with 12 px padding; its left edge takes a tone ("ai", "good", "warn", "bad" or none)."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.setAccessibleName(title)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.title = label(title, "title")
        self.note = ElidedLabel("", "dim")
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(CARD_PADDING, CARD_PADDING - 2, CARD_PADDING, CARD_PADDING)
        self._column.setSpacing(2 * STEP)
        head = row(self.title)
        head.addWidget(self.note, 1)
        self._column.addLayout(head)

    def set_tone(self, tone: str) -> None:
        """Colour of the left edge."""
        set_role(self, tone, "tone")

    def set_note(self, text: str, role: str = "dim") -> None:
        """The words at the right of the title."""
        self.note.set_text(text)
        set_role(self.note, role)

    def add(self, item: QWidget | QLayout) -> None:
        """Put something below what is there."""
        if isinstance(item, QLayout):
            self._column.addLayout(item)
        else:
            self._column.addWidget(item)


class Swatch(QWidget):
    """The colour of a segment: a filled square with a solid edge; black until `rgb` is set."""

    def __init__(self, rgb: tuple[int, int, int] = (0, 0, 0)) -> None:
        super().__init__()
        self.rgb = rgb
        self.setFixedSize(14, 14)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the square."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        edge = QColor(*self.rgb)
        fill = QColor(edge)
        fill.setAlphaF(0.35)
        painter.setPen(edge)
        painter.setBrush(fill)
        painter.drawRoundedRect(self.rect().adjusted(1, 1, -2, -2), 2, 2)
        painter.end()


class ScaleLine(QWidget):
    """A value with its interval on a scale: a track, a bar from low to high, a dot at the value; violet."""

    def __init__(self, low: float, high: float, *, ticks: Sequence[float] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._high, self._ticks = low, high, tuple(ticks)
        self._value: float | None = None
        self._interval: tuple[float, float] | None = None
        self.setMinimumWidth(60)
        self.setFixedHeight(4 * STEP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_value(self, value: float | None, interval: tuple[float, float] | None) -> None:
        """Draw a value (None: an empty track) with its interval (None: no bar)."""
        self._value, self._interval = value, interval
        self.update()

    def sizeHint(self) -> QSize:
        """Any width; four steps high."""
        return QSize(120, 4 * STEP)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Track, ticks, bar, dot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle, margin = self.height() / 2, 5.0
        span = self.width() - 2 * margin

        def x_of(value: float) -> float:
            share = (value - self._low) / (self._high - self._low)
            return margin + span * min(1.0, max(0.0, share))

        painter.setBrush(colour("line"))
        painter.drawRoundedRect(QRectF(0, middle - 2, self.width(), 4), 2, 2)
        painter.setBrush(colour("faint"))
        for tick in self._ticks:
            painter.drawRect(QRectF(x_of(tick) - 0.5, middle - 2, 1, 4))
        strength = 1.0 if self.isEnabled() else 0.4
        if self._interval is not None:
            left, right = x_of(self._interval[0]), x_of(self._interval[1])
            painter.setBrush(colour("ai", 0.5 * strength))
            painter.drawRoundedRect(QRectF(left, middle - 3, max(right - left, 2), 6), 3, 3)
        if self._value is not None:
            painter.setBrush(colour("ai", strength))
            painter.drawEllipse(QRectF(x_of(self._value) - 5, middle - 5, 10, 10))
        painter.end()


class ProgressLine(QWidget):
    """A thin bar: blue for the work of the machine that a person asked for; None draws the empty track."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fraction: float | None = None
        self.setFixedHeight(STEP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_fraction(self, fraction: float | None) -> None:
        """Share done, 0 to 1."""
        self._fraction = fraction
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """The track and what is done of it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour("line"))
        painter.drawRoundedRect(QRectF(0, 0, self.width(), self.height()), 2, 2)
        if self._fraction:
            painter.setBrush(colour("accent"))
            painter.drawRoundedRect(QRectF(0, 0, max(4.0, self.width() * self._fraction), self.height()), 2, 2)
        painter.end()


class FirstStep(QWidget):
    """What an empty card shows: one sentence, and at most one button that does the first thing."""

    pressed = Signal()

    def __init__(self, sentence: str, action: str = "", tip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2 * STEP)
        self.sentence = label(sentence, "dim", wrap=True)
        layout.addWidget(self.sentence)
        self.button = button(action, "primary", tip, self.pressed.emit)
        self.button.setVisible(bool(action))
        layout.addLayout(row(self.button, None))

    def say(self, sentence: str, action: str = "", tip: str = "", *, role: str = "dim") -> None:
        """Another sentence and button (none where `action` is empty)."""
        self.sentence.setText(sentence)
        set_role(self.sentence, role)
        self.button.setText(action)
        self.button.setAccessibleName(action)
        self.button.setToolTip(tip)
        self.button.setVisible(bool(action))


def hairline(colour_name: str = "line") -> QWidget:
    """A horizontal rule of one pixel."""

    class _Line(QWidget):
        def paintEvent(self, _event: QPaintEvent) -> None:
            painter = QPainter(self)
            painter.setPen(QPen(colour(colour_name), 1))
            painter.drawLine(0, 0, self.width(), 0)
            painter.end()

    line = _Line()
    line.setFixedHeight(1)
    return line


def seconds_text(seconds: float) -> str:
    """How long, for people: "0.4 s", "38 s", "4 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

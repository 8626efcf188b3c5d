"""The bar below the pictures of a cine or a 4-D stack: play, where one is, how fast, and how fast it really goes."""

from __future__ import annotations

import re

from PySide6.QtCore import QPoint, QSize, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QSlider, QToolButton, QWidget

from medviewer.desktop.icons import has_icons
from medviewer.desktop.keys import Keymap
from medviewer.desktop.playing.cine import FASTEST, SLOWEST
from medviewer.desktop.playing.film import Film
from medviewer.desktop.services import Actions
from medviewer.desktop.theme import colour, icon, tokens, ui_font

_HEIGHT = 40
#: A narrower bar does not tell the shown rate.
_WIDE = 520
#: Room for "30.0 fps, 12 left out".
_RATE_WIDTH = 140


class FilmSlider(QSlider):
    """A slider that jumps to where it is pressed and shows how much of the film is in memory."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.share = 1.0
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMinimumWidth(80)
        self.setAccessibleName("Time")

    def set_share(self, share: float) -> None:
        """How much is in memory, 0 to 1."""
        if share != self.share:
            self.share = share
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go there and go on by dragging."""
        if event.button() is Qt.MouseButton.LeftButton:
            self.setSliderDown(True)
            self.setValue(self._value_at(event.position().toPoint()))
            event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the hand."""
        if self.isSliderDown():
            self.setValue(self._value_at(event.position().toPoint()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self.setSliderDown(False)

    def _value_at(self, point: QPoint) -> int:
        room = max(1, self.width() - 14)
        share = min(1.0, max(0.0, (point.x() - 7) / room))
        return round(self.minimum() + share * (self.maximum() - self.minimum()))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Groove, what is in memory, where one is."""
        painter = QPainter(self)
        try:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            middle, room = self.height() / 2, self.width() - 14
            painter.setBrush(colour("line"))
            painter.drawRoundedRect(7, round(middle) - 2, room, 4, 2, 2)
            painter.setBrush(colour("faint"))
            painter.drawRoundedRect(7, round(middle) - 2, round(room * self.share), 4, 2, 2)
            span = max(1, self.maximum() - self.minimum())
            at = 7 + room * (self.value() - self.minimum()) / span
            painter.setBrush(colour("accent"))
            painter.drawRoundedRect(7, round(middle) - 2, round(at - 7), 4, 2, 2)
            radius = 7 if self.hasFocus() or self.isSliderDown() or self.underMouse() else 6
            painter.drawEllipse(QPoint(round(at), round(middle)), radius, radius)
        finally:
            painter.end()


class TimeBar(QWidget):
    """Shown for cine and 4-D stacks only."""

    def __init__(self, film: Film, actions: Actions, keymap: Keymap, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("timeBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(
            f"QWidget#timeBar {{ background: {tokens().panel}; border-top: 1px solid {tokens().line}; }}"
        )
        self.setFixedHeight(_HEIGHT)
        self._film, self._actions, self._keymap = film, actions, keymap
        self.play = self._button("play", "Play")
        self.play.clicked.connect(lambda: actions.do("play"))
        self.sweep = self._button("repeat", "From the beginning again, or forth and back")
        self.sweep.setCheckable(True)
        self.sweep.clicked.connect(film.player.set_sweeps)
        self.slider = FilmSlider()
        self.slider.valueChanged.connect(self._moved)
        self.label = QLabel()
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setFont(ui_font(9))
        self.label.setMinimumWidth(64)
        self.rate = QDoubleSpinBox()
        self.rate.setRange(SLOWEST, FASTEST)
        self.rate.setDecimals(1)
        self.rate.setSuffix(" fps")
        self.rate.setFont(ui_font(9))
        self.rate.setFixedWidth(92)
        self.rate.setKeyboardTracking(False)
        self.rate.setAccessibleName("Pictures a second")
        self.rate.setToolTip("Pictures a second; at first what the file asks for")
        self.rate.valueChanged.connect(film.set_fps)
        self.real = QLabel()
        self.real.setFont(ui_font(9))
        self.real.setFixedWidth(_RATE_WIDTH)
        self.real.setToolTip("Pictures a second that were really shown, and how many were left out to keep the pace")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 12, 0)
        row.setSpacing(8)
        for part in (self.play, self.sweep, self.slider, self.label, self.rate, self.real):
            row.addWidget(part, 1 if part is self.slider else 0)
        film.changed.connect(self.refresh)
        self.refresh()

    def _button(self, icon_name: str, text: str) -> QToolButton:
        button = QToolButton(self)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setIconSize(QSize(18, 18))
        button.setAccessibleName(text)
        button.setToolTip(text)
        self._set_icon(button, icon_name, text)
        return button

    @staticmethod
    def _set_icon(button: QToolButton, icon_name: str, text: str) -> None:
        if button.property("drawn") == icon_name:
            return
        button.setProperty("drawn", icon_name)
        if has_icons():
            button.setIcon(icon(icon_name, "text"))
        else:
            button.setText(text.split(maxsplit=1)[0])

    def _moved(self, n: int) -> None:
        if n != self._film.position:
            self._film.go(n)

    def refresh(self) -> None:
        """Show what the film is and where it stands."""
        film = self._film
        self.setVisible(film.is_running)
        if not film.is_running:
            return
        playing, player = film.player.playing, film.player
        reason = self._actions.why_not("play") if self._actions.has("play") else None
        self._set_icon(self.play, "pause" if playing else "play", "Stop" if playing else "Play")
        self.play.setEnabled(reason is None)
        hint = f"{'Stop' if playing else 'Play'} {self._keymap.hint('play')}".strip()
        self.play.setToolTip(hint if reason is None else f"{hint}\n{reason}")
        self.sweep.setChecked(player.sweeps)
        self._set_icon(self.sweep, "swap-horizontal" if player.sweeps else "repeat", "Repeat")
        for widget in (self.slider, self.rate):
            widget.blockSignals(True)
        self.slider.setRange(0, film.count - 1)
        self.slider.setValue(film.position)
        self.slider.set_share(film.arrived() / max(1, film.count))
        self.rate.setValue(round(player.pace.fps, 1))
        for widget in (self.slider, self.rate):
            widget.blockSignals(False)
        self.label.setText(film.label())
        widest = re.sub(r"\d", "0", re.sub(r"^\d+", str(film.count), film.label()))
        self.label.setMinimumWidth(max(64, self.label.fontMetrics().horizontalAdvance(widest) + 4))
        self.slider.setAccessibleDescription(film.label())
        self.label.setToolTip(film.label())
        self._show_rate()

    def _show_rate(self) -> None:
        player, shown = self._film.player, self._film.player.shown_fps
        text, tone = "", tokens().dim
        if player.playing and player.waiting:
            text = f"reading {self._film.arrived()} of {self._film.count}"
        elif player.playing and shown is not None:
            text = f"{shown:.1f} fps shown"
            if player.skipped:
                text = f"{shown:.1f} fps, {player.skipped} left out"
            if shown < 0.9 * player.pace.fps:
                tone = tokens().warn
        self.real.setText(text)
        self.real.setVisible(self.width() >= _WIDE)  # empty, it keeps its place: the slider must not jump
        self.real.setStyleSheet(f"color: {tone};")

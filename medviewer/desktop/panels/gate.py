"""Champion and candidate side by side on the same cases, with the gate's verdict on top."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from medviewer.desktop.panels.parts import STEP, ElidedLabel, label, set_role


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its interval (None where it has none)."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> str:
        """The interval beside the value; empty where there is none."""
        return "" if self.low is None or self.high is None else f"[{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class GateRow:
    """One measurement of both models on the same cases.

    Attributes:
        what: what was measured on what ("Dice, held-out").
        n: number and kind of cases ("26 patients").
        champion, candidate: the two values; None where it could not be measured.
        gain: candidate minus champion, paired; None where unknown.
    """

    what: str
    n: str
    champion: Estimate | None
    candidate: Estimate | None
    gain: Estimate | None = None


@dataclass(frozen=True, slots=True)
class GateView:
    """The gate's verdict.

    Attributes:
        passed: whether the candidate may become champion.
        reason: why, in one or two sentences.
        champion, candidate: their versions.
        rows: the measurements, the deciding ones first.
    """

    passed: bool
    reason: str
    champion: str
    candidate: str
    rows: tuple[GateRow, ...] = ()


class GateTable(QWidget):
    """The verdict, its reason, and two columns of numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(STEP)
        self.verdict = label("", "headline")
        self.reason = label("", "dim", wrap=True)
        self._column.addWidget(self.verdict)
        self._column.addWidget(self.reason)
        self._table: QWidget | None = None

    def show_gate(self, view: GateView) -> None:
        """Show a verdict with its numbers."""
        self.verdict.setText("Better: may be promoted" if view.passed else "Not promoted")
        set_role(self.verdict, "verdict-good" if view.passed else "verdict-bad")
        self.reason.setText(view.reason)
        if self._table is not None:
            self._column.removeWidget(self._table)
            self._table.hide()
            self._table.deleteLater()
        self._table = self._make_table(view)
        self._column.addSpacing(STEP)
        self._column.addWidget(self._table)

    def _make_table(self, view: GateView) -> QWidget:
        table = QWidget()
        grid = QGridLayout(table)
        grid.setContentsMargins(0, STEP, 0, 0)
        grid.setHorizontalSpacing(2 * STEP)
        grid.setVerticalSpacing(0)
        for column in range(3):
            grid.setColumnStretch(column, 1)
        right = Qt.AlignmentFlag.AlignRight
        for column, (name, version) in enumerate((("champion", view.champion), ("candidate", view.candidate)), start=1):
            head = label(name, "dim")
            head.setToolTip(version)
            grid.addWidget(head, 0, column, right)
            short = ElidedLabel(version, "faint")
            short.setAlignment(right)
            grid.addWidget(short, 1, column)
        line = 2
        for measured in view.rows:
            grid.setRowMinimumHeight(line, 2 * STEP)
            grid.addWidget(label(measured.what), line + 1, 0)
            grid.addWidget(label(measured.n, "dim"), line + 2, 0)
            better = measured.gain is not None and (measured.gain.low or 0.0) > 0
            for column, estimate in enumerate((measured.champion, measured.candidate), start=1):
                role = "strong" if column == 2 and better else ""
                value = label("–" if estimate is None else f"{estimate.value:.3f}", role)
                grid.addWidget(value, line + 1, column, right)
                grid.addWidget(label("" if estimate is None else estimate.interval, "dim"), line + 2, column, right)
            line += 3
            if measured.gain is not None:
                sign = "+" if measured.gain.value >= 0 else "−"
                text = f"gain {sign}{abs(measured.gain.value):.3f}"
                if measured.gain.low is not None and measured.gain.high is not None:
                    text += f"  [{_signed(measured.gain.low)}, {_signed(measured.gain.high)}], paired"
                grid.addWidget(label(text, "good" if better else "dim"), line, 0, 1, 3, right)
                line += 1
        return table


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{abs(value):.3f}"

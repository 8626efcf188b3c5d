"""Champion and candidate side by side on the same cases, with the gate's verdict on top."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from medviewer.desktop.panels.parts import STEP, ElidedLabel, label, row, set_role


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


class Verdict(StrEnum):
    """What the gate says about a candidate."""

    PASSED = "passed"
    REFUSED = "refused"
    CANNOT_TELL = "cannot-tell"


@dataclass(frozen=True, slots=True)
class CheckView:
    """One part of the rule: passed (None: could not be told), and what came of it in a sentence."""

    passed: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class GateView:
    """The gate's verdict.

    Attributes:
        verdict: whether the candidate may become champion.
        reason: why, in one or two sentences.
        champion, candidate: their versions.
        rows: the measurements, the deciding ones first.
        checks: every part of the rule.
    """

    verdict: Verdict
    reason: str
    champion: str
    candidate: str
    rows: tuple[GateRow, ...] = ()
    checks: tuple[CheckView, ...] = ()

    @property
    def passed(self) -> bool:
        """True where the candidate may be promoted."""
        return self.verdict is Verdict.PASSED


_HEADLINES = {
    Verdict.PASSED: ("Better: may be promoted", "verdict-good"),
    Verdict.REFUSED: ("Refused", "verdict-bad"),
    Verdict.CANNOT_TELL: ("Cannot tell yet", "verdict-warn"),
}


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
        self._shown: GateView | None = None
        self._table: QWidget | None = None
        self._checks: QWidget | None = None

    def show_gate(self, view: GateView) -> None:
        """Show a verdict with its numbers."""
        if view == self._shown:
            return
        self._shown = view
        text, role = _HEADLINES[view.verdict]
        self.verdict.setText(text)
        set_role(self.verdict, role)
        self.reason.setText(view.reason)
        for old in (self._table, self._checks):
            if old is not None:
                self._column.removeWidget(old)
                old.hide()
                old.deleteLater()
        self._table, self._checks = self._make_table(view), _make_checks(view.checks)
        for new in (self._table, self._checks):
            self._column.addWidget(new)
        self._table.show()
        self._checks.setVisible(bool(view.checks))

    def _make_table(self, view: GateView) -> QWidget:
        table = QWidget()
        grid = QGridLayout(table)
        grid.setContentsMargins(0, STEP, 0, 0)
        grid.setHorizontalSpacing(2 * STEP)
        grid.setVerticalSpacing(0)
        grid.setColumnStretch(0, 1)
        for column in (1, 2):
            grid.setColumnMinimumWidth(column, 22 * STEP)
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
            has_intervals = False
            for column, estimate in enumerate((measured.champion, measured.candidate), start=1):
                role = "strong" if column == 2 and better else ""
                grid.addWidget(
                    label("–" if estimate is None else f"{estimate.value:.3f}", role), line + 1, column, right
                )
                if estimate is not None and estimate.interval:
                    has_intervals = True
                    grid.addWidget(label(estimate.interval, "dim"), line + 2, column, right)
            line += 3
            if measured.gain is not None:
                gain = label(gain_text(measured.gain), "good" if better else "dim")
                if has_intervals:
                    grid.addWidget(gain, line, 0, 1, 3, right)
                    line += 1
                else:
                    grid.addWidget(gain, line - 1, 0, 1, 3, right)
        return table


def gain_text(gain: Estimate) -> str:
    """ "gain +0.045 [+0.021, +0.069], paired"."""
    text = f"gain {_signed(gain.value)}"
    if gain.low is not None and gain.high is not None:
        text += f"  [{_signed(gain.low)}, {_signed(gain.high)}], paired"
    return text


def _make_checks(checks: tuple[CheckView, ...]) -> QWidget:
    """Every part of the rule: a mark and its sentence."""
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 2 * STEP, 0, 0)
    column.setSpacing(STEP)
    for check in checks:
        mark, role = {True: ("✓", "good"), False: ("✕", "bad"), None: ("–", "warn")}[check.passed]
        sign = label(mark, role)
        sign.setFixedWidth(3 * STEP)
        sign.setAlignment(Qt.AlignmentFlag.AlignTop)
        line = row(sign, spacing=STEP)
        line.addWidget(label(check.sentence, "dim", wrap=True), 1)
        column.addLayout(line)
    return box


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{abs(value):.3f}"

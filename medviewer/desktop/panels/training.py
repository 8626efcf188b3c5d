"""The training card: from corrections to a candidate, its proof at the gate, promotion and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from medviewer.desktop.panels.gate import GateTable, GateView, Verdict
from medviewer.desktop.panels.parts import STEP, Card, ElidedLabel, FirstStep, ProgressLine, button, row

if TYPE_CHECKING:
    from medviewer.desktop.panels.curves import TrainingCurves


class TrainingState(StrEnum):
    """Where a training run is."""

    IDLE = "idle"
    RUNNING = "running"
    JUDGING = "judging"
    CANCELLING = "cancelling"
    JUDGED = "judged"
    FAILED = "failed"


#: A child process is at work.
AT_WORK = (TrainingState.RUNNING, TrainingState.JUDGING, TrainingState.CANCELLING)


@dataclass(frozen=True, slots=True)
class CurveData:
    """What the curves show.

    Attributes:
        steps: step numbers of `loss`.
        loss: training loss at those steps.
        dice_steps: step numbers of `dice`.
        dice: Dice of the candidate on the patients watched during training.
        champion_dice: the champion's Dice on the same patients, or None while unknown.
        total: all steps of the run.
    """

    steps: tuple[float, ...] = ()
    loss: tuple[float, ...] = ()
    dice_steps: tuple[float, ...] = ()
    dice: tuple[float, ...] = ()
    champion_dice: float | None = None
    total: int = 1


@dataclass(frozen=True, slots=True)
class TrainingView:
    """All that the training card shows.

    Attributes:
        state: which face the card has.
        corrections, patients: how many corrected cases wait, and of how many patients.
        why_not: why training cannot start now, or None.
        curves: loss and Dice so far; None before the first step.
        progress: share done; None while unknown.
        doing: what is being done, in words ("step 620 of 1000, 2 min left").
        gate: the verdict of the last run, or None.
        promoted: True once that candidate has become the champion.
        champion: the champion's version.
        previous: the version that rolling back leads to, or empty.
        sentence: what went wrong.
        device: "CPU" or the graphics card's name.
    """

    state: TrainingState = TrainingState.IDLE
    corrections: int = 0
    patients: int = 0
    why_not: str | None = None
    curves: CurveData | None = None
    progress: float | None = None
    doing: str = ""
    gate: GateView | None = None
    promoted: bool = False
    champion: str = ""
    previous: str = ""
    sentence: str = ""
    device: str = ""


def count_text(number: int, one: str, many: str = "") -> str:
    """A number with its noun in the right form: "1 patient", "9 patients"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


class TrainingCard(Card):
    """Shows a `TrainingView`; says what the person wants done."""

    train_asked = Signal()
    cancel_asked = Signal()
    promote_asked = Signal()
    roll_back_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Training", parent)
        self._view = TrainingView()
        self._first = FirstStep("")
        self._first.pressed.connect(self.train_asked)
        self.add(self._first)
        self._run = QWidget()
        run = QVBoxLayout(self._run)
        run.setContentsMargins(0, 0, 0, 0)
        run.setSpacing(2 * STEP)
        self._curves: TrainingCurves | None = None
        self._run_column = run
        self._progress = ProgressLine()
        run.addWidget(self._progress)
        self._doing = ElidedLabel("", "dim")
        self.cancel_button = button(
            "Cancel", "link", "Stop the training; the corrections wait for the next run", self.cancel_asked.emit
        )
        line = row()
        line.addWidget(self._doing, 1)
        line.addWidget(self.cancel_button)
        run.addLayout(line)
        self.add(self._run)
        self.gate = GateTable()
        self.add(self.gate)
        self.promote_button = button(
            "Promote", "good", "The candidate makes the next suggestion", self.promote_asked.emit
        )
        self.train_again_button = button("Train again", "", "", self.train_asked.emit)
        self._verdict = QWidget()
        self._verdict.setLayout(row(self.promote_button, self.train_again_button, None))
        self.add(self._verdict)
        self._champion = ElidedLabel("", "dim")
        self.roll_back_button = button("Roll back", "link", "", self.roll_back_asked.emit)
        self._model = QWidget()
        model = row()
        model.addWidget(self._champion, 1)
        model.addWidget(self.roll_back_button)
        self._model.setLayout(model)
        self.add(self._model)
        self.show_training(TrainingView())

    @property
    def view(self) -> TrainingView:
        """What is shown now."""
        return self._view

    def show_training(self, view: TrainingView) -> None:
        """Show another state of the training."""
        self._view = view
        state = view.state
        waiting = "no corrections yet"
        if view.corrections:
            corrections = count_text(view.corrections, "correction")
            waiting = f"{corrections}, {count_text(view.patients, 'patient')}"
        self.set_note(waiting)
        at_work = state in AT_WORK
        judged = state is TrainingState.JUDGED and view.gate is not None
        tones = {Verdict.PASSED: "good", Verdict.REFUSED: "bad", Verdict.CANNOT_TELL: "warn"}
        self.set_tone(tones[view.gate.verdict] if judged and view.gate is not None else "")
        self._show_first_step(view)
        self._run.setVisible(at_work)
        if at_work:
            self._show_curves(view.curves)
            self._progress.set_fraction(view.progress)
            self._doing.set_text("Stopping" if state is TrainingState.CANCELLING else view.doing)
            self.cancel_button.setEnabled(state is not TrainingState.CANCELLING)
        self.gate.setVisible(judged)
        self._verdict.setVisible(judged)
        if judged and view.gate is not None:
            self.gate.show_gate(view.gate)
            self.promote_button.setVisible(view.gate.passed)
            self.promote_button.setEnabled(not view.promoted)
            self.promote_button.setText("Promoted" if view.promoted else "Promote")
            self.train_again_button.setEnabled(view.why_not is None)
            self.train_again_button.setToolTip(view.why_not or "Train another candidate from the champion")
        self._model.setVisible(bool(view.champion))
        self._champion.set_text(f"In use: {view.champion}")
        self.roll_back_button.setEnabled(bool(view.previous) and not at_work)
        self.roll_back_button.setToolTip(
            f"Back to {view.previous} for the next suggestion"
            if view.previous
            else "There is no earlier champion to go back to"
        )

    def showEvent(self, event: QShowEvent) -> None:
        """The curves are made only where they are seen: when the page is turned to this card."""
        super().showEvent(event)
        if self._view.state in AT_WORK:
            self._show_curves(self._view.curves)

    def _show_curves(self, data: CurveData | None) -> None:
        if data is not None and self._curves is None and self.isVisible():
            from medviewer.desktop.panels.curves import TrainingCurves  # pyqtgraph: not before a training runs

            self._curves = TrainingCurves()
            self._run_column.insertWidget(0, self._curves)
        if self._curves is not None:
            self._curves.setVisible(data is not None)
            if data is not None:
                self._curves.show_curves(data)

    def _show_first_step(self, view: TrainingView) -> None:
        shown = view.state in (TrainingState.IDLE, TrainingState.FAILED)
        self._first.setVisible(shown)
        if not shown:
            return
        where = f" It runs in the background{f' on the {view.device}' if view.device else ''}."
        if view.state is TrainingState.FAILED:
            self._first.say(view.sentence, "Train again", "", role="bad")
        elif view.why_not is not None:
            self._first.say(view.why_not, "Train", view.why_not)
        else:
            self._first.say(
                f"Trains a candidate from the champion with your corrections.{where} "
                "The gate then compares both on the same patients.",
                "Train",
                "Start the training",
            )
        self._first.button.setEnabled(view.why_not is None)


def compact_doing(step: int, total: int, seconds_left: float | None) -> str:
    """How far a training is, in words: "step 620 of 1000, 2 min left"."""
    text = f"step {step} of {total}"
    if seconds_left is None:
        return text
    minutes = seconds_left / 60
    left = f"{max(1, round(seconds_left))} s left" if minutes < 1 else f"{round(minutes)} min left"
    return f"{text}, {left}"

"""The finding card: what the models say about one lesion, and the person's verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from medviewer.desktop.panels.parts import (
    STEP,
    Card,
    ElidedLabel,
    FirstStep,
    ProgressLine,
    ScaleLine,
    button,
    label,
    row,
    set_role,
)


class FindingState(StrEnum):
    """Where a finding is between the click and the verdict."""

    NO_STUDY = "no-study"
    NONE = "none"
    RUNNING = "running"
    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ABSTAINED = "abstained"
    FAILED = "failed"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """Size of one suggested segment: name, sphere-equivalent diameter in mm and volume in ml (None: not known)."""

    name: str
    diameter_mm: float | None = None
    volume_ml: float | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the classifying model expects readers to say.

    Attributes:
        claim: what the probability is of, in words ("Readers would call it malignant").
        probability, interval: calibrated probability and its interval; None while waiting.
        rating, rating_interval: expected malignancy rating, 1 to 5.
        ratings: further expected ratings, 1 to 5, in the order to show.
        source: whose opinion it is and how well it was measured.
        why_not: why there is none, or None.
        waiting: True while it is being computed.
    """

    claim: str = "Readers would call it malignant"
    probability: float | None = None
    interval: tuple[float, float] | None = None
    rating: float | None = None
    rating_interval: tuple[float, float] | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    why_not: str | None = None
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class FindingView:
    """All that the finding card shows.

    Attributes:
        state: which face the card has.
        headline: name of the finding ("Nodule 1").
        segments: sizes, the first one large, the others as lines.
        slices: first and last slice, counted from 1, or None.
        opinion: the classifying model's word, or None where the task has none.
        progress: share of the segmentation done, None while unknown.
        doing: what is being done, in words.
        sentence: what to do first (none), why not (abstained), what went wrong (failed), what changed (stale).
        remedy: the label of the one button that helps then.
        model: model, version, device and seconds, on one line; `about` what it is for and not for.
        notes: further sentences ("computed on the CPU").
        can_edit: whether the segment can be edited (it has voxels).
    """

    state: FindingState = FindingState.NONE
    headline: str = ""
    segments: tuple[SegmentFigures, ...] = ()
    slices: tuple[int, int] | None = None
    opinion: Opinion | None = None
    progress: float | None = None
    doing: str = ""
    sentence: str = ""
    remedy: str = ""
    model: str = ""
    about: str = ""
    notes: tuple[str, ...] = ()
    can_edit: bool = True


#: Ratings shown at once (the others are in the tooltip), by the name readers know them.
SHOWN_RATINGS = ("spiculation", "margin", "texture")
#: Room for an interval beside its value, kept free while it is not known, so that nothing jumps.
INTERVAL_WIDTH = 72
#: What the ends of each scale mean (LIDC-IDRI's reading form).
SCALE_ENDS = {
    "malignancy": "1 highly unlikely, 5 highly suspicious",
    "spiculation": "1 none, 5 marked",
    "lobulation": "1 none, 5 marked",
    "margin": "1 poorly defined, 5 sharp",
    "texture": "1 ground glass, 3 part-solid, 5 solid",
    "sphericity": "1 linear, 3 ovoid, 5 round",
    "subtlety": "1 extremely subtle, 5 obvious",
}


def interval_text(interval: tuple[float, float] | None, digits: int) -> str:
    """An interval beside its value: "[0.48, 0.80]"; empty for None."""
    return "" if interval is None else f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def probability_text(probability: float | None) -> str:
    """Two decimals, never a certainty: "0.66", ">0.99", "<0.01"; a dash while unknown."""
    if probability is None:
        return "–"
    if probability >= 0.995:
        return ">0.99"
    return "<0.01" if probability < 0.005 else f"{probability:.2f}"


def size_text(segment: SegmentFigures) -> tuple[str, str]:
    """Diameter and volume with units; a dash while unknown. Three significant digits for the volume."""
    diameter = "–" if segment.diameter_mm is None else f"{segment.diameter_mm:.1f} mm"
    volume = segment.volume_ml
    if volume is None:
        return diameter, "–"
    digits = 2 if volume < 10 else 1 if volume < 100 else 0
    return diameter, f"{volume:.{digits}f} ml"


class _RatingRow:
    """Name, scale 1 to 5, value and interval, in four columns of a grid."""

    def __init__(self, grid: QGridLayout, line: int, name: str) -> None:
        self.name = label(name, "dim")
        self.scale = ScaleLine(1, 5, ticks=(2, 3, 4))
        self.value = label("", "")
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.interval = label("", "dim")
        self.interval.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.value.setMinimumWidth(6 * STEP)
        self.interval.setMinimumWidth(INTERVAL_WIDTH)
        for column, widget in enumerate((self.name, self.scale, self.value, self.interval)):
            grid.addWidget(widget, line, column)

    def show_rating(self, name: str, value: float | None, interval: tuple[float, float] | None) -> None:
        self.name.setText(name)
        for widget in (self.name, self.scale):
            widget.setToolTip(f"{name}: {SCALE_ENDS.get(name, '1 to 5')}")
        self.scale.show_value(value, interval)
        self.scale.setAccessibleName(f"{name} {'unknown' if value is None else format(value, '.1f')}")
        self.value.setText("–" if value is None else f"{value:.1f}")
        self.interval.setText(interval_text(interval, 1))

    def set_visible(self, shown: bool) -> None:
        for widget in (self.name, self.scale, self.value, self.interval):
            widget.setVisible(shown)


class FindingCard(Card):
    """Shows a `FindingView`; says which verdict was asked for."""

    accept_asked = Signal()
    edit_asked = Signal()
    reject_asked = Signal()
    cancel_asked = Signal()
    done_asked = Signal()
    first_step_asked = Signal()
    remedy_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Suggestion", parent)
        self._view = FindingView()
        self._first = FirstStep("")
        self._first.pressed.connect(self._first_pressed)
        self.add(self._first)

        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.setSpacing(2 * STEP)
        self._headline = ElidedLabel("", "headline")
        body.addWidget(self._headline)
        self._diameter = label("", "strong")
        self._volume = label("", "strong")
        self._slices = ElidedLabel("", "dim")
        sizes = row(self._diameter, self._volume)
        sizes.addWidget(self._slices, 1)
        body.addLayout(sizes)
        self._others = label("", "dim", wrap=True)
        body.addWidget(self._others)
        self._build_opinion(body)
        self._notes = label("", "warn", wrap=True)
        body.addWidget(self._notes)
        self._doing = ElidedLabel("", "dim")
        self._cancel = button("Cancel", "link", "Stop the computation (Esc)", self.cancel_asked.emit)
        self._progress = ProgressLine()
        self._running = QWidget()
        running = QVBoxLayout(self._running)
        running.setContentsMargins(0, 0, 0, 0)
        running.setSpacing(STEP)
        running.addWidget(self._progress)
        line = row()
        line.addWidget(self._doing, 1)
        line.addWidget(self._cancel)
        running.addLayout(line)
        body.addWidget(self._running)
        self.accept_button = button(
            "Accept  ↵", "good", "Make it a segment of this study (Enter)", self.accept_asked.emit
        )
        self.edit_button = button("Edit", "", "Accept it and correct it with the brush (B)", self.edit_asked.emit)
        self.reject_button = button("Reject  Esc", "", "Throw the proposal away (Esc)", self.reject_asked.emit)
        self._verdict = QWidget()
        verdict = row(self.accept_button, self.edit_button, self.reject_button, None)
        self._verdict.setLayout(verdict)
        body.addWidget(self._verdict)
        self.done_button = button("Done  Ctrl+D", "primary", "", self.done_asked.emit)
        self._after = QWidget()
        self._after.setLayout(
            row(self.done_button, button("Edit", "", "Correct it with the brush (B)", self.edit_asked.emit), None)
        )
        body.addWidget(self._after)
        self._again = button("", "primary", "", self.remedy_asked.emit)
        self._again_line = QWidget()
        self._again_line.setLayout(row(self._again, None))
        body.addWidget(self._again_line)
        self._model = ElidedLabel("", "faint")
        body.addWidget(self._model)
        self.add(self._body)
        self.show_finding(FindingView())

    def _build_opinion(self, body: QVBoxLayout) -> None:
        self._opinion = QWidget()
        column = QVBoxLayout(self._opinion)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(STEP)
        self._claim = label("", "dim")
        column.addWidget(self._claim)
        self._figures = QWidget()
        figures = QVBoxLayout(self._figures)
        figures.setContentsMargins(0, 0, 0, 0)
        figures.setSpacing(STEP)
        self._probability = ScaleLine(0, 1, ticks=(0.5,))
        self._percent = label("", "headline")
        self._percent_interval = label("", "dim")
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        self._percent.setAlignment(right)
        self._percent.setMinimumWidth(12 * STEP)
        self._percent_interval.setAlignment(right)
        self._percent_interval.setMinimumWidth(INTERVAL_WIDTH)
        first = row()
        first.addWidget(self._probability, 1)
        first.addWidget(self._percent)
        first.addWidget(self._percent_interval)
        figures.addLayout(first)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(2 * STEP)
        grid.setVerticalSpacing(STEP)
        grid.setColumnStretch(1, 1)
        self._ratings = [_RatingRow(grid, n, "") for n in range(1 + len(SHOWN_RATINGS))]
        figures.addLayout(grid)
        column.addWidget(self._figures)
        self._why_not = label("", "dim", wrap=True)
        column.addWidget(self._why_not)
        self._source = label("", "faint", wrap=True)
        column.addSpacing(STEP)
        column.addWidget(self._source)
        body.addWidget(self._opinion)

    @property
    def view(self) -> FindingView:
        """What is shown now."""
        return self._view

    def show_finding(self, view: FindingView) -> None:
        """Show another finding or another state of it."""
        self._view = view
        state = view.state
        self._show_head(view)
        simple = {
            FindingState.NO_STUDY: ("Open a study; then a click on a nodule asks the model.", "", ""),
            FindingState.NONE: (
                view.sentence
                or "Click a finding with Suggest, or draw a box around it. The model proposes; you decide.",
                "Suggest  Q",
                "Arm the Suggest tool (Q)",
            ),
            FindingState.REJECTED: ("Rejected. Nothing was added to the study.", "Suggest again  Q", "Arm Suggest (Q)"),
        }
        if state in simple:
            self._first.say(*simple[state])
        elif state is FindingState.ABSTAINED:
            self._first.say(f"Why not: {view.sentence}", view.remedy, "")
        elif state is FindingState.FAILED:
            self._first.say(view.sentence, view.remedy or "Try again", "", role="bad")
        has_body = state in (
            FindingState.RUNNING,
            FindingState.PROPOSED,
            FindingState.ACCEPTED,
            FindingState.STALE,
        )
        self._first.setVisible(not has_body)
        self._body.setVisible(has_body)
        if has_body:
            self._show_body(view)

    def show_why_not_done(self, reason: str | None) -> None:
        """Why an accepted finding cannot be queued now; None if it can."""
        self.done_button.setEnabled(reason is None)
        self.done_button.setToolTip(reason or "The outline is right: store it and queue the case (Ctrl+D)")

    def _show_head(self, view: FindingView) -> None:
        state = view.state
        tone, note, role = {
            FindingState.RUNNING: ("ai", "not verified by a physician", "warn"),
            FindingState.PROPOSED: ("ai", "not verified by a physician", "warn"),
            FindingState.STALE: ("warn", "out of date", "warn"),
            FindingState.ACCEPTED: ("good", view.sentence or "accepted", "good"),
            FindingState.ABSTAINED: ("ai", "the model says nothing here", "dim"),
            FindingState.FAILED: ("bad", "did not run", "bad"),
        }.get(state, ("", "", "dim"))
        self.set_tone(tone)
        self.set_note(note, role)
        violet = state in (FindingState.RUNNING, FindingState.PROPOSED, FindingState.ABSTAINED, FindingState.STALE)
        self.title.setText("Finding" if state is FindingState.ACCEPTED else "Suggestion")
        set_role(self.title, "ai" if violet else "title")

    def _show_body(self, view: FindingView) -> None:
        self._headline.set_text(view.headline)
        first = view.segments[0] if view.segments else SegmentFigures("")
        diameter, volume = size_text(first)
        several = len(view.segments) > 1
        self._diameter.setVisible(not several and first.diameter_mm is not None)
        self._volume.setVisible(not several)
        self._diameter.setText(diameter)
        self._diameter.setToolTip("Diameter of the sphere of this volume")
        self._volume.setText("measuring" if not view.segments else volume)
        set_role(self._volume, "dim" if not view.segments else "strong")
        self._slices.set_text("" if view.slices is None else _slices_text(view.slices))
        self._others.setVisible(several)
        self._others.setText("\n".join(f"{s.name}  {size_text(s)[1]}" for s in view.segments) if several else "")
        self._show_opinion(view.opinion)
        notes = (view.sentence, *view.notes) if view.state is FindingState.STALE else view.notes
        self._notes.setText("\n".join(notes))
        self._notes.setVisible(bool(notes))
        running = view.state is FindingState.RUNNING
        self._running.setVisible(running)
        self._progress.set_fraction(view.progress)
        percent = "" if view.progress is None else f"  {view.progress * 100:.0f} %"
        self._doing.set_text(f"{view.doing}{percent}")
        proposed = view.state in (FindingState.PROPOSED, FindingState.RUNNING)
        ready = view.state is FindingState.PROPOSED and view.can_edit
        self._verdict.setVisible(proposed)
        for one in (self.accept_button, self.edit_button):
            one.setEnabled(ready)
        why = "" if ready else "The rest of the lesion is still being computed" if running else "Nothing was outlined"
        self.accept_button.setToolTip(why or "Make it a segment of this study (Enter)")
        self.edit_button.setToolTip(why or "Accept it and correct it with the brush (B)")
        self._after.setVisible(view.state is FindingState.ACCEPTED)
        self._model.set_text(view.model)
        self._model.setVisible(bool(view.model))
        if view.about:
            self._model.setToolTip(view.about)
        stale = view.state is FindingState.STALE
        self._again_line.setVisible(stale)
        self._again.setText(view.remedy or "Suggest again")

    def _show_opinion(self, opinion: Opinion | None) -> None:
        self._opinion.setVisible(opinion is not None)
        if opinion is None:
            return
        self._claim.setText(opinion.claim)
        has_figures = opinion.why_not is None
        self._figures.setVisible(has_figures)
        self._why_not.setVisible(not has_figures)
        self._why_not.setText("" if has_figures else f"No opinion. Why not: {opinion.why_not}")
        self._probability.show_value(opinion.probability, opinion.interval)
        p = opinion.probability
        self._percent.setText(probability_text(p))
        self._percent_interval.setText(interval_text(opinion.interval, 2))
        shown = [("malignancy", opinion.rating, opinion.rating_interval)]
        shown += [(n, opinion.ratings.get(n), None) for n in SHOWN_RATINGS if opinion.waiting or n in opinion.ratings]
        for n, line in enumerate(self._ratings):
            line.set_visible(n < len(shown))
            if n < len(shown):
                line.show_rating(*shown[n])
        self._figures.setToolTip(
            "\n".join(f"{n} {v:.1f} ({SCALE_ENDS.get(n, '1 to 5')})" for n, v in opinion.ratings.items())
        )
        self._source.setText(opinion.source)
        self._source.setVisible(bool(opinion.source) and has_figures)

    def _first_pressed(self) -> None:
        if self._view.state in (FindingState.NONE, FindingState.NO_STUDY, FindingState.REJECTED):
            self.first_step_asked.emit()
        else:
            self.remedy_asked.emit()


def _slices_text(slices: tuple[int, int]) -> str:
    first, last = slices
    return f"slice {first}" if first == last else f"slices {first}–{last}"

"""Every card in every state: what it says, what can be pressed, and that nothing is cut off at the column's width."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from medviewer.desktop import theme
from medviewer.desktop.learning.views import Curves, gate_view, sentence, why_not_train
from medviewer.desktop.panels.check_first import CheckFirstCard
from medviewer.desktop.panels.column import MARGIN
from medviewer.desktop.panels.finding import (
    FindingCard,
    FindingState,
    FindingView,
    Opinion,
    SegmentFigures,
    interval_text,
    probability_text,
    size_text,
)
from medviewer.desktop.panels.gate import CheckView, Estimate, GateRow, GateView, Verdict, gain_text
from medviewer.desktop.panels.look import card_style
from medviewer.desktop.panels.parts import ElidedLabel
from medviewer.desktop.panels.queue import CaseView, QueueCard, QueueView
from medviewer.desktop.panels.segments import SaveState, SegmentsCard, SegmentsView, SegmentView
from medviewer.desktop.panels.similar import SimilarCard, SimilarView, contrary
from medviewer.desktop.panels.training import (
    CurveData,
    TrainingCard,
    TrainingState,
    TrainingView,
    compact_doing,
    count_text,
)

WIDTH = theme.RIGHT_WIDTH - 1 - 2 * MARGIN

SOURCE = "Opinion of radiologists as learnt from LIDC, not pathology. AUC 0.90 [0.85, 0.94], n = 183."
OPINION = Opinion(
    probability=0.66,
    interval=(0.48, 0.80),
    rating=3.4,
    rating_interval=(2.7, 4.1),
    ratings={"spiculation": 2.3, "margin": 3.8, "texture": 4.6},
    source=SOURCE,
)
NODULE = (SegmentFigures("nodule", 115.8, 807.2),)
MODEL = "lung-nodule-segment 1.0.0-c20261121140211  CPU  0.4 s"
LONG = "The model file does not have the hash of its manifest, so it was not used; verify the models, or reinstall."


def finding(**parts: object) -> Callable[[], QWidget]:
    def make() -> QWidget:
        card = FindingCard()
        card.show_finding(FindingView(**parts))  # type: ignore[arg-type]
        return card

    return make


def body(**parts: object) -> dict[str, object]:
    return {
        "headline": "Nodule 12",
        "segments": NODULE,
        "slices": (119, 236),
        "opinion": OPINION,
        "model": MODEL,
        **parts,
    }


def similar(pictures: int) -> Callable[[], QWidget]:
    def make() -> QWidget:
        card = SimilarCard()
        ratings = {"malignancy": 4.0, "spiculation": 2.3, "margin": 3.8, "texture": 4.6}
        card.show_cases(
            tuple(
                SimilarView(
                    f"case {n}",
                    4.0 - n,
                    115.0,
                    0.08,
                    ratings,
                    "own library",
                    np.zeros((96, 96), np.uint8) if n < pictures else None,
                )
                for n in range(5)
            ),
            "LIDC train split; other patients",
        )
        return card

    return make


def check_first(*slices: int) -> Callable[[], QWidget]:
    def make() -> QWidget:
        card = CheckFirstCard()
        card.show_slices(slices)
        return card

    return make


GATE = GateView(
    Verdict.PASSED,
    "Better on the held-out patients (lower bound of the gain above zero) and no worse on the golden set.",
    "1.0.0",
    "1.0.0-c20261121140211",
    (
        GateRow("Dice, held-out", "126 patients", Estimate(0.741), Estimate(0.786), Estimate(0.045, 0.021, 0.069)),
        GateRow("Dice, golden", "140 patients", Estimate(0.832), Estimate(0.829), Estimate(-0.003, -0.009, 0.003)),
        GateRow("Calibration error", "26 patients", Estimate(0.061, 0.05, 0.07), Estimate(0.058, 0.04, 0.07)),
    ),
    (
        CheckView(True, "The golden case answers as before."),
        CheckView(False, "Worse on the golden set than the rule allows: lower bound −0.061, margin −0.020."),
        CheckView(None, "Too few patients to judge the small nodules."),
    ),
)
CURVES = CurveData((0, 10, 20), (0.9, 0.6, 0.5), (0, 20), (0.7, 0.8), 0.81, 100)


def training(**parts: object) -> Callable[[], QWidget]:
    facts = {"corrections": 112, "patients": 101, "champion": "Outline of a lung nodule 1.0.0-c20261121140211", **parts}

    def make() -> QWidget:
        card = TrainingCard()
        card.show_training(TrainingView(**facts))  # type: ignore[arg-type]
        return card

    return make


SEGMENTS = (
    SegmentView(1, "Nodule 1", "Nodule, lung", (230, 159, 0), 2.07, True, "AI, unchanged", "SCT 27925004"),
    SegmentView(2, "A segment with a very long name that a person gave it", "", (86, 180, 233), None, False, "by hand"),
)


def segments(**parts: object) -> Callable[[], QWidget]:
    def make() -> QWidget:
        card = SegmentsCard()
        card.show_segments(SegmentsView(**parts))  # type: ignore[arg-type]
        return card

    return make


CASES = tuple(
    CaseView(str(n), "Outline of a lung nodule", state, "dr. lee", "2026-11-21 14:02", "7f3a91")
    for n, state in enumerate(["pending", "training", "held-out", "used", "returned"] * 3)
)


def queue(**parts: object) -> Callable[[], QWidget]:
    def make() -> QWidget:
        card = QueueCard()
        card.show_queue(QueueView(**parts))  # type: ignore[arg-type]
        return card

    return make


FACES: dict[str, Callable[[], QWidget]] = {
    "finding, no study": finding(state=FindingState.NO_STUDY),
    "finding, none": finding(state=FindingState.NONE),
    "finding, running": finding(
        **body(
            state=FindingState.RUNNING, opinion=Opinion(waiting=True, source=SOURCE), doing="Segmenting", progress=0.4
        )
    ),
    "finding, proposed": finding(**body(state=FindingState.PROPOSED)),
    "finding, no opinion": finding(**body(state=FindingState.PROPOSED, opinion=Opinion(why_not=LONG))),
    "finding, two segments": finding(
        **body(state=FindingState.PROPOSED, segments=(*NODULE, *NODULE), opinion=None, notes=(LONG,))
    ),
    "finding, accepted": finding(**body(state=FindingState.ACCEPTED, sentence="accepted 14:02")),
    "finding, rejected": finding(state=FindingState.REJECTED),
    "finding, abstained": finding(state=FindingState.ABSTAINED, sentence=LONG),
    "finding, failed": finding(state=FindingState.FAILED, sentence=LONG, remedy="Try again"),
    "finding, stale": finding(**body(state=FindingState.STALE, sentence="Another model is in use now.")),
    "similar, empty": SimilarCard,
    "similar, pictures": similar(5),
    "similar, some pictures": similar(2),
    "similar, ratings": similar(0),
    "check first, empty": CheckFirstCard,
    "check first, chips": check_first(119, 120, 234, 235, 236, 237, 238),
    "training, too few": training(why_not="Collect more: 4 of 10 corrected patients are there."),
    "training, ready": training(previous="1.0.0", device="CPU"),
    "training, running": training(state=TrainingState.RUNNING, curves=CURVES, progress=0.6, doing="step 620 of 1000"),
    "training, cancelling": training(state=TrainingState.CANCELLING, curves=CURVES, progress=0.6),
    "training, judged": training(state=TrainingState.JUDGED, gate=GATE),
    "training, failed": training(state=TrainingState.FAILED, sentence=LONG),
    "segments, no study": segments(),
    "segments, none": segments(has_study=True),
    "segments, some": segments(has_study=True, segments=SEGMENTS, active=1, save=SaveState.SAVED, saved_at="14:02:11"),
    "segments, full disk": segments(
        has_study=True, segments=SEGMENTS, active=2, save=SaveState.IN_MEMORY_ONLY, sentence=LONG
    ),
    "queue, reading": queue(),
    "queue, empty": queue(cases=(), why_not_done="Accept a suggestion first."),
    "queue, full": queue(cases=CASES, done="Stored. This patient is kept aside to judge the next model."),
    "queue, failed": queue(cases=CASES[:2], sentence=LONG),
}


@pytest.mark.parametrize("face", FACES)
def test_nothing_is_cut_off(face: str, qtbot: QtBot) -> None:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    theme.use_theme(app)
    host = QWidget()
    qtbot.addWidget(host)
    host.setStyleSheet(card_style())
    card = FACES[face]()
    card.setParent(host)
    card.setFixedWidth(WIDTH)
    host.show()
    for _ in range(3):
        QApplication.processEvents()
    card.adjustSize()
    card.resize(WIDTH, card.heightForWidth(WIDTH) if card.hasHeightForWidth() else card.sizeHint().height())
    QApplication.processEvents()
    for one in card.findChildren(QLabel):
        if not one.isVisible() or not one.text():
            continue
        if one.wordWrap():
            needed = one.heightForWidth(one.width())
            assert needed <= one.height() + 1, f"{one.text()!r} needs {needed} px, has {one.height()}"
        elif not isinstance(one, ElidedLabel):
            needed = one.fontMetrics().horizontalAdvance(one.text())
            assert needed <= one.width() + 1, f"{one.text()!r} needs {needed} px, has {one.width()}"
    for button in card.findChildren(QPushButton):
        if button.isVisible():
            assert button.minimumSizeHint().width() <= button.width() + 1, button.text()
            right = button.mapTo(card, button.rect().bottomRight()).x()
            assert right <= WIDTH - 8, f"{button.text()} sticks out"


def visible_texts(widget: QWidget) -> str:
    return "\n".join(one.text() for one in widget.findChildren(QLabel) if one.isVisibleTo(widget))


def test_a_disabled_accept_says_why(qtbot: QtBot) -> None:
    card = FindingCard()
    qtbot.addWidget(card)
    card.show_finding(FindingView(FindingState.RUNNING, headline="Nodule 1", segments=NODULE))
    assert not card.accept_button.isEnabled()
    assert "still being computed" in card.accept_button.toolTip()
    card.show_finding(FindingView(FindingState.PROPOSED, can_edit=False))
    assert "Nothing was outlined" in card.accept_button.toolTip()


def test_the_card_keeps_its_height_when_the_opinion_arrives(qtbot: QtBot) -> None:
    """Nothing jumps: the rows are there while they are waited for."""
    card = FindingCard()
    qtbot.addWidget(card)
    heights = []
    for opinion in (Opinion(waiting=True, source=SOURCE), OPINION):
        card.show_finding(FindingView(FindingState.PROPOSED, **body(opinion=opinion)))  # type: ignore[arg-type]
        heights.append(card.layout().heightForWidth(WIDTH))
    assert heights[0] == heights[1]


def test_the_similar_card_keeps_its_height_when_pictures_arrive(qtbot: QtBot) -> None:
    card = SimilarCard()
    qtbot.addWidget(card)
    card.show_loading()
    before = card.layout().heightForWidth(WIDTH)
    other = similar(5)()
    qtbot.addWidget(other)
    assert other.layout().heightForWidth(WIDTH) == before


def test_the_nearest_contrary_case_is_named() -> None:
    def case(rating: float | None) -> SimilarView:
        return SimilarView("x", rating, None, 0.1)

    assert contrary((case(4.0), case(3.5), case(2.1))) == "nearest against: rating 2.1 at rank 3"
    assert contrary((case(2.0), case(None), case(3.0), case(4.2))) == "nearest against: rating 4.2 at rank 4"
    assert contrary((case(4.0), case(3.5))) == ""
    assert contrary(()) == ""


def test_numbers_carry_units_and_sensible_digits() -> None:
    assert size_text(SegmentFigures("n", 15.83, 2.071)) == ("15.8 mm", "2.07 ml")
    assert size_text(SegmentFigures("n", 4.21, 0.039)) == ("4.2 mm", "0.04 ml")
    assert size_text(SegmentFigures("n", None, 807.2)) == ("–", "807 ml")
    assert [probability_text(p) for p in (None, 0.66, 0.995, 0.994, 0.004)] == ["–", "0.66", ">0.99", "0.99", "<0.01"]
    assert interval_text((0.48, 0.8), 2) == "[0.48, 0.80]"
    assert interval_text(None, 2) == ""
    assert gain_text(Estimate(-0.003, -0.009, 0.003)) == "gain −0.003  [−0.009, +0.003], paired"
    assert count_text(1, "patient") == "1 patient"
    assert compact_doing(620, 1000, 125.0) == "step 620 of 1000, 2 min left"
    assert compact_doing(5, 1000, None) == "step 5 of 1000"


def test_a_gain_that_may_be_zero_is_not_green(qtbot: QtBot) -> None:
    card = TrainingCard()
    qtbot.addWidget(card)
    row = GateRow("Dice, held-out", "12 patients", Estimate(0.74), Estimate(0.75), Estimate(0.01, -0.02, 0.03))
    card.show_training(
        TrainingView(TrainingState.JUDGED, gate=GateView(Verdict.CANNOT_TELL, "Too few.", "1", "2", (row,)))
    )
    gains = [one for one in card.findChildren(QLabel) if one.text().startswith("gain")]
    assert [one.property("role") for one in gains] == ["dim"]
    assert "Cannot tell yet" in visible_texts(card)
    assert not card.promote_button.isVisibleTo(card)


def test_the_gates_report_becomes_the_table() -> None:
    report = {
        "passed": False,
        "verdict": "refused",
        "reason": "worse on the golden set",
        "metrics": {
            "golden": {
                "champion": 0.8,
                "candidate": 0.7,
                "value": -0.1,
                "low": float("nan"),
                "high": 0.0,
                "n_patients": 1,
            },
            "held-out": None,
        },
        "checks": [
            {"name": "golden", "passed": False, "sentence": "it got worse, 0.8 -> 0.7"},
            {"name": "same", "passed": False, "sentence": "worse on the golden set"},
        ],
    }
    view = gate_view(report, "1", "2")
    assert view.verdict is Verdict.REFUSED
    assert view.reason == "Worse on the golden set."
    assert [(r.what, r.n) for r in view.rows] == [("Dice, golden", "1 patient")]
    assert view.rows[0].gain == Estimate(-0.1, None, 0.0)
    assert view.checks == (CheckView(False, "It got worse, 0.8 → 0.7."),), "the reason is not said twice"


def test_curves_gather_loss_and_dice_and_leave_out_what_is_no_number() -> None:
    curves = Curves()
    assert curves.data is None
    curves.take(0, 100, {"dice": 0.8, "champion_dice": 0.8})
    curves.take(10, 100, {"loss": 0.6, "best_dice": -1.0})
    curves.take(20, 100, {"loss": float("nan"), "dice": 0.82})
    data = curves.data
    assert data is not None
    assert (data.steps, data.loss) == ((10.0,), (0.6,))
    assert (data.dice_steps, data.dice) == ((0.0, 20.0), (0.8, 0.82))
    assert (data.champion_dice, data.total) == (0.8, 100)


def test_training_needs_ten_corrected_patients_of_the_task() -> None:
    class Case:
        def __init__(self, n: int, state: str = "pending", task: str = "t") -> None:
            self.patient_hash, self.state, self.task = f"p{n}", state, task

    assert "at least 10 patients" in (why_not_train([], "t") or "")
    nine = [Case(n) for n in range(9)]
    assert why_not_train(nine, "t") == "Collect more: 9 of 10 corrected patients are there."
    others = [Case(9, "held-out"), Case(9, task="u"), Case(8)]
    assert why_not_train([*nine, *others], "t") is not None
    assert why_not_train([*nine, Case(9)], "t") is None
    assert sentence("too few. ") == "Too few."


def test_chips_jump_to_slices_counted_from_one(qtbot: QtBot) -> None:
    card = CheckFirstCard()
    qtbot.addWidget(card)
    card.show_slices((19, 35))
    asked: list[int] = []
    card.slice_asked.connect(asked.append)
    chips = [b for b in card.findChildren(QPushButton) if b.isVisibleTo(card)]
    assert [chip.text() for chip in chips] == ["20", "36"]
    qtbot.mouseClick(chips[1], Qt.MouseButton.LeftButton)
    assert asked == [35]


def test_a_patient_name_with_markup_stays_plain_text(qtbot: QtBot) -> None:
    card = SegmentsCard()
    qtbot.addWidget(card)
    evil = SegmentView(1, "<b>bold</b><img src=x>", "", (1, 2, 3), 1.0)
    card.show_segments(SegmentsView(has_study=True, segments=(evil,), active=1))
    card.resize(WIDTH, 200)
    labels = [one for one in card.findChildren(ElidedLabel) if "bold" in one.whole_text()]
    assert labels
    assert all(one.textFormat() is Qt.TextFormat.PlainText for one in labels)

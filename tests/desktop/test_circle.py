"""The whole right column in a real window: cards, keys, queue, training, gate, promotion. Real queue and journal."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotating import Hand, make_window, small_volume
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot
from test_corrections import stack_of
from test_proposals import ALIKE, HEAD, JUDGE, SEGMENT, ScriptedClient, opinion, outline

from medviewer.annotation.operations import Paint
from medviewer.desktop.circle import Circle, build_right_column
from medviewer.desktop.learning import training as training_module
from medviewer.desktop.learning.corrections import open_queue
from medviewer.desktop.learning.training import Judged
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.panels.column import RightColumn
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.panels.gate import Verdict
from medviewer.desktop.panels.training import TrainingState
from medviewer.desktop.suggesting.tasks import TaskBook
from medviewer.errors import MedviewerError
from medviewer.inference.suggestion import SimilarCase, Suggestion
from medviewer.jobs import JobContext
from medviewer.learning.queue import NewCase
from medviewer.library.nodule_library import LibraryNodule
from medviewer.volume.window import Window

BOOK = TaskBook((SEGMENT, replace(JUDGE, source="Opinion of radiologists. AUC 0.90"), ALIKE, HEAD))


class Desk:
    """A window with the whole column on the made-up stack."""

    def __init__(self, window: MainWindow, client: ScriptedClient, qtbot: QtBot) -> None:
        self.window, self.client, self.qtbot = window, client, qtbot
        column = window.findChild(RightColumn)
        assert isinstance(column, RightColumn)
        assert isinstance(column.circle, Circle)
        self.column, self.circle = column, column.circle
        qtbot.waitUntil(lambda: self.circle.proposals.book is not None, timeout=30_000)
        self.open()

    def open(self, stack_id: str = "stack-a", patient: str = "P1") -> None:
        volume = small_volume(stack_id)
        self.window.session.show(stack_of(volume, patient), volume, Window(1500, -600))
        self.qtbot.waitUntil(lambda: self.window.session.editor is not None, timeout=30_000)

    def click_lesion(self) -> None:
        self.window.actions_table.do("tool-suggest")
        Hand(self.window).click(48, 40)

    def propose(self) -> None:
        self.click_lesion()
        self.client.asked[-1].answer(outline())
        self.wait(lambda: self.state is FindingState.PROPOSED)

    @property
    def state(self) -> FindingState:
        return self.column.finding.view.state

    def wait(self, condition: Callable[[], bool]) -> None:
        self.qtbot.waitUntil(condition, timeout=30_000)

    def press(self, button: QPushButton) -> None:
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was handed to the library's child process, in place of starting it."""
    found: list[tuple[str, str]] = []

    def keep(task: str, patient: str, *_: Any) -> int:
        found.append((task, patient))
        return 1

    monkeypatch.setattr(training_module, "keep_as_similar", keep)
    return found


@pytest.fixture
def desk(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, kept: list[tuple[str, str]]) -> Iterator[Desk]:
    from medviewer.desktop.suggesting import proposals

    monkeypatch.setattr(proposals, "read_task_book", lambda: BOOK)
    client = ScriptedClient()
    window = make_window(lambda session, services: build_right_column(session, services, client))
    qtbot.addWidget(window)
    yield Desk(window, client, qtbot)
    window.close()


def texts(widget: QWidget) -> str:
    """Every text that is visible in a widget."""
    return "\n".join(one.text() for one in widget.findChildren(QLabel) if one.isVisibleTo(widget))


def test_a_click_fills_the_cards_in_the_order_of_work(desk: Desk) -> None:
    desk.click_lesion()
    assert desk.state is FindingState.RUNNING
    assert not desk.column.finding.accept_button.isEnabled()
    desk.client.asked[0].partly(outline("clicked-slice"))
    desk.wait(lambda: "slice 5" in texts(desk.column.finding))
    desk.client.asked[0].answer(outline())
    desk.wait(lambda: desk.state is FindingState.PROPOSED)
    assert "not verified by a physician" in desk.column.finding.note.whole_text()
    desk.client.asked[1].answer(opinion())
    desk.wait(lambda: "0.66" in texts(desk.column.finding))
    said = texts(desk.column.finding)
    for expected in ("Nodule 1", "slices 5–8", "[0.48, 0.80]", "3.4", "[2.7, 4.1]", "Opinion of radiologists"):
        assert expected in said
    chips = [b for b in desk.column.check_first.findChildren(QPushButton) if b.isVisibleTo(desk.column.check_first)]
    assert [chip.text() for chip in chips] == ["5", "8"]
    desk.press(chips[1])
    assert desk.window.session.position_of(desk.window.grid.active.axes) == 7
    assert tuple(desk.window.session.crosshair_kji[1:]) == pytest.approx((44.5, 35.5)), "on the lesion"


def test_similar_cases_show_ratings_at_once_and_pictures_of_the_own_library(desk: Desk) -> None:
    from medviewer.inference.similar_nodule import own_library

    picture = np.tile(np.arange(0, 192, 2, dtype=np.uint8), (96, 1))
    vector = np.zeros(4, np.float32)
    key = own_library().add(LibraryNodule(picture, vector, "space", np.zeros((1, 2, 2), np.uint8), "hash"))
    desk.propose()
    alike = (
        SimilarCase("mine", 0.05, "malignant", 14.0, {"malignancy": 4.0}, "own library", f"library:{key}"),
        SimilarCase("other", 0.15, "benign", 9.0, {"malignancy": 2.0}, "train split"),
    )
    desk.client.asked[2].answer(Suggestion("s", "ghi", "cpu", 0.1, similar=alike))
    tiles = desk.column.similar.tiles
    desk.wait(lambda: tiles[0]._pixmap is not None)
    assert tiles[1]._pixmap is None
    assert "malignancy 2.0" in tiles[1].toolTip()
    assert "nearest against: rating 2.0 at rank 2" in texts(desk.column.similar)


def test_the_same_patient_is_never_among_the_similar_cases(desk: Desk) -> None:
    from medviewer.inference.similar_nodule import own_library

    library = own_library()
    blank = np.zeros((96, 96), np.uint8)
    own = library.add(
        LibraryNodule(blank, np.zeros(4, np.float32), "s", np.zeros((1, 2, 2), np.uint8), library.patient_hash("P1"))
    )
    desk.propose()
    alike = (
        SimilarCase("same patient", 0.0, ratings={"malignancy": 5.0}, thumbnail=f"library:{own}"),
        SimilarCase("other", 0.2, ratings={"malignancy": 2.0}),
    )
    desk.client.asked[2].answer(Suggestion("s", "ghi", "cpu", 0.1, similar=alike))
    desk.wait(lambda: "2.0" in texts(desk.column.similar))
    assert "5.0" not in texts(desk.column.similar)
    assert all("same patient" not in tile.toolTip() for tile in desk.column.similar.tiles)


def test_accept_edit_done_by_keyboard_alone(desk: Desk, kept: list[tuple[str, str]]) -> None:
    desk.propose()
    hand = Hand(desk.window)
    hand.key(Qt.Key.Key_Return)
    assert desk.state is FindingState.ACCEPTED
    desk.wait(lambda: bool(desk.column.segments.view.segments))
    assert desk.column.segments.view.segments[0].origin == "AI, unchanged"
    hand.key(Qt.Key.Key_B)
    hand.click(50, 42)
    desk.wait(lambda: desk.column.segments.view.segments[0].origin == "AI, edited")
    hand.key(Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    desk.wait(lambda: bool(desk.column.queue.view.cases))
    case = desk.column.queue.view.cases[0]
    assert case.task == "Lung nodule"
    assert case.state in ("pending", "held-out")
    assert desk.column.queue.view.done.startswith("Stored")
    assert len(open_queue().cases()) == 1
    desk.wait(lambda: kept == [(ALIKE.task, "P1")])


def test_done_says_why_not_until_there_is_something_to_learn_from(desk: Desk) -> None:
    assert not desk.column.queue.done_button.isEnabled()
    assert "Accept a suggestion" in desk.column.queue.done_button.toolTip()
    desk.window.actions_table.do("tool-brush")
    Hand(desk.window).click(30, 30)
    desk.qtbot.wait(20)
    assert not desk.column.queue.done_button.isEnabled(), "a nameless segment teaches no task"
    desk.circle.work.rename(1, "Nodule 1")
    desk.wait(desk.column.queue.done_button.isEnabled)


def test_a_failing_disk_at_done_loses_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from medviewer.annotation.revision import RevisionStore
    from medviewer.errors import SaveFailed

    def full(*_: Any) -> None:
        raise SaveFailed("the revision could not be stored: no space left on device")

    monkeypatch.setattr(RevisionStore, "store", full)
    desk.propose()
    desk.press(desk.column.finding.accept_button)
    desk.window.actions_table.do("done")
    desk.wait(lambda: "no space left" in desk.column.queue.view.sentence)
    assert desk.window.session.segmentation is not None
    assert not desk.window.session.segmentation.is_empty
    assert not open_queue().cases()
    assert desk.column.queue.done_button.isEnabled(), "one can press Done again"


def fill_queue(pending: int) -> int:
    """Cases of as many patients as it takes until so many wait (others are held out); gives how many wait."""
    queue = open_queue()
    sample = {"images": np.zeros((1, 96, 96), np.float32), "mask": np.ones((1, 96, 96), np.float32)}
    patients = (f"patient {n}" for n in range(1000))
    waiting = 0
    while waiting < pending:
        waiting += queue.add(NewCase(SEGMENT.task, next(patients), sample)).state == "pending"
    return waiting


REPORT = {
    "passed": True,
    "verdict": "passed",
    "reason": "better on the held-out patients",
    "metrics": {
        "held-out": {"champion": 0.74, "candidate": 0.79, "value": 0.05, "low": 0.02, "high": 0.07, "n_patients": 26},
        "golden": {"champion": 0.83, "candidate": 0.83, "value": 0.0, "low": -0.01, "high": 0.01, "n_patients": 40},
    },
    "checks": [{"name": "golden case", "passed": True, "sentence": "the candidate's golden case comes out"}],
}


class ScriptedTraining:
    """Stands for the training process: reports as it does, and waits until the test lets it go on."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        self.go_on = threading.Event()
        self.cancelled = False

    def __call__(self, task: str, context: JobContext) -> Judged:
        context.report(10, 100, "training network 1 of 1", {"step": 10, "loss": 0.6, "dice": 0.7, "champion_dice": 0.8})
        context.report(62, 100, "training network 1 of 1", {"step": 62, "loss": 0.4, "dice": 0.78})
        while not self.go_on.wait(0.01):
            if context.token.cancelled:
                self.cancelled = True
            context.check()
        context.report(0, None, "judging both models on 26 held-out cases")
        return Judged(task, "1.0.0-c1", self.report)


def test_train_is_off_with_its_reason_until_enough_patients_wait(desk: Desk) -> None:
    assert not desk.column.training._first.button.isEnabled()
    assert "at least 10 patients" in desk.column.training._first.button.toolTip()
    for waiting, enough in ((9, False), (10, True)):
        fill_queue(waiting)
        desk.circle.training.read_queue()
        desk.wait(lambda waiting=waiting: desk.column.training.view.patients == waiting)
        assert desk.column.training._first.button.isEnabled() == enough
    assert "Queue 1" in desk.column.tabs.tabText(2)


@pytest.fixture
def ready(desk: Desk) -> Desk:
    fill_queue(10)
    desk.circle.training.read_queue()
    desk.wait(lambda: desk.column.training.view.why_not is None)
    return desk


def test_training_shows_curves_then_the_gate_and_promotion_changes_the_model(
    ready: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptedTraining(REPORT)
    monkeypatch.setattr(training_module, "train_task", script)
    promoted: list[str] = []
    monkeypatch.setattr(training_module, "promote_version", lambda task, version: promoted.append(version) or version)
    ready.column.open_page("Training")
    ready.press(ready.column.training._first.button)
    ready.wait(lambda: ready.column.training.view.curves is not None)
    view = ready.column.training.view
    assert view.state is TrainingState.RUNNING
    assert view.doing.startswith("step 62 of 100")
    assert view.progress == pytest.approx(0.62)
    assert view.curves is not None
    assert view.curves.dice[-1] == 0.78
    assert view.curves.champion_dice == 0.8
    assert ready.column.training_glance.isVisibleTo(ready.column.training_glance.parentWidget())
    script.go_on.set()
    ready.wait(lambda: ready.column.training.view.state is TrainingState.JUDGED)
    said = texts(ready.column.training)
    for expected in ("Better: may be promoted", "0.740", "0.790", "26 patients", "[+0.020, +0.070]"):
        assert expected in said
    assert "golden case comes out" in said
    read_again: list[int] = []
    ready.circle.training.model_changed.connect(lambda: read_again.append(1))
    ready.press(ready.column.training.promote_button)
    ready.wait(lambda: bool(read_again))
    assert promoted == ["1.0.0-c1"]
    assert not ready.column.training.promote_button.isEnabled()


def test_a_refusing_gate_offers_no_promotion(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    report = {**REPORT, "passed": False, "verdict": "cannot-tell", "reason": "too few held-out patients"}
    script = ScriptedTraining(report)
    script.go_on.set()
    monkeypatch.setattr(training_module, "train_task", script)
    ready.circle.training.train()
    ready.wait(lambda: ready.column.training.view.state is TrainingState.JUDGED)
    assert ready.column.training.view.gate is not None
    assert ready.column.training.view.gate.verdict is Verdict.CANNOT_TELL
    assert "Too few held-out patients." in texts(ready.column.training)
    assert not ready.column.training.promote_button.isVisibleTo(ready.column.training)
    ready.circle.training.promote()
    assert "has not let" in ready.window.status.sentence


def test_cancel_stops_the_training_at_once(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedTraining(REPORT)
    monkeypatch.setattr(training_module, "train_task", script)
    ready.circle.training.train()
    ready.wait(lambda: ready.column.training.view.curves is not None)
    ready.column.open_page("Training")
    ready.press(ready.column.training.cancel_button)
    assert ready.column.training.view.state is TrainingState.CANCELLING
    ready.wait(lambda: ready.column.training.view.state is TrainingState.IDLE)
    assert script.cancelled


def test_a_failed_training_is_a_sentence_and_can_be_tried_again(ready: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(task: str, context: JobContext) -> Judged:
        raise MedviewerError("the training process was killed from outside", remedy="it may have run out of memory")

    monkeypatch.setattr(training_module, "train_task", failing)
    ready.circle.training.train()
    ready.wait(lambda: ready.column.training.view.state is TrainingState.FAILED)
    assert "killed from outside" in texts(ready.column.training)
    assert ready.column.training._first.button.isEnabled()


def test_roll_back_is_off_without_an_earlier_model(desk: Desk) -> None:
    button = desk.column.training.roll_back_button
    assert not button.isEnabled()
    assert "no earlier champion" in button.toolTip()


def test_a_segmentation_goes_out_to_dicom_and_comes_back_voxel_for_voxel(desk: Desk, tmp_path: Path) -> None:
    """On a CT series as our own writer makes it: saved, deleted, opened again."""
    from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan

    write_ct_series(small_volume(), tmp_path / "ct", text=CtText("Nobody", "P1"), uid_seed="seg")
    stack = scan([tmp_path / "ct"], JobContext()).patients[0].studies[0].series[0].stacks[0]
    desk.window.session.show(stack, load_volume(stack, JobContext()))
    desk.wait(lambda: desk.window.session.editor is not None)
    desk.propose()
    desk.press(desk.column.finding.accept_button)
    segmentation = desk.window.session.segmentation
    assert segmentation is not None
    marked = segmentation.labelmap.copy()
    saved: list[str] = []
    desk.circle.seg_files.saved.connect(saved.append)
    desk.circle.seg_files.save(tmp_path / "out.dcm")
    assert not desk.column.segments.save_button.isEnabled() or desk.circle.seg_files.why_not is not None
    desk.qtbot.waitUntil(lambda: bool(saved), timeout=60_000)
    desk.circle.work.delete_segment()
    assert segmentation.is_empty
    desk.circle.seg_files.open(tmp_path / "out.dcm")
    desk.qtbot.waitUntil(lambda: not segmentation.is_empty, timeout=60_000)
    assert np.array_equal(segmentation.labelmap != 0, marked != 0)
    segment = next(iter(segmentation.segments.values()))
    assert (segment.label, segment.provenance.task) == ("Nodule 1", SEGMENT.task)
    desk.window.actions_table.do("undo")
    assert segmentation.is_empty, "opening a file is one undo step"


def test_no_text_is_cut_off_in_any_card(desk: Desk) -> None:
    desk.propose()
    desk.client.asked[1].answer(opinion())
    desk.wait(lambda: "0.66" in texts(desk.column.finding))
    desk.window.resize(1366, 768)
    QApplication.processEvents()
    for page in desk.column.PAGES:
        desk.column.open_page(page)
        QApplication.processEvents()
        for one in desk.column.findChildren(QLabel):
            if one.isVisible() and not one.wordWrap() and "…" not in one.text():
                needed = one.fontMetrics().horizontalAdvance(one.text())
                assert needed <= one.width() + 1, f"{one.text()!r} needs {needed} of {one.width()}"
        for button in desk.column.findChildren(QPushButton):
            if button.isVisible():
                assert button.sizeHint().width() <= button.width() + 1, button.text()


def test_the_window_starts_without_torch_scipy_and_the_database() -> None:
    """What the Qt thread imports; the database comes with the job that reads the queue."""
    script = textwrap.dedent(
        """
        import os, sys
        from medviewer.desktop.application import application
        app = application()
        from medviewer.desktop.app import fill_right_column, make_window
        import medviewer.desktop.circle
        heavy = ("torch", "scipy", "sqlalchemy", "pyqtgraph", "highdicom", "SimpleITK")
        print([m for m in heavy if m in sys.modules], flush=True)
        window = make_window()
        window.show()
        fill_right_column(window)
        window.jobs.wait()
        app.processEvents()
        print([m for m in heavy if m in sys.modules and m != "sqlalchemy"], flush=True)
        os._exit(0)
        """
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=False)
    assert found.stdout.split() == ["[]", "[]"], found.stdout + found.stderr


def test_the_sizes_on_the_card_follow_the_corrections_of_an_accepted_finding(desk: Desk) -> None:
    desk.propose()
    card, suggested = desk.column.finding, desk.column.finding.view
    desk.press(card.accept_button)
    desk.wait(lambda: desk.state is FindingState.ACCEPTED)
    (before,) = card.view.segments
    assert before.diameter_mm == pytest.approx(suggested.segments[0].diameter_mm)
    assert before.volume_ml == pytest.approx(suggested.segments[0].volume_ml)
    assert card.view.slices == suggested.slices == (5, 8)
    editor = desk.window.session.editor
    assert editor is not None
    editor.do(Paint.of_mask("erase", (4, 0, 0), np.ones((2, *editor.segmentation.size_kji[1:]), dtype=bool), 0))
    desk.wait(lambda: card.view.slices == (7, 8))
    (after,) = card.view.segments
    assert before.volume_ml is not None and before.diameter_mm is not None
    assert after.volume_ml == pytest.approx(before.volume_ml / 2)
    assert after.diameter_mm == pytest.approx(before.diameter_mm / 2 ** (1 / 3))
    assert card._volume.text().startswith(f"{after.volume_ml:.2f}")
    desk.window.actions_table.do("undo")
    desk.wait(lambda: card.view.slices == (5, 8))

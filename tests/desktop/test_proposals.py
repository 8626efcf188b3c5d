"""From a click to a verdict, with a client that answers when the test says so, in a real window."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from annotating import Hand, make_window, small_volume, with_editor
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.suggesting.finding import finding_view, slices_of
from medviewer.desktop.suggesting.inference import Inference
from medviewer.desktop.suggesting.proposals import Proposals
from medviewer.desktop.suggesting.tasks import TaskBook, TaskFacts, find_metric, source_sentence
from medviewer.errors import Cancelled, MedviewerError
from medviewer.inference.client import InferenceClient, RequestHandle
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import SegmentMask, SimilarCase, Suggestion
from medviewer.volume.volume import Volume

SEGMENT = TaskFacts("lung-nodule-segment", "Lung nodule", "1.0.0", "abc", "nodule-segment", ("CT",), ("nodule",))
JUDGE = TaskFacts("lung-nodule-malignancy", "Malignancy", "1.0.0", "def", "nodule-classify", ("CT",), source="AUC 0.90")
ALIKE = TaskFacts("lung-nodule-similar", "Similar", "1.0.0", "ghi", "nodule-similar", ("CT",))
HEAD = TaskFacts("hippocampus-segment", "Hippocampus", "1", "jkl", "volume-segment", ("MR",), ("anterior", "posterior"))


@dataclass
class Asked:
    """One question as the client got it, with the ways to answer it from another thread, as the real client does."""

    task: str
    prompt: Prompt
    on_partial: Any
    on_done: Any
    on_error: Any
    cancelled: bool = False

    def partly(self, suggestion: Suggestion) -> None:
        elsewhere(lambda: self.on_partial(suggestion))

    def answer(self, suggestion: Suggestion) -> None:
        elsewhere(lambda: self.on_done(suggestion))

    def fail(self, error: MedviewerError) -> None:
        elsewhere(lambda: self.on_error(error))


def elsewhere(call: Any) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


@dataclass
class ScriptedClient(InferenceClient):
    """Keeps the questions; the test answers them."""

    asked: list[Asked] = field(default_factory=list)
    warmed: list[str] = field(default_factory=list)

    def start(self) -> None:
        pass

    def predict(self, task: str, volume: Volume, prompt: Prompt, *args: Any, **named: Any) -> RequestHandle:
        question = Asked(task, prompt, named["on_partial"], named["on_done"], named["on_error"])
        self.asked.append(question)

        def cancel(_id: int) -> None:
            question.cancelled = True
            question.fail(Cancelled())

        return RequestHandle(len(self.asked), 0, task, cancel)

    def warm(self, task: str, *args: Any, **named: Any) -> None:
        self.warmed.append(task)

    def shutdown(self, patience: float = 3.0) -> None:
        pass


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    made = make_window()
    qtbot.addWidget(made)
    yield made


@pytest.fixture
def client() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
def proposals(window: MainWindow, client: ScriptedClient, qtbot: QtBot) -> Proposals:
    inference = Inference(client, window)
    made = Proposals(window.session, window.services, inference, window)
    qtbot.waitUntil(lambda: made.book is not None, timeout=30_000)
    made.book = TaskBook((SEGMENT, JUDGE, ALIKE, HEAD))
    with_editor(window)
    return made


def outline(stage: str = "complete", **parts: Any) -> Suggestion:
    """The ball of the made-up stack, as the model would outline it."""
    mask = np.ones((4, 10, 12), dtype=np.uint8)
    segment = SegmentMask.measured("nodule", (4, 40, 30), mask[2:3] if stage == "clicked-slice" else mask, 1.40625)
    return Suggestion(
        "lung-nodule-segment", "abc", "cpu", 0.4, segments=(segment,), check_first=(4, 7), stage=stage, **parts
    )  # type: ignore[arg-type]


def opinion() -> Suggestion:
    return Suggestion(
        "lung-nodule-malignancy",
        "def",
        "cpu",
        0.2,
        probability=0.66,
        interval=(0.48, 0.8),
        rating=3.4,
        rating_interval=(2.7, 4.1),
        ratings={"malignancy": 3.4, "spiculation": 2.3},
    )


def ask(proposals: Proposals, window: MainWindow) -> None:
    window.actions_table.do("tool-suggest")
    Hand(window).click(48, 40)


def test_the_clicked_slice_comes_first_then_the_rest_then_the_opinion_then_similar_cases(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    ask(proposals, window)
    assert [a.task for a in client.asked] == ["lung-nodule-segment"]
    assert proposals.finding is not None
    assert proposals.finding.state is FindingState.RUNNING
    client.asked[0].partly(outline("clicked-slice"))
    qtbot.waitUntil(lambda: window.session.proposal is not None)
    assert window.session.proposal is not None
    assert window.session.proposal.stage == "clicked-slice"
    assert proposals.accept() is False, "half an outline cannot be accepted"
    client.asked[0].answer(outline())
    qtbot.waitUntil(lambda: len(client.asked) == 3)
    assert proposals.finding.state is FindingState.PROPOSED
    view = finding_view(proposals.finding, proposals.book, has_study=True)
    assert view.headline == "Nodule 1"
    assert view.slices == (5, 8), "people count slices from 1"
    assert view.opinion is not None
    assert view.opinion.waiting
    assert [a.task for a in client.asked[1:]] == ["lung-nodule-malignancy", "lung-nodule-similar"]
    client.asked[1].answer(opinion())
    client.asked[2].answer(Suggestion("s", "ghi", "cpu", 0.1, similar=(SimilarCase("x", 0.1),)))
    qtbot.waitUntil(lambda: not any(p.waiting for p in proposals.finding.others.values()))
    view = finding_view(proposals.finding, proposals.book, has_study=True)
    assert view.opinion is not None
    assert (view.opinion.probability, view.opinion.interval) == (0.66, (0.48, 0.8))
    assert view.opinion.source == "AUC 0.90"
    assert "malignancy" not in view.opinion.ratings, "it has a line of its own"


def propose(proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot) -> None:
    ask(proposals, window)
    client.asked[-1].answer(outline())
    qtbot.waitUntil(lambda: proposals.finding is not None and proposals.finding.state is FindingState.PROPOSED)


def test_enter_makes_it_a_segment_in_one_undo_step_with_its_provenance(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    propose(proposals, window, client, qtbot)
    editor = window.session.editor
    assert editor is not None
    assert editor.segmentation.is_empty, "a proposal is not yet anybody's finding"
    Hand(window).key(Qt.Key.Key_Return)
    segment = editor.segmentation.segments[1]
    assert (segment.label, segment.provenance.model, segment.provenance.model_version) == ("Nodule 1", "abc", "1.0.0")
    assert segment.provenance.algorithm_type == "AUTOMATIC"
    assert segment.meaning.kind.value == "27925004"
    assert editor.segmentation.voxels(1) == 480
    assert window.session.proposal is None
    assert len(editor.history.undo_steps) == 1
    window.actions_table.do("undo")
    assert not editor.segmentation.segments
    assert proposals.finding is not None
    assert proposals.finding.state is FindingState.PROPOSED, "undone, the model's word stands there again"
    assert window.session.proposal is not None


def test_edit_accepts_and_takes_the_brush_and_a_stroke_makes_it_edited(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    propose(proposals, window, client, qtbot)
    proposals.edit()
    assert window.session.tool == "brush"
    assert window.session.active_segment == 1
    Hand(window).click(60, 60)
    editor = window.session.editor
    assert editor is not None
    assert editor.segmentation.segments[1].provenance.algorithm_type == "SEMIAUTOMATIC"


def test_esc_rejects_the_proposal_and_a_second_esc_puts_the_tool_down(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    propose(proposals, window, client, qtbot)
    hand = Hand(window)
    hand.key(Qt.Key.Key_Escape)
    assert proposals.finding is not None
    assert proposals.finding.state is FindingState.REJECTED
    assert window.session.proposal is None
    assert all(question.cancelled for question in client.asked[1:]), "what still ran about it is stopped"
    assert window.session.tool == "suggest"
    hand.key(Qt.Key.Key_Escape)
    assert window.session.tool == "window"


def test_esc_stops_a_running_suggestion_at_once_and_its_late_answer_is_dropped(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    ask(proposals, window)
    client.asked[0].partly(outline("clicked-slice"))
    qtbot.waitUntil(lambda: window.session.proposal is not None)
    Hand(window).key(Qt.Key.Key_Escape)
    assert client.asked[0].cancelled
    assert window.session.proposal is None
    client.asked[0].answer(outline())
    qtbot.wait(50)
    assert proposals.finding is not None
    assert proposals.finding.state is FindingState.REJECTED
    assert window.session.proposal is None


def test_an_answer_about_another_case_is_never_drawn(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    ask(proposals, window)
    with_editor(window, small_volume("stack-b"))
    client.asked[0].answer(outline())
    qtbot.wait(50)
    assert window.session.proposal is None
    assert proposals.finding is None


def test_a_second_click_replaces_the_first_question(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    ask(proposals, window)
    ask(proposals, window)
    assert client.asked[0].cancelled
    client.asked[0].answer(replace(outline(), model="old"))
    client.asked[1].answer(outline())
    qtbot.waitUntil(lambda: window.session.proposal is not None)
    assert window.session.proposal is not None
    assert window.session.proposal.model == "abc"


def test_abstaining_says_why_not_and_draws_nothing(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    ask(proposals, window)
    client.asked[0].answer(Suggestion("lung-nodule-segment", "abc", "cpu", 0.1, abstained="there is hardly any lung"))
    qtbot.waitUntil(lambda: proposals.finding is not None and proposals.finding.state is FindingState.ABSTAINED)
    assert finding_view(proposals.finding, proposals.book, has_study=True).sentence == "there is hardly any lung"
    assert window.session.proposal is None
    assert len(client.asked) == 1, "an abstained case is not judged further"


def test_a_failure_is_a_sentence_and_try_again_asks_the_same_place(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    ask(proposals, window)
    client.asked[0].fail(MedviewerError("the model's file is damaged", remedy="verify it"))
    qtbot.waitUntil(lambda: proposals.finding is not None and proposals.finding.state is FindingState.FAILED)
    assert proposals.finding is not None
    assert proposals.finding.sentence == "the model's file is damaged; verify it."
    proposals.ask_again()
    assert client.asked[1].prompt == client.asked[0].prompt


def test_a_promoted_model_makes_the_open_proposal_stale(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    propose(proposals, window, client, qtbot)
    proposals._have_models(TaskBook((replace(SEGMENT, version="1.0.1", model="new"), JUDGE, ALIKE)))
    assert proposals.finding is not None
    assert proposals.finding.state is FindingState.STALE
    assert proposals.accept() is False
    proposals.ask_again()
    assert proposals.finding.task.version == "1.0.1"


def test_pictures_of_another_modality_get_the_task_that_takes_them(
    proposals: Proposals, window: MainWindow, client: ScriptedClient, qtbot: QtBot
) -> None:
    with_editor(window, small_volume("mr", modality="MR"))
    ask(proposals, window)
    assert client.asked[-1].task == "hippocampus-segment"
    two = tuple(
        SegmentMask.measured(name, (k, 20, 20), np.ones((2, 5, 5), np.uint8), 1.0)
        for k, name in ((3, "anterior"), (6, "posterior"))
    )
    client.asked[-1].answer(Suggestion("hippocampus-segment", "jkl", "cpu", 1.0, segments=two))
    qtbot.waitUntil(lambda: proposals.finding is not None and proposals.finding.state is FindingState.PROPOSED)
    view = finding_view(proposals.finding, proposals.book, has_study=True)
    assert view.opinion is None
    assert view.slices == (4, 8)
    assert proposals.accept()
    editor = window.session.editor
    assert editor is not None
    assert [s.label for s in editor.segmentation.segments.values()] == ["Anterior", "Posterior"]
    assert len(editor.history.undo_steps) == 1


def test_without_a_model_for_the_modality_it_says_so(
    proposals: Proposals, window: MainWindow, client: ScriptedClient
) -> None:
    with_editor(window, small_volume("us", modality="US"))
    ask(proposals, window)
    assert not client.asked
    assert proposals.finding is not None
    assert proposals.finding.sentence == "no model for US is installed."


def test_the_model_is_warmed_when_a_stack_that_it_takes_is_shown(
    proposals: Proposals, window: MainWindow, client: ScriptedClient
) -> None:
    with_editor(window, small_volume("again"))
    assert client.warmed[-1] == "lung-nodule-segment"


def test_slices_are_counted_where_voxels_are() -> None:
    mask = np.zeros((5, 4, 4), np.uint8)
    mask[2:4, 1, 1] = 1
    assert slices_of([SegmentMask.measured("n", (10, 0, 0), mask, 1.0)]) == (13, 14)
    assert slices_of([]) is None


def test_the_source_sentence_quotes_the_val_figure_of_the_card() -> None:
    figure = {"value": 0.9, "low": 0.85, "high": 0.94, "n": 183}
    metrics = {"train": {"auc": {"value": 0.99}}, "val": {"metrics": {"auc": figure}}}
    assert find_metric(metrics, "auc") == figure
    assert source_sentence("nodule-classify", metrics) == (
        "Opinion of radiologists as learnt from LIDC, not pathology. AUC 0.90 [0.85, 0.94], n = 183."
    )

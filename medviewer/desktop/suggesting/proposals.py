"""From a click to a verdict: questions to the models, the proposal in the views, the person's yes or no.

The order on screen is the order of work: the contour in the clicked slice, the rest of the lesion, what readers would
say about it, similar cases. Whatever belongs to a place that is no longer asked about is dropped.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial

from PySide6.QtCore import QObject, Signal

from medviewer.annotation.operations import accept_proposal
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.suggesting.finding import Finding, Part, next_name, segments_of
from medviewer.desktop.suggesting.inference import Inference, Question
from medviewer.desktop.suggesting.tasks import TaskBook, TaskFacts, read_task_book
from medviewer.desktop.tools.editing import do_edit
from medviewer.formats.carry import Use, why_not
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import Suggestion
from medviewer.volume.volume import Volume

#: What else is asked about a lesion once it is outlined, in this order.
OTHERS = ("classify", "similar")


class Proposals(QObject):
    """Asks the models about a place and keeps what they say until there is a verdict.

    Signals:
        changed: the finding, or a part of it.
        accepted: a finding became segments (the Finding).
    """

    changed = Signal()
    accepted = Signal(object)

    def __init__(
        self, session: ReadingSession, services: Services, inference: Inference, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._services, self._inference = session, services, inference
        self.book: TaskBook | None = None
        self.finding: Finding | None = None
        self.wanted_task = ""
        self._questions: list[Question] = []
        self._asked_early: Prompt | None = None
        session.asked.connect(self.ask)
        session.changed.connect(self._on_changed)
        inference.device_known.connect(lambda _device: self._show_model())
        self._register()
        self.read_models()

    # -- which models ----------------------------------------------------------------------------------------------

    def read_models(self) -> None:
        """Read the model store again (at the start, after a promotion or a roll back)."""
        self._services.jobs.start(
            "Reading the models",
            lambda _context: read_task_book(),
            on_done=self._have_models,
            on_failed=lambda sentence: self._services.say(sentence, "bad"),
            quiet=True,
        )

    def _have_models(self, book: TaskBook) -> None:
        before, self.book = self.book, book
        finding = self.finding
        if before is not None and finding is not None and finding.state is FindingState.PROPOSED:
            now = book.named(finding.task.task)
            if now is not None and now.model != finding.task.model:
                self._set(replace(finding, state=FindingState.STALE, sentence="Another model is in use now."))
        self._show_model()
        self._warm()
        if self._asked_early is not None:
            prompt, self._asked_early = self._asked_early, None
            self.ask(prompt)
        self.changed.emit()

    @property
    def task(self) -> TaskFacts | None:
        """The outlining task for the shown stack: the wanted one if it fits, else the first that does."""
        volume = self._session.volume
        if self.book is None or volume is None:
            return None
        fitting = self.book.outlining(volume.modality)
        return next((t for t in fitting if t.task == self.wanted_task), fitting[0] if fitting else None)

    def choose_task(self, task: str) -> None:
        """Ask this task from now on, where it takes the pictures."""
        self.wanted_task = task
        self._show_model()
        self._warm()

    def _show_model(self) -> None:
        task = self.task
        device = {"cuda": "GPU", "cpu": "CPU"}.get(self._inference.device, "")
        text = "" if task is None else "  ".join(part for part in (task.title, task.version, device) if part)
        self._services.set_status("model", text, "ai")

    def _warm(self) -> None:
        """Load the networks once a stack that they know is on screen."""
        task = self.task
        volume = self._session.volume
        if task is not None and volume is not None and volume.grid is not None:
            self._inference.warm(task.task)

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask(self, prompt: Prompt) -> None:
        """Ask about a place; what was asked before and not accepted is dropped."""
        volume = self._session.volume
        if volume is None:
            self._services.say("Open a study first.", "warn")
            return
        if self.book is None:
            self._asked_early = prompt
            return
        self._drop()
        task = self.task
        if task is None:
            self._no_model(prompt, volume)
            return
        others = {does: Part() for does in OTHERS if self.book.beside(task, does) is not None}
        stack = self._session.stack
        prompt = replace(prompt, patient="" if stack is None else stack.patient_id)
        self.finding = Finding(next_name(task, self._session.segmentation), task, prompt, others=others)
        self._session.set_proposal(None)
        self._questions = [
            self._inference.ask(
                task.task,
                volume,
                prompt,
                on_partial=self._outlined_partly,
                on_done=lambda suggestion: self._outlined(suggestion, volume),
                on_failed=self._failed,
            )
        ]
        self.changed.emit()

    def ask_at_crosshair(self) -> None:
        """Ask about the place where the crosshair is."""
        point = self._session.crosshair_lps
        if point is not None:
            self.ask(Prompt.of(point_lps=point.tolist()))

    def ask_again(self) -> None:
        """Ask about the same place once more."""
        if self.finding is not None:
            self.ask(self.finding.prompt)

    def _no_model(self, prompt: Prompt, volume: Volume) -> None:
        modality = volume.modality or "these pictures"
        broken = [t for t in (self.book.tasks if self.book else ()) if t.fault is not None]
        sentence = f"no model for {modality} is installed."
        if broken:
            sentence = broken[0].fault or sentence
        nobody = TaskFacts("", "", "", "", "")
        self.finding = Finding("", nobody, prompt, FindingState.ABSTAINED, sentence=sentence)
        self.changed.emit()

    def _outlined_partly(self, suggestion: Suggestion) -> None:
        if self.finding is None:
            return
        self.finding = replace(self.finding, outline=suggestion)
        self._session.set_proposal(suggestion)
        self.changed.emit()

    def _outlined(self, suggestion: Suggestion, volume: Volume) -> None:
        finding = self.finding
        if finding is None:
            return
        if suggestion.abstained is not None:
            self._session.set_proposal(None)
            self._set(replace(finding, state=FindingState.ABSTAINED, sentence=suggestion.abstained, outline=suggestion))
            return
        self.finding = replace(finding, state=FindingState.PROPOSED, outline=suggestion)
        self._session.set_proposal(suggestion)
        self._ask_others(volume)
        self.changed.emit()

    def _ask_others(self, volume: Volume) -> None:
        assert self.finding is not None and self.book is not None
        finding = self.finding
        for does in finding.others:
            other = self.book.beside(finding.task, does)
            if other is None:
                continue
            self._questions.append(
                self._inference.ask(
                    other.task,
                    volume,
                    finding.prompt,
                    on_done=partial(self._other_said, does),
                    on_failed=partial(self._other_failed, does),
                )
            )

    def _other_said(self, does: str, said: Suggestion) -> None:
        if self.finding is not None:
            self._set(self.finding.with_other(does, Part(said, said.abstained)))

    def _other_failed(self, does: str, sentence: str) -> None:
        if self.finding is not None:
            self._set(self.finding.with_other(does, Part(None, sentence, failed=True)))

    def _failed(self, sentence: str) -> None:
        if self.finding is not None:
            self._session.set_proposal(None)
            self._set(replace(self.finding, state=FindingState.FAILED, sentence=sentence))

    def _set(self, finding: Finding) -> None:
        self.finding = finding
        self._session.announce(findings=True)
        self.changed.emit()

    # -- the verdict -----------------------------------------------------------------------------------------------

    def accept(self) -> bool:
        """Make the proposal segments of the study: one undo step. False where there is none to accept."""
        finding, editor = self.finding, self._session.editor
        if finding is None or finding.state is not FindingState.PROPOSED or finding.outline is None:
            return False
        if editor is None:
            actions = self._services.actions  # the human work knows: it is read still, or another window has it
            why = actions.why_not("delete") if actions.has("delete") else None
            self._services.say(why or "The earlier work on this study is still being read; one moment.", "warn")
            return False
        marked = segments_of(finding, editor.segmentation)
        if not marked:
            self._services.say("The model outlined nothing here.", "warn")
            return False
        operation = accept_proposal(marked, editor.segmentation)
        if not do_edit(editor, operation, self._services.say):
            return False
        numbers = tuple(segment.number for segment, _, _ in marked)
        self._session.set_proposal(None)
        self._session.set_active_segment(numbers[0])
        when = datetime.now().strftime("%H:%M")
        self._set(replace(finding, state=FindingState.ACCEPTED, sentence=f"accepted {when}", numbers=numbers))
        self.accepted.emit(self.finding)
        self._services.say(f"{finding.name} accepted; Ctrl+Z takes it back.", "good")
        return True

    def edit(self) -> None:
        """Accept the proposal and take the brush."""
        if self.accept():
            self._services.actions.do("tool-brush")

    def reject(self) -> bool:
        """Throw the proposal away (also one that is still being computed). False where there was none."""
        if self.finding is None or self.finding.state not in (
            FindingState.PROPOSED,
            FindingState.RUNNING,
            FindingState.STALE,
        ):
            return False
        self._stop()
        self._session.set_proposal(None)
        self._set(replace(self.finding, state=FindingState.REJECTED, others={}))
        return True

    def cancel(self) -> bool:
        """Stop what is being computed; a whole outline that is there stays proposed. False if nothing ran."""
        running = any(question.is_open for question in self._questions)
        if not running or self.finding is None:
            return False
        if self.finding.state is FindingState.RUNNING:
            return self.reject()
        self._stop()
        stopped = Part(None, "it was stopped")
        finding = self.finding
        for does, part in finding.others.items():
            if part.waiting:
                finding = finding.with_other(does, stopped)
        self._set(finding)
        return True

    def _stop(self) -> None:
        for question in self._questions:
            question.cancel()
        self._questions = []

    def _drop(self) -> None:
        self._stop()
        self.finding = None

    def _on_changed(self, changes: Changes) -> None:
        if changes.volume:
            self._drop()
            self._show_model()
            self._warm()
            self.changed.emit()
        finding = self.finding
        if changes.segments and finding is not None and finding.state is FindingState.ACCEPTED:
            segmentation = self._session.segmentation
            if segmentation is not None and not any(n in segmentation.segments for n in finding.numbers):
                self._taken_back(finding)

    def _taken_back(self, finding: Finding) -> None:
        """The acceptance was undone: the proposal stands there again, so that nothing the model said is lost."""
        self._session.set_proposal(finding.outline)
        self._set(replace(finding, state=FindingState.PROPOSED, sentence="", numbers=()))

    # -- keys ------------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        actions = self._services.actions
        actions.register("accept-proposal", lambda: _done(self.accept()), self._why_no_accept)
        actions.register("edit-proposal", self.edit, self._why_no_accept)
        actions.register("reject-proposal", lambda: _done(self.reject()), self._why_no_reject)
        actions.register("cancel-suggestion", lambda: _done(self.cancel()), self._why_no_cancel)
        actions.register("suggest-here", self.ask_at_crosshair, self._why_no_asking)

    def _why_no_accept(self) -> str | None:
        if self.finding is not None and self.finding.state is FindingState.RUNNING:
            return "The rest of the lesion is still being computed."
        if self.finding is None or self.finding.state is not FindingState.PROPOSED:
            return "There is no proposal to accept."
        return None

    def _why_no_reject(self) -> str | None:
        states = (FindingState.PROPOSED, FindingState.RUNNING, FindingState.STALE)
        return None if self.finding is not None and self.finding.state in states else "There is no proposal."

    def _why_no_cancel(self) -> str | None:
        """Only what runs beside no proposal: with one, Esc throws that away first and stops all of it."""
        if self._why_no_reject() is None or not any(question.is_open for question in self._questions):
            return "Nothing is being computed."
        return None

    def _why_no_asking(self) -> str | None:
        volume = self._session.volume
        if volume is None:
            return "Open a study first."
        stack = self._session.stack
        reason = None if stack is None else why_not(stack, Use.SUGGESTION)
        if reason is not None:
            return f"No model can be asked about these images: {reason}."
        return None if volume.grid is not None else "Without positions of its slices no model can be asked."


def _done(_: bool) -> None:
    """An action has no result."""

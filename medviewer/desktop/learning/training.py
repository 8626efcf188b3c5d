"""From corrections to a better model: Done queues a case, Train makes a candidate, the gate judges, a person promotes.

All of it runs in jobs and in a child process; this object keeps what the queue card and the training card show.
"""

from __future__ import annotations

import getpass
import importlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import QObject, Signal

from medviewer.desktop.annotating.marked import Marked
from medviewer.desktop.jobs import Job
from medviewer.desktop.learning.corrections import Correction, Queued, open_queue, store_correction
from medviewer.desktop.learning.views import Curves, case_views, gate_view, sentence, why_not_train
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.panels.queue import QueueView
from medviewer.desktop.panels.training import CurveData, TrainingState, TrainingView, compact_doing
from medviewer.desktop.services import Services
from medviewer.desktop.session import ReadingSession
from medviewer.desktop.suggesting.finding import Finding
from medviewer.desktop.suggesting.keeping import KeepRequest, lesions_of
from medviewer.desktop.suggesting.proposals import Proposals
from medviewer.desktop.suggesting.tasks import TaskFacts
from medviewer.jobs import JobContext, Progress


@dataclass(frozen=True, slots=True)
class Judged:
    """What a training run came to: the task, the candidate's version and the gate's report."""

    task: str
    candidate: str
    report: dict[str, Any]


#: A time left is told after so many steps.
ENOUGH_STEPS = 20


class Training(QObject):
    """Keeps queue and training for the task of the shown stack.

    Signals:
        changed: one of the cards has something else to show.
        model_changed: another champion makes the next suggestion.
    """

    changed = Signal()
    model_changed = Signal()

    def __init__(
        self, session: ReadingSession, services: Services, proposals: Proposals, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._services, self._proposals = session, services, proposals
        self._job: Job | None = None
        self._phase, self._began, self._began_at, self._judging = "", 0.0, 0, False
        self._judged: Judged | None = None
        self._cases: Sequence[Any] = ()
        self._asked_task = ""
        self.queue_view = QueueView()
        self.training_view = TrainingView()
        services.actions.register("done", self.done, self.why_not_done)
        services.actions.register("train", self.train, lambda: self.training_view.why_not)
        proposals.changed.connect(self._refresh)
        self.read_queue()

    @property
    def task(self) -> TaskFacts | None:
        """The task that is trained: of the shown stack, else the last one, else the one with most cases waiting."""
        book = self._proposals.book
        if book is None:
            return None
        task = self._proposals.task or book.named(self._asked_task)
        if task is not None:
            self._asked_task = task.task
            return task
        waiting = Counter(case.task for case in self._cases if case.state == "pending")
        outlining = [t for t in book.tasks if t.does == "segment" and t.fault is None]
        return max(outlining, key=lambda t: waiting[t.task], default=None)

    @property
    def pending(self) -> int:
        """How many corrected cases wait for the next training."""
        return sum(case.state == "pending" for case in self._cases)

    # -- the queue -------------------------------------------------------------------------------------------------

    def read_queue(self) -> None:
        """Read the queue again."""
        self._services.jobs.start(
            "Reading the queue",
            lambda _context: tuple(open_queue().cases()),
            on_done=self._have_cases,
            on_failed=lambda sentence: self._say_queue(sentence=sentence),
            quiet=True,
        )

    def _have_cases(self, cases: Sequence[Any]) -> None:
        self._cases = cases
        book = self._proposals.book
        titles = {} if book is None else {t.task: t.title for t in book.tasks}
        self.queue_view = replace(self.queue_view, cases=case_views(cases, titles))
        self._services.set_status("queue", str(self.pending) if self.pending else "")
        self._refresh()

    def _say_queue(self, **parts: Any) -> None:
        self.queue_view = replace(self.queue_view, **parts)
        self.queue_view = replace(self.queue_view, why_not_done=self.why_not_done())
        self.changed.emit()

    def why_not_done(self) -> str | None:
        """Why the case cannot be queued now, or None."""
        if self.queue_view.storing:
            return "The case is being stored."
        editor, task, volume = self._session.editor, self.task, self._session.volume
        if editor is None or volume is None:
            return "Open a study first."
        if task is None:
            return "There is no model that could learn from this study."
        if not bool(volume.loaded.all()):
            return "Not all slices have arrived yet."
        if not corrected_numbers(editor.segmentation.segments.values(), task):
            return f"Accept a suggestion, or name a segment {' or '.join(task.labels)}."
        return None

    def done(self) -> None:
        """Store the work as an immutable revision and queue the case."""
        reason = self.why_not_done()
        editor, task, volume = self._session.editor, self.task, self._session.volume
        if reason is not None or editor is None or task is None or volume is None:
            self._services.say(reason or "", "warn")
            return
        correction = Correction(
            task=task,
            marked=Marked.of(editor.segmentation),
            numbers=corrected_numbers(editor.segmentation.segments.values(), task),
            volume=volume,
            stack=self._session.stack,
            suggestion=suggestion_of(self._proposals.finding),
            author=author_name(),
            minutes=editor.active_seconds / 60.0,
            tools=tuple(sorted(editor.tools)),
        )
        self._say_queue(storing=True, done="", sentence="")
        self._services.jobs.start(
            "Storing the correction",
            lambda context: store_correction(correction, context),
            on_done=lambda queued: self._stored(queued, correction),
            on_failed=lambda why: self._say_queue(storing=False, sentence=f"{why} Nothing was lost."),
        )

    def _stored(self, queued: Queued, correction: Correction) -> None:
        self._say_queue(storing=False, done=stored_text(queued))
        self._services.say(self.queue_view.done, "good")
        self.read_queue()
        self._keep_as_similar(correction)

    def _keep_as_similar(self, correction: Correction) -> None:
        """Let the lesions join the user's own library, so that later ones can be compared with them."""
        book, stack = self._proposals.book, correction.stack
        similar = None if book is None else book.beside(correction.task, "similar")
        if similar is None or stack is None:
            return
        name = similar.task
        self._services.jobs.start(
            "Adding to the library",
            lambda context: keep_as_similar(name, stack.patient_id, correction, context),
            on_failed=lambda why: self._services.say(f"Not added to the library: {why}", "warn"),
        )

    def work_changed(self) -> None:
        """The segments changed: Done may have become possible, or no longer."""
        if self.why_not_done() != self.queue_view.why_not_done:
            self._say_queue()

    # -- training --------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Counts, champion and what can be done now."""
        task = self.task
        mine = [case for case in self._cases if task is not None and case.task == task.task]
        waiting = [case for case in mine if case.state in ("pending", "training")]
        why_not = "No model here learns from corrections." if task is None else why_not_train(mine, task.task)
        self.training_view = replace(
            self.training_view,
            corrections=len(waiting),
            patients=len({case.patient_hash for case in waiting}),
            why_not=why_not,
            champion="" if task is None else f"{task.title}, version {task.version}",
            previous="" if task is None else task.previous,
        )
        self._say_queue()

    def _show(self, **parts: Any) -> None:
        self.training_view = replace(self.training_view, **parts)
        self.changed.emit()

    def train(self) -> None:
        """Start a training of the shown task in a child process."""
        task = self.task
        if task is None or self._job is not None or self.training_view.why_not is not None:
            self._services.say(self.training_view.why_not or "A training is running already.", "warn")
            return
        self._judged, self._phase, self._judging = None, "", False
        self._services.jobs.start("Preparing the curves", _import_curves, quiet=True)
        self._show(
            state=TrainingState.RUNNING,
            curves=None,
            progress=None,
            doing="Starting",
            gate=None,
            promoted=False,
            sentence="",
        )
        name = task.task
        self._job = self._services.jobs.start(
            f"Training {task.title}",
            lambda context: train_task(name, with_curves(context)),
            on_progress=self._progress,
            on_partial=self._partial,
            on_done=self._judge,
            on_failed=lambda sentence: self._ended(TrainingState.FAILED, sentence=sentence),
            on_cancelled=lambda: self._ended(TrainingState.IDLE),
        )
        self.read_queue()

    def cancel(self) -> None:
        """Kill the training with everything that it started; the cases go back to pending."""
        if self._job is not None:
            self._job.cancel()
            self._show(state=TrainingState.CANCELLING)

    def _progress(self, progress: Progress) -> None:
        if self.training_view.state is TrainingState.CANCELLING:
            return
        phase = progress.message.partition(" network ")[0]
        if phase != self._phase:
            self._phase, self._began, self._began_at = phase, time.monotonic(), progress.done
        self._judging = self._judging or phase.startswith("judging")
        doing = progress.message[:1].upper() + progress.message[1:]
        if progress.total and phase == "training":
            made, passed = progress.done - self._began_at, time.monotonic() - self._began
            left = passed / made * (progress.total - progress.done) if made >= ENOUGH_STEPS else None
            doing = compact_doing(progress.done, progress.total, left)
        elif progress.total:
            doing = f"{doing}, {progress.done} of {progress.total}"
        self._show(
            state=TrainingState.JUDGING if self._judging else TrainingState.RUNNING,
            progress=progress.fraction,
            doing=doing,
        )

    def _partial(self, data: Any) -> None:
        if isinstance(data, CurveData):
            self._show(curves=data)

    def _judge(self, judged: Judged) -> None:
        self._judged = judged
        task = self.task
        gate = gate_view(judged.report, "" if task is None else task.version, judged.candidate)
        self._ended(TrainingState.JUDGED, gate=gate)
        self._services.say(gate.reason, "good" if gate.passed else "warn")

    def _ended(self, state: TrainingState, **parts: Any) -> None:
        self._job = None
        self._show(state=state, **parts)
        self.read_queue()

    # -- promotion -------------------------------------------------------------------------------------------------

    def promote(self) -> None:
        """Make the judged candidate the champion; the next suggestion comes from it."""
        judged = self._judged
        if judged is None or not judged.report.get("passed"):
            self._services.say("The gate has not let a candidate through.", "warn")
            return
        self._services.jobs.start(
            "Promoting the candidate",
            lambda _context: promote_version(judged.task, judged.candidate),
            on_done=lambda version: self._changed_model(f"{version} makes the next suggestion.", promoted=True),
        )

    def roll_back(self) -> None:
        """Make the champion before the champion again."""
        task = self.task
        if task is None:
            return
        name = task.task
        self._services.jobs.start(
            "Rolling back",
            lambda _context: roll_back_task(name),
            on_done=lambda version: self._changed_model(f"Rolled back: {version} makes the next suggestion."),
        )

    def _changed_model(self, sentence: str, *, promoted: bool = False) -> None:
        state = self.training_view.state
        if not promoted and state is TrainingState.JUDGED:
            state = TrainingState.IDLE
        self._show(promoted=promoted, state=state)
        self._services.say(sentence, "good")
        self.model_changed.emit()

    def close(self) -> None:
        """The window closes: no training goes on without it."""
        if self._job is not None:
            self._job.cancel()


def corrected_numbers(segments: Any, task: TaskFacts) -> tuple[int, ...]:
    """The segments that teach a task: accepted from it, or named like one of its labels."""
    words = {label.lower() for label in task.labels}
    return tuple(
        segment.number
        for segment in segments
        if segment.provenance.task == task.task or segment.label.lower().split(" ")[0] in words
    )


def suggestion_of(finding: Finding | None) -> Finding | None:
    """The accepted finding, whose outline tells how far the correction went."""
    return finding if finding is not None and finding.state is FindingState.ACCEPTED else None


def stored_text(queued: Queued) -> str:
    """What happened to the cases of a Done, in words."""
    where = "Stored and queued for the next training."
    if "held-out" in queued.states:
        where = "Stored. This patient is kept aside to judge the next model."
    return " ".join((where, *(sentence(part) for part in queued.left_out)))


def author_name() -> str:
    """Who is at work: the name of the account."""
    try:
        return getpass.getuser()
    except OSError:
        return "unknown"


def keep_as_similar(task: str, patient: str, correction: Correction, context: JobContext) -> int:
    """Add the lesions of a correction to the library, in a child process (it needs torch); how many."""
    from medviewer.learning.child import run_in_child

    lesions = lesions_of(correction.volume, correction.marked.segmentation(), correction.numbers)
    request = KeepRequest(task, patient, lesions)
    return int(run_in_child("medviewer.desktop.suggesting.keeping:keep", request, context))


def _import_curves(_context: JobContext) -> None:
    """pyqtgraph takes a fifth of a second to import: not in the Qt thread."""
    importlib.import_module("medviewer.desktop.panels.curves")


def train_task(task: str, context: JobContext) -> Judged:
    """Train from the queue; the work itself runs in a child process."""
    from medviewer.learning.train_process import TrainingRequest, train

    outcome = train(TrainingRequest(task, data=corrections_data()), context)
    return Judged(task, outcome.candidate, dict(outcome.report))


def with_curves(context: JobContext) -> JobContext:
    """The same context, whose partial figures come out as whole curves: none is lost when reports are merged."""
    curves = Curves()

    def listen(progress: Progress) -> None:
        partial = None
        if isinstance(progress.partial, dict):
            curves.take(progress.done, progress.total, progress.partial)
            partial = curves.data
        context.listener(replace(progress, partial=partial))

    return JobContext(context.token, listen)


def corrections_data() -> Any:
    """The folder of the public training data, if the person pointed to one (MEDVIEWER_NODULE_DATA); else phantoms."""
    from medviewer.inference.similar_nodule import data_folder_with_pictures

    return data_folder_with_pictures()


def promote_version(task: str, version: str) -> str:
    """Promote on the strength of the gate's report; gives the version in use now."""
    from medviewer.inference.store import ModelStore
    from medviewer.learning.promote import promote_candidate

    return promote_candidate(ModelStore(), task, version).card.version


def roll_back_task(task: str) -> str:
    """Roll back; gives the version in use now."""
    from medviewer.inference.store import ModelStore
    from medviewer.learning.promote import roll_back

    return roll_back(ModelStore(), task).card.version

"""Training from the queue as one job: cases change state here, the work itself runs in a child process.

`train(request, context)` is a job like any other: the window and the command line both run it. Its progress carries
`{"member", "step", "done", "loss", "best_dice"}` as `partial`; a cancel kills the child whole and the cases go back to
pending, as they do when it fails or the gate says no.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from medviewer import places
from medviewer.errors import BadInput
from medviewer.inference.store import ModelStore
from medviewer.jobs import JobContext
from medviewer.learning.child import run_in_child
from medviewer.learning.queue import CorrectionQueue
from medviewer.learning.retrain import QueuedCase, TrainingOutcome, require_recipe, run


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train.

    Attributes:
        task: its name.
        data: folder of the public training data, or None (then phantoms stand in for it).
        from_queue: learn from the pending cases of the queue.
        steps: of each network; None: the recipe's own number.
        seed: of the run.
        queue_folder, shipped, own: where queue and models lie; the usual places by default.
    """

    task: str
    data: Path | None = None
    from_queue: bool = True
    steps: int | None = None
    seed: int = 0
    queue_folder: Path | None = None
    shipped: Path | None = None
    own: Path | None = None

    @property
    def store(self) -> ModelStore:
        """The model store of this request."""
        return ModelStore(self.shipped, self.own)

    def open_queue(self) -> CorrectionQueue:
        """The queue of this request."""
        return CorrectionQueue(self.queue_folder or places.data_folder() / "queue")


@dataclass(frozen=True, slots=True)
class Work:
    """What the child is told: the request and which cases are for what."""

    request: TrainingRequest
    training: tuple[str, ...] = field(default=())
    held_out: tuple[str, ...] = field(default=())


def train(request: TrainingRequest, context: JobContext) -> TrainingOutcome:
    """Train, judge, and give the gate's answer. Promotes nothing.

    Raises:
        BadInput: unknown task, nothing to learn from, broken data.
        Refused: this kind is not retrained.
        Cancelled: a person asked for it; no child is left behind.
    """
    if request.steps is not None and request.steps < 1:
        raise BadInput("the number of steps must be at least 1")
    require_recipe(request.store.champion(request.task).card.kind)
    queue = request.open_queue()
    training = tuple(c.id for c in queue.cases(request.task, "pending")) if request.from_queue else ()
    held_out = tuple(c.id for c in queue.cases(request.task, "held-out"))
    if request.from_queue and not training:
        raise BadInput(
            f"no corrected case of {request.task} is pending in the queue",
            remedy="correct a suggestion and press Done, or use `medviewer queue add`",
        )
    queue.set_state(training, "training")
    try:
        outcome: TrainingOutcome = run_in_child(
            "medviewer.learning.train_process:work", Work(request, training, held_out), context
        )
    except BaseException:
        queue.set_state(training, "pending")
        raise
    queue.set_state(training, "used" if outcome.passed else "pending", run=outcome.candidate)
    return outcome


def work(told: Work, context: JobContext) -> TrainingOutcome:
    """The child's part."""
    request, queue = told.request, told.request.open_queue()

    def case(name: str) -> QueuedCase:
        return QueuedCase(name, queue.get(name).patient_hash, queue.sample(name))

    return run(
        request.task,
        request.store,
        corrections=[case(name) for name in told.training],
        held_out=[case(name) for name in told.held_out],
        data=request.data,
        hash_of=queue.patient_hash,
        steps=request.steps,
        seed=request.seed,
        context=context,
    )

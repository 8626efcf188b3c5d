"""InferenceClient: the window's side of the inference process. No torch, no Qt.

One thread owns all state: it takes what the window asks, what the process answers and what the clock says from one
queue, in order. Callbacks come from that thread and must return quickly (a Qt signal's `emit` does).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from medviewer.errors import Cancelled, MedviewerError
from medviewer.inference import worker
from medviewer.inference.prompt import Prompt
from medviewer.inference.shared_voxels import Shelf
from medviewer.inference.suggestion import Suggestion
from medviewer.volume.volume import Volume

#: Seconds that the process has to stop after a cancel; then it is ended and started again.
CANCEL_PATIENCE = 2.0
#: A process that ends by itself sooner than this many seconds after its start is not started again unasked.
SHORTEST_LIFE = 5.0

RESTARTED_SENTENCE = "the inference process had ended unexpectedly and was started again"
PROCESSOR_SENTENCE = "the inference process ended twice: this session now computes on the processor"

OnSuggestion = Callable[[Suggestion], None]
OnError = Callable[[MedviewerError], None]


def _nothing(_: Any) -> None:
    return None


@dataclass(slots=True, eq=False)
class RequestHandle:
    """One question that was asked.

    Attributes:
        id: its number; answers of a lower number than the newest are stale where only one place is asked about.
        generation: the caller's own number of the case it belongs to.
        task: the task's name.
    """

    id: int
    generation: int
    task: str
    _cancel: Callable[[int], None] = _nothing

    def cancel(self) -> None:
        """Give the question up. `on_error` gets a `Cancelled` at once; no other callback follows."""
        self._cancel(self.id)


@dataclass(slots=True, eq=False)
class _Open:
    """A question without its final answer."""

    handle: RequestHandle
    volume: Volume
    prompt: Prompt
    device: str
    on_partial: OnSuggestion
    on_done: OnSuggestion
    on_error: OnError
    memory: str = ""
    sent: bool = False
    crashes: int = 0
    notes: list[str] = field(default_factory=list)


class InferenceClient:
    """Owns one inference process.

    Args:
        device: "auto", "cpu" or "cuda" for all questions that do not say otherwise.
        log_path: where the process writes its errors; no patient data gets there.
    """

    def __init__(self, device: str = "auto", log_path: Path | None = None) -> None:
        self.device = device
        self._log_path = log_path
        self._events: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self._ids = itertools.count(1)
        self._thread: threading.Thread | None = None
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._epoch = 0
        self._started_at = 0.0
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._warming: dict[int, tuple[Callable[[str], None], OnError]] = {}
        self._stopping: dict[int, float] = {}
        self._shelf = Shelf(lambda name: self._send("forget", name))
        self._processor_only = False
        self._runs_on = ""  # the device of the last answer: "auto" may have meant the processor all along
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The process's number, None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the thread and the process; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="inference-client", daemon=True)
            self._thread.start()
            self._events.put(("start",))

    def predict(
        self,
        task: str,
        volume: Volume,
        prompt: Prompt,
        on_partial: OnSuggestion = _nothing,
        on_done: OnSuggestion = _nothing,
        on_error: OnError = _nothing,
        *,
        generation: int = 0,
        device: str | None = None,
    ) -> RequestHandle:
        """Ask for a suggestion; returns at once.

        Args:
            task: the task's name; its champion is looked up when the question is served.
            volume: the voxels, copied to shared memory the first time that they are asked about.
            prompt: click, box or nothing.
            on_partial: gets a first part of the answer, if there is one.
            on_done: gets the whole answer.
            on_error: gets the error, or `Cancelled`.
            generation: a number of the caller's that comes back in the handle.
            device: overrides the client's.
        """
        handle = RequestHandle(next(self._ids), generation, task, lambda id_: self._events.put(("cancel", id_)))
        question = _Open(handle, volume, prompt, device or self.device, on_partial, on_done, on_error)
        self.start()
        self._events.put(("predict", question))
        return handle

    def warm(self, task: str, on_ready: Callable[[str], None] = _nothing, on_error: OnError = _nothing) -> None:
        """Load a task's champion ahead of the first question; `on_ready` gets the device's name."""
        self.start()
        self._events.put(("warm", next(self._ids), task, on_ready, on_error))

    def shutdown(self, patience: float = 3.0) -> None:
        """End thread and process; open questions get `Cancelled`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._events.put(("shutdown",))
            thread.join(patience)

    # --- everything below runs in the client's own thread -------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            wait = None if not self._stopping else max(0.0, min(self._stopping.values()) - time.monotonic())
            try:
                event = self._events.get(timeout=wait)
            except queue.Empty:
                event = ("late",)
            try:
                self._handle(event)
            except Exception:
                logging.exception("the inference client met an error")

    def _handle(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("predict", _Open() as question):
                self._open[question.handle.id] = question
                self._submit(question)
            case ("cancel", int() as id_):
                self._cancelled(id_)
            case ("warm", int() as id_, str() as task, on_ready, on_error):
                self._warming[id_] = (on_ready, on_error)
                self._ensure_process()
                self._send("warm", id_, task, self._device(self.device))
            case ("message", int() as epoch, message) if epoch == self._epoch:
                self._received(message)
            case ("died", int() as epoch) if epoch == self._epoch:
                self._died()
            case ("late",):
                self._replace_stuck()
            case ("start",):
                self._ensure_process()
            case ("shutdown",):
                self._close()

    def _submit(self, question: _Open) -> None:
        try:
            voxels = self._shelf.put(question.volume, {other.memory for other in self._open.values()})
        except (OSError, MemoryError) as error:
            del self._open[question.handle.id]
            question.on_error(
                MedviewerError("there is not enough memory to hand the picture to the model", remedy=str(error))
            )
            return
        self._ensure_process()
        prompt = question.prompt
        question.memory = voxels.name
        question.sent = True
        self._send(
            "predict",
            worker.Request(
                question.handle.id,
                question.handle.task,
                voxels,
                prompt.point_lps,
                prompt.box_lps,
                self._device(question.device),
                prompt.patient,
            ),
        )

    def _device(self, asked: str) -> str:
        return "cpu" if self._processor_only else asked

    def _cancelled(self, id_: int) -> None:
        question = self._open.pop(id_, None)
        if question is None:
            return
        self._send("cancel", id_)
        if question.sent:
            self._stopping[id_] = time.monotonic() + CANCEL_PATIENCE
        question.on_error(Cancelled())

    def _received(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("partial", int() as id_, Suggestion() as suggestion):
                self._runs_on = suggestion.device
                if id_ in self._open:
                    self._open[id_].on_partial(suggestion)
            case ("done", int() as id_, Suggestion() as suggestion):
                self._runs_on = suggestion.device
                self._stopping.pop(id_, None)
                question = self._open.pop(id_, None)
                if question is not None:
                    for note in question.notes:
                        suggestion = suggestion.with_note(note)
                    question.on_done(suggestion)
            case ("failed", int() as id_, worker.Failure() as failure):
                self._stopping.pop(id_, None)
                question = self._open.pop(id_, None)
                if question is not None:
                    question.on_error(failure.error())
                elif id_ in self._warming:
                    self._warming.pop(id_)[1](failure.error())
            case ("warmed", int() as id_, str() as device):
                self._runs_on = device
                if id_ in self._warming:
                    self._warming.pop(id_)[0](device)

    def _replace_stuck(self) -> None:
        """A cancelled question still runs after `CANCEL_PATIENCE`: end the process, ask the others again."""
        now = time.monotonic()
        if not any(until <= now for until in self._stopping.values()):
            return
        self._end_process()
        self._ensure_process()
        for question in list(self._open.values()):
            self._submit(question)

    def _died(self) -> None:
        """The process ended by itself or by somebody's hand: start it again, at the second time without the card."""
        running = next((q for q in self._open.values() if q.sent), None)
        self._end_process()
        if running is not None:
            running.crashes += 1
            running.notes.append(RESTARTED_SENTENCE)
            if running.crashes >= 2 and not self._processor_only and "cpu" not in (running.device, self._runs_on):
                self._processor_only = True
                running.notes.append(PROCESSOR_SENTENCE)
            elif running.crashes >= 2:
                del self._open[running.handle.id]
                running.on_error(
                    MedviewerError(
                        "the inference process ended unexpectedly, and once more after a restart",
                        remedy="your work is untouched; try another case, and see the log",
                    )
                )
        for id_ in list(self._warming):
            on_error = self._warming.pop(id_)[1]
            on_error(MedviewerError("the inference process ended while it was getting ready"))
        if self._open or time.monotonic() - self._started_at > SHORTEST_LIFE:
            self._ensure_process()
        for question in list(self._open.values()):
            self._submit(question)

    def _ensure_process(self) -> None:
        if self._process is not None:
            return
        self._epoch += 1
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        log_path = None if self._log_path is None else str(self._log_path)
        self._process = context.Process(
            target=worker.main, args=(theirs, log_path), name="medviewer-inference", daemon=True
        )
        self._process.start()
        self._started_at = time.monotonic()
        theirs.close()
        self._connection = ours
        threading.Thread(
            target=_read, args=(ours, self._epoch, self._events), name="inference-reader", daemon=True
        ).start()

    def _end_process(self) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        self._epoch += 1
        self._stopping.clear()
        if process is not None:
            process.kill()
            process.join(2.0)
        if connection is not None:
            connection.close()

    def _send(self, *message: Any) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError, ValueError):  # a dead process is told by the reader thread
                self._connection.send(message)

    def _close(self) -> None:
        for question in list(self._open.values()):
            question.on_error(Cancelled())
        self._open.clear()
        self._shelf.clear()
        self._end_process()
        self._closed = True


def ask(client: InferenceClient, task: str, volume: Volume, prompt: Prompt, timeout: float | None = None) -> Suggestion:
    """Ask and wait (command line and tests; a window never waits).

    Raises:
        MedviewerError: what `on_error` would have got.
        TimeoutError: no answer in time.
    """
    answers: queue.SimpleQueue[Suggestion | MedviewerError] = queue.SimpleQueue()
    handle = client.predict(task, volume, prompt, on_done=answers.put, on_error=answers.put)
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        handle.cancel()
        raise TimeoutError(f"no answer in {timeout} s") from None
    if isinstance(answer, MedviewerError):
        raise answer
    return answer


def _read(connection: Connection, epoch: int, events: queue.Queue[tuple[Any, ...]]) -> None:
    """Pass on what one process says until it ends."""
    while True:
        try:
            events.put(("message", epoch, connection.recv()))
        except (EOFError, OSError, ValueError, TypeError):  # closed by the process or by us
            events.put(("died", epoch))
            return

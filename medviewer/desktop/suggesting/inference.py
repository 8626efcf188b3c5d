"""Inference for the window: questions go to the inference process, answers arrive in the Qt thread as calls.

This object owns the one `InferenceClient` of the window. Nothing here waits; nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from PySide6.QtCore import QObject, Qt, Signal

from medviewer.errors import Cancelled, MedviewerError
from medviewer.inference.client import InferenceClient, RequestHandle
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import Suggestion
from medviewer.volume.volume import Volume


def _ignore(*_: object) -> None:
    return None


@dataclass(slots=True, eq=False)
class Question:
    """One question on its way. `cancel` makes it end at once: no callback but `on_cancelled` follows.

    Attributes:
        task: the task that was asked.
        is_open: True until its final answer, its error or its cancel.
    """

    task: str
    on_partial: Callable[[Suggestion], None] = _ignore
    on_done: Callable[[Suggestion], None] = _ignore
    on_failed: Callable[[str], None] = _ignore
    on_cancelled: Callable[[], None] = _ignore
    is_open: bool = True
    _handle: RequestHandle | None = field(default=None, repr=False)

    def cancel(self) -> None:
        """Give it up now; the process is told, and what it still says about it is dropped."""
        if not self.is_open:
            return
        self.is_open = False
        if self._handle is not None:
            self._handle.cancel()
        self.on_cancelled()


class Inference(QObject):
    """The window's questions to models.

    Args:
        client: the Qt-free client; started with the first question or `warm`.
    """

    #: "warm", "busy" or "idle", and the device's name, for the model pill.
    device_known = Signal(str)
    busy_changed = Signal(bool)
    _came = Signal(int, str, object)

    def __init__(self, client: InferenceClient | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._client = client if client is not None else InferenceClient()
        self._keys = itertools.count(1)
        self._questions: dict[int, Question] = {}
        self.device = ""
        self._came.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def ask(
        self,
        task: str,
        volume: Volume,
        prompt: Prompt,
        *,
        on_partial: Callable[[Suggestion], None] = _ignore,
        on_done: Callable[[Suggestion], None] = _ignore,
        on_failed: Callable[[str], None] = _ignore,
        on_cancelled: Callable[[], None] = _ignore,
    ) -> Question:
        """Ask the champion of a task; every callback is called in the Qt thread."""
        key = next(self._keys)
        question = Question(task, on_partial, on_done, on_failed, on_cancelled)
        self._questions[key] = question
        self._client.start()
        question._handle = self._client.predict(
            task,
            volume,
            prompt,
            on_partial=lambda s: self._pass_on(key, "partial", s),
            on_done=lambda s: self._pass_on(key, "done", s),
            on_error=lambda e: self._pass_on(key, "error", e),
        )
        self.busy_changed.emit(True)
        return question

    def warm(self, task: str) -> None:
        """Load a task's champion ahead of the first question."""
        self._client.start()
        self._client.warm(
            task,
            on_ready=lambda device: self._pass_on(0, "device", device),
            on_error=lambda error: self._pass_on(0, "not-warm", error),
        )

    @property
    def busy(self) -> bool:
        """True while a question is open."""
        return any(question.is_open for question in self._questions.values())

    def cancel_all(self) -> bool:
        """Give all open questions up; True if there were any."""
        questions = [question for question in self._questions.values() if question.is_open]
        for question in questions:
            question.cancel()
        if questions:
            self.busy_changed.emit(False)
        return bool(questions)

    def close(self) -> None:
        """End the inference process; for the closing window."""
        for question in self._questions.values():
            question.is_open = False
        self._questions.clear()
        self._client.shutdown()

    def _pass_on(self, key: int, what: str, payload: object) -> None:
        """The client's thread: hand over to the Qt thread."""
        with contextlib.suppress(RuntimeError):  # the window is gone
            self._came.emit(key, what, payload)

    def _deliver(self, key: int, what: str, payload: object) -> None:
        if what == "device":
            self._set_device(str(payload))
            return
        question = self._questions.get(key)
        if question is None:
            return
        if what != "partial":
            del self._questions[key]
        if not question.is_open:
            return  # cancelled or stale: dropped
        if isinstance(payload, Suggestion):
            self._set_device(payload.device)
            if what == "partial":
                question.on_partial(payload)
            else:
                question.is_open = False
                question.on_done(payload)
        elif isinstance(payload, Cancelled):
            question.is_open = False
            question.on_cancelled()
        elif isinstance(payload, MedviewerError):
            question.is_open = False
            question.on_failed(payload.sentence)
        self.busy_changed.emit(self.busy)

    def _set_device(self, device: str) -> None:
        if device and device != self.device:
            self.device = device
            self.device_known.emit(device)

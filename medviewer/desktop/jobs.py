"""Jobs of the window: work runs on a thread of a pool, what it says arrives in the Qt thread as a call.

A job has one outcome: done, cancelled, or failed with a sentence. A result that nobody wants any more (of a case
that is no longer shown) is dropped. Progress becomes visible after `SHOW_AFTER_MS`, so that quick work never flickers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QObject, QRunnable, QThreadPool, QTimer, Signal

from medviewer.desktop.logs import traceback_without_text
from medviewer.errors import Cancelled, MedviewerError
from medviewer.jobs import CancelToken, JobContext, Progress

log = logging.getLogger(__name__)

#: Progress is shown only for work that lasts longer than this (LOOK: "Progress after 300 ms").
SHOW_AFTER_MS = 300


class Outcome(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Job(QObject):
    """One piece of work under way. Lives in the Qt thread; made by `Jobs.start` only.

    Attributes:
        name: what the work is, for people ("Reading 240 slices").
        progress: the newest Progress.
        outcome: how it stands.
        failure: the sentence of a failed job.
        visible: True once it has lasted long enough to be shown.
    """

    _news = Signal()
    _ended = Signal()

    def __init__(self, name: str, work: Callable[[JobContext], Any], parent: QObject) -> None:
        super().__init__(parent)
        self.name = name
        self.progress = Progress(0)
        self.outcome = Outcome.RUNNING
        self.failure: str | None = None
        self.visible = False
        self.started = time.monotonic()
        self._work = work
        self._token = CancelToken()
        self._lock = threading.Lock()
        self._newest: Progress | None = None
        self._partial: Any = None
        self._result: Any = None
        self._error: BaseException | None = None

    def cancel(self) -> None:
        """Ask the work to stop; the outcome follows as soon as it looks."""
        self._token.cancel()

    @property
    def cancel_asked(self) -> bool:
        """True once `cancel` was called."""
        return self._token.cancelled

    def _listen(self, progress: Progress) -> None:
        """Worker thread: keep the newest progress; wake the Qt thread once, not once a report."""
        with self._lock:
            idle = self._newest is None
            self._newest = progress
            if progress.partial is not None:
                self._partial = progress.partial
        if idle:
            self._news.emit()

    def _take_news(self) -> tuple[Progress | None, Any]:
        with self._lock:
            newest, self._newest = self._newest, None
            partial, self._partial = self._partial, None
        return newest, partial

    def _run(self) -> None:
        """Worker thread: do the work and keep what came of it."""
        try:
            self._token.raise_if_cancelled()
            self._result = self._work(JobContext(self._token, self._listen))
        except BaseException as error:  # everything must reach the Qt thread, whatever it is
            self._error = error
        self._ended.emit()


class _Runnable(QRunnable):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def run(self) -> None:
        try:
            self._job._run()
        except RuntimeError:  # the window went away while the work ran: nobody is left to tell
            log.debug("job ended after its window")


class Jobs(QObject):
    """Starts jobs and tells what they say. `changed` fires when the list of visible jobs or a progress changes."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None, threads: int = 4) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(threads)
        self._running: list[Job] = []
        self.on_failure: Callable[[Job, BaseException], None] = log_failure

    @property
    def visible(self) -> tuple[Job, ...]:
        """The running jobs that have lasted long enough to be shown, oldest first."""
        return tuple(job for job in self._running if job.visible)

    @property
    def busy(self) -> bool:
        """True while any job runs, shown or not."""
        return bool(self._running)

    def start(
        self,
        name: str,
        work: Callable[[JobContext], Any],
        *,
        on_done: Callable[[Any], None] | None = None,
        on_partial: Callable[[Any], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_failed: Callable[[str], None] | None = None,
        on_cancelled: Callable[[], None] | None = None,
        wanted: Callable[[], bool] | None = None,
        quiet: bool = False,
        priority: int = 0,
    ) -> Job:
        """Run `work` on a worker thread; every callback is called in the Qt thread.

        Args:
            name: what the work is, for people.
            work: gets a JobContext; its return value is given to `on_done`.
            on_partial: gets the newest `Progress.partial`; several quick ones may be merged into the last.
            on_failed: gets the sentence; without it the failure is shown by the window (`on_failure`).
            wanted: asked before every callback; once False the result is stale and dropped.
            quiet: never shown in the list of jobs (thumbnails, say).
            priority: higher starts first where threads are scarce.
        """
        job = Job(name, work, self)

        def still_wanted() -> bool:
            return wanted is None or wanted()

        def news() -> None:
            progress, partial = job._take_news()
            if job.outcome is not Outcome.RUNNING or progress is None or not still_wanted():
                return
            job.progress = progress
            if on_progress is not None:
                on_progress(progress)
            if partial is not None and on_partial is not None:
                on_partial(partial)
            if job.visible:
                self.changed.emit()

        def ended() -> None:
            news()
            if job in self._running:
                self._running.remove(job)
            error, fresh = job._error, still_wanted()
            job.outcome = (
                Outcome.DONE if error is None else Outcome.CANCELLED if isinstance(error, Cancelled) else Outcome.FAILED
            )
            try:
                if error is None:
                    if fresh and on_done is not None:
                        on_done(job._result)
                elif isinstance(error, Cancelled):
                    if on_cancelled is not None:
                        on_cancelled()
                else:
                    job.failure = sentence_of(error)
                    if fresh and on_failed is not None:
                        log_failure(job, error)
                        on_failed(job.failure)
                    else:
                        self.on_failure(job, error)
            finally:
                self.changed.emit()
                job.deleteLater()

        def show() -> None:
            if job.outcome is Outcome.RUNNING and not quiet:
                job.visible = True
                self.changed.emit()

        job._news.connect(news)
        job._ended.connect(ended)
        self._running.append(job)
        QTimer.singleShot(SHOW_AFTER_MS, job, show)
        self._pool.start(_Runnable(job), priority)
        return job

    def cancel_all(self) -> None:
        """Ask every job to stop (the window closes)."""
        for job in tuple(self._running):
            job.cancel()

    def wait(self, milliseconds: int = 2000) -> bool:
        """Wait for the threads; only for closing and for tests."""
        return self._pool.waitForDone(milliseconds)


def sentence_of(error: BaseException) -> str:
    """One sentence for people about any error; an error of ours carries its own."""
    if isinstance(error, MedviewerError):
        return error.sentence
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close another study and try again."
    return (
        f"Something went wrong inside the program ({type(error).__name__}); your work is kept, details are in the log."
    )


def log_failure(job: Job, error: BaseException) -> None:
    """Write type and traceback to the log; the message may hold patient data and stays out."""
    expected = isinstance(error, MedviewerError)
    log.warning("job failed: %s%s", type(error).__name__, "" if expected else "\n" + traceback_without_text(error))

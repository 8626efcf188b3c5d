"""Jobs of the window: work runs on a thread of a pool, what it says arrives in the Qt thread as a call.

A job has one outcome: done, cancelled, or failed with a sentence. A result that nobody wants any more (of a case
that is no longer shown) is dropped. Progress becomes visible after `SHOW_AFTER_MS`, so that quick work never flickers.

Worker threads never touch a Qt object that may die: they put calls into a mailbox, and the mailbox lives as long as the
process.
"""

from __future__ import annotations

import itertools
import logging
import queue
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import shiboken6
from PySide6.QtCore import QObject, Qt, QTimer, Signal

from medviewer.desktop.logs import traceback_without_text
from medviewer.errors import Cancelled, MedviewerError
from medviewer.jobs import CancelToken, JobContext, Progress

log = logging.getLogger(__name__)

#: Progress is shown only for work that lasts longer than this (LOOK: "Progress after 300 ms").
SHOW_AFTER_MS = 300

#: Calls from workers are handled this long before the Qt thread looks at its other events.
DRAIN_S = 0.004


class Mailbox(QObject):
    """Takes calls from any thread and makes them in the Qt thread, in order. One for the process: `mailbox()`."""

    _wake = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._awake = False
        self._wake.connect(self._drain, Qt.ConnectionType.QueuedConnection)

    def post(self, call: Callable[[], None]) -> None:
        """Any thread: have a call made in the Qt thread."""
        with self._lock:
            self._calls.append(call)
            sleeping, self._awake = not self._awake, True
        if sleeping:
            self._wake.emit()

    def _drain(self) -> None:
        until = time.monotonic() + DRAIN_S
        while True:
            with self._lock:
                if not self._calls:
                    self._awake = False
                    return
                call = self._calls.popleft()
            try:
                call()
            except Exception:
                sys.excepthook(*sys.exc_info())
            if time.monotonic() > until:
                self._wake.emit()
                return


_mailbox: list[Mailbox] = []


def mailbox() -> Mailbox:
    """The process's mailbox; first asked for in the Qt thread."""
    if not _mailbox:
        _mailbox.append(Mailbox())
    return _mailbox[0]


class Outcome(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Job:
    """One piece of work under way; made by `Jobs.start` only, read in the Qt thread.

    Attributes:
        name: what the work is, for people ("Reading slices").
        progress: the newest Progress.
        outcome: how it stands.
        failure: the sentence of a failed job.
        visible: True once it has lasted long enough to be shown.
    """

    def __init__(self, name: str, work: Callable[[JobContext], Any]) -> None:
        self.name = name
        self.progress = Progress(0)
        self.outcome = Outcome.RUNNING
        self.failure: str | None = None
        self.visible = False
        self._work = work
        self._token = CancelToken()
        self._lock = threading.Lock()
        self._newest: Progress | None = None
        self._partial: Any = None

    def cancel(self) -> None:
        """Ask the work to stop; the outcome follows as soon as it looks."""
        self._token.cancel()

    @property
    def cancel_asked(self) -> bool:
        """True once `cancel` was called."""
        return self._token.cancelled

    def _take_news(self) -> tuple[Progress | None, Any]:
        with self._lock:
            newest, self._newest = self._newest, None
            partial, self._partial = self._partial, None
        return newest, partial

    def _run(self, news: Callable[[], None], ended: Callable[[Any, BaseException | None], None]) -> None:
        """Worker thread: do the work; several reports that nobody has looked at yet are merged into the newest."""
        box = mailbox()

        def listen(progress: Progress) -> None:
            with self._lock:
                idle = self._newest is None
                self._newest = progress
                if progress.partial is not None:
                    self._partial = progress.partial
            if idle:
                box.post(news)

        result, failure = None, None
        try:
            self._token.raise_if_cancelled()
            result = self._work(JobContext(self._token, listen))
        except BaseException as error:  # everything must reach the Qt thread, whatever it is
            failure = error
        box.post(lambda: ended(result, failure))


class _Threads:
    """Daemon threads that take the most urgent work first; started when there is work for them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._threads: list[threading.Thread] = []
        self._pending = 0
        self._lock = threading.Lock()

    def submit(self, priority: int, work: Callable[[], None]) -> None:
        """Have work done; it counts as pending until it is over."""
        with self._lock:
            self._pending += 1
        self._queue.put((-priority, next(self._order), work))
        with self._lock:
            if len(self._threads) < min(self._count, self._pending):
                thread = threading.Thread(target=self._loop, name=f"job-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _loop(self) -> None:
        while True:
            _, _, work = self._queue.get()
            if work is None:
                return
            try:
                work()
            finally:
                with self._lock:
                    self._pending -= 1

    def end(self) -> None:
        """Let the threads go once what is queued has been done."""
        for _ in self._threads:
            self._queue.put((10**9, next(self._order), None))

    def join(self, seconds: float) -> bool:
        """Wait until nothing is queued or runs; False after too long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with self._lock:
                if self._pending == 0:
                    return True
            time.sleep(0.005)
        return False


class Jobs(QObject):
    """Starts jobs and tells what they say. `changed` fires when the list of visible jobs or a progress changes."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None, threads: int = 4) -> None:
        super().__init__(parent)
        mailbox()
        self._threads = _Threads(threads)
        weakref.finalize(self, self._threads.end)
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
            on_done: gets the result.
            on_partial: gets the newest `Progress.partial`; several quick ones may be merged into the last.
            on_progress: gets the newest Progress; several quick ones may be merged into the last.
            on_failed: gets the sentence; without it the failure is shown by the window (`on_failure`).
            on_cancelled: called when the work has stopped because it was asked to.
            wanted: asked before every callback; once False the result is stale and dropped.
            quiet: never shown in the list of jobs (thumbnails, say).
            priority: higher starts first where threads are scarce.
        """
        job = Job(name, work)

        def alive() -> bool:
            return shiboken6.isValid(self)

        def still_wanted() -> bool:
            return alive() and (wanted is None or wanted())

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

        def ended(result: Any, error: BaseException | None) -> None:
            if not alive():
                return
            news()
            if job in self._running:
                self._running.remove(job)
            fresh = still_wanted()
            job.outcome = (
                Outcome.DONE if error is None else Outcome.CANCELLED if isinstance(error, Cancelled) else Outcome.FAILED
            )
            try:
                if error is None:
                    if fresh and on_done is not None:
                        on_done(result)
                elif isinstance(error, Cancelled):
                    if on_cancelled is not None:
                        on_cancelled()
                else:
                    job.failure = sentence_of(error)
                    if fresh and on_failed is not None:
                        log_failure(job, error)
                        on_failed(job.failure)
                    elif fresh:
                        self.on_failure(job, error)
                    else:
                        log_failure(job, error)
            finally:
                if alive():
                    self.changed.emit()

        def show() -> None:
            if job.outcome is Outcome.RUNNING and not quiet:
                job.visible = True
                self.changed.emit()

        self._running.append(job)
        QTimer.singleShot(SHOW_AFTER_MS, self, show)
        self._threads.submit(priority, lambda: job._run(news, ended))
        return job

    def cancel_all(self) -> None:
        """Ask every job to stop (the window closes)."""
        for job in tuple(self._running):
            job.cancel()

    def wait(self, milliseconds: int = 2000) -> bool:
        """Wait for the threads; only for closing and for tests."""
        return self._threads.join(milliseconds / 1000)


def sentence_of(error: BaseException) -> str:
    """One sentence for people about any error; an error of ours carries its own."""
    if isinstance(error, MedviewerError):
        return error.sentence
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close another study and try again."
    return (
        f"Something went wrong inside the program ({type(error).__name__}); your work is kept, details are in the log."
    )


def log_failure(_: Job, error: BaseException) -> None:
    """Write type and traceback to the log; the message may hold patient data and stays out."""
    expected = isinstance(error, MedviewerError)
    log.warning("job failed: %s%s", type(error).__name__, "" if expected else "\n" + traceback_without_text(error))

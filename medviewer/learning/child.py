"""A job in a child process of its own that can be killed whole: training, for one.

The child is spawned (never forked: a fork after torch has computed hangs), runs at low priority, leads a process group
of its own, and ends by itself when its parent is gone.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from medviewer.errors import BadInput, Cancelled, MedviewerError, MissingHere, Refused, SaveFailed
from medviewer.jobs import JobContext, Progress

#: Seconds between two looks at the cancel token.
PULSE = 0.05
#: Added to the niceness of the child (POSIX); on Windows the class below normal is taken.
NICENESS = 10

_KNOWN = {kind.__name__: kind for kind in (BadInput, Refused, MissingHere, SaveFailed, MedviewerError)}
_log = logging.getLogger(__name__)


def run_in_child(job: str, request: Any, context: JobContext) -> Any:
    """Run a job in a child process and give its result.

    Args:
        job: `module:function`, a function of `(request, context)`; imported in the child.
        request: picklable.
        context: progress is handed on; a cancel kills the child and everything it started, within a fraction of a
            second.

    Raises:
        Cancelled: a person asked for it.
        MedviewerError: of the kind that the job raised, or saying that the child ended without a word.
    """
    context.check()
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_child, args=(job, request, theirs, os.getpid()), daemon=True, name=job)
    child.start()
    theirs.close()
    try:
        return _listen(ours, child, context)
    finally:
        kill_tree(child)
        ours.close()


def kill_tree(process: BaseProcess) -> None:
    """Kill a child and everything below it, and wait for it."""
    if process.pid is not None and process.is_alive():
        import psutil

        with contextlib.suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for one in below:
                with contextlib.suppress(psutil.Error):
                    one.kill()
    process.join(timeout=5.0)


def _listen(pipe: Connection, child: BaseProcess, context: JobContext) -> Any:
    while True:
        context.check()
        if not pipe.poll(PULSE):
            if not child.is_alive() and not pipe.poll(0):
                raise _ended(child)
            continue
        try:
            kind, *parts = pipe.recv()
        except (EOFError, OSError) as error:
            raise _ended(child) from error
        if kind == "progress":
            progress: Progress = parts[0]
            context.report(progress.done, progress.total, progress.message, progress.partial)
        elif kind == "done":
            return parts[0]
        elif kind == "failed":
            name, what, path, remedy = parts
            raise _KNOWN.get(name, MedviewerError)(what, path=path, remedy=remedy)
        else:
            _log.error("%s", parts[0])
            raise MedviewerError("training stopped at a bug of ours; the log says more")


def _ended(child: BaseProcess) -> MedviewerError:
    child.join(timeout=1.0)
    code = child.exitcode
    if code is not None and -code == getattr(signal, "SIGKILL", 9):
        return MedviewerError(
            "the training process was killed from outside", remedy="it may have run out of memory; try again"
        )
    return MedviewerError(f"the training process ended without a word (code {code})", remedy="try again")


def _child(job: str, request: Any, pipe: Connection, parent: int) -> None:
    _settle(parent)
    sending = threading.Lock()

    def send(*message: Any) -> None:
        with sending, contextlib.suppress(OSError, ValueError):
            pipe.send(message)

    last = 0.0

    def listener(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        # Twenty a second are enough for a curve; a message with figures is never dropped.
        if progress.partial is not None or now - last > 0.05:
            send("progress", progress)
            last = now

    try:
        module, function = job.split(":")
        result = getattr(importlib.import_module(module), function)(request, JobContext(listener=listener))
        send("done", result)
    except Cancelled:
        pass
    except MedviewerError as error:
        send("failed", type(error).__name__, error.what, None if error.path is None else str(error.path), error.remedy)
    except Exception:  # the child's last words; the parent writes them to the log
        send("bug", traceback.format_exc())


def _settle(parent: int) -> None:
    """Low priority, a process group of its own, and an end when the parent is gone."""
    if sys.platform == "win32":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        with contextlib.suppress(OSError):
            os.setpgrp()
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl+C means

    def watch() -> None:
        import psutil

        while psutil.pid_exists(parent) and (sys.platform == "win32" or os.getppid() == parent):
            time.sleep(1.0)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()

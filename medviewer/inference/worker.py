"""The inference process: torch, its threads and a sticky CUDA error stay in here, out of the window's process.

It is started by `medviewer.inference.client` with the method "spawn" and talks over one pipe. Voxels arrive through
shared memory, once a volume. Messages are tuples whose first word says what they are:

    in    ("predict", Request)   ("cancel", id)   ("warm", id, task, device)   ("forget", shared memory's name)
          ("stop",)
    out   ("ready", pid)   ("partial", id, Suggestion)   ("done", id, Suggestion)   ("failed", id, Failure)
          ("warmed", id, device)

A thread reads the pipe, so that a cancel is seen while a network runs; runners look at the token between two passes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from medviewer.errors import BadInput, Cancelled, MedviewerError, MissingHere, Refused, SaveFailed
from medviewer.inference.shared_voxels import Attached, SharedVoxels, attach
from medviewer.jobs import CancelToken, JobContext, Progress
from medviewer.volume.volume import Volume

#: Exit status of a process whose CUDA context is lost (only a new process gets a new one).
LOST_DEVICE = 70

_FAMILY: dict[str, type[MedviewerError]] = {
    cls.__name__: cls for cls in (BadInput, Refused, MissingHere, SaveFailed, Cancelled, MedviewerError)
}
_STICKY = ("illegal memory access", "device-side assert", "unspecified launch failure", "CUDA error: unknown error")


@dataclass(frozen=True, slots=True)
class Request:
    """One question: as `medviewer.inference.predict.predict`, with the client's id."""

    id: int
    task: str
    voxels: SharedVoxels
    point_lps: tuple[float, ...] | None
    box_lps: tuple[float, ...] | None
    device: str
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it crosses the pipe: the class's name and its parts."""

    kind: str
    what: str
    path: str | None = None
    remedy: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an error; anything but ours is a bug of ours and loses its details to the log."""
        if isinstance(error, Cancelled):
            return cls("Cancelled", error.what)
        if isinstance(error, MedviewerError):
            return cls(type(error).__name__, error.what, None if error.path is None else str(error.path), error.remedy)
        return cls("MedviewerError", f"the suggestion failed: {type(error).__name__}", None, "see the log")

    def error(self) -> MedviewerError:
        """The error again."""
        if self.kind == "Cancelled":
            return Cancelled(self.what)
        family = _FAMILY.get(self.kind, MedviewerError)
        return family(self.what, path=None if self.path is None else Path(self.path), remedy=self.remedy)


def main(connection: Connection, log_path: str | None = None) -> None:
    """Serve requests until the pipe closes. Runs as the target of a spawned process."""
    from medviewer.inference.device import processor_threads

    threads = str(processor_threads())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = threads
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)  # the window comes first
    if log_path is not None:
        logging.basicConfig(filename=log_path, level=logging.WARNING, format="%(asctime)s inference %(message)s")
    _Worker(connection, int(threads)).serve()


class _Worker:
    """The life of the process: a reading thread, a queue, and one question at a time."""

    def __init__(self, connection: Connection, threads: int) -> None:
        self._connection = connection
        self._threads = threads
        self._sending = threading.Lock()
        self._tokens: dict[int, CancelToken] = {}
        self._inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._attached: dict[str, Attached] = {}
        self._running = 0
        self._prepared = False

    def serve(self) -> None:
        threading.Thread(target=self._read, name="inference-pipe", daemon=True).start()
        self._send("ready", os.getpid())
        while True:
            message = self._inbox.get()
            match message:
                case ("predict", Request() as request):
                    self._predict(request)
                case ("warm", int() as id_, str() as task, str() as device):
                    self._warm(id_, task, device)
                case ("forget", str() as name):
                    self._forget(name)
                case _:
                    break
        for name in list(self._attached):
            self._forget(name)

    def _read(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the window is gone: nobody waits for an answer
            if message[0] == "cancel":
                self._cancel(message[1])
                continue
            if message[0] == "predict":
                self._tokens.setdefault(message[1].id, CancelToken())
            self._inbox.put(message)

    def _cancel(self, id_: int) -> None:
        """Stop the question that runs, or answer at once for one that waits behind it."""
        token = self._tokens.get(id_)
        if token is None:
            return  # answered already
        token.cancel()
        if id_ != self._running:
            self._send("failed", id_, Failure.of(Cancelled()))

    def _send(self, *message: Any) -> None:
        with self._sending, contextlib.suppress(OSError, BrokenPipeError):
            self._connection.send(message)

    def _prepare(self) -> None:
        """Import torch once and set it up: threads, repeatable results."""
        if self._prepared:
            return
        import torch

        torch.set_num_threads(self._threads)
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        self._prepared = True

    def _predict(self, request: Request) -> None:
        token = self._tokens.setdefault(request.id, CancelToken())

        def listen(progress: Progress) -> None:
            if progress.partial is not None:
                self._send("partial", request.id, progress.partial)

        try:
            self._running = request.id
            token.raise_if_cancelled()
            self._prepare()
            from medviewer.inference.predict import predict

            suggestion = predict(
                request.task,
                self._volume(request.voxels),
                point_lps=request.point_lps,
                box_lps=request.box_lps,
                patient=request.patient,
                device=request.device,
                context=JobContext(token, listen),
            )
            token.raise_if_cancelled()
        except Exception as error:
            self._fail(request.id, error)
        else:
            self._send("done", request.id, suggestion)
        finally:
            self._running = 0
            self._tokens.pop(request.id, None)

    def _warm(self, id_: int, task: str, device: str) -> None:
        """Load the champion of a task and run it once; a failure here is told when somebody asks."""
        try:
            self._prepare()
            import importlib

            from medviewer.inference.device import resolve_device
            from medviewer.inference.nets import nets_of
            from medviewer.inference.runners import runner_module
            from medviewer.inference.store import ModelStore

            package = ModelStore().champion(task)
            runs_on = resolve_device(device)
            warm = getattr(importlib.import_module(runner_module(package.card.kind)), "warm", nets_of)
            warm(package, runs_on)
        except Exception as error:
            self._fail(id_, error)
        else:
            self._send("warmed", id_, runs_on)

    def _fail(self, id_: int, error: Exception) -> None:
        if not isinstance(error, MedviewerError):
            logging.error("request failed:\n%s", traceback.format_exc())
            if any(words in str(error) for words in _STICKY):
                os._exit(LOST_DEVICE)
        self._send("failed", id_, Failure.of(error))

    def _volume(self, voxels: SharedVoxels) -> Volume:
        if voxels.name not in self._attached:
            self._attached[voxels.name] = attach(voxels)
        return self._attached[voxels.name].volume

    def _forget(self, name: str) -> None:
        attached = self._attached.pop(name, None)
        if attached is not None:
            attached.close()

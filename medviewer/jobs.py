"""A cancellable piece of work with progress and one outcome. No Qt here.

A job is a plain function that takes a `JobContext` and returns its result. The window, the command line and
the tests run the same function; only who listens to the progress differs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from medviewer.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        done: finished units of work.
        total: all units, or None while unknown.
        message: what is being done, for people.
        partial: a result so far, where a job has one worth showing (the clicked slice, say).
    """

    done: int
    total: int | None = None
    message: str = ""
    partial: Any = None

    @property
    def fraction(self) -> float | None:
        """Share done between 0 and 1, or None while the total is unknown."""
        return None if not self.total else min(1.0, self.done / self.total)


class CancelToken:
    """A flag that one thread sets and another reads between two steps of its work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop at its next check."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once `cancel` was called."""
        if self._event.is_set():
            raise Cancelled


def _ignore(_: Progress) -> None:
    return None


@dataclass(slots=True)
class JobContext:
    """What a job gets to be cancellable and to say how far it is."""

    token: CancelToken = field(default_factory=CancelToken)
    listener: Callable[[Progress], None] = _ignore

    def report(self, done: int, total: int | None = None, message: str = "", partial: Any = None) -> None:
        """Tell the listener how far the work is; raises `Cancelled` if a person asked for it."""
        self.token.raise_if_cancelled()
        self.listener(Progress(done, total, message, partial))

    def check(self) -> None:
        """Raise `Cancelled` if a person asked for it."""
        self.token.raise_if_cancelled()

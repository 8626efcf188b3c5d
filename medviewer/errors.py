"""Errors that people read: one sentence that says what happened, where, and what to do.

Every error of this family carries the exit code of the command line (docs/cli.md). Anything else that
escapes is a bug of ours and ends with exit code 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class MedviewerError(Exception):
    """An error with a sentence for people.

    Args:
        what: what happened, without a final full stop.
        path: the file or folder concerned, if there is one.
        remedy: what the person can do about it, without a final full stop.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, path: Path | str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.path = None if path is None else Path(path)
        self.remedy = remedy

    @property
    def sentence(self) -> str:
        """What, where and what to do, on one line."""
        where = "" if self.path is None else f" ({self.path})"
        then = "" if self.remedy is None else f"; {self.remedy}"
        return " ".join(f"{self.what}{where}{then}.".split())

    def __str__(self) -> str:
        return self.sentence


class BadInput(MedviewerError):
    """Nothing could be opened, a name is unknown or an option is wrong (exit code 2)."""

    exit_code = 2


class Refused(MedviewerError):
    """Refused on purpose: abstained, gate not passed, geometry cannot carry it, hash mismatch (exit code 3)."""

    exit_code = 3


class MissingHere(MedviewerError):
    """Something is missing on this machine: a codec, an extra, a GPU (exit code 4)."""

    exit_code = 4


class Cancelled(MedviewerError):
    """A person cancelled the work (exit code 130)."""

    exit_code = 130

    def __init__(self, what: str = "cancelled") -> None:
        super().__init__(what)


class SaveFailed(MedviewerError):
    """Work could not be written (full disk, no permission). The work itself is still in memory (exit code 2)."""

    exit_code = 2

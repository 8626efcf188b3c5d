"""Which files lie below some paths, with what the system says of them: size and times, before anything is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from medviewer.formats import source
from medviewer.formats.catalog import Skipped

#: A path, and its state; None where it is no file on disk (a member of an archive) or the system does not tell.
File = tuple[str, os.stat_result | None]


@dataclass(slots=True)
class Listing:
    """The files below some paths, each folder in the order of names, and what cannot be listed."""

    files: list[File] = field(default_factory=list)
    refused: list[Skipped] = field(default_factory=list)


def _nothing() -> None:
    return None


def list_files(paths: Sequence[Path], check: Callable[[], None] = _nothing) -> Listing:
    """All files below the paths, those of a folder before those of its subfolders; no file twice.

    Links to files are followed where they stay below the folder that is searched; links to folders are not.

    Args:
        paths: folders, files, archives and their members.
        check: called for each folder; may raise to stop.
    """
    listing = Listing()
    for path in paths:
        try:
            is_folder = path.is_dir()
            there = is_folder or path.exists() or source.outer_archive(path) is not None
        except OSError as error:
            listing.refused.append(refusal(path, error))
            continue
        if not there:
            listing.refused.append(Skipped(path, "no such file or folder", "unreadable"))
        elif is_folder:
            _list_folder(str(path), listing, check)
        else:
            listing.files.append((str(path), state_of(str(path))))
    if len(paths) > 1:
        listing.files = list(_once(listing.files))
    return listing


def _list_folder(root: str, listing: Listing, check: Callable[[], None]) -> None:
    pending = [root]
    while pending:
        check()
        folder = pending.pop()
        below: list[str] = []
        try:
            with _handle(folder) as handle:
                with os.scandir(handle) as found:
                    entries = {entry.name: entry for entry in found}
                _sort_in(entries, folder if folder.endswith(os.sep) else folder + os.sep, root, listing, below)
        except OSError as error:
            listing.refused.append(refusal(Path(folder), error))
            continue
        pending += reversed(below)


def _sort_in(
    entries: Mapping[str, os.DirEntry[str]], prefix: str, root: str, listing: Listing, below: list[str]
) -> None:
    """The entries of one folder in the order of names: files to the listing, folders to `below`."""
    files = listing.files
    for name in sorted(entries):
        entry, path = entries[name], prefix + name
        try:
            if entry.is_dir(follow_symlinks=False):
                below.append(path)
                continue
            state = entry.stat()
            if entry.is_symlink() and leads_out(path, root):
                listing.refused.append(Skipped(Path(path), _LEADS_OUT, "outside-folder"))
                continue
        except OSError:  # a link to nothing; reading it will say so
            files.append((path, None))
            continue
        if not stat.S_ISDIR(state.st_mode):
            files.append((path, state))


@contextmanager
def _handle(folder: str) -> Iterator[str | int]:
    """The folder opened, where the system can look at files by their names in it: that spares it the way there."""
    if os.scandir not in os.supports_fd:  # Windows
        yield folder
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)


_LEADS_OUT = "a link that leads out of the folder; open what it leads to by itself"


def leads_out(path: str, root: str) -> bool:
    """True for a link to something that is there and does not lie below the folder that is searched."""
    target = Path(path).resolve(strict=True)
    return not target.is_relative_to(Path(root).resolve())


def _once(files: Sequence[File]) -> Iterator[File]:
    """Files without those that are named a second time (a folder and a file in it, say)."""
    seen: set[str] = set()
    for file in files:
        place = os.path.abspath(file[0])  # noqa: PTH100
        if place not in seen:
            seen.add(place)
            yield file


def state_of(path: str) -> os.stat_result | None:
    """What the system says of a file; None where it says nothing."""
    try:
        return os.stat(path)  # noqa: PTH116
    except OSError:
        return None


def refusal(path: Path, error: OSError) -> Skipped:
    """Why a file or folder cannot be read, for people."""
    named = error.filename if isinstance(error.filename, str) and error.filename else path
    return Skipped(Path(named), os_reason(error), "unreadable")


def os_reason(error: OSError) -> str:
    """The system's reason in words."""
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return f"cannot be read ({error.strerror or type(error).__name__})"

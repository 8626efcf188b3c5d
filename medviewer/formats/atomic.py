"""Files that are there whole or not at all: temporary name, flush, check, rename."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from medviewer.errors import SaveFailed


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a new or renamed file survives a power cut (POSIX; elsewhere nothing)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, check: Callable[[Path], None] | None = None) -> None:
    """Write a file so that nobody ever sees a part of it; an older one of this name stays until the new one is good.

    Args:
        path: the file; its folder is made.
        data: all of it.
        check: looks at the temporary file before it takes the name; what it raises stops the saving.

    Raises:
        SaveFailed: full disk, no permission, ...; the older file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise SaveFailed(
            f"the file could not be saved: {error.strerror or error}",
            path=path,
            remedy="free space or choose another folder; your work is still here",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

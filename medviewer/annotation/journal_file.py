"""The journal's file: appending that cannot leave a torn record in the middle, and who owns it."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from pathlib import Path
from typing import Self

MAGIC = b"medviewer journal 1\n"

#: Before each payload: its length and its CRC-32.
HEADER = struct.Struct("<II")


class JournalFile:
    """A file that is only appended to. A write that fails half-way is taken back or overwritten by the next one."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._handle = os.open(path, flags, 0o600)
        self.size = os.lseek(self._handle, 0, os.SEEK_END)

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end, handed to the operating system when this returns.

        Raises:
            OSError: nothing was appended.
        """
        try:
            os.lseek(self._handle, self.size, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)

    def shrink(self, by: int) -> None:
        """Take the last bytes back."""
        self.size -= by
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, self.size)

    def sync(self) -> None:
        """Flush to the medium.

        Raises:
            OSError: what was appended since the last flush may be lost.
        """
        flush = getattr(os, "fdatasync", os.fsync)  # data and length; times of access do not matter here
        flush(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


class Lock:
    """A lock that the operating system drops when its process dies, however it dies."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take it.

        Raises:
            BlockingIOError: another process (or another place in this one) has it.
            OSError: the lock file cannot be made.
        """
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if sys.platform == "win32":
                import msvcrt

                try:
                    msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
                except OSError as error:
                    raise BlockingIOError(str(error)) from error
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        return cls(path, handle)

    def release(self, *, remove: bool = True) -> None:
        """Give it back and remove its file (or leave it)."""
        with contextlib.suppress(OSError):
            os.close(self._handle)
        if remove:
            with contextlib.suppress(OSError):
                self._path.unlink()


def is_locked(path: Path) -> bool:
    """True where a living process has the lock of this path."""
    if not path.exists():
        return False
    try:
        lock = Lock.take(path)
    except BlockingIOError:
        return True
    except OSError:
        return False
    lock.release(remove=False)
    return False

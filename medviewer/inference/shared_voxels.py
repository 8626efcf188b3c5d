"""Voxels that two processes see: copied once into shared memory, or into a mapped file where that is too small.

Linux gives shared memory a file system of its own, in containers often of 64 MB; writing beyond its end kills the
writer (SIGBUS), so its free space is asked first.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np

from medviewer import places
from medviewer.volume.volume import Volume

#: Volumes whose voxels stay shared while nobody asks about them.
KEPT = 2
_SHARED_FOLDER = Path("/dev/shm")
_FIELDS = ("grid", "slope", "intercept", "unit", "modality", "padding", "inverted", "stack_id", "tables")


@dataclass(frozen=True, slots=True)
class SharedVoxels:
    """Where a volume's voxels lie, and the volume's small facts; small enough for a pipe.

    Attributes:
        name: of the shared memory, or path of the file.
        is_file: which of the two.
        dtype, size_kji: of the voxels.
        facts: the other fields of `Volume`.
    """

    name: str
    is_file: bool
    dtype: str
    size_kji: tuple[int, int, int]
    facts: dict[str, Any]


@dataclass(slots=True, eq=False)
class Attached:
    """A volume whose voxels lie in shared memory or a mapped file, read-only; `close` lets go of them."""

    volume: Volume
    close: Callable[[], None]


def attach(shared: SharedVoxels) -> Attached:
    """The volume again, in the other process.

    Raises:
        OSError: it is no longer there.
    """
    dtype = np.dtype(shared.dtype)
    if shared.is_file:
        mapped: np.ndarray[Any, Any] = np.memmap(shared.name, dtype, "r", shape=shared.size_kji)
        return Attached(Volume(mapped, **shared.facts), _nothing)
    memory = SharedMemory(shared.name)
    voxels: np.ndarray[Any, Any] = np.ndarray(shared.size_kji, dtype, buffer=memory.buf)
    voxels.flags.writeable = False

    def close() -> None:
        with contextlib.suppress(BufferError):  # an array still looks into it: it goes with the process
            memory.close()

    return Attached(Volume(voxels, **shared.facts), close)


@dataclass(slots=True, eq=False)
class _Kept:
    """Shared voxels of ours; `origin` tells whether the caller's array still is the one that was copied."""

    shared: SharedVoxels
    origin: weakref.ReferenceType[Any]
    close: Callable[[], None]


class Shelf:
    """The volumes that one side has shared, the last few of them.

    Args:
        forgotten: told the name of what is no longer shared.
    """

    def __init__(self, forgotten: Callable[[str], None]) -> None:
        self._forgotten = forgotten
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, volume: Volume, in_use: Container[str] = ()) -> SharedVoxels:
        """Share a volume's voxels: copied the first time, and again while slices are still arriving.

        Args:
            volume: its array must not change once it is loaded.
            in_use: names that must stay shared.

        Raises:
            OSError: neither memory nor disk has room.
        """
        key = (volume.stack_id, id(volume.voxels))
        known = self._kept.get(key)
        if known is not None and known.origin() is volume.voxels:
            self._kept.move_to_end(key)
            return known.shared
        idle = [name for name, kept in self._kept.items() if kept.shared.name not in in_use]
        for old in idle[: max(0, len(self._kept) - KEPT + 1)]:
            self._drop(old)
        if known is not None and key in self._kept:
            self._drop(key)
        shared, close = _copy(volume)
        whole = bool(np.all(volume.loaded))
        self._kept[key if whole else (f"arriving {shared.name}", 0)] = _Kept(shared, weakref.ref(volume.voxels), close)
        return shared

    def clear(self) -> None:
        """Share nothing any more."""
        for key in list(self._kept):
            self._drop(key)

    def _drop(self, key: tuple[str, int]) -> None:
        kept = self._kept.pop(key)
        self._forgotten(kept.shared.name)
        kept.close()


def _copy(volume: Volume) -> tuple[SharedVoxels, Callable[[], None]]:
    facts = {field: getattr(volume, field) for field in _FIELDS}
    needed = max(1, volume.voxels.nbytes)
    dtype, size = volume.voxels.dtype.str, volume.size_kji
    if _shared_memory_holds(needed):
        memory = SharedMemory(create=True, size=needed)
        target: np.ndarray[Any, Any] = np.ndarray(size, volume.voxels.dtype, buffer=memory.buf)
        target[:] = volume.voxels
        del target

        def close() -> None:
            memory.close()
            with contextlib.suppress(OSError):
                memory.unlink()

        return SharedVoxels(memory.name, False, dtype, size, facts), close
    handle, name = tempfile.mkstemp(prefix="voxels-", dir=places.cache_folder())
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.ascontiguousarray(volume.voxels).tofile(file)
    except OSError:
        path.unlink(missing_ok=True)
        raise

    def remove() -> None:
        with contextlib.suppress(OSError):  # Windows keeps a mapped file; the cache is emptied another time
            path.unlink(missing_ok=True)

    return SharedVoxels(name, True, dtype, size, facts), remove


def _shared_memory_holds(needed: int) -> bool:
    if not _SHARED_FOLDER.is_dir():
        return True
    try:
        free = os.statvfs(_SHARED_FOLDER)
    except (OSError, AttributeError):
        return True
    return free.f_bavail * free.f_frsize > 1.1 * needed + (8 << 20)


def _nothing() -> None:
    return None

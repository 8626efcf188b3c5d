"""Scan folders, files and archives into a Catalog. No file can make it raise: what cannot be shown is listed.

Headers are read one after another where the system gives them at once, and by a few threads where it does not
(waiting for shares and slow disks overlaps); pixels are not touched.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from medviewer.errors import BadInput, Cancelled
from medviewer.formats import source
from medviewer.formats.catalog import Catalog, ObjectFile, Patient, Series, Skipped, Stack, Study
from medviewer.formats.dicom.elements import HeaderFault, looks_like_dicom
from medviewer.formats.dicom.headers.directory import Finder, references
from medviewer.formats.dicom.headers.header import ImageFile
from medviewer.formats.dicom.headers.header_reader import HeaderReader
from medviewer.formats.dicom.stacks.shared_uids import shared_uids
from medviewer.formats.dicom.stacks.stacking import build_patients
from medviewer.formats.dicom.text import one_line
from medviewer.formats.listing import File, Listing, list_files, os_reason
from medviewer.formats.sniff import describe, is_nifti, is_nrrd
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext

_log = logging.getLogger(__name__)

#: Files that are read before the progress is told.
_CHUNK, _FIRST_CHUNK = 64, 8
#: Enough to wait for a share four times over; more would only queue for Python's lock, before the window's thread.
_THREADS = 4
#: Waiting for one file, seconds, that is worth several threads (a share, a turning disk); quick disks are not.
_SLOW = 0.001
#: Files that the threads read before it is tried again whether one is enough.
_TOGETHER = 1024
#: A catalog so far is handed out after this many seconds, if there are this many files; the next after four times both.
_PARTIAL_SECONDS, _PARTIAL_FILES = 0.5, 64
_DIRECTORY_UID = b"1.2.840.10008.1.3.10"
_MAX_DIRECTORY = 256 << 20


@dataclass(frozen=True, slots=True)
class _Request:
    """What the reading of a file depends on: files to leave out, and paths that a person named."""

    leave_out: Mapping[Path, Skipped]
    named: frozenset[Path]


@dataclass(slots=True)
class _Found:
    """What came out of some files."""

    files: int = 0
    images: list[ImageFile] = field(default_factory=list)
    objects: list[ObjectFile] = field(default_factory=list)
    stacks: list[Stack] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    more: list[Path] = field(default_factory=list)

    def add(self, other: _Found) -> None:
        self.files += other.files
        self.images += other.images
        self.objects += other.objects
        self.stacks += other.stacks
        self.skipped += other.skipped


def scan(paths: Sequence[Path], context: JobContext | None = None, *, leave_out: Sequence[Skipped] = ()) -> Catalog:
    """Look at everything below some paths.

    Args:
        paths: folders (searched through), files, ZIP archives; DICOM, NIfTI or NRRD.
        context: for progress (with partial catalogs) and cancel.
        leave_out: files that are known to be of no use (pixels that cannot be decoded, say); they are listed
            as skipped and the stacks are built without them.

    Returns:
        What can be shown and, with a reason each, what cannot.

    Raises:
        Cancelled: a person asked for it.
    """
    context = context or JobContext()
    return scan_files(list_files(paths, context.check), paths, context, leave_out=leave_out)


def scan_files(
    listing: Listing, paths: Sequence[Path], context: JobContext, *, leave_out: Sequence[Skipped] = ()
) -> Catalog:
    """As `scan`, of files that have been listed.

    Args:
        listing: what `list_files(paths)` gave.
        paths: what a person named.
        context, leave_out: as for `scan`.
    """
    request = _Request({skip.path: skip for skip in leave_out}, frozenset(paths))
    found = _Found(skipped=list(listing.refused))
    todo = deque(listing.files)
    progress = _Progress(context, len(todo))
    progress.tell(found)
    chunk, waited = _FIRST_CHUNK, False
    while todo:
        if waited and len(todo) > _FIRST_CHUNK:
            _read_together(todo, found, request, progress)
        before = _Waiting.now()
        some = [todo.popleft() for _ in range(min(chunk, len(todo)))]
        _add(_read_chunk(some, request, context), found, todo, progress)
        waited = _Waiting.now().since(before, len(some))
        chunk = _FIRST_CHUNK if waited else _CHUNK
    return _catalog(found)


@dataclass(slots=True)
class _Progress:
    """Tells how far the scan is, now and then with a catalog of what has been found so far.

    `under_way` counts the files that threads are reading now.
    """

    context: JobContext
    total: int
    under_way: int = 0
    next_files: int = _PARTIAL_FILES
    next_time: float = field(default_factory=lambda: time.monotonic() + _PARTIAL_SECONDS)

    def tell(self, found: _Found) -> None:
        """Raises `Cancelled` where a person asked for it."""
        so_far = None
        if self.next_files <= found.files < self.total and time.monotonic() >= self.next_time:
            began = time.monotonic()
            so_far = _catalog(found)
            now = time.monotonic()
            self.next_files, self.next_time = 4 * found.files, now + max(4 * (now - began), _PARTIAL_SECONDS)
        self.context.report(found.files, self.total, "reading headers", partial=so_far)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """How long this thread has lived and worked, and how often the system made it wait (for a disk, a share)."""

    wall: float
    cpu: float
    waits: int | None

    @classmethod
    def now(cls) -> _Waiting:
        """The state of this thread."""
        waits = None if _thread_usage is None else _thread_usage().ru_nvcsw
        return cls(time.perf_counter(), time.thread_time(), waits)

    def since(self, before: _Waiting, files: int) -> bool:
        """True where the thread waited for most of the files, and long enough for others to work meanwhile."""
        waited = (self.wall - before.wall) - (self.cpu - before.cpu)
        if waited < _SLOW * files:
            return False
        return self.waits is None or before.waits is None or 2 * (self.waits - before.waits) > files


def _find_thread_usage() -> Any:
    try:
        import resource

        return partial(resource.getrusage, resource.RUSAGE_THREAD)
    except (ImportError, AttributeError):  # Windows, macOS
        return None


_thread_usage = _find_thread_usage()


def _read_together(todo: deque[File], found: _Found, request: _Request, progress: _Progress) -> None:
    """Read some of the files in several threads."""
    some = [todo.popleft() for _ in range(min(_TOGETHER, len(todo)))]
    size = max(1, min(_CHUNK, len(some) // (2 * _THREADS)))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="scan") as pool:
        chunks = [some[n : n + size] for n in range(0, len(some), size)]
        files_of = {pool.submit(_read_chunk, chunk, request, progress.context): len(chunk) for chunk in chunks}
        pending: set[Future[_Found]] = set(files_of)
        progress.under_way = len(some)
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                progress.context.check()
                for future in finished:
                    progress.under_way -= files_of[future]
                    _add(future.result(), found, todo, progress)
        except Cancelled:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _add(result: _Found, found: _Found, todo: deque[File], progress: _Progress) -> None:
    found.add(result)
    todo += [(str(path), None) for path in result.more]
    progress.total = found.files + progress.under_way + len(todo)
    progress.tell(found)


def nothing_opened(paths: Sequence[Path], catalog: Catalog) -> BadInput:
    """The sentence for a scan that found nothing to show."""
    first = paths[0] if paths else None
    if catalog.skipped and (catalog.files or len(catalog.skipped) == len(paths)):
        if len(catalog.skipped) == 1:
            skip = catalog.skipped[0]
            return BadInput(f"nothing could be opened: {skip.reason}", path=skip.path)
        reasons = list(dict.fromkeys(skip.reason for skip in catalog.skipped))
        shown = "; ".join(reasons[:3]) + ("; ..." if len(reasons) > 3 else "")
        what = f"nothing could be opened: all {len(catalog.skipped)} files were skipped ({shown})"
        return BadInput(what, path=first, remedy="choose a folder with DICOM, NIfTI or NRRD files")
    return BadInput("the folder is empty", path=first, remedy="choose a folder with DICOM, NIfTI or NRRD files")


_reader = threading.local()


def _read_chunk(files: Sequence[File], request: _Request, context: JobContext) -> _Found:
    reader: HeaderReader | None = getattr(_reader, "of_this_thread", None)
    if reader is None:
        reader = _reader.of_this_thread = HeaderReader()
    found = _Found()
    for name, state in files:
        if context.token.cancelled:
            break
        found.files += 1
        path = Path(name)
        if request.leave_out and path in request.leave_out:
            found.skipped.append(request.leave_out[path])
            continue
        try:
            _read(path, name, state, found, reader, request)
        except (SourceFault, HeaderFault) as fault:
            found.skipped.append(Skipped(path, fault.reason, fault.code))
        except OSError as error:
            found.skipped.append(Skipped(path, os_reason(error), "unreadable"))
        except Exception as error:  # a hostile file costs a sentence, not the folder
            _log.debug("header of one file", exc_info=True)
            found.skipped.append(Skipped(path, f"malformed header ({type(error).__name__})", "bad-header"))
    return found


def _start_of(path: Path, name: str, state: os.stat_result | None, length: int) -> tuple[bytes, int]:
    """The first bytes of a file or member, and its size."""
    if state is None or not stat.S_ISREG(state.st_mode):
        size = source.size_of(path)
        if size == 0:
            return b"", 0
        with source.open_binary(path) as file:
            return file.read(length), size
    return source.first_bytes(name, length)


def _read(
    path: Path, name: str, state: os.stat_result | None, found: _Found, reader: HeaderReader, request: _Request
) -> None:
    """Sort one file into `found`; the references of a DICOMDIR are followed where it was named itself."""
    start, size = _start_of(path, name, state, reader.first_read)
    if size == 0:
        raise SourceFault("empty", "empty file")
    if looks_like_dicom(start):
        if _DIRECTORY_UID in start[:1024]:
            _read_directory(path, found, follow=path in request.named)
            return
        result = reader.read(path, start, size)
        if isinstance(result, ImageFile):
            found.images.append(result)
        else:
            found.objects.append(result)
    elif source.is_archive(start):
        good, bad = source.members(path)
        found.files -= 1  # its members count
        found.more += good
        found.skipped += [Skipped(member, fault.reason, fault.code) for member, fault in bad]
    elif is_nifti(start, path.name):
        from medviewer.formats.nifti import read_stack as read_nifti_stack

        found.stacks.append(read_nifti_stack(path))
    elif is_nrrd(start):
        from medviewer.formats.nrrd import read_stack as read_nrrd_stack

        found.stacks.append(read_nrrd_stack(path))
    elif start[128:132] == b"\0\0\0\0" and not start.strip(b"\0"):
        raise SourceFault("not-dicom", "not DICOM (nothing but zeros)")
    else:
        raise SourceFault("not-dicom", f"not DICOM (looks like {describe(start)})")


def _read_directory(path: Path, found: _Found, *, follow: bool) -> None:
    """List a DICOMDIR and name references that leave its folder (PS3.10 8.2 and 8.5 allow plain names only).

    In a folder that is searched the files are found anyway; of a DICOMDIR that was named itself they are followed.
    """
    named = references(source.read_all(path, limit=_MAX_DIRECTORY))
    finder = Finder(path.parent)
    files = [(parts, finder.find(parts)) for parts in named.inside]
    in_archive = source.outer_archive(path) is not None  # its members are all looked at
    absent = [] if in_archive else [path.parent.joinpath(*parts) for parts, file in files if file is None]
    counted = f"{len(files)} reference{'' if len(files) == 1 else 's'}"
    missing = f", {len(absent)} of them absent" if absent else ""
    found.objects.append(ObjectFile(path, "DICOMDIR", f"DICOMDIR - {counted}{missing}", ""))
    found.skipped += [
        Skipped(path, one_line(f"a reference leaves the folder: {name}"), "outside-folder") for name in named.strange
    ]
    if not follow:
        return
    found.skipped += [Skipped(file, "named in the DICOMDIR, but not there", "unreadable") for file in absent]
    for file in dict.fromkeys(file for _, file in files if file is not None):
        if finder.is_inside(file):
            found.more.append(file)
        else:
            found.skipped.append(Skipped(file, "a link that leaves the DICOMDIR's folder", "outside-folder"))


def _same_bytes(one: ImageFile, other: ImageFile) -> bool:
    try:
        return source.read_all(one.path) == source.read_all(other.path)
    except (OSError, SourceFault):
        return False


def _catalog(found: _Found) -> Catalog:
    patients, copies = build_patients(found.images, _same_bytes)
    volumes = [_volume_patient(stack) for stack in sorted(found.stacks, key=lambda s: str(s.frames[0].path))]
    skipped = sorted([*found.skipped, *copies], key=lambda s: str(s.path))
    objects = sorted(found.objects, key=lambda o: str(o.path))
    left_out = {copy.path for copy in copies}
    warnings = shared_uids([file for file in found.images if file.path not in left_out])
    return Catalog(found.files, tuple(skipped), (*patients, *volumes), tuple(objects), warnings)


def _volume_patient(stack: Stack) -> Patient:
    """A file without patient stands for itself."""
    name = stack.frames[0].path.name
    series = Series(stack.series_uid, None, stack.modality, name, (stack,))
    return Patient("", name, (Study("", "", "", (series,)),))

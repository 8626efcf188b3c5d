"""Scan folders, files and archives into a Catalog. No file can make it raise: what cannot be shown is listed.

Headers are read by a few threads (waiting for disks and shares overlaps); pixels are not touched.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from medviewer.errors import BadInput, Cancelled
from medviewer.formats import source
from medviewer.formats.catalog import Catalog, ObjectFile, Patient, Series, Skipped, Stack, Study
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Header, HeaderFault, NeedMore, looks_like_dicom, parse_header
from medviewer.formats.dicom.header import ImageFile, read_file_header
from medviewer.formats.dicom.shared_uids import shared_uids
from medviewer.formats.dicom.stacking import build_patients
from medviewer.formats.dicom.text import one_line
from medviewer.formats.sniff import describe, is_nifti, is_nrrd
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext

_log = logging.getLogger(__name__)

#: Bytes read at first; nearly every classic header is shorter.
_FIRST_READ = 16384
_CHUNK = 32
#: Enough to wait for a share four times over; more would only queue for Python's lock, before the window's thread.
_THREADS = 4
#: A first catalog is handed out after this many files, the next after four times as many, ...
_FIRST_PARTIAL = 64
_DIRECTORY_UID = b"1.2.840.10008.1.3.10"
_MAX_DIRECTORY = 256 << 20
#: Referenced File ID (0004,1500), CS, with its length.
_REFERENCE = rb"\x04\x00\x00\x15CS(..)"


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
    found = _Found()
    request = _Request({skip.path: skip for skip in leave_out}, frozenset(paths))
    todo = _once(_walk(paths, found))
    context.report(0, len(todo), "reading headers")
    next_partial = _FIRST_PARTIAL
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="scan") as pool:
        chunks = [todo[n : n + _CHUNK] for n in range(0, len(todo), _CHUNK)]
        pending: set[Future[_Found]] = {pool.submit(_read_chunk, chunk, request, context) for chunk in chunks}
        total, done = len(todo), 0
        try:
            while pending:
                finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                context.check()
                for future in finished:
                    result = future.result()
                    found.add(result)
                    done += result.files
                    total += len(result.more)
                    pending |= {
                        pool.submit(_read_chunk, result.more[n : n + _CHUNK], request, context)
                        for n in range(0, len(result.more), _CHUNK)
                    }
                partial = None
                if done >= next_partial and pending:
                    partial, next_partial = _catalog(found), 4 * done
                context.report(done, total, "reading headers", partial=partial)
        except Cancelled:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return _catalog(found)


def _once(paths: Iterable[Path]) -> list[Path]:
    """Paths without those that name a file a second time (a folder and a file in it, say)."""
    seen: dict[str, Path] = {}
    for path in paths:
        seen.setdefault(str(path.absolute()), path)
    return list(seen.values())


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


def _walk(paths: Sequence[Path], found: _Found) -> Iterator[Path]:
    """Files below the paths, each folder in the order of names; what cannot be listed goes to `found.skipped`."""

    def refuse(error: OSError) -> None:
        found.skipped.append(Skipped(Path(error.filename or "?"), _os_reason(error), "unreadable"))

    for path in paths:
        try:
            is_folder = path.is_dir()
            there = is_folder or path.exists() or source.outer_archive(path) is not None
        except OSError as error:
            refuse(error)
            continue
        if not there:
            found.skipped.append(Skipped(path, "no such file or folder", "unreadable"))
        elif is_folder:
            for folder, below, names in os.walk(path, onerror=refuse):
                below.sort()
                yield from (Path(folder, name) for name in sorted(names))
        else:
            yield path


def _os_reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    return f"cannot be read ({error.strerror or type(error).__name__})"


def _read_chunk(paths: Sequence[Path], request: _Request, context: JobContext) -> _Found:
    found = _Found()
    for path in paths:
        if context.token.cancelled:
            break
        found.files += 1
        if path in request.leave_out:
            found.skipped.append(request.leave_out[path])
            continue
        try:
            _read(path, found, follow=path in request.named)
        except (SourceFault, HeaderFault) as fault:
            found.skipped.append(Skipped(path, fault.reason, fault.code))
        except OSError as error:
            found.skipped.append(Skipped(path, _os_reason(error), "unreadable"))
        except Exception as error:  # a hostile file costs a sentence, not the folder
            _log.debug("header of one file", exc_info=True)
            found.skipped.append(Skipped(path, f"malformed header ({type(error).__name__})", "bad-header"))
    return found


def _read(path: Path, found: _Found, *, follow: bool) -> None:
    """Sort one file into `found`; the references of a DICOMDIR are followed where it was named itself."""
    size = source.size_of(path)
    if size == 0:
        raise SourceFault("empty", "empty file")
    with source.open_binary(path) as file:
        start = file.read(_FIRST_READ)
    if looks_like_dicom(start):
        if _DIRECTORY_UID in start[:1024]:
            _read_directory(path, found, follow=follow)
            return
        header = read_header(path, start, size)
        result = read_file_header(path, header, size)
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


def read_header(path: Path, start: bytes, size: int) -> Header:
    """Parse the header of a DICOM file, reading on where its first bytes do not reach.

    Args:
        path: the file.
        start: its first bytes.
        size: its size.

    Raises:
        HeaderFault: it is damaged.
    """
    buffer = start
    while True:
        try:
            return parse_header(buffer, size, T.WANTED)
        except NeedMore as need:
            wanted = min(size, max(need.wanted, 2 * len(buffer)))
            with source.open_binary(path) as file:
                buffer = file.read(wanted)
            if len(buffer) < wanted:
                raise HeaderFault("truncated", "truncated: the file is shorter than its folder says") from None


def _read_directory(path: Path, found: _Found, *, follow: bool) -> None:
    """List a DICOMDIR and name references that leave its folder (PS3.10 8.2 and 8.5 allow plain names only).

    In a folder that is searched the files are found anyway; of a DICOMDIR that was named itself they are
    followed. References are searched for, not parsed: offsets and lengths of damaged directories lie.
    """
    data = source.read_all(path, limit=_MAX_DIRECTORY)
    strange: list[str] = []
    inside: list[Path] = []
    for match in re.finditer(_REFERENCE, data, re.DOTALL):
        value = data[match.end() : match.end() + int.from_bytes(match[1], "little")]
        parts = [p.strip() for p in value.decode("latin-1").strip(" \0").split("\\")]
        if any(p in ("", ".", "..") or "/" in p or ":" in p or "\0" in p for p in parts):
            strange.append("\\".join(parts)[:100])
        else:
            inside.append(path.parent.joinpath(*parts))
    found.objects.append(ObjectFile(path, "DICOMDIR", f"DICOMDIR - {len(inside)} references", ""))
    found.skipped += [
        Skipped(path, one_line(f"a reference leaves the folder: {name}"), "outside-folder")
        for name in dict.fromkeys(strange)
    ]
    if not follow:
        return
    folder = path.parent.resolve()
    for file in dict.fromkeys(inside):
        if not file.exists():
            found.skipped.append(Skipped(file, "named in the DICOMDIR, but not there", "unreadable"))
        elif not file.resolve().is_relative_to(folder):
            found.skipped.append(Skipped(file, "a link that leaves the DICOMDIR's folder", "outside-folder"))
        else:
            found.more.append(file)


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

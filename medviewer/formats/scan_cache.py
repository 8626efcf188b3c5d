"""The catalog of a folder as the last scan left it, as long as nothing in the folder has changed.

Opening a folder again costs a look at sizes and times instead of the reading of all headers. An entry is named by
what was asked for and by the program that wrote it, and holds for exactly one state of the files: path, size, time of
modification, time of change and inode of each. What cannot be read, is damaged, or is of another state is scanned anew
and replaced. Entries hold patients' names: their folder and files are the user's alone.

Not remembered is what may change without a trace in those: files that could not be read, files changed in the moment
of the scan, references that were followed out of what was asked for.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import marshal
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from medviewer import __version__, places
from medviewer.errors import MedviewerError
from medviewer.formats.catalog import Catalog
from medviewer.formats.catalog_codec import CodecFault, from_plain, to_plain
from medviewer.formats.listing import Listing, list_files
from medviewer.formats.scan import scan_files
from medviewer.jobs import JobContext

_log = logging.getLogger(__name__)

#: Entries and bytes that are kept, bytes of one entry, and seconds for which an entry is kept that nobody asks for.
MAX_ENTRIES, MAX_BYTES, MAX_ENTRY, MAX_AGE = 200, 256 << 20, 64 << 20, 30 * 86400

_MAGIC = b"medviewer scan 1\n"
_DIGEST = 20
#: A file that changed less than this before the scan could change again without a new time, seconds; the second number
#: is for file systems that count in whole seconds (FAT: in two).
_FRESH, _FRESH_COARSE = 0.1, 2.5


def open_catalog(paths: Sequence[Path], context: JobContext | None = None) -> Catalog:
    """As `scan.scan`, without reading the files where none has changed since the last time.

    Args:
        paths: folders, files, ZIP archives.
        context: for progress and cancel.

    Raises:
        Cancelled: a person asked for it.
    """
    context = context or JobContext()
    began = time.time()
    with _without_collection():
        listing = list_files(paths, context.check)
        state = _state(listing)
        entry = _entry(paths)
        known = None if entry is None else _read(entry, state)
    if known is not None:
        context.report(known.files, known.files, "reading headers")
        return known
    catalog = scan_files(listing, paths, context)
    if entry is not None and _may_be_kept(paths, listing, catalog, began):
        _write(entry, state, catalog)
    return catalog


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Many small objects are made here and none is garbage: looking for it would take a tenth of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _state(listing: Listing) -> bytes:
    """A digest of everything that the system says of the files."""
    files = [
        (path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino, s.st_dev) if s else path for path, s in listing.files
    ]
    refused = [(str(skip.path), skip.code) for skip in listing.refused]
    # the quickest way from numbers to bytes; version 0 depends on nothing but the values
    return hashlib.blake2b(marshal.dumps((files, refused), 0), digest_size=_DIGEST).digest()


def _program() -> str:
    """What changes whenever the code that makes catalogs does."""
    told = [__version__, str(sys.version_info[:2])]
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent / "volume"):
        with contextlib.suppress(OSError):
            for file in sorted(folder.rglob("*.py")):
                state = file.stat()
                told.append(f"{file.relative_to(here.parent)} {state.st_size} {state.st_mtime_ns}")
    if len(told) == 2:  # packed into one program
        with contextlib.suppress(OSError):
            told.append(str(Path(sys.executable).stat().st_mtime_ns))
    return "\n".join(told)


_PROGRAM = _program()  # at import: the state of the code that runs


def _folder() -> Path | None:
    """Where entries lie, for the user alone; None where there is no place."""
    try:
        folder = places.cache_folder() / "scans"
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.name == "posix" and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except (OSError, MedviewerError):
        return None
    return folder


def _entry(paths: Sequence[Path]) -> Path | None:
    """The file of an entry; None where nothing can be kept."""
    folder = _folder()
    if folder is None:
        return None
    asked = [_PROGRAM, str(Path.cwd()), *(str(path) for path in paths)]
    text = "\0".join(asked).encode("utf-8", "surrogateescape")
    return folder / f"{hashlib.blake2b(text, digest_size=_DIGEST).hexdigest()}.json"


def _read(entry: Path, state: bytes) -> Catalog | None:
    """The catalog of an entry for this state of the files; None where there is none that is whole."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(entry, flags), "rb") as file:  # noqa: PTH123
            about = os.fstat(file.fileno())
            foreign = os.name == "posix" and about.st_uid != os.getuid()
            if foreign or about.st_size > MAX_ENTRY or file.read(len(_MAGIC)) != _MAGIC:
                return None
            if file.read(_DIGEST) != state:
                return None
            sum_, data = file.read(_DIGEST), file.read()
        if hashlib.blake2b(data, digest_size=_DIGEST).digest() != sum_:
            return None
        catalog = from_plain(json.loads(data))
        os.utime(entry)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, CodecFault, RecursionError, MemoryError):
        _log.debug("an entry of the scan cache is of no use", exc_info=True)
        return None
    return catalog


def _may_be_kept(paths: Sequence[Path], listing: Listing, catalog: Catalog, began: float) -> bool:
    """True where every change of the catalog would show in the state of the files."""
    if not catalog.files or any(skip.code == "unreadable" for skip in (*listing.refused, *catalog.skipped)):
        return False
    if any(state is None for _, state in listing.files):
        return False
    named_files = any(not path.is_dir() for path in paths)
    follows = any(o.kind == "DICOMDIR" for o in catalog.objects)
    beside = any(stack.source != "dicom" for stack in catalog.stacks())  # data in a second file
    if named_files and (follows or beside):
        return False
    windows = os.name == "nt"  # its st_ctime is the time of creation
    newest = max((s.st_mtime_ns if windows else s.st_ctime_ns) for _, s in listing.files if s)
    fresh = _FRESH if newest % 1_000_000 else _FRESH_COARSE
    return newest / 1e9 < began - fresh


def _write(entry: Path, state: bytes, catalog: Catalog) -> None:
    """Keep a catalog; a full disk or a read-only home is no reason to say anything."""
    temporary = entry.with_name(f".{entry.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        data = json.dumps(to_plain(catalog), separators=(",", ":")).encode("utf-8", "surrogateescape")
        if len(data) > MAX_ENTRY - 100:
            return
        sum_ = hashlib.blake2b(data, digest_size=_DIGEST).digest()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(temporary, flags, 0o600), "wb") as file:  # noqa: PTH123
            file.write(b"".join((_MAGIC, state, sum_, data)))
        temporary.replace(entry)
        _prune(entry.parent)
    except (OSError, CodecFault, ValueError, TypeError, RecursionError):
        _log.debug("a scan is not kept", exc_info=True)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def forget() -> None:
    """Remove all entries, and with them the names that they hold."""
    folder = _folder()
    if folder is not None:
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                path.unlink()


def _prune(folder: Path) -> None:
    """Remove the entries that were not asked for longest, down to the limits."""
    oldest = time.time() - MAX_AGE
    with os.scandir(folder) as found:
        entries = sorted(((e.stat(follow_symlinks=False), e.path) for e in found), key=lambda e: -e[0].st_mtime_ns)
    total = 0
    for n, (about, path) in enumerate(entries):
        total += about.st_size
        if n >= MAX_ENTRIES or total > MAX_BYTES or about.st_mtime < oldest:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108

"""Where bytes come from: plain files and members of ZIP archives, read in place and never unpacked to disk.

A member is written as a path below its archive: `study.zip/folder/IM0001`; archives may lie in archives.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from medviewer.formats.dicom.text import one_line
from medviewer.formats.zip_rescue import DAMAGE, Rescue, rescue

#: A member may unpack to this.
MAX_MEMBER = 4 << 30
#: A member that unpacks to more than this must not be packed tighter than `MAX_RATIO`.
RATIO_FROM, MAX_RATIO = 64 << 20, 200
#: Archives in archives, and members of one archive.
MAX_ARCHIVE_DEPTH, MAX_MEMBERS = 3, 500_000
#: An archive inside an archive is held in memory up to this size.
MAX_INNER_ARCHIVE = 1 << 30

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_OPEN_ARCHIVES = 8
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class SourceFault(Exception):
    """Bytes that cannot or must not be read, with a skip code and a reason for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = one_line(reason)


class _Member(io.RawIOBase):
    """A member opened for reading; whatever is wrong with it is a SourceFault."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """By unpacking again from the start."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            SourceFault: the member is damaged or cut.
        """
        try:
            return self._file.read(size)
        except EOFError as fault:
            raise SourceFault("truncated", "truncated: the archive's member is cut") from fault
        except DAMAGE as fault:
            raise SourceFault("unreadable", f"the archive's member is damaged ({_why(fault)})") from fault

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of the unpacked member."""
        try:
            return self._file.seek(offset, whence)
        except DAMAGE as fault:
            raise SourceFault("unreadable", f"the archive's member is damaged ({_why(fault)})") from fault

    def tell(self) -> int:
        """The place in the unpacked member."""
        return self._file.tell()

    def close(self) -> None:
        """Let the archive go."""
        if not self.closed:
            self._file.close()
        super().close()


def _why(fault: BaseException) -> str:
    """A few words of a fault that name no file."""
    text = str(fault) if isinstance(fault, (zipfile.BadZipFile, zlib.error, NotImplementedError)) else ""
    return text.partition(" for file ")[0][:80] or type(fault).__name__


class _Archives:
    """Open archives, the least recently used ones are closed. `zipfile` itself is safe for reading in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int, int], tuple[zipfile.ZipFile, Rescue | None]] = OrderedDict()

    def get(self, path: Path) -> tuple[zipfile.ZipFile, Rescue | None]:
        """The opened archive of a path that `is_file` or is a member itself, and how it was rescued if it was cut.

        Raises:
            SourceFault: nothing of it can be read.
        """
        outer = outer_archive(path)
        if outer is None and not path.is_file():
            raise FileNotFoundError(path)
        anchor = path if outer is None else outer[0]
        state = anchor.stat()
        key = (str(path), state.st_mtime_ns, state.st_size)
        with self._lock:
            archive = self._open.get(key)
            if archive is not None:
                self._open.move_to_end(key)
                return archive
        archive = _open_archive(path, None if outer is None else read_all(path, limit=MAX_INNER_ARCHIVE))
        with self._lock:
            self._open[key] = archive
            while len(self._open) > _OPEN_ARCHIVES:
                self._open.popitem(last=False)  # closed when the last reader lets go of it
        return archive


def _open_archive(path: Path, data: bytes | None) -> tuple[zipfile.ZipFile, Rescue | None]:
    """An archive on disk, or of bytes in memory; one that has lost its directory is rescued."""

    def opened() -> BinaryIO:
        return path.open("rb") if data is None else io.BytesIO(data)

    fault: Exception = zipfile.BadZipFile("no member")
    try:
        archive = zipfile.ZipFile(opened())
        if archive.infolist():
            return archive, None
    except DAMAGE as error:
        fault = error
    found = rescue(opened())
    if found is None:
        raise SourceFault("unreadable", f"damaged or empty ZIP archive ({_why(fault)})") from fault
    try:
        return zipfile.ZipFile(found.file), found
    except DAMAGE as error:
        found.file.close()
        raise SourceFault("unreadable", f"damaged ZIP archive ({_why(error)})") from error


_ARCHIVES = _Archives()


def outer_archive(path: Path) -> tuple[Path, str] | None:
    """The file on disk that holds a member, and the rest of the path below it; None for a path on disk."""
    if _exists(path):
        return None
    for parent in path.parents:
        if _exists(parent):
            return (parent, path.relative_to(parent).as_posix()) if parent.is_file() else None
    return None


def _exists(path: Path) -> bool:
    """True for a path on disk; a member may have a name that is too long for one."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _locate(path: Path) -> tuple[zipfile.ZipFile, zipfile.ZipInfo] | None:
    """Archive and entry of a member; None for a path on disk."""
    outer = outer_archive(path)
    if outer is None:
        return None
    file, rest = outer
    archive_path, parts = file, PurePosixPath(rest).parts
    for _ in range(MAX_ARCHIVE_DEPTH + 1):
        archive, _ = _ARCHIVES.get(archive_path)
        for n in range(len(parts), 0, -1):
            name = "/".join(parts[:n])
            try:
                info = archive.getinfo(name)
            except KeyError:
                continue
            if n == len(parts):
                return archive, info
            archive_path, parts = archive_path / name, parts[n:]
            break
        else:
            raise FileNotFoundError(path)
    raise SourceFault("zip-unsafe", f"archives nested more than {MAX_ARCHIVE_DEPTH} deep")


def size_of(path: Path) -> int:
    """Size in bytes; of a member, its unpacked size.

    Raises:
        SourceFault: it is no regular file, or a member that must not be unpacked.
        OSError: it cannot be read.
    """
    located = _locate(path)
    if located is not None:
        return _checked(located[1]).file_size
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise SourceFault("unreadable", "not a regular file")
    return state.st_size


def stamp(path: Path) -> tuple[int, int]:
    """Changes when the file, or the archive that holds it, does: time of change in ns and size."""
    outer = outer_archive(path)
    state = (path if outer is None else outer[0]).stat()
    return state.st_mtime_ns, state.st_size


def open_binary(path: Path) -> BinaryIO:
    """The file or member opened for reading; members that are packed are unpacked in memory when read.

    Raises:
        SourceFault, OSError: as `size_of`.
    """
    located = _locate(path)
    if located is None:
        return path.open("rb")
    archive, info = located
    try:
        return _Member(archive.open(_checked(info)))  # type: ignore[arg-type, return-value]
    except DAMAGE as fault:
        raise SourceFault("unreadable", f"the archive's member is damaged ({_why(fault)})") from fault


def first_bytes(name: str, length: int) -> tuple[bytes, int]:
    """The first bytes of a regular file on disk, and its size.

    Raises:
        OSError: it cannot be read.
    """
    number = os.open(name, _READ)
    try:
        return os.read(number, length), os.fstat(number).st_size
    finally:
        os.close(number)


def read_start(path: Path, length: int) -> bytes:
    """The first bytes."""
    with open_binary(path) as file:
        return file.read(length)


def read_all(path: Path, limit: int = MAX_MEMBER) -> bytes:
    """All bytes, at most `limit`.

    Raises:
        SourceFault: there are more.
    """
    size = size_of(path)
    if size > limit:
        raise SourceFault("too-large", f"{size >> 20} MB, more than is read at once")
    with open_binary(path) as file:
        return file.read(size + 1)[:size]


def _checked(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if info.flag_bits & 1:
        raise SourceFault("encrypted", "the archive's member is encrypted")
    too_tight = info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * max(1, info.compress_size)
    if info.file_size > MAX_MEMBER or too_tight:
        raise SourceFault("zip-unsafe", f"the archive's member unpacks to {info.file_size >> 20} MB: refused")
    return info


def is_archive(start: bytes) -> bool:
    """True where the first bytes are those of a ZIP archive."""
    return start[:4] in _ZIP_MAGIC


def _is_safe(name: str) -> bool:
    """True for a member name that stays inside whatever it is joined to, on any system."""
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ":" in name.split("/", maxsplit=1)[0]:
        return False
    return ".." not in PurePosixPath(name).parts


def members(path: Path) -> tuple[list[Path], list[tuple[Path, SourceFault]]]:
    """Members of an archive as paths below it, and those that must not be read.

    Of an archive that is cut, the whole members before the cut are read; the cut is among what must not be read.

    Raises:
        SourceFault: it is damaged or has too many members.
    """
    archive, rescued = _ARCHIVES.get(path)
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise SourceFault("zip-unsafe", f"{len(infos)} members in one archive")
    good: list[Path] = []
    bad: list[tuple[Path, SourceFault]] = []
    if rescued is not None:
        bad.append(_cut(path, rescued))
    for info in infos:
        if info.filename.endswith("/"):
            continue
        if not _is_safe(info.filename):
            unsafe = SourceFault("zip-unsafe", "the member's name leads out of the archive's folder")
            bad.append((path / PurePosixPath(info.filename).name, unsafe))
            continue
        member = path / info.filename
        try:
            _checked(info)
        except SourceFault as fault:
            bad.append((member, fault))
            continue
        good.append(member)
    if not good and not bad:
        raise SourceFault("empty", "the archive holds folders only")
    return good, bad


def _cut(path: Path, rescued: Rescue) -> tuple[Path, SourceFault]:
    """What is said of an archive without its end."""
    members = "member" if rescued.whole == 1 else "members"
    reason = f"truncated: the archive's directory is missing; its {rescued.whole} whole {members} are read"
    if rescued.share is not None and rescued.cut:
        reason += f", of the next one {100 * rescued.share:.0f} % is there"
    if rescued.cut and _is_safe(rescued.cut):
        return path / rescued.cut, SourceFault("truncated", reason)
    return path, SourceFault("truncated", reason)

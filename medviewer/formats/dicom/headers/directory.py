"""The files that a DICOMDIR names (PS3.10 8, PS3.3 F.3), found below its own folder and nowhere else.

References are searched for, not parsed: offsets and lengths of damaged directories lie. Containment is checked here
twice, by the components of a name and by where the file really lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medviewer.formats.dicom.text import one_line

#: Referenced File ID (0004,1500) with its length: explicit VR as the standard wants it, implicit, and big endian.
_PATTERNS: tuple[tuple[bytes, str], ...] = (
    (rb"\x04\x00\x00\x15CS(..)", "little"),
    (rb"\x04\x00\x00\x15(..\x00\x00)", "little"),
    (rb"\x00\x04\x15\x00CS(..)", "big"),
)
#: Eight components of sixteen characters would be 135; nobody needs more than this.
_LONGEST = 1024


@dataclass(frozen=True, slots=True)
class References:
    """What a DICOMDIR names.

    Attributes:
        inside: names by their components, each once, in the file's order.
        strange: names that lead out of the folder, for people.
    """

    inside: tuple[tuple[str, ...], ...]
    strange: tuple[str, ...]


def references(data: bytes) -> References:
    """The file names in the bytes of a DICOMDIR; components that are no plain names are not followed."""
    inside: dict[tuple[str, ...], None] = {}
    strange: dict[str, None] = {}
    for value in _values(data):
        parts = tuple(part.strip() for part in value.decode("latin-1").strip(" \0").split("\\"))
        if all(_is_plain(part) for part in parts):
            inside[parts] = None
        elif any(parts):
            strange[one_line("\\".join(parts), 100)] = None
    return References(tuple(inside), tuple(strange))


def _values(data: bytes) -> Iterator[bytes]:
    for pattern, order in _PATTERNS:
        found = False
        for match in re.finditer(pattern, data, re.DOTALL):
            length = int.from_bytes(match[1], "little" if order == "little" else "big")
            if length <= _LONGEST:
                found = True
                yield data[match.end() : match.end() + length]
        if found:
            return


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and not set(part) & set("/\\:\0") and len(part) <= 255


class Finder:
    """Finds the named files below a folder, whatever case and version mark a system gave their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = folder.resolve()
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, parts: tuple[str, ...]) -> Path | None:
        """The file, or None where it is not there."""
        path = self._folder
        for part in parts:
            exact = path / part
            try:
                there = exact.exists()
            except OSError:
                return None
            if there:
                path = exact
                continue
            name = self._listed(path).get(_key(part))
            if name is None:
                return None
            path = path / name
        return path if path.is_file() else None

    def is_inside(self, path: Path) -> bool:
        """True where it really lies below the folder, links followed."""
        return path.resolve().is_relative_to(self._real)

    def _listed(self, folder: Path) -> dict[str, str]:
        """Names in a folder by what is the same for all systems (a CD's files are lower case on some)."""
        if folder not in self._names:
            try:
                self._names[folder] = {_key(entry.name): entry.name for entry in folder.iterdir()}
            except OSError:
                self._names[folder] = {}
        return self._names[folder]


def _key(name: str) -> str:
    return name.partition(";")[0].rstrip(".").casefold()

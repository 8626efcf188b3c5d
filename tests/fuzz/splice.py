"""A damaged file as a recipe: a base and byte splices, so that it can be made again whatever becomes of the fuzzer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Splice(NamedTuple):
    """At byte `at`, `remove` bytes are replaced by `insert`. Splices are applied one after the other."""

    at: int
    remove: int
    insert: bytes = b""

    def text(self) -> str:
        """As it is written into a test."""
        return f'({self.at}, {self.remove}, "{self.insert.hex()}")'


def apply(data: bytes, splices: Iterable[Splice]) -> bytes:
    """The bytes after all splices."""
    for at, remove, insert in splices:
        data = data[:at] + insert + data[at + remove :]
    return data


def from_hex(*rows: tuple[int, int, str]) -> list[Splice]:
    """Splices as tests write them: position, bytes removed, hexadecimal bytes put in."""
    return [Splice(at, remove, bytes.fromhex(insert)) for at, remove, insert in rows]

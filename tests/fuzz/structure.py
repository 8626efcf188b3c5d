"""Where the elements, items and fragments of a DICOM file lie: a walker of its own that trusts nothing."""

from __future__ import annotations

import struct
from typing import NamedTuple

_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"})
_UNDEFINED = 0xFFFFFFFF
_ITEMS = (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD)


class Element(NamedTuple):
    """One element, item or delimiter: its place, tag, VR (b"" for implicit), place of the value and its length."""

    at: int
    tag: int
    vr: bytes
    value: int
    length: int
    order: str = "<"

    @property
    def end(self) -> int:
        """Behind the value; behind the head where the length is undefined."""
        return self.value + (0 if self.length == _UNDEFINED else self.length)


def elements(data: bytes, limit: int = 3000) -> list[Element]:
    """Elements as far as they can be followed, those of sequences after the sequence itself."""
    found: list[Element] = []
    pos = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    in_meta = True
    order, explicit = "<", True
    while pos + 8 <= len(data) and len(found) < limit:
        if in_meta and data[pos : pos + 2] != b"\x02\x00":
            in_meta = False
            order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
            explicit = data[pos + 4 : pos + 6].isalpha() and data[pos + 4 : pos + 6].isupper()
            if syntax.endswith(".1.99"):
                break
        group, number, length = struct.unpack_from(order + "HHI", data, pos)
        tag = group << 16 | number
        vr, value = b"", pos + 8
        if tag not in _ITEMS and (explicit or in_meta):
            vr = data[pos + 4 : pos + 6]
            if vr in _LONG:
                if pos + 12 > len(data):
                    break
                length, value = struct.unpack_from(order + "I", data, pos + 8)[0], pos + 12
            else:
                length = struct.unpack_from(order + "H", data, pos + 6)[0]
        element = Element(pos, tag, vr, value, length, order)
        found.append(element)
        if tag == 0x00020010:
            syntax = data[value : value + length].decode("latin-1").strip(" \0")
        steps_in = length == _UNDEFINED or vr == b"SQ" or (tag == 0xFFFEE000 and not _in_pixels(found))
        pos = value if steps_in else value + length
        if length != _UNDEFINED and value + length > len(data):
            break
    return found


def _in_pixels(found: list[Element]) -> bool:
    """True for an item that is a fragment of compressed pixels."""
    for element in reversed(found):
        if element.tag not in _ITEMS:
            return element.tag == 0x7FE00010
    return False


def fragments(found: list[Element]) -> list[Element]:
    """The items of compressed pixels, the offset table first."""
    for n, element in enumerate(found):
        if element.tag == 0x7FE00010 and element.length == _UNDEFINED:
            return [item for item in found[n + 1 :] if item.tag == 0xFFFEE000]
    return []

"""The elements of a DICOM data set, read without decoding pixels and without trusting a length.

A reader of its own and not pydicom's, for two reasons: a folder of thousands of files is listed in a
fraction of the time, and every length, depth and count is checked against the file before anything is
allocated (PS3.5 sections 6 and 7 are the grammar). Pixel decoding is left to pydicom and the codecs.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from medviewer.formats.dicom.text import one_line

#: Nested sequences deeper than this are refused.
MAX_DEPTH = 64
#: Elements of one file, nested ones included.
MAX_ELEMENTS = 4_000_000
#: A deflated data set may grow to this and no further.
MAX_INFLATED = 512 << 20
#: Up to so many bytes it may be packed as tight as it likes, beyond by this ratio.
_FREE_INFLATED, MAX_RATIO = 64 << 20, 200

PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00010, 0x7FE00008, 0x7FE00009
_PIXELS = frozenset({PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS})
#: VRs whose length has four bytes in explicit VR.
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OW", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"})
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
DEFLATED_LE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE = "1.2.840.10008.1.2.2"


class HeaderFault(Exception):
    """A header that cannot be read, with a skip code of the command line's contract and a reason for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = one_line(reason)


class NeedMore(Exception):
    """The buffer ends before the header does; `wanted` bytes from the file's start would be a good next try."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


def tag_text(tag: int) -> str:
    """(gggg,eeee)."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


@dataclass(slots=True)
class Elements:
    """Elements of a data set or of a sequence item: raw bytes with their VR, items of sequences as Elements.

    The accessors never raise: what cannot be understood is None (one value) or an empty tuple.
    """

    raw: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    sequences: dict[int, list[Elements]] = field(default_factory=dict)
    big_endian: bool = False

    def __contains__(self, tag: int) -> bool:
        return tag in self.raw or tag in self.sequences

    def vr(self, tag: int) -> str:
        """The VR in the file (or of the dictionary, for implicit VR); "" where the element is absent."""
        found = self.raw.get(tag)
        return "" if found is None else found[0].decode("ascii", "replace")

    def bytes(self, tag: int) -> bytes:
        """The raw value; empty where absent."""
        found = self.raw.get(tag)
        return b"" if found is None else found[1]

    def items(self, tag: int) -> list[Elements]:
        """Items of a sequence; empty where absent."""
        return self.sequences.get(tag, [])

    def item(self, tag: int) -> Elements:
        """The first item of a sequence, an empty one where absent."""
        items = self.sequences.get(tag)
        return items[0] if items else Elements(big_endian=self.big_endian)

    def text(self, tag: int) -> str:
        """A value of the default repertoire (UID, CS, DA, ...), stripped; several values joined by a backslash."""
        found = self.raw.get(tag)
        return "" if found is None else found[1].decode("latin-1").strip(" \0\t\r\n")

    def texts(self, tag: int) -> tuple[str, ...]:
        """The values of a multi-valued text of the default repertoire."""
        text = self.text(tag)
        return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()

    def numbers(self, tag: int) -> tuple[float | None, ...]:
        """Numbers of any numeric VR; what is no finite number is None in its place."""
        found = self.raw.get(tag)
        if found is None:
            return ()
        vr, value = found
        kind = _BINARY.get(vr)
        if kind is not None:
            code, size = kind
            count = len(value) // size
            numbers = struct.unpack_from(f"{'>' if self.big_endian else '<'}{count}{code}", value)
            return tuple(float(n) if math.isfinite(n) else None for n in numbers)
        return _short_numbers(value) if len(value) <= _SHORT else _numbers(value)

    def number(self, tag: int) -> float | None:
        """The first number, None where absent or not finite."""
        numbers = self.numbers(tag)
        return numbers[0] if numbers else None

    def integer(self, tag: int) -> int | None:
        """The first number where it is whole, else None."""
        number = self.number(tag)
        return int(number) if number is not None and number == int(number) else None

    def vector(self, tag: int, length: int) -> tuple[float, ...] | None:
        """Exactly `length` finite numbers, else None."""
        numbers = self.numbers(tag)
        if len(numbers) != length or any(n is None for n in numbers):
            return None
        return tuple(n for n in numbers if n is not None)


_BINARY: dict[bytes, tuple[str, int]] = {
    b"US": ("H", 2), b"SS": ("h", 2), b"UL": ("I", 4), b"SL": ("i", 4), b"FL": ("f", 4), b"FD": ("d", 8),
    b"UV": ("Q", 8), b"SV": ("q", 8), b"AT": ("H", 2), b"OW": ("H", 2),
}  # fmt: skip


#: Values up to this length are remembered with their numbers: the files of a series repeat them.
_SHORT = 64


def _numbers(value: bytes) -> tuple[float | None, ...]:
    """The numbers of a decimal or integer string."""
    text = value.decode("latin-1").strip(" \0")
    return tuple(_to_number(part) for part in text.split("\\")) if text else ()


_short_numbers = lru_cache(maxsize=4096)(_numbers)


def _to_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


#: One element at the top level of a file: tag, where it begins, where its value begins, where it ends.
Span = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """The elements before the pixels and where the pixels lie.

    Attributes:
        meta: group 0002.
        data: everything else at the top level.
        transfer_syntax: UID; guessed where the file has no meta group.
        pixel_tag: which of the three pixel elements was found, 0 for none.
        pixel_offset: byte offset of its value in the file (in the inflated data set where `deflated`), -1 for none.
        pixel_length: of the value in bytes; -1 for encapsulated pixels (undefined length).
        explicit: True for explicit VR.
        deflated: True where the data set was deflated: offsets are of no use then.
        pixel_vr: VR of the pixel element, "OW" for implicit VR.
    """

    meta: Elements
    data: Elements
    transfer_syntax: str
    pixel_tag: int
    pixel_offset: int
    pixel_length: int
    explicit: bool
    deflated: bool = False
    pixel_vr: str = "OW"


class _Parser:
    """Walks one buffer. `size` is the file's size: what reaches beyond it is a fault, beyond the buffer NeedMore."""

    def __init__(self, buffer: bytes, size: int, vr_of: Mapping[int, bytes], spans: list[Span] | None = None) -> None:
        self.buffer = buffer
        self.size = size
        self.vr_of = vr_of
        self.spans = spans
        self.count = 0
        self.pixel_vr = "OW"

    def need(self, end: int, tag: int) -> None:
        if end > self.size:
            raise HeaderFault("truncated", f"truncated: {tag_text(tag)} reaches beyond the end of the file")
        if end > len(self.buffer):
            raise NeedMore(end + 16384)

    def data_set(
        self, pos: int, end: int | None, *, explicit: bool, big: bool, depth: int, wanted: bool, top: bool
    ) -> tuple[Elements, int, int, int]:
        """Elements from `pos` to `end` (None: to an item delimiter), position after, pixel tag and pixel length."""
        if depth > MAX_DEPTH:
            raise HeaderFault("too-large", f"sequences are nested more than {MAX_DEPTH} deep")
        found = Elements(big_endian=big)
        order = ">" if big else "<"
        head8 = struct.Struct(order + "HHI")
        short = struct.Struct(order + "H")
        long = struct.Struct(order + "I")
        buffer, size, vr_of = self.buffer, self.size, self.vr_of
        spans = self.spans if top else None
        available = len(buffer)
        limit = size if end is None else end
        while pos < limit:
            if pos + 8 > available:
                if pos + 8 > size:
                    if top and (size - pos < 8) and not buffer[pos:size].strip(b"\0"):
                        break  # padding at the end
                    raise HeaderFault("truncated", "truncated: the file ends inside an element")
                raise NeedMore(pos + 16384)
            self.count += 1
            if self.count > MAX_ELEMENTS:
                raise HeaderFault("too-large", f"more than {MAX_ELEMENTS} elements")
            group, element, length = head8.unpack_from(buffer, pos)
            tag = group << 16 | element
            if group == 0xFFFE:
                if tag == _ITEM_END and end is None:
                    return found, pos + 8, 0, 0
                if tag in (_SEQUENCE_END, _ITEM_END):  # a stray delimiter; pydicom steps over it as well
                    pos += 8
                    continue
                if tag == _ITEM and length != UNDEFINED:  # an orphan; its elements are nobody's
                    self.need(pos + 8 + length, tag)
                    pos += 8 + length
                    continue
                raise HeaderFault("bad-header", f"an item stands outside a sequence at byte {pos}")
            vr = buffer[pos + 4 : pos + 6]
            if explicit and vr.isalpha() and vr.isupper():
                if vr in LONG_VRS:
                    self.need(pos + 12, tag)
                    length = long.unpack_from(buffer, pos + 8)[0]
                    start = pos + 12
                else:
                    length = short.unpack_from(buffer, pos + 6)[0]
                    start = pos + 8
            else:
                start = pos + 8
                vr = vr_of.get(tag, b"UN")
            plain_un = explicit and vr == b"UN"
            if plain_un:  # written by somebody who did not know the element
                vr = vr_of.get(tag, vr)
            if top and tag in _PIXELS:
                self.pixel_vr = vr.decode("ascii") if explicit else "OW"
                return found, start, tag, -1 if length == UNDEFINED else length
            if length == UNDEFINED or vr == b"SQ":
                inner_explicit = explicit and not plain_un  # PS3.5 6.2.2 note 5: UN is implicit inside
                began = pos
                pos, items = self.sequence(
                    start, None if length == UNDEFINED else start + length,
                    explicit=inner_explicit, big=big, depth=depth, wanted=wanted and tag in vr_of, tag=tag,
                )  # fmt: skip
                if items is not None:
                    found.sequences[tag] = items
                if spans is not None:
                    spans.append((tag, began, start, pos))
                continue
            after = start + length
            if after > limit or after > available:
                if after > limit and end is not None and after <= size:
                    raise HeaderFault("bad-header", f"malformed at {tag_text(tag)}: longer than its item")
                self.need(after, tag)
            if wanted and tag in vr_of:
                found.raw[tag] = (vr, buffer[start:after])
            if spans is not None:
                spans.append((tag, pos, start, after))
            pos = after
        return found, pos, 0, 0

    def sequence(
        self, pos: int, end: int | None, *, explicit: bool, big: bool, depth: int, wanted: bool, tag: int
    ) -> tuple[int, list[Elements] | None]:
        """Items from `pos` to `end` (None: to the delimiter); only skipped where not wanted."""
        if end is not None and not wanted:
            self.need(end, tag)
            return end, None
        items: list[Elements] = []
        if end is not None:
            self.need(end, tag)  # at once: what is read piece by piece is parsed again for each piece
        head = struct.Struct((">" if big else "<") + "HHI")
        while end is None or pos < end:
            self.need(pos + 8, tag)
            group, element, length = head.unpack_from(self.buffer, pos)
            which = group << 16 | element
            if which == _SEQUENCE_END:
                pos += 8
                if end is None:
                    return pos, items if wanted else None
                continue
            if which != _ITEM:
                raise HeaderFault("bad-header", f"malformed at {tag_text(tag)}: no item where one must be")
            self.count += 1
            if self.count > MAX_ELEMENTS:
                raise HeaderFault("too-large", f"more than {MAX_ELEMENTS} elements")
            if not length:
                pos += 8
                if wanted:
                    items.append(Elements(big_endian=big))
                continue
            stop = None if length == UNDEFINED else pos + 8 + length
            if stop is not None:
                self.need(stop, tag)
                if not wanted:
                    pos = stop
                    continue
            inner, pos, _, _ = self.data_set(
                pos + 8, stop, explicit=explicit, big=big, depth=depth + 1, wanted=wanted, top=False
            )
            if wanted:
                items.append(inner)
        return pos, items if wanted else None


def looks_like_dicom(start: bytes) -> bool:
    """True for the magic word after a preamble, or for a first element that can only be DICOM's."""
    if start[128:132] == b"DICM":
        return True
    if len(start) < 8:
        return False
    group, element = struct.unpack_from("<HH", start)
    swapped = struct.unpack_from(">HH", start)
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    if group in (2, 8) and element <= 0x0070:
        return explicit or struct.unpack_from("<I", start, 4)[0] < 1024
    return swapped[0] in (2, 8) and swapped[1] <= 0x0070 and explicit


def parse_header(buffer: bytes, size: int, vr_of: Mapping[int, bytes], spans: list[Span] | None = None) -> Header:
    """Read meta and data set up to the pixels from the first bytes of a file.

    Args:
        buffer: the first bytes of the file, or all of it.
        size: size of the file in bytes.
        vr_of: the elements to keep with their VR (for implicit VR); every other one is stepped over.
        spans: gets where the elements of the top level lie, meta group included (not for deflated files).

    Raises:
        NeedMore: the buffer is too short.
        HeaderFault: the header is damaged; `code` says how.
    """
    parser = _Parser(buffer, size, vr_of, spans)
    pos = 132 if buffer[128:132] == b"DICM" else 0
    meta = Elements()
    first_big = False
    if pos == 0 and len(buffer) >= 8:
        first_big = buffer[0] == 0 and buffer[1] in (2, 8)
    elif len(buffer) < pos + 8:
        raise HeaderFault("truncated", "truncated: nothing follows the preamble")
    while pos + 8 <= len(buffer):
        group = struct.unpack_from("<H", buffer, pos)[0]
        if group != 2:
            break
        element = struct.unpack_from("<H", buffer, pos + 2)[0]
        tag = group << 16 | element
        vr = buffer[pos + 4 : pos + 6]
        if vr.isalpha() and vr.isupper():
            if vr in LONG_VRS:
                parser.need(pos + 12, tag)
                length, start = struct.unpack_from("<I", buffer, pos + 8)[0], pos + 12
            else:
                length, start = struct.unpack_from("<H", buffer, pos + 6)[0], pos + 8
        else:
            length, start, vr = struct.unpack_from("<I", buffer, pos + 4)[0], pos + 8, b"UN"
        if length > size - start:
            raise HeaderFault("truncated", f"truncated: {tag_text(tag)} reaches beyond the end of the file")
        parser.need(start + length, tag)
        meta.raw[tag] = (vr, buffer[start : start + length])
        if spans is not None:
            spans.append((tag, pos, start, start + length))
        pos = start + length
    if pos >= size:
        raise HeaderFault("truncated", "truncated: only the file meta information is there")
    if pos + 8 > len(buffer):
        parser.need(pos + 8, 0x00080000)
    syntax = meta.text(0x00020010)
    if syntax == DEFLATED_LE:
        return _parse_deflated(parser, pos, meta, vr_of)
    big = syntax == EXPLICIT_BE or (not syntax and first_big)
    vr = buffer[pos + 4 : pos + 6]
    explicit = vr.isalpha() and vr.isupper()
    if not syntax:
        syntax = EXPLICIT_BE if big else EXPLICIT_LE if explicit else IMPLICIT_LE
    data, pos, pixel_tag, pixel_length = parser.data_set(
        pos, size, explicit=explicit, big=big, depth=0, wanted=True, top=True
    )
    offset = pos if pixel_tag else -1
    length = pixel_length if pixel_tag else 0
    return Header(meta, data, syntax, pixel_tag, offset, length, explicit, pixel_vr=parser.pixel_vr)


def inflate(data: bytes) -> bytes:
    """A deflated data set (PS3.5 A.5), at most `MAX_INFLATED` bytes of it, and little from few.

    Raises:
        HeaderFault: it grows beyond the limit, or is no deflate stream.
    """
    limit = min(MAX_INFLATED, max(_FREE_INFLATED, MAX_RATIO * len(data)))
    try:
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        out = engine.decompress(data, limit)
    except zlib.error as fault:
        raise HeaderFault("bad-pixels", f"the deflated data set is damaged ({fault})") from fault
    if engine.unconsumed_tail:
        raise HeaderFault("too-large", f"the deflated data set grows beyond {limit >> 20} MB")
    return out


def _parse_deflated(parser: _Parser, pos: int, meta: Elements, vr_of: Mapping[int, bytes]) -> Header:
    if len(parser.buffer) < parser.size:
        raise NeedMore(parser.size)
    data = inflate(parser.buffer[pos:])
    inner = _Parser(data, len(data), vr_of)
    found, end, pixel_tag, length = inner.data_set(
        0, len(data), explicit=True, big=False, depth=0, wanted=True, top=True
    )
    offset = end if pixel_tag else -1
    return Header(meta, found, DEFLATED_LE, pixel_tag, offset, length if pixel_tag else 0, True, deflated=True)

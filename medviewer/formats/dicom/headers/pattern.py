"""Headers that are alike byte for byte, but for the values of some elements.

The files of a series repeat nearly everything. A pattern is made from one header that has been read with care, and
from the elements in which others of its kind differed. A file that fits it is compared with it in long runs of bytes
instead of being parsed: the runs hold all tags, VRs and lengths but those of the differing elements, so a header that
fits is one that the parser would have walked in the same steps (see `elements._Parser.data_set`).
"""

from __future__ import annotations

from collections.abc import Sequence

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import (
    DEFLATED_LE,
    EXPLICIT_BE,
    LONG_VRS,
    UNDEFINED,
    Elements,
    Header,
    Span,
)
from medviewer.formats.dicom.headers.memory import Memory

_MAGIC_AT = 128
#: Transfer Syntax UID (0002,0010): files that differ in it are not alike.
_SYNTAX = 0x00020010
#: In implicit VR the first element must not vary: character set, image type or a group length (0008,0000).
_FIRST_GROUPS = 0x00080010
#: More differing elements than this are no likeness.
_MOST_VARYING = 64

#: A run of equal bytes, its length, and the differing element after it: whether its length has four bytes, its tag and
#: VR where it is wanted (else 0), and whether it belongs to the meta group.
_Step = tuple[bytes, int, bool, int, bytes, bool]


class Pattern:
    """A header, and which of its elements may differ.

    Attributes:
        width: how many elements may differ.
        of_one_series: True where the Series Instance UID is none of them.
        memory: facts of the headers that fit, of one thread.
        reach: where the pixels of the last fitting file began: so much of the next one is worth reading.
    """

    __slots__ = (
        "_buffer",
        "_end",
        "_header",
        "_last",
        "_spans",
        "_steps",
        "_varying",
        "memory",
        "of_one_series",
        "reach",
        "width",
    )

    def __init__(self, buffer: bytes, spans: Sequence[Span], header: Header, varying: frozenset[int]) -> None:
        """Use `make`."""
        self._buffer, self._spans, self._header, self._varying = buffer, spans, header, varying
        self._end = self.reach = header.pixel_offset
        self.width = len(varying)
        self.of_one_series = T.SERIES_UID not in {spans[n][0] for n in varying}
        self._steps: list[_Step] = []
        at = _MAGIC_AT
        for n in sorted(varying):
            tag, _, value, end = spans[n]
            wide = _has_wide_length(buffer, spans[n], header)
            run = buffer[at : value - (4 if wide else 2)]
            meta = tag >> 16 == 2
            vr = (header.meta if meta else header.data).raw.get(tag, (b"",))[0]
            self._steps.append((run, len(run), wide, tag if vr else 0, vr, meta))
            at = end
        self._last = buffer[at : self._end]
        self.memory = Memory(spans[n][0] for n in varying)

    def match(self, buffer: bytes) -> Header | None:
        """The header of a file that fits, None for one that does not, or whose first bytes end before the pixels."""
        raw = meta = None
        at = _MAGIC_AT
        try:
            for run, size, wide, tag, vr, of_meta in self._steps:
                if not buffer.startswith(run, at):
                    return None
                at += size
                if wide:
                    length = int.from_bytes(buffer[at : at + 4], "little")
                    if length == UNDEFINED:
                        return None
                    at += 4
                else:
                    length = buffer[at] | buffer[at + 1] << 8
                    at += 2
                end = at + length
                if tag:
                    if of_meta:
                        if meta is None:
                            meta = self._header.meta.raw.copy()
                        meta[tag] = (vr, buffer[at:end])
                    else:
                        if raw is None:
                            raw = self._header.data.raw.copy()
                        raw[tag] = (vr, buffer[at:end])
                at = end
        except IndexError:
            return None
        if not buffer.startswith(self._last, at):
            return None
        old = self._header
        self.reach = at + len(self._last)
        return Header(
            old.meta if meta is None else Elements(meta),
            old.data if raw is None else Elements(raw, old.data.sequences),
            old.transfer_syntax,
            old.pixel_tag,
            self.reach,
            old.pixel_length,
            old.explicit,
            False,
            old.pixel_vr,
        )

    def widened(self, buffer: bytes, spans: Sequence[Span], header: Header) -> Pattern | None:
        """A pattern that another header of the same elements fits as well; None where that cannot be.

        Args:
            buffer, spans, header: as for `make`.
        """
        if len(spans) != len(self._spans) or header.explicit != self._header.explicit:
            return None
        mine = self._buffer
        varying = set(self._varying)
        for n, (here, there) in enumerate(zip(self._spans, spans, strict=True)):
            if here[0] != there[0]:
                return None
            if mine[here[1] : here[3]] == buffer[there[1] : there[3]]:
                continue
            if not _may_vary(buffer, there, header) or not _may_vary(mine, here, self._header):
                return None
            wide = _has_wide_length(buffer, there, header)
            length = 4 if wide else 2
            if mine[here[1] : here[2] - length] != buffer[there[1] : there[2] - length]:
                return None
            varying.add(n)
        tail, other_tail = mine[self._spans[-1][3] : self._end], buffer[spans[-1][3] : header.pixel_offset]
        if tail != other_tail or len(varying) > _MOST_VARYING:
            return None
        return Pattern(buffer[: header.pixel_offset], tuple(spans), header, frozenset(varying))


def make(buffer: bytes, spans: Sequence[Span], header: Header) -> Pattern | None:
    """The pattern that exactly this header fits; None for a header of an unusual kind.

    Args:
        buffer: the file's first bytes, up to the pixels at least.
        spans: the elements of the top level as `parse_header` gives them.
        header: as `parse_header` gives it.
    """
    if header.pixel_tag == 0 or header.deflated or header.transfer_syntax in (DEFLATED_LE, EXPLICIT_BE):
        return None
    if buffer[_MAGIC_AT : _MAGIC_AT + 4] != b"DICM" or header.pixel_offset > len(buffer) or not spans:
        return None
    at, in_meta = _MAGIC_AT + 4, True
    for tag, begin, _, end in spans:
        if begin != at or (tag >> 16 == 2 and not in_meta):  # a stray delimiter, or a meta group that comes too late
            return None
        at, in_meta = end, tag >> 16 == 2
    if len({span[0] for span in spans}) != len(spans) or header.pixel_offset - at not in (8, 12):
        return None
    return Pattern(buffer[: header.pixel_offset], tuple(spans), header, frozenset())


def _has_wide_length(buffer: bytes, span: Span, header: Header) -> bool:
    """True where the length, which stands right before the value, has four bytes (PS3.5 7.1)."""
    tag, begin, _, _ = span
    return not (header.explicit or tag >> 16 == 2) or buffer[begin + 4 : begin + 6] in LONG_VRS


def _may_vary(buffer: bytes, span: Span, header: Header) -> bool:
    """True for an element whose value the parser steps over whatever it is, and whose length is only a length."""
    tag, begin, value, _ = span
    if tag == _SYNTAX:
        return False
    if header.explicit or tag >> 16 == 2:
        vr = buffer[begin + 4 : begin + 6]
        if not (vr.isalpha() and vr.isupper()):  # no VR: another length might look like one
            return False
        if vr == b"UN":
            vr = T.WANTED.get(tag, vr)
    else:
        if tag < _FIRST_GROUPS:  # its length tells implicit from explicit VR
            return False
        vr = T.WANTED.get(tag, b"UN")
    wide = _has_wide_length(buffer, span, header)
    return vr != b"SQ" and not (wide and buffer[value - 4 : value] == b"\xff\xff\xff\xff")

"""Text of DICOM elements: character sets with and without code extensions (PS3.3 C.12.1.1.2, PS3.5 6.1).

Text is data: it is never dropped and never interpreted. What cannot be decoded as declared is guessed (UTF-8,
then GB18030, as Chinese devices often write it under a Latin label), and `decode` says that it guessed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

#: Categories of characters that no line of text for people holds: controls, marks of direction, halves of pairs, lines.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Marks of the category Cf that belong to the writing of Persian and Indic languages.
_JOINERS = "\u200c\u200d"
#: Longer texts are cut.
MAX_LINE = 1024

_CODECS: dict[str, str] = {
    "": "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin_1", "ISO_IR 101": "iso8859_2", "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4", "ISO_IR 144": "iso8859_5", "ISO_IR 127": "iso8859_6", "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8", "ISO_IR 148": "iso8859_9", "ISO_IR 203": "iso8859_15", "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859_11", "ISO_IR 192": "utf_8", "GB18030": "gb18030", "GBK": "gb18030", "ISO_IR 58": "gb18030",
    "ISO_IR 149": "euc_kr", "ISO_IR 87": "iso2022_jp", "ISO_IR 159": "iso2022_jp_2",
}  # fmt: skip

#: Escape sequences (without ESC) and the codec of what follows; the last field: two bytes in G0, so that
#: "^", "=" and "\" may be halves of characters there.
_ESCAPES: tuple[tuple[bytes, str, bool], ...] = (
    (b"(B", "ascii", False), (b"-A", "latin_1", False), (b"-B", "iso8859_2", False), (b"-C", "iso8859_3", False),
    (b"-D", "iso8859_4", False), (b"-F", "iso8859_7", False), (b"-G", "iso8859_6", False),
    (b"-H", "iso8859_8", False), (b"-L", "iso8859_5", False), (b"-M", "iso8859_9", False),
    (b"-T", "iso8859_11", False), (b"-b", "iso8859_15", False), (b")I", "shift_jis", False),
    (b"(J", "shift_jis", False), (b"$)C", "euc_kr", False), (b"$)A", "gb2312", False),
    (b"$B", "iso2022_jp", True), (b"$@", "iso2022_jp", True), (b"$(D", "iso2022_jp_2", True),
)  # fmt: skip


#: Ideographs and the punctuation that stands between them.
_CHINESE = (("\u2e80", "\u9fff"), ("\uff00", "\uffef"), ("\u2010", "\u2027"), ("\u00b7", "\u00b7"))


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """One line of plain text: controls and marks of direction (which can turn what follows) become spaces; cut."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c) in _UNSAFE and c not in _JOINERS else c for c in text)
    return " ".join(text.split())


def codec_of(defined_term: str) -> str | None:
    """Python's codec of a defined term of Specific Character Set (0008,0005); None where unknown."""
    term = defined_term.strip().upper().replace("ISO 2022 IR", "ISO_IR").replace("ISO-IR", "ISO_IR")
    term = term.replace("ISO IR", "ISO_IR")
    if term.startswith("ISO_IR") and not term.startswith("ISO_IR "):
        term = f"ISO_IR {term[6:].lstrip('_ ')}"
    return _CODECS.get(term)


def decode(value: bytes, charsets: Sequence[str], *, is_name: bool = False) -> tuple[str, bool]:
    """Text of a value, and whether the character set was guessed.

    Args:
        value: raw bytes.
        charsets: the values of (0008,0005).
        is_name: True for person names, where "^" and "=" end a code extension too.
    """
    value = value.strip(b" \0")
    first = codec_of(charsets[0]) if charsets else "ascii"
    if b"\x1b" in value:
        return _decode_extended(value, first or "ascii", is_name), False
    if value.isascii():
        return value.decode("ascii"), False
    if first in (None, "ascii"):
        return _guess(value), True
    if first == "latin_1" and _is_chinese(value):
        return value.decode("gb18030"), True
    try:
        return value.decode(first or "latin_1").rstrip(), False
    except UnicodeDecodeError:
        pass
    try:
        return value.decode("shift_jisx0213" if first == "shift_jis" else "utf_8"), True
    except UnicodeDecodeError:
        return value.decode(first or "latin_1", "replace"), True


def _decode_extended(value: bytes, first: str, is_name: bool) -> str:
    before, *fragments = value.split(b"\x1b")
    text = before.decode(first if first != "ascii" else "latin_1", "replace")
    ends = b"\\\r\n\f\t^=" if is_name else b"\\\r\n\f\t"
    for fragment in fragments:
        for escape, codec, two_byte in _ESCAPES:
            if not fragment.startswith(escape):
                continue
            body = fragment[len(escape) :]
            if two_byte:
                text += (b"\x1b" + fragment).decode(codec, "replace")
                break
            end = min((at for at in (body.find(bytes([mark])) for mark in ends) if at >= 0), default=len(body))
            text += body[:end].decode(codec, "replace")
            text += body[end:].decode(first if first != "ascii" else codec, "replace")
            break
        else:
            text += fragment.decode(first, "replace")
    return text.rstrip()


def _is_chinese(value: bytes) -> bool:
    """True where the bytes read as Chinese rather than as Latin.

    Read as GB18030, an accented letter swallows the plain one behind it ("Müller" becomes "M黮ler"): an ideograph whose
    second byte is a plain letter beside letters, or that follows a small letter, speaks for Latin. Most ideographs of
    a text are common ones (GB 2312).
    """
    try:
        text = f" {value.decode('gb18030')} "
    except UnicodeDecodeError:
        return False
    ideographs = common = 0
    for before, here, after in zip(text, text[1:], text[2:], strict=False):
        if here.isascii():
            continue
        if not any(low <= here <= high for low, high in _CHINESE):
            return False
        raw = here.encode("gb18030")
        swallowed = len(raw) == 2 and raw[1] < 0x80 and (_is_letter(before) or _is_letter(after))
        if swallowed or (_is_letter(before) and before.islower()):
            return False
        ideographs += 1
        common += len(here.encode("gb2312", "ignore")) == 2
    return 2 * common > ideographs


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _guess(value: bytes) -> str:
    """Text of bytes whose character set nobody named: UTF-8 if it is that, Chinese if it reads so, else Latin."""
    try:
        return value.decode("utf_8")
    except UnicodeDecodeError:
        return value.decode("gb18030" if _is_chinese(value) else "latin_1")

"""Files that are documents and not pictures: their elements, read whole, and their text as people may see it.

What a document says is data: it is decoded by its own character set (also one that an item declares for itself),
freed of control characters, and cut at a bound. Nobody downstream ever has to trust it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medviewer.errors import BadInput
from medviewer.formats import source
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.codes import Code
from medviewer.formats.dicom.elements import Elements, Header, HeaderFault, NeedMore, parse_header
from medviewer.formats.dicom.text import decode, one_line
from medviewer.formats.source import SourceFault

#: A document of more bytes is refused.
MAX_DOCUMENT = 512 << 20

#: Longest text of one element that is kept, in characters.
MAX_TEXT = 2_000_000

REFERENCED_CLASS = 0x00081150
REFERENCED_INSTANCE = 0x00081155
REFERENCED_FRAMES = 0x00081160
REFERENCED_IMAGES = 0x00081140
REFERENCED_OBJECTS = 0x00081199
REFERENCED_SEGMENTS = 0x0062000B
CODE_VALUE = 0x00080100
CODE_SCHEME = 0x00080102
LONG_CODE_VALUE = 0x00080119
URN_CODE_VALUE = 0x00080120
CONTENT_DATE = 0x00080023

#: Elements that every kind of document uses.
COMMON: dict[int, bytes] = {
    T.CHARSET: b"CS", T.SOP_CLASS: b"UI", T.SOP_INSTANCE: b"UI", T.STUDY_DATE: b"DA", T.STUDY_TIME: b"TM",
    CONTENT_DATE: b"DA", T.CONTENT_TIME: b"TM", T.MODALITY: b"CS", T.MANUFACTURER: b"LO",
    T.STUDY_DESCRIPTION: b"LO", T.SERIES_DESCRIPTION: b"LO", T.PATIENT_NAME: b"PN", T.PATIENT_ID: b"LO",
    T.STUDY_UID: b"UI", T.SERIES_UID: b"UI", T.REFERENCED_SERIES: b"SQ", REFERENCED_CLASS: b"UI",
    REFERENCED_INSTANCE: b"UI", REFERENCED_FRAMES: b"IS", REFERENCED_IMAGES: b"SQ", REFERENCED_OBJECTS: b"SQ",
    REFERENCED_SEGMENTS: b"US", CODE_VALUE: b"SH", CODE_SCHEME: b"SH", T.CODE_MEANING: b"LO",
    LONG_CODE_VALUE: b"UC", URN_CODE_VALUE: b"UR", T.CONCEPT_NAME: b"SQ",
}  # fmt: skip

#: Explicit directional controls: they can make text read as what it is not, and no name needs them.
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_JOINERS = frozenset("\u200c\u200d")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image or another object that a document points at.

    Attributes:
        sop_class, sop_instance_uid: of the object.
        frames: frame numbers as in the file, from 1; empty for all.
        segments: segment numbers where it is a segmentation; empty for all.
        series_uid: where the document says it, else "".
    """

    sop_class: str
    sop_instance_uid: str
    frames: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    series_uid: str = ""


def read_document(path: Path, vr_of: Mapping[int, bytes]) -> Header:
    """The elements of a document.

    Args:
        path: the file, or the member of an archive.
        vr_of: the elements to keep beside `COMMON`, with their VR.

    Raises:
        BadInput: it cannot be read, is damaged or too large; the sentence says how.
    """
    try:
        size = source.size_of(path)
        if size > MAX_DOCUMENT:
            raise BadInput(f"the document has {size >> 20} MB, more than {MAX_DOCUMENT >> 20}", path=path)
        data = source.read_all(path)
        return parse_header(data, len(data), {**COMMON, **vr_of})
    except (HeaderFault, SourceFault) as fault:
        raise BadInput(f"the document cannot be read: {fault.reason}", path=path) from fault
    except NeedMore as more:
        raise BadInput("the document cannot be read: it is cut short", path=path) from more
    except OSError as error:
        raise BadInput(f"the document cannot be read ({error.strerror or type(error).__name__})", path=path) from error


def charsets_of(item: Elements, inherited: tuple[str, ...]) -> tuple[str, ...]:
    """The character sets of an item: its own (PS3.3 C.12.1.1.2 allows that), else those around it."""
    return item.texts(T.CHARSET) if T.CHARSET in item else inherited


def words(data: Elements, tag: int, charsets: tuple[str, ...]) -> str:
    """One line of plain text; control characters become spaces."""
    return one_line(decode(data.bytes(tag), charsets)[0])


def person(data: Elements, tag: int, charsets: tuple[str, ...]) -> str:
    """A person name as it is read aloud: "Family, Given Middle", all groups, the empty ones left out."""
    name = one_line(decode(data.bytes(tag), charsets, is_name=True)[0])
    groups = [_spoken(group) for group in name.split("=")]
    return " = ".join(group for group in groups if group)


def _spoken(group: str) -> str:
    family, given, middle, prefix, suffix = ([part.strip() for part in group.split("^")] + [""] * 5)[:5]
    rest = " ".join(part for part in (prefix, given, middle, suffix) if part)
    return ", ".join(part for part in (family, rest) if part)


def paragraphs(data: Elements, tag: int, charsets: tuple[str, ...]) -> str:
    """Text of several lines: line ends become "\\n", other controls go."""
    return plain_text(decode(data.bytes(tag), charsets)[0])


def plain_text(text: str) -> str:
    """Text of any source with its lines, without other controls, at most `MAX_TEXT` characters."""
    text = text[: MAX_TEXT + 1].replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\v", "\n")
    lines = [_visible(line.replace("\t", "    ")).rstrip() for line in text.split("\n")]
    return _limited("\n".join(lines).strip("\n"), MAX_TEXT)


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else "" if c in _DIRECTIONS else " " for c in text)


def _limited(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … (cut)"


def code_of(item: Elements, charsets: tuple[str, ...]) -> Code | None:
    """The coded concept that an item of a code sequence holds (PS3.3 8.8); None where it holds none."""
    charsets = charsets_of(item, charsets)
    value = next((text for tag in (CODE_VALUE, LONG_CODE_VALUE, URN_CODE_VALUE) if (text := item.text(tag))), "")
    meaning = words(item, T.CODE_MEANING, charsets)
    if not value and not meaning:
        return None
    return Code(one_line(value), one_line(item.text(CODE_SCHEME)), meaning or one_line(value))


def coded(data: Elements, tag: int, charsets: tuple[str, ...]) -> Code | None:
    """The concept in the first item of a code sequence, None where there is none."""
    items = data.items(tag)
    return code_of(items[0], charsets) if items else None


def reference_of(item: Elements, series_uid: str = "") -> ImageReference:
    """What an item of a sequence of references points at."""
    return ImageReference(
        item.text(REFERENCED_CLASS),
        item.text(REFERENCED_INSTANCE),
        tuple(int(n) for n in item.numbers(REFERENCED_FRAMES) if n is not None and 0 < n < 2**31),
        tuple(int(n) for n in item.numbers(REFERENCED_SEGMENTS) if n is not None),
        series_uid,
    )


def date_text(date: str) -> str:
    """YYYYMMDD as YYYY-MM-DD; other texts as they are."""
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 and date.isdigit() else date


def time_text(time: str) -> str:
    """HHMMSS.FFFFFF as HH:MM:SS; other texts as they are."""
    whole = time.split(".", maxsplit=1)[0]
    if not whole.isdigit() or len(whole) not in (2, 4, 6):
        return time
    return ":".join(whole[n : n + 2] for n in range(0, len(whole), 2))


def when_text(moment: str) -> str:
    """A date-time as YYYY-MM-DD HH:MM:SS; other texts as they are."""
    if len(moment) < 8 or not moment[:8].isdigit():
        return moment
    time = moment[8:]
    for sign in ("+", "-"):
        time = time.split(sign)[0]
    return " ".join(part for part in (date_text(moment[:8]), time_text(time)) if part)


def count_text(count: int, one: str, many: str = "") -> str:
    """ "1 image", "3 images"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def unique(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts in their order, empty and repeated ones left out."""
    return tuple(dict.fromkeys(text for text in texts if text))

"""Documents that DICOM only carries: PDF, CDA, STL, OBJ, MTL (PS3.3 A.45, A.85, A.104).

Nothing of them is run, and only the words of a clinical document are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from medviewer.errors import BadInput
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.objects import document as D
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.text import one_line

DOCUMENT, MIME_TYPE, DOCUMENT_LENGTH, SOURCES = 0x00420011, 0x00420012, 0x00420015, 0x00420013
_ELEMENTS: dict[int, bytes] = {
    T.DOCUMENT_TITLE: b"ST", DOCUMENT: b"OB", MIME_TYPE: b"LO", DOCUMENT_LENGTH: b"UL", SOURCES: b"SQ",
    T.BURNED_IN: b"CS",
}  # fmt: skip

#: A clinical document of more bytes is not read as text, nor one nested deeper.
MAX_CDA, MAX_CDA_DEPTH = 32 << 20, 200

_STORAGE = "1.2.840.10008.5.1.4.1.1.104."
_NAMES = {"1": "PDF", "2": "CDA", "3": "STL", "4": "OBJ", "5": "MTL"}


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """A document inside a DICOM file.

    Attributes:
        form: "PDF", "CDA", "STL", "OBJ", "MTL"; "document" where the SOP class says nothing.
        title: as the file calls it, "" where it does not.
        mime_type: as declared.
        data: the document's bytes without padding.
        sources: the images that it was made from.
    """

    form: str
    title: str
    mime_type: str
    data: bytes
    sources: tuple[ImageReference, ...] = ()


def read_encapsulated(path: Path) -> Encapsulated:
    """Take the document out of its DICOM file.

    Raises:
        BadInput: it cannot be read.
    """
    header = D.read_document(path, _ELEMENTS)
    data = header.data
    charsets = data.texts(T.CHARSET)
    sop_class = data.text(T.SOP_CLASS) or header.meta.text(0x00020002)
    inside = data.bytes(DOCUMENT)
    length = data.integer(DOCUMENT_LENGTH)
    if length is not None and 0 < length <= len(inside):
        inside = inside[:length]
    elif inside.endswith(b"\0"):  # one byte makes the length even (PS3.5 8.2)
        inside = inside[:-1]
    title = D.words(data, T.DOCUMENT_TITLE, charsets)
    if not title:
        concept = D.coded(data, T.CONCEPT_NAME, charsets)
        title = concept.meaning if concept is not None else D.words(data, T.SERIES_DESCRIPTION, charsets)
    return Encapsulated(
        form=_NAMES.get(sop_class.removeprefix(_STORAGE), "document"),
        title=title,
        mime_type=one_line(data.text(MIME_TYPE)).lower(),
        data=inside,
        sources=tuple(D.reference_of(item) for item in data.items(SOURCES)[:1000]),
    )


def why_no_pdf(found: Encapsulated) -> str | None:
    """Why the document must not be handed to a program that shows PDF; None where it is one."""
    if not found.data:
        return "The file says that it holds a PDF, but it is empty."
    if found.mime_type != "application/pdf":
        declared = found.mime_type or "nothing"
        return f"The document declares itself as {declared}, not as application/pdf; it is not opened."
    if not found.data.startswith(b"%PDF-"):
        return "The document is declared as PDF but does not begin like one; it is not opened."
    return None


def size_text(size: int) -> str:
    """ "21 KB", "3.4 MB", "empty"."""
    if size == 0:
        return "empty"
    if size < 1024:
        return f"{size} bytes"
    return f"{size / 1024:.0f} KB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MB"


def cda_lines(data: bytes) -> list[tuple[int, bool, str]]:
    """The narrative of a clinical document (HL7 CDA): depth, whether it is a heading, plain text.

    Only titles and narrative text are taken; markup, links and pictures in it are not.

    Raises:
        BadInput: it is no XML, too large, nested too deep, or declares entities.
    """
    if len(data) > MAX_CDA:
        raise BadInput(f"the clinical document has {len(data) >> 20} MB, more than is read as text")
    reader = _Narrative()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as fault:
        raise BadInput(f"the clinical document is damaged at line {fault.lineno}") from fault
    reader.flush()
    return reader.lines


#: Elements of the narrative block that end a line.
_BREAKS = frozenset({"br", "paragraph", "item", "list", "tr", "table", "caption", "thead", "tbody", "title", "text"})


#: Stands between the cells of a row; no document can hold it (XML 1.0 forbids it).
_CELL = "\x1f"


class _Narrative:
    """Collects titles and narrative text while the parser walks."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bool, str]] = []
        self._open: list[str] = []
        self._sections = 0
        self._inside = 0
        self._words: list[str] = []

    def refuse(self, *_: object) -> None:
        raise BadInput("the clinical document declares entities of its own; it is not read")

    def start(self, name: str, _: dict[str, str]) -> None:
        local = name.rsplit(":", 1)[-1]
        if len(self._open) >= MAX_CDA_DEPTH:
            raise BadInput(f"the clinical document is nested more than {MAX_CDA_DEPTH} deep")
        parent = self._open[-1] if self._open else ""
        self._open.append(local)
        if local == "section":
            self._sections += 1
        is_block = local == "title" and parent in ("section", "ClinicalDocument")
        is_block = is_block or (local == "text" and parent in ("section", "nonXMLBody"))
        if self._inside:
            if local in _BREAKS:
                self.flush()
            self._inside += 1
        elif is_block:
            self._inside = 1

    def end(self, name: str) -> None:
        local = self._open.pop() if self._open else name
        if self._inside:
            if local in _BREAKS or self._inside == 1:
                self.flush(is_heading=local == "title" and self._inside == 1)
            elif local in ("td", "th"):
                self._words.append(_CELL)
            self._inside -= 1
        if local == "section":
            self._sections -= 1

    def characters(self, text: str) -> None:
        if self._inside:
            self._words.append(text)

    def flush(self, is_heading: bool = False) -> None:
        cells = [" ".join(cell.split()) for cell in "".join(self._words).split(_CELL)]
        self._words = []
        line = one_line("; ".join(cell for cell in cells if cell))
        if line:
            self.lines.append((max(0, self._sections - (1 if is_heading else 0)), is_heading, line))

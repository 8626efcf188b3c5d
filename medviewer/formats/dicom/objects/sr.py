"""Structured reports: the content tree of any SR document, read without trusting it (PS3.3 C.17, PS3.16 A).

Whatever the template, a report is a tree of name and value pairs; `Report` holds it as it is. What it measures and
where it points in pictures is found by `sr_measurements`, its text for people by `sr_text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medviewer.errors import BadInput
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.codes import Code
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.objects import document as D
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.text import one_line

#: Content items and points of one document that are kept.
MAX_ITEMS, MAX_POINTS = 100_000, 2_000_000

VALUE_TYPE = 0x0040A040
RELATIONSHIP = 0x0040A010
CONTENT = 0x0040A730
BY_REFERENCE = 0x0040DB73
_VALUE_CODE = 0x0040A168
_TEXT = 0x0040A160
_DATETIME, _DATE, _TIME, _NAME, _UID = 0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, 0x0040A124
_MEASURED, _NUMERIC, _FLOATING, _UNITS, _QUALIFIER = 0x0040A300, 0x0040A30A, 0x0040A161, 0x004008EA, 0x0040A301
_GRAPHIC_TYPE, _GRAPHIC_DATA, _FRAME_OF_REFERENCE = 0x00700023, 0x00700022, 0x30060024
_TEMPORAL_TYPE, _SAMPLES, _OFFSETS = 0x0040A130, 0x0040A132, 0x0040A138
_CHANNELS = 0x0040A0B0
_COMPLETION, _VERIFICATION, _PRELIMINARY = 0x0040A491, 0x0040A493, 0x0040A496
_VERIFIERS, _VERIFIER_NAME, _VERIFIED_AT, _ORGANIZATION = 0x0040A073, 0x0040A075, 0x0040A030, 0x0040A027
_EVIDENCE, _OTHER_EVIDENCE = 0x0040A375, 0x0040A385

#: The elements of a report, beside those of every document.
SR_ELEMENTS: dict[int, bytes] = {
    VALUE_TYPE: b"CS", RELATIONSHIP: b"CS", CONTENT: b"SQ", BY_REFERENCE: b"UL", _VALUE_CODE: b"SQ", _TEXT: b"UT",
    _DATETIME: b"DT", _DATE: b"DA", _TIME: b"TM", _NAME: b"PN", _UID: b"UI", _MEASURED: b"SQ", _NUMERIC: b"DS",
    _FLOATING: b"FD", _UNITS: b"SQ", _QUALIFIER: b"SQ", _GRAPHIC_TYPE: b"CS", _GRAPHIC_DATA: b"FL",
    _FRAME_OF_REFERENCE: b"UI", _TEMPORAL_TYPE: b"CS", _SAMPLES: b"UL", _OFFSETS: b"DS", _CHANNELS: b"US",
    _COMPLETION: b"CS", _VERIFICATION: b"CS", _PRELIMINARY: b"CS", _VERIFIERS: b"SQ", _VERIFIER_NAME: b"PN",
    _VERIFIED_AT: b"DT", _ORGANIZATION: b"LO", _EVIDENCE: b"SQ", _OTHER_EVIDENCE: b"SQ",
}  # fmt: skip

#: UCUM units as people write them; others as they stand.
_UNIT_TEXT = {
    "mm2": "mm²", "cm2": "cm²", "mm3": "mm³", "cm3": "cm³", "m2": "m²", "[hnsf'U]": "HU", "deg": "°", "Cel": "°C",
    "um": "µm", "1": "", "{SUVbw}g/ml": "SUVbw", "10-6.mm2/s": "10⁻⁶ mm²/s", "um2/s": "µm²/s", "mm2/s": "mm²/s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Graphic:
    """A place in pictures or in the patient, as SCOORD and SCOORD3D items give it (PS3.3 C.18.6, C.18.9).

    Attributes:
        shape: "POINT", "MULTIPOINT", "POLYLINE", "POLYGON", "CIRCLE", "ELLIPSE", "ELLIPSOID".
        points: (column, row) with 0\\0 at the top left corner of the top left pixel; or (x, y, z) in mm, LPS.
        frame_of_reference_uid: of points in the patient, "" for points in a picture.
        images: what it was selected from; for points in the patient only a hint.
    """

    shape: str
    points: tuple[tuple[float, ...], ...]
    frame_of_reference_uid: str = ""
    images: tuple[ImageReference, ...] = ()

    @property
    def in_patient(self) -> bool:
        """True for points in mm of the patient."""
        return bool(self.points) and len(self.points[0]) == 3


@dataclass(frozen=True, slots=True)
class ContentItem:
    """One node of the tree.

    Attributes:
        value_type: "CONTAINER", "TEXT", "CODE", "NUM", "PNAME", "DATE", "TIME", "DATETIME", "UIDREF", "COMPOSITE",
            "IMAGE", "WAVEFORM", "SCOORD", "SCOORD3D", "TCOORD"; "" for an item by reference.
        relationship: to its parent, "CONTAINS", "INFERRED FROM", ...; "" at the root.
        name: what is said, None where the item has no name.
        value: how much, as plain text ("" for containers).
        code: the value of CODE items.
        number: the value of NUM items, None where it is missing or no number.
        unit: of `number` as people write it.
        reference: of IMAGE, COMPOSITE and WAVEFORM items.
        graphic: of SCOORD and SCOORD3D items.
        target: for an item by reference the place of the item meant, as positions from 1 below the root's 1.
        children: nested items.
    """

    value_type: str
    relationship: str = ""
    name: Code | None = None
    value: str = ""
    code: Code | None = None
    number: float | None = None
    unit: str = ""
    reference: ImageReference | None = None
    graphic: Graphic | None = None
    target: tuple[int, ...] = ()
    children: tuple[ContentItem, ...] = ()

    @property
    def label(self) -> str:
        """The meaning of the name, "" without one."""
        return "" if self.name is None else self.name.meaning

    def is_named(self, value: str, scheme: str = "DCM") -> bool:
        """True where the concept name is this code."""
        return self.name is not None and (self.name.value, self.name.scheme) == (value, scheme)

    def walk(self) -> Iterator[ContentItem]:
        """The item and everything below it, in the document's order."""
        todo = [self]
        while todo:
            item = todo.pop()
            yield item
            todo += reversed(item.children)


@dataclass(frozen=True, slots=True)
class Report:
    """A structured report.

    Attributes:
        title: concept name of the root, else the series' description.
        patient, patient_id, study_date, content_date, content_time, manufacturer: of the header.
        is_complete, is_verified, is_preliminary: its flags.
        verified_by: one line a verifying observer.
        evidence: everything that the document lists as its evidence.
        root: the content tree.
        is_cut: True where items beyond `MAX_ITEMS` or `MAX_POINTS` were left out.
        sop_class, sop_instance_uid, study_uid: identifiers.
    """

    title: str
    patient: str
    patient_id: str
    study_date: str
    content_date: str
    content_time: str
    manufacturer: str
    is_complete: bool
    is_verified: bool
    is_preliminary: bool
    verified_by: tuple[str, ...]
    evidence: tuple[ImageReference, ...]
    root: ContentItem
    is_cut: bool = False
    sop_class: str = ""
    sop_instance_uid: str = ""
    study_uid: str = ""

    def images(self) -> tuple[ImageReference, ...]:
        """All objects that the content points at, in the document's order, each once."""
        return tuple(dict.fromkeys(item.reference for item in self.root.walk() if item.reference is not None))


@dataclass(slots=True)
class _Budget:
    items: int = MAX_ITEMS
    points: int = MAX_POINTS
    is_cut: bool = field(default=False)

    def take_item(self) -> bool:
        self.items -= 1
        self.is_cut = self.is_cut or self.items < 0
        return self.items >= 0

    def take_points(self, count: int) -> bool:
        if count > self.points:
            self.is_cut = True
            return False
        self.points -= count
        return True


def read_report(path: Path) -> Report:
    """Read a structured report or key object selection.

    Raises:
        BadInput: it cannot be read, or holds no content tree.
    """
    header = D.read_document(path, SR_ELEMENTS)
    data = header.data
    if T.CONCEPT_NAME not in data and CONTENT not in data and VALUE_TYPE not in data:
        raise BadInput("this is no structured report: it has no content", path=path)
    charsets = data.texts(T.CHARSET)
    budget = _Budget()
    root = _item(data, charsets, budget)
    verified_by = tuple(_verifier(item, charsets) for item in data.items(_VERIFIERS)[:64])
    return Report(
        title=root.label or D.words(data, T.SERIES_DESCRIPTION, charsets) or "Structured report",
        patient=D.person(data, T.PATIENT_NAME, charsets),
        patient_id=D.words(data, T.PATIENT_ID, charsets),
        study_date=data.text(T.STUDY_DATE)[:16],
        content_date=data.text(D.CONTENT_DATE)[:16],
        content_time=data.text(T.CONTENT_TIME)[:16],
        manufacturer=D.words(data, T.MANUFACTURER, charsets),
        is_complete=data.text(_COMPLETION).upper() == "COMPLETE",
        is_verified=data.text(_VERIFICATION).upper() == "VERIFIED",
        is_preliminary=data.text(_PRELIMINARY).upper() == "PRELIMINARY",
        verified_by=D.unique(verified_by),
        evidence=evidence_of(data),
        root=_resolved(root),
        is_cut=budget.is_cut,
        sop_class=data.text(T.SOP_CLASS) or header.meta.text(0x00020002),
        sop_instance_uid=data.text(T.SOP_INSTANCE),
        study_uid=data.text(T.STUDY_UID),
    )


def evidence_of(data: Elements) -> tuple[ImageReference, ...]:
    """What Current Requested Procedure Evidence and Pertinent Other Evidence list (PS3.3 C.17.2.3)."""
    found: list[ImageReference] = []
    for tag in (_EVIDENCE, _OTHER_EVIDENCE):
        for study in data.items(tag):
            for series in study.items(T.REFERENCED_SERIES):
                uid = series.text(T.SERIES_UID)
                found += [D.reference_of(item, uid) for item in series.items(D.REFERENCED_OBJECTS)]
                if len(found) > MAX_ITEMS:
                    return tuple(found)
    return tuple(found)


def _verifier(item: Elements, charsets: tuple[str, ...]) -> str:
    charsets = D.charsets_of(item, charsets)
    name = D.person(item, _VERIFIER_NAME, charsets)
    organization = D.words(item, _ORGANIZATION, charsets)
    moment = D.when_text(one_line(item.text(_VERIFIED_AT)))
    return ", ".join(part for part in (name, organization, moment) if part)


def _item(data: Elements, charsets: tuple[str, ...], budget: _Budget) -> ContentItem:
    """One item with what is nested in it; the parser has bounded the depth."""
    charsets = D.charsets_of(data, charsets)
    relationship = " ".join(one_line(data.text(RELATIONSHIP)).upper().split())
    target = tuple(int(n) for n in data.numbers(BY_REFERENCE) if n is not None)
    if target and VALUE_TYPE not in data:
        return ContentItem("", relationship, target=target[: 2 * MAX_DEPTH_OF_TARGET])
    kind = "".join(data.text(VALUE_TYPE).upper().split())[:16] or "CONTAINER"
    children = tuple(_item(item, charsets, budget) for item in data.items(CONTENT) if budget.take_item())
    name = D.coded(data, T.CONCEPT_NAME, charsets)
    code = D.coded(data, _VALUE_CODE, charsets) if kind == "CODE" else None
    number, unit, value = None, "", ""
    if kind == "NUM":
        number, unit, value = _measured(data, charsets)
    elif code is not None:
        value = code.meaning
    else:
        read = _READ.get(kind)
        value = "" if read is None else read(data, charsets)
    reference = None
    if kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        items = data.items(D.REFERENCED_OBJECTS)
        reference = D.reference_of(items[0]) if items else None
    graphic = _graphic(data, kind, children, budget) if kind in ("SCOORD", "SCOORD3D") else None
    return ContentItem(kind, relationship, name, value, code, number, unit, reference, graphic, (), children)


#: An item by reference names at most this many levels.
MAX_DEPTH_OF_TARGET = 64


def _text(data: Elements, charsets: tuple[str, ...]) -> str:
    return D.paragraphs(data, _TEXT, charsets)


def _temporal(data: Elements, _: tuple[str, ...]) -> str:
    kind = one_line(data.text(_TEMPORAL_TYPE)).lower()
    for tag, what in ((_SAMPLES, "sample"), (_OFFSETS, "s"), (_DATETIME, "")):
        values = (
            data.text(tag).split("\\") if tag != _SAMPLES else [f"{n:g}" for n in data.numbers(tag) if n is not None]
        )
        if values and values != [""]:
            shown = ", ".join(values[:8]) + (", …" if len(values) > 8 else "")
            return one_line(" ".join(part for part in (kind, what if what == "sample" else "", shown) if part)) + (
                " s" if what == "s" else ""
            )
    return kind


_READ = {
    "TEXT": _text,
    "PNAME": lambda data, charsets: D.person(data, _NAME, charsets),
    "DATE": lambda data, _: D.date_text(one_line(data.text(_DATE))),
    "TIME": lambda data, _: D.time_text(one_line(data.text(_TIME))),
    "DATETIME": lambda data, _: D.when_text(one_line(data.text(_DATETIME))),
    "UIDREF": lambda data, _: one_line(data.text(_UID)),
    "TCOORD": _temporal,
}


def _measured(data: Elements, charsets: tuple[str, ...]) -> tuple[float | None, str, str]:
    """Number, unit and text of a NUM item; a missing number says why it is missing (PS3.3 C.18.1)."""
    items = data.items(_MEASURED)
    qualifier = D.coded(data, _QUALIFIER, charsets)
    said = "" if qualifier is None else qualifier.meaning
    if not items:
        return None, "", said or "no value"
    item = items[0]
    number = item.number(_FLOATING)
    if number is None:
        number = item.number(_NUMERIC)
    unit = unit_text(D.coded(item, _UNITS, charsets))
    written = one_line(item.text(_NUMERIC).split("\\")[0]) or ("" if number is None else f"{number:g}")
    if not written:
        return None, unit, said or "no value"
    value = f"{written}{unit}" if unit == "°" else f"{written} {unit}".rstrip()
    return number, unit, f"{value} ({said})" if said else value


def unit_text(unit: Code | None) -> str:
    """A coded unit as people write it: "mm²", "HU", "pixels"; "" for none."""
    if unit is None:
        return ""
    if unit.value in _UNIT_TEXT:
        known = _UNIT_TEXT[unit.value]
        return known or ("" if unit.meaning.lower() in ("no units", "1", "unity", "unitless") else unit.meaning)
    if not unit.scheme.upper().startswith("UCUM") or unit.value.startswith(("{", "[")) or not unit.value:
        return unit.meaning.strip("{}")
    return unit.value


def _graphic(data: Elements, kind: str, children: tuple[ContentItem, ...], budget: _Budget) -> Graphic | None:
    """The points of a SCOORD or SCOORD3D; None where they are no points."""
    size = 2 if kind == "SCOORD" else 3
    numbers = data.numbers(_GRAPHIC_DATA)
    whole = len(numbers) // size * size
    if whole == 0 or any(n is None for n in numbers) or not budget.take_points(whole // size):
        return None
    flat = [n for n in numbers if n is not None]
    points = tuple(tuple(flat[n : n + size]) for n in range(0, whole, size))
    images = tuple(child.reference for child in children if child.reference is not None)
    frame = data.text(_FRAME_OF_REFERENCE) if kind == "SCOORD3D" else ""
    return Graphic(one_line(data.text(_GRAPHIC_TYPE)).upper(), points, frame, images)


def find(root: ContentItem, target: tuple[int, ...]) -> ContentItem | None:
    """The item that a by-reference relationship names (PS3.3 C.17.3.2.5); None where there is none."""
    if not target or target[0] != 1:
        return None
    item = root
    for place in target[1:]:
        if not 1 <= place <= len(item.children):
            return None
        item = item.children[place - 1]
    return item


def _resolved(root: ContentItem) -> ContentItem:
    """The tree with graphics that point at their images by reference knowing those images."""
    if not any(item.target for item in root.walk()):
        return root
    from dataclasses import replace

    def rebuilt(item: ContentItem) -> ContentItem:
        children = tuple(rebuilt(child) for child in item.children)
        graphic = item.graphic
        if graphic is not None:
            named = [find(root, child.target) for child in item.children if child.target]
            images = tuple(found.reference for found in named if found is not None and found.reference is not None)
            graphic = replace(graphic, images=graphic.images + images) if images else graphic
        return replace(item, children=children, graphic=graphic)

    return rebuilt(root)

"""A structured report as plain text for people: headings, indented lines, and which item each line tells of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from medviewer.formats.dicom.objects import document as D
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.objects.sr import ContentItem, Graphic, Report, find
from medviewer.formats.dicom.sop_classes import object_kind

#: References in a row without anything of their own are counted, not listed, from this many on.
_RUN = 6
#: Key images that are listed one by one.
MAX_LISTED = 2000
#: Points of a graphic that a line names.
_POINTS = 4

_CONTEXT = frozenset({"HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT"})
_SAID = frozenset({"INFERRED FROM", "SELECTED FROM"})

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_NOUNS = {
    "1": "CR image", "1.1": "X-ray image", "1.1.1": "X-ray image", "1.2": "mammogram", "1.2.1": "mammogram",
    "1.3": "dental X-ray image", "2": "CT image", "2.1": "CT image", "2.2": "CT image", "3.1": "US cine",
    "4": "MR image", "4.1": "MR image", "4.3": "MR image", "6.1": "US image", "7": "secondary capture",
    "12.1": "XA run", "12.1.1": "XA run", "12.2": "RF run", "20": "NM image", "128": "PET image",
    "128.1": "PET image", "130": "PET image", "13.1.3": "tomosynthesis", "77.1.6": "slide image",
    "30": "parametric map", "77.1.4": "photograph", "77.1.1": "endoscopic image", "481.1": "RT image",
}  # fmt: skip
_KINDS = {
    "SEG": "segmentation", "LABELMAP": "segmentation", "SR": "report", "KO": "key object selection",
    "PR": "presentation state", "RTSTRUCT": "structure set", "RTDOSE": "dose", "RTPLAN": "plan", "PDF": "PDF",
    "WAVEFORM": "waveform", "RWV": "value map", "ANN": "annotations", "M3D": "3-D model",
}  # fmt: skip


class Role(StrEnum):
    """What a line is to the reader."""

    TITLE = "title"
    HEADING = "heading"
    FACT = "fact"
    CONTEXT = "context"  # what qualifies other lines: observers, acquisition, language
    WARNING = "warning"  # what is missing or cannot be trusted


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of plain text.

    Attributes:
        text: without indentation.
        depth: levels of indentation.
        role: how it is to be shown.
        item: the content item that it tells of, None for lines about the document.
    """

    text: str
    depth: int = 0
    role: Role = Role.FACT
    item: ContentItem | None = field(default=None, compare=False, repr=False)

    def indented(self) -> str:
        """The line as it stands in a plain text file."""
        return f"{'  ' * self.depth}{self.text}"


def noun_of(sop_class: str) -> str:
    """What an object of this SOP class is called: "CT image", "segmentation"; "image" where it is not known."""
    known = _NOUNS.get(sop_class.removeprefix(_STORAGE)) if sop_class.startswith(_STORAGE) else None
    kind = object_kind(sop_class)
    return known or (_KINDS.get(kind, "object") if kind is not None else "image")


def reference_text(reference: ImageReference) -> str:
    """ "CT image, frame 3", "segmentation, segment 1"."""
    parts = [noun_of(reference.sop_class)]
    for numbers, what in ((reference.frames, "frame"), (reference.segments, "segment")):
        if numbers:
            shown = ", ".join(str(n) for n in numbers[:6]) + (", …" if len(numbers) > 6 else "")
            parts.append(f"{what}{'s' if len(numbers) > 1 else ''} {shown}")
    return ", ".join(parts)


def graphic_text(graphic: Graphic) -> str:
    """ "polyline, 2 points: (580.7, 1090.8) (583, 1101)"."""
    points = [f"({', '.join(f'{round(v, 1):g}' for v in point)})" for point in graphic.points[:_POINTS]]
    shown = " ".join(points) + (" …" if len(graphic.points) > _POINTS else "")
    unit = " mm" if graphic.in_patient else ""
    many = f", {len(graphic.points)} points" if len(graphic.points) > 1 else ""
    return f"{graphic.shape.lower() or 'shape'}{many}: {shown}{unit}"


def state_text(report: Report) -> str:
    """ "complete, verified by Doe, Jane", "partial, not verified"."""
    parts = ["complete" if report.is_complete else "partial"]
    if report.is_preliminary:
        parts.append("preliminary")
    if report.is_verified:
        parts.append("verified by " + "; ".join(report.verified_by) if report.verified_by else "verified")
    else:
        parts.append("not verified")
    return ", ".join(parts)


def header_lines(report: Report) -> list[TextLine]:
    """Title, whose it is, when and how far it is settled."""
    lines = [TextLine(report.title, 0, Role.TITLE)]
    whose = "  ".join(part for part in (report.patient, f"[{report.patient_id}]" if report.patient_id else "") if part)
    if whose:
        lines.append(TextLine(f"Patient: {whose}", 0, Role.CONTEXT))
    if report.study_date:
        lines.append(TextLine(f"Study of {D.date_text(report.study_date)}", 0, Role.CONTEXT))
    written = " ".join(p for p in (D.date_text(report.content_date), D.time_text(report.content_time)) if p)
    if written:
        lines.append(TextLine(f"Written {written}", 0, Role.CONTEXT))
    if object_kind(report.sop_class) != "KO":  # a selection has no such flags (PS3.3 C.17.6.1)
        role = Role.CONTEXT if report.is_verified else Role.WARNING
        lines.append(TextLine(f"State: {state_text(report)}", 0, role))
    return lines


def report_lines(report: Report, places: Mapping[str, str] | None = None) -> list[TextLine]:
    """The whole report.

    Args:
        report: what was read.
        places: SOP Instance UIDs of the open files, and where each is to be found ("series 3, image 33", "" for no more
            than that it is here); None: nothing is said about that.
    """
    lines = header_lines(report)
    if places is not None:
        lines += missing_lines(report, places)
    if report.is_cut:
        lines.append(TextLine("The document is longer than is read; its end is left out.", 0, Role.WARNING))
    is_list = object_kind(report.sop_class) == "KO"  # of a list of images each one is named
    lines += _Writer(report.root, places, MAX_LISTED if is_list else _RUN).children(report.root, 0)
    return lines


def missing_lines(report: Report, places: Mapping[str, str]) -> list[TextLine]:
    """One sentence about the objects that it points at and that are not among the open files; none where all are."""
    named = {reference.sop_instance_uid: reference for reference in report.images()}
    missing = [reference for uid, reference in named.items() if uid not in places]
    if not missing:
        return []
    if len(missing) == 1:
        text = f"The {noun_of(missing[0].sop_class)} that it refers to is not among the open files."
        if len(named) > 1:
            text = f"1 of the {len(named)} objects that it refers to is not among the open files."
    else:
        which = "None" if len(missing) == len(named) else f"{len(missing)}"
        verb = "is" if len(missing) == len(named) else "are not"
        text = f"{which} of the {len(named)} objects that it refers to {verb} among the open files."
    return [TextLine(text, 0, Role.WARNING)]


class _Writer:
    """Writes the tree as lines; `run` is how many bare references in a row are counted and not listed."""

    def __init__(self, root: ContentItem, places: Mapping[str, str] | None, run: int) -> None:
        self._root, self._places, self._run = root, places, run

    def children(self, parent: ContentItem, depth: int) -> Iterator[TextLine]:
        run: list[ContentItem] = []
        for item in (*parent.children, None):
            if item is not None and _is_bare_reference(item) and (not run or _same(run[0], item)):
                run.append(item)
                continue
            if len(run) >= self._run:
                yield self._counted(run, depth)
            else:
                for bare in run:
                    yield from self._item(bare, depth)
            run = []
            if item is None:
                return
            if _is_bare_reference(item):
                run = [item]
            else:
                yield from self._item(item, depth)

    def _counted(self, run: Sequence[ContentItem], depth: int) -> TextLine:
        references = [item.reference for item in run if item.reference is not None]
        text = f"{len(run)} × {noun_of(references[0].sop_class)}"
        places = self._places
        away = 0 if places is None else sum(reference.sop_instance_uid not in places for reference in references)
        if away:
            text += " (not here)" if away == len(run) else f" ({away} not here)"
        return TextLine(text, depth, Role.CONTEXT, run[0])

    def _item(self, item: ContentItem, depth: int) -> Iterator[TextLine]:
        before = f"{item.relationship.lower()}: " if item.relationship in _SAID else ""
        if item.target:
            yield TextLine(before + self._target(item), depth, Role.CONTEXT, item)
            return
        if item.value_type == "CONTAINER":
            yield TextLine(before + (item.label or "Section"), depth, Role.HEADING, item)
        else:
            role = Role.CONTEXT if item.relationship in _CONTEXT or item.relationship in _SAID else Role.FACT
            first, *more = self._value(item).split("\n")
            name = item.label
            text = f"{name}: {first}" if name and first else name or first
            yield TextLine(before + (text or item.value_type.lower()), depth, role, item)
            for line in more:
                yield TextLine(line, depth + 1, role, item)
        yield from self.children(item, depth + 1)

    def _value(self, item: ContentItem) -> str:
        if item.reference is not None:
            place = None if self._places is None else self._places.get(item.reference.sop_instance_uid, "not here")
            return reference_text(item.reference) + (f" ({place})" if place else "")
        if item.value_type in ("SCOORD", "SCOORD3D"):
            return "no usable points" if item.graphic is None else graphic_text(item.graphic)
        return item.value

    def _target(self, item: ContentItem) -> str:
        number = ".".join(str(n) for n in item.target)
        found = find(self._root, item.target)
        if found is None:
            return f"see item {number}, which is not there"
        value = self._value(found).split("\n")[0]
        return f"see {': '.join(part for part in (found.label, value) if part) or 'item ' + number}"


def _is_bare_reference(item: ContentItem) -> bool:
    return item.reference is not None and not item.children and item.name is None


def _same(one: ContentItem, other: ContentItem) -> bool:
    assert one.reference is not None and other.reference is not None
    return one.reference.sop_class == other.reference.sop_class and one.relationship == other.relationship

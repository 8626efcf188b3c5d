"""A document that was read: its lines, what each leads to, and what it draws on a stack. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medviewer.desktop.documents.presentation import marks_of_state, slices_of_state
from medviewer.desktop.viewport.marks import Frames, Mark, marks_of, place_of
from medviewer.formats.catalog import ObjectFile, Stack
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.objects.sr_text import Role, TextLine
from medviewer.volume.grid import Grid

if TYPE_CHECKING:
    from medviewer.formats.dicom.objects.gsps import PresentationState
    from medviewer.formats.dicom.objects.ko import KeySelection
    from medviewer.formats.dicom.objects.sr import Report
    from medviewer.formats.dicom.objects.sr_measurements import Measurement

#: What documents are called where they have no title.
TITLES = {
    "SR": "Report",
    "KO": "Key images",
    "PR": "Presentation state",
    "PDF": "PDF document",
    "M3D": "3-D model",
    "RTPLAN": "Plan",
}


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An object that was read.

    Attributes:
        found: the file.
        lines: its text.
        report, measurements: of a report.
        selection: of a key object selection.
        state: of a presentation state.
        why_no_action: for a PDF why it cannot be opened, or None.
        line_measurement: which measurement a line tells of.
        line_reference: what a line points at.
        reachable: measurements whose pictures, or whose place in the patient, are among the open files.
    """

    found: ObjectFile
    lines: tuple[TextLine, ...]
    report: Report | None = None
    measurements: tuple[Measurement, ...] = ()
    selection: KeySelection | None = None
    state: PresentationState | None = None
    why_no_action: str | None = None
    line_measurement: dict[int, int] = field(default_factory=dict)
    line_reference: dict[int, ImageReference] = field(default_factory=dict)
    reachable: frozenset[int] = frozenset()

    @property
    def title(self) -> str:
        """What the head of the panel says."""
        title = next((line.text for line in self.lines if line.role is Role.TITLE), "")
        return title or TITLES.get(self.found.kind, self.found.kind)

    @property
    def has_marks(self) -> bool:
        """True where there is something to show on pictures."""
        return any(m.graphics for m in self.measurements) or self.selection is not None or self.state is not None


def read_object(found: ObjectFile, places: Mapping[str, str], spaces: frozenset[str] = frozenset()) -> Opened:
    """Read an object for the panel (on a worker thread).

    Args:
        found: which.
        places: where the open files are to be found, by SOP Instance UID.
        spaces: frame of reference UIDs of the open files.

    Raises:
        BadInput: the file cannot be read.
    """
    from medviewer.formats.dicom.objects.object_text import object_lines

    if found.kind == "PR":
        from medviewer.formats.dicom.objects.gsps import read_presentation

        return Opened(found, tuple(object_lines(found, places)), state=read_presentation(found.path))
    if found.kind not in ("SR", "KO"):
        reason = _why_no_pdf(found.path) if found.kind == "PDF" else None
        return Opened(found, tuple(object_lines(found, places)), why_no_action=reason)
    from medviewer.formats.dicom.objects.ko import key_selection
    from medviewer.formats.dicom.objects.sr import read_report
    from medviewer.formats.dicom.objects.sr_measurements import measurements
    from medviewer.formats.dicom.objects.sr_text import report_lines

    report = read_report(found.path)
    measured = measurements(report) if found.kind == "SR" else ()
    lines = tuple(report_lines(report, places))
    owner = {id(item): n for n, one in enumerate(measured) for item in one.items}
    by_measurement = {n: owner[id(line.item)] for n, line in enumerate(lines) if id(line.item) in owner}
    by_reference = {
        n: line.item.reference
        for n, line in enumerate(lines)
        if line.item is not None and line.item.reference is not None and line.item.reference.sop_instance_uid in places
    }
    selection = key_selection(report) if found.kind == "KO" else None
    reachable = frozenset(n for n, one in enumerate(measured) if _is_reachable(one, places, spaces))
    return Opened(found, lines, report, measured, selection, None, None, by_measurement, by_reference, reachable)


def _is_reachable(one: Measurement, places: Mapping[str, str], spaces: frozenset[str]) -> bool:
    in_patient = any(g.in_patient and g.frame_of_reference_uid in spaces for g in one.graphics)
    return in_patient or any(reference.sop_instance_uid in places for reference in one.references())


def _why_no_pdf(path: Path) -> str | None:
    from medviewer.formats.dicom.objects.encapsulated import read_encapsulated, why_no_pdf

    return why_no_pdf(read_encapsulated(path))


def marks_of_opened(opened: Opened, stack: Stack, grid: Grid | None) -> tuple[list[Mark], dict[int, str]]:
    """What an object draws on a stack: marks, and the titles of key images by slice."""
    if opened.state is not None:
        return marks_of_state(opened.state, stack), {}
    if opened.selection is not None:
        frames = Frames.of(stack)
        return [], {k: opened.selection.title for image in opened.selection.images for k in frames.slices_of(image)}
    verified = opened.report is not None and opened.report.is_verified
    made = marks_of(opened.measurements, stack, grid, verified=verified)
    return [replace(mark, owner=(opened.found.path, mark.owner)) for mark in made], {}


def slices_of_opened(opened: Opened, stack: Stack, grid: Grid | None) -> tuple[int, ...]:
    """Slices of a stack that an object speaks of, ascending."""
    if opened.state is not None:
        return tuple(sorted(slices_of_state(opened.state, stack)))
    if opened.selection is not None:
        return tuple(sorted(marks_of_opened(opened, stack, grid)[1]))
    places = (place_of(measurement, stack, grid) for measurement in opened.measurements)
    last = stack.size_kji[0] - 1
    return tuple(sorted({k for p in places if p is not None and 0 <= (k := round(float(p[0]))) <= last}))


def speaks_of(opened: Opened, stack: Stack) -> bool:
    """True where a stack shows something that an object speaks of."""
    return bool(slices_of_opened(opened, stack, stack.grid))

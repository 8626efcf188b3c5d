"""Key object selections: which images somebody marked, and with which words (PS3.3 A.35.4, PS3.16 TID 2010)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from medviewer.formats.dicom.objects.document import ImageReference, unique
from medviewer.formats.dicom.objects.sr import Report, read_report

_DESCRIPTION = "113012"
_TITLE_MODIFIERS = frozenset({"113011", "113010"})  # Document Title Modifier; a quality issue's reason


@dataclass(frozen=True, slots=True)
class KeySelection:
    """Marked images.

    Attributes:
        title: "For Referring Provider", "Best In Set", ...
        modifiers: what qualifies the title ("Quality Issue: motion").
        description: free text of whoever marked them, "" where there is none.
        images: the marked objects in the document's order, with their series where the evidence names it.
    """

    title: str
    modifiers: tuple[str, ...]
    description: str
    images: tuple[ImageReference, ...]


def key_selection(report: Report) -> KeySelection:
    """What a key object selection document selects."""
    series = {reference.sop_instance_uid: reference.series_uid for reference in report.evidence}
    modifiers = unique(
        child.value
        for child in report.root.children
        if child.name is not None and child.name.value in _TITLE_MODIFIERS and child.code is not None
    )
    description = "\n".join(child.value for child in report.root.children if child.is_named(_DESCRIPTION))
    images = [
        replace(item.reference, series_uid=series.get(item.reference.sop_instance_uid, ""))
        for item in report.root.walk()
        if item.reference is not None
    ]
    return KeySelection(report.title, modifiers, description, tuple(dict.fromkeys(images)))


def read_key_selection(path: Path) -> KeySelection:
    """Read a key object selection document.

    Raises:
        BadInput: it cannot be read.
    """
    return key_selection(read_report(path))

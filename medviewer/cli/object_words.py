"""The words of reports and other documents for `medviewer inspect`: the same lines that the window shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medviewer.errors import MedviewerError
from medviewer.formats.catalog import Catalog, ObjectFile
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.objects.object_text import has_text, object_lines, places_of
from medviewer.formats.dicom.objects.sr import Graphic, read_report


@dataclass(frozen=True, slots=True)
class Words:
    """Lines of one object; where it cannot be read, one line that says why."""

    path: Path
    lines: tuple[str, ...]


def object_words(catalog: Catalog, named: frozenset[Path] | None) -> Iterator[Words]:
    """The words of all objects that have some, or of those among `named`."""
    places = places_of(catalog)
    for found in catalog.objects:
        if has_text(found) and (named is None or found.path in named):
            try:
                lines = object_lines(found, places)
                yield Words(found.path, tuple(line.indented() for line in lines))
            except MedviewerError as fault:
                yield Words(found.path, (fault.sentence,))


def add_words(document: dict[str, Any], catalog: Catalog, named: frozenset[Path] | None) -> None:
    """Give the objects of an inspect document their `text`, reports their `measurements`, selections their `images`."""
    words = {str(one.path): "\n".join(one.lines) for one in object_words(catalog, named)}
    kinds = {str(found.path): found for found in catalog.objects}
    for row in document["objects"]:
        if row["path"] not in words:
            continue
        row["text"] = words[row["path"]]
        row.update(_details(kinds[row["path"]]))


def _details(found: ObjectFile) -> dict[str, Any]:
    if found.kind not in ("SR", "KO"):
        return {}
    try:
        report = read_report(found.path)
    except MedviewerError:
        return {}
    if found.kind == "KO":
        return {"images": [_reference(image) for image in report.images()]}
    from medviewer.formats.dicom.objects.sr_measurements import measurements

    return {
        "measurements": [
            {
                "title": one.title,
                "values": list(one.values),
                "graphics": [_graphic(graphic) for graphic in one.graphics],
                "images": [_reference(image) for image in one.images],
                "by_device": one.by_device,
            }
            for one in measurements(report)
        ]
    }


def _reference(image: ImageReference) -> dict[str, Any]:
    return {"sop_instance_uid": image.sop_instance_uid, "frames": list(image.frames)}


def _graphic(graphic: Graphic) -> dict[str, Any]:
    return {
        "shape": graphic.shape,
        "in": "patient" if graphic.in_patient else "image",
        "points": [list(point) for point in graphic.points],
        "images": [_reference(image) for image in graphic.images],
    }

"""What a scan leaves unsaid about objects, since it reads no pixels: largest dose, hashes, are their images here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.errors import MedviewerError
from medviewer.formats.catalog import Catalog, FrameRef, ObjectFile
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.objects.dose import read_dose
from medviewer.formats.dicom.objects.rtstruct import read_structures
from medviewer.formats.dicom.objects.seg_file import layout_of, open_seg_file, read_elements
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import read_stored
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext

#: Kinds of objects that have pixels of their own, and those that lie on images.
_WITH_PIXELS = ("SEG", "LABELMAP", "RTDOSE")
_ON_IMAGES = ("SEG", "LABELMAP", "RTSTRUCT")


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """More about one object.

    Attributes:
        summary: one line for people, with what only the pixels and the other files tell.
        images_here: whether an image that it was drawn on is among the opened ones; None where it names none.
        sha256: of its stored pixels in the file's order (1 bit as 0/1 bytes), None where not asked for or unreadable.
        low, high: least and largest stored value.
        fault: why its pixels cannot be read, "" if they can.
    """

    summary: str
    images_here: bool | None = None
    sha256: str | None = None
    low: float | None = None
    high: float | None = None
    fault: str = ""


def object_facts(catalog: Catalog, context: JobContext, *, pixels: bool) -> dict[Path, ObjectFacts]:
    """Facts about all objects of a catalog, by their paths.

    Args:
        catalog: of a scan.
        context: for cancel.
        pixels: whether to decode and hash the pixels of objects that have any.
    """
    instances = {f.sop_instance_uid for stack in catalog.stacks() for f in stack.frames} - {""}
    return {found.path: _facts(found, instances, context, pixels=pixels) for found in catalog.objects}


def with_facts(catalog: Catalog, facts: Mapping[Path, ObjectFacts]) -> Catalog:
    """The catalog whose objects' summaries say all that is known."""
    told = tuple(replace(o, summary=facts[o.path].summary) if o.path in facts else o for o in catalog.objects)
    return replace(catalog, objects=told)


def add_facts(document: dict[str, Any], facts: Mapping[Path, ObjectFacts]) -> None:
    """Add to the objects of the command line's document what is known: whether images are here, hash and range."""
    by_path = {str(path): fact for path, fact in facts.items()}
    for entry in document["objects"]:
        fact = by_path.get(entry["path"])
        if fact is None:
            continue
        if fact.images_here is not None:
            entry["images_here"] = fact.images_here
        if fact.sha256 is not None:
            entry |= {"sha256": fact.sha256, "min": fact.low, "max": fact.high}
        if fact.fault:
            entry["fault"] = fact.fault


def _facts(found: ObjectFile, instances: set[str], context: JobContext, *, pixels: bool) -> ObjectFacts:
    here, summary, fault = None, found.summary, ""
    if found.kind in _ON_IMAGES:
        try:
            images = _images(found)
        except MedviewerError as error:
            images, fault = frozenset(), error.what
        if images:
            here = bool(images & instances)
            missing = len(images - instances)
            if missing:
                which = "its images" if not here else f"{missing} of its {len(images)} images"
                summary += f" - {which} {'is' if here and missing == 1 else 'are'} not here"
    if found.kind == "RTDOSE":
        try:
            dose = read_dose(found.path, context)
            planes = len(dose.heights_mm)
            summary = f"RTDOSE - {dose.summary}, {planes} plane{'s' if planes != 1 else ''}"
            if dose.notes:
                summary += f" - {dose.notes[0]}"
        except MedviewerError as error:
            fault = error.what
    sha256, low, high = None, None, None
    if pixels and found.kind in _WITH_PIXELS and not fault:
        try:
            sha256, low, high = _digest(found, context)
        except MedviewerError as error:
            fault = error.what
        except (PixelFault, SourceFault) as error:
            fault = error.reason
        except OSError as error:
            fault = error.strerror or "it cannot be read"
    if fault:
        summary += f" - {fault}"
    return ObjectFacts(summary, here, sha256, low, high, fault)


def _images(found: ObjectFile) -> frozenset[str]:
    """SOP Instance UIDs of the images that an object was drawn on."""
    if found.kind == "RTSTRUCT":
        return read_structures(found.path).images
    return frozenset(uid for frame in open_seg_file(found.path).frames for uid, _ in frame.images if uid)


def _digest(found: ObjectFile, context: JobContext) -> tuple[str, float, float]:
    header, size = read_elements(found.path, T.WANTED, "object")
    layout, offset = layout_of(header, size, found.path, "object")
    total, low, high = hashlib.sha256(), float("inf"), float("-inf")
    for frame in range(layout.frames):
        context.report(frame, layout.frames, "reading an object's pixels")
        values = read_stored(FrameRef(found.path, frame, layout=layout, data_offset=offset))
        total.update(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return total.hexdigest(), low, high

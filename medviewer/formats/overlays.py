"""Whatever can lie over an image, by the kind of its file: masks, contours, doses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medviewer.errors import BadInput, Refused
from medviewer.formats.catalog import Catalog, ObjectFile
from medviewer.formats.contours import LaidContours, lay_contours, masks_of
from medviewer.formats.dicom.objects.dose import Dose, read_dose
from medviewer.formats.dicom.objects.rtstruct import read_structures
from medviewer.formats.dicom.objects.seg_read import read_segments
from medviewer.formats.laid import RESAMPLED, LaidSegment, LaidSegments, Target, refuse_stranger
from medviewer.formats.scan import nothing_opened, scan
from medviewer.jobs import JobContext

#: Kinds of objects that can be laid over an image.
KINDS = ("SEG", "LABELMAP", "RTSTRUCT", "RTDOSE")


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """Something laid on an image.

    Attributes:
        path: its file.
        kind: "SEG", "LABELMAP", "RTSTRUCT", "RTDOSE", or "mask" for NIfTI and NRRD.
        content: what is drawn.
    """

    path: Path
    kind: str
    content: LaidSegments | LaidContours | Dose

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be done to lay it, or is unusual, for people."""
        return self.content.notes

    @property
    def refused(self) -> tuple[str, ...]:
        """Parts that cannot be shown, with the reason."""
        return () if isinstance(self.content, Dose) else self.content.refused


def the_object(catalog: Catalog, path: Path) -> ObjectFile | None:
    """The one object of a scan that can be laid over an image; None where there is none.

    Raises:
        BadInput: there are several.
    """
    found = [o for o in catalog.objects if o.kind in KINDS]
    if len(found) > 1:
        raise BadInput(f"there are {len(found)} objects here that could be laid over", path=path, remedy="name one")
    return found[0] if found else None


def read_overlay(path: Path, target: Target, context: JobContext | None = None) -> Overlay:
    """Read a file and lay it on an image.

    Args:
        path: SEG, LABELMAP, RTSTRUCT, RTDOSE, NIfTI or NRRD mask; a folder or archive with one of them.
        target: the image.
        context: for progress and cancel.

    Raises:
        BadInput: it cannot be read, or is nothing that could be laid over. MissingHere: a decoder is missing.
        Refused: it belongs to another patient or place.
    """
    catalog = scan([path], context)
    found = the_object(catalog, path)
    if found is not None:
        return read_object(found, target, context)
    if catalog.is_empty:
        raise nothing_opened([path], catalog)
    if next(catalog.stacks(), None) is None:
        kinds = ", ".join(sorted({o.kind for o in catalog.objects}))
        raise BadInput(f"an object of this kind ({kinds}) is not laid over pictures", path=path)
    return Overlay(path, "mask", _mask_file(catalog, path, target, context))


def read_object(found: ObjectFile, target: Target, context: JobContext | None = None) -> Overlay:
    """As `read_overlay`, for an object of a scan."""
    if found.kind in ("SEG", "LABELMAP"):
        return Overlay(found.path, found.kind, read_segments(found.path, target, context))
    if found.kind == "RTSTRUCT":
        return Overlay(found.path, found.kind, lay_contours(read_structures(found.path), target))
    if found.kind == "RTDOSE":
        dose = read_dose(found.path, context)
        refuse_dose(dose, target)
        return Overlay(found.path, found.kind, dose)
    raise BadInput(f"an object of this kind ({found.kind}) is not laid over pictures", path=found.path)


def refuse_dose(dose: Dose, target: Target) -> None:
    """Raises Refused where a dose is of another patient or place, or lies wholly outside the image."""
    refuse_stranger(
        "dose",
        dose.path,
        target,
        frame_of_reference_uid=dose.frame_of_reference_uid,
        patient_id=dose.patient_id,
    )
    space = target.space
    if space is None:
        raise Refused("this image carries no geometry, so a dose has no place in it", path=dose.path)
    _, j, i = dose.values.shape
    normal = np.cross(dose.column_lps, dose.row_lps)
    corners = [
        dose.origin_lps + h * normal + r * dose.spacing_mm[0] * dose.row_lps + c * dose.spacing_mm[1] * dose.column_lps
        for h in (dose.heights_mm[0], dose.heights_mm[-1])
        for r in (0, j - 1)
        for c in (0, i - 1)
    ]
    index = space.lps_to_index(np.asarray(corners))
    if np.any(index.max(axis=0) < -0.5) or np.any(index.min(axis=0) > np.asarray(target.size_kji) - 0.5):
        raise Refused("this dose lies outside the image", path=dose.path)


def as_segments(overlay: Overlay, target: Target, context: JobContext | None = None) -> LaidSegments:
    """The masks of an overlay: those of a SEG as they are, contours filled.

    Raises:
        BadInput: it is a dose. Refused: contours fill no mask.
    """
    if isinstance(overlay.content, LaidSegments):
        return overlay.content
    if isinstance(overlay.content, LaidContours):
        try:
            return masks_of(overlay.content, target, context)
        except Refused as refused:
            raise Refused(refused.what, path=overlay.path, remedy=refused.remedy) from refused
    raise BadInput("a dose is no mask", path=overlay.path)


def _mask_file(catalog: Catalog, path: Path, target: Target, context: JobContext | None) -> LaidSegments:
    from scipy.ndimage import find_objects

    from medviewer.formats.masks import label_volume, plain_segments, resample_nearest

    labels, own = label_volume(catalog, path, context)
    if target.grid is None:
        raise Refused("this image carries no geometry, so a mask has no place in it", path=path)
    notes: tuple[str, ...] = ()
    if not own.same_as(target.grid):
        was_empty = not labels.any()
        labels, notes = resample_nearest(labels, own, target.grid), (RESAMPLED,)
        if not was_empty and not labels.any():
            raise Refused("the mask lies outside the image", path=path, remedy="choose the image it was drawn on")
    segments, boxes = [], find_objects(labels)
    for description in plain_segments(labels):
        box = boxes[description.number - 1]
        shares = np.where(labels[box] == description.number, np.uint8(255), np.uint8(0))
        k, j, i = (int(part.start) for part in box)
        segments.append(LaidSegment(description, (k, j, i), shares))
    return LaidSegments(target.size_kji, tuple(segments), "label map", notes)

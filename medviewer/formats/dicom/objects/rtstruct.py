"""RT Structure Sets (PS3.3 A.19, C.8.8.5, C.8.8.6): structures as contours in the patient, as the file gives them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.objects.document import COMMON, REFERENCED_INSTANCE, charsets_of, words
from medviewer.formats.dicom.objects.seg_file import read_elements

STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"

_ROI_NUMBER, _ROI_FRAME, _ROI_ALGORITHM = 0x30060022, 0x30060024, 0x30060036
_ROI_CONTOURS, _REFERENCED_ROI, _ROI_COLOUR = 0x30060039, 0x30060084, 0x3006002A
_CONTOURS, _CONTOUR_KIND, _CONTOUR_DATA, _CONTOUR_IMAGES = 0x30060040, 0x30060042, 0x30060050, 0x30060016
_OBSERVATIONS, _INTERPRETED_TYPE = 0x30060080, 0x300600A4

_WANTED: dict[int, bytes] = {
    **T.WANTED, **COMMON, _ROI_NUMBER: b"IS", _ROI_FRAME: b"UI", _ROI_ALGORITHM: b"CS", _ROI_CONTOURS: b"SQ",
    _REFERENCED_ROI: b"IS", _ROI_COLOUR: b"IS", _CONTOURS: b"SQ", _CONTOUR_KIND: b"CS", _CONTOUR_DATA: b"DS",
    _CONTOUR_IMAGES: b"SQ", _OBSERVATIONS: b"SQ", _INTERPRETED_TYPE: b"CS",
}  # fmt: skip

#: Kinds of contours that enclose an area.
CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
_KINDS = CLOSED | {"POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"}

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One contour.

    Attributes:
        kind: CLOSED_PLANAR, CLOSEDPLANAR_XOR, OPEN_PLANAR, OPEN_NONPLANAR or POINT (3006,0042).
        points_lps: mm, shape (n, 3); the first point is not repeated at the end.
    """

    kind: str
    points_lps: Points

    @property
    def is_closed(self) -> bool:
        """True where it encloses an area."""
        return self.kind in CLOSED


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """One region of interest.

    Attributes:
        number: ROI Number (3006,0022).
        name: ROI Name.
        colour: ROI Display Color (3006,002A) as RGB, None where the file has none.
        kind: RT ROI Interpreted Type (3006,00A4) ("ORGAN", "PTV"), "" where unknown.
        algorithm: how it was made (3006,0036).
        frame_of_reference_uid: of the space that the contours lie in, "" where unknown.
        contours: as the file has them.
    """

    number: int
    name: str
    colour: tuple[int, int, int] | None
    kind: str
    algorithm: str
    frame_of_reference_uid: str
    contours: tuple[Contour, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StructureSet:
    """All structures of a file.

    Attributes:
        path: the file.
        label: Structure Set Label.
        structures: in the file's order.
        patient_id, study_uid: "" where absent.
        images: SOP Instance UIDs of the images that it names.
        faults: what the file does wrong, for people.
    """

    path: Path
    label: str
    structures: tuple[Structure, ...]
    patient_id: str
    study_uid: str
    images: frozenset[str]
    faults: tuple[str, ...]


def read_structures(path: Path) -> StructureSet:
    """Read an RT Structure Set.

    Raises:
        BadInput: it cannot be read or is none.
    """
    header, _ = read_elements(path, _WANTED, "structure set")
    data = header.data
    if (data.text(T.SOP_CLASS) or header.meta.text(0x00020002)) != STRUCTURE_SET_STORAGE:
        raise BadInput("this is no RT Structure Set", path=path)
    charsets = data.texts(T.CHARSET)
    faults: list[str] = []
    kinds = {o.integer(_REFERENCED_ROI): o.text(_INTERPRETED_TYPE).upper() for o in data.items(_OBSERVATIONS)}
    drawn: dict[int | None, Elements] = {}
    for item in data.items(_ROI_CONTOURS):
        drawn.setdefault(item.integer(_REFERENCED_ROI), item)
    frames = [f.text(T.FRAME_OF_REFERENCE) for f in data.items(T.RT_REFERENCED_FRAMES)]
    default_frame = data.text(T.FRAME_OF_REFERENCE) or (frames[0] if len(frames) == 1 else "")
    images: set[str] = set()
    structures: dict[int, Structure] = {}
    for item in data.items(T.STRUCTURE_SET_ROIS):
        number = item.integer(_ROI_NUMBER)
        if number is None or number in structures:
            faults.append("a structure has no number" if number is None else f"structure {number} is there twice")
            continue
        own = drawn.pop(number, Elements())
        name = words(item, T.ROI_NAME, charsets_of(item, charsets)) or f"ROI {number}"
        structures[number] = Structure(
            number=number,
            name=name,
            colour=_colour(own),
            kind=kinds.get(number, ""),
            algorithm=item.text(_ROI_ALGORITHM),
            frame_of_reference_uid=item.text(_ROI_FRAME) or default_frame,
            contours=_contours(own, name, images, faults),
        )
    if drawn:
        faults.append(f"contours of {len(drawn)} structures that the file does not name are left out")
    for frame in data.items(T.RT_REFERENCED_FRAMES):
        for study in frame.items(T.RT_REFERENCED_STUDY):
            for series in study.items(T.RT_REFERENCED_SERIES):
                images.update(i.text(REFERENCED_INSTANCE) for i in series.items(_CONTOUR_IMAGES))
    return StructureSet(
        path=path,
        label=words(data, T.STRUCTURE_SET_LABEL, charsets),
        structures=tuple(structures.values()),
        patient_id=words(data, T.PATIENT_ID, charsets),
        study_uid=data.text(T.STUDY_UID),
        images=frozenset(images - {""}),
        faults=tuple(faults),
    )


def _colour(item: Elements) -> tuple[int, int, int] | None:
    values = item.vector(_ROI_COLOUR, 3)
    if values is None or not all(0 <= v <= 255 for v in values):
        return None
    red, green, blue = (round(v) for v in values)
    return red, green, blue


def _contours(roi: Elements, name: str, images: set[str], faults: list[str]) -> tuple[Contour, ...]:
    found: list[Contour] = []
    seen: set[tuple[str, bytes]] = set()
    wrong: Counter[str] = Counter()
    for item in roi.items(_CONTOURS):
        images.update(i.text(REFERENCED_INSTANCE) for i in item.items(_CONTOUR_IMAGES))
        points = _points(item.bytes(_CONTOUR_DATA))
        kind = item.text(_CONTOUR_KIND).upper() or "CLOSED_PLANAR"
        if points is None:
            wrong["are damaged"] += 1
        elif kind not in _KINDS:
            wrong[f"are of an unknown kind ({kind[:16]})"] += 1
        elif (kind, points.tobytes()) in seen:
            wrong["are there twice"] += 1
        else:
            seen.add((kind, points.tobytes()))
            found.append(Contour("POINT" if len(points) == 1 else kind, points))
    faults += [f"{count} contours of {name} {why} and are left out" for why, count in wrong.items()]
    return tuple(found)


def _points(value: bytes) -> Points | None:
    """x\\y\\z\\x\\y\\z... as (n, 3); None where it is not that."""
    try:
        numbers = np.array(value.strip(b" \0").split(b"\\"), dtype=np.float64)
    except ValueError:
        return None
    if numbers.size < 3 or numbers.size % 3 or not np.isfinite(numbers).all():
        return None
    points = numbers.reshape(-1, 3)
    if len(points) > 1 and np.array_equal(points[0], points[-1]):
        points = points[:-1]
    return points

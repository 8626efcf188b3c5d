"""One line for people about a radiotherapy object or a segmentation, from the header alone.

"SEG - 3 segments: Liver, Tumour, Vessel - binary, 76 frames"; "RTSTRUCT - Plan A - 5 structures: ..."; "RTDOSE - PLAN,
Gy, 40 planes". How much the largest dose is stands in the pixels, which a scan does not read; see `formats.objects`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.text import decode

#: Names that a line lists before "...".
_NAMES_SHOWN = 6

#: Dose Units (3004,0002) as people write them.
DOSE_UNITS = {"GY": "Gy", "RELATIVE": "relative"}


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 segment", "3 segments"."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def summary_parts(kind: str, data: Elements) -> list[str]:
    """What the header of a SEG, LABELMAP, RTSTRUCT, RTDOSE or RTPLAN says, as parts of a line; [] for other kinds."""
    describe = _DESCRIBE.get(kind)
    return [] if describe is None else [part for part in describe(data) if part]


def _text(data: Elements, tag: int, charsets: Sequence[str]) -> str:
    return " ".join(decode(data.bytes(tag), charsets)[0].split())


def _names(items: Sequence[Elements], tag: int, charsets: Sequence[str]) -> str:
    names = [_text(item, tag, charsets) or "?" for item in items[:_NAMES_SHOWN]]
    return ", ".join(names) + (", ..." if len(items) > _NAMES_SHOWN else "")


def _listing(number: int, what: str, names: str) -> str:
    return f"{counted(number, what)}: {names}" if number else f"no {what}s"


def _segmentation(data: Elements) -> list[str]:
    charsets = data.texts(T.CHARSET)
    segments = [s for s in data.items(T.SEGMENT_SEQUENCE) if s.integer(T.SEGMENT_NUMBER) != 0]  # 0: background
    kind = {"BINARY": "binary", "FRACTIONAL": "fractional", "LABELMAP": "label map"}.get(
        data.text(T.SEGMENTATION_TYPE).upper(), ""
    )
    if kind == "fractional":
        meaning = data.text(T.FRACTIONAL_TYPE).lower()
        kind = f"fractional ({meaning})" if meaning in ("probability", "occupancy") else kind
    frames = counted(data.integer(T.FRAMES) or 1, "frame")
    tiled = "whole-slide tiles" if data.bytes(T.TOTAL_COLUMNS) else ""
    names = _names(segments, T.SEGMENT_LABEL, charsets)
    return [_listing(len(segments), "segment", names), ", ".join(part for part in (kind, frames, tiled) if part)]


def _structures(data: Elements) -> list[str]:
    charsets = data.texts(T.CHARSET)
    rois = data.items(T.STRUCTURE_SET_ROIS)
    label = _text(data, T.STRUCTURE_SET_LABEL, charsets)
    return [label, _listing(len(rois), "structure", _names(rois, T.ROI_NAME, charsets))]


def _dose(data: Elements) -> list[str]:
    units = data.text(T.DOSE_UNITS)
    facts = (
        data.text(T.DOSE_SUMMATION).upper(),
        DOSE_UNITS.get(units.upper(), units),
        "" if data.text(T.DOSE_TYPE).upper() in ("", "PHYSICAL") else data.text(T.DOSE_TYPE).lower(),
        counted(data.integer(T.FRAMES) or 1, "plane"),
    )
    return [", ".join(fact for fact in facts if fact)]


def _plan(data: Elements) -> list[str]:
    charsets = data.texts(T.CHARSET)
    label = _text(data, T.PLAN_LABEL, charsets) or _text(data, T.PLAN_NAME, charsets)
    beams = len(data.items(T.BEAMS)) or len(data.items(T.ION_BEAMS))
    fractions = [n for n in (g.integer(T.FRACTIONS_PLANNED) for g in data.items(T.FRACTION_GROUPS)) if n]
    doses = [d for d in (r.number(T.TARGET_PRESCRIPTION) for r in data.items(T.DOSE_REFERENCES)) if d]
    facts = (
        counted(beams, "beam") if beams else "",
        counted(fractions[0], "fraction") if fractions else "",
        f"{max(doses):g} Gy prescribed" if doses else "",
        data.text(T.APPROVAL).lower(),
    )
    return [label, ", ".join(fact for fact in facts if fact)]


_DESCRIBE: dict[str, Callable[[Elements], list[str]]] = {
    "SEG": _segmentation,
    "LABELMAP": _segmentation,
    "RTSTRUCT": _structures,
    "RTDOSE": _dose,
    "RTPLAN": _plan,
}


def frame_of_reference(data: Elements) -> str:
    """Frame of Reference UID of the object; of a structure set, the first that it names (PS3.3 C.8.8.5)."""
    own = data.text(T.FRAME_OF_REFERENCE)
    if own:
        return own
    return next((uid for uid in (f.text(T.FRAME_OF_REFERENCE) for f in data.items(T.RT_REFERENCED_FRAMES)) if uid), "")

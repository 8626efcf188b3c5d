"""A DICOM Segmentation as its file has it: what the segments are, and for each frame its pixels and its place.

Nothing is laid on an image here (`seg_lay.py` does that). Damage is kept with what it concerns: a frame that cannot be
read costs its segment, not the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, Refused
from medviewer.formats import source
from medviewer.formats.catalog import FrameRef, PixelLayout
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.codes import TISSUE, Code, SegmentMeaning
from medviewer.formats.dicom.elements import Elements, Header, HeaderFault, NeedMore, parse_header
from medviewer.formats.dicom.headers.pixel_layout import pixel_layout
from medviewer.formats.dicom.objects.document import (
    CODE_SCHEME,
    CODE_VALUE,
    COMMON,
    LONG_CODE_VALUE,
    REFERENCED_FRAMES,
    REFERENCED_INSTANCE,
    REFERENCED_SEGMENTS,
    URN_CODE_VALUE,
    charsets_of,
    words,
)
from medviewer.formats.dicom.objects.lab import rgb_of_lab
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import palette_of, read_stored
from medviewer.formats.dicom.syntaxes import NATIVE
from medviewer.formats.source import SourceFault

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"

_ALGORITHM_TYPE = 0x00620008
_ALGORITHM_NAME_OLD = 0x00620009
_ALGORITHM = 0x00620007
_IDENTIFICATION = 0x0062000A
_CATEGORY, _KIND, _MODIFIER = 0x00620003, 0x0062000F, 0x00620011
_REGION = 0x00082218
_COLOUR = 0x0062000D
_MAXIMUM_FRACTION = 0x0062000E
_TRACKING_ID, _TRACKING_UID = 0x00620020, 0x00620021
_NAME, _VERSION, _PARAMETERS = 0x00660036, 0x00660031, 0x00660032
_DERIVATION, _SOURCE = 0x00089124, 0x00082112
_SLIDE_POSITION = 0x0048021A

#: The elements of a segmentation beside what every scan reads.
_WANTED: dict[int, bytes] = {
    **T.WANTED, **COMMON, _ALGORITHM_TYPE: b"CS", _ALGORITHM_NAME_OLD: b"LO", _ALGORITHM: b"SQ",
    _IDENTIFICATION: b"SQ", _CATEGORY: b"SQ", _KIND: b"SQ", _MODIFIER: b"SQ", _REGION: b"SQ", _COLOUR: b"US",
    _MAXIMUM_FRACTION: b"US", _TRACKING_ID: b"UT", _TRACKING_UID: b"UI", _NAME: b"LO", _VERSION: b"LO",
    _PARAMETERS: b"LT", _DERIVATION: b"SQ", _SOURCE: b"SQ", _SLIDE_POSITION: b"SQ",
}  # fmt: skip

#: Orientation vectors that differ more than this from unit length and a right angle place nothing.
_CROOKED = 1e-2

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SegDescription:
    """What one segment of a DICOM SEG is.

    Attributes:
        number: its value in the label map.
        label: Segment Label (0062,0005).
        meaning: coded category, type, modifier, anatomic region.
        colour: RGB of Recommended Display CIELab Value (0062,000D), None where the file has none.
        algorithm_type: AUTOMATIC, SEMIAUTOMATIC (a person edited) or MANUAL (0062,0008).
        algorithm_name, algorithm_version: of Segmentation Algorithm Identification (0062,0007).
        algorithm_parameters: name and value, as in Algorithm Parameters (0066,0032).
        tracking_id, tracking_uid: (0062,0020), (0062,0021).
    """

    number: int
    label: str
    meaning: SegmentMeaning = field(default_factory=SegmentMeaning)
    colour: tuple[int, int, int] | None = None
    algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "MANUAL"
    algorithm_name: str = ""
    algorithm_version: str = ""
    algorithm_parameters: tuple[tuple[str, str], ...] = ()
    tracking_id: str = ""
    tracking_uid: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FramePlace:
    """Where a frame lies, mm in LPS: centre of its first pixel, steps of one column and of one row.

    `spacing_mm` and `thickness_mm` are what the file says about the distance and the thickness of its planes.
    """

    origin_lps: Float
    column_step_lps: Float
    row_step_lps: Float
    spacing_mm: float | None = None
    thickness_mm: float | None = None

    @property
    def normal_lps(self) -> Float:
        """Unit vector through the plane: row direction x column direction."""
        normal = np.cross(self.column_step_lps, self.row_step_lps)
        unit: Float = normal / np.linalg.norm(normal)
        return unit


@dataclass(frozen=True, slots=True, eq=False)
class SegFrame:
    """One frame.

    Attributes:
        index: in the file, from 0.
        number: of its segment; 0 in a label map, whose frames hold many.
        place: where it lies; None where the file does not say (or says nonsense).
        images: SOP Instance UID and frame number (from 1) of the images that it was drawn on.
    """

    index: int
    number: int
    place: FramePlace | None
    images: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class SegFile:
    """A segmentation as its file has it.

    Attributes:
        path: the file.
        kind: "binary", "fractional" or "label map".
        meaning: of fractions, "probability" or "occupancy"; "" otherwise.
        segments: what is described, in the file's order, the background left out.
        frames: those that can be read as far as the header says.
        rows, columns: of each frame.
        frame_of_reference_uid, study_uid, patient_id: "" where absent.
        series: UIDs of the series that it refers to.
        is_tiled: drawn on a whole-slide image.
        faults: sentences about what the file does wrong.
    """

    path: Path
    kind: Literal["binary", "fractional", "label map"]
    meaning: str
    segments: tuple[SegDescription, ...]
    frames: tuple[SegFrame, ...]
    rows: int
    columns: int
    frame_of_reference_uid: str
    study_uid: str
    patient_id: str
    series: tuple[str, ...]
    is_tiled: bool
    faults: tuple[str, ...]
    _layout: PixelLayout
    _data_offset: int
    _largest: int

    def stored(self, frame: SegFrame) -> NDArray[np.generic]:
        """Stored values `[row, column]` of a frame.

        Raises:
            PixelFault: they cannot be decoded. OSError, SourceFault: the file cannot be read any more.
        """
        if frame.index >= self._layout.frames:
            raise PixelFault("truncated", "the file is cut short")
        return read_stored(FrameRef(self.path, frame.index, layout=self._layout, data_offset=self._data_offset))

    def shares(self, frame: SegFrame) -> NDArray[np.uint8]:
        """What part of each pixel a frame of one segment marks, uint8, 255 for all of it; at least 128 is one half."""
        values = self.stored(frame)
        if self.kind != "fractional":
            return np.where(values != 0, np.uint8(255), np.uint8(0))
        if self._largest == 255 and values.dtype == np.uint8:
            return values.astype(np.uint8)
        scaled = np.floor(values.astype(np.float64) * 255 / self._largest + 0.5)
        return np.clip(scaled, 0, 255).astype(np.uint8)


def read_elements(path: Path, vr_of: dict[int, bytes], what: str) -> tuple[Header, int]:
    """Elements of an object before its pixels, and the file's size; only as much of the file is read as is needed.

    Args:
        path: the file, or the member of an archive.
        vr_of: the elements to keep, with their VR.
        what: what the file is, for sentences ("segmentation").

    Raises:
        BadInput: it cannot be read.
    """
    try:
        size = source.size_of(path)
        wanted = min(size, 1 << 18)
        while True:
            buffer = source.read_start(path, wanted)
            try:
                return parse_header(buffer, size, vr_of), size
            except NeedMore as more:
                if wanted >= size:
                    raise BadInput(f"the {what} is cut short", path=path) from more
                wanted = min(size, max(more.wanted, 4 * wanted))
    except HeaderFault as fault:
        raise BadInput(f"the {what} cannot be read: {fault.reason}", path=path) from fault
    except SourceFault as fault:
        raise BadInput(f"the {what} cannot be read: {fault.reason}", path=path) from fault
    except OSError as error:
        raise BadInput(f"the {what} cannot be read: {error.strerror or error}", path=path) from error


def layout_of(header: Header, size: int, path: Path, what: str) -> tuple[PixelLayout, int]:
    """How an object's pixels are stored, and where plain little endian ones begin (else -1).

    Raises:
        BadInput: the header of the pixels is damaged, or they are not there.
    """
    try:
        if not header.pixel_tag:
            raise HeaderFault("no-pixels", "it has no pixels")
        layout, _ = pixel_layout(header, size)
    except HeaderFault as fault:
        raise BadInput(f"the {what} cannot be read: {fault.reason}", path=path) from fault
    plain = layout.transfer_syntax in NATIVE and not header.deflated
    is_little = layout.transfer_syntax != "1.2.840.10008.1.2.2"
    return layout, header.pixel_offset if plain and is_little else -1


def open_seg_file(path: Path) -> SegFile:
    """Read what a segmentation says of itself.

    Raises:
        BadInput: it cannot be read or is no segmentation.
    """
    header, size = read_elements(path, _WANTED, "segmentation")
    data = header.data
    sop_class = data.text(T.SOP_CLASS) or header.meta.text(0x00020002)
    if sop_class not in (SEGMENTATION_STORAGE, LABEL_MAP_STORAGE):
        raise BadInput("this is no DICOM segmentation", path=path)
    layout, offset = layout_of(header, size, path, "segmentation")
    if layout.samples != 1:
        raise BadInput("the segmentation has colours instead of segments", path=path)
    is_map = sop_class == LABEL_MAP_STORAGE or data.text(T.SEGMENTATION_TYPE).upper() == "LABELMAP"
    is_fractional = data.text(T.SEGMENTATION_TYPE).upper() == "FRACTIONAL"
    faults: list[str] = []
    segments = _descriptions(data, path if layout.is_palette else None, faults)
    frames = _frames(data, layout.frames, faults, is_map=is_map)
    largest = data.integer(_MAXIMUM_FRACTION) or (1 if layout.bits_stored == 1 else 255)
    return SegFile(
        path=path,
        kind="label map" if is_map else "fractional" if is_fractional else "binary",
        meaning=data.text(T.FRACTIONAL_TYPE).lower() if is_fractional else "",
        segments=segments,
        frames=frames,
        rows=layout.rows,
        columns=layout.columns,
        frame_of_reference_uid=data.text(T.FRAME_OF_REFERENCE),
        study_uid=data.text(T.STUDY_UID),
        patient_id=words(data, T.PATIENT_ID, data.texts(T.CHARSET)),
        series=tuple(s.text(T.SERIES_UID) for s in data.items(T.REFERENCED_SERIES)),
        is_tiled=T.TOTAL_COLUMNS in data or any(_SLIDE_POSITION in f for f in data.items(T.PER_FRAME_GROUPS)[:1]),
        faults=tuple(faults),
        _layout=layout,
        _data_offset=offset,
        _largest=max(1, largest),
    )


# -- what the segments are ---------------------------------------------------------------------------------------------


def _descriptions(data: Elements, palette: Path | None, faults: list[str]) -> tuple[SegDescription, ...]:
    colours = _palette_colours(palette, faults)
    charsets = data.texts(T.CHARSET)
    found: dict[int, SegDescription] = {}
    for item in data.items(T.SEGMENT_SEQUENCE):
        number = item.integer(T.SEGMENT_NUMBER)
        if number == 0:  # the background of a label map
            continue
        if number is None or not 0 < number <= 0xFFFF:
            faults.append("a segment has no number")
        elif number in found:
            faults.append(f"segment {number} is described twice; the second is left out")
        else:
            found[number] = _description(item, number, charsets_of(item, charsets), colours(number))
    return tuple(found.values())


def _palette_colours(path: Path | None, faults: list[str]) -> Callable[[int], tuple[int, int, int] | None]:
    """The colour of a label map's value by its palette (None: it has none)."""
    table = None
    if path is not None:
        try:
            table = palette_of(path)
        except (PixelFault, SourceFault, OSError):
            faults.append("the colour table is damaged; other colours are used")

    def colour(number: int) -> tuple[int, int, int] | None:
        if table is None:
            return None
        colours, first = table
        red, green, blue = colours[min(max(number - first, 0), len(colours) - 1)].tolist()
        return int(red), int(green), int(blue)

    return colour


def _code(items: Sequence[Elements], charsets: tuple[str, ...]) -> Code | None:
    if not items:
        return None
    item = items[0]
    charsets = charsets_of(item, charsets)
    value = item.text(CODE_VALUE) or item.text(LONG_CODE_VALUE) or item.text(URN_CODE_VALUE)
    return Code(value, item.text(CODE_SCHEME), words(item, T.CODE_MEANING, charsets))


def _description(
    item: Elements, number: int, charsets: tuple[str, ...], palette: tuple[int, int, int] | None
) -> SegDescription:
    kinds = item.items(_KIND)
    meaning = SegmentMeaning(
        _code(item.items(_CATEGORY), charsets) or TISSUE,
        _code(kinds, charsets) or TISSUE,
        _code(kinds[0].items(_MODIFIER), charsets) if kinds else None,
        _code(item.items(_REGION), charsets),
    )
    algorithm = item.item(_ALGORITHM)
    kind = item.text(_ALGORITHM_TYPE).upper()
    return SegDescription(
        number=number,
        label=words(item, T.SEGMENT_LABEL, charsets) or f"Segment {number}",
        meaning=meaning,
        colour=rgb_of_lab(item.numbers(_COLOUR)) or palette,
        algorithm_type="AUTOMATIC" if kind == "AUTOMATIC" else "SEMIAUTOMATIC" if kind == "SEMIAUTOMATIC" else "MANUAL",
        algorithm_name=words(algorithm, _NAME, charsets) or words(item, _ALGORITHM_NAME_OLD, charsets),
        algorithm_version=words(algorithm, _VERSION, charsets),
        algorithm_parameters=_parameters(words(algorithm, _PARAMETERS, charsets)),
        tracking_id=words(item, _TRACKING_ID, charsets),
        tracking_uid=item.text(_TRACKING_UID),
    )


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    """The "name=value,name=value" that highdicom writes; anything else as one nameless value."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


# -- where the frames lie ----------------------------------------------------------------------------------------------


def _frames(data: Elements, count: int, faults: list[str], *, is_map: bool) -> tuple[SegFrame, ...]:
    per_frame = data.items(T.PER_FRAME_GROUPS)
    shared = data.item(T.SHARED_GROUPS)
    if len(per_frame) > count:
        faults.append(f"{len(per_frame) - count} of {len(per_frame)} frames have no pixels: the file is cut short")
    elif len(per_frame) < count:
        faults.append(f"{count - len(per_frame)} of {count} frames say nothing about themselves and are left out")
    frames = []
    for index, own in enumerate(per_frame):
        number = 0
        if not is_map:
            number = _group(own, shared, _IDENTIFICATION).integer(REFERENCED_SEGMENTS) or 0
        frames.append(SegFrame(index, number, _place(own, shared), _images(own, shared)))
    return tuple(frames)


def _group(own: Elements, shared: Elements, name: int) -> Elements:
    """An item of a functional group: of the frame, else of all frames."""
    return own.item(name) if own.items(name) else shared.item(name)


def _place(own: Elements, shared: Elements) -> FramePlace | None:
    position = _group(own, shared, T.PLANE_POSITION).vector(T.POSITION, 3)
    directions = _group(own, shared, T.PLANE_ORIENTATION).vector(T.ORIENTATION, 6)
    measures = _group(own, shared, T.PIXEL_MEASURES)
    spacing = measures.vector(T.PIXEL_SPACING, 2)
    if position is None or directions is None or spacing is None or min(spacing) <= 0:
        return None
    return frame_place(
        position, directions, spacing, measures.number(T.SPACING_BETWEEN), measures.number(T.SLICE_THICKNESS)
    )


def frame_place(
    position: Sequence[float],
    directions: Sequence[float],
    spacing: Sequence[float],
    between: float | None = None,
    thickness: float | None = None,
) -> FramePlace | None:
    """A place from Image Position, Image Orientation and Pixel Spacing (PS3.3 C.7.6.2); None where it is none.

    Orientations that are off by rounding are made straight, as those of images are.
    """
    across, down = np.asarray(directions[:3], dtype=np.float64), np.asarray(directions[3:], dtype=np.float64)
    lengths = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(across @ down))) > _CROOKED:
        return None
    across = across / lengths[0]
    down = down - across * (across @ down)
    down = down / np.linalg.norm(down)
    return FramePlace(
        np.asarray(position, dtype=np.float64),
        across * spacing[1],
        down * spacing[0],
        abs(between) if between else None,
        abs(thickness) if thickness else None,
    )


def _images(own: Elements, shared: Elements) -> tuple[tuple[str, int], ...]:
    """The images that a frame was drawn on, by the Derivation Image functional group."""
    found: list[tuple[str, int]] = []
    for image in _group(own, shared, _DERIVATION).items(_SOURCE):
        numbers = [int(n) for n in image.numbers(REFERENCED_FRAMES) if n] or [1]
        found += [(image.text(REFERENCED_INSTANCE), n) for n in numbers]
    return tuple(found)


def refuse_tiled(seg: SegFile) -> None:
    """Raises Refused for a segmentation of a whole-slide image."""
    if seg.is_tiled:
        raise Refused(
            "this segmentation belongs to a whole-slide image, and those are not shown here",
            path=seg.path,
            remedy="open it in a microscopy viewer",
        )

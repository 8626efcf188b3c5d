"""Softcopy presentation states: how somebody wants images to be shown, and what was drawn on them (PS3.3 A.33).

A presentation state is read into plain values and changes nothing by itself; it is applied on request and can be taken
away again. Colour, pseudo-colour and blending states are read too, as far as annotations, areas and transforms go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.headers.luts import modality_table, read_table, read_windows
from medviewer.formats.dicom.headers.overlay_planes import overlay_bits, read_overlay_planes
from medviewer.formats.dicom.headers.shutter import read_shutter
from medviewer.formats.dicom.objects import document as D
from medviewer.formats.dicom.objects.document import ImageReference, count_text
from medviewer.formats.dicom.objects.lab import rgb_of_lab
from medviewer.formats.dicom.text import one_line
from medviewer.volume.lut import LookupTable
from medviewer.volume.overlay_plane import OverlayPlane
from medviewer.volume.shutter import Shutter
from medviewer.volume.window import Window

#: Annotations, and points of all of them, that are kept.
MAX_ANNOTATIONS, MAX_POINTS = 20_000, 2_000_000

_LABEL, _DESCRIPTION, _CREATED, _CREATED_AT, _CREATOR = 0x00700080, 0x00700081, 0x00700082, 0x00700083, 0x00700084
_ANNOTATIONS, _LAYER, _TEXTS, _GRAPHICS = 0x00700001, 0x00700002, 0x00700008, 0x00700009
_BOX_UNITS, _ANCHOR_UNITS, _TEXT, _BOX_TOP, _BOX_BOTTOM = 0x00700003, 0x00700004, 0x00700006, 0x00700010, 0x00700011
_JUSTIFIED, _ANCHOR, _ANCHOR_SHOWN, _TEXT_STYLE, _TEXT_COLOUR = (
    0x00700012, 0x00700014, 0x00700015, 0x00700231, 0x00700241,
)  # fmt: skip
_UNITS, _POINTS, _SHAPE, _FILLED = 0x00700005, 0x00700022, 0x00700023, 0x00700024
_LINE_STYLE, _LINE_COLOUR, _LINE_WIDTH, _COMPOUND = 0x00700232, 0x00700251, 0x00700253, 0x00700209
_LAYERS, _ORDER, _GREY, _RGB, _LAB, _LAYER_WORDS = (
    0x00700060, 0x00700062, 0x00700066, 0x00700067, 0x00700401, 0x00700068,
)  # fmt: skip
_FLIP, _ROTATION = 0x00700041, 0x00700042
_AREAS, _AREA_TOP, _AREA_BOTTOM, _SIZE_MODE, _AREA_SPACING, _AREA_ASPECT, _MAGNIFICATION = (
    0x0070005A, 0x00700052, 0x00700053, 0x00700100, 0x00700101, 0x00700102, 0x00700103,
)  # fmt: skip
_SOFTCOPY_VOI = 0x00283110
_PRESENTATION_LUT, _BITMAP_GROUP = 0x20500010, 0x00181623

GSPS_ELEMENTS: dict[int, bytes] = {
    **T.WANTED, **{0x60001001 | group << 16: b"CS" for group in range(0, 0x20, 2)}, _BITMAP_GROUP: b"US",
    _LABEL: b"CS", _DESCRIPTION: b"LO", _CREATED: b"DA", _CREATED_AT: b"TM", _CREATOR: b"PN", _ANNOTATIONS: b"SQ",
    _LAYER: b"CS", _TEXTS: b"SQ", _GRAPHICS: b"SQ", _BOX_UNITS: b"CS", _ANCHOR_UNITS: b"CS", _TEXT: b"ST",
    _BOX_TOP: b"FL", _BOX_BOTTOM: b"FL", _JUSTIFIED: b"CS", _ANCHOR: b"FL", _ANCHOR_SHOWN: b"CS", _TEXT_STYLE: b"SQ",
    _TEXT_COLOUR: b"US", _UNITS: b"CS", _POINTS: b"FL", _SHAPE: b"CS", _FILLED: b"CS", _LINE_STYLE: b"SQ",
    _LINE_COLOUR: b"US", _LINE_WIDTH: b"FL", _COMPOUND: b"SQ", _LAYERS: b"SQ", _ORDER: b"IS", _GREY: b"US",
    _RGB: b"US", _LAB: b"US", _LAYER_WORDS: b"LO", _FLIP: b"CS", _ROTATION: b"US", _AREAS: b"SQ", _AREA_TOP: b"SL",
    _AREA_BOTTOM: b"SL", _SIZE_MODE: b"CS", _AREA_SPACING: b"DS", _AREA_ASPECT: b"IS", _MAGNIFICATION: b"FL",
    _SOFTCOPY_VOI: b"SQ", _PRESENTATION_LUT: b"SQ", T.PRESENTATION_SHAPE: b"CS",
}  # fmt: skip

_CLASSES = {
    "11.1": "grayscale", "11.2": "colour", "11.3": "pseudo-colour", "11.4": "blending", "11.5": "XA/XRF grayscale",
    "11.6": "planar MPR", "11.7": "planar MPR", "11.8": "advanced blending", "11.9": "volume rendering",
    "11.10": "segmented volume rendering", "11.11": "multiple volume rendering", "11.12": "variable modality LUT",
    "79.1": "stereometric relationship",
}  # fmt: skip
_CLASS_ROOT = "1.2.840.10008.5.1.4.1.1."


@dataclass(frozen=True, slots=True)
class SoftcopyVoi:
    """Which windows or tables for which images (none named: for all); the first one counts."""

    images: tuple[ImageReference, ...]
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class DisplayedArea:
    """Which part of images is shown, and how large (PS3.3 C.10.4).

    Attributes:
        images: for which; empty for all.
        first, last: (column, row) of the corner pixels, counted from 1 and as shown: after rotation and flip the first
            is at the top left of the screen.
        size_mode: "SCALE TO FIT", "TRUE SIZE" or "MAGNIFY".
        magnification: screen pixels for an image pixel, for MAGNIFY.
        spacing: (row distance, column distance) in mm, or None.
        aspect: (vertical, horizontal) pixel aspect, or None.
    """

    images: tuple[ImageReference, ...]
    first: tuple[int, int]
    last: tuple[int, int]
    size_mode: str = "SCALE TO FIT"
    magnification: float | None = None
    spacing: tuple[float, float] | None = None
    aspect: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class TextObject:
    """Words on an image (PS3.3 C.10.5).

    Points are (column, row) from the top left corner, or shares of the displayed area.

    Attributes:
        text: plain text, may have several lines.
        box: top left and bottom right corner, or None.
        box_in_pixels, anchor_in_pixels: units; else of the displayed area.
        justification: "LEFT", "RIGHT", "CENTER".
        anchor: the point that the text belongs to, or None.
        anchor_shown: a line leads to it.
        colour: of its own, or None for that of the layer.
    """

    text: str
    box: tuple[tuple[float, float], tuple[float, float]] | None
    box_in_pixels: bool
    justification: str
    anchor: tuple[float, float] | None
    anchor_in_pixels: bool
    anchor_shown: bool
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class GraphicObject:
    """A shape on an image: "POINT", "POLYLINE", "INTERPOLATED", "CIRCLE" or "ELLIPSE"; points as in `TextObject`."""

    shape: str
    points: tuple[tuple[float, float], ...]
    in_pixels: bool
    filled: bool
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """Texts and shapes of one layer on some images; no images stands for all of the presentation state's."""

    layer: str
    images: tuple[ImageReference, ...]
    texts: tuple[TextObject, ...]
    graphics: tuple[GraphicObject, ...]
    compounds: int = 0


@dataclass(frozen=True, slots=True)
class GraphicLayer:
    """A layer: lower orders are drawn first (PS3.3 C.10.7)."""

    name: str
    order: int
    colour: tuple[int, int, int] | None
    description: str = ""


@dataclass(frozen=True, slots=True)
class PresentationState:
    """What a presentation state asks for.

    Attributes:
        kind: "grayscale", "colour", ...
        label, description, creator, created: its own words; `created` is a date for people.
        images: the images it is for, with their series.
        rotation: clockwise in degrees (0, 90, 180, 270), done before the flip.
        flip: mirrored left to right.
        areas, voi, annotations, layers: see there; layers in drawing order.
        rescale: slope, intercept and unit that replace the image's own, or None.
        modality_lut: replaces the image's own, or None.
        inverse: Presentation LUT Shape INVERSE.
        presentation_lut: a table instead of a shape, or None.
        overlays: (group, layer) of overlays that are switched on, of the image or of the presentation state.
        own_overlays: overlay planes that the presentation state brings itself.
        shutter: what it covers, or None; `bitmap_shutter` is the group of an own overlay that covers, 0 for none.
        shutter_brightness: how covered pixels are drawn, 0 black to 1 white.
        path: the file, for the bits of its overlays.
        sop_instance_uid, study_uid: identifiers.
    """

    kind: str
    label: str
    description: str
    creator: str
    created: str
    images: tuple[ImageReference, ...]
    rotation: int = 0
    flip: bool = False
    areas: tuple[DisplayedArea, ...] = ()
    voi: tuple[SoftcopyVoi, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    layers: tuple[GraphicLayer, ...] = ()
    rescale: tuple[float, float, str] | None = None
    modality_lut: LookupTable | None = None
    inverse: bool = False
    presentation_lut: LookupTable | None = None
    overlays: tuple[tuple[int, str], ...] = ()
    own_overlays: tuple[OverlayPlane, ...] = ()
    shutter: Shutter | None = None
    bitmap_shutter: int = 0
    shutter_brightness: float = 0.0
    path: Path | None = None
    sop_instance_uid: str = ""
    study_uid: str = ""

    @property
    def is_grayscale(self) -> bool:
        """True for what can be applied whole; of the other kinds only annotations, areas and transforms are used."""
        return self.kind == "grayscale"

    @property
    def drawn(self) -> int:
        """How many texts and shapes there are."""
        return sum(len(a.texts) + len(a.graphics) for a in self.annotations)

    @property
    def summary(self) -> str:
        """ "'PET WINDOW', 2 annotations, for 12 images" with the kind where it is not grayscale."""
        images = {image.sop_instance_uid for image in self.images}
        parts = (
            f"'{self.label}'" if self.label else self.description or "without a label",
            "" if self.is_grayscale else self.kind,
            count_text(self.drawn, "annotation") if self.drawn else "",
            f"for {count_text(len(images), 'image')}" if images else "for no image",
        )
        return ", ".join(part for part in parts if part)


def read_presentation(path: Path) -> PresentationState:
    """Read a presentation state of any kind.

    Raises:
        BadInput: it cannot be read.
    """
    header = D.read_document(path, GSPS_ELEMENTS)
    data = header.data
    charsets = data.texts(T.CHARSET)
    sop_class = data.text(T.SOP_CLASS) or header.meta.text(0x00020002)
    kind = _CLASSES.get(sop_class.removeprefix(_CLASS_ROOT), "")
    if not kind and T.REFERENCED_SERIES not in data:
        raise BadInput("this is no presentation state", path=path)
    budget = [MAX_POINTS]
    annotations = [_annotation(item, charsets, budget) for item in data.items(_ANNOTATIONS)[:MAX_ANNOTATIONS]]
    rescale = _rescale(data, charsets)
    signed = rescale is not None and rescale[1] < 0
    table = modality_table(data, signed=False)
    return PresentationState(
        kind=kind or "grayscale",
        label=one_line(data.text(_LABEL)),
        description=D.words(data, _DESCRIPTION, charsets),
        creator=D.person(data, _CREATOR, charsets),
        created=D.date_text(one_line(data.text(_CREATED))),
        images=tuple(
            D.reference_of(item, series.text(T.SERIES_UID))
            for series in data.items(T.REFERENCED_SERIES)
            for item in series.items(D.REFERENCED_IMAGES)
        ),
        rotation=_rotation(data),
        flip=data.text(_FLIP).upper() == "Y",
        areas=tuple(area for item in data.items(_AREAS) if (area := _area(item)) is not None),
        voi=tuple(_voi(item, signed) for item in data.items(_SOFTCOPY_VOI)),
        annotations=tuple(annotations),
        layers=_layers(data, charsets),
        rescale=rescale,
        modality_lut=None if table is None else table[0].table,
        inverse=data.text(T.PRESENTATION_SHAPE).upper() == "INVERSE",
        presentation_lut=read_table(data.item(_PRESENTATION_LUT), signed=False).table,
        overlays=tuple(
            (0x6000 | group, one_line(data.text(0x60001001 | group << 16)))
            for group in range(0, 0x20, 2)
            if data.text(0x60001001 | group << 16)
        ),
        own_overlays=tuple(read_overlay_planes(data)[0]),
        shutter=read_shutter(data),
        bitmap_shutter=(data.integer(_BITMAP_GROUP) or 0) if "BITMAP" in data.texts(T.SHUTTER_SHAPE) else 0,
        shutter_brightness=min(max((data.number(T.SHUTTER_VALUE) or 0.0) / 65535, 0.0), 1.0),
        path=path,
        sop_instance_uid=data.text(T.SOP_INSTANCE),
        study_uid=data.text(T.STUDY_UID),
    )


def own_overlay_bits(state: PresentationState, plane: OverlayPlane) -> NDArray[np.bool_]:
    """The bits [rows, columns] of an overlay plane that the state itself brings.

    Raises:
        BadInput: the file cannot be read any more, or has other overlays now.
    """
    if state.path is None:
        raise BadInput("the presentation state has no file any more")
    try:
        return overlay_bits(D.read_document(state.path, GSPS_ELEMENTS).data, plane)
    except ValueError as fault:
        raise BadInput("the presentation state's overlay has no bits", path=state.path) from fault


def _rotation(data: Elements) -> int:
    degrees = data.integer(_ROTATION)
    return degrees % 360 if degrees is not None and degrees % 90 == 0 else 0


def _images(item: Elements) -> tuple[ImageReference, ...]:
    return tuple(D.reference_of(image) for image in item.items(D.REFERENCED_IMAGES))


def _area(item: Elements) -> DisplayedArea | None:
    first, last = item.vector(_AREA_TOP, 2), item.vector(_AREA_BOTTOM, 2)
    if first is None or last is None:
        return None
    spacing, aspect = item.vector(_AREA_SPACING, 2), item.vector(_AREA_ASPECT, 2)
    magnification = item.number(_MAGNIFICATION)
    return DisplayedArea(
        images=_images(item),
        first=(int(first[0]), int(first[1])),
        last=(int(last[0]), int(last[1])),
        size_mode=" ".join(item.text(_SIZE_MODE).upper().split()) or "SCALE TO FIT",
        magnification=magnification if magnification is not None and magnification > 0 else None,
        spacing=(spacing[0], spacing[1]) if spacing is not None and min(spacing) > 0 else None,
        aspect=(aspect[0], aspect[1]) if aspect is not None and min(aspect) > 0 else None,
    )


def _voi(item: Elements, signed: bool) -> SoftcopyVoi:
    windows, _ = read_windows(item, signed=signed)
    return SoftcopyVoi(_images(item), windows)


def _rescale(data: Elements, charsets: tuple[str, ...]) -> tuple[float, float, str] | None:
    slope, intercept = data.number(T.RESCALE_SLOPE), data.number(T.RESCALE_INTERCEPT)
    if slope is None or intercept is None or slope == 0:
        return None
    return slope, intercept, D.words(data, T.RESCALE_TYPE, charsets)


def _layers(data: Elements, charsets: tuple[str, ...]) -> tuple[GraphicLayer, ...]:
    layers = []
    for item in data.items(_LAYERS)[:1000]:
        colour = _lab(item, _LAB)
        grey, rgb = item.number(_GREY), item.vector(_RGB, 3)
        if colour is None and rgb is not None:
            colour = _eight_bit(rgb)
        if colour is None and grey is not None:
            colour = _eight_bit((grey, grey, grey))
        words = D.words(item, _LAYER_WORDS, D.charsets_of(item, charsets))
        layers.append(GraphicLayer(one_line(item.text(_LAYER)), item.integer(_ORDER) or 0, colour, words))
    return tuple(sorted(layers, key=lambda layer: layer.order))


def _eight_bit(values: Sequence[float]) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(v / 65535 * 255))) for v in values)
    return red, green, blue


def _lab(item: Elements, tag: int) -> tuple[int, int, int] | None:
    values = item.vector(tag, 3)
    return None if values is None else rgb_of_lab(values)


def _annotation(item: Elements, charsets: tuple[str, ...], budget: list[int]) -> Annotation:
    charsets = D.charsets_of(item, charsets)
    texts = [_text_object(text, charsets) for text in item.items(_TEXTS)[:MAX_ANNOTATIONS]]
    graphics = [_graphic_object(graphic, budget) for graphic in item.items(_GRAPHICS)[:MAX_ANNOTATIONS]]
    return Annotation(
        one_line(item.text(_LAYER)),
        _images(item),
        tuple(text for text in texts if text is not None),
        tuple(graphic for graphic in graphics if graphic is not None),
        len(item.items(_COMPOUND)),
    )


def _point(item: Elements, tag: int) -> tuple[float, float] | None:
    point = item.vector(tag, 2)
    return None if point is None else (point[0], point[1])


def _text_object(item: Elements, charsets: tuple[str, ...]) -> TextObject | None:
    charsets = D.charsets_of(item, charsets)
    text = D.paragraphs(item, _TEXT, charsets)
    top, bottom, anchor = _point(item, _BOX_TOP), _point(item, _BOX_BOTTOM), _point(item, _ANCHOR)
    if not text or (anchor is None and (top is None or bottom is None)):
        return None
    return TextObject(
        text=text,
        box=(top, bottom) if top is not None and bottom is not None else None,
        box_in_pixels=item.text(_BOX_UNITS).upper() != "DISPLAY",
        justification=item.text(_JUSTIFIED).upper() or "LEFT",
        anchor=anchor,
        anchor_in_pixels=item.text(_ANCHOR_UNITS).upper() != "DISPLAY",
        anchor_shown=item.text(_ANCHOR_SHOWN).upper() == "Y",
        colour=_lab(item.item(_TEXT_STYLE), _TEXT_COLOUR),
    )


def _graphic_object(item: Elements, budget: list[int]) -> GraphicObject | None:
    numbers = item.numbers(_POINTS)
    count = len(numbers) // 2
    if not count or any(n is None for n in numbers) or count > budget[0]:
        return None
    budget[0] -= count
    flat = [n for n in numbers if n is not None]
    return GraphicObject(
        shape=one_line(item.text(_SHAPE)).upper(),
        points=tuple((flat[2 * n], flat[2 * n + 1]) for n in range(count)),
        in_pixels=item.text(_UNITS).upper() != "DISPLAY",
        filled=item.text(_FILLED).upper() == "Y",
        colour=_lab(item.item(_LINE_STYLE), _LINE_COLOUR),
    )

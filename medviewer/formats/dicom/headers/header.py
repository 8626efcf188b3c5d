"""From the elements of one file to what the rest of the program needs: an ImageFile, an ObjectFile or a reason.

Nothing here reads pixels. Every declared size is checked against the file's size before anybody allocates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from medviewer.formats.catalog import ObjectFile, PixelLayout, Quality, StackText
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import (
    Elements,
    Header,
    HeaderFault,
)
from medviewer.formats.dicom.headers.memory import Take, work_out
from medviewer.formats.dicom.headers.overlay_planes import read_overlay_planes
from medviewer.formats.dicom.headers.pixel_layout import pixel_bytes_there, refuse_bomb, stored_layout
from medviewer.formats.dicom.headers.planes import FramePlane, frame_planes
from medviewer.formats.dicom.objects.object_summary import frame_of_reference, summary_parts
from medviewer.formats.dicom.objects.summaries import summary_of
from medviewer.formats.dicom.pixels.palette import PaletteFault, read_palette
from medviewer.formats.dicom.sop_classes import object_kind
from medviewer.formats.dicom.stacks.mosaic import Mosaic, read_mosaic
from medviewer.formats.dicom.syntaxes import ALWAYS_LOSSY
from medviewer.formats.dicom.text import decode, one_line
from medviewer.volume.overlay_plane import OverlayPlane


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image file as far as a catalog needs it.

    Attributes:
        path: the file or the member of an archive.
        size: of the file in bytes.
        sop_class, sop_instance_uid, study_uid, series_uid, frame_of_reference_uid: identifiers ("" where absent).
        modality, image_type: as in the file.
        layout: how the pixels are stored; `frames` is the number that is really there.
        data_offset: byte offset of the pixels (of the offset table of compressed ones); -1 where deflated, big endian.
        planes: geometry and rescale of each frame.
        instance_number, acquisition_number: None where absent.
        text: header facts for the screen.
        faults: what is wrong with this file but does not keep it from being shown.
        padding: inclusive range of stored values, or None.
        inverted: MONOCHROME1 or Presentation LUT Shape INVERSE.
        unit: of the values after rescale.
        frame_times_ms: start of each frame of a cine.
        is_localizer: by ImageType.
        mosaic: how a Siemens mosaic is tiled, None for every other picture.
        study_description, series_description: for lists.
        order_time: content or acquisition time, for ordering.
        overlays: the usable overlay planes.
        coloured_from: first stored value that a Supplemental Palette colours, or None.
        display_fps: pictures a second that the file recommends for playing, None where it does not.
        sweeps: True where it wants to be played forth and back.
        concatenation: of a part of a picture that was cut into several files (PS3.3 C.7.6.16.2.2.4): the UID of the
            whole and how many frames lie before; ("", 0) for every other file.
    """

    path: Path
    size: int
    sop_class: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    image_type: tuple[str, ...]
    layout: PixelLayout
    data_offset: int
    planes: tuple[FramePlane, ...]
    instance_number: int | None
    acquisition_number: int | None
    text: StackText
    faults: tuple[Quality, ...]
    padding: tuple[float, float] | None
    inverted: bool
    unit: str
    frame_times_ms: tuple[float, ...]
    is_localizer: bool
    mosaic: Mosaic | None
    order_time: str
    overlays: tuple[OverlayPlane, ...] = ()
    display_fps: float | None = None
    sweeps: bool = False
    concatenation: tuple[str, int] = ("", 0)
    coloured_from: int | None = None


def read_file_header(path: Path, header: Header, size: int, take: Take = work_out) -> ImageFile | ObjectFile:
    """What one file is.

    Args:
        path: the file.
        header: its parsed elements.
        size: its size in bytes.
        take: works out the facts of a picture, each from the elements alone, or remembers them.

    Raises:
        HeaderFault: it cannot be shown; code and reason say why.
    """
    data = header.data
    sop_class = data.text(T.SOP_CLASS) or header.meta.text(0x00020002)
    kind = object_kind(sop_class)
    if kind is None and T.DIRECTORY_RECORDS in data:
        kind = "DICOMDIR"
    has_pixels = header.pixel_tag != 0
    if kind is None and not has_pixels:
        if not data.raw and not data.sequences:
            raise HeaderFault("not-dicom", "not DICOM (no element that a medical image has)")
        if T.ROWS in data:
            raise HeaderFault("no-pixels", "the header of a picture without its pixels")
        kind = "no-pixels"
    if kind is not None:
        return _object(path, header, kind, sop_class, data.texts(T.CHARSET))
    there = pixel_bytes_there(header, size)
    layout, layout_faults = take(
        stored_layout, data, header.transfer_syntax, header.pixel_tag, header.pixel_length, there
    )
    refuse_bomb(layout, header, size)
    series = take(_series_facts, data)
    planes, plane_faults = frame_planes(data, layout.frames, sop_class, series.modality, take)
    text, text_faults = take(_stack_text, data)
    overlays, overlay_faults = take(_overlays, data, layout)
    picture = take(_picture_facts, data, layout)
    in_place = not header.deflated and layout.transfer_syntax != "1.2.840.10008.1.2.2"
    return ImageFile(
        path=path,
        size=size,
        sop_class=sop_class,
        sop_instance_uid=data.text(T.SOP_INSTANCE),
        study_uid=series.study_uid,
        series_uid=series.series_uid,
        frame_of_reference_uid=series.frame_of_reference_uid,
        modality=series.modality.upper()[:16],
        image_type=series.image_type,
        layout=layout,
        data_offset=header.pixel_offset if in_place else -1,
        planes=planes,
        instance_number=data.integer(T.INSTANCE_NUMBER),
        acquisition_number=series.acquisition_number,
        text=text,
        faults=(
            *layout_faults,
            *plane_faults,
            *text_faults,
            *take(_other_faults, data, layout),
            *overlay_faults,
            *take(_palette_faults, data, layout),
        ),
        padding=picture.padding,
        inverted=picture.inverted,
        unit=picture.unit,
        frame_times_ms=picture.frame_times_ms,
        is_localizer=series.is_localizer,
        mosaic=picture.mosaic,
        order_time=take(_order_time, data),
        overlays=overlays,
        display_fps=picture.display_fps,
        sweeps=picture.sweeps,
        concatenation=picture.concatenation,
        coloured_from=picture.coloured_from,
    )


@dataclass(frozen=True, slots=True)
class _SeriesFacts:
    """What nearly all files of a series agree in."""

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    modality: str
    image_type: tuple[str, ...]
    is_localizer: bool
    acquisition_number: int | None


def _series_facts(data: Elements) -> _SeriesFacts:
    image_type = data.texts(T.IMAGE_TYPE)
    return _SeriesFacts(
        study_uid=data.text(T.STUDY_UID),
        series_uid=data.text(T.SERIES_UID),
        frame_of_reference_uid=data.text(T.FRAME_OF_REFERENCE),
        modality=data.text(T.MODALITY),
        image_type=image_type,
        is_localizer=len(image_type) > 2 and image_type[2].upper() in ("LOCALIZER", "SCOUT", "TOPOGRAM"),
        acquisition_number=data.integer(T.ACQUISITION_NUMBER),
    )


@dataclass(frozen=True, slots=True)
class _PictureFacts:
    """What the pixels mean, as `ImageFile` has it."""

    padding: tuple[float, float] | None
    inverted: bool
    unit: str
    frame_times_ms: tuple[float, ...]
    mosaic: Mosaic | None
    display_fps: float | None
    sweeps: bool
    concatenation: tuple[str, int]
    coloured_from: int | None


def _picture_facts(data: Elements, layout: PixelLayout) -> _PictureFacts:
    return _PictureFacts(
        padding=_padding(data, layout),
        inverted=layout.photometric == "MONOCHROME1" or data.text(T.PRESENTATION_SHAPE).upper() == "INVERSE",
        unit=_unit(data, layout),
        frame_times_ms=_frame_times(data, layout.frames),
        mosaic=read_mosaic(data, data.texts(T.IMAGE_TYPE), layout),
        display_fps=_display_fps(data),
        sweeps=data.integer(T.PLAYBACK) == 1,
        concatenation=(data.text(T.CONCATENATION), data.integer(T.CONCATENATION_OFFSET) or 0),
        coloured_from=_coloured_from(data, layout),
    )


def _coloured_from(data: Elements, layout: PixelLayout) -> int | None:
    """First stored value of a Supplemental Palette (PS3.3 C.7.6.19), None where the picture has none."""
    descriptor = data.numbers(T.PALETTE[0].descriptor)
    meant = data.text(T.PIXEL_PRESENTATION).upper() in ("COLOR", "MIXED")
    if not meant or layout.photometric != "MONOCHROME2" or layout.float_bits or len(descriptor) != 3:
        return None
    return None if descriptor[1] is None else _as_stored(int(descriptor[1]), layout)


def _order_time(data: Elements) -> str:
    return data.text(T.CONTENT_TIME) or data.text(T.ACQUISITION_TIME)


def _object(path: Path, header: Header, kind: str, sop_class: str, charsets: Sequence[str]) -> ObjectFile:
    data = header.data
    label = ""
    for tag in (T.STRUCTURE_SET_LABEL, T.PLAN_LABEL, T.CONTENT_LABEL, T.DOCUMENT_TITLE, T.SERIES_DESCRIPTION):
        if not label:
            label = one_line(decode(data.bytes(tag), charsets)[0])
    if kind == "SR" and data.items(T.CONCEPT_NAME):
        label = one_line(decode(data.item(T.CONCEPT_NAME).bytes(T.CODE_MEANING), charsets)[0]) or label
    facts = summary_of(path, kind, sop_class, label)
    parts = [kind, *(summary_parts(kind, data) or facts.parts or [label])]
    references = [*facts.series]
    references += [item.text(T.SERIES_UID) for item in data.items(T.REFERENCED_SERIES)]
    for frame in data.items(T.RT_REFERENCED_FRAMES):
        for study in frame.items(T.RT_REFERENCED_STUDY):
            references += [series.text(T.SERIES_UID) for series in study.items(T.RT_REFERENCED_SERIES)]
    return ObjectFile(
        path=path,
        kind=kind,
        summary=one_line(" - ".join(part for part in parts if part)),
        patient=one_line(decode(data.bytes(T.PATIENT_NAME), charsets, is_name=True)[0]),
        sop_instance_uid=data.text(T.SOP_INSTANCE),
        study_uid=data.text(T.STUDY_UID),
        series_uid=data.text(T.SERIES_UID),
        patient_id=one_line(decode(data.bytes(T.PATIENT_ID), charsets)[0]),
        referenced_series=tuple(dict.fromkeys(uid for uid in references if uid)),
        frame_of_reference_uid=frame_of_reference(data),
    )


def _padding(data: Elements, layout: PixelLayout) -> tuple[float, float] | None:
    """Inclusive range of Pixel Padding Value and its limit, as stored values."""
    if layout.samples != 1:
        return None
    if layout.float_bits:
        value_tag, limit_tag = T.FLOAT_PADDING[layout.float_bits]
        one, other = data.number(value_tag), data.number(limit_tag)
        if one is None:
            return None
        other = one if other is None else other
        return min(one, other), max(one, other)
    value = data.integer(T.PADDING_VALUE)
    if value is None:
        return None
    limit = data.integer(T.PADDING_LIMIT)
    ends = [_as_stored(v, layout) for v in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(value: int, layout: PixelLayout) -> int:
    """A US/SS value read with the wrong sign becomes what it is with the pixels' sign."""
    if layout.signed and value > 0x7FFF and layout.bits_allocated == 16:
        return value - 0x10000
    if not layout.signed and value < 0:
        return value + 0x10000
    return value


#: "HU" written out, as some devices do, and not always with the right name.
_HOUNSFIELD = re.compile(r"(hu|houn\w*field( units?)?)$", re.IGNORECASE)


def _unit(data: Elements, layout: PixelLayout) -> str:
    luts = data.items(T.MODALITY_LUT)
    kind = luts[0].text(T.MODALITY_LUT_TYPE) if luts else data.text(T.RESCALE_TYPE) or _frame_rescale_type(data)
    if kind and kind.upper() not in ("US", "UNSPECIFIED"):
        return "HU" if _HOUNSFIELD.match(kind) else kind
    units = data.text(T.UNITS)
    if units:
        return {"BQML": "Bq/ml", "GML": "g/ml", "CNTS": "counts", "NONE": ""}.get(units, units)
    has_rescale = T.RESCALE_INTERCEPT in data or T.PER_FRAME_GROUPS in data or T.SHARED_GROUPS in data
    return "HU" if data.text(T.MODALITY) == "CT" and has_rescale and layout.samples == 1 else ""


def _frame_rescale_type(data: Elements) -> str:
    """Rescale Type of the first frame's (or the shared) Pixel Value Transformation; "" where there is none."""
    for groups in (data.items(T.PER_FRAME_GROUPS)[:1], data.items(T.SHARED_GROUPS)):
        for group in groups:
            kind = group.item(T.PIXEL_TRANSFORM).text(T.RESCALE_TYPE)
            if kind:
                return kind
    return ""


def _frame_times(data: Elements, frames: int) -> tuple[float, ...]:
    if frames < 2:
        return ()
    vector = data.numbers(T.FRAME_TIME_VECTOR)
    if len(vector) >= frames and all(v is not None and v >= 0 for v in vector):
        total, times = 0.0, []
        for step in vector[:frames]:
            total += step or 0.0
            times.append(total)
        return tuple(times)
    step = data.number(T.FRAME_TIME)
    rate = data.number(T.CINE_RATE)
    if (step is None or step <= 0) and rate is not None and rate > 0:
        step = 1000.0 / rate
    return tuple(step * n for n in range(frames)) if step is not None and step > 0 else ()


def _display_fps(data: Elements) -> float | None:
    """Recommended Display Frame Rate, else Cine Rate (PS3.3 C.7.6.5.1.1); None where neither makes sense."""
    for tag in (T.DISPLAY_RATE, T.CINE_RATE):
        rate = data.number(tag)
        if rate is not None and 0 < rate <= 1000:
            return rate
    return None


def _other_faults(data: Elements, layout: PixelLayout) -> tuple[Quality, ...]:
    faults = []
    if data.text(T.LOSSY) == "01" or layout.transfer_syntax in ALWAYS_LOSSY:
        ratio = data.numbers(T.LOSSY_RATIO)
        with_ratio = f" about {ratio[-1]:.0f}:1" if ratio and ratio[-1] else ""
        faults.append(Quality("lossy", f"lossy compression{with_ratio}"))
    if data.text(T.BURNED_IN).upper() == "YES":
        faults.append(Quality("burned-in", "text is burned into the picture"))
    return tuple(faults)


def _palette_faults(data: Elements, layout: PixelLayout) -> tuple[Quality, ...]:
    if not layout.is_palette:
        return ()
    try:
        reason = "missing" if read_palette(data, signed=layout.signed) is None else ""
    except PaletteFault as fault:
        reason = f"damaged ({fault})"
    if not reason:
        return ()
    detail = f"the colour table is {reason}: its indices are shown as grey levels"
    return (Quality("bad-window", detail, short="colour table damaged"),)


def _overlays(data: Elements, layout: PixelLayout) -> tuple[tuple[OverlayPlane, ...], tuple[Quality, ...]]:
    planes, fault = read_overlay_planes(data, layout)
    return tuple(planes), (Quality("bad-overlay", fault),) if fault else ()


@lru_cache(maxsize=4096)
def _words(value: bytes, charsets: tuple[str, ...], is_name: bool) -> tuple[str, bool]:
    """Decoded, cleaned and cut text, and whether its character set was guessed. The files of a series repeat it."""
    text, guessed = decode(value, charsets, is_name=is_name)
    return one_line(text), guessed


def _stack_text(data: Elements) -> tuple[StackText, tuple[Quality, ...]]:
    charsets = data.texts(T.CHARSET)
    guesses: list[bool] = []

    def words(tag: int, is_name: bool = False) -> str:
        found = data.raw.get(tag)
        if found is None:
            return ""
        text, guessed = _words(found[1], charsets, is_name)
        if guessed:
            guesses.append(True)
        return text

    numbers = {
        tag: data.number(tag)
        for tag in (
            T.SLICE_THICKNESS, T.KVP, T.TUBE_CURRENT, T.REPETITION_TIME, T.ECHO_TIME, T.INVERSION_TIME, T.FLIP_ANGLE,
            T.FIELD_STRENGTH,
        )
    }  # fmt: skip
    ratio = data.numbers(T.LOSSY_RATIO)
    lossy = ""
    if data.text(T.LOSSY) == "01":
        lossy = f"lossy {ratio[-1]:.0f}:1" if ratio and ratio[-1] else "lossy"
    thickness = numbers[T.SLICE_THICKNESS]
    if thickness is None and data.items(T.SHARED_GROUPS):
        thickness = data.item(T.SHARED_GROUPS).item(T.PIXEL_MEASURES).number(T.SLICE_THICKNESS)
    series_number = data.number(T.SERIES_NUMBER)
    text = StackText(
        patient_name=words(T.PATIENT_NAME, is_name=True),
        patient_id=words(T.PATIENT_ID),
        patient_sex=data.text(T.PATIENT_SEX)[:16],
        patient_age=data.text(T.PATIENT_AGE)[:16],
        patient_birth_date=data.text(T.PATIENT_BIRTH)[:16],
        study_date=data.text(T.STUDY_DATE)[:16],
        study_time=data.text(T.STUDY_TIME)[:16],
        study_description=words(T.STUDY_DESCRIPTION),
        study_uid=data.text(T.STUDY_UID),
        accession_number=words(T.ACCESSION),
        series_number=int(series_number) if series_number is not None else None,
        series_description=words(T.SERIES_DESCRIPTION),
        series_uid=data.text(T.SERIES_UID),
        series_date=data.text(T.SERIES_DATE)[:16],
        series_time=data.text(T.SERIES_TIME)[:16],
        protocol=words(T.PROTOCOL),
        institution=words(T.INSTITUTION),
        manufacturer=words(T.MANUFACTURER),
        model=words(T.MODEL),
        body_part=data.text(T.BODY_PART)[:64],
        laterality=data.text(T.IMAGE_LATERALITY) or data.text(T.LATERALITY),
        view=data.text(T.VIEW_POSITION)[:16],
        patient_orientation=data.texts(T.PATIENT_ORIENTATION)[:2],
        patient_position=data.text(T.PATIENT_POSITION)[:16],
        contrast_agent=words(T.CONTRAST_AGENT),
        thickness_mm=thickness if thickness is not None and thickness > 0 else None,
        kernel=words(T.KERNEL),
        kvp=numbers[T.KVP],
        tube_current_ma=numbers[T.TUBE_CURRENT],
        repetition_ms=numbers[T.REPETITION_TIME],
        echo_ms=numbers[T.ECHO_TIME],
        inversion_ms=numbers[T.INVERSION_TIME],
        flip_degrees=numbers[T.FLIP_ANGLE],
        field_tesla=numbers[T.FIELD_STRENGTH],
        frame_of_reference_uid=data.text(T.FRAME_OF_REFERENCE),
        lossy=lossy,
        guessed=bool(guesses),
    )
    if not guesses:
        return text, ()
    return text, (Quality("charset-guessed", "the text is not in the character set that the file names"),)

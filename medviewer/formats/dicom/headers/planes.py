"""Where each frame of a file lies, how its values are rescaled, and what tells it from frames at the same place.

Classic files say it at the top level, enhanced multi-frame ones in functional groups, shared or per frame
(PS3.3 C.7.6.16). Which spacing counts for which modality follows PS3.3 10.7.1.3 and IHE's reading of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np

from medviewer.formats.catalog import Quality
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.headers.calibration import PixelSize, pair, pixel_aspect, pixel_size
from medviewer.formats.dicom.headers.diffusion import COMPONENTS, b_value, diffusion_gradient, ge_component
from medviewer.formats.dicom.headers.luts import modality_table, read_windows
from medviewer.formats.dicom.headers.memory import Take, work_out
from medviewer.formats.dicom.headers.shutter import read_shutter
from medviewer.formats.dicom.sop_classes import PROJECTIONS
from medviewer.volume.lut import LookupTable
from medviewer.volume.shutter import Shutter
from medviewer.volume.window import Window

Vector = tuple[float, ...]
Keys = tuple[tuple[str, float | str], ...]
R = TypeVar("R")

#: Modalities whose pictures are planes of the patient by definition.
PLANAR_MODALITIES = frozenset({"CT", "MR", "PT"})


@dataclass(frozen=True, slots=True)
class FramePlane:
    """Geometry, rescale and distinguishing attributes of one frame.

    Attributes:
        position: centre of the first pixel in mm (LPS), or None.
        orientation: six direction cosines as in the file, or None.
        spacing: mm between rows, between columns, or None.
        spacing_source: which attribute the spacing came from ("PixelSpacing", "ImagerPixelSpacing", ...).
        calibration: what a millimetre means, "" where it is one of the patient's ("at detector", "US region").
        aspect: height of a pixel to its width where the spacing is unknown, None where it is square.
        thickness: mm, or None.
        slope, intercept: the modality rescale.
        table: the Modality LUT, used instead of slope and intercept; None where there is none.
        windows: usable windows and tables of the file, the first is the default.
        shutter: the display shutter, or None.
        keys: attributes that may tell frames at one position apart, as (name, value), in the order of trust.
    """

    position: Vector | None = None
    orientation: Vector | None = None
    spacing: tuple[float, float] | None = None
    spacing_source: str = ""
    calibration: str = ""
    aspect: float | None = None
    thickness: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    table: LookupTable | None = None
    windows: tuple[Window, ...] = ()
    shutter: Shutter | None = None
    keys: tuple[tuple[str, float | str], ...] = ()

    def key(self, name: str) -> float | str | None:
        """The value of one distinguishing attribute, None where absent."""
        return next((value for known, value in self.keys if known == name), None)


def frame_planes(
    data: Elements, frames: int, sop_class: str, modality: str, take: Take = work_out
) -> tuple[tuple[FramePlane, ...], list[Quality]]:
    """One FramePlane a frame, and what is wrong with the geometry, the rescale or the windows.

    `take` works out the parts of a classic file's plane, or remembers them.
    """
    faults: dict[str, Quality] = {}
    per_frame = data.items(T.PER_FRAME_GROUPS)
    shared = data.item(T.SHARED_GROUPS)
    if per_frame or (T.SHARED_GROUPS in data and frames >= 1):
        if per_frame and len(per_frame) < frames:
            detail = f"{frames} frames but {len(per_frame)} descriptions of frames"
            faults["frame-count-mismatch"] = Quality("frame-count-mismatch", detail)
        empty = Elements(big_endian=data.big_endian)
        planes = [
            _group_plane(data, shared, per_frame[n] if n < len(per_frame) else empty, modality, faults)
            for n in range(frames)
        ]
        _complain(planes[0], sop_class, modality, faults)
        return tuple(planes), list(faults.values())
    first = _classic_plane(data, sop_class, modality, faults, take)
    if frames == 1:
        _complain(first, sop_class, modality, faults)
        return (first,), list(faults.values())
    planes = _nuclear_planes(data, first, frames)
    return tuple(planes), list(faults.values())


def _complain(plane: FramePlane, sop_class: str, modality: str, faults: dict[str, Quality]) -> None:
    """Name what a planar modality must have and this frame has not."""
    if modality not in PLANAR_MODALITIES or sop_class in PROJECTIONS:
        return
    if plane.spacing is None:
        faults.setdefault("no-spacing", Quality("no-spacing", "the distance of pixels is unknown"))
    if (plane.orientation is None and "bad-orientation" not in faults) or plane.position is None:
        faults.setdefault("no-position", Quality("no-position", "where the picture lies in the patient is unknown"))


def _classic_plane(data: Elements, sop_class: str, modality: str, faults: dict[str, Quality], take: Take) -> FramePlane:
    (slope, intercept, table), rescale_faults = take(_RESCALE, data)
    size, spacing_faults = take(_SPACING, data, sop_class, modality)
    position, position_faults = take(_POSITION, data)
    orientation, orientation_faults = take(_ORIENTATION, data)
    windows, window_faults = take(_WINDOWS, data)
    for noted in (rescale_faults, spacing_faults, position_faults, orientation_faults, window_faults):
        for fault in noted:
            faults[fault.code] = fault
    return FramePlane(
        position=position,
        orientation=orientation,
        spacing=size.spacing,
        spacing_source=size.source,
        calibration=size.words,
        aspect=None if size.spacing else take(pixel_aspect, data),
        thickness=take(_thickness, data),
        slope=slope,
        intercept=intercept,
        table=table,
        windows=windows,
        shutter=take(read_shutter, data),
        keys=_classic_keys(data, take),
    )


def _thickness(data: Elements) -> float | None:
    thickness = data.number(T.SLICE_THICKNESS)
    return thickness if thickness is not None and thickness > 0 else None


def _group_plane(
    data: Elements, shared: Elements, frame: Elements, modality: str, faults: dict[str, Quality]
) -> FramePlane:
    def group(tag: int) -> Elements:
        own = frame.items(tag)
        return own[0] if own else shared.item(tag)

    measures = group(T.PIXEL_MEASURES)
    size = PixelSize(pair(measures, T.PIXEL_SPACING, faults), "PixelSpacing")
    if size.spacing is None:
        size = PixelSize(None) if T.PIXEL_SPACING in measures else pixel_size(data, "", modality, faults)
    transform = group(T.PIXEL_TRANSFORM)
    slope, intercept, table = _rescale(transform if transform.raw else data, faults)
    voi, shutter = group(T.FRAME_VOI), group(T.FRAME_SHUTTER)
    position = group(T.PLANE_POSITION)
    orientation = group(T.PLANE_ORIENTATION)
    thickness = measures.number(T.SLICE_THICKNESS)
    return FramePlane(
        position=_position(position if position.raw else data, faults),
        orientation=_orientation(orientation if orientation.raw else data, faults),
        spacing=size.spacing,
        spacing_source=size.source,
        calibration=size.words,
        aspect=None if size.spacing else pixel_aspect(data),
        thickness=thickness if thickness is not None and thickness > 0 else None,
        slope=slope,
        intercept=intercept,
        table=table,
        windows=_windows(voi if voi.raw or voi.sequences else data, faults, _is_signed(data, slope, intercept)),
        shutter=read_shutter(shutter if shutter.raw else data),
        keys=_group_keys(group),
    )


def _nuclear_planes(data: Elements, first: FramePlane, frames: int) -> list[FramePlane]:
    """Planes of a classic multi-frame file: reconstructed nuclear medicine has a rule (PS3.3 C.8.4.15), others none."""
    detector = data.item(T.DETECTOR_INFORMATION)
    step = data.number(T.SPACING_BETWEEN)
    position = detector.vector(T.POSITION, 3) or first.position
    orientation = detector.vector(T.ORIENTATION, 6) or first.orientation
    image_type = [part.upper() for part in data.texts(T.IMAGE_TYPE)]
    is_tomography = "RECON TOMO" in image_type or "RECON GATED TOMO" in image_type
    slices = data.integer(T.NUMBER_OF_SLICES_NM) or frames
    if not (is_tomography and position and orientation and step) or slices < 1:
        return [replace(first, position=None, orientation=None, keys=())] * frames
    normal = np.cross(orientation[:3], orientation[3:])
    planes = []
    for n in range(frames):
        at = np.asarray(position) + (n % slices) * step * normal
        place = (float(at[0]), float(at[1]), float(at[2]))
        keys = (("temporal", float(n // slices)),)
        planes.append(replace(first, position=place, orientation=orientation, keys=keys))
    return planes


def _position(data: Elements, faults: dict[str, Quality]) -> Vector | None:
    if T.POSITION not in data:
        return None
    position = data.vector(T.POSITION, 3)
    if position is None or max(abs(v) for v in position) > 1e6:
        faults["no-position"] = Quality("no-position", "Image Position (Patient) is not three numbers")
        return None
    return position


def _orientation(data: Elements, faults: dict[str, Quality]) -> Vector | None:
    if T.ORIENTATION not in data:
        return None
    orientation = data.vector(T.ORIENTATION, 6)
    if orientation is None or orthonormal(orientation) is None:
        detail = "Image Orientation (Patient) is not two perpendicular directions"
        faults["bad-orientation"] = Quality("bad-orientation", detail)
        return None
    return orientation


def _with_faults(function: Callable[..., R]) -> Callable[..., tuple[R, tuple[Quality, ...]]]:
    """A function that notes its faults in a dict as one that returns them: what `take` may remember."""

    def told(data: Elements, *more: str) -> tuple[R, tuple[Quality, ...]]:
        faults: dict[str, Quality] = {}
        result = function(data, *more, faults)
        return result, tuple(faults.values())

    return told


def orthonormal(orientation: Sequence[float]) -> tuple[Vector, Vector] | None:
    """Unit row and column direction, or None where the six numbers are too far from it.

    Noise up to 0.01 in lengths and in the cosine between the two is taken away (by Gram-Schmidt, half of the
    deviation on either side); what is worse is no orientation.
    """
    return _orthonormal(tuple(orientation))


@lru_cache(maxsize=1024)
def _orthonormal(orientation: Vector) -> tuple[Vector, Vector] | None:
    row, column = np.asarray(orientation[:3]), np.asarray(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not all(abs(n - 1) <= 1e-2 for n in lengths) or abs(row @ column) > 1e-2:
        return None
    row, column = row / lengths[0], column / lengths[1]
    half = float(row @ column) / 2
    if abs(half) > 1e-9:
        row, column = row - half * column, column - half * row
        row = row / np.linalg.norm(row)
        column = column - (row @ column) * row
        column = column / np.linalg.norm(column)
    return tuple(float(v) for v in row), tuple(float(v) for v in column)


def _rescale(data: Elements, faults: dict[str, Quality]) -> tuple[float, float, LookupTable | None]:
    """Slope, intercept and Modality LUT; where there is a usable LUT, the first two have no meaning."""
    found = modality_table(data, signed=data.integer(T.PIXEL_REPRESENTATION) == 1)
    if found is not None:
        read, _ = found
        if read.fault:
            instead = "" if read.table is not None else ": it is not applied"
            faults["bad-rescale"] = Quality("bad-rescale", f"Modality LUT: {read.fault}{instead}")
        if read.table is not None:
            return 1.0, 0.0, read.table
    if T.RESCALE_SLOPE not in data and T.RESCALE_INTERCEPT not in data:
        return 1.0, 0.0, None
    slope = data.number(T.RESCALE_SLOPE) if data.text(T.RESCALE_SLOPE) else 1.0
    intercept = data.number(T.RESCALE_INTERCEPT) if data.text(T.RESCALE_INTERCEPT) else 0.0
    if slope == 0 and intercept is not None:
        detail = "Rescale Slope is 0, which destroys all values: the stored values are shown"
        faults["bad-rescale"] = Quality("bad-rescale", detail)
        return slope, intercept, None
    if slope is None or intercept is None:
        given = f"{data.text(T.RESCALE_SLOPE)[:20]!r} and {data.text(T.RESCALE_INTERCEPT)[:20]!r}"
        detail = f"Rescale Slope and Intercept are {given}: the stored values are shown"
        faults["bad-rescale"] = Quality("bad-rescale", detail)
        return 1.0, 0.0, None
    return slope, intercept, None


def _is_signed(data: Elements, slope: float | None, intercept: float | None) -> bool:
    """True where values after the modality step can be negative."""
    return data.integer(T.PIXEL_REPRESENTATION) == 1 or (intercept or 0.0) < 0 or (slope or 0.0) < 0


def _windows(data: Elements, faults: dict[str, Quality], signed: bool | None = None) -> tuple[Window, ...]:
    if signed is None:
        signed = _is_signed(data, data.number(T.RESCALE_SLOPE), data.number(T.RESCALE_INTERCEPT))
    windows, fault = read_windows(data, signed=signed)
    if fault:
        faults["bad-window"] = Quality("bad-window", fault)
    return windows


_RESCALE = _with_faults(_rescale)
_SPACING = _with_faults(pixel_size)
_POSITION = _with_faults(_position)
_ORIENTATION = _with_faults(_orientation)
_WINDOWS = _with_faults(_windows)


def _classic_keys(data: Elements, take: Take = work_out) -> Keys:
    """Apart from the times of day nearly all files of a stack have the same ones."""
    return (*take(_acquisition_keys, data), *take(_time_keys, data))


def _present(*keys: tuple[str, float | str | None]) -> Keys:
    """The keys that have a value."""
    return tuple((name, value) for name, value in keys if value is not None and value != "")


def _acquisition_keys(data: Elements) -> Keys:
    b, gradient = b_value(data), diffusion_gradient(data)
    direction = "" if gradient is None else " ".join(f"{v:.4f}" for v in gradient)
    return _present(
        ("temporal", data.number(T.TEMPORAL_POSITION)),
        ("b", b),
        ("b+gradient", None if b is None else f"{b:012.3f} {direction}"),
        ("echo number", data.number(T.ECHO_NUMBER)),
        ("TE", data.number(T.ECHO_TIME)),
        ("TI", data.number(T.INVERSION_TIME)),
        ("trigger", data.number(T.TRIGGER_TIME)),
        ("acquisition", data.number(T.ACQUISITION_NUMBER)),
        ("component", ge_component(data)),
        ("image type", "\\".join(data.texts(T.IMAGE_TYPE)[2:])),
        ("stack", data.text(T.STACK_ID)),
        ("phase", data.number(T.CARDIAC_PHASE)),
        ("kernel", data.text(T.KERNEL)),
        ("contrast", data.text(T.CONTRAST_AGENT)),
        ("kV", data.number(T.KVP)),
    )


def _time_keys(data: Elements) -> Keys:
    return _present(
        ("acquisition time", data.text(T.ACQUISITION_DATETIME) or data.text(T.ACQUISITION_TIME)),
        ("time", data.text(T.CONTENT_TIME)),
    )


def _group_keys(group: Callable[[int], Elements]) -> tuple[tuple[str, float | str], ...]:
    content = group(T.FRAME_CONTENT)
    keys: list[tuple[str, float | str]] = []

    def add(name: str, value: float | str | None) -> None:
        if value is not None and value != "":
            keys.append((name, value))

    add("stack", content.text(T.STACK_ID))
    add("temporal", content.number(T.TEMPORAL_INDEX))
    diffusion = group(T.MR_DIFFUSION)
    b = diffusion.number(T.B_VALUE)
    if b is not None:
        gradient = diffusion.item(T.GRADIENT_SEQUENCE).vector(T.GRADIENT, 3)
        add("b", b)
        direction = "" if gradient is None else " ".join(f"{v:.4f}" for v in gradient)
        add("b+gradient", f"{b:012.3f} {direction}")
    add("TE", group(T.MR_ECHO).number(T.EFFECTIVE_ECHO_TIME))
    add("TI", group(T.MR_MODIFIER).number(T.INVERSION_TIMES))
    add("trigger", group(T.CARDIAC_SYNC).number(T.TRIGGER_DELAY))
    add("phase", group(T.CARDIAC_SYNC).number(T.CARDIAC_PHASE))
    for frame_type in (T.MR_FRAME_TYPE, T.CT_FRAME_TYPE):
        add("component", COMPONENTS.get(group(frame_type).text(T.COMPLEX_COMPONENT).upper()))
        add("image type", "\\".join(group(frame_type).texts(T.FRAME_TYPE)[2:]))
    add("kV", group(T.CT_X_RAY).number(T.KVP))
    add("acquisition", content.number(T.FRAME_ACQUISITION_NUMBER))
    add("acquisition time", content.text(T.FRAME_DATETIME))
    index = content.numbers(T.DIMENSION_INDEX)
    for n, value in enumerate(index):
        add(f"dimension {n + 1}", value)
    return tuple(keys)

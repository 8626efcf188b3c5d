"""Where each frame of a file lies, how its values are rescaled, and what tells it from frames at the same place.

Classic files say it at the top level, enhanced multi-frame ones in functional groups, shared or per frame
(PS3.3 C.7.6.16). Which spacing counts for which modality follows PS3.3 10.7.1.3 and IHE's reading of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from medviewer.formats.catalog import Quality
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.memory import Take, work_out
from medviewer.formats.dicom.sop_classes import PROJECTIONS
from medviewer.volume.window import VoiFunction, Window

Vector = tuple[float, ...]
Keys = tuple[tuple[str, float | str], ...]
R = TypeVar("R")

#: Modalities whose pictures are planes of the patient by definition.
PLANAR_MODALITIES = frozenset({"CT", "MR", "PT"})

_CENTIMETRES = 3  # Physical Units X/Y Direction, PS3.3 C.8.5.5.1.15


@dataclass(frozen=True, slots=True)
class FramePlane:
    """Geometry, rescale and distinguishing attributes of one frame.

    Attributes:
        position: centre of the first pixel in mm (LPS), or None.
        orientation: six direction cosines as in the file, or None.
        spacing: mm between rows, between columns, or None.
        spacing_source: which attribute the spacing came from ("PixelSpacing", "ImagerPixelSpacing", ...).
        thickness: mm, or None.
        slope, intercept: the modality rescale.
        windows: usable windows of the file, the first is the default.
        keys: attributes that may tell frames at one position apart, as (name, value), in the order of trust.
    """

    position: Vector | None = None
    orientation: Vector | None = None
    spacing: tuple[float, float] | None = None
    spacing_source: str = ""
    thickness: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    windows: tuple[Window, ...] = ()
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
    (slope, intercept), rescale_faults = take(_RESCALE, data)
    (spacing, source), spacing_faults = take(_SPACING, data, sop_class, modality)
    position, position_faults = take(_POSITION, data)
    orientation, orientation_faults = take(_ORIENTATION, data)
    windows, window_faults = take(_WINDOWS, data)
    for noted in (rescale_faults, spacing_faults, position_faults, orientation_faults, window_faults):
        for fault in noted:
            faults[fault.code] = fault
    return FramePlane(
        position=position,
        orientation=orientation,
        spacing=spacing,
        spacing_source=source,
        thickness=take(_thickness, data),
        slope=slope,
        intercept=intercept,
        windows=windows,
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
    spacing = _pair(measures, T.PIXEL_SPACING, faults)
    source = "PixelSpacing" if spacing else ""
    if spacing is None and T.PIXEL_SPACING not in measures:
        spacing, source = _spacing(data, "", modality, faults)
    transform = group(T.PIXEL_TRANSFORM)
    slope, intercept = _rescale(transform if transform.raw else data, faults)
    voi = group(T.FRAME_VOI)
    position = group(T.PLANE_POSITION)
    orientation = group(T.PLANE_ORIENTATION)
    thickness = measures.number(T.SLICE_THICKNESS)
    return FramePlane(
        position=_position(position if position.raw else data, faults),
        orientation=_orientation(orientation if orientation.raw else data, faults),
        spacing=spacing,
        spacing_source=source,
        thickness=thickness if thickness is not None and thickness > 0 else None,
        slope=slope,
        intercept=intercept,
        windows=_windows(voi if voi.raw else data, faults),
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
        bare = FramePlane(
            spacing=first.spacing, spacing_source=first.spacing_source, thickness=first.thickness,
            slope=first.slope, intercept=first.intercept, windows=first.windows,
        )  # fmt: skip
        return [bare] * frames
    normal = np.cross(orientation[:3], orientation[3:])
    planes = []
    for n in range(frames):
        at = np.asarray(position) + (n % slices) * step * normal
        planes.append(
            FramePlane(
                position=(float(at[0]), float(at[1]), float(at[2])), orientation=orientation,
                spacing=first.spacing, spacing_source=first.spacing_source, thickness=first.thickness,
                slope=first.slope, intercept=first.intercept, windows=first.windows,
                keys=(("temporal", float(n // slices)),),
            )
        )  # fmt: skip
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


def _pair(data: Elements, tag: int, faults: dict[str, Quality] | None = None) -> tuple[float, float] | None:
    if tag not in data or not data.text(tag):
        return None
    pair = data.vector(tag, 2)
    if pair is None or min(pair) <= 1e-6 or max(pair) > 1e5:
        if faults is not None:
            faults["no-spacing"] = Quality("no-spacing", "Pixel Spacing is not two positive numbers")
        return None
    return pair[0], pair[1]


def _spacing(
    data: Elements, sop_class: str, modality: str, faults: dict[str, Quality]
) -> tuple[tuple[float, float] | None, str]:
    """Row and column distance in mm and where it came from."""
    pixel = _pair(data, T.PIXEL_SPACING, faults)
    imager = _pair(data, T.IMAGER_SPACING)
    projection = sop_class in PROJECTIONS or modality in ("CR", "DX", "MG", "XA", "RF", "IO", "PX")
    if pixel is not None:
        if projection and imager is not None and not data.text(T.CALIBRATION_TYPE):
            same = max(abs(a - b) for a, b in zip(pixel, imager, strict=True)) < 1e-6
            detail = "at the detector" if same else "calibration unknown"
            faults["imager-spacing"] = Quality("imager-spacing", f"mm are {detail}, not in the patient")
        return pixel, "PixelSpacing"
    if imager is not None:
        factor = data.number(T.MAGNIFICATION)
        if factor is not None and factor > 0.1:
            imager = imager[0] / factor, imager[1] / factor
        faults["imager-spacing"] = Quality("imager-spacing", "mm are at the detector, not in the patient")
        faults.pop("no-spacing", None)
        return imager, "ImagerPixelSpacing"
    nominal = _pair(data, T.NOMINAL_SCANNED_SPACING)
    if nominal is not None:
        return nominal, "NominalScannedPixelSpacing"
    regions = data.items(T.ULTRASOUND_REGIONS)
    found = {_region_spacing(region) for region in regions} - {None}
    if regions and len(found) == 1:
        return found.pop(), "UltrasoundRegion"
    return None, ""


def _region_spacing(region: Elements) -> tuple[float, float] | None:
    if (region.integer(T.REGION_UNITS_X), region.integer(T.REGION_UNITS_Y)) != (_CENTIMETRES, _CENTIMETRES):
        return None
    dx, dy = region.number(T.REGION_DELTA_X), region.number(T.REGION_DELTA_Y)
    if not dx or not dy:
        return None
    return round(abs(dy) * 10, 9), round(abs(dx) * 10, 9)


def _rescale(data: Elements, faults: dict[str, Quality]) -> tuple[float, float]:
    if data.items(T.MODALITY_LUT):
        detail = "the Modality LUT is not applied: the stored values are shown"
        faults["bad-rescale"] = Quality("bad-rescale", detail)
        return 1.0, 0.0
    if T.RESCALE_SLOPE not in data and T.RESCALE_INTERCEPT not in data:
        return 1.0, 0.0
    slope = data.number(T.RESCALE_SLOPE) if data.text(T.RESCALE_SLOPE) else 1.0
    intercept = data.number(T.RESCALE_INTERCEPT) if data.text(T.RESCALE_INTERCEPT) else 0.0
    if slope == 0 and intercept is not None:
        detail = "Rescale Slope is 0, which destroys all values: the stored values are shown"
        faults["bad-rescale"] = Quality("bad-rescale", detail)
        return slope, intercept
    if slope is None or intercept is None:
        given = f"{data.text(T.RESCALE_SLOPE)[:20]!r} and {data.text(T.RESCALE_INTERCEPT)[:20]!r}"
        detail = f"Rescale Slope and Intercept are {given}: the stored values are shown"
        faults["bad-rescale"] = Quality("bad-rescale", detail)
        return 1.0, 0.0
    return slope, intercept


def _windows(data: Elements, faults: dict[str, Quality]) -> tuple[Window, ...]:
    levels, widths = data.numbers(T.WINDOW_CENTER), data.numbers(T.WINDOW_WIDTH)
    if not levels and not widths:
        return ()
    name = data.text(T.VOI_FUNCTION).upper().replace(" ", "_")
    function = VoiFunction(name) if name in VoiFunction.__members__ else VoiFunction.LINEAR
    windows = [
        Window(width, level, function)
        for level, width in zip(levels, widths, strict=False)
        if level is not None and width is not None and width > 0
    ]
    if not windows:
        faults["bad-window"] = Quality(
            "bad-window", "the file's window has no positive width; an automatic one is used"
        )
    return tuple(dict.fromkeys(windows))


_RESCALE = _with_faults(_rescale)
_SPACING = _with_faults(_spacing)
_POSITION = _with_faults(_position)
_ORIENTATION = _with_faults(_orientation)
_WINDOWS = _with_faults(_windows)


def _classic_keys(data: Elements, take: Take = work_out) -> Keys:
    """Apart from the two times of day nearly all files of a stack have the same ones."""
    return (
        *take(_acquisition_keys, data),
        *take(_acquisition_time_key, data),
        *take(_contrast_keys, data),
        *take(_content_time_key, data),
    )


def _present(*keys: tuple[str, float | str | None]) -> Keys:
    """The keys that have a value."""
    return tuple((name, value) for name, value in keys if value is not None and value != "")


def _acquisition_keys(data: Elements) -> Keys:
    b_value = data.number(T.B_VALUE)
    for private in (T.SIEMENS_B_VALUE, T.GE_B_VALUE, T.PHILIPS_B_VALUE):
        if b_value is None and data.vr(private) in ("IS", "FL", "FD", "DS"):
            b_value = data.number(private)
    gradient = data.vector(T.GRADIENT, 3)
    direction = "" if gradient is None else " ".join(f"{v:.4f}" for v in gradient)
    return _present(
        ("temporal", data.number(T.TEMPORAL_POSITION)),
        ("b", b_value),
        ("b+gradient", None if b_value is None else f"{b_value:012.3f} {direction}"),
        ("echo number", data.number(T.ECHO_NUMBER)),
        ("TE", data.number(T.ECHO_TIME)),
        ("TI", data.number(T.INVERSION_TIME)),
        ("trigger", data.number(T.TRIGGER_TIME)),
        ("acquisition", data.number(T.ACQUISITION_NUMBER)),
        ("image type", "\\".join(data.texts(T.IMAGE_TYPE)[2:])),
        ("stack", data.text(T.STACK_ID)),
        ("phase", data.number(T.CARDIAC_PHASE)),
    )


def _acquisition_time_key(data: Elements) -> Keys:
    return _present(("acquisition time", data.text(T.ACQUISITION_DATETIME) or data.text(T.ACQUISITION_TIME)))


def _contrast_keys(data: Elements) -> Keys:
    return _present(
        ("kernel", data.text(T.KERNEL)), ("contrast", data.text(T.CONTRAST_AGENT)), ("kV", data.number(T.KVP))
    )


def _content_time_key(data: Elements) -> Keys:
    return _present(("time", data.text(T.CONTENT_TIME)))


def _group_keys(group: Callable[[int], Elements]) -> tuple[tuple[str, float | str], ...]:
    content = group(T.FRAME_CONTENT)
    keys: list[tuple[str, float | str]] = []

    def add(name: str, value: float | str | None) -> None:
        if value is not None and value != "":
            keys.append((name, value))

    add("stack", content.text(T.STACK_ID))
    add("temporal", content.number(T.TEMPORAL_INDEX))
    diffusion = group(T.MR_DIFFUSION)
    b_value = diffusion.number(T.B_VALUE)
    if b_value is not None:
        gradient = diffusion.item(T.GRADIENT_SEQUENCE).vector(T.GRADIENT, 3)
        add("b", b_value)
        direction = "" if gradient is None else " ".join(f"{v:.4f}" for v in gradient)
        add("b+gradient", f"{b_value:012.3f} {direction}")
    add("TE", group(T.MR_ECHO).number(T.EFFECTIVE_ECHO_TIME))
    add("phase", group(T.CARDIAC_SYNC).number(T.CARDIAC_PHASE))
    for frame_type in (T.MR_FRAME_TYPE, T.CT_FRAME_TYPE):
        add("image type", "\\".join(group(frame_type).texts(T.FRAME_TYPE)[2:]))
    add("acquisition", content.number(T.ACQUISITION_NUMBER))
    add("acquisition time", content.text(T.FRAME_DATETIME))
    index = content.numbers(T.DIMENSION_INDEX)
    for n, value in enumerate(index):
        add(f"dimension {n + 1}", value)
    return tuple(keys)

"""RT Dose (PS3.3 A.18, C.8.8.3): the dose in the patient, sampled where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.errors import BadInput, MissingHere, Refused
from medviewer.formats.catalog import FrameRef
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.objects.document import COMMON, words
from medviewer.formats.dicom.objects.object_summary import DOSE_UNITS
from medviewer.formats.dicom.objects.seg_file import frame_place, layout_of, read_elements
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import read_stored
from medviewer.formats.source import SourceFault
from medviewer.jobs import JobContext

DOSE_STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"

_SCALING = 0x3004000E
_COMMENT = 0x30040006
_WANTED: dict[int, bytes] = {**T.WANTED, **COMMON, _SCALING: b"DS", _COMMENT: b"LO"}

#: Grids of more values than this are refused.
MAX_VALUES = 1 << 27

Float = NDArray[np.float64]
Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Dose:
    """A dose grid.

    Attributes:
        path: the file.
        values: float32 `[k, j, i]` in `unit`, planes by ascending height.
        heights_mm: of the planes along the normal from `origin_lps`, ascending; they need not be even.
        origin_lps: centre of the first value of the plane at height 0.
        column_lps, row_lps: unit vectors of increasing column and row index.
        spacing_mm: distance of rows and of columns.
        depth_mm: how thick a lone plane is.
        unit: "Gy" or "relative".
        summation: Dose Summation Type ("PLAN", "BEAM", ...); `kind` Dose Type ("PHYSICAL", "EFFECTIVE", "ERROR").
        comment: Dose Comment.
        frame_of_reference_uid, patient_id, study_uid: "" where absent.
        notes: what is unusual, for people.
    """

    path: Path
    values: Single
    heights_mm: Float
    origin_lps: Float
    column_lps: Float
    row_lps: Float
    spacing_mm: tuple[float, float]
    depth_mm: float
    unit: str
    summation: str
    kind: str
    comment: str
    frame_of_reference_uid: str
    patient_id: str
    study_uid: str
    notes: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest dose of the grid."""
        return float(self.values.max())

    @property
    def summary(self) -> str:
        """ "62.1 Gy max, PLAN"."""
        kind = "" if self.kind in ("", "PHYSICAL") else f", {self.kind.lower()}"
        summed = f", {self.summation}" if self.summation else ""
        return f"{dose_text(self.largest, self.unit)} max{summed}{kind}"

    def place(self, points_lps: ArrayLike) -> Float:
        """Plane, row and column (fractional) of points in mm, shape (..., 3); planes outside the stack are NaN."""
        offset = np.asarray(points_lps, dtype=np.float64) - self.origin_lps
        height = offset @ np.cross(self.column_lps, self.row_lps)
        row = offset @ self.row_lps / self.spacing_mm[0]
        column = offset @ self.column_lps / self.spacing_mm[1]
        return np.stack([self.plane_of(height), row, column], axis=-1)

    def plane_of(self, height_mm: ArrayLike) -> Float:
        """Fractional plane index of heights in mm; NaN outside of the planes."""
        heights = np.asarray(height_mm, dtype=np.float64)
        if self.heights_mm.size == 1:
            return np.where(np.abs(heights - self.heights_mm[0]) <= self.depth_mm / 2, 0.0, np.nan)
        planes = np.arange(self.heights_mm.size, dtype=np.float64)
        slack = 1e-3
        inside = (heights >= self.heights_mm[0] - slack) & (heights <= self.heights_mm[-1] + slack)
        return np.where(inside, np.interp(heights, self.heights_mm, planes), np.nan)

    def at(self, points_lps: ArrayLike) -> Single:
        """Dose at points in mm (LPS), shape (..., 3), by trilinear interpolation; NaN outside the grid."""
        place = self.place(points_lps)
        size = np.asarray(self.values.shape)
        slack = 1e-6
        inside = np.all((place >= -slack) & (place <= size - 1 + slack), axis=-1)  # False for NaN
        at = np.clip(np.where(inside[..., None], place, 0.0), 0, size - 1)
        low = np.minimum(np.floor(at).astype(np.int64), np.maximum(size - 2, 0))
        high = np.minimum(low + 1, size - 1)
        share = at - low
        total = np.zeros(at.shape[:-1], dtype=np.float64)
        for corner in range(8):
            bits = [(corner >> axis) & 1 for axis in range(3)]
            weight = np.prod([share[..., a] if bits[a] else 1 - share[..., a] for a in range(3)], axis=0)
            where = tuple((high if bits[a] else low)[..., a] for a in range(3))
            total += weight * self.values[where]
        return np.where(inside, total, np.nan).astype(np.float32)


def dose_text(value: float, unit: str) -> str:
    """A dose for people: "62.1 Gy", "0.85 (relative)"."""
    digits = 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} Gy" if unit == "Gy" else f"{value:.3g} ({unit or 'no unit'})"


def read_dose(path: Path, context: JobContext | None = None) -> Dose:
    """Read an RT Dose.

    Raises:
        BadInput: it cannot be read, is none, or is damaged. MissingHere: a decoder is missing.
        Refused: the planes' places are not given.
    """
    context = context or JobContext()
    header, size = read_elements(path, _WANTED, "dose")
    data = header.data
    if (data.text(T.SOP_CLASS) or header.meta.text(0x00020002)) != DOSE_STORAGE:
        raise BadInput("this is no RT Dose", path=path)
    layout, offset = layout_of(header, size, path, "dose")
    scaling = data.number(_SCALING)
    if scaling is None or scaling <= 0:
        raise BadInput("the dose has no Dose Grid Scaling (3004,000e), so its values mean nothing", path=path)
    if layout.samples != 1 or layout.rows * layout.columns * layout.frames > MAX_VALUES:
        raise BadInput("the dose grid has colours, or is too large", path=path)
    position, orientation = data.vector(T.POSITION, 3), data.vector(T.ORIENTATION, 6)
    spacing = data.vector(T.PIXEL_SPACING, 2)
    place = None
    if position is not None and orientation is not None and spacing is not None and min(spacing) > 0:
        place = frame_place(position, orientation, spacing)
    if place is None or spacing is None:
        raise Refused("the dose does not say where it lies", path=path)
    notes: list[str] = []
    heights = _heights(data.numbers(T.GRID_OFFSETS), layout.frames, place.origin_lps, place.normal_lps, notes, path)
    declared = data.integer(T.FRAMES) or 1
    if layout.frames < declared:
        notes.append(f"{declared - layout.frames} of {declared} planes are missing: the file is cut short")
    values = np.empty((layout.frames, layout.rows, layout.columns), dtype=np.float32)
    for frame in range(layout.frames):
        context.report(frame, layout.frames, "reading the dose")
        try:
            stored = read_stored(FrameRef(path, frame, layout=layout, data_offset=offset))
        except PixelFault as fault:
            if fault.code == "no-codec":
                raise MissingHere(fault.reason, path=path) from fault
            raise BadInput(f"the dose cannot be read: {fault.reason}", path=path) from fault
        except SourceFault as fault:
            raise BadInput(f"the dose cannot be read: {fault.reason}", path=path) from fault
        except OSError as error:
            raise BadInput(f"the dose cannot be read: {error.strerror or error}", path=path) from error
        values[frame] = stored.astype(np.float64) * scaling
    order = np.argsort(heights, kind="stable")
    if np.any(np.diff(heights[order]) <= 0):
        raise Refused("two planes of the dose lie at one place", path=path)
    charsets = data.texts(T.CHARSET)
    units = data.text(T.DOSE_UNITS).upper()
    if units not in DOSE_UNITS:
        notes.append("the file does not say the unit of the dose" if not units else f"the unit is {units}")
    return Dose(
        path=path,
        values=values if bool(np.all(np.diff(order) == 1)) else np.ascontiguousarray(values[order]),
        heights_mm=heights[order],
        origin_lps=place.origin_lps,
        column_lps=place.column_step_lps / spacing[1],
        row_lps=place.row_step_lps / spacing[0],
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        depth_mm=abs(data.number(T.SLICE_THICKNESS) or 1.0),
        unit=DOSE_UNITS.get(units, words(data, T.DOSE_UNITS, charsets)),
        summation=data.text(T.DOSE_SUMMATION).upper(),
        kind=data.text(T.DOSE_TYPE).upper(),
        comment=words(data, _COMMENT, charsets),
        frame_of_reference_uid=data.text(T.FRAME_OF_REFERENCE),
        patient_id=words(data, T.PATIENT_ID, charsets),
        study_uid=data.text(T.STUDY_UID),
        notes=tuple(notes),
    )


def _heights(
    offsets: tuple[float | None, ...], count: int, origin: Float, normal: Float, notes: list[str], path: Path
) -> Float:
    """Heights of the planes along the normal, from the first, by Grid Frame Offset Vector (PS3.3 C.8.8.3.2).

    It counts from the first plane where its first value is 0, and holds z coordinates of the patient where it is not.
    """
    numbers = [o for o in offsets[:count] if o is not None]
    if len(numbers) < count:
        if count == 1:
            return np.zeros(1)
        raise Refused("the dose does not say where its planes lie (3004,000c)", path=path)
    heights: Float = np.asarray(numbers, dtype=np.float64)
    relative: Float = heights - heights[0]
    upwards = float(np.sign(normal[2]))
    if count == 1 or heights[0] == 0.0:
        return relative
    if abs(abs(normal[2]) - 1) > 1e-4:
        notes.append("the planes' places are z coordinates, and the planes are not axial: taken from the first plane")
        return relative
    if abs(heights[0] - origin[2]) > 0.01:
        notes.append("the first plane's place differs from the image position: the planes are counted from the first")
        return relative * upwards
    absolute: Float = (heights - origin[2]) * upwards
    return absolute

"""Shapes and words that a file brings along, laid on the shown stack: where each lies in which cut. No Qt.

Reports give pictures' coordinates (0\\0 is the top left corner of the first pixel) or millimetres of the patient;
here both are fractional indices of the shown stack, so that every view draws them through its own axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneAxes

if TYPE_CHECKING:
    from medviewer.formats.catalog import Stack
    from medviewer.formats.dicom.objects.document import ImageReference
    from medviewer.formats.dicom.objects.sr import Graphic
    from medviewer.formats.dicom.objects.sr_measurements import Measurement

Points = NDArray[np.float64]

#: Corners of a circle or an ellipse.
ROUND = 96

#: Half the distance of two cuts: points within it lie in the cut. A little more, against rounding.
HALF_CUT = 0.501


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One shape with its words.

    Attributes:
        shape: "POINT", "POLYLINE" (open or closed: the points say), "ELLIPSOID" or "TEXT".
        points_kji: fractional indices `[n, 3]`; of an ellipsoid its centre and three half axes, of a text two corners
            of its box.
        slice_k: the slice that it belongs to, None for a shape in the patient that any plane may meet.
        label: words beside it, one line each.
        colour: red, green, blue; None for the colour of measurements.
        is_ai: an algorithm's, not yet verified by anybody.
        filled: its inside is filled.
        owner: what it belongs to (a measurement's number in its report).
        leader_kji: of a text the point that a line leads to, or None.
        justification: of a text in its box: "LEFT", "RIGHT", "CENTER".
    """

    shape: str
    points_kji: Points
    slice_k: int | None
    label: tuple[str, ...] = ()
    colour: tuple[int, int, int] | None = None
    is_ai: bool = False
    filled: bool = False
    owner: object = None
    leader_kji: Points | None = None
    justification: str = "LEFT"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A shape in one cut: lines and points as (row, column) with pixel centres at integers."""

    lines: tuple[Points, ...] = ()
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Which slice of a stack (of a 4-D one, which slice of which time) shows which frame of which file."""

    by_instance: Mapping[str, Sequence[tuple[int, int]]]
    tiles: Mapping[int, tuple[int, int, int, int]]
    slices: int

    @classmethod
    def of(cls, stack: Stack) -> Frames:
        """The frames of a stack; those of the last few stacks are kept."""
        kept = _kept_frames.get(id(stack))
        if kept is not None and kept[0] is stack:
            return kept[1]
        found: dict[str, list[tuple[int, int]]] = {}
        tiles: dict[int, tuple[int, int, int, int]] = {}
        slices = stack.size_kji[0]
        for n, frame in enumerate(stack.frames):
            found.setdefault(frame.sop_instance_uid, []).append((frame.frame, n))
            if frame.tile is not None and n < slices:
                tiles[n] = frame.tile
        found.pop("", None)
        made = cls(found, tiles, slices)
        if len(_kept_frames) >= _MOST_KEPT:
            _kept_frames.pop(next(iter(_kept_frames)))
        _kept_frames[id(stack)] = (stack, made)
        return made

    def places_of(self, reference: ImageReference) -> list[tuple[int, int]]:
        """(time, slice) pairs that show what a reference names; none where it is not in this stack."""
        wanted = {number - 1 for number in reference.frames}
        there = self.by_instance.get(reference.sop_instance_uid, ())
        return [divmod(n, self.slices) for frame, n in there if not wanted or frame in wanted]

    def slices_of(self, reference: ImageReference) -> list[int]:
        """Slices of the first time that show what a reference names."""
        return [k for time, k in self.places_of(reference) if time == 0]


_MOST_KEPT = 16
_kept_frames: dict[int, tuple[Stack, Frames]] = {}


def marks_of(measurements: Iterable[Measurement], stack: Stack, grid: Grid | None, *, verified: bool) -> list[Mark]:
    """The marks of a report that lie in a stack; those of other stacks are left out."""
    frames = Frames.of(stack)
    marks: list[Mark] = []
    for number, measurement in enumerate(measurements):
        is_ai = measurement.by_device and not verified
        label = (*label_of(measurement), "AI, not verified") if is_ai else label_of(measurement)
        labelled: set[int | None] = set()
        for graphic in measurement.graphics:
            for mark in _marks_of(graphic, frames, stack, grid):
                first = mark.slice_k not in labelled
                labelled.add(mark.slice_k)
                marks.append(
                    Mark(mark.shape, mark.points_kji, mark.slice_k, label if first else (), None, is_ai, owner=number)
                )
    return marks


def label_of(measurement: Measurement) -> tuple[str, ...]:
    """What is written beside a measurement: its values, and its name where that says something."""
    values = measurement.values[:4]
    said = measurement.title
    opaque = " " not in said and any(c.isdigit() for c in said) and any(c.isalpha() for c in said)
    names = () if not said or (values and (opaque or "@" in said)) else (said,)
    return tuple(text if len(text) <= 60 else f"{text[:59]}…" for text in (*names, *values))


def place_of(measurement: Measurement, stack: Stack, grid: Grid | None) -> Points | None:
    """Where to look to see a measurement in a stack: a fractional index, or None where it is not in it."""
    frames = Frames.of(stack)
    for graphic in measurement.graphics:
        for mark in _marks_of(graphic, frames, stack, grid):
            middle: Points = mark.points_kji[0] if mark.shape == "ELLIPSOID" else mark.points_kji.mean(axis=0)
            return middle
    for reference in measurement.references():
        for k in frames.slices_of(reference):
            return np.array([k, (stack.size_kji[1] - 1) / 2, (stack.size_kji[2] - 1) / 2])
    return None


def _marks_of(graphic: Graphic, frames: Frames, stack: Stack, grid: Grid | None) -> Iterator[Mark]:
    if graphic.in_patient:
        known = graphic.frame_of_reference_uid
        if grid is not None and (not known or known == stack.frame_of_reference_uid):
            points = np.array([grid.lps_to_index(point) for point in graphic.points])
            yield from shapes(graphic.shape, points, None)
        return
    for reference in graphic.images:
        for k in frames.slices_of(reference):
            yield from picture_shapes(graphic.shape, np.array(graphic.points), k, frames)


def picture_shapes(shape: str, points: Points, k: int, frames: Frames) -> Iterator[Mark]:
    """Marks from (column, row) points of one slice, 0\\0 at the corner of the first pixel."""
    row, column = 0, 0
    if k in frames.tiles:  # a mosaic: each point belongs to one of its tiles
        row, column, rows, columns = frames.tiles[k]
        x, y = points.mean(axis=0) - (column, row)
        if not (0 <= x < columns and 0 <= y < rows):
            return
    index = np.column_stack([np.full(len(points), float(k)), points[:, 1] - 0.5 - row, points[:, 0] - 0.5 - column])
    yield from shapes(shape, index, k)


def shapes(shape: str, points: Points, k: int | None) -> Iterator[Mark]:
    """Points, lines and round shapes as marks; a shape whose points do not suffice gives none."""
    if not np.all(np.isfinite(points)) or len(points) == 0:
        return
    if shape in ("POINT", "MULTIPOINT") or len(points) == 1:
        for point in points:
            yield Mark("POINT", point[None, :], k)
    elif shape == "CIRCLE":
        centre, edge = points[0], points[1]
        radius = float(np.linalg.norm(edge[1:] - centre[1:]))
        yield Mark("POLYLINE", _round(centre, np.array([0.0, radius, 0.0]), np.array([0.0, 0.0, radius])), k)
    elif shape == "ELLIPSE" and len(points) >= 4:
        centre = (points[0] + points[1]) / 2
        yield Mark("POLYLINE", _round(centre, (points[1] - points[0]) / 2, (points[3] - points[2]) / 2), k)
    elif shape == "ELLIPSOID" and len(points) >= 6:
        centre = points[:2].mean(axis=0)
        halves = [(points[2 * n + 1] - points[2 * n]) / 2 for n in range(3)]
        yield Mark("ELLIPSOID", np.stack([centre, *halves]), k)
    elif shape == "POLYGON":
        yield Mark("POLYLINE", points if np.array_equal(points[0], points[-1]) else np.vstack([points, points[:1]]), k)
    elif shape == "INTERPOLATED":
        yield Mark("POLYLINE", smooth(points), k)
    else:
        yield Mark("POLYLINE", points, k)


def _round(centre: Points, first: Points, second: Points) -> Points:
    angle = np.linspace(0, 2 * np.pi, ROUND + 1)
    made: Points = centre + np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    return made


def smooth(points: Points, steps: int = 8) -> Points:
    """A curve through all points: centripetal Catmull-Rom is not asked for by PS3.3 C.10.5, any spline will do."""
    if len(points) < 3 or len(points) > 20_000:
        return points
    closed = bool(np.allclose(points[0], points[-1]))
    before = points[-2] if closed else 2 * points[0] - points[1]
    after = points[1] if closed else 2 * points[-1] - points[-2]
    p = np.vstack([before, points, after])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    p0, p1, p2, p3 = p[:-3], p[1:-2], p[2:-1], p[3:]
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    made: Points = np.vstack([curve.transpose(1, 0, 2).reshape(-1, points.shape[1]), points[-1:]])
    return made


class MarksIndex:
    """Finds the marks that may lie in a cut without looking at all of them."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._of_slice: dict[int, list[Mark]] = {}
        self._in_patient = [mark for mark in marks if mark.slice_k is None]
        for mark in marks:
            if mark.slice_k is not None:
                self._of_slice.setdefault(mark.slice_k, []).append(mark)
        ends = [_ends(mark) for mark in self._in_patient]
        self._low = np.array([low for low, _ in ends]).reshape(-1, 3)
        self._high = np.array([high for _, high in ends]).reshape(-1, 3)

    def near(self, through: int, position: int) -> list[Mark]:
        """Marks whose extent along an array axis meets a cut."""
        found = list(self._of_slice.get(position, ())) if through == 0 else []
        met = (self._low[:, through] <= position + HALF_CUT) & (self._high[:, through] >= position - HALF_CUT)
        return found + [self._in_patient[n] for n in np.flatnonzero(met)]


def _ends(mark: Mark) -> tuple[Points, Points]:
    """Least and greatest index that a mark reaches."""
    if mark.shape == "ELLIPSOID":
        reach = np.sqrt((mark.points_kji[1:] ** 2).sum(axis=0))
        return mark.points_kji[0] - reach, mark.points_kji[0] + reach
    return mark.points_kji.min(axis=0), mark.points_kji.max(axis=0)


def in_cut(mark: Mark, axes: PlaneAxes, size_kji: tuple[int, int, int], position: int) -> Drawn | None:
    """What of a mark lies in a cut; None where nothing does."""
    if mark.slice_k is not None and (axes.through != 0 or mark.slice_k != position):
        return None
    if mark.shape == "ELLIPSOID":
        outline = _ellipsoid_in_cut(mark.points_kji, axes.through, position)
        return None if outline is None else Drawn((_rows_columns(outline, axes, size_kji),))
    depth = mark.points_kji[:, axes.through] - position
    placed = _rows_columns(mark.points_kji, axes, size_kji)
    inside = np.abs(depth) <= HALF_CUT
    if mark.shape == "TEXT":
        return Drawn((placed,)) if inside.all() else None
    if mark.shape == "POINT":
        return Drawn(points=((float(placed[0, 0]), float(placed[0, 1])),)) if inside[0] else None
    if inside.all():
        return Drawn((placed,))
    lines = [placed[n : n + 2] for n in np.flatnonzero(inside[:-1] & inside[1:])]
    crossed = np.flatnonzero(depth[:-1] * depth[1:] < 0)
    share = depth[crossed] / (depth[crossed] - depth[crossed + 1])
    met = placed[crossed] + share[:, None] * (placed[crossed + 1] - placed[crossed])
    points = tuple((float(row), float(column)) for row, column in met)
    return Drawn(tuple(lines), points) if lines or points else None


def _rows_columns(points_kji: Points, axes: PlaneAxes, size_kji: tuple[int, int, int]) -> Points:
    rows, columns = points_kji[:, axes.down], points_kji[:, axes.right]
    rows = size_kji[axes.down] - 1 - rows if axes.flip_down else rows
    columns = size_kji[axes.right] - 1 - columns if axes.flip_right else columns
    made: Points = np.column_stack([rows, columns])
    return made


def _ellipsoid_in_cut(ellipsoid: Points, through: int, position: int) -> Points | None:
    """Outline of centre + A u (u of unit length) where it meets `index[through] == position`.

    In the space of u the cut is a plane at the distance h / |w| from the middle, with w the row of A; it meets the
    unit ball in a circle.
    """
    centre, half_axes = ellipsoid[0], ellipsoid[1:].T
    w = half_axes[through]
    length = float(np.linalg.norm(w))
    if length < 1e-9:
        return None
    distance = (position - centre[through]) / length
    if abs(distance) >= 1:
        return None
    normal = w / length
    first = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    radius = np.sqrt(1 - distance**2)
    return _round(centre + half_axes @ (distance * normal), half_axes @ (radius * first), half_axes @ (radius * second))

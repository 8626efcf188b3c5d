"""What a presentation state makes of one slice: grey values, orientation, area, shutter, marks. No Qt.

PS3.4 N.2: modality LUT, VOI and presentation LUT of the state take the place of the image's own, photometric
interpretation included; the picture is rotated, then mirrored; of the displayed area as much is shown as asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medviewer.desktop.viewport.marks import Frames, Mark, picture_shapes
from medviewer.desktop.viewport.placing import Placing
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.objects.gsps import DisplayedArea, GraphicObject, PresentationState, TextObject
from medviewer.volume.lut import table_of
from medviewer.volume.overlay_plane import FrameGraphics, laid_over
from medviewer.volume.plane import PlaneAxes, PlaneName
from medviewer.volume.volume import Volume
from medviewer.volume.window import Window, auto_window, window_of_table

#: Inputs of a table that joins a window and a presentation LUT.
_MOST_INPUTS = 1 << 19

#: Ink of layers that say nothing about their colour.
_PLAIN = (240, 228, 66)


@dataclass(frozen=True, slots=True, eq=False)
class PresentedFrame:
    """One slice as a presentation state wants it.

    Attributes:
        state: the presentation state.
        slice_k: the slice.
        axes: how the acquired plane is turned.
        volume: the shown volume with the state's modality step and polarity; the voxels are shared.
        window: the state's VOI with its presentation LUT, or None where it has none.
        area: the displayed area, or None.
    """

    state: PresentationState
    slice_k: int
    axes: PlaneAxes
    volume: Volume
    window: Window | None
    area: DisplayedArea | None

    @property
    def shown_part(self) -> object:
        """Equal for slices of which the same part is shown in the same size."""
        area = self.area
        return None if area is None else (area.first, area.last, area.size_mode, area.magnification)

    def placing(self, whole: Placing, screen_mm: float, ratio: float) -> Placing:
        """Where the picture lies in a view into which `whole` fits it; see `placing_of_area`."""
        if self.area is None:
            return whole
        return placing_of_area(self.area, self.axes, self.volume.size_kji, whole, screen_mm, ratio)


def turned_axes(rotation: int, flip: bool) -> PlaneAxes:
    """The acquired plane rotated clockwise by 0, 90, 180 or 270 degrees, then mirrored left to right (PS3.3 C.10.6)."""
    down, right, flip_down, flip_right = {
        0: (1, 2, False, False),
        90: (2, 1, False, True),
        180: (1, 2, True, True),
        270: (2, 1, True, False),
    }[rotation]
    return PlaneAxes(PlaneName.ACQUIRED, 0, down, right, flip_down, flip_right != flip)


def slices_of_state(state: PresentationState, stack: Stack) -> frozenset[int]:
    """Slices of a stack that a presentation state is for."""
    frames = Frames.of(stack)
    return frozenset(k for image in state.images for k in frames.slices_of(image))


def presented_frame(state: PresentationState, stack: Stack, volume: Volume, k: int) -> PresentedFrame:
    """What the state makes of slice `k`, which is one of `slices_of_state`."""
    frames = Frames.of(stack)

    def is_for(images: tuple[ImageReference, ...]) -> bool:
        return not images or any(k in frames.slices_of(image) for image in images)

    area = next((area for area in state.areas if is_for(area.images)), None)
    axes = turned_axes(state.rotation, state.flip)
    if not state.is_grayscale or stack.is_colour:
        return PresentedFrame(state, k, axes, volume, None, area)
    shown = presented_volume(state, volume)
    window = next((voi.windows[0] for voi in state.voi if voi.windows and is_for(voi.images)), None)
    return PresentedFrame(state, k, axes, shown, _with_presentation_lut(state, shown, window, k), area)


def presented_volume(state: PresentationState, volume: Volume) -> Volume:
    """The volume with the state's modality step: a table, a rescale, or none (PS3.4 N.2.1.1)."""
    slope, intercept, unit = state.rescale or (1.0, 0.0, "")
    tables = () if state.modality_lut is None else (state.modality_lut,)
    return replace(volume, slope=slope, intercept=intercept, unit=unit, tables=tables, inverted=state.inverse)


def has_other_values(state: PresentationState, volume: Volume) -> bool:
    """True where the image has a modality step and the state has none: its window then acts on stored values."""
    own = volume.rescale_of(0) != (1.0, 0.0) or not volume.is_linear
    return state.is_grayscale and own and state.rescale is None and state.modality_lut is None


def _with_presentation_lut(state: PresentationState, volume: Volume, window: Window | None, k: int) -> Window | None:
    """Window and presentation LUT as one table over all values that the stored type can give.

    Without a window the values themselves span the presentation LUT's inputs (PS3.3 C.11.6.1).
    """
    lut = state.presentation_lut
    if lut is None:
        return window
    if window is None:
        window = auto_window(volume, 0.0, 100.0)
    low, high = value_range(volume, k)
    if high - low >= _MOST_INPUTS:
        return window
    values = np.arange(low, high + 1)
    share = window.apply(values) / 255.0
    entries = len(lut.outputs)
    brightness = lut.apply(lut.first + share * (entries - 1)) / lut.top
    return window_of_table(table_of(low, np.rint(brightness * 0xFFFF), 16, "presentation LUT"))


def value_range(volume: Volume, k: int) -> tuple[int, int]:
    """Smallest and largest whole value that slice `k` can have: of its type, not of the voxels that have arrived.

    Of types with more than 16 bits, those of the voxels that are there.
    """
    dtype = volume.voxels.dtype
    table = volume.table_of(k)
    if table is not None:
        values = table.outputs.astype(np.float64)
    elif dtype.kind in "iu" and dtype.itemsize <= 2:
        low = -(1 << 8 * dtype.itemsize - 1) if dtype.kind == "i" else 0
        values = volume.values_of(np.array([low, low + (1 << 8 * dtype.itemsize) - 1]), k)
    else:
        stored = volume.voxels[k]
        values = volume.values_of(np.array([stored.min(), stored.max()]), k)
    return int(np.floor(values.min())), int(np.ceil(values.max()))


def corners_of(
    area: DisplayedArea, axes: PlaneAxes, size_kji: tuple[int, int, int]
) -> tuple[float, float, float, float]:
    """Top, left, bottom and right edge of a displayed area in the picture; pixel centres at integers."""
    rows, columns = [], []
    for column, row in (area.first, area.last):
        _, r, c = axes.from_index(size_kji, (0, row - 1, column - 1))
        rows.append(r)
        columns.append(c)
    return min(rows) - 0.5, min(columns) - 0.5, max(rows) + 0.5, max(columns) + 0.5


def placing_of_area(
    area: DisplayedArea, axes: PlaneAxes, size_kji: tuple[int, int, int], whole: Placing, screen_mm: float, ratio: float
) -> Placing:
    """Where the picture lies so that a view shows a displayed area (PS3.3 C.10.4).

    Args:
        area: what is to be shown.
        axes, size_kji: how the picture is cut.
        whole: the picture fitted into the view.
        screen_mm: size of a logical screen pixel in mm, for true size.
        ratio: device pixels for a logical one, for a magnification.
    """
    row_mm, column_mm = whole.row_mm, whole.column_mm
    if (row_mm, column_mm) == (1.0, 1.0):  # the image itself does not know: the state may
        sizes = area.spacing or area.aspect or (1.0, 1.0)
        row_mm, column_mm = sizes if axes.down == 1 else (sizes[1], sizes[0])
    top, left, bottom, right = corners_of(area, axes, size_kji)
    height, width = (bottom - top) * row_mm, (right - left) * column_mm
    if area.size_mode == "TRUE SIZE" and screen_mm > 0:
        scale = 1.0 / screen_mm
    elif area.size_mode == "MAGNIFY" and area.magnification is not None:
        scale = area.magnification / (column_mm * ratio)
    else:
        scale = min(whole.width / width, whole.height / height)
    return replace(
        whole,
        row_mm=row_mm,
        column_mm=column_mm,
        scale=max(scale, 1e-6),
        middle_x_mm=((left + right) / 2 + 0.5) * column_mm,
        middle_y_mm=((top + bottom) / 2 + 0.5) * row_mm,
    )


# -- marks -------------------------------------------------------------------------------------------------------------


def marks_of_state(state: PresentationState, stack: Stack) -> list[Mark]:
    """Texts and shapes of a state on the slices of a stack, layer by layer."""
    frames = Frames.of(stack)
    order = {layer.name: n for n, layer in enumerate(state.layers)}
    inks = {layer.name: layer.colour for layer in state.layers}
    marks: list[Mark] = []
    for annotation in sorted(state.annotations, key=lambda one: order.get(one.layer, 0)):
        ink = inks.get(annotation.layer) or _PLAIN
        images = annotation.images or state.images
        slices = sorted({k for image in images for k in frames.slices_of(image)})
        for k in slices:
            place = _Place(state, stack, k, frames)
            for graphic in annotation.graphics:
                marks += place.shape(graphic, ink)
            for text in annotation.texts:
                marks.append(place.text(text, ink))
    return marks


class _Place:
    """Turns the points of annotations into (column, row) of one slice."""

    def __init__(self, state: PresentationState, stack: Stack, k: int, frames: Frames) -> None:
        self._k, self._frames = k, frames
        self._axes = turned_axes(state.rotation, state.flip)
        _, rows, columns = stack.size_kji
        self._size = stack.size_kji
        area = next((a for a in state.areas if not a.images or any(k in frames.slices_of(i) for i in a.images)), None)
        whole = DisplayedArea((), (1, 1), (columns, rows))
        self._edges = corners_of(area or whole, self._axes, stack.size_kji)

    def points(self, points: tuple[tuple[float, float], ...], in_pixels: bool) -> NDArray[np.float64]:
        """(column, row) with 0\\0 at the corner of the first pixel."""
        if in_pixels:
            return np.array(points, dtype=np.float64)
        top, left, bottom, right = self._edges
        found = []
        for x, y in points:
            index = self._axes.to_index(self._size, self._k, top + y * (bottom - top), left + x * (right - left))
            found.append((index[2] + 0.5, index[1] + 0.5))
        return np.array(found)

    def shape(self, graphic: GraphicObject, ink: tuple[int, int, int]) -> Iterator[Mark]:
        """The marks of a shape."""
        points = self.points(graphic.points, graphic.in_pixels)
        for mark in picture_shapes(graphic.shape, points, self._k, self._frames):
            yield replace(mark, colour=graphic.colour or ink, filled=graphic.filled, owner="presentation")

    def text(self, text: TextObject, ink: tuple[int, int, int]) -> Mark:
        """The mark of words: corners of their box or their anchor, and where a line leads."""
        corners = text.box or ((text.anchor, text.anchor) if text.anchor is not None else None)
        assert corners is not None
        in_pixels = text.box_in_pixels if text.box is not None else text.anchor_in_pixels
        box = next(picture_shapes("POLYLINE", self.points(corners, in_pixels), self._k, self._frames)).points_kji
        leader = None
        if text.anchor is not None and text.anchor_shown:
            at = self.points((text.anchor,), text.anchor_in_pixels)
            leader = next(picture_shapes("POINT", at, self._k, self._frames)).points_kji
        return Mark(
            "TEXT",
            box,
            self._k,
            tuple(text.text.split("\n")[:40]),
            text.colour or ink,
            owner="presentation",
            leader_kji=leader,
            justification=text.justification,
        )


# -- shutter and overlays ----------------------------------------------------------------------------------------------


def presented_graphics(state: PresentationState, stack: Stack, k: int) -> FrameGraphics | None:
    """Shutter and overlay planes of slice `k` as the state has them: those of the image are off unless switched on.

    Raises:
        PixelFault, OSError: the image or the state cannot be read any more.
    """
    from medviewer.formats.dicom.headers.graphics import frame_graphics
    from medviewer.formats.dicom.objects.gsps import own_overlay_bits

    frame = stack.frames[k]
    layout = frame.layout
    if layout is None:
        return None
    active = {group for group, _ in state.overlays}
    spacing = stack.spacing_kji
    aspect = spacing[1] / spacing[2] if spacing is not None else stack.pixel_aspect or 1.0
    own = {plane.group for plane in state.own_overlays}
    overlays = tuple(p for p in frame.overlays if p.group in active - own)
    found = frame_graphics(replace(frame, overlays=overlays, shutter=state.shutter), aspect)
    lines, covered = found.lines, found.covered
    for plane in state.own_overlays:
        if plane.group not in active and plane.group != state.bitmap_shutter:
            continue
        bits = laid_over(own_overlay_bits(state, plane), plane.origin, layout.rows, layout.columns)
        if plane.group == state.bitmap_shutter:
            covered = bits if covered is None else covered | bits
        else:
            lines = bits if lines is None else lines | bits
    return FrameGraphics(lines, found.regions, covered, state.shutter_brightness)

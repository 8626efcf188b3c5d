"""From a cut of the volume to eight bits: the one way by which every grey picture of the program is made. No Qt."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from medviewer.volume.overlay_plane import FrameGraphics
from medviewer.volume.plane import PlaneAxes
from medviewer.volume.supplement import Supplement
from medviewer.volume.volume import Volume
from medviewer.volume.window import GreyMapper, Window

_Any = TypeVar("_Any", bound=np.generic)

#: How many reduced cuts are kept (large pictures only).
_KEPT = 8


class GreySource:
    """Grey cuts of the shown volume under the shown window; one for all views, so a window's table is made once."""

    def __init__(self) -> None:
        self._volume: Volume | None = None
        self._key: tuple[Window, bool] | None = None
        self._mapper: GreyMapper | None = None
        self.colour_frame: Callable[[int], NDArray[np.uint8] | None] | None = None
        self.supplement: Callable[[], Supplement | None] | None = None
        self.graphics_of: Callable[[int], FrameGraphics | None] | None = None
        self._padded: dict[int, bool] = {}
        self._reduced: OrderedDict[tuple[PlaneAxes, int, int], NDArray[np.generic]] = OrderedDict()

    def use(self, volume: Volume | None, window: Window, inverted: bool) -> None:
        """Take this volume and window; cheap where nothing changed."""
        if volume is not self._volume:
            self._volume, self._key = volume, None
            self._reduced.clear()
            self._padded.clear()
        if volume is None:
            self._mapper = None
        elif self._key != (window, inverted):
            self._key = (window, inverted)
            self._mapper = GreyMapper(volume, window, invert=inverted)

    def forget_reduced(self) -> None:
        """Voxels have changed (slices arrived): averages made before are stale."""
        self._reduced.clear()

    def cut(self, axes: PlaneAxes, position: int, reduce: int = 1) -> NDArray[np.uint8]:
        """Eight bits `[down, right]` of one cut; slices that have not arrived are black.

        Args:
            reduce: average blocks of this many pixels (a power of two) before the table, for pictures that are shown
                much smaller than they are.
        """
        volume, mapper = self._volume, self._mapper
        if volume is None or mapper is None:
            return np.zeros((1, 1), dtype=np.uint8)
        if axes.through == 0 or volume.has_one_rescale:
            k = position if axes.through == 0 else 0
            stored = self._stored(volume, axes, position, reduce)
            grey = mapper.grey(stored, k)
        else:
            grey = _by_slices(volume, mapper, axes, position)
        return _black_where_missing(grey, volume, axes, position, reduce)

    def rgb(self, axes: PlaneAxes, position: int) -> NDArray[np.uint8] | None:
        """Colours `[down, right, 3]` of a cut of a colour stack, if its frame has arrived; None for grey stacks.

        A grey stack with a Supplemental Palette has colours too, over its windowed grey.
        """
        supplement = None if self.supplement is None else self.supplement()
        if supplement is not None and self._volume is not None:
            return supplement.over(self.cut(axes, position), axes.cut(self._volume.voxels, position))
        if self.colour_frame is None or axes.through != 0:
            return None
        frame = self.colour_frame(position)
        frame = None if frame is None else turned(frame, axes)
        if frame is None or self._key is None or not self._key[1]:
            return frame
        return (255 - frame).astype(np.uint8)

    def has_padding(self, volume: Volume, k: int) -> bool:
        """True where an arrived slice has padding; looked at once."""
        if volume.padding is None or volume is not self._volume or not bool(volume.loaded[k]):
            return False
        known = self._padded.get(k)
        if known is None:
            mask = volume.padding_mask(volume.voxels[k])
            known = self._padded[k] = mask is not None and bool(mask.any())
        return known

    def graphics(self, axes: PlaneAxes, position: int) -> FrameGraphics | None:
        """What the file lays over the picture of an acquired slice, if it has arrived; None for other planes."""
        if self.graphics_of is None or axes.through != 0:
            return None
        found = self.graphics_of(position)
        if found is None:
            return None
        lines, regions, covered = (
            None if mask is None else turned(mask, axes) for mask in (found.lines, found.regions, found.covered)
        )
        return FrameGraphics(lines, regions, covered, found.brightness)

    def _stored(self, volume: Volume, axes: PlaneAxes, position: int, reduce: int) -> NDArray[np.generic]:
        cut = axes.cut(volume.voxels, position)
        if reduce <= 1:
            return cut
        key = (axes, position, reduce)
        kept = self._reduced.get(key)
        if kept is None:
            kept = self._reduced[key] = averaged(cut, reduce, volume.padding)
            if len(self._reduced) > _KEPT:
                self._reduced.popitem(last=False)
        return kept


def turned(picture: NDArray[_Any], axes: PlaneAxes) -> NDArray[_Any]:
    """A picture `[rows, columns, ...]` of an acquired slice as its axes lie on the screen; itself where they lie so."""
    if axes.down > axes.right:
        picture = picture.swapaxes(0, 1)
    if axes.flip_down:
        picture = picture[::-1]
    if axes.flip_right:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)


def averaged(
    picture: NDArray[np.generic], factor: int, padding: tuple[float, float] | None = None
) -> NDArray[np.generic]:
    """Means of blocks of `factor` x `factor` pixels in the picture's own type; a rest at the edges is left out.

    Padding (an inclusive range of stored values) has no part in a mean: a block is padding where more than half of
    it is, else the mean of the rest.
    """
    rows, columns = (n // factor for n in picture.shape)
    if rows == 0 or columns == 0:
        return picture
    whole = picture[: rows * factor, : columns * factor]
    if padding is None:
        mean = _block_sums(whole, factor) * np.float32(1 / factor**2)
    else:
        is_tissue = (whole < padding[0]) | (whole > padding[1])  # type: ignore[operator]
        count = _block_sums(is_tissue.view(np.uint8), factor)
        total = _block_sums(whole * is_tissue, factor)
        mean = np.where(2 * count >= factor * factor, total / np.maximum(count, 1), np.float32(padding[0]))
    smooth: NDArray[np.generic] = np.rint(mean) if picture.dtype.kind in "iu" else mean
    return smooth.astype(picture.dtype)


def _block_sums(picture: NDArray[np.generic], factor: int) -> NDArray[np.float32 | np.float64]:
    """Sums of blocks; rows are added first and columns then, which is ten times as fast as both at once."""
    wide = np.float64 if picture.dtype.itemsize > 2 else np.int32
    rows, columns = picture.shape[0] // factor, picture.shape[1] // factor
    lines = picture.reshape(rows, factor, columns * factor).sum(axis=1, dtype=wide)
    sums = lines[:, ::factor].copy()
    for n in range(1, factor):
        sums += lines[:, n::factor]
    exact: NDArray[np.float32 | np.float64] = sums.astype(np.float64 if wide is np.float64 else np.float32)
    return exact


def _by_slices(volume: Volume, mapper: GreyMapper, axes: PlaneAxes, position: int) -> NDArray[np.uint8]:
    """A cut across slices of unlike rescale (PET): each slice's line through its own table."""
    where: list[slice | int] = [slice(None)] * 3
    where[axes.through] = position
    lines = volume.voxels[tuple(where)]
    grey = np.stack([mapper.grey(lines[k], k) for k in range(lines.shape[0])])
    block = np.expand_dims(grey, axes.through)
    return axes.cut(block, 0)  # type: ignore[return-value]


def _black_where_missing(
    grey: NDArray[np.uint8], volume: Volume, axes: PlaneAxes, position: int, reduce: int
) -> NDArray[np.uint8]:
    if bool(volume.loaded.all()):
        return grey
    if axes.through == 0:
        return grey if bool(volume.loaded[position]) else np.zeros_like(grey)
    if axes.down == 0:
        loaded = volume.loaded[::-1] if axes.flip_down else volume.loaded
        grey[~loaded[: grey.shape[0] * reduce : reduce]] = 0
    else:
        loaded = volume.loaded[::-1] if axes.flip_right else volume.loaded
        grey[:, ~loaded[: grey.shape[1] * reduce : reduce]] = 0
    return grey


def reduction(zoom: float) -> int:
    """The block size for a picture shown at `zoom` device pixels a picture pixel.

    It is the largest power of two that still leaves at least as many picture pixels as device pixels.
    """
    factor = 1
    while zoom * factor * 2 <= 1.0 and factor < 64:
        factor *= 2
    return factor

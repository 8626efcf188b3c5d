"""Thumbnails: the middle slice of a stack under its first window, made on one background thread, kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QImage, QPixmap

from medviewer.desktop.colours import frame_colours
from medviewer.desktop.jobs import Jobs
from medviewer.desktop.presets import first_window
from medviewer.desktop.viewport.grey import averaged
from medviewer.jobs import JobContext
from medviewer.volume.plane import acquired_plane, nearest_plane, plane_axes
from medviewer.volume.volume import Volume
from medviewer.volume.window import GreyMapper

if TYPE_CHECKING:
    from medviewer.formats.catalog import Stack

#: Side of the square on the screen; pictures are made twice as large for dense screens.
SIDE = 58


def of_volume(stack: Stack, volume: Volume) -> NDArray[np.uint8]:
    """The middle slice of a volume that has it, at most four sides large."""
    middle = volume.size_kji[0] // 2
    axes = plane_axes(volume.grid, nearest_plane(volume.grid))
    if axes.through != 0:
        axes = acquired_plane()
    cut = axes.cut(volume.voxels, middle)
    cut = averaged(cut, max(1, max(cut.shape) // (4 * SIDE)), volume.padding)
    return np.ascontiguousarray(GreyMapper(volume, first_window(stack, volume)).grey(cut, middle))


def thumbnail(stack: Stack, context: JobContext) -> NDArray[np.uint8]:
    """The middle picture `[rows, columns]` (grey) or `[rows, columns, 3]`, about four sides large."""
    from medviewer.formats import load

    context.check()
    one_time = stack.at_time(0)
    middle = one_time.size_kji[0] // 2
    if stack.is_colour:
        rgb = frame_colours(one_time, middle)
        factor = max(1, max(rgb.shape[:2]) // (4 * SIDE))
        return np.ascontiguousarray(rgb[::factor, ::factor])
    volume = load.empty_volume(stack, 0)
    load.read_slice(stack, volume, middle, 0)
    context.check()
    return of_volume(one_time, volume)


def as_pixmap(picture: NDArray[np.uint8], pixel_mm: tuple[float, float], ratio: float) -> QPixmap:
    """The picture fitted into the square, black around it."""
    rows, columns = picture.shape[:2]
    if picture.ndim == 3:
        image = QImage(picture.data, columns, rows, columns * 3, QImage.Format.Format_RGB888)
    else:
        image = QImage(picture.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    height, width = rows * pixel_mm[0], columns * pixel_mm[1]
    scale = SIDE * ratio / max(height, width)
    scaled = image.scaled(
        max(1, round(width * scale)),
        max(1, round(height * scale)),
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    pixmap = QPixmap.fromImage(scaled)
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


class Thumbnails(QObject):
    """Makes thumbnails one after the other and keeps them by stack id."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs = Jobs(self, threads=1)
        self._jobs.on_failure = lambda _job, _error: None  # a broken picture shows itself when it is opened
        self._kept: dict[str, NDArray[np.uint8]] = {}
        self._generation = 0
        self._waiting: list[tuple[Stack, Callable[[NDArray[np.uint8]], None]]] = []
        self._held = False

    def hold(self) -> None:
        """Nothing is made until `go_on`: the first picture has the machine to itself."""
        self._held = True

    def go_on(self, stack: Stack | None = None, volume: Volume | None = None) -> None:
        """The first picture is there: make the thumbnails; the shown stack's comes from the volume."""
        self._held = False
        if stack is not None and volume is not None and not stack.is_colour and stack.times == 1:
            self._kept.setdefault(stack.id, of_volume(stack, volume))
        waiting, self._waiting = self._waiting, []
        for wanted, arrived in waiting:
            self.want(wanted, arrived)

    def forget_waiting(self) -> None:
        """Another catalog: what has not begun need not be made."""
        self._generation += 1
        self._waiting.clear()
        self._jobs.cancel_all()

    def want(self, stack: Stack, arrived: Callable[[NDArray[np.uint8]], None]) -> None:
        """Hand over the thumbnail now or later, in the Qt thread."""
        kept = self._kept.get(stack.id)
        if kept is not None:
            arrived(kept)
            return
        if self._held:
            self._waiting.append((stack, arrived))
            return
        generation = self._generation

        def done(picture: NDArray[np.uint8]) -> None:
            self._kept[stack.id] = picture
            arrived(picture)

        self._jobs.start(
            "Thumbnail",
            lambda context: thumbnail(stack, context),
            on_done=done,
            wanted=lambda: generation == self._generation,
            quiet=True,
        )

    def close(self) -> None:
        """End the thread."""
        self.forget_waiting()
        self._jobs.wait(1000)

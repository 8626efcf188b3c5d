"""What belongs to the frames of the shown stack beside their values: colours, overlay planes, shutters, colour tables.

Each is asked for when a view wants to draw it, read by a job, and drawn when it has arrived.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.desktop.colours import frame_colours
from medviewer.desktop.services import Services
from medviewer.desktop.session import ReadingSession
from medviewer.jobs import JobContext
from medviewer.volume.overlay_plane import FrameGraphics
from medviewer.volume.supplement import Supplement

#: Colours of frames that are kept so that a cine plays from memory, bytes.
COLOURS_BYTES = 600_000_000

#: Pixels of pictures whose graphics are kept.
KEPT_GRAPHICS = 50_000_000

#: Colour tables of files that are kept.
KEPT_SUPPLEMENTS = 16


class FrameExtras:
    """Colours, graphics and colour tables of the shown stack.

    Attributes:
        colours: what has arrived, [rows, columns, 3] by frame; another dictionary for each shown stack, so that what
            still arrives for the last one does no harm.
    """

    def __init__(self, session: ReadingSession, services: Services) -> None:
        self._session, self._services = session, services
        self.colours: dict[int, NDArray[np.uint8]] = {}
        self._asked: set[int] = set()
        self._graphics: dict[int, FrameGraphics | None] = {}
        self._supplements: dict[Path, Supplement | None] = {}

    def forget(self) -> None:
        """Colours and graphics are of frames that are not shown any more."""
        self._asked = set()
        self.colours, self._graphics = {}, {}

    def colour_frame(self, k: int) -> NDArray[np.uint8] | None:
        """The colours of frame `k` of a shown colour stack if they have arrived; else they are asked for."""
        stack = self._session.stack
        if stack is None or not stack.is_colour:
            return None
        frame = self.colours.get(k)
        if frame is None and k not in self._asked:
            self._asked.add(k)
            colours, asked = self.colours, self._asked

            def work(_: JobContext) -> NDArray[np.uint8]:
                return frame_colours(stack, k)

            def done(rgb: NDArray[np.uint8]) -> None:
                if sum(kept.nbytes for kept in colours.values()) > COLOURS_BYTES:
                    colours.clear()
                    asked.clear()
                colours[k] = rgb
                self._session.slices_arrived(range(k, k + 1))

            self._services.jobs.start(
                "Reading a frame",
                work,
                on_done=done,
                wanted=lambda: self._session.stack is stack,
                quiet=True,
                priority=20,
            )
        return frame

    def graphics_of(self, k: int) -> FrameGraphics | None:
        """What the file lays over frame `k` of the shown stack if it has arrived; else it is asked for."""
        stack = self._session.stack
        if stack is None or not 0 <= k < len(stack.frames):
            return None
        frame = stack.frames[k]
        if k in self._graphics or not (frame.overlays or frame.shutter):
            return self._graphics.get(k)
        if len(self._graphics) * stack.size_kji[1] * stack.size_kji[2] > KEPT_GRAPHICS:
            self._graphics.clear()
        self._graphics[k] = None
        kept = self._graphics

        def work(_: JobContext) -> FrameGraphics:
            from medviewer.formats import load

            return load.read_graphics(stack, k)

        def done(graphics: FrameGraphics) -> None:
            kept[k] = graphics
            self._session.slices_arrived(range(k, k + 1))

        self._services.jobs.start(
            "Reading the file's graphics",
            work,
            on_done=done,
            on_failed=self._services.say,
            wanted=lambda: self._session.stack is stack,
            quiet=True,
            priority=20,
        )
        return None

    def supplement(self) -> Supplement | None:
        """The Supplemental Palette of the shown stack if it has one that has arrived; else it is asked for."""
        stack = self._session.stack
        if stack is None or stack.coloured_from is None:
            return None
        path = stack.frames[0].path
        if path in self._supplements:
            return self._supplements[path]
        if len(self._supplements) > KEPT_SUPPLEMENTS:
            self._supplements.clear()
        self._supplements[path] = None

        def work(_: JobContext) -> Supplement | None:
            from medviewer.formats import load

            return load.read_supplement(stack)

        def done(supplement: Supplement | None) -> None:
            self._supplements[path] = supplement
            volume = self._session.volume
            if volume is not None:
                self._session.slices_arrived(range(volume.size_kji[0]))

        self._services.jobs.start(
            "Reading a colour table", work, on_done=done, on_failed=self._services.say, quiet=True, priority=20
        )
        return None

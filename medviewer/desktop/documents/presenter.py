"""Applies a presentation state to the slices it is for, and takes it away again as soon as another slice is shown."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject

from medviewer.desktop.documents.presentation import (
    has_other_values,
    presented_frame,
    presented_graphics,
    slices_of_state,
)
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.formats.dicom.objects.gsps import PresentationState
from medviewer.jobs import JobContext
from medviewer.volume.overlay_plane import FrameGraphics
from medviewer.volume.window import Window

Graphics = Callable[[int], FrameGraphics | None]


class Presenter(QObject):
    """Keeps which state is applied, and the window that the picture had without it."""

    def __init__(self, session: ReadingSession, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._services = session, services
        self._state: PresentationState | None = None
        self._slices: frozenset[int] = frozenset()
        self._before: tuple[Window, bool, bool] | None = None
        self._by_hand: Window | None = None
        self._graphics: dict[int, FrameGraphics | None] = {}
        session.changed.connect(self._on_changes)

    def use(self, state: PresentationState | None) -> None:
        """Apply another state to the shown stack, or none."""
        stack, volume = self._session.stack, self._session.volume
        slices = frozenset() if state is None or stack is None else slices_of_state(state, stack)
        if state is self._state and slices == self._slices:
            return
        self._state, self._slices = state, slices
        self._by_hand = None
        self._graphics.clear()
        if state is not None and volume is not None and slices and has_other_values(state, volume):
            self._services.say(
                "This state brings no rescale: its window acts on stored values, as the standard asks.", "warn"
            )
        self._apply()

    def graphics_of(self, of_file: Graphics) -> Graphics:
        """What lies over a slice: of the state where it is applied, else of the file."""

        def graphics(k: int) -> FrameGraphics | None:
            presented = self._session.presented
            if presented is None or presented.slice_k != k:
                return of_file(k)
            if k not in self._graphics:
                self._graphics[k] = None
                self._read(k)
            return self._graphics[k]

        return graphics

    def _read(self, k: int) -> None:
        state, stack, kept = self._state, self._session.stack, self._graphics
        if state is None or stack is None:
            return

        def work(_: JobContext) -> FrameGraphics | None:
            return presented_graphics(state, stack, k)

        def done(graphics: FrameGraphics | None) -> None:
            kept[k] = graphics
            self._session.slices_arrived(range(k, k + 1))

        self._services.jobs.start(
            "Reading the state's graphics",
            work,
            on_done=done,
            on_failed=self._services.say,
            wanted=lambda: self._state is state and self._session.stack is stack,
            quiet=True,
            priority=20,
        )

    def _on_changes(self, changes: Changes) -> None:
        if changes.volume:
            self._before = None
            self._slices = frozenset()
            self._by_hand = None
            self._graphics.clear()
        elif changes.crosshair and self._state is not None and self._slices:
            self._apply()

    def _apply(self) -> None:
        """Present the shown slice if the state is for it; else show it as it is."""
        session, state = self._session, self._state
        stack, volume, shown = session.stack, session.volume, session.presented
        k = round(float(session.crosshair_kji[0]))
        if state is None or k not in self._slices or stack is None or volume is None:
            self._leave()
            return
        if shown is not None and shown.slice_k == k and shown.state is state:
            return
        inverted = False
        if shown is None:
            self._before = session.window, session.inverted, session.window_by_frame
            session.window_by_frame = False
        elif shown.state is state:
            inverted = session.inverted
            if session.window != (shown.window or self._window_before()):
                self._by_hand = session.window  # what a person chose goes on with the slices
        presented = presented_frame(state, stack, volume, k)
        window = self._by_hand or presented.window or self._window_before()
        session.set_presented(presented, window, inverted=inverted)

    def _leave(self) -> None:
        """Show the slice under the window that it had before."""
        session = self._session
        if session.presented is None or self._before is None:
            return
        window, inverted, by_frame = self._before
        self._before = None
        session.set_presented(None, window, inverted=inverted)
        if by_frame:
            session.follow_frame_windows()

    def _window_before(self) -> Window:
        return self._session.window if self._before is None else self._before[0]

"""The times of a 4-D stack in memory, and the upright form of a tilted, gappy or uneven one.

`flip` shows another time at once and touches nothing else; `settle` makes it the stack that the window works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

from medviewer.desktop.jobs import Job
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.desktop.opening.showing import Showing
    from medviewer.formats.catalog import Stack
    from medviewer.volume.regular import RegularPlan

#: All times of a stack together may take this, bytes; of a larger one those are kept that come next.
TIMES_BYTES = 1_500_000_000


class Moments(QObject):
    """Other times and the upright form of the shown stack. `changed` fires when one has arrived or is shown."""

    changed = Signal()

    def __init__(self, session: ReadingSession, showing: Showing, services: Services) -> None:
        super().__init__(showing)
        self._session, self._showing, self._services = session, showing, services
        self.volumes: dict[int, Volume] = {}
        self._of: Stack | None = None
        self._job: Job | None = None
        self._settled = 0
        self._plan: RegularPlan | None = None
        session.changed.connect(self._on_changes)
        showing.loaded.connect(self._take_shown)

    # -- times -----------------------------------------------------------------------------------------------------

    def want(self, first: int) -> None:
        """Read the times that are not in memory, those after `first` first."""
        whole = self._showing.whole
        if whole is None or whole.times < 2 or self._job is not None:
            return
        wanted = self._next(whole, first)
        if all(time in self.volumes for time in wanted):
            return
        for time in set(self.volumes) - set(wanted):
            del self.volumes[time]
        volumes = self.volumes

        def work(context: JobContext) -> None:
            from medviewer.formats import load

            for n, time in enumerate(wanted):
                if time not in volumes:
                    context.check()
                    volumes[time] = load.load_volume(whole, JobContext(context.token), time=time)
                context.report(n + 1, len(wanted), "Reading the other times")

        def over(*_: object) -> None:
            self._job = None
            self.changed.emit()

        def failed(sentence: str) -> None:
            over()
            self._services.say(sentence, "warn")

        self._job = self._services.jobs.start(
            "Reading the other times",
            work,
            on_done=over,
            on_progress=lambda _: self.changed.emit(),
            on_failed=failed,
            on_cancelled=over,
            wanted=lambda: self._showing.whole is whole,
            priority=8,
        )

    def _next(self, whole: Stack, first: int) -> Sequence[int]:
        """The times that memory has room for, in playing order."""
        volume = self._session.volume
        one = 1 if volume is None else max(1, volume.voxels.nbytes)
        count = min(whole.times, max(2, TIMES_BYTES // one))
        return [(first + n) % whole.times for n in range(count)]

    def flip(self, time: int) -> None:
        """Show a time that is in memory; place, window and marks stay, nothing is opened or saved."""
        whole, volume = self._showing.whole, self.volumes.get(time)
        if whole is None or volume is None or time == self._showing.time:
            return
        self._showing.time = time
        if whole.is_colour or any(frame.overlays for frame in whole.frames[:1]):
            self._showing.frames.forget()
        self._session.show_moment(whole.at_time(time), volume)
        self.changed.emit()

    def settle(self) -> None:
        """The shown time becomes the stack that the window works on."""
        whole, time = self._showing.whole, self._showing.time
        volume = self.volumes.get(time)
        if whole is None or volume is None or time == self._settled or self._session.volume is not volume:
            return
        crosshair, window = self._session.crosshair_kji.copy(), self._session.window
        self._showing.show_ready(whole.at_time(time), volume, window, crosshair)

    def _on_changes(self, changes: Changes) -> None:
        if not changes.volume:
            return
        whole = self._showing.whole
        if whole is not self._of:
            self._of = whole
            self.volumes = {}
            if self._job is not None:
                self._job.cancel()
                self._job = None
        self._settled = self._showing.time
        self._take_shown()

    def _take_shown(self) -> None:
        """What is shown and whole need not be read again."""
        volume, stack = self._session.volume, self._session.stack
        if volume is not None and stack is not None and not stack.derived_from and bool(volume.loaded.all()):
            self.volumes[self._showing.time] = volume

    # -- upright ---------------------------------------------------------------------------------------------------

    def show_upright(self) -> None:
        """Lay a tilted, gappy or uneven stack upright and show that; it is a stack of its own."""
        whole, time, volume = self._showing.whole, self._showing.time, self._session.volume
        if whole is None or volume is None:
            return

        def work(context: JobContext) -> tuple[Stack, Volume, RegularPlan]:
            from medviewer.formats import load
            from medviewer.formats.straighten import plan_of, straightened

            source = load.load_volume(whole, JobContext(context.token), volume=volume, time=time)
            made, voxels = straightened(whole, source, context, time)
            return made, voxels, plan_of(whole)

        def done(result: tuple[Stack, Volume, RegularPlan]) -> None:
            from medviewer.volume.regular import to_regular

            made, voxels, self._plan = result
            self._showing.kept.keep(whole.at_time(time).id, volume)
            place = to_regular(self._plan, self._session.crosshair_kji)
            self._showing.show_ready(made, voxels, self._session.window, place)
            self.changed.emit()

        self._services.jobs.start(
            "Laying the images upright",
            work,
            on_done=done,
            on_failed=lambda sentence: self._services.banner(sentence, "bad"),
            wanted=lambda: self._session.volume is volume,
            priority=10,
        )

    def show_acquired(self) -> None:
        """Back from the upright form to the images as they were acquired, at the same place."""
        from medviewer.volume.regular import from_regular

        whole, plan = self._showing.whole, self._plan
        if whole is not None and plan is not None:
            place = np.asarray(from_regular(plan, self._session.crosshair_kji))
            self._showing.show_stack(whole, self._showing.time, place)

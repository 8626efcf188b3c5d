"""From a stack to a picture: the middle slice as soon as it is decoded, then the rest outwards.

Nothing here waits. A person who clicks another series meanwhile makes the first one's loading stale: it is cancelled
and whatever still arrives from it is dropped.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from medviewer.desktop.colours import frame_colours
from medviewer.desktop.jobs import Job
from medviewer.desktop.opening.frame_extras import FrameExtras
from medviewer.desktop.opening.kept import KeptVolumes
from medviewer.desktop.presets import first_window
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume
from medviewer.volume.window import Window

if TYPE_CHECKING:
    from medviewer.formats.catalog import Stack

#: Slices that have arrived are told so often, seconds.
NEWS_EVERY_S = 0.1


class Showing(QObject):
    """Shows stacks. `shown` fires when the first picture of a stack is there, `loaded` when all is.

    Attributes:
        whole, time: the shown stack as the catalog has it, and which time of it is shown (0 but for 4-D).
        frames: colours and graphics of what is shown.
        kept: volumes that can be shown again at once.
    """

    shown = Signal()
    loaded = Signal()
    busy_changed = Signal(str)
    read_again_wanted = Signal()

    def __init__(self, session: ReadingSession, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._services = session, services
        self.frames = FrameExtras(session, services)
        self.kept = KeptVolumes()
        self._load: Job | None = None
        self._wanted: Stack | None = None
        self._hurried: set[int] = set()
        self._own_window: Window | None = None
        self.whole: Stack | None = None
        self.time = 0
        session.changed.connect(self._on_changes)

    @property
    def wanted(self) -> Stack | None:
        """What was asked for last, as it is shown (one time of a 4-D stack); it may still be on its way."""
        return self._wanted

    def show_stack(self, stack: Stack, time: int = 0, place_kji: NDArray[np.float64] | None = None) -> None:
        """Show a stack (of a 4-D one, a time): the middle slice first, then outwards.

        `place_kji` is where the crosshair goes; by default it stays, or goes to the middle of another stack.
        """
        one = stack.at_time(time)
        shown = self._session.stack
        begun = self._session.volume if shown is not None and _is_same(shown, one) else None
        on_its_way = self._load is not None and self._wanted is not None and _is_same(self._wanted, one)
        if begun is not None and (bool(begun.loaded.all()) or on_its_way):
            if self._load is not None and not on_its_way:  # back to what is shown, before another came
                self._load.cancel()
                self._wanted = one
                self.busy_changed.emit("")
            return
        same = self.whole is not None and self.whole.id == stack.id
        place = self._session.crosshair_kji.copy() if place_kji is None else place_kji
        if place_kji is None and shown is not None and shown.id == one.id:
            place[0] = _index_in(one, shown, place[0])
        keep = (place, self._session.window) if same else None
        self._begin(one)
        self.whole, self.time = stack, time
        kept = self.kept.take(one.id)
        if kept is not None and kept.size_kji == one.size_kji:
            self._show(one, kept, keep)
            self.shown.emit()
            self.loaded.emit()
            return
        middle = one.size_kji[0] // 2 if keep is None else int(np.rint(keep[0][0]))
        self.busy_changed.emit("Reading the first picture")
        colours = self.frames.colours

        def work(context: JobContext) -> Volume:
            from medviewer.formats import load

            volume = load.empty_volume(stack, time) if begun is None else begun
            at = _first_readable(stack, volume, middle, time)
            if one.is_colour:
                colours[at] = frame_colours(one, at)
            context.report(1, one.size_kji[0], "Reading slices", partial=volume)
            return load.load_volume(stack, context, first=at, volume=volume, time=time)

        def partial(volume: Volume) -> None:
            if self._session.volume is not volume:
                self._show(one, volume, keep)
                self.busy_changed.emit("")
                self.shown.emit()

        seen = np.zeros(one.size_kji[0], np.bool_)
        said = 0.0

        def progress(_: object) -> None:
            nonlocal seen, said
            volume = self._session.volume
            if volume is None or self._session.stack is None or self._session.stack.id != one.id:
                return
            if volume.loaded.size != seen.size:  # still the part of the series that was listed first
                return
            if monotonic() - said < NEWS_EVERY_S:  # the hand goes before planes that fill up; the end is always told
                return
            arrived = volume.loaded.copy()
            fresh = np.flatnonzero(arrived & ~seen)
            if fresh.size:
                seen, said = arrived, monotonic()
                self._session.slices_arrived(frozenset(fresh.tolist()))

        def done(volume: Volume) -> None:
            self._load = None
            partial(volume)
            self._session.slices_arrived(range(volume.size_kji[0]))
            self.kept.keep(one.id, volume)
            self.loaded.emit()

        def failed(sentence: str) -> None:
            self._load = None
            self.busy_changed.emit("")
            self._services.banner(sentence, "bad", "Read again", self.read_again_wanted.emit)

        self._load = self._services.jobs.start(
            "Reading slices",
            work,
            on_done=done,
            on_partial=partial,
            on_progress=progress,
            on_failed=failed,
            wanted=lambda: self._wanted is one,
            priority=10,
        )

    def show_ready(self, stack: Stack, volume: Volume, window: Window, place_kji: NDArray[np.float64]) -> None:
        """Show a volume that is in memory at a place: another time, or the upright form of the shown stack."""
        self._begin(stack)
        self._show(stack, volume, (place_kji, window))
        if not stack.derived_from:
            self.kept.keep(stack.id, volume)
        self.shown.emit()
        self.loaded.emit()

    def _begin(self, wanted: Stack) -> None:
        """What was on its way is stale; the frames' colours and graphics are another stack's from now on."""
        if self._load is not None:
            self._load.cancel()
            self._load = None
        self._wanted = wanted
        self._hurried.clear()
        self.frames.forget()

    def _show(self, stack: Stack, volume: Volume, keep: tuple[NDArray[np.float64], Window] | None) -> None:
        """Show it; another time of the same stack keeps place and window."""
        own = first_window(stack, volume)
        window = own
        if keep is not None:
            untouched = keep[1] == self._own_window
            window = own if untouched and not _alike(own, keep[1]) else keep[1]
        self._own_window = own
        self._session.show(stack, volume, window)
        if keep is not None:
            self._session.move_crosshair(keep[0])

    def time_note(self) -> tuple[str, ...]:
        """Which time of a 4-D stack is shown, for the picture; nothing for others."""
        whole = self.whole
        if whole is None or whole.times == 1:
            return ()
        label = whole.time_labels[self.time] if self.time < len(whole.time_labels) else ""
        counted = f"time {self.time + 1} / {whole.times}"
        return (counted if label.startswith("time") else f"{counted}   {label}".strip(),)

    def _on_changes(self, changes: Changes) -> None:
        """A slice that is looked at and has not arrived goes before all others."""
        volume, stack, whole, time = self._session.volume, self._session.stack, self.whole, self.time
        if whole is None or not changes.crosshair or volume is None or stack is None or self._load is None:
            return
        k = int(np.rint(self._session.crosshair_kji[0]))
        if bool(volume.loaded[k]) or k in self._hurried:
            return
        self._hurried.add(k)

        def work(_: JobContext) -> None:
            from medviewer.formats import load

            if not volume.loaded[k]:
                load.read_slice(whole, volume, k, time)

        self._services.jobs.start(
            "Reading the shown slice",
            work,
            on_done=lambda _: self._session.slices_arrived(range(k, k + 1)),
            on_failed=self._services.say,
            wanted=lambda: self._session.volume is volume,
            quiet=True,
            priority=20,
        )


def _is_same(one: Stack, other: Stack) -> bool:
    """True for the same stack; one that was listed before all its files had been read has fewer frames."""
    return one.id == other.id and len(one.frames) == len(other.frames)


def _index_in(grown: Stack, stack: Stack, k: float) -> float:
    """Where a slice of a stack stands in the same stack with more files."""
    frame = stack.frames[min(max(0, int(np.rint(k))), len(stack.frames) - 1)]
    same = (n for n, f in enumerate(grown.frames) if (f.path, f.frame, f.tile) == (frame.path, frame.frame, frame.tile))
    return float(next(same, k))


def _first_readable(stack: Stack, volume: Volume, middle: int, time: int) -> int:
    """Read the middle slice, or the nearest one that can be read: one bad picture does not cost the others.

    Raises:
        BadInput, MissingHere: none can be read; what is said is about the middle one.
    """
    from medviewer.errors import BadInput, MissingHere
    from medviewer.formats import load

    first: BadInput | MissingHere | None = None
    for k in load.outwards(middle, volume.size_kji[0]):
        try:
            if not volume.loaded[k]:
                load.read_slice(stack, volume, k, time)
            return k
        except (BadInput, MissingHere) as error:
            first = first or error
    assert first is not None
    raise first


def _alike(one: Window, other: Window) -> bool:
    """True where two windows show nearly the same: another time keeps the picture's brightness."""
    ratio = one.width / other.width if other.width else 0.0
    return 2 / 3 <= ratio <= 1.5 and abs(one.level - other.level) <= other.width / 4

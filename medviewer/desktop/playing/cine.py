"""Playing pictures by their own clock: which picture is due, and a player that shows it or honestly skips it.

A picture that comes too late is left out and counted; one that has not been decoded yet holds the clock. What was
really shown a second is measured, never assumed.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from PySide6.QtCore import QObject, Qt, QTimer, Signal

#: Pictures a second that a person can choose, and what is taken where the file says nothing.
SLOWEST, FASTEST, USUAL = 0.5, 120.0, 10.0
#: The shown rate is measured over this time, s.
_MEASURED_S = 1.5
#: How long a picture that is not decoded yet is waited for before it is asked again, ms.
_WAIT_MS = 15


@dataclass(frozen=True, slots=True)
class Pace:
    """When each picture begins, in ms from the first, and how long all of them take."""

    starts_ms: tuple[float, ...]
    total_ms: float

    @property
    def fps(self) -> float:
        """Pictures a second on average."""
        return 1000.0 * len(self.starts_ms) / self.total_ms

    def at_rate(self, fps: float) -> Pace:
        """The same rhythm, faster or slower."""
        factor = self.fps / fps
        return Pace(tuple(s * factor for s in self.starts_ms), self.total_ms * factor)


def even_pace(count: int, fps: float) -> Pace:
    """Pictures of equal length."""
    return Pace(tuple(1000.0 * n / fps for n in range(count)), 1000.0 * count / fps)


def pace_of(frame_times_ms: Sequence[float], count: int, fps: float | None) -> Pace:
    """The pace that a file asks for.

    Args:
        frame_times_ms: start of each picture, empty where the file says nothing.
        count: how many pictures.
        fps: what the file recommends, or None.
    """
    times = tuple(frame_times_ms)
    rises = len(times) == count and count > 1 and all(a < b for a, b in pairwise(times))
    if not rises:
        return even_pace(count, min(max(fps or USUAL, SLOWEST), FASTEST))
    last = (times[-1] - times[0]) / (count - 1)
    own = Pace(tuple(t - times[0] for t in times), times[-1] - times[0] + last)
    return own.at_rate(min(max(fps or own.fps, SLOWEST), FASTEST))


def due(pace: Pace, elapsed_ms: float, *, sweeps: bool = False) -> tuple[int, float, float]:
    """Which picture is due, when it began, and when the next one begins (ms of elapsed time).

    Args:
        pace: the pace.
        elapsed_ms: since the first picture.
        sweeps: forth and back instead of from the beginning again; the two ends are shown once.
    """
    count = len(pace.starts_ms)
    starts, total = pace.starts_ms, pace.total_ms
    order: Sequence[int] = range(count)
    if sweeps and count > 2:
        lengths = [b - a for a, b in zip(starts, (*starts[1:], total), strict=True)]
        order = [*range(count), *range(count - 2, 0, -1)]
        walked, at = [], 0.0
        for n in order:
            walked.append(at)
            at += lengths[n]
        starts, total = tuple(walked), at
    rounds, within = divmod(max(0.0, elapsed_ms), total)
    place = max(0, bisect_right(starts, within + 1e-6) - 1)
    ends = starts[place + 1] if place + 1 < len(starts) else total
    return order[place], rounds * total + starts[place], rounds * total + ends


class Clip(Protocol):
    """What is played."""

    @property
    def count(self) -> int:
        """How many pictures."""
        ...

    def ready(self, n: int) -> bool:
        """True where picture `n` can be shown at once; asks for it where it cannot."""
        ...

    def show(self, n: int) -> None:
        """Show picture `n`."""
        ...


class Player(QObject):
    """Plays a clip. `changed` fires when it starts, stops, or plays at another rate; `shown` for each picture."""

    changed = Signal()
    shown = Signal(int)

    def __init__(self, parent: QObject | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(parent)
        self._clock = clock
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._clip: Clip | None = None
        self._began = 0.0
        self._last = -1
        self._last_began = -1.0
        self._stamps: deque[float] = deque(maxlen=400)
        self.pace = even_pace(1, USUAL)
        self.sweeps = False
        self.skipped = 0
        self.waiting = False
        self._held_ms = 0.0

    @property
    def playing(self) -> bool:
        """True while it plays."""
        return self._clip is not None

    @property
    def shown_fps(self) -> float | None:
        """Pictures a second that were really shown lately; None before it is known."""
        if len(self._stamps) < 3:
            return None
        first, last = self._stamps[0], self._stamps[-1]
        return (len(self._stamps) - 1) / (last - first) if last > first else None

    def play(self, clip: Clip, pace: Pace, start: int = 0) -> None:
        """Play from picture `start` on."""
        self._clip, self.pace = clip, pace
        self._begin(start)
        self.skipped = 0
        self.changed.emit()
        self._tick()

    def set_pace(self, pace: Pace) -> None:
        """Faster or slower, from the picture that is shown."""
        self.pace = pace
        if self.playing:
            self._begin(max(0, self._last))
        self.changed.emit()

    def set_sweeps(self, sweeps: bool) -> None:
        """Forth and back, or from the beginning again."""
        self.sweeps = sweeps
        if self.playing:
            self._begin(max(0, self._last))
        self.changed.emit()

    def stop(self) -> None:
        """Stay at the shown picture."""
        if self._clip is None:
            return
        self._clip = None
        self._timer.stop()
        self.waiting = False
        self.changed.emit()

    def _begin(self, start: int) -> None:
        self._began = self._clock() - self.pace.starts_ms[min(start, len(self.pace.starts_ms) - 1)] / 1000.0
        self._last, self._last_began = -1, -1.0
        self.waiting = False
        self._stamps.clear()

    def _tick(self) -> None:
        clip = self._clip
        if clip is None:
            return
        now = self._clock()
        if self.waiting:  # the clock has waited with the picture
            self._began = now - self._held_ms / 1000.0
        elapsed = 1000.0 * (now - self._began)
        n, began, ends = due(self.pace, elapsed, sweeps=self.sweeps)
        if began != self._last_began:
            if not clip.ready(n):
                self.waiting, self._held_ms = True, began
                self._timer.start(_WAIT_MS)
                return
            self.waiting = False
            self.skipped += self._missed(n)
            self._last, self._last_began = n, began
            while self._stamps and now - self._stamps[0] > _MEASURED_S:
                self._stamps.popleft()
            self._stamps.append(now)
            clip.show(n)
            self.shown.emit(n)
        if self._clip is not None:
            left = ends - 1000.0 * (self._clock() - self._began)
            self._timer.start(max(0, round(left)))

    def _missed(self, n: int) -> int:
        """How many pictures lay between the last shown one and this one."""
        if self._last < 0 or self.sweeps:
            return 0
        return (n - self._last - 1) % len(self.pace.starts_ms) if n != self._last else 0

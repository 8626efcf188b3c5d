"""How alive the window is: a timer of 5 ms in its event loop, and the gaps between its beats."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QEventLoop, QObject, Qt, QTimer

#: The timer's interval.
BEAT_MS = 5


class Heartbeat(QObject):
    """Records the time between two beats in milliseconds, by phase; the interval itself (5 ms) is part of it.

    Attributes:
        gaps_ms: by phase, the gaps.
        own_ms: by phase, how long the window's thread itself computed in each of them. A long gap with little of it is
            the machine's: other programs had the processors.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.gaps_ms: dict[str, list[float]] = {}
        self.own_ms: dict[str, list[float]] = {}
        self._phase: str | None = None
        self._last = self._computed = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)

    def begin(self, phase: str) -> None:
        """Record under this name from now on."""
        self._phase = phase
        self.gaps_ms.setdefault(phase, [])
        self.own_ms.setdefault(phase, [])
        self._last, self._computed = time.perf_counter(), time.thread_time()
        self._timer.start()

    def stop(self) -> None:
        """Record nothing."""
        self._timer.stop()
        self._phase = None

    def _beat(self) -> None:
        now, computed = time.perf_counter(), time.thread_time()
        if self._phase is not None:
            self.gaps_ms[self._phase].append((now - self._last) * 1000)
            self.own_ms[self._phase].append((computed - self._computed) * 1000)
        self._last, self._computed = now, computed


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Let the event loop run until something is so; False after too long."""
    loop, until = QEventLoop(), time.monotonic() + seconds
    timer = QTimer()
    timer.setInterval(20)
    timer.timeout.connect(lambda: loop.quit() if condition() or time.monotonic() > until else None)
    timer.start()
    if not condition():
        loop.exec()
    timer.stop()
    return condition()


def every(milliseconds: int, call: Callable[[], None], parent: QObject) -> Callable[[], None]:
    """Call something again and again; gives the function that ends it."""
    timer = QTimer(parent)
    timer.setInterval(milliseconds)
    timer.timeout.connect(call)
    timer.start()
    return timer.stop

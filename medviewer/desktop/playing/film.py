"""What is played: the times of a 4-D stack, or the images of any other, from memory.

Playing or dragging flips through times that are in memory without touching anything else; once it rests, the shown
time becomes the stack that the window works on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from medviewer.desktop.playing.cine import Pace, Player, even_pace, pace_of
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.formats.catalog import StackKind

if TYPE_CHECKING:
    from medviewer.desktop.opening.showing import Showing
    from medviewer.desktop.playing.moments import Moments

#: Times pass at this rate where the file says nothing, pictures a second.
TIMES_FPS = 6.0
#: After so long without another flip the shown time is taken for good, ms.
_REST_MS = 350
#: Kinds whose images follow one another in time.
RUNNING = frozenset({StackKind.CINE})


class Film(QObject):
    """The clip of the shown stack and its player. `changed`: another stack, another picture, playing or not."""

    changed = Signal()

    def __init__(self, session: ReadingSession, showing: Showing, moments: Moments) -> None:
        super().__init__(showing)
        self._session, self._showing, self._moments = session, showing, moments
        self.player = Player(self)
        self.player.changed.connect(self._on_player)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._settle)
        self._natural = even_pace(1, TIMES_FPS)
        self._stack_id = ""
        self._was_playing = False
        session.changed.connect(self._on_changes)
        moments.changed.connect(self.changed)

    # -- the clip --------------------------------------------------------------------------------------------------

    @property
    def has_times(self) -> bool:
        """True where the film runs through the times of a 4-D stack."""
        whole = self._showing.whole
        return whole is not None and whole.times > 1 and not self._is_derived

    @property
    def _is_derived(self) -> bool:
        stack = self._session.stack
        return stack is not None and bool(stack.derived_from)

    @property
    def is_running(self) -> bool:
        """True where the pictures follow one another in time: then the bar is shown."""
        whole = self._showing.whole
        return self._session.volume is not None and whole is not None and (self.has_times or whole.kind in RUNNING)

    @property
    def count(self) -> int:
        """How many pictures the film has."""
        if self.has_times and self._showing.whole is not None:
            return self._showing.whole.times
        volume = self._session.volume
        return 1 if volume is None else volume.size_kji[0]

    @property
    def position(self) -> int:
        """The shown picture of the film."""
        if self.has_times:
            return self._showing.time
        return int(np.rint(self._session.crosshair_kji[0]))

    def label(self) -> str:
        """ "3 / 20   b 1000", "12 / 96   1.38 s"."""
        whole, n = self._showing.whole, self.position
        words = ""
        if whole is not None and self.has_times and n < len(whole.time_labels):
            words = whole.time_labels[n]
            words = "" if words == f"time {n + 1}" else words
        elif whole is not None and n < len(whole.frame_times_ms):
            words = f"{whole.frame_times_ms[n] / 1000:.2f} s"
        return "   ".join(part for part in (f"{n + 1} / {self.count}", words) if part)

    def arrived(self) -> int:
        """How many pictures are in memory."""
        volume = self._session.volume
        if self.has_times:
            return len(self._moments.volumes)
        return 0 if volume is None else int(np.count_nonzero(volume.loaded))

    def ready(self, n: int) -> bool:
        """True where picture `n` is in memory."""
        if self.has_times:
            self._moments.want(n)
            return n in self._moments.volumes
        stack, volume = self._session.stack, self._session.volume
        if volume is None or not bool(volume.loaded[n]):
            return False
        if stack is None or not stack.is_colour:
            return True
        ahead = range(n, min(n + 12, self.count))
        frames = [self._showing.frames.colour_frame(k) for k in ahead]
        return frames[0] is not None

    def show(self, n: int) -> None:
        """Show picture `n` at once; it must be in memory."""
        if self.has_times:
            self._moments.flip(n)
        else:
            index = self._session.crosshair_kji.copy()
            index[0] = n
            self._session.move_crosshair(index)

    # -- what a hand does ------------------------------------------------------------------------------------------

    def why_not(self) -> str | None:
        """Why nothing can be played; None where it can."""
        if self._session.volume is None:
            return "Open a study first."
        if self.count < 2:
            return "There is one image only."
        if self.has_times and self._session.annotating:
            return "Outlines belong to one time: leave the drawing tools to play."
        return None

    def toggle(self) -> None:
        """Play, or stop at the shown picture."""
        if self.player.playing:
            self.player.stop()
        elif self.why_not() is None:
            self.player.play(self, self.player.pace, self.position)

    def set_fps(self, fps: float) -> None:
        """Another rate in the same rhythm."""
        self.player.set_pace(self._natural.at_rate(fps))

    def go(self, n: int) -> None:
        """The slider was dragged to picture `n`."""
        self.player.stop()
        n = min(max(0, n), self.count - 1)
        if n == self.position:
            return
        if not self.has_times or (self.ready(n) and not self._session.annotating):
            self.show(n)
            self._rest.start()
        elif self._showing.whole is not None:
            self._showing.show_stack(self._showing.whole, n)
        self.changed.emit()

    def _settle(self) -> None:
        if not self.player.playing:
            self._moments.settle()

    # -- following the session -------------------------------------------------------------------------------------

    def _natural_pace(self) -> Pace:
        whole = self._showing.whole
        if whole is None:
            return even_pace(1, TIMES_FPS)
        if self.has_times:
            return even_pace(whole.times, whole.display_fps or TIMES_FPS)
        return pace_of(whole.frame_times_ms, self.count, whole.display_fps)

    def _on_player(self) -> None:
        if self._was_playing and not self.player.playing:
            self._rest.start()
        self._was_playing = self.player.playing
        self.changed.emit()

    def _on_changes(self, changes: Changes) -> None:
        if changes.volume:
            whole = self._showing.whole
            stack = self._session.stack
            now = "" if whole is None or stack is None else f"{whole.id} {stack.derived_from}"
            if now != self._stack_id:
                self.player.stop()
                self._stack_id = now
                self._natural = self._natural_pace()
                self.player.sweeps = whole is not None and whole.sweeps
                self.player.set_pace(self._natural)
            self.changed.emit()
        elif changes.crosshair or changes.slices is not None:
            self.changed.emit()
        if changes.tool and self._session.annotating and self.has_times and self.player.playing:
            self.player.stop()

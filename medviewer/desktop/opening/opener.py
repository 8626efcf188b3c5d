"""From paths to a picture: scan in a worker, show the middle slice as soon as it is decoded, then the rest outwards.

Nothing here waits. A person who clicks another series meanwhile makes the first one's loading stale: it is cancelled
and whatever still arrives from it is dropped.
"""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from medviewer.desktop import recent
from medviewer.desktop.colours import frame_colours
from medviewer.desktop.jobs import Job
from medviewer.desktop.presets import first_window
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.jobs import JobContext, Progress
from medviewer.volume.overlay_plane import FrameGraphics
from medviewer.volume.supplement import Supplement
from medviewer.volume.volume import Volume
from medviewer.volume.window import Window

if TYPE_CHECKING:
    from medviewer.formats.catalog import Catalog, Stack
    from medviewer.formats.import_report import ImportReport

#: Volumes that are kept beside the shown one, so that going back is instant; bytes, and their number.
KEPT_BYTES, KEPT_VOLUMES = 1_500_000_000, 6

#: Colours of frames that are kept so that a cine plays from memory, bytes.
COLOURS_BYTES = 600_000_000

#: Pixels of pictures whose graphics are kept.
KEPT_GRAPHICS = 50_000_000


class Opener(QObject):
    """Opens paths and shows stacks. `shown` fires when the first picture of a stack is there, `loaded` when all is.

    Attributes:
        paths: what is open.
        whole, time: the shown stack as the catalog has it, and which time of it is shown (0 but for 4-D).
    """

    shown = Signal()
    loaded = Signal()
    recent_changed = Signal()
    busy_changed = Signal(str)
    scan_progress = Signal(int, int)
    report_wanted = Signal()

    def __init__(self, session: ReadingSession, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._services = session, services
        self._scan: Job | None = None
        self._load: Job | None = None
        self._generation = 0
        self._wanted_id: str | None = None
        self._kept: OrderedDict[str, Volume] = OrderedDict()
        self._colours: dict[int, NDArray[np.uint8]] = {}
        self._graphics: dict[int, FrameGraphics | None] = {}
        self._supplements: dict[Path, Supplement | None] = {}
        self._asked: set[int] = set()
        self._own_window: Window | None = None
        self.whole: Stack | None = None
        self.time = 0
        self.paths: tuple[Path, ...] = ()
        session.changed.connect(self._on_changes)

    # -- scanning --------------------------------------------------------------------------------------------------

    def open_paths(self, paths: Sequence[Path | str]) -> None:
        """Scan files, folders and ZIPs; list what is there and show the first stack worth looking at."""
        chosen = tuple(Path(path) for path in paths)
        if not chosen:
            return
        again = self._wanted_id if chosen == self.paths else None
        if self._scan is not None:
            self._scan.cancel()
        self._generation += 1
        generation = self._generation
        self.paths = chosen

        def work(context: JobContext) -> tuple[Catalog, ImportReport]:
            from medviewer.formats.dicom.pixels.decoding.pool import pool
            from medviewer.formats.dicom.pixels.stored import is_encoded
            from medviewer.formats.import_report import import_report
            from medviewer.formats.scan_cache import open_catalog

            catalog = open_catalog(chosen, context)
            importlib.import_module("medviewer.formats.load")  # what comes next should not wait for it
            if any(is_encoded(stack.frames[0]) for stack in catalog.stacks()):
                pool().warm()  # while the list is drawn
            if any(stack.is_colour for stack in catalog.stacks()):
                import_pydicom()  # colour tables need it
            if catalog.objects:
                importlib.import_module("medviewer.desktop.documents.opened")  # here, not in the window's thread
            return catalog, import_report(catalog)

        def done(found: tuple[Catalog, ImportReport]) -> None:
            from medviewer.formats.choose import likeliest_stack

            catalog, report = found
            self._scan = None
            self._kept.clear()
            self._session.set_catalog(catalog)
            first = (catalog.stack(again) if again is not None else None) or likeliest_stack(catalog)
            if first is not None:
                self._remember(chosen)
                self.show_stack(first)
                missing = report.skipped - report.copies
                self._services.say(f"{report.summary}.", "warn" if missing or report.warnings else "plain")
            else:
                self.busy_changed.emit("")
                self._services.banner(_nothing(catalog, chosen), "warn", "What was read", self.report_wanted.emit)
                self._session.show(None, None)

        def failed(sentence: str) -> None:
            self._scan = None
            self.busy_changed.emit("")
            self._services.banner(sentence, "bad", "Read again", self.reload)

        def progress(now: Progress) -> None:
            if self._scan is not None and self._scan.visible:
                self.scan_progress.emit(now.done, now.total or 0)

        def cancelled() -> None:
            if generation != self._generation:
                return
            self._scan = None
            self.busy_changed.emit("")
            self._services.say("Reading was stopped; what was open before is still there.")

        names = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} paths"
        self.busy_changed.emit(f"Looking through {names}")
        self._services.banner("")
        self._scan = self._services.jobs.start(
            f"Looking through {names}",
            work,
            on_done=done,
            on_failed=failed,
            on_progress=progress,
            on_cancelled=cancelled,
            wanted=lambda: generation == self._generation,
            priority=5,
        )

    @property
    def scanning(self) -> bool:
        """True while files are looked through."""
        return self._scan is not None

    def cancel_scan(self) -> None:
        """Stop looking through files; what was open stays."""
        if self._scan is not None:
            self._scan.cancel()

    def reload(self) -> None:
        """Read the open paths again from disk."""
        self.open_paths(self.paths)

    # -- showing ---------------------------------------------------------------------------------------------------

    def show_stack(self, stack: Stack, time: int = 0, place_kji: NDArray[np.float64] | None = None) -> None:
        """Show a stack (of a 4-D one, a time): the middle slice first, then outwards.

        `place_kji` is where the crosshair goes; by default it stays, or goes to the middle of another stack.
        """
        one = stack.at_time(time)
        begun = self._session.volume if self._session.stack is not None and self._session.stack.id == one.id else None
        if begun is not None and (bool(begun.loaded.all()) or (self._load is not None and self._wanted_id == one.id)):
            if self._load is not None and self._wanted_id != one.id:  # back to what is shown, before another came
                self._load.cancel()
                self._wanted_id = one.id
                self.busy_changed.emit("")
            return
        same = self.whole is not None and self.whole.id == stack.id
        place = self._session.crosshair_kji.copy() if place_kji is None else place_kji
        keep = (place, self._session.window) if same else None
        if self._load is not None:
            self._load.cancel()
        self._wanted_id = one.id
        self._asked.clear()
        self._colours = {}
        colours = self._colours
        self._graphics = {}
        self.whole, self.time = stack, time
        kept = self._kept.get(one.id)
        if kept is not None:
            self._kept.move_to_end(one.id)
            self._show(one, kept, keep)
            self.shown.emit()
            self.loaded.emit()
            return
        middle = one.size_kji[0] // 2 if keep is None else int(np.rint(keep[0][0]))
        self.busy_changed.emit("Reading the first picture")

        def wanted() -> bool:
            return self._wanted_id == one.id

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

        seen = 0

        def progress(_: object) -> None:
            nonlocal seen
            volume = self._session.volume
            if volume is None or self._session.stack is None or self._session.stack.id != one.id:
                return
            arrived = int(np.count_nonzero(volume.loaded))
            if arrived > seen:
                seen = arrived
                self._session.slices_arrived(range(volume.size_kji[0]))

        def done(volume: Volume) -> None:
            self._load = None
            partial(volume)
            self._session.slices_arrived(range(volume.size_kji[0]))
            self.keep(one.id, volume)
            self.loaded.emit()

        def failed(sentence: str) -> None:
            self._load = None
            self.busy_changed.emit("")
            self._services.banner(sentence, "bad", "Read again", self.reload)

        self._load = self._services.jobs.start(
            "Reading slices",
            work,
            on_done=done,
            on_partial=partial,
            on_progress=progress,
            on_failed=failed,
            wanted=wanted,
            priority=10,
        )

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

    def show_ready(self, stack: Stack, volume: Volume, window: Window, place_kji: NDArray[np.float64]) -> None:
        """Show a volume that is in memory at a place: another time, or the upright form of the shown stack."""
        if self._load is not None:
            self._load.cancel()
            self._load = None
        self._wanted_id = stack.id
        self.forget_frames()
        self._show(stack, volume, (place_kji, window))
        if not stack.derived_from:
            self.keep(stack.id, volume)
        self.shown.emit()
        self.loaded.emit()

    def time_note(self) -> tuple[str, ...]:
        """Which time of a 4-D stack is shown, for the picture; nothing for others."""
        whole = self.whole
        if whole is None or whole.times == 1:
            return ()
        label = whole.time_labels[self.time] if self.time < len(whole.time_labels) else ""
        counted = f"time {self.time + 1} / {whole.times}"
        return (counted if label.startswith("time") else f"{counted}   {label}".strip(),)

    def colour_frame(self, k: int) -> NDArray[np.uint8] | None:
        """The colours of frame `k` of a shown colour stack if they have arrived; else they are asked for."""
        stack = self._session.stack
        if stack is None or not stack.is_colour:
            return None
        frame = self._colours.get(k)
        if frame is None and k not in self._asked:
            self._asked.add(k)
            colours = self._colours

            def work(_: JobContext) -> NDArray[np.uint8]:
                return frame_colours(stack, k)

            def done(rgb: NDArray[np.uint8]) -> None:
                if sum(kept.nbytes for kept in colours.values()) > COLOURS_BYTES:
                    colours.clear()
                    self._asked.clear()
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

    def supplement(self) -> Supplement | None:
        """The Supplemental Palette of the shown stack if it has one that has arrived; else it is asked for."""
        stack = self._session.stack
        if stack is None or stack.coloured_from is None:
            return None
        path = stack.frames[0].path
        if path in self._supplements:
            return self._supplements[path]
        if len(self._supplements) > 16:
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

    def _on_changes(self, changes: Changes) -> None:
        """A slice that is looked at and has not arrived goes before all others."""
        volume, stack, whole, time = self._session.volume, self._session.stack, self.whole, self.time
        if whole is None or not changes.crosshair or volume is None or stack is None or self._load is None:
            return
        k = int(np.rint(self._session.crosshair_kji[0]))
        if bool(volume.loaded[k]) or k in self._asked:
            return
        self._asked.add(k)

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

    def forget_frames(self) -> None:
        """Colours and graphics are of frames that are not shown any more."""
        self._asked.clear()
        self._colours, self._graphics = {}, {}

    def keep(self, stack_id: str, volume: Volume) -> None:
        """Keep a whole volume, so that going back to it is instant; the oldest make room."""
        self._kept[stack_id] = volume
        while len(self._kept) > KEPT_VOLUMES or (
            len(self._kept) > 1 and sum(v.voxels.nbytes for v in self._kept.values()) > KEPT_BYTES
        ):
            self._kept.popitem(last=False)

    # -- recent ----------------------------------------------------------------------------------------------------

    def recent(self) -> tuple[str, ...]:
        """Recently opened paths that still exist, the newest first."""
        return recent.recent_paths()

    def _remember(self, paths: Sequence[Path]) -> None:
        if recent.remember(paths):
            self.recent_changed.emit()

    def forget_recent(self) -> None:
        """Empty the list of recent paths, and what is remembered of their scans."""
        recent.forget()
        self.recent_changed.emit()


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


_importing = threading.Lock()


def import_pydicom() -> None:
    """Import pydicom in one thread at a time.

    Its modules import each other in a circle; two threads that begin at once can see one of them half made.
    """
    with _importing:
        importlib.import_module("pydicom")


def _alike(one: Window, other: Window) -> bool:
    """True where two windows show nearly the same: another time keeps the picture's brightness."""
    ratio = one.width / other.width if other.width else 0.0
    return 2 / 3 <= ratio <= 1.5 and abs(one.level - other.level) <= other.width / 4


def _nothing(catalog: Catalog, paths: Sequence[Path]) -> str:
    where = paths[0].name if len(paths) == 1 else "these paths"
    if catalog.objects:
        return f"{where} holds {len(catalog.objects)} DICOM objects but no pictures; open the images' folder with them."
    if catalog.skipped:
        first = catalog.skipped[0]
        return f"Nothing in {where} can be shown: {first.path.name} is {first.reason}" + (
            f", and {len(catalog.skipped) - 1} more were skipped." if len(catalog.skipped) > 1 else "."
        )
    return f"There are no files in {where}; choose a folder with DICOM, NIfTI or NRRD files."

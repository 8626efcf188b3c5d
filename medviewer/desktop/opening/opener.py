"""From paths to a catalog: files are looked through in a worker, what is there is listed, the likeliest stack shown.

Nothing here waits. Where looking through lasts (a slow share) and nothing else is open, the list shows what has been
found so far; what a person chooses from it stays when the rest has been found.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from medviewer.desktop import recent
from medviewer.desktop.jobs import Job
from medviewer.desktop.opening.showing import Showing
from medviewer.desktop.opening.skipped_card import is_loss
from medviewer.desktop.services import Services
from medviewer.desktop.session import ReadingSession
from medviewer.jobs import JobContext, Progress

if TYPE_CHECKING:
    from medviewer.formats.catalog import Catalog
    from medviewer.formats.import_report import ImportReport


class Opener(QObject):
    """Opens paths. `shown` fires when the first picture of a stack is there, `loaded` when all is.

    Attributes:
        paths: what is open.
    """

    shown = Signal()
    loaded = Signal()
    recent_changed = Signal()
    busy_changed = Signal(str)
    scan_progress = Signal(int, int)
    report_wanted = Signal()

    def __init__(
        self, session: ReadingSession, services: Services, showing: Showing, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._services, self._showing = session, services, showing
        self._scan: Job | None = None
        self._generation = 0
        self.paths: tuple[Path, ...] = ()
        showing.shown.connect(self.shown)
        showing.loaded.connect(self.loaded)
        showing.busy_changed.connect(self.busy_changed)
        showing.read_again_wanted.connect(self.reload)

    # -- scanning --------------------------------------------------------------------------------------------------

    def open_paths(self, paths: Sequence[Path | str]) -> None:
        """Scan files, folders and ZIPs; list what is there and show the first stack worth looking at."""
        chosen = tuple(Path(path) for path in paths)
        if not chosen:
            return
        before = self._showing.wanted
        again = before.id if before is not None and chosen == self.paths else None
        if self._scan is not None:
            self._scan.cancel()
        self._generation += 1
        generation = self._generation
        self.paths = chosen
        nothing_open = self._session.volume is None
        listed = False

        def partial(catalog: Catalog) -> None:
            nonlocal listed
            if nothing_open and (listed or self._session.volume is None) and any(True for _ in catalog.stacks()):
                listed = True
                self._session.set_catalog(replace(catalog, objects=()))  # they may be of images still to come

        def done(found: tuple[Catalog, ImportReport]) -> None:
            from medviewer.formats.choose import likeliest_stack

            catalog, report = found
            self._scan = None
            if again is not None and catalog.is_empty:  # the disk or share went away: what is in memory stays
                self.busy_changed.emit("")
                sentence = f"{_nothing(catalog, chosen)} What was read before stays open."
                self._services.banner(sentence, "bad", "Read again", self.reload)
                return
            self._showing.kept.clear()
            self._session.set_catalog(catalog)
            said = f"{report.summary}.", "warn" if report.warnings or is_loss(catalog.skipped) else "plain"
            if listed and self._showing.wanted is not before:  # a person chose one from the list so far
                self._remember(chosen)
                self._services.say(*said)
                self._complete(catalog)
                return
            first = (catalog.stack(again) if again is not None else None) or likeliest_stack(catalog)
            if first is not None:
                self._remember(chosen)
                self._showing.show_stack(first)
                self._services.say(*said)
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
            there = "the list holds what was found until then" if listed else "what was open before is still there"
            self._services.say(f"Reading was stopped; {there}.")

        names = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} paths"
        self.busy_changed.emit(f"Looking through {names}")
        self._services.banner("")
        self._scan = self._services.jobs.start(
            f"Looking through {names}",
            lambda context: _look_through(chosen, context),
            on_done=done,
            on_partial=partial,
            on_failed=failed,
            on_progress=progress,
            on_cancelled=cancelled,
            wanted=lambda: generation == self._generation,
            priority=5,
        )

    def _complete(self, catalog: Catalog) -> None:
        """All files are there now: what was chosen from the list so far gets its other images, at the same place.

        Work that was begun on it stays what it is; a click in the list shows the whole series then.
        """
        shown, editor = self._showing.whole, self._session.editor
        full = None if shown is None else catalog.stack(shown.id)
        if shown is None or (full is not None and len(full.frames) == len(shown.frames)):
            return
        if full is None or (editor is not None and editor.can_undo):
            self._services.banner(
                "More images of the shown series were found meanwhile; click it in the list to see all.", "warn"
            )
            return
        self._showing.show_stack(full, min(self._showing.time, full.times - 1))

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


def _look_through(paths: Sequence[Path], context: JobContext) -> tuple[Catalog, ImportReport]:
    """The job: the catalog, its report, and everything that showing the first stack will need."""
    from medviewer.formats.dicom.pixels.decoding.pool import pool
    from medviewer.formats.dicom.pixels.stored import is_encoded
    from medviewer.formats.import_report import import_report
    from medviewer.formats.scan_cache import open_catalog

    catalog = open_catalog(paths, context)
    importlib.import_module("medviewer.formats.load")  # what comes next should not wait for it
    if any(is_encoded(stack.frames[0]) for stack in catalog.stacks()):
        pool().warm()  # while the list is drawn
    if catalog.objects:
        importlib.import_module("medviewer.desktop.documents.opened")  # here, not in the window's thread
    return catalog, import_report(catalog)


def _nothing(catalog: Catalog, paths: Sequence[Path]) -> str:
    where = paths[0].name if len(paths) == 1 else "these paths"
    if catalog.objects:
        count = len(catalog.objects)
        what, them = ("one DICOM object", "it") if count == 1 else (f"{count} DICOM objects", "them")
        return f"{where} holds {what} but no pictures; open the images' folder with {them}."
    if catalog.skipped:
        first = catalog.skipped[0]
        return f"Nothing in {where} can be shown: {first.path.name} is {first.reason}" + (
            f", and {len(catalog.skipped) - 1} more were skipped." if len(catalog.skipped) > 1 else "."
        )
    return f"There are no files in {where}; choose a folder with DICOM, NIfTI or NRRD files."

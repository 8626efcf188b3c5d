"""Segmentations, structures and doses of files, laid over the shown images by a click in the list of series.

Files are read by jobs. A second click takes an object away again. What belongs to other images leads to them, if they
are open; what fits none of them is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject

from medviewer.desktop.overlays.laid import LaidObject, laid_object, take_away, where_it_lies
from medviewer.desktop.overlays.objects import home_of
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.formats.catalog import ObjectFile, Stack
from medviewer.formats.laid import Target
from medviewer.jobs import JobContext

#: Kinds of objects that are laid over images.
KINDS = ("SEG", "LABELMAP", "RTSTRUCT", "RTDOSE")

_NAMES = {"RTSTRUCT": "structures", "RTDOSE": "dose"}


class ObjectOverlays(QObject):
    """Opens objects over the images; the session holds them."""

    def __init__(
        self,
        session: ReadingSession,
        services: Services,
        show_stack: Callable[[Stack], None],
        mark_rows: Callable[[set[Path]], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._services = session, services
        self._show_stack, self._mark_rows = show_stack, mark_rows
        self._reading: set[Path] = set()
        self._waiting: ObjectFile | None = None
        self._opened: dict[Path, ObjectFile] = {}
        self._looks: dict[Path, LaidObject] = {}
        for kind in KINDS:
            services.object_openers[kind] = self.open
        session.changed.connect(self._on_changes)

    def open(self, found: ObjectFile) -> None:
        """Lay an object over the images; one that lies there already goes."""
        if any(o.overlay.path == found.path for o in self._session.laid):
            self.close(found.path)
            return
        if found.path in self._reading:
            return
        home = self._home(found)
        stack = self._session.stack
        strange = stack is not None and bool(found.frame_of_reference_uid and stack.frame_of_reference_uid)
        strange = strange and stack is not None and found.frame_of_reference_uid != stack.frame_of_reference_uid
        if home is not None and (stack is None or (strange and stack.series_uid != home.series_uid)):
            self._waiting = found
            self._show_stack(home)
        elif stack is None:
            self._services.say("Open its images first.", "warn")
        else:
            self._read(found, stack)

    def _home(self, found: ObjectFile) -> Stack | None:
        """The first stack of the series that an object is listed under."""
        catalog = self._session.catalog
        if catalog is None:
            return None
        uid = home_of(found, catalog)
        return next((s for s in catalog.stacks() if s.series_uid == uid), None) if uid else None

    def _read(self, found: ObjectFile, stack: Stack) -> None:
        name = _NAMES.get(found.kind, "segmentation")

        def work(context: JobContext) -> LaidObject:
            from medviewer.formats.overlays import read_object

            target = Target.of(stack)
            return laid_object(read_object(found, target, context), found.summary, target)

        def done(laid: LaidObject) -> None:
            self._reading.discard(found.path)
            self._opened[found.path] = found
            before = self._looks.get(found.path)
            self._session.set_laid((*self._session.laid, laid if before is None else laid.looking_like(before)))
            if before is not None:
                return  # it was there on the series before, and all was said
            refused = laid.overlay.refused
            if refused:
                more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
                self._services.banner(f"{found.path.name}: {refused[0]}{more}; the others are shown.", "warn")
                return
            at = int(np.rint(self._session.crosshair_kji[0]))
            sentence, is_there = where_it_lies(laid, stack.size_kji, at)
            if is_there and laid.overlay.notes:
                self._services.say(f"{sentence} Note: {laid.overlay.notes[0]}.", "warn")
            else:
                self._services.say(sentence, "good" if is_there else "warn")

        def failed(sentence: str) -> None:
            self._reading.discard(found.path)
            self._forget(found.path)
            self._services.banner(sentence, "bad")

        def wanted() -> bool:
            still = self._session.stack is stack
            if not still:
                self._reading.discard(found.path)
            return still

        self._reading.add(found.path)
        self._services.jobs.start(f"Reading the {name}", work, on_done=done, on_failed=failed, wanted=wanted)

    def _on_changes(self, changes: Changes) -> None:
        if changes.volume:
            self._reading.clear()
            waiting, self._waiting = self._waiting, None
            stack = self._session.stack
            if stack is not None and self._session.volume is not None:
                self._lay_again(stack)
                if waiting is not None and waiting.path not in self._reading:
                    self._read(waiting, stack)
        elif changes.laid:
            shown = {o.overlay.path: o for o in self._session.laid}
            self._looks |= shown
            for path in self._opened.keys() - shown.keys() - self._reading:
                self._forget(path)
        if changes.catalog:
            self._opened.clear()
        if changes.laid or changes.catalog:
            self._mark_rows({o.overlay.path for o in self._session.laid})

    def _lay_again(self, stack: Stack) -> None:
        """Another series of the same space: what lay over the one before lies over it too, as it looked."""
        there = {o.overlay.path for o in self._session.laid}
        for path, found in list(self._opened.items()):
            frame = found.frame_of_reference_uid
            if path in there:
                continue
            if frame and frame == stack.frame_of_reference_uid:
                self._read(found, stack)
            else:
                self._forget(path)

    def _forget(self, path: Path) -> None:
        self._opened.pop(path, None)
        self._looks.pop(path, None)

    def close(self, path: Path) -> None:
        """Take an object away."""
        take_away(self._session, path)

"""Reports, key image lists, presentation states and carried documents in the window: opened from the list of series.

A click on a row opens the text and shows on the pictures what the object says about them; a second click takes both
away. Files are read by jobs. What belongs to images that are not open is said, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject

from medviewer.desktop.documents.document import (
    TITLES,
    Opened,
    marks_of_opened,
    read_object,
    slices_of_opened,
    speaks_of,
)
from medviewer.desktop.documents.presenter import Presenter
from medviewer.desktop.overlays.objects import of_another_patient
from medviewer.desktop.panels.document import DocumentPanel, DocumentView, State
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.viewport.corner_text import name_text
from medviewer.desktop.viewport.marks import Frames, Mark, label_of, place_of
from medviewer.formats.catalog import ObjectFile, Stack
from medviewer.formats.dicom.objects.document import ImageReference
from medviewer.formats.dicom.objects.sr_text import Role, TextLine
from medviewer.jobs import JobContext

#: Kinds whose rows open the text panel.
KINDS = ("SR", "KO", "PR", "PDF", "M3D", "other", "RTPLAN", "RWV", "WAVEFORM", "ANN", "MR-spectroscopy")

_SWITCHES = {
    "SR": "Measurements on the pictures",
    "KO": "Stars on the pictures",
    "PR": "Applied to the pictures",
}


class Documents(QObject):
    """Opens documents, keeps which are shown on the pictures, and leads from their lines to images."""

    def __init__(
        self,
        session: ReadingSession,
        services: Services,
        panel: DocumentPanel,
        show_stack: Callable[[Stack, int], None],
        mark_rows: Callable[[set[Path]], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._services, self.panel = session, services, panel
        self._show_stack, self._mark_rows = show_stack, mark_rows
        self._on: dict[Path, Opened] = {}
        self._current: Opened | None = None
        self._wanted: Path | None = None
        self._chosen: object = None
        self._go_after: Callable[[Stack], object] | None = None
        self.presenter = Presenter(session, services, self)
        for kind in KINDS:
            services.object_openers.setdefault(kind, self.open)
        services.actions.register("next-key-image", lambda: self._step_key(1), self._why_no_key)
        services.actions.register("previous-key-image", lambda: self._step_key(-1), self._why_no_key)
        panel.line_chosen.connect(self._go_to_line)
        panel.switched.connect(self._switch)
        panel.action_wanted.connect(self._open_outside)
        panel.closed.connect(self._on_closed)
        session.changed.connect(self._on_changes)

    # -- opening ---------------------------------------------------------------------------------------------------

    def open(self, found: ObjectFile) -> None:
        """Show an object; one that is shown already goes."""
        if found.path in self._on:
            self._take_away(found.path)
            return
        if self._current is not None and self._current.found.path == found.path:
            self.panel.close_by_hand()
            return
        catalog = self._session.catalog
        self._wanted = found.path
        self.panel.show_document(DocumentView(found.kind, TITLES.get(found.kind, found.kind), State.LOADING))

        def work(_: JobContext) -> Opened:
            from medviewer.formats.dicom.objects.object_text import places_of

            if catalog is None:
                return read_object(found, {})
            spaces = frozenset(stack.frame_of_reference_uid for stack in catalog.stacks())
            return read_object(found, places_of(catalog), spaces)

        def done(opened: Opened) -> None:
            self._current = opened
            if opened.has_marks:
                if opened.state is not None:  # one at a time: what two ask for cannot both be shown
                    self._on = {path: other for path, other in self._on.items() if other.state is None}
                self._on[found.path] = opened
                self._lead_there(opened)
                self._redraw()
            self._show_panel(opened)
            whose = None if catalog is None else of_another_patient(found, catalog)
            if whose is not None:
                named, shown = name_text(found.patient) or found.patient_id, name_text(whose.name) or whose.id
                self._services.say(f"Another patient: the {found.kind} names {named}, the images {shown}.", "warn")

        def failed(sentence: str) -> None:
            title = TITLES.get(found.kind, found.kind)
            self.panel.show_document(DocumentView(found.kind, title, State.DAMAGED, sentence=sentence))

        self._services.jobs.start(
            f"Reading the {TITLES.get(found.kind, 'object').lower()}",
            work,
            on_done=done,
            on_failed=failed,
            wanted=lambda: self._wanted == found.path,
        )

    def _show_panel(self, opened: Opened) -> None:
        kind = opened.found.kind
        switch, targets = "", self._targets(opened)
        catalog = self._session.catalog
        if opened.has_marks and catalog is not None and any(catalog.stacks()):  # else there are no pictures
            switch = _SWITCHES.get(kind, "On the pictures")
        self.panel.show_document(
            DocumentView(
                kind=kind,
                title=opened.title,
                lines=opened.lines,
                targets=frozenset(targets),
                leads=frozenset(n for n in targets if _leads(opened.lines[n])),
                switch=switch,
                is_on=opened.found.path in self._on,
                action="Open the PDF" if kind == "PDF" else "",
                why_no_action=opened.why_no_action,
            )
        )

    def _targets(self, opened: Opened) -> set[int]:
        """Lines that lead to an image that is here; of a measurement its name and its values."""
        leads = {
            line
            for line, number in opened.line_measurement.items()
            if opened.lines[line].role is not Role.CONTEXT and number in opened.reachable
        }
        return leads | set(opened.line_reference)

    def _on_closed(self) -> None:
        self._current = None
        self._wanted = None

    def _take_away(self, path: Path) -> None:
        self._on.pop(path, None)
        if self._current is not None and self._current.found.path == path:
            self.panel.close_by_hand()
        self._chosen = None
        self._redraw()

    def _switch(self, is_on: bool) -> None:
        opened = self._current
        if opened is None:
            return
        if is_on:
            self._on[opened.found.path] = opened
        else:
            self._on.pop(opened.found.path, None)
        self._redraw()

    # -- on the pictures -------------------------------------------------------------------------------------------

    def _on_changes(self, changes: Changes) -> None:
        if changes.catalog:
            self._on.clear()
            self._chosen = None
            if self.panel.isVisible():
                self.panel.close_by_hand()
            self.open_if_alone()
        if changes.volume or changes.catalog:
            self._redraw()
            stack, go = self._session.stack, self._go_after
            if changes.volume and stack is not None and go is not None:
                self._go_after = None
                go(stack)

    def open_if_alone(self) -> None:
        """Who opens one report and nothing else wants to read it; a PDF waits for its button all the same."""
        catalog = self._session.catalog
        if catalog is not None and len(catalog.objects) == 1 and next(catalog.stacks(), None) is None:
            from medviewer.formats.dicom.objects.object_text import has_text

            if has_text(catalog.objects[0]):
                self.open(catalog.objects[0])

    def _redraw(self) -> None:
        stack, volume = self._session.stack, self._session.volume
        marks: list[Mark] = []
        keys: dict[int, str] = {}
        if stack is not None and volume is not None:
            for opened in self._on.values():
                made, stars = marks_of_opened(opened, stack, volume.grid)
                marks += made
                keys = {**stars, **keys}
        self._session.set_marks(tuple(marks), keys, self._chosen)
        self._mark_rows(set(self._on))
        self.presenter.use(next((o.state for o in self._on.values() if o.state is not None), None))

    # -- going places ----------------------------------------------------------------------------------------------

    def _go(self, holds: Callable[[Stack], bool], go: Callable[[Stack], object]) -> bool:
        """Show a stack (of a 4-D one, a time) that holds something and go there; False where none does."""
        shown, catalog = self._session.stack, self._session.catalog
        if shown is not None and holds(shown):
            go(shown)
            return True
        for stack in () if catalog is None else catalog.stacks():
            for time in range(stack.times):
                if holds(stack if stack.times == 1 else stack.at_time(time)):
                    self._go_after = go
                    self._show_stack(stack, time)
                    return True
        return False

    def _lead_there(self, opened: Opened) -> None:
        """Show what an object speaks of, where the shown slice has nothing of it."""
        self._go(lambda stack: speaks_of(opened, stack), lambda stack: self._go_to_first(opened, stack))

    def _go_to_first(self, opened: Opened, stack: Stack) -> None:
        volume = self._session.volume
        slices = slices_of_opened(opened, stack, None if volume is None else volume.grid)
        here = round(float(self._session.crosshair_kji[0]))
        if not slices or here in slices:
            return
        if opened.measurements:
            next((n for n in range(len(opened.measurements)) if self._go_to_measurement(opened, n, stack)), None)
            return
        at = self._session.crosshair_kji.copy()
        at[0] = min(slices, key=lambda k: abs(k - here))
        self._session.move_crosshair(at)

    def _go_to_line(self, line: int) -> None:
        opened = self._current
        if opened is None:
            return
        reference = opened.line_reference.get(line)
        if reference is not None and self._open_referenced(reference):
            return
        if line in opened.line_measurement:
            number = opened.line_measurement[line]
            measurement = opened.measurements[number]
            found = self._go(
                lambda stack: place_of(measurement, stack, stack.grid) is not None,
                lambda stack: self._go_to_measurement(opened, number, stack),
            )
        elif reference is not None:
            found = self._go(
                lambda stack: bool(Frames.of(stack).slices_of(reference)),
                lambda stack: self._go_to_slice(Frames.of(stack).slices_of(reference)),
            )
        else:
            return
        if not found:
            self._services.say("This line does not point at a picture that can be shown.", "warn")

    def _open_referenced(self, reference: ImageReference) -> bool:
        """Open what a line points at where it is no picture: a segmentation, another report."""
        catalog = self._session.catalog
        objects = () if catalog is None else catalog.objects
        found = next((o for o in objects if o.sop_instance_uid == reference.sop_instance_uid), None)
        opener = None if found is None else self._services.object_openers.get(found.kind)
        if found is None or opener is None or found.path in self._on:
            return False
        opener(found)
        return True

    def _go_to_slice(self, slices: list[int]) -> None:
        if slices:
            at = self._session.crosshair_kji.copy()
            at[0] = slices[0]
            self._session.move_crosshair(at)

    def _go_to_measurement(self, opened: Opened, number: int, stack: Stack) -> bool:
        volume = self._session.volume
        measurement = opened.measurements[number]
        place = place_of(measurement, stack, None if volume is None else volume.grid)
        if place is None:
            return False
        self._chosen = (opened.found.path, number)
        self._session.move_crosshair(np.rint(place))
        self._redraw()
        self._services.say(", ".join(label_of(measurement)))
        return True

    def _why_no_key(self) -> str | None:
        if self._session.volume is None:
            return "Open a study first."
        if not any(opened.selection is not None for opened in self._on.values()):
            return "No key images are shown; open a KO from the list of series."
        return None if self._session.key_slices else "None of the key images is in this series."

    def _step_key(self, by: int) -> None:
        """The next or previous key image of the shown stack; after the last comes the first."""
        slices = sorted(self._session.key_slices)
        if not slices:
            return
        here = round(float(self._session.crosshair_kji[0]))
        ahead = [k for k in slices if (k - here) * by > 0]
        nearest = (min(ahead) if by > 0 else max(ahead)) if ahead else (slices[0] if by > 0 else slices[-1])
        at = self._session.crosshair_kji.copy()
        at[0] = nearest
        self._session.move_crosshair(at)
        self._services.say(f"Key image {slices.index(nearest) + 1} of {len(slices)}")

    # -- outside ---------------------------------------------------------------------------------------------------

    def _open_outside(self) -> None:
        """Hand the PDF to the system's program, as a private file that goes when the window does."""
        opened = self._current
        if opened is None:
            return
        from medviewer.desktop.documents.private_files import hand_out

        hand_out(opened.found, self._services)


def _leads(line: TextLine) -> bool:
    """Lines in the colour of what can be clicked: a group's name, a number, an image; the others only obey."""
    item = line.item
    return item is not None and item.value_type in ("CONTAINER", "NUM", "IMAGE")

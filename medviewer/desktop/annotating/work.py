"""The human work on the shown stack: its editor, its journal, what came back after a crash, undo, segments.

A stack's journal is its working file: opening the stack again brings the work back, whether the program was closed or
killed. Files are touched by jobs only.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, QTimer, Signal

from medviewer.annotation.editor import Editor
from medviewer.annotation.journal import Journal, JournalListeners
from medviewer.annotation.operations import AddSegment, ChangeSegment, DeleteSegment, Paint
from medviewer.annotation.recovery import (
    Unfinished,
    at_work,
    beyond_recovery,
    keep_damaged,
    recover,
    resume,
    set_aside,
    unfinished,
)
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.annotation.tools.polygon import picture_patch
from medviewer.desktop.panels.segments import SaveState, SegmentsView, SegmentView
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.tools.editing import do_edit
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats.carry import Use, why_not
from medviewer.formats.dicom.codes import SegmentMeaning, meaning_of
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

#: A record that is not on the medium after this time is shown as being saved.
SAVING_AFTER_MS = 300
#: What a window says that has no editor because another one has it.
ELSEWHERE = "Another window is at work on this case; close it there to outline here."
#: A journal that is not closed after this time (a disk that hangs) keeps nobody from opening the next stack.
LONGEST_CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Opened:
    """What opening the work on a stack gave.

    Attributes:
        editor: the editor; None where another window is at work on the stack.
        earlier: what was recovered into it (None: nothing).
        warning: what of the earlier work could not be read, as a sentence; "" if all could.
    """

    editor: Editor | None
    earlier: Unfinished | None = None
    warning: str = ""


class Work(QObject):
    """Keeps the editor of the shown stack, and does what the segments card and the keys ask.

    Signals:
        view_changed: the segments card has something else to show.
    """

    view_changed = Signal()
    _confirmed = Signal(object, int)
    _trouble = Signal(object, str)
    _relief = Signal(object)

    def __init__(self, session: ReadingSession, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._services = session, services
        self._journal: Journal | None = None
        self._save = SaveState.NOTHING
        self._saved_at = ""
        self._sentence = ""
        self._opening = False
        self._elsewhere = False
        self._bannered = False
        self._own: set[Path] = set()
        self._turn = 0  # counts the shown stacks
        self._reading = threading.Lock()
        self._pending: tuple[int, Opened] | None = None  # read by a job, not taken over yet
        self._left = threading.Event()
        self._left.set()
        self._late = QTimer(self, singleShot=True, interval=SAVING_AFTER_MS)
        self._late.timeout.connect(self._still_saving)
        self._confirmed.connect(self._on_confirmed)
        self._trouble.connect(self._on_trouble)
        self._relief.connect(self._on_relief)
        session.changed.connect(self._on_changed)
        self._register()
        if session.volume is not None:
            self._stack_changed()

    # -- the editor of the shown stack -----------------------------------------------------------------------------

    def _on_changed(self, changes: Changes) -> None:
        if changes.volume:
            self._stack_changed()
        if changes.saved:
            self._after_edit()
        if changes.segments or changes.saved or changes.volume or changes.overlay is not None:
            self.view_changed.emit()

    def _stack_changed(self) -> None:
        self._leave()
        volume, stack = self._session.volume, self._session.stack
        if volume is None or volume.grid is None or (stack is not None and why_not(stack, Use.MARKS)):
            return
        if self._bannered:  # it was about the stack before
            self._banner("")
        facts = {} if stack is None else _facts(stack)
        stack_id = volume.stack_id or (stack.id if stack is not None else "")
        volume = replace(volume, stack_id=stack_id)
        self._opening = True
        left, listeners, turn = self._left, self._listeners(), self._turn

        def read(_context: JobContext) -> Opened | None:
            left.wait(LONGEST_CLOSE_S)  # the same stack may be shown again while its journal is being closed
            with self._reading:
                if turn != self._turn:
                    return None
                opened = open_work(volume, facts, listeners)
                self._pending = (turn, opened)
                return opened

        self._services.jobs.start(
            "Reading earlier work",
            read,
            on_done=self._opened,
            on_failed=self._not_opened,
            wanted=lambda: turn == self._turn,
        )

    def _opened(self, opened: Opened | None) -> None:
        self._opening, self._pending = False, None
        if opened is None:
            return
        if opened.editor is None:
            self._elsewhere = True
            self._banner(
                f"{ELSEWHERE} What is outlined there is not shown here: two works on one case would differ.",
                "warn",
                "It is closed: open it here",
                self._stack_changed,
            )
            self.view_changed.emit()
            return
        journal = opened.editor.journal
        self._journal = journal if isinstance(journal, Journal) else None
        numbers = list(opened.editor.segmentation.segments)
        if numbers:
            self._session.active_segment = numbers[0]
        self._session.set_editor(opened.editor)
        if opened.earlier is not None:
            self._save = SaveState.SAVED
            self._saved_at = opened.earlier.changed.astimezone().strftime("%H:%M:%S")
            text = recovered_text(opened.earlier)
            if opened.warning:
                self._banner(f"{text} {opened.warning}", "warn")
            elif opened.earlier.path in self._own:  # only back from another stack: nothing to worry about
                self._services.say(text, "good")
            else:
                self._banner(text, "good")
            self.view_changed.emit()
        elif opened.warning:
            self._banner(opened.warning, "warn")
        if self._journal is not None:
            self._own.add(self._journal.path)

    def _banner(self, text: str, *how: object) -> None:
        """Say something about the shown stack until it is closed or another stack is shown."""
        self._bannered = bool(text)
        self._services.banner(text, *how)

    def _not_opened(self, sentence: str) -> None:
        """Without its journal the work goes on in memory; the sentence says so."""
        self._opening = False
        volume = self._session.volume
        if volume is None or volume.grid is None:
            return
        self._save, self._sentence = SaveState.IN_MEMORY_ONLY, sentence
        self._session.set_editor(Editor(Segmentation(volume.grid, volume.stack_id)))
        self._services.banner(f"{sentence} What you outline now is kept in memory only.", "bad")

    def _leave(self) -> None:
        """Close the journal of the stack before; a journal without work is removed."""
        journal, self._journal = self._journal, None
        self._elsewhere = False
        self._save, self._saved_at, self._sentence = SaveState.NOTHING, "", ""
        self._late.stop()
        self._turn += 1
        opening, self._opening = self._opening, False
        if journal is None and not opening:
            return
        turn, before = self._turn, self._left
        left = self._left = threading.Event()

        def close(_context: JobContext) -> None:
            try:
                before.wait(LONGEST_CLOSE_S)
                if journal is not None:
                    close_journal(journal)
                self._close_pending(turn)
            finally:
                left.set()

        self._services.jobs.start("Closing the journal", close, quiet=True, priority=1)

    def _close_pending(self, turn: int) -> None:
        """Close what a job opened for a stack that was left before it was there: its lock would shut this window out.

        Waits for that job.
        """
        with self._reading:
            pending = self._pending
            if pending is None or pending[0] >= turn:
                return
            self._pending = None
        editor = pending[1].editor
        if editor is not None and isinstance(editor.journal, Journal):
            close_journal(editor.journal)

    def close(self) -> None:
        """The window closes: everything is in the journal already; end it properly. Waits for the disk."""
        journal, self._journal = self._journal, None
        if journal is not None:
            close_journal(journal)
        self._turn += 1
        self._close_pending(self._turn)

    def _listeners(self) -> JournalListeners:
        """The journal's thread speaks; signals carry it into the Qt thread. A later stack's words are told apart."""
        token = object()
        self._token = token
        return JournalListeners(
            on_confirmed=lambda number: _quietly(lambda: self._confirmed.emit(token, number)),
            on_trouble=lambda error: _quietly(lambda: self._trouble.emit(token, error.sentence)),
            on_relief=lambda: _quietly(lambda: self._relief.emit(token)),
        )

    # -- is it saved -----------------------------------------------------------------------------------------------

    def _after_edit(self) -> None:
        editor = self._session.editor
        self._services.set_status("undo", (editor.undo_text or "") if editor is not None else "", "plain")
        journal = self._journal
        if journal is None or self._save is SaveState.IN_MEMORY_ONLY:
            return
        if not journal.is_confirmed:
            self._late.start()
        elif editor is not None and editor.can_undo and self._save is SaveState.SAVING:
            self._saved_now()

    def _still_saving(self) -> None:
        if self._journal is not None and not self._journal.is_confirmed and self._save is not SaveState.IN_MEMORY_ONLY:
            self._save = SaveState.SAVING
            self.view_changed.emit()

    def _on_confirmed(self, token: object, number: int) -> None:
        if token is not self._token or self._journal is None or number < self._journal.number:
            return
        if number > 1:  # the first record is the empty beginning: nothing of a person's yet
            self._saved_now()

    def _saved_now(self) -> None:
        self._late.stop()
        self._save, self._sentence = SaveState.SAVED, ""
        self._saved_at = datetime.now().strftime("%H:%M:%S")
        self._services.set_status("saved", f"Saved {self._saved_at}", "good")
        self.view_changed.emit()

    def _on_trouble(self, token: object, sentence: str) -> None:
        if token is not self._token:
            return
        self._save, self._sentence = SaveState.IN_MEMORY_ONLY, sentence
        self._services.set_status("saved", "Not saved", "bad")
        self._services.banner(sentence, "bad")
        self.view_changed.emit()

    def _on_relief(self, token: object) -> None:
        if token is not self._token:
            return
        self._save = SaveState.SAVED
        self._saved_now()
        self._services.banner("", "plain")

    @property
    def journal(self) -> Journal | None:
        """The journal of the shown stack, if its work is on disk."""
        return self._journal

    # -- what the card shows ---------------------------------------------------------------------------------------

    def view(self, why_no_file: str | None = None) -> SegmentsView:
        """The segments card's data."""
        session = self._session
        if session.volume is None or session.volume.grid is None:
            return SegmentsView()
        segmentation = session.segmentation
        segments: tuple[SegmentView, ...] = ()
        if segmentation is not None:
            segments = tuple(
                _segment_view(segmentation, s, visible=s.number not in session.hidden_segments)
                for s in segmentation.segments.values()
            )
        return SegmentsView(
            has_study=True,
            segments=segments,
            active=session.active_segment,
            save=self._save,
            saved_at=self._saved_at,
            sentence=self._sentence,
            why_no_file=why_no_file,
        )

    # -- what keys and buttons do ----------------------------------------------------------------------------------

    def _register(self) -> None:
        actions = self._services.actions
        actions.register("delete", self.delete_in_slice, self._why_no_editor)
        actions.register("brush-shape", self._reshape)

    def _why_no_editor(self) -> str | None:
        if self._session.editor is not None:
            return None
        if self._elsewhere:
            return ELSEWHERE
        return "The earlier work on this study is still being read." if self._opening else "Open a study first."

    def _reshape(self) -> None:
        ball = not self._session.brush_is_sphere
        self._session.set_brush(is_sphere=ball)
        self._services.say("The brush is a ball: it paints through slices." if ball else "The brush paints one slice.")

    def choose(self, number: int) -> None:
        """Make a segment the one that tools paint."""
        self._session.set_active_segment(number)
        segmentation = self._session.segmentation
        segment = None if segmentation is None else segmentation.segments.get(number)
        name = "Background: tools erase" if number == 0 else segment.label if segment else f"Segment {number} (new)"
        self._services.say(name)

    def add(self) -> None:
        """Add an empty segment and make it the active one."""
        editor = self._session.editor
        if editor is None:
            self._services.say(self._why_no_editor() or "", "warn")
            return
        try:
            number = editor.segmentation.next_number()
        except ValueError as error:
            self._services.say(f"{error}.".capitalize(), "warn")
            return
        self._session.active_segment = number
        do_edit(editor, AddSegment(Segment.named(number, f"Segment {number}")), self._services.say)

    def delete_segment(self) -> None:
        """Delete the active segment: one undo step."""
        editor, number = self._session.editor, self._session.active_segment
        if editor is None or number not in editor.segmentation.segments:
            self._services.say("Choose a segment first.", "warn")
            return
        name = editor.segmentation.segments[number].label
        if do_edit(editor, DeleteSegment(number), self._services.say):
            self._services.say(f"{name} deleted; Ctrl+Z brings it back.")
            left = list(editor.segmentation.segments)
            self._session.set_active_segment(left[0] if left else 1)

    def delete_in_slice(self) -> None:
        """Erase the active segment in the slice of the active view: one undo step."""
        editor, view = self._session.editor, self._services.active_view()
        if editor is None or view is None:
            return
        number, axes, position = self._session.active_segment, view.axes, view.position
        size = editor.segmentation.size_kji
        mask = axes.cut(editor.segmentation.labelmap, position) == number
        patch = picture_patch(size, axes, position, (0, 0), np.asarray(mask))
        if number == 0 or patch is None:
            self._services.say("The active segment is not in this slice.", "warn")
            return
        do_edit(editor, Paint.of_mask("delete in slice", patch.start_kji, patch.mask, 0), self._services.say)

    def rename(self, number: int, name: str) -> None:
        """Give a segment another name, and the code that goes with it."""
        editor = self._session.editor
        segment = None if editor is None else editor.segmentation.segments.get(number)
        if editor is not None and segment is not None:
            changed = replace(segment, label=name, meaning=meaning_of(name))
            do_edit(editor, ChangeSegment(changed, "rename segment"), self._services.say)

    def show(self, number: int, visible: bool) -> None:
        """Draw a segment or hide it (no edit: nothing to undo)."""
        hidden = self._session.hidden_segments
        self._session.set_hidden_segments(hidden - {number} if visible else hidden | {number})


def open_work(volume: Volume, facts: dict[str, object], listeners: JournalListeners) -> Opened:
    """The editor of a stack with its journal: an earlier one gone on with, or a fresh one. Reads and writes files.

    No editor is given where another window is at work on this stack.

    Raises:
        SaveFailed: earlier work is damaged, and the damaged file could not be kept; nothing was changed.
    """
    grid = volume.grid
    assert grid is not None
    warnings: list[str] = []
    if volume.stack_id:
        if at_work(volume.stack_id):
            return Opened(None)
        warnings = [lost_text(set_aside(path), whole=True) for path in beyond_recovery(volume.stack_id)]
    for found in unfinished(stack_id=volume.stack_id) if volume.stack_id else ():
        try:
            state = recover(found.path)
        except (BadInput, Refused) as error:
            warnings.append(error.sentence)
            continue
        if state.segmentation.grid == grid:
            if state.lost:
                kept = keep_damaged(state)
                warnings.append(lost_text(found.path if kept is None else kept))
            return Opened(resume(state, listeners=listeners), found, " ".join(warnings))
    segmentation = Segmentation(grid, volume.stack_id)
    journal = Journal.begin(segmentation, facts=facts, listeners=listeners)
    return Opened(Editor(segmentation, journal=journal), None, " ".join(warnings))


def close_journal(journal: Journal, _context: JobContext | None = None) -> None:
    """End a journal; one without a single edit is removed, another keeps the work for the next time."""
    with contextlib.suppress(SaveFailed):  # said already, when it happened
        journal.close(discard=journal.number <= 1)


def recovered_text(earlier: Unfinished) -> str:
    """The sentence after work came back."""
    when = earlier.changed.astimezone().strftime("%Y-%m-%d %H:%M")
    steps = f"{earlier.steps} step{'s' if earlier.steps != 1 else ''}"
    return f"Your work of {when} on this study is back: {steps}."


def lost_text(kept: Path, *, whole: bool = False) -> str:
    """The sentence where a damaged file took work of a person with it."""
    what = "An earlier work on this study" if whole else "Part of the earlier work"
    return f"{what} could not be read, because its file is damaged; the file was kept as {kept}."


def _facts(stack: object) -> dict[str, object]:
    text = getattr(stack, "text", None)
    names = ("study_date", "series_number", "series_description")
    return {name: str(getattr(text, name)) for name in names if getattr(text, name, None)}


def _segment_view(segmentation: Segmentation, segment: Segment, *, visible: bool) -> SegmentView:
    provenance = segment.provenance
    origin = "by hand"
    if provenance.model:
        origin = "AI, edited" if provenance.edited else "AI, unchanged"
    meaning = segment.meaning
    return SegmentView(
        number=segment.number,
        name=segment.label,
        code=_meaning_text(meaning) if meaning != SegmentMeaning() else "",
        code_value=f"{meaning.kind.scheme} {meaning.kind.value}",
        colour=segment.colour,
        volume_ml=segmentation.volume_ml(segment.number),
        visible=visible,
        origin=origin,
    )


def _meaning_text(meaning: SegmentMeaning) -> str:
    words = [meaning.kind.meaning, *(c.meaning.lower() for c in (meaning.modifier, meaning.region) if c is not None)]
    return ", ".join(words)


def _quietly(emit: Callable[[], None]) -> None:
    """Emit from the journal's thread; a window that is gone needs no news."""
    with contextlib.suppress(RuntimeError):
        emit()

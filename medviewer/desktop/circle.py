"""The right column at work: cards, the human work, the models' word, and the way from corrections to a better model.

`build_right_column` is the one door: it makes the column for a session and keeps all that stands behind it alive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication

from medviewer.desktop.annotating.seg_files import SegFiles
from medviewer.desktop.annotating.work import Work
from medviewer.desktop.learning.training import Training
from medviewer.desktop.overlays.laid import change, take_away
from medviewer.desktop.panels.column import RightColumn
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.suggesting.finding import Finding, finding_view, similar_view
from medviewer.desktop.suggesting.inference import Inference
from medviewer.desktop.suggesting.pictures import OWN_LIBRARY, Pictures, pictures_of, without_patient
from medviewer.desktop.suggesting.proposals import Proposals
from medviewer.inference.client import InferenceClient
from medviewer.inference.suggestion import SimilarCase, Suggestion


def build_right_column(
    session: ReadingSession, services: Services, client: InferenceClient | None = None
) -> RightColumn:
    """The right column, wired: `column.circle` has what stands behind it.

    Args:
        session: what the window shows.
        services: jobs, actions, status line of the window.
        client: the inference client; a fresh one by default.
    """
    column = RightColumn()
    column.circle = Circle(column, session, services, client)
    return column


class Circle(QObject):
    """Connects the cards with what they show and with what they ask. Lives as long as its column.

    Attributes:
        work: the editor of the shown stack and its journal.
        inference: the inference process.
        proposals: what models say about a place, and the verdict.
        seg_files: segmentations out to DICOM and in again.
        training: queue, training, gate, promotion.
    """

    def __init__(
        self, column: RightColumn, session: ReadingSession, services: Services, client: InferenceClient | None
    ) -> None:
        super().__init__(column)
        self._closed = False
        self._column, self._session, self._services = column, session, services
        self.work = Work(session, services, self)
        self.inference = Inference(client, self)
        self.proposals = Proposals(session, services, self.inference, self)
        self.seg_files = SegFiles(session, services, column, self)
        self.training = Training(session, services, self.proposals, self)
        self._shown_similar: Suggestion | None = None
        self._soon = _Soon(self, self._show_segments)
        self._finding_soon = _Soon(self, self._show_finding_card, wait_ms=100)
        self._wire_finding()
        self._wire_segments()
        self._wire_training()
        self._show_finding()
        self._show_segments()
        self._show_laid()
        self._show_training()
        self._offer_tasks()
        app = QApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.close)
        QTimer.singleShot(0, self._watch_window)

    def _watch_window(self) -> None:
        self._column.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window is closing: end what stands behind the column."""
        if event.type() == QEvent.Type.Close and watched is self._column.window():
            self.close()
        return False

    def close(self) -> None:
        """The window closes: end the processes and the journal. May wait for the disk, a second or so."""
        if self._closed:
            return
        self._closed = True
        self.training.close()
        self.inference.close()
        self.work.close()

    # -- the finding -----------------------------------------------------------------------------------------------

    def _wire_finding(self) -> None:
        card = self._column.finding
        card.accept_asked.connect(self.proposals.accept)
        card.edit_asked.connect(self._edit)
        card.done_asked.connect(self.training.done)
        card.reject_asked.connect(self.proposals.reject)
        card.cancel_asked.connect(self.proposals.cancel)
        card.first_step_asked.connect(self._take_suggest)
        card.remedy_asked.connect(self._remedy)
        self._column.check_first.slice_asked.connect(self.go_to_slice)
        self.proposals.changed.connect(self._show_finding)
        self._session.changed.connect(self._on_session_changed)

    def _on_session_changed(self, changes: Changes) -> None:
        if changes.laid:
            self._show_laid()
        if changes.volume:
            self._show_finding()
            return
        finding = self.proposals.finding
        edited = changes.overlay is not None or changes.segments
        if edited and finding is not None and finding.state is FindingState.ACCEPTED:
            self._finding_soon.run()

    def _edit(self) -> None:
        """Accept if that is still to be done, then take the brush."""
        finding = self.proposals.finding
        if finding is not None and finding.state is FindingState.ACCEPTED:
            self._session.set_active_segment(finding.numbers[0])
            self._services.actions.do("tool-brush")
        else:
            self.proposals.edit()

    def _offer_tasks(self) -> None:
        """Let the command line choose the task that is asked first ("task:NAME")."""
        from medviewer.inference.store import ModelStore

        for name in ModelStore().tasks():
            self._services.actions.register(f"task:{name}", partial(self.proposals.choose_task, name))

    def _take_suggest(self) -> None:
        self._services.actions.do("tool-suggest")

    def _remedy(self) -> None:
        finding = self.proposals.finding
        if finding is not None and finding.state in (FindingState.FAILED, FindingState.STALE):
            self.proposals.ask_again()
        else:
            self._take_suggest()

    def _show_finding(self) -> None:
        finding = self.proposals.finding
        self._show_finding_card()
        self._show_similar(finding)
        self._show_check_first(finding)
        if finding is not None and finding.state is FindingState.RUNNING and finding.outline is None:
            self._column.open_page("Finding")

    def _show_finding_card(self) -> None:
        view = finding_view(
            self.proposals.finding,
            self.proposals.book,
            has_study=self._session.volume is not None,
            task=self.proposals.task,
            segmentation=self._session.segmentation,
        )
        if view != self._column.finding.view:
            self._column.finding.show_finding(view)

    def _show_similar(self, finding: Finding | None) -> None:
        card = self._column.similar
        part = None if finding is None else finding.others.get("similar")
        silent = (FindingState.ABSTAINED, FindingState.FAILED, FindingState.REJECTED)
        if finding is None or finding.state in silent:
            self._shown_similar = None
            card.show_empty()
        elif part is None:
            self._shown_similar = None
            card.show_why_not("no model that compares such findings is installed.")
        elif part.failed:
            card.show_error(part.why_not or "")
        elif part.why_not is not None:
            card.show_why_not(part.why_not)
        elif part.answer is None:
            self._shown_similar = None
            card.show_loading()
        elif part.answer is not self._shown_similar:
            self._shown_similar = part.answer
            self._load_similar(part.answer, finding.prompt.patient)

    def _load_similar(self, said: Suggestion, patient: str) -> None:
        """First who they are (never the same patient), then their pictures; both are read in jobs."""
        card, source = self._column.similar, source_text(said)
        jobs, wanted = self._services.jobs, lambda: self._shown_similar is said

        def known(cases: tuple[SimilarCase, ...]) -> None:
            awaited = any(case.thumbnail for case in cases)
            show(cases, {}, pictures_come=awaited)
            if awaited:
                jobs.start(
                    "Reading pictures",
                    lambda _context: pictures_of(cases),
                    on_done=lambda pictures: show(cases, pictures),
                    wanted=wanted,
                    quiet=True,
                )

        def show(cases: tuple[SimilarCase, ...], pictures: Pictures, *, pictures_come: bool = False) -> None:
            views = tuple(similar_view(case, pictures.get(case.case)) for case in cases)
            card.show_cases(views, source, pictures_come=pictures_come)

        if not any((case.thumbnail or "").startswith(OWN_LIBRARY) for case in said.similar):
            known(said.similar)
            return
        card.show_loading()
        jobs.start(
            "Reading similar cases",
            lambda _context: without_patient(said.similar, patient),
            on_done=known,
            on_failed=card.show_error,
            wanted=wanted,
            quiet=True,
        )

    def _show_check_first(self, finding: Finding | None) -> None:
        card = self._column.check_first
        outline = None if finding is None else finding.outline
        if finding is None or finding.state in (FindingState.ABSTAINED, FindingState.FAILED, FindingState.REJECTED):
            card.show_empty()
        elif outline is None or outline.stage != "complete":
            card.show_loading()
        else:
            card.show_slices(outline.check_first)

    def go_to_slice(self, k: int) -> None:
        """Show slice `k` with the crosshair on the lesion."""
        finding, index = self.proposals.finding, self._session.crosshair_kji.copy()
        index[0] = k
        outline = None if finding is None else finding.outline
        for segment in () if outline is None else outline.segments:
            inside = k - segment.start_kji[0]
            if 0 <= inside < segment.mask.shape[0] and segment.mask[inside].any():
                rows, columns = np.nonzero(segment.mask[inside])
                index[1:] = segment.start_kji[1] + rows.mean(), segment.start_kji[2] + columns.mean()
                break
        self._session.move_crosshair(index)

    # -- segments --------------------------------------------------------------------------------------------------

    def _wire_segments(self) -> None:
        card = self._column.segments
        card.segment_chosen.connect(self.work.choose)
        card.segment_renamed.connect(self.work.rename)
        card.segment_shown.connect(self.work.show)
        card.add_asked.connect(self.work.add)
        card.delete_asked.connect(self.work.delete_segment)
        card.save_asked.connect(self.seg_files.ask_and_save)
        card.open_asked.connect(self.seg_files.ask_and_open)
        session, over = self._session, self._column.overlays
        over.part_shown.connect(
            lambda path, n, shown: change(session, path, lambda laid: laid.with_part(n, shown=shown))
        )
        over.all_shown.connect(lambda path, shown: change(session, path, lambda laid: laid.with_all(shown=shown)))
        over.opacity_set.connect(lambda path, value: change(session, path, lambda laid: laid.with_opacity(value)))
        over.isodoses_set.connect(lambda path, shown: change(session, path, lambda laid: laid.with_isodoses(shown)))
        over.close_asked.connect(lambda path: take_away(session, path))
        over.edit_asked.connect(self._edit_copy)
        self.work.view_changed.connect(self._soon.run)
        self.seg_files.changed.connect(self._soon.run)

    def _edit_copy(self, path: Path) -> None:
        laid = next((o for o in self._session.laid if o.overlay.path == path), None)
        if laid is not None:
            self.seg_files.take_over(laid.overlay)

    def _show_laid(self) -> None:
        objects = self._session.laid
        came = len(objects) > len(self._column.overlays.blocks)
        self._column.overlays.show_objects(objects)
        if came:
            self._column.open_page("Segments")

    def _show_segments(self) -> None:
        self._column.segments.show_segments(self.work.view(self.seg_files.why_not))
        self.training.work_changed()

    # -- queue and training ----------------------------------------------------------------------------------------

    def _wire_training(self) -> None:
        self._column.queue.done_asked.connect(self.training.done)
        for card in (self._column.training, self._column.training_glance):
            card.train_asked.connect(self.training.train)
            card.cancel_asked.connect(self.training.cancel)
            card.promote_asked.connect(self.training.promote)
            card.roll_back_asked.connect(self.training.roll_back)
        self.training.changed.connect(self._show_training)
        self.training.model_changed.connect(self.proposals.read_models)

    def _show_training(self) -> None:
        self._column.queue.show_queue(self.training.queue_view)
        self._column.finding.show_why_not_done(self.training.queue_view.why_not_done)
        self._column.show_training(self.training.training_view)
        self._column.count_pending(self.training.pending)


class _Soon(QObject):
    """Runs a function once after all that happens now (or after a while), however often it was asked for."""

    def __init__(self, parent: QObject, function: Callable[[], None], wait_ms: int = 0) -> None:
        super().__init__(parent)
        self._timer = QTimer(self, singleShot=True, interval=wait_ms)
        self._timer.timeout.connect(function)

    def run(self) -> None:
        """Ask for it."""
        if not self._timer.isActive():
            self._timer.start()


def source_text(said: Suggestion) -> str:
    """Where the similar cases come from, in words (each tile's tooltip tells its own); never the patient's own."""
    sources = sorted({case.source for case in said.similar if case.source})
    return f"{sources[0]}; other patients" if len(sources) == 1 else "other patients only"

"""Segmentations out to a DICOM SEG file and in again, by background jobs; the window never waits for the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import AcceptProposal, accept_proposal
from medviewer.annotation.segmentation import LAST_NUMBER, Segmentation, colour_of
from medviewer.desktop.annotating.marked import Marked
from medviewer.desktop.services import Services
from medviewer.desktop.session import ReadingSession
from medviewer.desktop.tools.editing import do_edit
from medviewer.errors import Refused
from medviewer.formats.catalog import Stack
from medviewer.formats.laid import LaidSegments, Target
from medviewer.formats.overlays import Overlay
from medviewer.jobs import JobContext

#: Name of the step that lays a file on the study.
OPENED = "open segmentation"


class SegFiles(QObject):
    """Save and open DICOM SEG for the shown stack.

    Signals:
        changed: whether a file can be written or read now.
    """

    changed = Signal()
    saved = Signal(str)

    def __init__(
        self, session: ReadingSession, services: Services, window: QWidget, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._services, self._window = session, services, window
        self._busy = ""
        services.actions.register("save", self.ask_and_save, self._why_no_save)

    @property
    def why_not(self) -> str | None:
        """Why no file can be written or read now, or None."""
        if self._busy:
            return self._busy
        stack = self._session.stack
        if stack is None or self._session.editor is None:
            return "Open a study first."
        if stack.source != "dicom":
            return "A DICOM segmentation needs DICOM images to lie on; this study has none."
        return None

    def _why_no_save(self) -> str | None:
        segmentation = self._session.segmentation
        empty = segmentation is None or segmentation.is_empty
        return self.why_not or ("Nothing is outlined yet." if empty else None)

    def ask_and_save(self) -> None:
        """Ask where to, then save."""
        dialog = QFileDialog(self._window.window(), "Save the segmentation", "", "DICOM segmentation (*.dcm)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("dcm")
        dialog.selectFile("segmentation.dcm")
        dialog.fileSelected.connect(lambda path: self.save(Path(path)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def ask_and_open(self) -> None:
        """Ask for a file, then lay it on the study."""
        dialog = QFileDialog(
            self._window.window(),
            "Open a segmentation",
            "",
            "Segmentation (*.dcm *.nii *.nii.gz *.nrrd);;All files (*)",
        )
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.open(Path(path)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def save(self, path: Path) -> None:
        """Write all segments as a DICOM SEG; a copy is taken now, later edits are not in the file."""
        editor, stack = self._session.editor, self._session.stack
        reason = self._why_no_save()
        if reason is not None or editor is None or stack is None:
            self._services.say(reason or "", "warn")
            return
        segmentation = editor.segmentation
        copy = Marked.of(segmentation)

        def write(_context: JobContext) -> None:
            from medviewer.annotation.exchange import save_seg  # highdicom: a second to import

            save_seg(path, copy.segmentation(), stack)

        def done(_: object) -> None:
            self._set_busy("")
            self._services.say(f"Saved as {path.name}, read back and compared.", "good")
            self.saved.emit(str(path))

        self._set_busy("The segmentation is being written.")
        self._services.jobs.start("Saving the segmentation", write, on_done=done, on_failed=self._failed)

    def open(self, path: Path) -> None:
        """Lay a mask (SEG, RTSTRUCT, NIfTI, NRRD) on the shown study: its segments are added in one undo step."""
        editor, stack = self._session.editor, self._session.stack
        if editor is None or stack is None:
            self._services.say(self.why_not or "Open a study first.", "warn")
            return

        def lay(context: JobContext) -> Overlay:
            from medviewer.formats.overlays import read_overlay

            return read_overlay(path, Target.of(stack), context)

        self._take(path, editor, stack, lay)

    def take_over(self, overlay: Overlay) -> None:
        """Add the segments of an object that lies over the images to the drawn ones, in one undo step."""
        editor, stack = self._session.editor, self._session.stack
        if editor is None or stack is None:
            self._services.say(self.why_not or "Open a study first.", "warn")
        else:
            self._take(overlay.path, editor, stack, lambda _context: overlay)

    def _take(self, path: Path, editor: Editor, stack: Stack, lay: Callable[[JobContext], Overlay]) -> None:
        segmentation = editor.segmentation

        def read(context: JobContext) -> tuple[AcceptProposal, str]:
            from medviewer.formats.overlays import as_segments

            laid = as_segments(lay(context), Target.of(stack), context)
            return laid_on(laid, segmentation), lost_text(laid)

        def done(result: tuple[AcceptProposal, str]) -> None:
            operation, lost = result
            self._set_busy("")
            if any(segment.number in segmentation.segments for segment in operation.segments):
                self._failed("Segments were added while the file was read; open it once more.")
            elif do_edit(editor, operation, self._services.say):
                count = len(operation.segments)
                many = f"{count} segment{'s' if count != 1 else ''}"
                self._services.say(f"{path.name}: {many} laid on this study.", "good")
                if lost:
                    self._services.banner(f"{path.name}: {lost}", "warn")

        self._set_busy("The segmentation is being read.")
        self._services.jobs.start(
            "Reading the segmentation",
            read,
            on_done=done,
            on_failed=self._failed,
            wanted=lambda: self._session.editor is editor,
        )

    def _failed(self, sentence: str) -> None:
        self._set_busy("")
        self._services.banner(sentence, "bad")

    def _set_busy(self, why: str) -> None:
        self._busy = why
        self.changed.emit()


def laid_on(laid: LaidSegments, segmentation: Segmentation) -> AcceptProposal:
    """The one operation that adds the segments of a file to a segmentation, under free numbers.

    Where segments share voxels the later one gets them: a voxel that is edited belongs to one segment.

    Raises:
        Refused: there are more segments than numbers are left.
    """
    from medviewer.annotation.exchange import segment_of

    free = (n for n in range(1, LAST_NUMBER + 1) if n not in segmentation.segments)
    added = []
    for one in laid.segments:
        if one.is_empty or not one.mask.any():
            continue
        number = next(free, None)
        if number is None:
            raise Refused(f"a study holds {LAST_NUMBER} segments, and this file has more")
        segment = replace(segment_of(one.description), number=number)
        if one.description.colour is None:
            segment = replace(segment, colour=colour_of(number))
        added.append((segment, one.start_kji, one.mask))
    operation = accept_proposal(added, segmentation)
    return AcceptProposal(operation.segments, tuple(replace(p, name=OPENED) for p in operation.paints), OPENED)


def lost_text(laid: LaidSegments) -> str:
    """What of a file an edited segmentation cannot hold, as sentences; "" where nothing is lost."""
    said = [f"{why[:1].upper()}{why[1:]}." for why in laid.refused]
    if shared := laid.overlap:
        said.append(
            f"{shared} voxels belong to several segments of the file; while you edit, a voxel belongs to one, and the "
            "later segment has them."
        )
    if laid.kind == "fractional":
        said.append("Fractions became masks at one half.")
    return " ".join(said)

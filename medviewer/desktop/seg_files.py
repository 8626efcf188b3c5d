"""Segmentations out to a DICOM SEG file and in again, by background jobs; the window never waits for the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from medviewer.annotation.operations import AcceptProposal, accept_proposal
from medviewer.annotation.segmentation import Box, Provenance, Segment, Segmentation, box_of_true, colour_of
from medviewer.desktop.services import Services
from medviewer.desktop.session import ReadingSession
from medviewer.desktop.tools.editing import do_edit
from medviewer.formats.catalog import ObjectFile, Stack
from medviewer.formats.dicom.seg_read import SegDescription
from medviewer.jobs import JobContext

#: Name of the step that lays a file on the study.
OPENED = "open segmentation"


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """The marked voxels of a segmentation as they are now: a copy of the box around them, quick to take.

    Attributes:
        size_kji: of the whole label map.
        box: around all marked voxels, or None.
        values: uint8 `[k, j, i]` of the box.
    """

    size_kji: tuple[int, int, int]
    box: Box | None
    values: NDArray[np.uint8]

    @classmethod
    def of(cls, segmentation: Segmentation) -> Marked:
        """Take the copy."""
        hull: Box | None = None
        for number in segmentation.segments:
            box = segmentation.box(number)
            hull = hull if box is None else box.union(hull)
        values = np.zeros((0, 0, 0), np.uint8) if hull is None else segmentation.labelmap[hull.slices].copy()
        return cls(segmentation.size_kji, hull, values)

    def labelmap(self) -> NDArray[np.uint8]:
        """The whole label map, made anew."""
        whole = np.zeros(self.size_kji, dtype=np.uint8)
        if self.box is not None:
            whole[self.box.slices] = self.values
        return whole


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
        services.object_openers["SEG"] = services.object_openers["LABELMAP"] = self._open_object

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
            self._window.window(), "Open a segmentation", "", "DICOM segmentation (*.dcm);;All files (*)"
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
        marked, described = Marked.of(segmentation), descriptions(segmentation)

        def write(_context: JobContext) -> None:
            from medviewer.formats.dicom.seg import SegText, write_seg  # highdicom: a second to import

            labelmap = marked.labelmap()
            drawn = tuple(d for d in described if bool(np.any(labelmap == d.number)))
            write_seg(path, labelmap, stack, drawn, SegText(synthetic=is_synthetic(stack)))

        def done(_: object) -> None:
            self._set_busy("")
            self._services.say(f"Saved as {path.name}, read back and compared.", "good")
            self.saved.emit(str(path))

        self._set_busy("The segmentation is being written.")
        self._services.jobs.start("Saving the segmentation", write, on_done=done, on_failed=self._failed)

    def open(self, path: Path) -> None:
        """Lay a DICOM SEG on the shown study: its segments are added in one undo step."""
        editor, stack = self._session.editor, self._session.stack
        if editor is None or stack is None:
            self._services.say(self.why_not or "Open a study first.", "warn")
            return
        segmentation = editor.segmentation

        def read(_context: JobContext) -> AcceptProposal:
            from medviewer.formats.dicom.seg_read import read_seg

            frame = stack.frame_of_reference_uid
            labelmap, segments = read_seg(path, segmentation.grid, frame_of_reference_uid=frame)
            return laid_on(labelmap, segments, segmentation)

        def done(operation: AcceptProposal) -> None:
            self._set_busy("")
            if any(segment.number in segmentation.segments for segment in operation.segments):
                self._failed("Segments were added while the file was read; open it once more.")
            elif do_edit(editor, operation, self._services.say):
                count = len(operation.segments)
                many = f"{count} segment{'s' if count != 1 else ''}"
                self._services.say(f"{path.name}: {many} laid on this study.", "good")

        self._set_busy("The segmentation is being read.")
        self._services.jobs.start(
            "Reading the segmentation",
            read,
            on_done=done,
            on_failed=self._failed,
            wanted=lambda: self._session.editor is editor,
        )

    def _open_object(self, found: ObjectFile) -> None:
        self.open(found.path)

    def _failed(self, sentence: str) -> None:
        self._set_busy("")
        self._services.banner(sentence, "bad")

    def _set_busy(self, why: str) -> None:
        self._busy = why
        self.changed.emit()


def is_synthetic(stack: Stack) -> bool:
    """True for the phantom's images, which are no patient's."""
    return "phantom" in stack.patient_id.lower()


def descriptions(segmentation: Segmentation) -> tuple[SegDescription, ...]:
    """What a SEG file says about each segment: its name, code and colour, and which algorithm made it."""
    made = []
    for segment in segmentation.segments.values():
        by = segment.provenance
        made.append(
            SegDescription(
                number=segment.number,
                label=segment.label,
                meaning=segment.meaning,
                colour=segment.colour,
                algorithm_type=by.algorithm_type,  # type: ignore[arg-type]
                algorithm_name=by.task,
                algorithm_version=f"{by.model_version} {by.model}".strip(),
                algorithm_parameters=(("device", by.device),) if by.device else (),
                tracking_id=segment.label,
                tracking_uid=segment.tracking_uid,
            )
        )
    return tuple(made)


def laid_on(
    labelmap: NDArray[np.uint8], segments: tuple[SegDescription, ...], segmentation: Segmentation
) -> AcceptProposal:
    """The one operation that adds the segments of a file to a segmentation, under free numbers."""
    free = (n for n in range(1, 256) if n not in segmentation.segments)
    added = []
    for described in segments:
        mask = labelmap == described.number
        box = box_of_true(mask)
        if box is None:
            continue
        number = next(free)
        added.append((_segment(number, described), box.start_kji, mask[box.slices]))
    operation = accept_proposal(added, segmentation)
    paints = tuple(replace(paint, name=OPENED) for paint in operation.paints)
    return AcceptProposal(operation.segments, paints, OPENED)


def _segment(number: int, described: SegDescription) -> Segment:
    version, _, model = described.algorithm_version.partition(" ")
    by_algorithm = described.algorithm_type != "MANUAL"
    provenance = Provenance(
        task=described.algorithm_name if by_algorithm else "",
        model=(model or version or described.algorithm_name) if by_algorithm else "",
        model_version=version if by_algorithm else "",
        device=_parameters(described).get("device", ""),
        edited=described.algorithm_type == "SEMIAUTOMATIC",
    )
    colour = described.colour or colour_of(number)
    made = Segment(number, described.label or f"Segment {number}", colour, described.meaning, provenance)
    if not described.tracking_uid:
        return made
    return Segment(made.number, made.label, colour, made.meaning, provenance, described.tracking_uid)


def _parameters(described: SegDescription) -> Mapping[str, str]:
    return dict(described.algorithm_parameters)

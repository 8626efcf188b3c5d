"""The segments card: what is outlined in this study, how large it is, and whether it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QFrame, QLineEdit, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from medviewer.desktop.panels.parts import STEP, Card, ElidedLabel, FirstStep, Swatch, button, label, row, set_role
from medviewer.desktop.theme import icon


class SaveState(StrEnum):
    """Whether the work lies safely on disk."""

    NOTHING = "nothing"
    SAVED = "saved"
    SAVING = "saving"
    IN_MEMORY_ONLY = "in-memory"


@dataclass(frozen=True, slots=True)
class SegmentView:
    """One segment as a line of the card.

    Attributes:
        number: label value in the segmentation.
        name: what it is called.
        code: meaning of its code ("Nodule, lung"), or empty; `code_value` the code itself ("SCT 27925004").
        colour: RGB.
        volume_ml: volume; None while it is being counted or without geometry.
        visible: whether it is drawn.
        origin: "drawn by hand", "suggested by ..., accepted unchanged", "..., edited".
    """

    number: int
    name: str
    code: str
    colour: tuple[int, int, int]
    volume_ml: float | None
    visible: bool = True
    origin: str = ""
    code_value: str = ""


@dataclass(frozen=True, slots=True)
class SegmentsView:
    """All that the segments card shows.

    Attributes:
        has_study: whether a stack with geometry is shown.
        segments: the segments in the order of their numbers.
        active: number of the one that tools paint.
        save: whether the work is safe, `saved_at` when ("14:02:11"), `sentence` what went wrong.
        why_no_file: why no file can be written or read now, or None.
    """

    has_study: bool = False
    segments: tuple[SegmentView, ...] = ()
    active: int = 0
    save: SaveState = SaveState.NOTHING
    saved_at: str = ""
    sentence: str = ""
    why_no_file: str | None = None


def volume_text(volume_ml: float | None) -> str:
    """A volume in ml with three significant digits; a dash while unknown."""
    if volume_ml is None:
        return "–"
    digits = 2 if volume_ml < 10 else 1 if volume_ml < 100 else 0
    return f"{volume_ml:.{digits}f} ml"


class _Line(QFrame):
    """One segment: swatch, name over code, volume, eye."""

    chosen = Signal(int)
    renamed = Signal(int, str)
    shown = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("segmentLine")
        self._segment: SegmentView | None = None
        self._swatch = Swatch()
        self._name = ElidedLabel("", "")
        self._editor = QLineEdit()
        self._editor.setFixedHeight(22)
        self._editor.editingFinished.connect(self._edited)
        self._names = QStackedLayout()
        self._names.addWidget(self._name)
        self._names.addWidget(self._editor)
        self._code = ElidedLabel("", "dim")
        self._volume = label("", "")
        self._eye = QToolButton()
        self._eye.setAutoRaise(True)
        self._eye.setIconSize(QSize(18, 18))
        self._eye.setFixedSize(26, 26)
        self._eye.clicked.connect(self._toggle)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addLayout(self._names)
        words.addWidget(self._code)
        line = row(self._swatch)
        line.setContentsMargins(2 * STEP, STEP, STEP, STEP)
        line.addLayout(words, 1)
        line.addWidget(self._volume)
        line.addWidget(self._eye)
        self.setLayout(line)

    def show_segment(self, segment: SegmentView, *, active: bool) -> None:
        """Show a segment."""
        self._segment = segment
        self._swatch.rgb = segment.colour
        self._swatch.update()
        self._name.set_text(segment.name)
        self._code.set_text(" · ".join(part for part in (segment.code, segment.origin) if part))
        self._code.setVisible(bool(segment.code or segment.origin))
        self._volume.setText(volume_text(segment.volume_ml))
        name = "eye-outline" if segment.visible else "eye-off-outline"
        self._eye.setIcon(icon(name, "dim" if segment.visible else "faint"))
        self._eye.setToolTip("Hide" if segment.visible else "Show")
        self._eye.setAccessibleName(f"{'Hide' if segment.visible else 'Show'} {segment.name}")
        coded = f"\n{segment.code} ({segment.code_value})" if segment.code else ""
        self.setToolTip(f"{segment.number}: {segment.name}{coded}\nClick to paint it, double click to rename.")
        set_role(self, "yes" if active else "no", "active")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click makes it the segment that tools paint."""
        if self._segment is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(self._segment.number)

    def mouseDoubleClickEvent(self, _event: QMouseEvent) -> None:
        """A double click renames."""
        if self._segment is not None:
            self._editor.setText(self._segment.name)
            self._names.setCurrentWidget(self._editor)
            self._editor.setFocus()
            self._editor.selectAll()

    def _edited(self) -> None:
        if self._names.currentWidget() is not self._editor or self._segment is None:
            return
        self._names.setCurrentWidget(self._name)
        text = self._editor.text().strip()
        if text and text != self._segment.name:
            self.renamed.emit(self._segment.number, text)

    def _toggle(self) -> None:
        if self._segment is not None:
            self.shown.emit(self._segment.number, not self._segment.visible)


class SegmentsCard(Card):
    """Lists the segments; says what the person wants done with them."""

    segment_chosen = Signal(int)
    segment_renamed = Signal(int, str)
    segment_shown = Signal(int, bool)
    add_asked = Signal()
    delete_asked = Signal()
    save_asked = Signal()
    open_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Segments", parent)
        self._view = SegmentsView()
        self._first = FirstStep("")
        self._first.pressed.connect(self.add_asked)
        self.add(self._first)
        self._list = QVBoxLayout()
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(2)
        self.add(self._list)
        self._lines: list[_Line] = []
        self.add_button = button("New", "", "Add an empty segment", self.add_asked.emit)
        self.delete_button = button("Delete", "", "", self.delete_asked.emit)
        self.open_button = button("Open SEG", "", "", self.open_asked.emit)
        self.save_button = button("Save SEG", "", "", self.save_asked.emit)
        self._buttons = QWidget()
        self._buttons.setLayout(row(self.add_button, self.delete_button, None, self.open_button, self.save_button))
        self.add(self._buttons)
        self._sentence = label("", "bad", wrap=True)
        self.add(self._sentence)
        self.show_segments(SegmentsView())

    @property
    def view(self) -> SegmentsView:
        """What is shown now."""
        return self._view

    def show_segments(self, view: SegmentsView) -> None:
        """Show other segments."""
        self._view = view
        note, role = {
            SaveState.NOTHING: ("", "dim"),
            SaveState.SAVED: (f"Saved {view.saved_at}", "good"),
            SaveState.SAVING: ("saving", "dim"),
            SaveState.IN_MEMORY_ONLY: ("in memory only", "bad"),
        }[view.save]
        self.set_note(note, role)
        self._sentence.setText(view.sentence)
        self._sentence.setVisible(bool(view.sentence))
        if not view.has_study:
            self._first.say("Open a study to outline something in it.")
        else:
            self._first.say("Nothing outlined yet. Accept a suggestion, or paint with the brush (B).", "New segment")
        self._first.setVisible(not view.segments)
        while len(self._lines) < len(view.segments):
            line = _Line()
            line.chosen.connect(self.segment_chosen)
            line.renamed.connect(self.segment_renamed)
            line.shown.connect(self.segment_shown)
            self._lines.append(line)
            self._list.addWidget(line)
        for n, line in enumerate(self._lines):
            line.setVisible(n < len(view.segments))
            if n < len(view.segments):
                line.show_segment(view.segments[n], active=view.segments[n].number == view.active)
        self._buttons.setVisible(view.has_study)
        self.add_button.setVisible(bool(view.segments))
        self.delete_button.setVisible(bool(view.segments))
        has_active = any(s.number == view.active for s in view.segments)
        self.delete_button.setEnabled(has_active)
        self.delete_button.setToolTip(
            "Delete the chosen segment (undo brings it back)" if has_active else "Choose a segment first"
        )
        why_no_save = view.why_no_file or (None if view.segments else "There is nothing to save yet")
        self.save_button.setEnabled(why_no_save is None)
        self.save_button.setToolTip(why_no_save or "Save all segments as a DICOM segmentation (Ctrl+S)")
        self.open_button.setEnabled(view.why_no_file is None)
        self.open_button.setToolTip(view.why_no_file or "Lay a DICOM segmentation on this study")

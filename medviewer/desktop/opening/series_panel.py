"""The left column: patients, studies and series with thumbnails, and at the bottom what was skipped and why."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import (
    QAbstractButton,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from medviewer.desktop.opening.quality_card import QualityMark
from medviewer.desktop.opening.skipped_card import SkippedCard
from medviewer.desktop.opening.thumbnails import SIDE, Thumbnails, as_pixmap
from medviewer.desktop.overlays import objects
from medviewer.desktop.overlays.objects import ObjectRow
from medviewer.desktop.plain import tip
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.theme import LEFT_WIDTH, colour, tokens, ui_font
from medviewer.desktop.viewport.corner_text import age_text, date_text, name_text, number, sex_text
from medviewer.formats.catalog import Catalog, ObjectFile, Patient, Stack, StackKind, Study

if TYPE_CHECKING:
    from medviewer.formats.catalog import Series

_CARD_HEIGHT = 76


def series_title(stack: Stack) -> str:
    """ "1  Thorax 1.0 mm": number and description, else protocol, else modality and body part."""
    text = stack.text
    label = text.series_description or text.protocol or " ".join(p for p in (stack.modality, stack.body_part) if p)
    return f"{text.series_number}  {label}" if text.series_number is not None else label or "Series"


def series_facts(stack: Stack) -> str:
    """ "CT  56 images": modality and how many."""
    count = stack.size_kji[0]
    images = f"{count} image" if count == 1 else f"{count} images"
    if stack.times > 1:
        images += f" × {stack.times}"
    if stack.kind is StackKind.CINE:
        images = f"{count} frames"
    facts = [stack.modality, images]
    return "  ".join(fact for fact in facts if fact)


def slice_distance(stack: Stack) -> str:
    """ "1.25 mm" along the normal, or nothing for one slice or without geometry."""
    if stack.grid is None or stack.size_kji[0] < 2 or stack.spacing_kji is None or not stack.spacing_kji[0]:
        return ""
    return f"{number(round(stack.spacing_kji[0], 2))} mm"


class SeriesCard(QAbstractButton):
    """One stack: thumbnail and three lines, the mark of its faults; the shown one is tinted in the hand's colour."""

    def __init__(self, stack: Stack, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stack = stack
        self._thumbnail: QPixmap | None = None
        self._hovered = False
        self.setCheckable(True)
        self.setFixedHeight(_CARD_HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(f"{series_title(stack)}, {series_facts(stack)}")
        name = f"\n{stack.name}" if stack.name else ""
        self.setToolTip(tip(f"{series_title(stack)}\n{series_facts(stack)}{name}"))
        self.mark = QualityMark(stack.quality, self)
        self.mark.move(LEFT_WIDTH - 22 - self.mark.width() - 6, _CARD_HEIGHT - self.mark.height() - 1)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def sizeHint(self) -> QSize:
        """As wide as the column."""
        return QSize(LEFT_WIDTH - 22, _CARD_HEIGHT)

    def set_thumbnail(self, picture: NDArray[np.uint8]) -> None:
        """The middle slice has arrived."""
        spacing = self.stack.spacing_kji
        pixel = (1.0, 1.0) if spacing is None else (spacing[1], spacing[2])
        self._thumbnail = as_pixmap(picture, pixel, self.devicePixelRatioF())
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the card."""
        painter = QPainter(self)
        try:
            self._paint(painter)
        finally:
            painter.end()

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.rect().adjusted(0, 0, -1, -1)
        if self.isChecked():
            painter.setPen(QPen(colour("accent", 0.55), 1))
            painter.setBrush(colour("accent", 0.22))
            painter.drawRoundedRect(box.toRectF().translated(0.5, 0.5), 6, 6)
        elif self.underMouse() or self.hasFocus():
            painter.setPen(QPen(colour("accent") if self.hasFocus() else colour("line"), 1))
            painter.setBrush(colour("raised"))
            painter.drawRoundedRect(box.toRectF().translated(0.5, 0.5), 6, 6)
        frame = QRect(8, (_CARD_HEIGHT - SIDE) // 2, SIDE, SIDE)
        painter.fillRect(frame, QColor(tokens().canvas))
        if self._thumbnail is not None:
            ratio = self._thumbnail.devicePixelRatio()
            width, height = self._thumbnail.width() / ratio, self._thumbnail.height() / ratio
            corner = QPoint(round(frame.x() + (SIDE - width) / 2), round(frame.y() + (SIDE - height) / 2))
            painter.drawPixmap(corner, self._thumbnail)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(QPen(colour("line"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame.adjusted(0, 0, -1, -1))
        x, room = frame.right() + 11, self.width() - frame.right() - 17
        self._line(painter, x, 20, room, series_title(self.stack), ui_font(9, bold=True), colour("text"))
        self._line(painter, x, 36, room, series_facts(self.stack), ui_font(9), colour("dim"))
        extra = "  ".join(part for part in (self.stack.name, slice_distance(self.stack)) if part)
        self._line(painter, x, 52, room, extra, ui_font(9), colour("dim"))

    @staticmethod
    def _line(painter: QPainter, x: int, base: int, room: int, text: str, font: object, ink: QColor) -> None:
        painter.setFont(font)  # type: ignore[arg-type]
        painter.setPen(ink)
        metrics = QFontMetrics(painter.font())
        painter.drawText(x, base, metrics.elidedText(text, Qt.TextElideMode.ElideRight, room))


class SeriesPanel(QWidget):
    """The list of what is open. A click shows a series; nothing else ever changes the shown patient."""

    stack_chosen = Signal(object)
    object_chosen = Signal(object)
    quality_wanted = Signal(object)
    report_wanted = Signal()

    def __init__(
        self,
        session: ReadingSession,
        thumbnails: Thumbnails,
        openable: Collection[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("seriesPanel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedWidth(LEFT_WIDTH)
        self._session, self._thumbnails = session, thumbnails
        self._openable = openable
        self.cards: list[SeriesCard] = []
        self.rows: list[ObjectRow] = []
        self._shown_objects: dict[str, frozenset[Path]] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 1, 0)
        column.setSpacing(0)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column.addWidget(self._scroll, 1)
        self._skipped = SkippedCard()
        self._skipped.wanted.connect(self.report_wanted)
        bottom = QVBoxLayout()
        bottom.setContentsMargins(10, 6, 10, 10)
        bottom.addWidget(self._skipped)
        column.addLayout(bottom)
        session.changed.connect(self._on_changes)
        self._fill(None)

    def _on_changes(self, changes: Changes) -> None:
        if changes.catalog:
            self._fill(self._session.catalog)
        if changes.volume or changes.catalog:
            self.mark_shown()

    def refresh_objects(self) -> None:
        """Other kinds of objects can be opened now."""
        if self._session.catalog is not None and self._session.catalog.objects:
            self._fill(self._session.catalog)
            self.mark_shown()

    def mark_objects(self, shown: Collection[Path], by: str = "") -> None:
        """Tint the rows of the objects that are shown now; each part of the window (`by`) speaks for its own."""
        self._shown_objects[by] = frozenset(shown)
        everything = frozenset().union(*self._shown_objects.values())
        for row in self.rows:
            row.setChecked(row.object.path in everything)

    def mark_shown(self) -> None:
        """Tint the card of the shown stack (of a 4-D one, whichever time is shown)."""
        shown = self._session.stack
        for card in self.cards:
            own = card.stack.id
            is_shown = shown is not None and (own in (shown.id, shown.derived_from) or shown.id.startswith(f"{own}-t"))
            card.setChecked(is_shown)
            if is_shown:
                self._scroll.ensureWidgetVisible(card, 0, 40)

    def _fill(self, catalog: Catalog | None) -> None:
        self._thumbnails.forget_waiting()
        self.cards, self.rows = [], []
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(2)
        if catalog is None or catalog.is_empty:
            hint = QLabel("No study open.\n\nDrop a folder, files or a ZIP into the window, or press Ctrl+O.")
            hint.setWordWrap(True)
            hint.setFont(ui_font(9))
            hint.setStyleSheet(f"color: {tokens().faint};")
            column.addWidget(hint)
        else:
            for patient in catalog.patients:
                self._add_patient(column, patient, catalog)
            for name, of_nobody in objects.of_nobody(catalog).items():
                column.addSpacing(14 if column.count() else 0)
                column.addWidget(ElidedLabel(name_text(name) or "No name", ui_font(10, bold=True), "text"))
                for found in of_nobody:
                    self._add_object(column, found)
        column.addStretch(1)
        self._scroll.setWidget(body)
        body.setAutoFillBackground(False)
        self._scroll.viewport().setAutoFillBackground(False)
        self._skipped.show_skipped(*((), ()) if catalog is None else (catalog.skipped, catalog.warnings))
        for card in self.cards:
            self._thumbnails.want(card.stack, card.set_thumbnail)

    def _add_patient(self, column: QVBoxLayout, patient: Patient, catalog: Catalog) -> None:
        if column.count():
            column.addSpacing(14)
        first = next((s for study in patient.studies for series in study.series for s in series.stacks), None)
        facts = (
            ""
            if first is None
            else " ".join(p for p in (sex_text(first.text), age_text(first.text.patient_age).removesuffix(" y")) if p)
        )
        row = QHBoxLayout()
        row.setSpacing(6)
        written = name_text(patient.name) or patient.id or "No name"
        if first is not None and first.text.guessed:
            written = f"≈ {written}"
        name = ElidedLabel(written, ui_font(10, bold=True), "text")
        row.addWidget(name, 1)
        side = QLabel(facts)
        side.setTextFormat(Qt.TextFormat.PlainText)
        side.setFont(ui_font(9))
        side.setStyleSheet(f"color: {tokens().dim};")
        row.addWidget(side)
        column.addLayout(row)
        for study in patient.studies:
            self._add_study(column, study, catalog)
        for found in objects.of_patient(patient, catalog):
            self._add_object(column, found)

    def _add_study(self, column: QVBoxLayout, study: Study, catalog: Catalog) -> None:
        line = "   ".join(part for part in (study.description, date_text(study.date)) if part)
        if line:
            column.addWidget(ElidedLabel(line, ui_font(9), "dim"))
        column.addSpacing(4)
        for series in study.series:
            self._add_series(column, series)
            for found in objects.of_series(series, catalog):
                self._add_object(column, found)
        for found in objects.of_study(study, catalog):
            self._add_object(column, found)

    def _add_series(self, column: QVBoxLayout, series: Series) -> None:
        for stack in series.stacks:
            card = SeriesCard(stack)
            card.mark.clicked.connect(lambda _=False, card=card: self.quality_wanted.emit(card))
            card.clicked.connect(lambda _=False, stack=stack: self.stack_chosen.emit(stack))
            self.cards.append(card)
            column.addWidget(card)

    def _add_object(self, column: QVBoxLayout, found: ObjectFile) -> None:
        row = ObjectRow(found, found.kind in self._openable)
        row.clicked.connect(lambda _=False, found=found: self.object_chosen.emit(found))
        row.setChecked(any(found.path in shown for shown in self._shown_objects.values()))
        self.rows.append(row)
        column.addWidget(row)

    def step(self, by: int) -> Stack | None:
        """The stack before or after the shown one, within the list's ends; None where there is none."""
        shown = self._session.stack
        ids = [card.stack.id for card in self.cards]
        here = next((n for n, card in enumerate(self.cards) if card.isChecked()), None)
        if shown is None or here is None or not 0 <= here + by < len(ids):
            return None
        return self.cards[here + by].stack


class ElidedLabel(QLabel):
    """One line of plain text that ends in "…" where the column ends; the whole text is its tooltip."""

    def __init__(self, text: str, font: object, colour_name: str) -> None:
        super().__init__()
        self._whole = text
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFont(font)  # type: ignore[arg-type]
        self.setStyleSheet(f"color: {getattr(tokens(), colour_name)};")
        self.setToolTip(tip(text))
        self.setMinimumWidth(10)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        try:
            painter.setFont(self.font())
            painter.setPen(self.palette().color(self.foregroundRole()))
            text = QFontMetrics(self.font()).elidedText(self._whole, Qt.TextElideMode.ElideRight, self.width())
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        finally:
            painter.end()

    def sizeHint(self) -> QSize:
        """One line high."""
        return QSize(60, QFontMetrics(self.font()).height() + 4)

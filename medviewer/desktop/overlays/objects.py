"""DICOM objects that are no pictures of their own, in the list of series: where each belongs, and its row.

What a click does is not decided here: whoever can show a kind of object puts its function into
`services.object_openers` under that kind, and the window calls it with the catalog's ObjectFile.
"""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QWidget

from medviewer.desktop.plain import tip
from medviewer.desktop.theme import colour, ui_font
from medviewer.formats.catalog import Catalog, ObjectFile, Patient, Series, Study

#: Objects that there is nothing to say about in the list.
NOT_LISTED = frozenset({"no-pixels", "DICOMDIR", "other"})

_ROW_HEIGHT = 24


def listed(catalog: Catalog) -> tuple[ObjectFile, ...]:
    """The objects that a person may want to see, in the catalog's order."""
    if not catalog.objects:
        return ()
    from medviewer.formats.dicom.objects.object_text import has_text

    return tuple(o for o in catalog.objects if o.kind not in NOT_LISTED or has_text(o))


def home_of(found: ObjectFile, catalog: Catalog) -> str:
    """UID of the series that an object is listed under, "" where none of the open ones fits.

    The first series that it refers to; else one of its study in the same frame of reference (a dose names no series).
    """
    series = [(study, one) for patient in catalog.patients for study in patient.studies for one in study.series]
    open_uids = {one.uid for _, one in series}
    for uid in found.referenced_series:
        if uid in open_uids:
            return uid
    frame = found.frame_of_reference_uid
    if not frame:
        return ""
    return next(
        (
            one.uid
            for study, one in series
            if study.uid == found.study_uid and any(s.frame_of_reference_uid == frame for s in one.stacks)
        ),
        "",
    )


def of_another_patient(found: ObjectFile, catalog: Catalog) -> Patient | None:
    """The patient whose images an object refers to, where the object itself names another one; else None."""
    home = home_of(found, catalog)
    for patient in catalog.patients if home else ():
        if any(one.uid == home for study in patient.studies for one in study.series):
            return None if _is_of(found, patient) else patient
    return None


def of_series(series: Series, catalog: Catalog) -> tuple[ObjectFile, ...]:
    """The objects listed under a series."""
    return tuple(o for o in listed(catalog) if home_of(o, catalog) == series.uid)


def of_study(study: Study, catalog: Catalog) -> tuple[ObjectFile, ...]:
    """The objects of a study that belong to none of its series."""
    return tuple(o for o in listed(catalog) if o.study_uid == study.uid and not home_of(o, catalog))


def of_patient(patient: Patient, catalog: Catalog) -> tuple[ObjectFile, ...]:
    """The objects of a patient that belong to none of the open studies."""
    studies = {study.uid for study in patient.studies}
    return tuple(
        o for o in listed(catalog) if _is_of(o, patient) and o.study_uid not in studies and not home_of(o, catalog)
    )


def of_nobody(catalog: Catalog) -> dict[str, tuple[ObjectFile, ...]]:
    """The objects of patients without any picture here, by the patients' names."""
    studies = {study.uid for patient in catalog.patients for study in patient.studies}
    found: dict[str, tuple[ObjectFile, ...]] = {}
    for o in listed(catalog):
        known = home_of(o, catalog) or o.study_uid in studies or any(_is_of(o, p) for p in catalog.patients)
        if not known:
            found[o.patient] = (*found.get(o.patient, ()), o)
    return found


def _is_of(found: ObjectFile, patient: Patient) -> bool:
    return (found.patient, found.patient_id) == (patient.name, patient.id)


class ObjectRow(QAbstractButton):
    """A DICOM object under its series: its kind as a badge, and what it holds in one line."""

    def __init__(self, found: ObjectFile, can_open: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.object = found
        self.setFixedHeight(_ROW_HEIGHT)
        self.setEnabled(can_open)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip(tip(found.summary if can_open else f"{found.summary}\nThis kind of object is not shown."))
        self.setAccessibleName(
            found.summary if found.summary.startswith(found.kind) else f"{found.kind} {found.summary}"
        )
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def nextCheckState(self) -> None:
        """A click asks; the row is marked by whoever shows the object."""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Badge and summary on one line; a shown object is tinted in the hand's colour."""
        painter = QPainter(self)
        try:
            self._paint(painter)
        finally:
            painter.end()

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.isChecked() or (self.underMouse() and self.isEnabled()) or self.hasFocus():
            painter.setPen(QPen(colour("accent"), 1) if self.hasFocus() else Qt.PenStyle.NoPen)
            painter.setBrush(colour("accent", 0.22) if self.isChecked() else colour("raised"))
            painter.drawRoundedRect(self.rect().toRectF().adjusted(8.5, 0.5, -0.5, -0.5), 4, 4)
        ink = colour("accent" if self.isEnabled() else "faint")
        painter.setFont(ui_font(9, bold=True))
        width = QFontMetrics(painter.font()).horizontalAdvance(self.object.kind)
        badge = QRectF(14.5, 4.5, width + 9, _ROW_HEIGHT - 9)
        painter.setPen(QPen(ink, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(badge, 3, 3)
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, self.object.kind)
        painter.setFont(ui_font(9))
        painter.setPen(colour("text" if self.isChecked() else "dim" if self.isEnabled() else "faint"))
        words = self.object.summary.removeprefix(self.object.kind).removeprefix(" - ")
        start = int(badge.right()) + 8
        room = self.width() - start - 6
        shown = QFontMetrics(painter.font()).elidedText(words, Qt.TextElideMode.ElideRight, room)
        painter.drawText(start, 16, shown)

"""The similar cases card: the nearest lesions of other patients, as pictures in this window, else as ratings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from medviewer.desktop.panels.parts import STEP, Card, FirstStep, label, set_role
from medviewer.desktop.theme import colour

#: Edge of a picture and the number of cases in a row.
PICTURE = 56
SHOWN = 5
_GAP = 12
_SHORT = {"spiculation": "spic", "margin": "marg", "texture": "text"}
_LINE = 16


@dataclass(frozen=True, slots=True)
class SimilarView:
    """One similar case as it is shown.

    Attributes:
        case: its name in the library.
        rating: mean malignancy rating of its readers, 1 to 5, or None.
        diameter_mm: diameter, or None.
        distance: distance of the embeddings; smaller is more alike.
        ratings: its other mean ratings.
        source: where it comes from, in words.
        picture: uint8 `[row, column]` in the window and level of the case in question, or None.
    """

    case: str
    rating: float | None
    diameter_mm: float | None
    distance: float
    ratings: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    picture: NDArray[np.uint8] | None = None


def _rating_colour(rating: float | None) -> str:
    if rating is None:
        return "dim"
    return "warn" if rating > 3 else "good" if rating < 3 else "text"


def describe(case: SimilarView) -> str:
    """The whole case in words, for the tooltip and a screen reader."""
    parts = [case.case]
    if case.rating is not None:
        parts.append(f"malignancy {case.rating:.1f} by its readers")
    if case.diameter_mm is not None:
        parts.append(f"{case.diameter_mm:.1f} mm")
    parts.append(f"distance {case.distance:.3f}")
    parts += [f"{name} {value:.1f}" for name, value in case.ratings.items() if name != "malignancy"]
    if case.source:
        parts.append(case.source)
    return "\n".join(parts)


def contrary(cases: tuple[SimilarView, ...]) -> str:
    """The nearest case whose readers said the opposite of the first one, in words; empty if there is none."""
    rated = [(n, c.rating) for n, c in enumerate(cases, start=1) if c.rating is not None and c.rating != 3]
    if not rated:
        return ""
    first = rated[0][1] > 3
    against = next(((n, r) for n, r in rated if (r > 3) != first), None)
    return "" if against is None else f"nearest against: rating {against[1]:.1f} at rank {against[0]}"


class _Tile(QWidget):
    """One case: its picture (or its ratings in the picture's place), rating, diameter, distance."""

    clicked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._case: SimilarView | None = None
        self._pixmap: QPixmap | None = None
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setFixedSize(PICTURE, PICTURE + 3 * _LINE + STEP)

    def show_case(self, case: SimilarView | None) -> None:
        """Show a case, or an empty place of the same size."""
        self._case = case
        self._pixmap = None
        if case is not None and case.picture is not None:
            grey = np.ascontiguousarray(case.picture)
            height, width = grey.shape
            image = QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8)
            ratio = self.devicePixelRatioF()
            self._pixmap = QPixmap.fromImage(image).scaled(
                int(PICTURE * ratio),
                int(PICTURE * ratio),
                Qt.AspectRatioMode.KeepAspectRatioByExpanding,
                Qt.TransformationMode.SmoothTransformation,
            )
            self._pixmap.setDevicePixelRatio(ratio)
        self.setToolTip("" if case is None else describe(case))
        self.setAccessibleName("" if case is None else describe(case).replace("\n", ", "))
        self.update()

    def sizeHint(self) -> QSize:
        """The fixed size of a tile."""
        return QSize(PICTURE, PICTURE + 3 * _LINE + STEP)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Picture above, three short lines below."""
        painter = QPainter(self)
        frame = QRect(0, 0, PICTURE, PICTURE)
        case = self._case
        if self._pixmap is not None:
            painter.drawPixmap(frame.topLeft(), self._pixmap)
        else:
            painter.fillRect(frame, colour("base"))
        painter.setPen(colour("line"))
        painter.drawRect(frame.adjusted(0, 0, -1, -1))
        small = self.font()
        small.setPointSizeF(9)
        if case is None:
            painter.end()
            return
        if self._pixmap is None:
            self._paint_ratings(painter, frame, case)
        strong = self.font()
        strong.setPointSizeF(10)
        strong.setBold(True)
        painter.setFont(strong)
        painter.setPen(colour(_rating_colour(case.rating)))
        top = PICTURE + STEP
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        rating = "–" if case.rating is None else f"{case.rating:.1f}"
        painter.drawText(QRect(0, top, PICTURE, _LINE), align, rating)
        painter.setFont(small)
        painter.setPen(colour("dim"))
        diameter = "–" if case.diameter_mm is None else f"{case.diameter_mm:.0f} mm"
        painter.drawText(QRect(0, top + _LINE, PICTURE, _LINE), align, diameter)
        painter.drawText(QRect(0, top + 2 * _LINE, PICTURE, _LINE), align, f"d {case.distance:.3f}")
        painter.end()

    def _paint_ratings(self, painter: QPainter, frame: QRect, case: SimilarView) -> None:
        tiny = self.font()
        tiny.setPointSizeF(7.5)
        painter.setFont(tiny)
        names = [(n, short) for n, short in _SHORT.items() if n in case.ratings]
        for line, (name, short) in enumerate(names):
            box = QRect(frame.left() + STEP, frame.top() + STEP + line * _LINE, PICTURE - 2 * STEP, _LINE)
            value = f"{case.ratings[name]:.1f}"
            painter.setPen(colour("text"))
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, value)
            painter.setPen(colour("dim"))
            painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, short)


class SimilarCard(Card):
    """Shows up to five similar cases."""

    case_asked = Signal(str)
    first_step_asked = Signal()

    #: Columns of the table that stands there when no case has a picture.
    COLUMNS = (
        ("rating", "mean malignancy rating of the readers"),
        ("mm", "diameter"),
        ("spic.", "spiculation"),
        ("margin", "margin"),
        ("text.", "texture"),
        ("dist.", "distance: smaller is more alike"),
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Similar cases", parent)
        self._first = FirstStep("")
        self._first.pressed.connect(self.first_step_asked)
        self.add(self._first)
        self._tiles_box = QWidget()
        tiles = QGridLayout(self._tiles_box)
        tiles.setContentsMargins(0, 0, 0, 0)
        tiles.setHorizontalSpacing(_GAP)
        self.tiles = [_Tile() for _ in range(SHOWN)]
        for n, tile in enumerate(self.tiles):
            tiles.addWidget(tile, 0, n)
        tiles.setColumnStretch(SHOWN, 1)
        self.add(self._tiles_box)
        self._table_box = QWidget()
        self._table = QGridLayout(self._table_box)
        self._table.setContentsMargins(0, 0, 0, 0)
        self._table.setHorizontalSpacing(STEP)
        self._table.setVerticalSpacing(STEP)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        self._cells = []
        for column, (name, tip) in enumerate(self.COLUMNS):
            head = label(name, "faint")
            head.setToolTip(tip)
            head.setAlignment(right)
            self._table.addWidget(head, 0, column)
            self._table.setColumnStretch(column, 1)
        for line in range(SHOWN):
            cells = [label("", "strong" if column == 0 else "dim") for column in range(len(self.COLUMNS))]
            for column, cell in enumerate(cells):
                cell.setAlignment(right)
                self._table.addWidget(cell, line + 1, column)
            self._cells.append(cells)
        self.add(self._table_box)
        self._foot = label("", "dim", wrap=True)
        self.add(self._foot)
        self.show_empty()

    def _show_parts(self, *, first: bool = False, tiles: bool = False, table: bool = False, foot: str = "") -> None:
        self._first.setVisible(first)
        self._tiles_box.setVisible(tiles)
        self._table_box.setVisible(table)
        self._foot.setText(foot)
        self._foot.setVisible(bool(foot))

    def show_empty(self) -> None:
        """Nothing was asked yet."""
        self.set_note("")
        self._first.say("Lesions of other patients that look like this one appear here after a suggestion.")
        self._show_parts(first=True)

    def show_loading(self) -> None:
        """Being computed: five empty places of the final size."""
        self.set_note("looking")
        for tile in self.tiles:
            tile.show_case(None)
            tile.setVisible(True)
        self._show_parts(tiles=True, foot=" ")

    def show_cases(self, cases: tuple[SimilarView, ...], source: str, *, pictures_come: bool = False) -> None:
        """Show cases, nearest first.

        Args:
            cases: as many as there are; five are shown.
            source: where they come from ("own library, other patients").
            pictures_come: their pictures are being read: leave room for them, so that nothing jumps.
        """
        shown = cases[:SHOWN]
        if not shown:
            self.set_note(source)
            self._first.say("No other patient in the library yet. Accepted findings are added to it.")
            self._show_parts(first=True)
            return
        self.set_note(source)
        foot = contrary(shown)
        if pictures_come or any(case.picture is not None for case in shown):
            for n, tile in enumerate(self.tiles):
                tile.show_case(shown[n] if n < len(shown) else None)
                tile.setVisible(n < len(shown))
            self._show_parts(tiles=True, foot=foot)
            return
        for n, cells in enumerate(self._cells):
            texts = _cells_of(shown[n]) if n < len(shown) else [""] * len(cells)
            for cell, text in zip(cells, texts, strict=True):
                cell.setText(text)
                cell.setToolTip(describe(shown[n]) if n < len(shown) else "")
                cell.setVisible(n < len(shown))
            if n < len(shown):
                set_role(cells[0], f"strong-{_rating_colour(shown[n].rating)}")
        self._show_parts(table=True, foot=foot)

    def show_why_not(self, sentence: str) -> None:
        """There are none, and why."""
        self.set_note("")
        self._first.say(f"Why not: {sentence}")
        self._show_parts(first=True)

    def show_error(self, sentence: str) -> None:
        """It failed."""
        self.set_note("did not run", "bad")
        self._first.say(sentence, role="bad")
        self._show_parts(first=True)


def _cells_of(case: SimilarView) -> list[str]:
    def one(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    return [
        one(case.rating, 1),
        one(case.diameter_mm, 0),
        *(one(case.ratings.get(name), 1) for name in ("spiculation", "margin", "texture")),
        one(case.distance, 3),
    ]

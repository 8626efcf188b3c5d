"""Marks of files drawn over a picture: thin lines with a dark edge, words beside them, a star on key images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from medviewer.desktop.theme import colour
from medviewer.desktop.viewport.drawing import LINE, TextCache
from medviewer.desktop.viewport.marks import Drawn, Mark, MarksIndex, in_cut

if TYPE_CHECKING:
    from medviewer.desktop.viewport.plane_view import PlaneViewport

#: Measurements that a file brings: none of the colours that mean something else here.
MEASURED = QColor("#F0E442")

_WIDTH, _CHOSEN_WIDTH, _ARM = 1.5, 2.6, 5.0
#: Points of a line that are drawn; longer ones are thinned out to this.
_MOST_POINTS = 20_000
#: Marks of one cut whose words are written.
_MOST_LABELS = 200


class MarksLayer:
    """Keeps what of the session's marks lies in the shown cut, as paths on the screen."""

    def __init__(self) -> None:
        self._marks: tuple[Mark, ...] = ()
        self._index = MarksIndex(())
        self._key: object = None
        self._paths: list[tuple[Mark, Drawn, QPainterPath]] = []

    def draw(self, painter: QPainter, view: PlaneViewport, cache: TextCache) -> None:
        """Draw the marks that lie in the view's cut, and what is to be said about the slice."""
        session = view.session
        if view.volume is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        taken = _corner_texts(view)
        labels: list[tuple[Mark, QPointF]] = []
        for mark, drawn, path in self._in_sight(view, view.volume.size_kji):
            if mark.shape == "TEXT":
                _write_in_box(painter, view, cache, mark, drawn, taken)
                continue
            chosen = session.chosen_mark is not None and mark.owner == session.chosen_mark
            _stroke(painter, path, mark, chosen)
            if mark.label:
                box = path.boundingRect()
                labels.append((mark, QPointF(box.right() + 6, box.top() - 2)))
        for mark, at in labels[:_MOST_LABELS]:
            _write(painter, view, cache, mark, at, taken)
        if view.axes.through == 0 and view.show_text:
            _say_on_top(painter, view, cache)
        painter.restore()

    def _in_sight(self, view: PlaneViewport, size_kji: tuple[int, int, int]) -> list[tuple[Mark, Drawn, QPainterPath]]:
        marks = view.session.marks
        if marks is not self._marks:
            self._marks, self._index, self._key = marks, MarksIndex(marks), None
        key = (view.axes, view.position, view.placing, size_kji)
        if key != self._key:
            self._key, self._paths = key, []
            for mark in self._index.near(view.axes.through, view.position):
                drawn = in_cut(mark, view.axes, size_kji, view.position)
                if drawn is not None:
                    self._paths.append((mark, drawn, _path(drawn, view)))
        return self._paths


def _corner_texts(view: PlaneViewport) -> list[QRectF]:
    """Where the upper corner texts stand: words of marks keep out of them."""
    if not view.show_text or view.width() < 500:
        return []
    return [QRectF(0, 0, 190, 4 * LINE), QRectF(view.width() - 190, 0, 190, 4 * LINE)]


def ink_of(mark: Mark) -> QColor:
    """Violet for what no person has verified, its own colour, or that of measurements."""
    if mark.is_ai:
        return colour("ai")
    return MEASURED if mark.colour is None else QColor(*mark.colour)


def _path(drawn: Drawn, view: PlaneViewport) -> QPainterPath:
    path = QPainterPath()
    placing = view.placing
    for line in drawn.lines:
        step = max(1, len(line) // _MOST_POINTS)
        for n, (row, column) in enumerate(line[::step]):
            point = QPointF(*placing.to_screen(float(row), float(column)))
            path.moveTo(point) if n == 0 else path.lineTo(point)
    for row, column in drawn.points:
        x, y = placing.to_screen(row, column)
        path.moveTo(x - _ARM, y)
        path.lineTo(x + _ARM, y)
        path.moveTo(x, y - _ARM)
        path.lineTo(x, y + _ARM)
    return path


def _stroke(painter: QPainter, path: QPainterPath, mark: Mark, chosen: bool) -> None:
    ink = ink_of(mark)
    width = _CHOSEN_WIDTH if chosen else _WIDTH
    if mark.filled:
        fill = QColor(ink)
        fill.setAlphaF(0.35)
        painter.fillPath(path, fill)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.strokePath(path, QPen(QColor(0, 0, 0, 150), width + 1.6))
    pen = QPen(ink, width)
    if mark.is_ai:
        pen.setDashPattern([3.2, 2.2])
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.strokePath(path, pen)


def _write(
    painter: QPainter, view: PlaneViewport, cache: TextCache, mark: Mark, at: QPointF, taken: list[QRectF]
) -> None:
    """Words at a place, moved down past words that are there already and kept inside the view."""
    ratio = view.devicePixelRatioF()
    pictures = [cache.line(line, ink_of(mark), 9, False, ratio) for line in mark.label]
    width = max(picture.width() / ratio for picture in pictures)
    height = len(pictures) * LINE
    x = min(max(4.0, at.x()), max(4.0, view.width() - width - 4))
    y = min(max(4.0, at.y()), max(4.0, view.height() - height - 4))
    box = QRectF(x, y, width, height)
    for _ in range(24):
        hit = next((other for other in taken if other.intersects(box)), None)
        if hit is None:
            break
        box.moveTop(hit.bottom() + 1)
    taken.append(box)
    for n, picture in enumerate(pictures):
        painter.drawPixmap(QPointF(box.x(), box.y() + n * LINE), picture)


def _write_in_box(
    painter: QPainter, view: PlaneViewport, cache: TextCache, mark: Mark, drawn: Drawn, taken: list[QRectF]
) -> None:
    """Words of a presentation state in their box on the screen, with the line that leads to their place."""
    placing, ratio = view.placing, view.devicePixelRatioF()
    corners = [QPointF(*placing.to_screen(float(row), float(column))) for row, column in drawn.lines[0][:2]]
    box = QRectF(corners[0], corners[-1]).normalized()
    width = max(cache.line(line, ink_of(mark), 9, False, ratio).width() / ratio for line in mark.label)
    x = {"RIGHT": box.right() - width, "CENTER": box.center().x() - width / 2}.get(mark.justification, box.left())
    _write(painter, view, cache, mark, QPointF(x, box.top()), taken)
    if mark.leader_kji is not None and view.volume is not None:
        _, row, column = view.axes.from_index(view.volume.size_kji, mark.leader_kji[0])
        end = QPointF(*placing.to_screen(row, column))
        path = QPainterPath(_nearest(taken[-1], end))
        path.lineTo(end)
        _stroke(painter, path, mark, False)


def _nearest(box: QRectF, point: QPointF) -> QPointF:
    """The point of a box that is nearest to a point."""
    return QPointF(min(max(point.x(), box.left()), box.right()), min(max(point.y(), box.top()), box.bottom()))


def _say_on_top(painter: QPainter, view: PlaneViewport, cache: TextCache) -> None:
    """ "★ Key image: For Referring Provider", "Presentation state: PET" below the upper orientation letter."""
    session, ratio = view.session, view.devicePixelRatioF()
    said: list[tuple[str, str]] = []
    if view.position in session.key_slices:
        said.append(("★ Key image", session.key_slices[view.position]))
    if session.presented is not None:
        state = session.presented.state
        said.append(("Presentation state", state.label or state.description))
    for n, (what, title) in enumerate(said):
        words = f"{what}: {title}" if title and view.width() > 560 else what
        picture = cache.line(words if len(words) <= 60 else f"{words[:59]}…", MEASURED, 10, True, ratio)
        painter.drawPixmap(QPointF((view.width() - picture.width() / ratio) / 2, 30.0 + n * (LINE + 2)), picture)

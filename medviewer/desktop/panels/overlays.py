"""The card of what files lay over the images: each object with its parts, on and off, and how strongly it covers."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QScrollArea, QSlider, QToolButton, QVBoxLayout, QWidget

from medviewer.desktop.overlays.laid import LaidObject
from medviewer.desktop.panels.parts import STEP, Card, ElidedLabel, Swatch, button, hairline, label, row
from medviewer.desktop.plain import tip
from medviewer.desktop.theme import icon

#: Parts that are listed before the list scrolls.
_SHOWN_PARTS = 9
_LINE_HEIGHT = 28


class OverlaysCard(Card):
    """Lists the objects that lie over the images; hidden while there is none."""

    part_shown = Signal(Path, int, bool)
    all_shown = Signal(Path, bool)
    opacity_set = Signal(Path, float)
    isodoses_set = Signal(Path, bool)
    close_asked = Signal(Path)
    edit_asked = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Over the images", parent)
        self.blocks: list[ObjectBlock] = []
        self._list = QVBoxLayout()
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(3 * STEP)
        self.add(self._list)
        self.hide()

    def show_objects(self, objects: tuple[LaidObject, ...]) -> None:
        """Show other objects, or other states of the same."""
        if [b.path for b in self.blocks] != [o.overlay.path for o in objects]:
            for block in self.blocks:
                self._list.removeWidget(block)
                block.deleteLater()
            self.blocks = [self._block(o, first=n == 0) for n, o in enumerate(objects)]
        for block, laid in zip(self.blocks, objects, strict=True):
            block.show_object(laid)
        self.setVisible(bool(objects))

    def _block(self, laid: LaidObject, *, first: bool) -> ObjectBlock:
        block = ObjectBlock(laid, with_rule=not first)
        path = laid.overlay.path
        block.part_shown.connect(lambda index, shown: self.part_shown.emit(path, index, shown))
        block.all_shown.connect(lambda shown: self.all_shown.emit(path, shown))
        block.opacity_set.connect(lambda value: self.opacity_set.emit(path, value))
        block.isodoses.toggled.connect(lambda shown: self.isodoses_set.emit(path, shown))
        block.close_asked.connect(lambda: self.close_asked.emit(path))
        block.edit_asked.connect(lambda: self.edit_asked.emit(path))
        self._list.addWidget(block)
        return block


class ObjectBlock(QWidget):
    """One object: what it is, its parts, its opacity, and what is to be said about it."""

    part_shown = Signal(int, bool)
    all_shown = Signal(bool)
    opacity_set = Signal(float)
    close_asked = Signal()
    edit_asked = Signal()

    def __init__(self, laid: LaidObject, *, with_rule: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path = laid.overlay.path
        self._hidden: frozenset[int] = frozenset()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(STEP)
        if with_rule:
            column.addWidget(hairline())
        kind = laid.overlay.kind
        name = label(kind, "strong")
        words = ElidedLabel(laid.summary.removeprefix(kind).removeprefix(" - "), "dim")
        words.setToolTip(tip(f"{laid.summary}\n{self.path.name}"))
        self._eye = _tool("eye-outline", "Hide all", self._toggle_all)
        head = row(name)
        head.addWidget(words, 1)
        head.addWidget(self._eye)
        head.addWidget(_tool("close", "Take it away", self.close_asked.emit))
        column.addLayout(head)
        self.lines = [PartLine(n, part.name, part.colour, part.facts) for n, part in enumerate(laid.parts)]
        for line in self.lines:
            line.shown.connect(self.part_shown)
        if self.lines:
            column.addWidget(_scrolling(self.lines))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setAccessibleName("Opacity")
        self.slider.setToolTip("How strongly it covers the picture")
        self.slider.valueChanged.connect(lambda value: self.opacity_set.emit(value / 100))
        foot = row(label("Opacity", "dim"))
        foot.addWidget(self.slider, 1)
        self.edit = button("Edit a copy", "", "Add these segments to the ones that you draw", self.edit_asked.emit)
        self.edit.setVisible(kind != "RTDOSE")
        foot.addWidget(self.edit)
        self.isodoses = QCheckBox("Isodose lines")
        self.isodoses.setVisible(kind == "RTDOSE")
        foot.addWidget(self.isodoses)
        column.addLayout(foot)
        for sentence, role in (
            *((note, "dim") for note in laid.overlay.notes),
            *((why, "warn") for why in laid.overlay.refused),
        ):
            column.addWidget(label(_sentence(sentence), role, wrap=True))

    def show_object(self, laid: LaidObject) -> None:
        """Show another state of the object."""
        self._hidden = laid.hidden
        for n, line in enumerate(self.lines):
            line.set_shown(n not in laid.hidden)
        count = max(1, len(self.lines))
        self._eye.setIcon(icon("eye-outline" if len(laid.hidden) < count else "eye-off-outline"))
        self._eye.setToolTip("Hide all" if len(laid.hidden) < count else "Show all")
        self.isodoses.blockSignals(True)
        self.isodoses.setChecked(laid.isodoses)
        self.isodoses.blockSignals(False)
        self.slider.blockSignals(True)
        self.slider.setValue(round(100 * laid.opacity))
        self.slider.blockSignals(False)

    def _toggle_all(self) -> None:
        self.all_shown.emit(len(self._hidden) >= max(1, len(self.lines)))


class PartLine(QFrame):
    """One segment or structure: colour, name, facts, eye; a click anywhere turns it on or off."""

    shown = Signal(int, bool)

    def __init__(self, index: int, name: str, rgb: tuple[int, int, int], facts: str) -> None:
        super().__init__()
        self.setObjectName("segmentLine")
        self.setFixedHeight(_LINE_HEIGHT)
        self._index, self._name, self._is_shown = index, name, True
        self._swatch = Swatch(rgb)
        line = row(self._swatch)
        line.setContentsMargins(STEP, 0, 0, 0)
        line.addWidget(ElidedLabel(name), 1)
        if facts:
            line.addWidget(label(facts, "dim"))
        self.eye = _tool("eye-outline", "Hide", self.toggle)
        line.addWidget(self.eye)
        self.setLayout(line)
        self.setToolTip(tip(f"{name}\n{facts}" if facts else name))

    def set_shown(self, shown: bool) -> None:
        """Whether it is drawn."""
        self._is_shown = shown
        self.eye.setIcon(icon("eye-outline" if shown else "eye-off-outline", "dim" if shown else "faint"))
        self.eye.setToolTip("Hide" if shown else "Show")
        self.eye.setAccessibleName(f"{'Hide' if shown else 'Show'} {self._name}")

    def toggle(self) -> None:
        """Ask for the other state."""
        self.shown.emit(self._index, not self._is_shown)


def _tool(name: str, tip: str, on_click: object) -> QToolButton:
    made = QToolButton()
    made.setAutoRaise(True)
    made.setIcon(icon(name))
    made.setIconSize(QSize(18, 18))
    made.setFixedSize(26, 26)
    made.setToolTip(tip)
    made.setAccessibleName(tip)
    made.clicked.connect(lambda _=False: on_click())  # type: ignore[operator]
    return made


def _scrolling(lines: list[PartLine]) -> QWidget:
    """The lines below one another; a long list scrolls."""
    inside = QWidget()
    column = QVBoxLayout(inside)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    for line in lines:
        column.addWidget(line)
    if len(lines) <= _SHOWN_PARTS:
        return inside
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFixedHeight(round((_SHOWN_PARTS + 0.5) * _LINE_HEIGHT))
    area.setWidget(inside)
    return area


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

"""A real window on a made-up stack, and the hand in it: what the tests of tools, work and proposals share."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from medviewer.annotation.editor import Editor
from medviewer.annotation.segmentation import Segmentation
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.tools import TOOLS
from medviewer.desktop.viewport.view_grid import Layout
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: Slices, rows, columns and their spacing in mm.
SIZE = (12, 96, 96)
SPACING = (2.5, 0.75, 0.75)


def small_volume(stack_id: str = "stack-a", modality: str = "CT") -> Volume:
    """Air with a ball of soft tissue, 12 mm across, at (6, 48, 40)."""
    k, j, i = np.indices(SIZE)
    far = ((k - 6) * SPACING[0]) ** 2 + ((j - 48) * SPACING[1]) ** 2 + ((i - 40) * SPACING[2]) ** 2
    voxels = np.where(far <= 36.0, 30, -850).astype(np.int16)
    return Volume(voxels, Grid.plain(SIZE, SPACING), unit="HU", modality=modality, stack_id=stack_id)


def make_window(right_column: object = None) -> MainWindow:
    """A shown window with the drawing tools."""
    window = MainWindow(tools=TOOLS, right_column=right_column)  # type: ignore[arg-type]
    window.resize(1400, 900)
    window.grid.set_layout(Layout.ONE)
    window.show()
    QTest.qWaitForWindowExposed(window)
    return window


def with_editor(window: MainWindow, volume: Volume | None = None) -> Editor:
    """Show a stack and edit a fresh segmentation of it, in memory."""
    shown = volume or small_volume()
    window.session.show(None, shown)
    QApplication.processEvents()
    assert shown.grid is not None
    editor = Editor(Segmentation(shown.grid, shown.stack_id))
    window.session.set_editor(editor)
    return editor


class Hand:
    """Moves the mouse in the active view; positions are voxels (row, column) of the acquired slice."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window
        self.view = window.grid.active

    def at(self, row: float, column: float) -> QPoint:
        x, y = self.view.placing.to_screen(row, column)
        return QPoint(round(x), round(y))

    def press(self, row: float, column: float, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.mousePress(self.view, Qt.MouseButton.LeftButton, held, self.at(row, column))

    def move(self, row: float, column: float, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        where = QPointF(self.at(row, column))
        event = QMouseEvent(
            QMouseEvent.Type.MouseMove,
            where,
            self.view.mapToGlobal(where),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            held,
        )
        QApplication.sendEvent(self.view, event)

    def release(self, row: float, column: float, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.mouseRelease(self.view, Qt.MouseButton.LeftButton, held, self.at(row, column))

    def click(self, row: float, column: float, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.press(row, column, held)
        self.release(row, column, held)

    def double_click(self, row: float, column: float) -> None:
        """As a real double click: press, release, double click, release."""
        self.click(row, column)
        QTest.mouseDClick(self.view, Qt.MouseButton.LeftButton, pos=self.at(row, column))

    def drag(self, *places: tuple[float, float], held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self.press(*places[0], held)
        for place in places[1:]:
            self.move(*place, held)
        self.release(*places[-1], held)

    def key(self, key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.view, key, held)

"""What the tests of reading share: small volumes of known content in three acquisition planes, and views on them."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QWidget

from medviewer.desktop.jobs import Jobs
from medviewer.desktop.services import Actions, Services
from medviewer.desktop.session import ReadingSession
from medviewer.desktop.viewport.view_grid import ViewGrid
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume
from medviewer.volume.window import Window

AXIAL = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
CORONAL = (1.0, 0, 0, 0, 0, -1.0, 0, 1.0, 0)  # rows to the left, columns to the feet, slices backwards
SAGITTAL = (0, 1.0, 0, 0, 0, -1.0, -1.0, 0, 0)  # rows backwards, columns to the feet, slices to the right


def a_volume(direction: tuple[float, ...] = AXIAL, size=(20, 96, 128), spacing=(2.0, 1.0, 1.0)) -> Volume:
    """A CT of random HU; its voxels say where they are by their seed alone."""
    rng = np.random.default_rng(5)
    voxels = rng.integers(-1000, 1500, size=size).astype(np.int16)
    return Volume(voxels, Grid(size, spacing, direction, (-30.0, -20.0, 100.0)), unit="HU", modality="CT")


class Bench:
    """A session with its grid of views and what it said."""

    def __init__(self, qtbot, volume: Volume | None = None, tools=None) -> None:
        self.said: list[str] = []
        self.session = ReadingSession()
        self.services = Services(
            Jobs(), Actions(), lambda text, *_: self.said.append(text), lambda *_: None, lambda: None, lambda *_: None
        )
        self.grid = ViewGrid(self.session, self.services, tools or {})
        qtbot.addWidget(self.grid)
        self.grid.resize(900, 600)
        self.grid.show()
        if volume is not None:
            self.session.show(None, volume, Window(1500.0, -600.0))
        qtbot.waitExposed(self.grid)
        QApplication.processEvents()

    @property
    def view(self):
        return self.grid.views[0]


def opened(qtbot, window, *paths) -> None:
    """Open paths in a main window and wait until all of the first stack is there."""
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.open_paths(paths)


def wheel(widget: QWidget, detents: int = -1, held=Qt.KeyboardModifier.NoModifier, at: QPointF | None = None) -> None:
    """Turn the wheel over a widget; towards the hand (-1) is the next slice."""
    where = at if at is not None else QPointF(widget.width() / 2, widget.height() / 2)
    event = QWheelEvent(
        where,
        widget.mapToGlobal(where),
        QPoint(),
        QPoint(0, 120 * detents),
        Qt.MouseButton.NoButton,
        held,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)

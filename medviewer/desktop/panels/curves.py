"""Loss and Dice while a candidate is trained, with the champion's Dice as a dashed line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from medviewer.desktop.panels.parts import STEP, label, row
from medviewer.desktop.theme import colour

if TYPE_CHECKING:
    from medviewer.desktop.panels.training import CurveData


class TrainingCurves(QWidget):
    """Two small plots above one another with one axis of steps: Dice, then loss."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(STEP)
        self._dice_text = label("", "dim")
        self._champion_text = label("", "dim")
        column.addLayout(row(label("Dice", "dim"), self._dice_text, None, self._champion_text))
        self._dice_plot = _plot(72)
        column.addWidget(self._dice_plot)
        self._loss_text = label("", "dim")
        column.addLayout(row(label("Loss", "dim"), self._loss_text, None))
        self._loss_plot = _plot(48)
        column.addWidget(self._loss_plot)
        self._dice_line = self._dice_plot.plot(pen=pg.mkPen(colour("good"), width=2))
        self._dice_dots = self._dice_plot.plot(
            pen=None, symbol="o", symbolSize=5, symbolPen=None, symbolBrush=colour("good")
        )
        self._loss_line = self._loss_plot.plot(pen=pg.mkPen(colour("dim"), width=1.4))
        dashes = pg.mkPen(colour("dim"), width=1.2, style=Qt.PenStyle.DashLine)
        self._champion = pg.InfiniteLine(angle=0, pen=dashes, movable=False)
        self._dice_plot.addItem(self._champion)

    def show_curves(self, data: CurveData) -> None:
        """Draw other curves."""
        self._loss_line.setData(list(data.steps), list(data.loss))
        self._dice_line.setData(list(data.dice_steps), list(data.dice))
        self._dice_dots.setData(list(data.dice_steps), list(data.dice))
        for plot in (self._dice_plot, self._loss_plot):
            plot.setXRange(0, max(1, data.total), padding=0.01)
        seen = [*data.dice, *([] if data.champion_dice is None else [data.champion_dice])]
        if seen:
            room = max(0.01, 0.15 * (max(seen) - min(seen)))
            self._dice_plot.setYRange(min(seen) - room, max(seen) + room, padding=0)
        if data.loss:
            self._loss_plot.setYRange(min(data.loss), max(data.loss), padding=0.1)
        self._champion.setVisible(data.champion_dice is not None)
        if data.champion_dice is not None:
            self._champion.setValue(data.champion_dice)
        self._champion_text.setText("" if data.champion_dice is None else f"– – champion {data.champion_dice:.3f}")
        self._dice_text.setText(f"{data.dice[-1]:.3f}" if data.dice else "")
        self._loss_text.setText(f"{data.loss[-1]:.3f}" if data.loss else "")


def _plot(height: int) -> pg.PlotWidget:
    plot = pg.PlotWidget(background=colour("raised"))
    plot.setFixedHeight(height)
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(False, False)
    plot.hideButtons()
    plot.hideAxis("left")
    plot.hideAxis("bottom")
    plot.setFrameStyle(0)
    plot.getViewBox().setDefaultPadding(0)
    plot.showGrid(x=False, y=False)
    plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    plot.viewport().setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    return plot

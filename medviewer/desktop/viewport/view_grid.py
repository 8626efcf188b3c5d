"""The pictures' part of the window: one view, or the acquired plane large with the two others beside it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from PySide6.QtCore import QPoint, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from medviewer.desktop.services import Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.tool_protocol import Tool
from medviewer.desktop.viewport.grey import GreySource
from medviewer.desktop.viewport.plane_view import PlaneViewport
from medviewer.formats.carry import Use, is_resampled, why_not
from medviewer.volume.plane import PlaneName, nearest_plane

#: Three planes at once need this much room, and unless a person wants them a stack of at least so many slices.
THREE_PLANES_FROM_PX, THREE_PLANES_FROM_SLICES = 700, 8

_OTHERS = {
    PlaneName.AXIAL: (PlaneName.CORONAL, PlaneName.SAGITTAL),
    PlaneName.CORONAL: (PlaneName.AXIAL, PlaneName.SAGITTAL),
    PlaneName.SAGITTAL: (PlaneName.AXIAL, PlaneName.CORONAL),
}


class Layout(StrEnum):
    """How many planes are shown."""

    ONE = "one"
    PLANES = "planes"


class ViewGrid(QWidget):
    """Holds the views; the first one shows the acquired plane."""

    menu_wanted = Signal(object, QPoint)
    layout_changed = Signal()

    def __init__(
        self,
        session: ReadingSession,
        services: Services,
        tools: Mapping[str, Tool],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.source = GreySource()
        self._wish: Layout | None = None
        self._alone: PlaneViewport | None = None
        self.views = tuple(
            PlaneViewport(session, services, name, self.source, tools, self)
            for name in (PlaneName.AXIAL, PlaneName.CORONAL, PlaneName.SAGITTAL)
        )
        self._grid = grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        grid.addWidget(self.views[0], 0, 0, 2, 1)
        grid.addWidget(self.views[1], 0, 1)
        grid.addWidget(self.views[2], 1, 1)
        self._active = self.views[0]
        self._crosshair_wish: bool | None = None
        self._arranged = Layout.ONE
        for view in self.views:
            view.activated.connect(lambda view=view: self.activate(view))
            view.double_clicked.connect(lambda view=view: self._toggle_alone(view))
            view.menu_wanted.connect(lambda where, view=view: self.menu_wanted.emit(view, where))
        self.views[1].brief = self.views[2].brief = True
        self.views[0].set_active(True)
        session.changed.connect(self._on_changes)
        self._arrange()

    @property
    def active(self) -> PlaneViewport:
        """The view that takes keys."""
        return self._active

    def activate(self, view: PlaneViewport) -> None:
        """Give a view the frame."""
        self._active = view
        for other in self.views:
            other.set_active(other is view)

    # -- layout ----------------------------------------------------------------------------------------------------

    @property
    def shown_layout(self) -> Layout:
        """What is shown: the person's wish where the stack can have it, else what suits stack and room."""
        volume, stack = self._session.volume, self._session.stack
        if volume is None or not self._can_have_planes():
            return Layout.ONE
        if stack is not None and stack.derived_from:  # resampled for the sake of other planes
            return Layout.PLANES
        if self._wish is not None:
            return self._wish
        suits = self.width() >= THREE_PLANES_FROM_PX and volume.size_kji[0] >= THREE_PLANES_FROM_SLICES
        return Layout.PLANES if suits else Layout.ONE

    def _can_have_planes(self) -> bool:
        volume, stack = self._session.volume, self._session.stack
        if volume is None or volume.grid is None or volume.size_kji[0] < 2:
            return False
        return stack is None or not is_resampled(stack)

    def why_one(self) -> str | None:
        """Why there are no three planes; None where there can be."""
        volume = self._session.volume
        if volume is None:
            return "Open a study first."
        stack = self._session.stack
        reason = None if stack is None else why_not(stack, Use.PLANES)
        if reason is None and not self._can_have_planes():
            reason = "the pictures share no geometry" if volume.grid is None else "there is one slice only"
        return None if reason is None else f"There are no other planes: {reason}."

    def set_layout(self, layout: Layout | None) -> None:
        """Show one view or three; None leaves it to stack and room."""
        self._wish = layout
        self._alone = None
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The default layout follows the room."""
        if self.shown_layout is not self._arranged:
            self._arrange()

    def _toggle_alone(self, view: PlaneViewport) -> None:
        self._alone = None if self._alone is view else view
        if self._alone is not None and self.shown_layout is Layout.ONE:
            self._alone = None
        self._arrange()
        self.activate(view)

    def _arrange(self) -> None:
        volume = self._session.volume
        self._arranged = self.shown_layout
        first = nearest_plane(None if volume is None else volume.grid)
        names = (first, *_OTHERS.get(first, (PlaneName.CORONAL, PlaneName.SAGITTAL)))
        for view, name in zip(self.views, names, strict=True):
            if view.name is not name:
                view.set_plane(name)
        alone = self._alone if self.shown_layout is Layout.PLANES else self.views[0]
        side = alone is None or alone is not self.views[0]
        self._grid.setColumnStretch(0, 0 if alone is not None and side else 5)
        self._grid.setColumnStretch(1, 3 if side else 0)
        for row, view in enumerate(self.views[1:]):
            self._grid.setRowStretch(row, 0 if alone is not None and side and alone is not view else 1)
        for view in self.views:
            view.setVisible(alone is None or alone is view)
            view.brief = alone is not view and view is not self.views[0]
            view.show_crosshair = self.crosshair_shown
        if not self._active.isVisibleTo(self):
            self.activate(alone or self.views[0])
        self.layout_changed.emit()

    def _on_changes(self, changes: Changes) -> None:
        if changes.volume:
            self._alone = None
            self._arrange()

    # -- crosshair, text -------------------------------------------------------------------------------------------

    @property
    def crosshair_shown(self) -> bool:
        """Shown beside other planes unless a person decided otherwise."""
        return self._crosshair_wish if self._crosshair_wish is not None else self.shown_layout is Layout.PLANES

    def toggle_crosshair(self) -> None:
        """Crosshair on or off in all views."""
        self._crosshair_wish = not self.crosshair_shown
        for view in self.views:
            view.show_crosshair = self._crosshair_wish
            view.update()
        self.layout_changed.emit()

    def toggle_text(self) -> None:
        """Text on or off in all views."""
        shown = not self.views[0].show_text
        for view in self.views:
            view.show_text = shown
            view.update()

    def set_notes(self, notes: tuple[str, ...]) -> None:
        """Words beside series and image number of the large view: which time of a 4-D stack is shown."""
        self.views[0].notes = notes
        self.views[0].update()

    def toggle_smooth(self) -> None:
        """Smooth or plain pixels in all views."""
        smooth = not self.views[0].smooth
        for view in self.views:
            view.smooth = smooth
            view.update()

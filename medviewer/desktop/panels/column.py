"""The right column: four pages of cards under one row of tabs; the first follows the order of work."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from medviewer.desktop.panels.check_first import CheckFirstCard
from medviewer.desktop.panels.finding import FindingCard
from medviewer.desktop.panels.look import card_style
from medviewer.desktop.panels.overlays import OverlaysCard
from medviewer.desktop.panels.queue import QueueCard
from medviewer.desktop.panels.segments import SegmentsCard
from medviewer.desktop.panels.similar import SimilarCard
from medviewer.desktop.panels.training import TrainingCard, TrainingState, TrainingView

#: Room around the cards and between them.
MARGIN = 9


class Page(QScrollArea):
    """Cards below one another; a page higher than the window scrolls."""

    def __init__(self, *cards: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        inside.setObjectName("page")
        column = QVBoxLayout(inside)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(MARGIN)
        for card in cards:
            column.addWidget(card)
        column.addStretch(1)
        self.setWidget(inside)


class RightColumn(QWidget):
    """All cards. It shows what it is told and passes on what its cards are asked; it knows no study and no model."""

    page_changed = Signal(str)

    #: Names of the pages, as the tabs write them.
    PAGES = ("Finding", "Segments", "Queue", "Training")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cards")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.finding = FindingCard()
        self.similar = SimilarCard()
        self.check_first = CheckFirstCard()
        self.overlays = OverlaysCard()
        self.segments = SegmentsCard()
        self.queue = QueueCard()
        self.training = TrainingCard()
        #: What stands behind the cards (`medviewer.desktop.circle`); kept alive and ended with the column.
        self.circle: QObject | None = None
        #: The same training at a glance below the finding, while there is something to see.
        self.training_glance = TrainingCard()
        self.tabs = QTabBar()
        self.tabs.setObjectName("pages")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._pages = QStackedWidget()
        for name, cards in zip(
            self.PAGES,
            (
                (self.finding, self.similar, self.check_first, self.training_glance),
                (self.overlays, self.segments),
                (self.queue,),
                (self.training,),
            ),
            strict=True,
        ):
            self.tabs.addTab(name)
            self._pages.addWidget(Page(*cards))
        self.tabs.currentChanged.connect(self._turn)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tabs)
        column.addWidget(self._pages, 1)
        self.setStyleSheet(card_style())
        self.show_training(TrainingView())

    @property
    def page(self) -> str:
        """Name of the page that is open."""
        return self.PAGES[self.tabs.currentIndex()]

    def open_page(self, name: str) -> None:
        """Turn to a page."""
        self.tabs.setCurrentIndex(self.PAGES.index(name))

    def show_training(self, view: TrainingView) -> None:
        """Show the training on its page, and at a glance below the finding once there is something to see."""
        self.training.show_training(view)
        at_glance = view.state is not TrainingState.IDLE
        self.training_glance.setVisible(at_glance)
        if at_glance:
            self.training_glance.show_training(view)

    def count_pending(self, number: int) -> None:
        """Write how many cases wait on the queue's tab."""
        self.tabs.setTabText(self.PAGES.index("Queue"), f"Queue {number}" if number else "Queue")

    def _turn(self, index: int) -> None:
        self._pages.setCurrentIndex(index)
        self.page_changed.emit(self.PAGES[index])

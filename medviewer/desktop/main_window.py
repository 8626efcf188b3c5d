"""The main window: series on the left, pictures in the middle, cards on the right, tools above, state below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from medviewer.desktop import theme
from medviewer.desktop.banner import Banner
from medviewer.desktop.jobs import Job, Jobs, sentence_of
from medviewer.desktop.keys import Keymap
from medviewer.desktop.opening.empty_state import EmptyState
from medviewer.desktop.opening.opener import Opener
from medviewer.desktop.opening.quality_card import show_sheet
from medviewer.desktop.opening.series_panel import SeriesCard, SeriesPanel
from medviewer.desktop.opening.showing import Showing
from medviewer.desktop.opening.thumbnails import Thumbnails
from medviewer.desktop.overlays.shown import ObjectOverlays
from medviewer.desktop.playing.film import Film
from medviewer.desktop.playing.moments import Moments
from medviewer.desktop.playing.time_bar import TimeBar
from medviewer.desktop.reading_actions import register_reading_actions
from medviewer.desktop.services import Actions, Services
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.status_line import StatusLine
from medviewer.desktop.tool_protocol import Tool, look_of
from medviewer.desktop.top_bar import TopBar
from medviewer.desktop.viewport.plane_view import PlaneViewport
from medviewer.desktop.viewport.view_grid import Layout, ViewGrid
from medviewer.formats.catalog import ObjectFile, Stack

if TYPE_CHECKING:
    from medviewer.desktop.documents.opened import Documents

RightColumn = Callable[[ReadingSession, Services], QWidget]


class MainWindow(QMainWindow):
    """One reading session with everything around it.

    Args:
        keymap: the keys table.
        tools: annotate and AI tools by name.
        right_column: makes the right column; without it the column stays empty.
    """

    def __init__(
        self,
        keymap: Keymap | None = None,
        tools: Mapping[str, Tool] | None = None,
        right_column: RightColumn | None = None,
    ) -> None:
        super().__init__()
        self.setWindowTitle("medviewer")  # never a patient's name: titles show in task bars and screenshots
        self.setAcceptDrops(True)
        self.keymap = Keymap() if keymap is None else keymap
        self.tools = dict(tools or {})
        self.session = ReadingSession(self)
        self.jobs = Jobs(self)
        self.jobs.on_failure = self._job_failed
        self.actions_table = Actions(self)
        self.status = StatusLine(self.jobs)
        self.banner = Banner()
        self.services = Services(
            jobs=self.jobs,
            actions=self.actions_table,
            say=self.status.say,
            banner=self.banner.show_text,
            active_view=self._active_view,
            set_status=self._set_status,
        )
        self.actions_table.refused.connect(lambda reason: self.status.say(reason, "warn"))
        self.showing = Showing(self.session, self.services, self)
        self.opener = Opener(self.session, self.services, self.showing, self)
        self.grid = ViewGrid(self.session, self.services, self.tools)
        self.grid.source.colour_frame = self.showing.frames.colour_frame
        self.grid.source.graphics_of = self.showing.frames.graphics_of
        self.grid.source.supplement = self.showing.frames.supplement
        self.moments = Moments(self.session, self.showing, self.services)
        self.film = Film(self.session, self.showing, self.moments)
        self.moments.changed.connect(lambda: self.grid.set_notes(self.showing.time_note()))
        self.thumbnails = Thumbnails(self)
        self._last_tool = self.session.tool
        register_reading_actions(self)
        self.top = TopBar(self.session, self.actions_table, self.keymap, self.tools)
        self.series = SeriesPanel(self.session, self.thumbnails, self.services.object_openers)
        self._documents: Documents | None = None
        self.overlays = ObjectOverlays(
            self.session,
            self.services,
            self._choose_stack,
            lambda shown: self.series.mark_objects(shown, "overlays"),
            self,
        )
        for name in ("next-key-image", "previous-key-image"):
            self.actions_table.register(name, lambda: None, lambda: "No key images are shown; open a KO in the list.")
        self.right = self._make_right()
        self.column: QWidget | None = None
        self._build()
        if right_column is not None:
            self.fill_right_column(right_column)
        self.series.stack_chosen.connect(self._choose_stack)
        self.series.quality_wanted.connect(self._show_quality)
        self.series.object_chosen.connect(self._open_object)
        self.grid.menu_wanted.connect(self._show_menu)
        self.grid.layout_changed.connect(self._show_layout_state)
        self.opener.recent_changed.connect(self._fill_open_menu)
        self.session.changed.connect(self._on_changes)
        self.opener.busy_changed.connect(self._busy)
        self.opener.scan_progress.connect(self._empty.set_progress)
        self.series.report_wanted.connect(self.show_import_report)
        self.opener.report_wanted.connect(self.show_import_report)
        self._fill_open_menu()
        self._show_layout_state()

    def _make_right(self) -> QWidget:
        holder = QWidget()
        holder.setObjectName("rightColumn")
        holder.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        holder.setFixedWidth(theme.RIGHT_WIDTH)
        column = QVBoxLayout(holder)
        column.setContentsMargins(1, 0, 0, 0)
        return holder

    def fill_right_column(self, make: RightColumn) -> None:
        """Put the cards in; the window may be seen before, with a quiet column of the same size."""
        layout = self.right.layout()
        if layout is None or layout.count():
            return
        self.column = make(self.session, self.services)
        layout.addWidget(self.column)
        self.top.refresh()
        self.series.refresh_objects()

    def _build(self) -> None:
        pictures = QWidget()
        stacked = QStackedLayout(pictures)
        self._empty = EmptyState(lambda: self.actions_table.do("open-folder"), self.opener.cancel_scan)
        stacked.addWidget(self._empty)
        stacked.addWidget(self.grid)
        self._stacked = stacked
        middle = QVBoxLayout()
        middle.setContentsMargins(0, 0, 0, 0)
        middle.setSpacing(0)
        middle.addWidget(self.banner)
        middle.addWidget(pictures, 1)
        middle.addWidget(TimeBar(self.film, self.actions_table, self.keymap))
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.series)
        self._row = row
        row.addLayout(middle, 1)
        row.addWidget(self.right)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.top)
        column.addLayout(row, 1)
        column.addWidget(self.status)
        self.setCentralWidget(body)
        self.setMinimumSize(900, 560)

    # -- state -----------------------------------------------------------------------------------------------------

    def _active_view(self) -> PlaneViewport | None:
        return None if self.session.volume is None else self.grid.active

    def _set_status(self, name: str, text: str, tone: str = "plain") -> None:
        self.status.set_field(name, text, tone)
        self.top.set_field(name, text)

    def _on_changes(self, changes: Changes) -> None:
        catalog = self.session.catalog
        if changes.catalog and self._documents is None and catalog is not None and catalog.objects:
            self.documents.open_if_alone()
        if changes.volume:
            self.grid.set_notes(self.showing.time_note())
            self._stacked.setCurrentWidget(self._empty if self.session.volume is None else self.grid)
            self._show_layout_state()
            view = self._active_view()
            if view is not None and not isinstance(QApplication.focusWidget(), QWidget):
                view.setFocus()
        if changes.tool:
            hint = self.top.tool_hint(self.session.tool)
            if hint:
                self.status.say(hint)

    def _busy(self, what: str) -> None:
        self._empty.set_busy(what)
        if what:
            self.thumbnails.hold()
        else:
            self.thumbnails.go_on(self.session.stack, self.session.volume)

    def _show_layout_state(self) -> None:
        self.top.set_checked("layout", self.grid.shown_layout is Layout.PLANES)
        self.top.set_checked("crosshair", self.grid.crosshair_shown)

    def _job_failed(self, job: Job, error: BaseException) -> None:
        from medviewer.desktop.jobs import log_failure

        log_failure(job, error)
        self.banner.show_text(sentence_of(error), "bad")

    # -- opening ---------------------------------------------------------------------------------------------------

    def open_paths(self, paths: Sequence[Path | str]) -> None:
        """Open files, folders or ZIPs."""
        self.opener.open_paths(paths)

    def ask_for_folder(self) -> None:
        """The system's dialog for a folder."""
        folder = QFileDialog.getExistingDirectory(self, "Open a folder with images")
        if folder:
            self.open_paths([folder])

    def ask_for_files(self) -> None:
        """The system's dialog for files."""
        files, _ = QFileDialog.getOpenFileNames(
            self, "Open images", "", "Images (*.dcm *.ima DICOMDIR *.zip *.nii *.nii.gz *.nrrd *.nhdr);;All files (*)"
        )
        if files:
            self.open_paths(files)

    def _fill_open_menu(self) -> None:
        menu = self.top.open_menu
        menu.clear()
        menu.addAction(f"Files or a ZIP…  {self.keymap.hint('open-files')}", self.ask_for_files)
        menu.addAction(f"Folder…  {self.keymap.hint('open-folder')}", self.ask_for_folder)
        menu.addAction("What was read…", self.show_import_report)
        recent = self.opener.recent()
        if recent:
            menu.addSeparator()
            for path in recent:
                shown = path if len(path) < 60 else "…" + path[-58:]
                menu.addAction(shown.replace("&", "&&"), partial(self.open_paths, [path]))
            menu.addSeparator()
            menu.addAction("Forget these", self.opener.forget_recent)

    def show_import_report(self) -> None:
        """What became of every file that was opened, in a window of its own."""
        from medviewer.desktop.opening.import_report import ImportReportDialog

        catalog = self.session.catalog
        if catalog is None:
            self.status.say("Nothing has been read yet.")
            return
        ImportReportDialog(catalog, self.services, self).show()

    @property
    def documents(self) -> Documents:
        """Reports and other documents; made when the first study that has some is opened."""
        if self._documents is None:
            from medviewer.desktop.documents.opened import Documents
            from medviewer.desktop.panels.document import DocumentPanel

            panel = DocumentPanel()
            self._row.insertWidget(self._row.indexOf(self.series) + 1, panel)
            self._documents = Documents(
                self.session,
                self.services,
                panel,
                self._show_stack_at,
                lambda shown: self.series.mark_objects(shown, "documents"),
                self,
            )
            self.grid.source.graphics_of = self._documents.presenter.graphics_of(self.showing.frames.graphics_of)
            self.series.refresh_objects()
        return self._documents

    def _show_stack_at(self, stack: Stack, time: int) -> None:
        self.showing.show_stack(stack, time)
        self.series.mark_shown()

    def _choose_stack(self, stack: Stack) -> None:
        self.showing.show_stack(stack)
        self.series.mark_shown()

    def show_series(self, by: int) -> None:
        """The series before or after the shown one."""
        stack = self.series.step(by)
        if stack is None:
            self.status.say("There is no further series." if by > 0 else "This is the first series.")
        else:
            self.showing.show_stack(stack)

    def why_no_time(self) -> str | None:
        """Why there is no other time; None for a 4-D series."""
        whole = self.showing.whole
        if self.session.volume is None or whole is None:
            return "Open a study first."
        return None if whole.times > 1 else "This series has one time only."

    def show_time(self, by: int) -> None:
        """Another time of a 4-D series, at the same place and window."""
        whole, time = self.showing.whole, self.showing.time + by
        if whole is not None and 0 <= time < whole.times:
            self.film.go(time)

    def show_quality(self) -> None:
        """The sheet of what is wrong with the shown stack."""
        card = next((card for card in self.series.cards if card.isChecked()), None)
        if card is not None:
            self._show_quality(card)

    def _show_quality(self, card: SeriesCard) -> None:
        """The sheet of a card's stack beside it; of the shown stack it leads to the images."""

        def go(image: int) -> None:
            if self.session.stack is not None and self.session.stack.derived_from:
                return
            index = self.session.crosshair_kji.copy()
            index[0] = image
            self.session.move_crosshair(index)

        where = card.mapToGlobal(QPoint(card.width() + 4, 0))
        show_sheet(card.stack, where, go if card.isChecked() else None, self)

    def _open_object(self, found: ObjectFile) -> None:
        opener = self.services.object_openers.get(found.kind)
        if opener is not None:
            opener(found)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped anywhere in the window."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            QTimer.singleShot(0, lambda: self.open_paths(paths))

    # -- keys ------------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys that no focused widget wanted: text fields keep theirs, so single letters never fire in them."""
        if not self._key(event):
            super().keyPressEvent(event)

    def _key(self, event: QKeyEvent) -> bool:
        text = key_text(event)
        if not text:
            return False
        view = self._active_view()
        if (
            text in ("Return", "Enter", "Backspace")
            and view is not None
            and view.send_key(text.replace("Enter", "Return"))
        ):
            return True
        mode = "annotate" if self.session.annotating else "read"
        action = self.keymap.action(text, mode)
        if action is None:
            return False
        if event.isAutoRepeat() and action in ("peek", "overlay"):
            return True
        self.actions_table.do(action)
        return True

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Peeking ends when the key is let go."""
        if not event.isAutoRepeat() and self.keymap.action(key_text(event), "read") == "peek":
            self.session.set_overlay(visible=True)
        else:
            super().keyReleaseEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """A window that loses the keyboard while a key is held never hears of its release."""
        left = event.type() is QEvent.Type.ActivationChange and not self.isActiveWindow()
        if left and not self.session.overlay_visible:
            self.session.set_overlay(visible=True)
        super().changeEvent(event)

    # -- tools -----------------------------------------------------------------------------------------------------

    def take_tool(self, name: str) -> None:
        """Take a tool; one that paints enters annotate mode, pan, zoom and scroll leave it, window keeps the mode."""
        tool = self.tools.get(name)
        if tool is not None:
            self.session.set_tool(name, annotating=look_of(tool).annotates)
        elif name == "window":
            self.session.set_tool(name)
        else:
            self.session.set_tool(name, annotating=False)

    # -- menu ------------------------------------------------------------------------------------------------------

    def _show_menu(self, view: PlaneViewport, where: QPoint) -> None:
        from medviewer.desktop.presets import file_window_text, presets, why_no_presets

        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        volume = self.session.volume
        stack = self.session.stack
        own = () if stack is None else stack.windows
        has_presets = volume is not None and why_no_presets(volume) is None
        if own or has_presets:
            windows = menu.addMenu("Window")
            for window in own:
                windows.addAction(file_window_text(window), partial(self.session.set_window, window))
            if own and has_presets:
                windows.addSeparator()
        if volume is not None and has_presets:
            for preset in presets(volume.modality):
                label = f"{preset.name}    {preset.window.width:.0f} / {preset.window.level:.0f}"
                windows.addAction(label, partial(self.session.set_window, preset.window))
        for action, text in (
            ("preset-10", "Window of the file, then automatic"),
            ("invert", "Invert"),
            ("fit", "Fit"),
            ("one-to-one", "One to one"),
            ("layout", "One view or three planes"),
            ("crosshair", "Crosshair"),
            ("text", "Text"),
            ("quality", "What is wrong with these images"),
            ("file-overlays", "Overlay planes of the file"),
            ("shutter", "Shutter of the file"),
        ):
            if action in ("file-overlays", "shutter") and self.actions_table.why_not(action) is not None:
                continue
            entry = menu.addAction(f"{text}  {self.keymap.hint(action)}", partial(self.actions_table.do, action))
            entry.setEnabled(self.actions_table.why_not(action) is None)
        menu.addSeparator()
        menu.addAction("Copy picture without patient data", lambda: self.copy_picture(view))
        menu.popup(where)

    def copy_picture(self, view: PlaneViewport) -> None:
        """The view as a picture on the clipboard, without text."""
        shown = view.show_text
        view.show_text = False
        picture = view.grab()
        view.show_text = shown
        QApplication.clipboard().setPixmap(picture)
        stack = self.session.stack
        if stack is not None and "burned-in" in stack.codes:
            self.status.say("The picture is on the clipboard; it may hold text burned into its pixels.", "warn")
        else:
            self.status.say("The picture is on the clipboard, without patient data.", "good")

    # -- window ----------------------------------------------------------------------------------------------------

    def fold_docks(self) -> None:
        """Side columns away, or back: the picture takes what is free."""
        shown = self.series.isVisible() or self.right.isVisible()
        self.series.setVisible(not shown)
        self.right.setVisible(not shown)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask every job to stop and give it a moment."""
        for view in self.grid.views:
            view.close_story()
        self.jobs.cancel_all()
        self.thumbnails.close()
        self.jobs.wait(1500)
        super().closeEvent(event)


def key_text(event: QKeyEvent) -> str:
    """A key with its modifiers as the keys table writes it; "" for a modifier alone."""
    key = event.key()
    if key in (Qt.Key.Key_Shift, Qt.Key.Key_Control, Qt.Key.Key_Alt, Qt.Key.Key_Meta, 0, Qt.Key.Key_unknown):
        return ""
    held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    printable = event.text()
    if held == Qt.KeyboardModifier.ShiftModifier and printable and not printable.isalpha() and printable.isprintable():
        held = Qt.KeyboardModifier.NoModifier  # "+" needs Shift on many keyboards
    return QKeySequence(held.value | int(key)).toString(QKeySequence.SequenceFormat.PortableText)

"""Starting the window: application, theme, log, what happens to errors nobody caught, and the screenshot for checks."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from medviewer import places
from medviewer.desktop.application import application
from medviewer.desktop.documents.private_files import forget_leftovers
from medviewer.desktop.keys import Keymap, load_table
from medviewer.desktop.logs import start_log, traceback_without_text
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.notice import Notice, accept, is_accepted
from medviewer.desktop.viewport.view_grid import Layout
from medviewer.errors import BadInput, MedviewerError
from medviewer.inference.prompt import Prompt
from medviewer.jobs import JobContext

log = logging.getLogger(__name__)

#: Threads that decode hand the interpreter over this often, so that the window's thread waits this long at most.
SWITCH_S = 0.0005

#: The same unexpected error is shown again only after this time (a painter that fails does so at every frame).
REPEAT_S = 5.0


#: The right column is filled this long after the first picture, or at last after so long without one.
COLUMN_AFTER_MS, COLUMN_AT_LAST_MS = 60, 2000


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks of the window.

    Attributes:
        paths: what to open.
        screenshot: where to write a picture of the window; the program ends after it.
        after_seconds: when.
        layout: "one" or "planes"; None leaves it to stack and room.
        task: the task that suggestions use first.
        size: of the window in pixels, None for what the screen has.
        at_lps: a suggestion is asked for at this place (mm, LPS) once the study is there.
    """

    paths: tuple[Path, ...] = ()
    screenshot: Path | None = None
    after_seconds: float = 3.0
    layout: str | None = None
    task: str | None = None
    size: tuple[int, int] | None = None
    at_lps: tuple[float, float, float] | None = None


def make_window() -> MainWindow:
    """The main window with its tools and the person's keys; a wrong keys file is said, and ignored.

    The right column comes later (`fill_right_column`): what it imports would keep the first picture waiting.
    """
    from medviewer.desktop.tools import TOOLS

    try:
        window = MainWindow(Keymap(load_table(places.config_folder() / "keys.toml")), TOOLS)
    except BadInput as error:
        window = MainWindow(Keymap(), TOOLS)
        window.banner.show_text(error.sentence, "warn")
    return window


def fill_right_column(window: MainWindow) -> None:
    """The cards of the right column and all that stands behind them."""
    from medviewer.desktop.circle import build_right_column

    window.fill_right_column(build_right_column)


def fill_right_column_soon(window: MainWindow, filled: Callable[[], None] = lambda: None) -> None:
    """The same, imported on a worker thread first: that takes longer than a window may be deaf."""

    def work(_: JobContext) -> None:
        importlib.import_module("medviewer.desktop.circle")
        forget_leftovers()  # of documents that were handed out by a program that died

    def done(_: object) -> None:
        fill_right_column(window)
        filled()

    window.jobs.start("Preparing the tools", work, on_done=done, quiet=True)


def _ask(window: MainWindow) -> None:
    """The notice over the window, which takes no input until it was accepted; declined, the program ends."""
    notice = Notice(window)
    notice.accepted.connect(accept)
    notice.rejected.connect(window.close)
    notice.open()


class ErrorKeeper:
    """Turns errors nobody caught into a sentence in the window; the window stays, with all unsaved work."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._last: dict[str, float] = {}

    def install(self) -> None:
        """Catch what escapes from slots, events and threads."""
        sys.excepthook = self.caught
        threading.excepthook = lambda args: self._write(args.exc_value) if args.exc_value is not None else None

    def _write(self, error: BaseException) -> None:
        log.error("uncaught %s\n%s", type(error).__name__, traceback_without_text(error))

    def caught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Log it without values, say it once."""
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
            return
        where = traceback_without_text(error)
        now = time.monotonic()
        if now - self._last.get(where, -REPEAT_S) < REPEAT_S:
            return
        self._last[where] = now
        self._write(error)
        if isinstance(error, MedviewerError):
            self._window.banner.show_text(error.sentence, "bad")
            return
        self._window.banner.show_text(
            "Something went wrong inside the program; your work is kept and the window goes on. "
            f"Details lie in {places.log_folder() / 'medviewer.log'}.",
            "bad",
        )
        if os.environ.get("MEDVIEWER_DEBUG"):
            sys.__excepthook__(kind, error, trace)


def run_window(wish: Wish) -> int:
    """Open the window and stay until it is closed (or its screenshot is taken); gives the exit code."""
    start_log()
    app = application(needs_screen=wish.screenshot is None)
    sys.setswitchinterval(SWITCH_S)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    window = make_window()
    keeper = ErrorKeeper(window)
    keeper.install()
    if wish.layout is not None:
        window.grid.set_layout(Layout(wish.layout))
    _place(window, app, wish)
    if wish.paths:
        window.open_paths(wish.paths)
    window.show()
    if not is_accepted():
        _ask(window)

    def filled() -> None:
        if wish.task is not None and window.actions_table.has(f"task:{wish.task}"):
            window.actions_table.do(f"task:{wish.task}")
        if wish.at_lps is not None:
            ask_when_ready(window, wish.at_lps)

    def fill() -> None:
        fill_right_column_soon(window, filled)

    later = QTimer(window)
    later.setSingleShot(True)
    later.timeout.connect(fill)
    later.start(COLUMN_AT_LAST_MS if wish.paths else 0)
    window.opener.shown.connect(lambda: later.start(COLUMN_AFTER_MS) if later.isActive() else None)
    outcome = [0]
    if wish.screenshot is not None:
        target = wish.screenshot

        def shoot() -> None:
            outcome[0] = 0 if window.grab().save(str(target)) else 2
            window.close()
            app.quit()

        QTimer.singleShot(round(wish.after_seconds * 1000), shoot)
    code = app.exec()
    sys.excepthook = sys.__excepthook__
    if outcome[0]:
        raise BadInput("the screenshot could not be written", path=wish.screenshot)
    return code


def ask_when_ready(window: MainWindow, point_lps: tuple[float, float, float]) -> None:
    """Ask for a suggestion as soon as the study is loaded and may be edited; who asks first is not disturbed."""
    session = window.session
    waiting = QTimer(window)

    def look() -> None:
        volume = session.volume
        if volume is None or session.editor is None or not bool(volume.loaded.all()):
            return
        waiting.stop()
        if volume.grid is not None and volume.grid.contains_lps(point_lps) and session.proposal is None:
            session.move_crosshair(volume.grid.lps_to_index(point_lps))
            session.ask(Prompt.of(point_lps=point_lps))
        else:
            window.status.say("The place to ask about lies outside this study.", "warn")

    waiting.timeout.connect(look)
    waiting.start(50)


def _place(window: MainWindow, app: QApplication, wish: Wish) -> None:
    room = app.primaryScreen().availableGeometry()
    width, height = wish.size if wish.size is not None else (min(1680, room.width()), min(1020, room.height()))
    window.resize(width, height)
    if wish.size is None and (room.width() <= 1680 or room.height() <= 1020) and app.platformName() != "offscreen":
        window.showMaximized()

"""Shows one suggestion in the real window: open, point, wait until every model has spoken, take the picture.

The demo and the pictures of the documents use it. It waits for the program as a person would, by looking whether the
work is done, with a limit; it does not know how long anything takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEventLoop, QTimer

from medviewer.desktop.app import ErrorKeeper, fill_right_column, make_window
from medviewer.desktop.application import application
from medviewer.desktop.circle import Circle
from medviewer.desktop.logs import start_log
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.panels.column import RightColumn
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.viewport.view_grid import Layout
from medviewer.errors import SaveFailed

#: How long each thing may take before the picture is taken as it stands, seconds.
LIMIT_S = 90.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What the picture shows.

    Attributes:
        paths: what is opened.
        point_lps: where a suggestion is asked for, mm (LPS); None asks for none.
        picture: where the screenshot goes.
        tab: tab of the right column to show at last, "" for the finding.
        size: of the window in pixels.
        stay: True leaves the window open afterwards.
        accept: True accepts the proposal before the picture is taken.
    """

    paths: tuple[Path, ...]
    point_lps: tuple[float, float, float] | None
    picture: Path
    tab: str = ""
    size: tuple[int, int] = (1680, 1020)
    stay: bool = False
    accept: bool = False


def show_scene(scene: Scene) -> list[str]:
    """Play the scene; gives a sentence for each thing that did not come in time (none if all did).

    Raises:
        SaveFailed: the picture could not be written.
    """
    start_log()
    app = application(needs_screen=scene.stay)
    window = make_window()
    ErrorKeeper(window).install()
    late = play(window, scene)
    if not window.grab().save(str(scene.picture)):
        raise SaveFailed("the screenshot could not be written", path=scene.picture)
    if scene.stay:
        app.exec()
    else:
        window.close()
    return late


def play(window: MainWindow, scene: Scene) -> list[str]:
    """Bring a fresh window to the scene's state."""
    late: list[str] = []
    window.resize(*scene.size)
    window.grid.set_layout(Layout.PLANES)
    window.show()
    fill_right_column(window)
    circle = circle_of(window)
    window.open_paths(scene.paths)
    if not wait_for(lambda: window.session.volume is not None and bool(window.session.volume.loaded.all())):
        late.append("the study did not load in time")
        return late
    volume = window.session.volume
    if scene.point_lps is not None and volume is not None and volume.grid is not None:
        window.session.move_crosshair(volume.grid.lps_to_index(scene.point_lps))
        if not wait_for(lambda: circle.proposals.book is not None and window.session.editor is not None):
            late.append("the models were not found in time")
        circle.proposals.ask_at_crosshair()
        if not wait_for(lambda: _has_answered(circle)):
            late.append("the models did not answer in time")
        if scene.accept:
            circle.proposals.accept()
    if scene.tab:
        column_of(window).open_page(scene.tab)
    wait_for(lambda: False, 1.0)  # thumbnails and the last repaint
    return late


def column_of(window: MainWindow) -> RightColumn:
    """The right column of a window."""
    return next(iter(window.right.findChildren(RightColumn)))


def circle_of(window: MainWindow) -> Circle:
    """What stands behind the right column."""
    circle = column_of(window).circle
    assert isinstance(circle, Circle)
    return circle


def _has_answered(circle: Circle) -> bool:
    finding = circle.proposals.finding
    if finding is None or finding.state is FindingState.RUNNING:
        return False
    return finding.state is not FindingState.PROPOSED or not any(part.waiting for part in finding.others.values())


def wait_for(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
    """Let the window live until the condition holds or the time is over; True if it holds."""
    end = time.monotonic() + limit_s
    loop = QEventLoop()
    while not condition():
        if time.monotonic() >= end:
            return False
        QTimer.singleShot(20, loop.quit)
        loop.exec()
    return True


def has_real_display() -> bool:
    """True where a person could see a window."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and (
        os.environ.get("QT_QPA_PLATFORM", "") not in ("offscreen", "minimal")
    )


def scene_of_words(words: Sequence[str]) -> Scene:
    """A scene from plain words, as another process hands them over: picture, x, y, z (or "-"), paths."""
    picture, x, y, z, *paths = words
    point = None if x == "-" else (float(x), float(y), float(z))
    return Scene(tuple(Path(p) for p in paths), point, Path(picture))

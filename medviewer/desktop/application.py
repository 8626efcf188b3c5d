"""The one QApplication of the process, with the theme."""

from __future__ import annotations

import os
import sys

from PySide6.QtWidgets import QApplication

from medviewer import __version__
from medviewer.desktop.theme import use_theme
from medviewer.errors import MissingHere

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def has_display() -> bool:
    """True where Qt can open a window, or was told how to do without."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _DISPLAYS)


def application(*, needs_screen: bool = False) -> QApplication:
    """The application, made at the first call; without a display it paints offscreen.

    Args:
        needs_screen: a person is to see the window.

    Raises:
        MissingHere: a screen is needed and there is none.
    """
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    if not has_display():
        if needs_screen:
            raise MissingHere(
                "there is no display", remedy="log in to a desktop, or set QT_QPA_PLATFORM=offscreen to do without"
            )
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    app = QApplication(sys.argv[:1])
    app.setApplicationName("medviewer")
    app.setApplicationVersion(__version__)
    use_theme(app)
    return app

"""The one QApplication of the process, with the theme."""

from __future__ import annotations

import os
import sys

from PySide6.QtWidgets import QApplication

from medviewer import __version__
from medviewer.desktop.theme import use_theme
from medviewer.errors import MissingHere


def has_display() -> bool:
    """True where Qt can open a window, or was told how to do without."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    if os.environ.get("WAYLAND_DISPLAY"):
        return True
    return bool(os.environ.get("DISPLAY")) and _x_server_answers()


def _x_server_answers() -> bool:
    """Whether the X server of DISPLAY lets us in: Qt ends the whole process where it does not."""
    import ctypes
    import ctypes.util

    name = ctypes.util.find_library("xcb")
    if name is None:
        return True  # Qt itself will say what is missing
    xcb = ctypes.CDLL(name)
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    answers = int(xcb.xcb_connection_has_error(connection)) == 0
    xcb.xcb_disconnect(connection)
    return answers


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

"""Can Qt paint here? Used by `medviewer self-test`."""

from __future__ import annotations

from PySide6 import __version__ as qt_version
from PySide6.QtGui import QOffscreenSurface, QOpenGLContext
from PySide6.QtWidgets import QApplication, QLabel

from medviewer.desktop.application import application


def paint_a_window() -> str:
    """Paint a widget with text and look whether pixels came out.

    Raises:
        RuntimeError: Qt painted nothing.
    """
    app = application()
    label = QLabel("medviewer 0123")
    label.setStyleSheet("background: black; color: white; font-size: 20px")
    label.resize(200, 40)
    label.show()
    app.processEvents()
    image = label.grab().toImage()
    label.close()
    bright = sum(image.pixelColor(x, y).lightness() > 128 for x in range(image.width()) for y in range(image.height()))
    if bright < 50:
        raise RuntimeError("Qt painted no text: are there fonts on this machine?")
    return f"Qt {qt_version} on {QApplication.platformName()} paints"


def opengl_version() -> str:
    """The OpenGL version, which medviewer can do without.

    Raises:
        RuntimeError: there is none.
    """
    application()
    context = QOpenGLContext()
    surface = QOffscreenSurface()
    surface.create()
    if not context.create() or not context.makeCurrent(surface):
        raise RuntimeError("not available here; not needed, pictures are painted by the processor")
    form = context.format()
    context.doneCurrent()
    return f"OpenGL {form.majorVersion()}.{form.minorVersion()}"

"""Icons: glyphs of Material Design Icons 6 from the font that QtAwesome ships, drawn in token colours.

The font is read directly. Importing QtAwesome itself imports QtPy, which makes PySide build the signatures of its
functions: half a second in the window's thread, for a dozen icons.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPainter, QPixmap

#: Pictures are made in these sizes, so that dense screens get sharp ones.
_SIZES = (18, 27, 36)


def _fonts_folder() -> Path | None:
    found = importlib.util.find_spec("qtawesome")  # finds it without running it
    places = [] if found is None or found.submodule_search_locations is None else found.submodule_search_locations
    frozen = getattr(sys, "_MEIPASS", None)
    folders = [Path(place) / "fonts" for place in places]
    if frozen is not None:
        folders.append(Path(frozen) / "qtawesome" / "fonts")
    return next((folder for folder in folders if folder.is_dir()), None)


@cache
def _glyphs() -> tuple[str, dict[str, str]]:
    """Family of the icon font and the code point of each name; ("", {}) where the font is missing."""
    folder = _fonts_folder()
    font = next(iter(sorted(folder.glob("materialdesignicons6*.ttf"))), None) if folder is not None else None
    names = next(iter(sorted(folder.glob("materialdesignicons6*charmap*.json"))), None) if folder is not None else None
    if font is None or names is None:
        return "", {}
    families = QFontDatabase.applicationFontFamilies(QFontDatabase.addApplicationFont(str(font)))
    return (families[0] if families else ""), json.loads(names.read_text(encoding="utf-8"))


def has_icons() -> bool:
    """True where the icon font is there; without it buttons show their text."""
    return bool(_glyphs()[0])


def _drawn(name: str, ink: QColor, size: int) -> QPixmap:
    family, codes = _glyphs()
    picture = QPixmap(size, size)
    picture.fill(Qt.GlobalColor.transparent)
    code = codes.get(name)
    if not family or code is None:
        return picture
    font = QFont(family)
    font.setPixelSize(size)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(font)
    painter.setPen(ink)
    painter.drawText(QRectF(0, 0, size, size), Qt.AlignmentFlag.AlignCenter, chr(int(code, 16)))
    painter.end()
    return picture


def drawn_icon(name: str, normal: QColor, hovered: QColor, checked: QColor, disabled: QColor) -> QIcon:
    """An icon by its name in Material Design Icons 6, with a colour for each state."""
    made = QIcon()
    mode, state = QIcon.Mode, QIcon.State
    for size in _SIZES:
        for ink, which, on in (
            (normal, mode.Normal, state.Off),
            (hovered, mode.Active, state.Off),
            (checked, mode.Normal, state.On),
            (checked, mode.Active, state.On),
            (disabled, mode.Disabled, state.Off),
            (disabled, mode.Disabled, state.On),
        ):
            made.addPixmap(_drawn(name, ink, size), which, on)
    return made

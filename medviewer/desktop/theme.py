"""How the window looks: colour tokens, the style sheet, icons. The canvas stays black."""

from __future__ import annotations

from dataclasses import dataclass, fields

from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QFont, QIcon, QPalette
from PySide6.QtWidgets import QApplication

from medviewer.desktop.icons import drawn_icon

#: Layout in pixels at 100 %.
LEFT_WIDTH = 226
RIGHT_WIDTH = 372
TOP_HEIGHT = 44
STATUS_HEIGHT = 28
ICON_SIZE = 18


@dataclass(frozen=True, slots=True)
class Tokens:
    """The colours by what they are for. Violet is what a model says, blue what the hand does; they never mix."""

    canvas: str = "#000000"
    base: str = "#15181c"
    panel: str = "#1b1f24"
    raised: str = "#232830"
    line: str = "#2c323b"
    text: str = "#e6e9ee"
    dim: str = "#98a2b0"
    faint: str = "#6b7583"
    accent: str = "#4aa3ff"
    ai: str = "#b48cff"
    good: str = "#3ecf8e"
    warn: str = "#ffb020"
    bad: str = "#ff6b6b"
    axial: str = "#F34A33"
    sagittal: str = "#EDD54C"
    coronal: str = "#6EB04B"


DARK = Tokens()

_current: list[Tokens] = [DARK]


def tokens() -> Tokens:
    """The tokens of the theme in use: dark, the only one so far."""
    return DARK


def colour(name: str, alpha: float = 1.0) -> QColor:
    """A token as a colour; `alpha` between 0 and 1."""
    made = QColor(getattr(tokens(), name))
    made.setAlphaF(alpha)
    return made


def icon(name: str, colour_name: str = "dim", active_name: str = "text", on_name: str = "accent") -> QIcon:
    """An icon of Material Design Icons 6 in token colours; hovered it takes `active_name`, checked `on_name`."""
    return drawn_icon(name, colour(colour_name), colour(active_name), colour(on_name), colour("faint", 0.7))


def icon_size() -> QSize:
    """Icons of the bars."""
    return QSize(ICON_SIZE, ICON_SIZE)


def ui_font(points: int = 10, bold: bool = False) -> QFont:
    """The one sans of the window with tabular figures, 9, 10 or 12 points."""
    font = QFont(QApplication.font())
    font.setPointSize(points)
    font.setBold(bold)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def use_theme(app: QApplication, theme: Tokens = DARK) -> None:
    """Palette, font and style sheet for the whole program."""
    app.setStyle("Fusion")
    families = QFont()
    families.setFamilies(
        ["Noto Sans", "DejaVu Sans", "Segoe UI", "Noto Sans CJK SC", "WenQuanYi Micro Hei", "Microsoft YaHei"]
    )
    families.setPointSize(9)
    app.setFont(families)
    palette = QPalette()
    role = QPalette.ColorRole
    for target, name in (
        (role.Window, "base"),
        (role.WindowText, "text"),
        (role.Base, "base"),
        (role.AlternateBase, "panel"),
        (role.Text, "text"),
        (role.Button, "raised"),
        (role.ButtonText, "text"),
        (role.ToolTipBase, "raised"),
        (role.ToolTipText, "text"),
        (role.Highlight, "accent"),
        (role.PlaceholderText, "faint"),
        (role.Link, "accent"),
    ):
        palette.setColor(target, QColor(getattr(theme, name)))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Text, QColor(theme.faint))
    palette.setColor(QPalette.ColorGroup.Disabled, role.ButtonText, QColor(theme.faint))
    palette.setColor(QPalette.ColorGroup.Disabled, role.WindowText, QColor(theme.faint))
    app.setPalette(palette)
    app.setStyleSheet(style_sheet(theme))


def style_sheet(theme: Tokens) -> str:
    """The style sheet with the tokens filled in."""
    text = _STYLE
    for field in fields(theme):
        text = text.replace(f"@{field.name}@", getattr(theme, field.name))
    return text


_STYLE = """
QMainWindow, QDialog { background: @base@; }
QToolTip { background: @raised@; color: @text@; border: 1px solid @line@; padding: 4px 6px; }
QWidget#topBar, QWidget#statusLine, QWidget#seriesPanel, QWidget#rightColumn { background: @panel@; }
QWidget#topBar { border-bottom: 1px solid @line@; }
QWidget#statusLine { border-top: 1px solid @line@; }
QWidget#seriesPanel { border-right: 1px solid @line@; }
QWidget#rightColumn { border-left: 1px solid @line@; }
QWidget#topBar QToolButton {
  border: 1px solid transparent; border-radius: 6px; padding: 0; color: @dim@;
  min-width: 32px; max-width: 32px; min-height: 32px; max-height: 32px;
}
QWidget#topBar QToolButton[wide="true"] { max-width: 400px; padding: 0 8px; color: @text@; }
QWidget#topBar QToolButton:hover { background: @raised@; }
QWidget#topBar QToolButton:pressed { background: @line@; }
QWidget#topBar QToolButton:checked { background: rgba(74,163,255,40); border-color: @accent@; }
QWidget#topBar QToolButton[tone="ai"]:checked { background: rgba(180,140,255,45); border-color: @ai@; }
QWidget#topBar QToolButton:focus { border-color: @accent@; }
QWidget#topBar QToolButton::menu-indicator { image: none; }
QWidget#topBar QFrame#divider, QWidget#statusLine QFrame#divider {
  background: @line@; max-width: 1px; min-width: 1px; border: none;
}
QLabel#modelPill {
  background: rgba(180,140,255,36); border: 1px solid rgba(180,140,255,120); border-radius: 6px;
  color: @ai@; padding: 0 12px;
}
QWidget#statusLine QLabel { color: @dim@; }
QWidget#statusLine QLabel[tone="good"] { color: @good@; }
QWidget#statusLine QLabel[tone="warn"] { color: @warn@; }
QWidget#statusLine QLabel[tone="bad"] { color: @bad@; }
QWidget#statusLine QLabel[tone="ai"] { color: @ai@; }
QWidget#statusLine QLabel#notice { color: @faint@; }
QWidget#statusLine QToolButton { border: none; color: @accent@; padding: 0 4px; }
QWidget#statusLine QToolButton:hover { color: @text@; }
QProgressBar { background: @line@; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; }
QProgressBar::chunk { background: @accent@; border-radius: 2px; }
QFrame#banner { background: @raised@; border: none; border-bottom: 1px solid @line@; border-left: 3px solid @accent@; }
QFrame#banner[tone="warn"] { border-left-color: @warn@; }
QFrame#banner[tone="bad"] { border-left-color: @bad@; }
QFrame#banner[tone="good"] { border-left-color: @good@; }
QFrame#banner[tone="ai"] { border-left-color: @ai@; }
QFrame#banner QLabel { color: @text@; }
QPushButton { background: @raised@; color: @text@; border: 1px solid @line@; border-radius: 6px; padding: 6px 14px; }
QPushButton:hover { border-color: @dim@; }
QPushButton:pressed { background: @line@; }
QPushButton:focus { border-color: @accent@; }
QPushButton:disabled { color: @faint@; }
QPushButton[tone="accent"] { border-color: @accent@; }
QScrollArea { border: none; background: transparent; }
QScrollBar:vertical { background: transparent; width: 8px; margin: 0; }
QScrollBar::handle:vertical { background: @line@; border-radius: 4px; min-height: 32px; }
QScrollBar::handle:vertical:hover { background: @faint@; }
QScrollBar::add-line, QScrollBar::sub-line { height: 0; width: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QScrollBar:horizontal { background: transparent; height: 8px; margin: 0; }
QScrollBar::handle:horizontal { background: @line@; border-radius: 4px; min-width: 32px; }
QMenu { background: @raised@; color: @text@; border: 1px solid @line@; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: @line@; }
QMenu::item:disabled { color: @faint@; }
QMenu::separator { height: 1px; background: @line@; margin: 4px 8px; }
"""

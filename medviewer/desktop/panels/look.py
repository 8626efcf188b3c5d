"""The style sheet of the cards, from the tokens of the theme. Violet is what a model says, blue what the hand does."""

from __future__ import annotations

from dataclasses import asdict

from medviewer.desktop.theme import tokens


def card_style() -> str:
    """The style sheet of the right column under the current theme."""
    c = asdict(tokens())
    return f"""
    QFrame#card {{ background: {c["raised"]}; border: 1px solid {c["line"]}; border-radius: 6px; }}
    QFrame#card[tone="ai"] {{ border-left: 3px solid {c["ai"]}; }}
    QFrame#card[tone="good"] {{ border-left: 3px solid {c["good"]}; }}
    QFrame#card[tone="warn"] {{ border-left: 3px solid {c["warn"]}; }}
    QFrame#card[tone="bad"] {{ border-left: 3px solid {c["bad"]}; }}
    QFrame#card QLabel {{ background: transparent; color: {c["text"]}; font-size: 10pt; }}
    QFrame#card QLabel[role="title"] {{ font-weight: bold; }}
    QFrame#card QLabel[role="headline"] {{ font-weight: bold; font-size: 12pt; }}
    QFrame#card QLabel[role="verdict-good"] {{ font-weight: bold; font-size: 12pt; color: {c["good"]}; }}
    QFrame#card QLabel[role="verdict-warn"] {{ font-weight: bold; font-size: 12pt; color: {c["warn"]}; }}
    QFrame#card QLabel[role="verdict-bad"] {{ font-weight: bold; font-size: 12pt; color: {c["bad"]}; }}
    QFrame#card QLabel[role="strong"] {{ font-weight: bold; }}
    QFrame#card QLabel[role="strong-text"], QFrame#card QLabel[role="strong-dim"] {{ font-weight: bold; }}
    QFrame#card QLabel[role="strong-warn"] {{ font-weight: bold; color: {c["warn"]}; }}
    QFrame#card QLabel[role="strong-good"] {{ font-weight: bold; color: {c["good"]}; }}
    QFrame#card QLabel[role="dim"] {{ color: {c["dim"]}; font-size: 9pt; }}
    QFrame#card QLabel[role="faint"] {{ color: {c["faint"]}; font-size: 9pt; }}
    QFrame#card QLabel[role="ai"] {{ color: {c["ai"]}; font-weight: bold; }}
    QFrame#card QLabel[role="good"] {{ color: {c["good"]}; font-size: 9pt; }}
    QFrame#card QLabel[role="warn"] {{ color: {c["warn"]}; font-size: 9pt; }}
    QFrame#card QLabel[role="bad"] {{ color: {c["bad"]}; font-size: 9pt; }}
    QFrame#card QPushButton {{
        background: transparent; color: {c["text"]}; border: 1px solid {c["line"]}; border-radius: 4px;
        padding: 0 12px; min-height: 26px; max-height: 26px; font-size: 9pt;
    }}
    QFrame#card QPushButton:hover {{ background: {c["line"]}; }}
    QFrame#card QPushButton:pressed {{ background: {c["panel"]}; }}
    QFrame#card QPushButton:focus {{ border-color: {c["accent"]}; }}
    QFrame#card QPushButton:disabled {{ color: {c["faint"]}; }}
    QFrame#card QPushButton[kind="good"] {{ border-color: {c["good"]}; font-weight: bold; }}
    QFrame#card QPushButton[kind="primary"] {{ border-color: {c["accent"]}; font-weight: bold; }}
    QFrame#card QPushButton[kind="primary"]:disabled, QFrame#card QPushButton[kind="good"]:disabled {{
        border-color: {c["line"]}; font-weight: normal;
    }}
    QFrame#card QPushButton[kind="link"] {{ border: none; padding: 0 4px; color: {c["accent"]}; }}
    QFrame#card QPushButton[kind="link"]:disabled {{ color: {c["faint"]}; }}
    QFrame#card QPushButton[kind="chip"] {{
        background: {c["base"]}; border-radius: 13px; padding: 0 10px; border-color: {c["base"]};
    }}
    QFrame#card QPushButton[kind="chip"]:hover {{ border-color: {c["ai"]}; }}
    QFrame#card QPushButton[kind="chip"]:focus {{ border-color: {c["accent"]}; }}
    QFrame#segmentLine {{ background: transparent; border: 1px solid transparent; border-radius: 4px; }}
    QFrame#segmentLine:hover {{ background: {c["line"]}; }}
    QFrame#segmentLine[active="yes"] {{ background: {c["base"]}; border-color: {c["accent"]}; }}
    QFrame#card QScrollArea, QFrame#card QScrollArea > QWidget > QWidget {{ background: transparent; }}
    QFrame#card QLineEdit {{
        background: {c["base"]}; color: {c["text"]}; border: 1px solid {c["accent"]}; border-radius: 3px;
        padding: 0 4px;
    }}
    QTabBar#pages {{ background: transparent; }}
    QTabBar#pages::tab {{
        background: transparent; color: {c["dim"]}; font-size: 10pt; border: none; border-bottom: 2px solid transparent;
        padding: 12px 2px 6px 2px; margin-left: 9px; margin-right: 9px;
    }}
    QTabBar#pages::tab:hover {{ color: {c["text"]}; }}
    QTabBar#pages::tab:selected {{ color: {c["text"]}; border-bottom-color: {c["accent"]}; }}
    QTabBar#pages::tab:focus {{ color: {c["accent"]}; }}
    QWidget#page {{ background: transparent; }}
    """

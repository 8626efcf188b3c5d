"""Text from files is text: what Qt would take for HTML is shown as it is written."""

from __future__ import annotations

import html

from PySide6.QtGui import Qt


def tip(text: str) -> str:
    """A tooltip that reads as `text`, whatever it is; Qt has no plain tooltips, so markup in it is escaped."""
    if not Qt.mightBeRichText(text):
        return text
    return f"<qt>{html.escape(text).replace(chr(10), '<br>')}</qt>"

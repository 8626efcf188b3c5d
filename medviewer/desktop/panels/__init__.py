"""The right column: one card a subject, in the order of work. Cards show data; they decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medviewer.desktop.panels.column import RightColumn
    from medviewer.desktop.services import Services
    from medviewer.desktop.session import ReadingSession


def build_right_column(session: ReadingSession, services: Services) -> RightColumn:
    """The right column with all that stands behind it (`medviewer.desktop.circle`)."""
    from medviewer.desktop.circle import build_right_column as build

    return build(session, services)

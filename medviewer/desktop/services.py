"""What the window offers to its panels and tools: jobs, a sentence in the status line, actions with keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from medviewer.desktop.jobs import Jobs

if TYPE_CHECKING:
    from medviewer.desktop.tool_protocol import PlaneView
    from medviewer.formats.catalog import ObjectFile


@dataclass(frozen=True, slots=True)
class Action:
    """Something a person can do, by key or button.

    Attributes:
        name: its name in the keys table, "accept-proposal".
        run: do it.
        why_not: None while it can be done, else the reason in words (shown in tooltip and status line).
    """

    name: str
    run: Callable[[], None]
    why_not: Callable[[], str | None] = field(default=lambda: None)


class Actions(QObject):
    """All actions by name. The keys table names them; panels and tools register them; buttons call them."""

    refused = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._actions: dict[str, Action] = {}

    def register(self, name: str, run: Callable[[], None], why_not: Callable[[], str | None] | None = None) -> None:
        """Offer an action under a name of the keys table; a later registration replaces an earlier one."""
        self._actions[name] = Action(name, run) if why_not is None else Action(name, run, why_not)

    def why_not(self, name: str) -> str | None:
        """Why an action cannot be done now; None if it can."""
        action = self._actions.get(name)
        return "This is not available in this window." if action is None else action.why_not()

    def has(self, name: str) -> bool:
        """True where somebody offers this action."""
        return name in self._actions

    def can(self, name: str) -> bool:
        """True where somebody offers the action and it can be done now."""
        return self.has(name) and self.why_not(name) is None

    def do(self, name: str) -> bool:
        """Do it, or say in the status line why not. True if it was done."""
        reason = self.why_not(name)
        if reason is not None:
            self.refused.emit(reason)
            return False
        self._actions[name].run()
        return True


@dataclass(slots=True)
class Services:
    """Handed to `build_right_column(session, services)` and to every tool through its view.

    Attributes:
        jobs: background work.
        actions: what keys and buttons do; panels register theirs here.
        say: a sentence in the status line for some seconds: `say(text)` or `say(text, "warn")`; tones are
            "plain", "good", "warn", "bad", "ai".
        banner: a sentence above the pictures that stays until closed, with an optional button:
            `banner(text, tone, button, on_click)`; text "" takes it away.
        active_view: the view that has the frame, or None.
        set_status: the permanent fields of the status line: `set_status("saved", text, tone)`; fields are
            "saved", "undo", "model", "queue".
        object_openers: what a click on a DICOM object in the series list does, by kind: whoever can show
            reports puts its function at "SR"; it gets the catalog's ObjectFile.
    """

    jobs: Jobs
    actions: Actions
    say: Callable[..., None]
    banner: Callable[..., None]
    active_view: Callable[[], PlaneView | None]
    set_status: Callable[..., None]
    object_openers: dict[str, Callable[[ObjectFile], None]] = field(default_factory=dict)

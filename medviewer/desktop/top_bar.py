"""The bar at the top: open, layout and tools, edits, suggest; on the right the model in use and the queue."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QSizePolicy, QToolButton, QWidget

from medviewer.desktop.icons import has_icons
from medviewer.desktop.keys import Keymap
from medviewer.desktop.services import Actions
from medviewer.desktop.session import Changes, ReadingSession
from medviewer.desktop.status_line import divider
from medviewer.desktop.theme import TOP_HEIGHT, icon, icon_size
from medviewer.desktop.tool_protocol import Tool, look_of

#: (action, icon, what it is) in groups from left to right.
_GROUPS: tuple[tuple[tuple[str, str, str], ...], ...] = (
    (
        ("layout", "view-quilt-outline", "One view or three planes"),
        ("crosshair", "axis-arrow", "Crosshair"),
    ),
    (
        ("tool-window", "contrast-circle", "Window and level by dragging"),
        ("tool-pan", "hand-back-right-outline", "Pan"),
        ("tool-zoom", "magnify", "Zoom"),
        ("tool-scroll", "swap-vertical", "Scroll through the slices by dragging"),
        ("invert", "invert-colors", "Invert the grey scale"),
        ("file-overlays", "layers-outline", "Overlay planes of the file"),
        ("shutter", "camera-iris", "Shutter of the file"),
    ),
    (
        ("tool-brush", "brush", "Brush"),
        ("tool-eraser", "eraser", "Eraser"),
        ("tool-polygon", "vector-polygon", "Polygon"),
        ("tool-fill", "format-color-fill", "Fill"),
    ),
    (
        ("undo", "undo", "Undo"),
        ("redo", "redo", "Redo"),
    ),
)


#: Shown only where the file has such a thing.
_OF_FILE = ("file-overlays", "shutter")


class TopBar(QWidget):
    """44 px of tools; every button does an action of the keys table and says its key."""

    recent_chosen = Signal(str)

    def __init__(
        self,
        session: ReadingSession,
        actions: Actions,
        keymap: Keymap,
        tools: Mapping[str, Tool],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("topBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(TOP_HEIGHT)
        self._session, self._actions, self._keymap, self._tools = session, actions, keymap, tools
        self.buttons: dict[str, QToolButton] = {}
        self._icons: dict[str, tuple[str, str]] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 12, 0)
        row.setSpacing(4)
        opener = self._button("open-files", "folder-open-outline", "Open files, a ZIP or a folder", "Open")
        self.open_menu = QMenu(opener)
        opener.setMenu(self.open_menu)
        opener.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row.addWidget(opener)
        for group in _GROUPS:
            row.addWidget(divider())
            for action, icon_name, text in group:
                row.addWidget(self._button(action, icon_name, text))
        row.addWidget(divider())
        row.addWidget(self._button("tool-suggest", "creation-outline", "Suggest: click a lesion", "Suggest", "ai"))
        row.addStretch(1)
        self.model_pill = QLabel()
        self.model_pill.setObjectName("modelPill")
        self.model_pill.setTextFormat(Qt.TextFormat.PlainText)
        self.model_pill.setToolTip("The model that makes suggestions, and what it runs on")
        self.model_pill.setFixedHeight(28)
        self.model_pill.hide()
        row.addWidget(self.model_pill)
        self._queue_icon = QLabel()
        self._queue = QLabel()
        self._queue.setToolTip("Corrections that wait for training")
        self._queue_icon.hide()
        self._queue.hide()
        row.addSpacing(4)
        row.addWidget(self._queue_icon)
        row.addWidget(self._queue)
        row.addSpacing(4)
        row.addWidget(self._button("help", "keyboard-outline", "Keys"))
        session.changed.connect(self._on_changes)
        self.refresh()
        self.load_icons()

    def _button(self, action: str, icon_name: str, text: str, label: str = "", tone: str = "") -> QToolButton:
        button = QToolButton(self)
        button.setObjectName(f"button-{action}")
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setIconSize(icon_size())
        button.setToolTip(f"{text} {self._keymap.hint(action)}".strip())
        button.setAccessibleName(text)
        if label:
            button.setText(f" {label}")
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setProperty("wide", True)
            button.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        if tone:
            button.setProperty("tone", tone)
        button.setCheckable(action.startswith("tool-") or action in ("layout", "crosshair", "invert", *_OF_FILE))
        button.setProperty("plainTip", button.toolTip())
        if action != "open-files":
            button.clicked.connect(lambda: self._do(action))
        self.buttons[action] = button
        self._icons[action] = (icon_name, tone)
        return button

    def load_icons(self) -> None:
        """Draw the icons in the colours of the theme."""
        if not has_icons():
            for action, button in self.buttons.items():
                button.setText(button.accessibleName() if action == "open-files" else action.split("-")[-1])
                button.setProperty("wide", True)
            return
        for action, (name, tone) in self._icons.items():
            made = icon(name, "ai", "ai", "ai") if tone else icon(name, "dim" if action != "open-files" else "text")
            self.buttons[action].setIcon(made)
        self._queue_icon.setPixmap(icon("tray-full").pixmap(QSize(16, 16)))

    def _do(self, action: str) -> None:
        self._actions.do(action)
        self.refresh()

    def set_field(self, name: str, text: str) -> None:
        """The model pill ("model") or the number of waiting corrections ("queue"); "" hides it."""
        if name == "model":
            self.model_pill.setText(text)
            self.model_pill.setVisible(bool(text))
        elif name == "queue":
            self._queue.setText(text)
            self._queue.setVisible(bool(text))
            self._queue_icon.setVisible(bool(text))

    def set_checked(self, action: str, checked: bool) -> None:
        """Show a state that is not the session's (layout, crosshair)."""
        self.buttons[action].setChecked(checked)

    def _on_changes(self, changes: Changes) -> None:
        if changes.tool or changes.window or changes.volume or changes.saved or changes.segments or changes.proposal:
            self.refresh()

    def refresh(self) -> None:
        """Which tool is taken, what is off and why."""
        for action, button in self.buttons.items():
            if action.startswith("tool-"):
                name = action.removeprefix("tool-")
                button.setChecked(self._session.tool == name)
                button.setVisible(name in self._tools or name in ("window", "pan", "zoom", "scroll"))
            elif action == "invert":
                button.setChecked(self._session.inverted)
            elif action in _OF_FILE:
                shown = self._session.file_overlays_shown if action == "file-overlays" else self._session.shutter_shown
                button.setChecked(shown)
                button.setVisible(self._actions.has(action) and self._actions.why_not(action) is None)
            if action in ("open-files", "help"):
                continue
            reason = self._actions.why_not(action) if self._actions.has(action) else "Not available here."
            button.setEnabled(reason is None)
            if reason is not None and button.isCheckable():
                button.setChecked(False)
            plain = button.property("plainTip")
            button.setToolTip(plain if reason is None else f"{plain}\n{reason}")

    def tool_hint(self, name: str) -> str:
        """The tool's one line for the status bar."""
        tool = self._tools.get(name)
        return "" if tool is None else look_of(tool).hint

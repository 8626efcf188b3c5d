"""All keys in one table: what the window binds, what F1 shows and what tooltips say come from here.

A person may change them in `keys.toml` of the settings folder (`next-slice = "J"`); a clash is said, never hidden.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtGui import QKeySequence

from medviewer.errors import BadInput

#: The modes in which a key may act.
BOTH = frozenset({"read", "annotate"})
READ = frozenset({"read"})
ANNOTATE = frozenset({"annotate"})


@dataclass(frozen=True, slots=True)
class Binding:
    """One line of the table.

    Attributes:
        action: name of the action.
        text: what it does, for people.
        keys: key sequences as Qt writes them ("Ctrl+Z", "PgDown").
        group: heading in the help sheet.
        modes: in which modes the key acts.
    """

    action: str
    text: str
    keys: tuple[str, ...]
    group: str
    modes: frozenset[str] = BOTH


def _digits(prefix: str, text: str, group: str, modes: frozenset[str], names: Iterable[str]) -> tuple[Binding, ...]:
    return tuple(
        Binding(f"{prefix}-{n}", f"{text} {name}".strip(), (str(n % 10),), group, modes)
        for n, name in enumerate(names, start=1)
    )


#: CT windows on the digits (resources/presets/ct.toml has their numbers).
_PRESET_NAMES = (
    "soft tissue", "lung", "bone", "brain", "stroke", "mediastinum", "liver", "angio", "subdural",
    "of the file, then automatic",
)  # fmt: skip

TABLE: tuple[Binding, ...] = (
    Binding("open-files", "open files or ZIPs", ("Ctrl+O",), "Study"),
    Binding("open-folder", "open a folder", ("Ctrl+Shift+O",), "Study"),
    Binding("reload", "read again from disk", ("F5",), "Study"),
    Binding("previous-series", "previous series", ("Left",), "Study", READ),
    Binding("next-series", "next series", ("Right",), "Study", READ),
    Binding("save", "save the segmentation", ("Ctrl+S",), "Study"),
    Binding("previous-slice", "one slice back", ("Up",), "Slices"),
    Binding("next-slice", "one slice on", ("Down",), "Slices"),
    Binding("step-back", "one slice back (annotating)", ("Left",), "Slices", ANNOTATE),
    Binding("step-on", "one slice on (annotating)", ("Right",), "Slices", ANNOTATE),
    Binding("previous-page", "ten slices back", ("PgUp",), "Slices"),
    Binding("next-page", "ten slices on", ("PgDown",), "Slices"),
    Binding("first-slice", "first slice", ("Home",), "Slices"),
    Binding("last-slice", "last slice", ("End",), "Slices"),
    Binding("next-key-image", "next key image", ("K",), "Slices"),
    Binding("previous-key-image", "previous key image", ("Shift+K",), "Slices"),
    Binding("tool-window", "window and level", ("W",), "Picture"),
    Binding("tool-pan", "pan", ("P",), "Picture"),
    Binding("tool-zoom", "zoom", ("Z",), "Picture"),
    Binding("tool-scroll", "scroll by dragging", ("S",), "Picture"),
    Binding("invert", "invert the grey scale", ("V",), "Picture"),
    Binding("file-overlays", "overlay planes of the file on or off", ("Shift+G",), "Picture"),
    Binding("shutter", "shutter of the file closed or open", ("Shift+S",), "Picture"),
    Binding("crosshair", "crosshair on or off", ("X",), "Picture"),
    Binding("text", "text on or off", ("I",), "Picture"),
    Binding("layout", "one view or three planes", ("M",), "Picture"),
    Binding("fit", "fit into the view", ("Ctrl+0",), "Picture"),
    Binding("one-to-one", "one image pixel on one screen pixel", ("Ctrl+1",), "Picture"),
    Binding("next-time", "next time or phase of a 4-D series (also Alt + wheel)", (".",), "Picture"),
    Binding("previous-time", "previous time or phase", (",",), "Picture"),
    Binding("quality", "what is wrong with these images", ("Shift+I",), "Picture"),
    Binding("play", "play or stop a cine or a 4-D series", ("C",), "Picture"),
    Binding("smooth", "smooth or plain pixels", ("Ctrl+I",), "Picture"),
    *_digits("preset", "window", "Windows", READ, _PRESET_NAMES),
    Binding("tool-brush", "brush", ("B",), "Annotate"),
    Binding("tool-eraser", "eraser", ("E",), "Annotate"),
    Binding("tool-polygon", "polygon", ("N",), "Annotate"),
    Binding("tool-fill", "fill", ("F",), "Annotate"),
    Binding("brush-smaller", "smaller brush", ("[",), "Annotate"),
    Binding("brush-larger", "larger brush", ("]",), "Annotate"),
    Binding("brush-shape", "brush paints one slice or a ball", ("Shift+B",), "Annotate"),
    Binding("less-opaque", "overlay more transparent", ("-",), "Annotate"),
    Binding("more-opaque", "overlay less transparent", ("+", "="), "Annotate"),
    *_digits("segment", "segment", "Annotate", ANNOTATE, [str(n) for n in range(1, 10)]),
    Binding("segment-0", "background", ("0",), "Annotate", ANNOTATE),
    Binding("delete", "delete the active segment's voxels in this slice", ("Del", "Backspace"), "Annotate", ANNOTATE),
    Binding("undo", "undo", ("Ctrl+Z",), "Annotate"),
    Binding("redo", "redo", ("Ctrl+Y", "Ctrl+Shift+Z"), "Annotate"),
    Binding("peek", "look under the overlay while held", ("Space",), "Annotate"),
    Binding("overlay", "overlay on or off", ("G",), "Annotate"),
    Binding("tool-suggest", "suggest: click a lesion", ("Q",), "Suggest"),
    Binding("suggest-here", "suggest at the crosshair", ("Ctrl+Return",), "Suggest"),
    Binding("accept-proposal", "accept the proposal", ("Return", "Enter"), "Suggest"),
    Binding("cancel", "one step back: drag, shape, proposal, tool", ("Esc",), "Suggest"),
    Binding("done", "done: store a revision and queue the case", ("Ctrl+D",), "Suggest"),
    Binding("help", "this sheet", ("F1",), "Window"),
    Binding("fold-docks", "fold the side columns away", ("F9",), "Window"),
    Binding("full-screen", "full screen", ("F11",), "Window"),
)


@dataclass(frozen=True, slots=True)
class Clash:
    """Two actions that want the same key in the same mode."""

    key: str
    first: str
    second: str


def normal(key: str) -> str:
    """A key sequence in Qt's portable spelling; raises BadInput where Qt does not know it."""
    text = QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText)
    if not text:
        raise BadInput(f"unknown key {key!r}", remedy='write keys as "Ctrl+Z" or "PgDown"')
    return text


def clashes(table: Iterable[Binding]) -> tuple[Clash, ...]:
    """Keys that two actions of one mode want."""
    seen: dict[tuple[str, str], str] = {}
    found: list[Clash] = []
    for binding in table:
        for key in binding.keys:
            for mode in sorted(binding.modes):
                before = seen.setdefault((normal(key), mode), binding.action)
                clash = Clash(normal(key), before, binding.action)
                if before != binding.action and clash not in found:
                    found.append(clash)
    return tuple(found)


def changed(table: Iterable[Binding], wishes: Mapping[str, object]) -> tuple[Binding, ...]:
    """The table with a person's wishes; raises BadInput for an unknown action, an unknown key or a clash."""
    bindings = {binding.action: binding for binding in table}
    for action, wish in wishes.items():
        if action not in bindings:
            raise BadInput(f"no action {action!r} to give a key to", remedy="F1 lists the actions")
        keys = tuple(str(k) for k in wish) if isinstance(wish, list) else (str(wish),)
        bindings[action] = replace(bindings[action], keys=tuple(normal(k) for k in keys if k))
    result = tuple(bindings.values())
    found = clashes(result)
    if found:
        raise BadInput(f"the key {found[0].key} is wanted by {found[0].first} and by {found[0].second}")
    return result


def load_table(path: Path) -> tuple[Binding, ...]:
    """The table with the wishes of `keys.toml`, if there is one."""
    if not path.is_file():
        return TABLE
    try:
        return changed(TABLE, tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"the keys file cannot be read: {error}", path=path) from error


class Keymap:
    """Finds the action of a key in a mode, and the keys of an action."""

    def __init__(self, table: Iterable[Binding] = TABLE) -> None:
        self.table = tuple(table)
        self._by_key = {(normal(key), mode): b.action for b in self.table for key in b.keys for mode in b.modes}
        self._by_action = {b.action: b for b in self.table}

    def action(self, key: str, mode: str) -> str | None:
        """Name of the action, or None."""
        return self._by_key.get((key, mode))

    def hint(self, action: str) -> str:
        """ "(Ctrl+Z)" for a tooltip; empty where the action has no key."""
        binding = self._by_action.get(action)
        if binding is None or not binding.keys:
            return ""
        return f"({QKeySequence(binding.keys[0]).toString(QKeySequence.SequenceFormat.NativeText)})"

"""Window presets from `resources/presets/`, the file's own windows, and what dragging does to a window."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from medviewer.errors import BadInput
from medviewer.places import resources_folder
from medviewer.volume.volume import Volume
from medviewer.volume.window import VoiFunction, Window, auto_window, share_inside

if TYPE_CHECKING:
    from medviewer.formats.catalog import Stack


@dataclass(frozen=True, slots=True)
class Preset:
    """A named window; `key` is its digit or None."""

    name: str
    window: Window
    key: int | None = None


@cache
def presets(modality: str) -> tuple[Preset, ...]:
    """The presets of a modality, in the file's order; none where there is no file for it."""
    path = resources_folder() / "presets" / f"{modality.lower()}.toml"
    if not modality.isalnum() or not path.is_file():
        return ()
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["preset"]
    return tuple(Preset(row["name"], Window(float(row["width"]), float(row["level"])), row.get("key")) for row in rows)


def why_no_presets(volume: Volume | None) -> str | None:
    """Why the digits set no window for this volume; None where they do (CT in HU)."""
    if volume is None:
        return "Open a study first."
    if volume.modality != "CT":
        modality = volume.modality or "of unknown modality"
        return f"Window presets are for CT; this is {modality}. 0 gives the file's own windows, 1 to 9 one of them."
    if volume.unit not in ("", "HU"):
        return f"The values are in {volume.unit}, not in Hounsfield units, so the CT windows do not fit."
    return None


def name_of(window: Window, volume: Volume) -> str:
    """The name of the preset with a key that this window is, else ""; rarer ones would only be a coincidence."""
    if why_no_presets(volume) is not None:
        return ""
    for preset in presets(volume.modality):
        if preset.key is not None and (preset.window.width, preset.window.level) == (window.width, window.level):
            return preset.name
    return ""


def first_window(stack: Stack | None, volume: Volume) -> Window:
    """The window at opening: the file's own where it suits, else automatic.

    Of MR the file's own suits if its width is 0.2 to 5 times P1..P99, or smaller while half of the tissue is inside.
    PET is shown from 0 to P99.5 whatever the file says (its windows differ by slice and are often those of the
    scanner's whole range), nuclear pictures from 0 where the file says nothing.
    """
    own = None if stack is None or not stack.windows else stack.windows[0]
    if own is None or (volume.modality == "PT" and own.table is None):
        window = auto_window(volume)
        if own is not None:
            window = replace(window, explanation=f"auto (file: {own.width:g} / {own.level:g})")
        high = window.level + window.width / 2
        if volume.modality in ("PT", "NM") and high > 0:
            return replace(window, width=high, level=high / 2)
        return window
    if volume.modality == "MR" and own.table is None:
        auto = auto_window(volume, 1.0, 99.0)
        ratio = own.width / auto.width
        constant = auto.width <= float(volume.is_whole)
        if not constant and (ratio > 5.0 or (ratio < 0.2 and share_inside(volume, own) < 0.5)):
            replaced = f"auto (file: {own.width:g} / {own.level:g})"
            return replace(auto_window(volume), explanation=replaced)
    return own


def frame_window(stack: Stack, volume: Volume, k: int) -> Window:
    """The window of one frame of a stack whose frames have their own; automatic for a frame that has none."""
    own = stack.frames[k].windows if 0 <= k < len(stack.frames) else ()
    return own[0] if own else auto_window(volume, only=k)


def file_window_text(window: Window) -> str:
    """What a window of the file is called in a list: its explanation, "W / L", its shape where it is not linear."""
    numbers = "table" if window.table is not None else f"{window.width:g} / {window.level:g}"
    shape = " sigmoid" if window.function is VoiFunction.SIGMOID and window.table is None else ""
    return f"{window.explanation or 'of the file'}    {numbers}{shape}"


def next_own_window(stack: Stack | None, volume: Volume, current: Window) -> Window:
    """Key 0: walks through the file's windows and tables, then automatic, then from the start."""
    choices = [*(() if stack is None else stack.windows), auto_window(volume)]
    if current in choices:
        return choices[(choices.index(current) + 1) % len(choices)]
    return choices[0]


def window_from_text(text: str, stack: Stack | None, volume: Volume) -> Window:
    """A window of the command line: "1500,-600" (width, level), a preset's name, "auto" or "file"."""
    wish = text.strip().lower()
    if wish == "auto":
        return auto_window(volume)
    if wish == "file":
        return first_window(stack, volume)
    parts = wish.split(",")
    if len(parts) == 2:
        try:
            width, level = (float(part) for part in parts)
        except ValueError as error:
            raise BadInput(f"wrong window {text!r}", remedy="write WIDTH,LEVEL or a preset's name") from error
        if not (np.isfinite(width) and np.isfinite(level) and width > 0):
            raise BadInput(f"wrong window {text!r}", remedy="the width must be positive")
        return Window(width, level)
    found = {preset.name.lower(): preset.window for preset in presets("CT")}
    if wish not in found:
        raise BadInput(f"unknown window {text!r}", remedy=f"known are auto, file, {', '.join(found)} or WIDTH,LEVEL")
    reason = why_no_presets(volume)
    if reason is not None:
        raise BadInput(reason)
    return found[wish]


def drag_gain(volume: Volume) -> float:
    """Units of width or level for a pixel of dragging: max(1, P0.1..P99.9 range / 1024).

    For values that are no whole numbers (floats, PET with its small slopes) it is the plain ratio.
    """
    span = auto_window(volume, 0.1, 99.9).width
    return max(1.0, span / 1024) if volume.is_whole else span / 1024


def dragged(
    window: Window, move_px: tuple[float, float], gain: float, *, is_integer: bool, factor: float = 1.0
) -> Window:
    """A window after dragging by `move_px` = (to the right: wider, upwards: higher level, darker).

    Below a width of 100 the gain shrinks with the width, so that a brain window can be trimmed. Widths stay >= 1 for
    integers and >= the robust range / 4096 (a quarter of the gain) for floats. A table of the file is left for a
    window over its inputs.
    """
    step = gain * factor * (min(1.0, window.width / 100.0) if is_integer else 1.0)
    smallest = 1.0 if is_integer else gain / 4
    width = min(max(smallest, window.width + move_px[0] * step), 1e7)
    return Window(width, window.level + move_px[1] * step, window.function)

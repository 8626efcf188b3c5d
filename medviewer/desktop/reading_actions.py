"""What the keys of reading do: short functions over the session, registered under the names of the keys table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from medviewer.desktop.presets import Preset, next_own_window, presets, why_no_presets
from medviewer.desktop.session import DEFAULT_TOOL
from medviewer.desktop.tool_protocol import look_of
from medviewer.desktop.viewport.view_grid import Layout
from medviewer.formats.carry import Use, is_resampled, why_not

if TYPE_CHECKING:
    from medviewer.desktop.main_window import MainWindow
    from medviewer.volume.window import Window

#: Brush diameters in mm that the keys step through.
BRUSH_STEPS_MM = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 100.0)

PAGE = 10


def next_brush(diameter_mm: float, by: int) -> float:
    """The next larger (1) or smaller (-1) brush of the list."""
    if by > 0:
        return next((step for step in BRUSH_STEPS_MM if step > diameter_mm + 1e-6), BRUSH_STEPS_MM[-1])
    return next((step for step in reversed(BRUSH_STEPS_MM) if step < diameter_mm - 1e-6), BRUSH_STEPS_MM[0])


def register_reading_actions(window: MainWindow) -> None:
    """Everything that needs no panel. A panel may register a fuller action under the same name later."""
    session, actions = window.session, window.actions_table

    def needs_study() -> str | None:
        return None if session.volume is not None else "Open a study first."

    def on_study(name: str, run: Callable[[], None]) -> None:
        actions.register(name, run, needs_study)

    def scroll(steps: int) -> Callable[[], None]:
        return lambda: session.scroll(window.grid.active.axes, steps)

    actions.register("open-files", window.ask_for_files)
    actions.register("open-folder", window.ask_for_folder)
    actions.register("reload", window.opener.reload, lambda: None if window.opener.paths else "Nothing is open yet.")
    on_study("previous-series", lambda: window.show_series(-1))
    on_study("next-series", lambda: window.show_series(1))
    for name, steps in (
        ("previous-slice", -1), ("next-slice", 1), ("step-back", -1), ("step-on", 1),
        ("previous-page", -PAGE), ("next-page", PAGE), ("first-slice", -(10**9)), ("last-slice", 10**9),
    ):  # fmt: skip
        on_study(name, scroll(steps))
    for tool in ("window", "pan", "zoom", "scroll", *window.tools):
        actions.register(f"tool-{tool}", partial(window.take_tool, tool), partial(why_no_tool, window, tool))
    on_study("invert", lambda: session.set_inverted(not session.inverted))

    def why_no_graphics() -> str | None:
        if session.stack is None:
            return "Open a study first."
        return None if any(f.overlays for f in session.stack.frames) else "These files have no overlay planes."

    def why_no_shutter() -> str | None:
        if session.stack is None:
            return "Open a study first."
        return None if any(f.shutter for f in session.stack.frames) else "These files have no shutter."

    actions.register(
        "file-overlays", lambda: session.show_of_file(overlays=not session.file_overlays_shown), why_no_graphics
    )
    actions.register("shutter", lambda: session.show_of_file(shutter=not session.shutter_shown), why_no_shutter)
    on_study("crosshair", window.grid.toggle_crosshair)
    on_study("text", window.grid.toggle_text)
    on_study("smooth", window.grid.toggle_smooth)
    actions.register("next-time", partial(window.show_time, 1), window.why_no_time)
    actions.register("previous-time", partial(window.show_time, -1), window.why_no_time)
    actions.register("quality", window.show_quality, lambda: _why_no_faults(window))
    actions.register("play", window.film.toggle, window.film.why_not)
    on_study("fit", lambda: window.grid.active.set_placing(None))
    on_study("one-to-one", partial(_one_to_one, window))
    actions.register("layout", lambda: _other_layout(window), lambda: why_no_planes(window))
    _register_windows(window)
    on_study("brush-smaller", lambda: session.set_brush(next_brush(session.brush_diameter_mm, -1)))
    on_study("brush-larger", lambda: session.set_brush(next_brush(session.brush_diameter_mm, 1)))
    on_study("less-opaque", lambda: session.set_overlay(opacity=session.overlay_opacity - 0.05))
    on_study("more-opaque", lambda: session.set_overlay(opacity=session.overlay_opacity + 0.05))
    on_study("peek", lambda: session.set_overlay(visible=False))
    on_study("overlay", lambda: session.set_overlay(visible=not session.overlay_visible))
    for number in range(10):
        on_study(f"segment-{number}", partial(session.set_active_segment, number))

    def why_no_undo() -> str | None:
        return None if session.editor is not None and session.editor.can_undo else "There is nothing to undo."

    def why_no_redo() -> str | None:
        return None if session.editor is not None and session.editor.can_redo else "There is nothing to redo."

    actions.register("undo", lambda: _undo(window), why_no_undo)
    actions.register("redo", lambda: _redo(window), why_no_redo)
    actions.register("cancel", lambda: cancel(window))
    actions.register("help", lambda: _help(window))
    actions.register("fold-docks", window.fold_docks)
    actions.register("full-screen", lambda: window.showNormal() if window.isFullScreen() else window.showFullScreen())


def _register_windows(window: MainWindow) -> None:
    session, actions = window.session, window.actions_table

    def chosen(preset: Preset) -> Window | None:
        """What a digit stands for: the preset of CT, for others the file's window of that number."""
        if why_no_presets(session.volume) is None:
            return preset.window
        own = () if session.stack is None else session.stack.windows
        return own[preset.key - 1] if preset.key is not None and preset.key <= len(own) else None

    def choose(preset: Preset) -> None:
        window = chosen(preset)
        if window is not None:
            session.set_window(window)

    def why_not(preset: Preset) -> str | None:
        return why_no_presets(session.volume) if chosen(preset) is None else None

    for preset in presets("CT"):
        if preset.key is not None:
            actions.register(f"preset-{preset.key}", partial(choose, preset), partial(why_not, preset))

    def own() -> None:
        if session.stack is not None and session.stack.window_by_frame and not session.window_by_frame:
            session.follow_frame_windows()
        elif session.volume is not None:
            session.set_window(next_own_window(session.stack, session.volume, session.window))

    actions.register("preset-10", own, lambda: None if session.volume is not None else "Open a study first.")


def _one_to_one(window: MainWindow) -> None:
    window.grid.active.one_to_one()


def _why_no_faults(window: MainWindow) -> str | None:
    stack = window.session.stack
    if stack is None:
        return "Open a study first."
    return None if stack.quality else "Nothing is known to be wrong with these images."


def why_no_tool(window: MainWindow, name: str) -> str | None:
    """Why a tool cannot be taken on the shown stack; None where it can."""
    session, tool = window.session, window.tools.get(name)
    if session.volume is None:
        return "Open a study first."
    look = None if tool is None else look_of(tool)
    if session.stack is None or look is None or not (look.annotates or look.colour_is_ai):
        return None
    reason = why_not(session.stack, Use.SUGGESTION if look.colour_is_ai else Use.MARKS)
    return None if reason is None else f"Not on these images: {reason}."


def why_no_planes(window: MainWindow) -> str | None:
    """Why there are no other planes; None where there can be, as they are or by resampling."""
    stack = window.session.stack
    if stack is not None and (stack.derived_from or is_resampled(stack)):
        return None
    return window.grid.why_one()


def _other_layout(window: MainWindow) -> None:
    stack = window.session.stack
    if stack is not None and stack.derived_from:
        window.moments.show_acquired()
        return
    if stack is not None and is_resampled(stack):
        window.moments.show_upright()
        return
    now = window.grid.shown_layout
    window.grid.set_layout(Layout.ONE if now is Layout.PLANES else Layout.PLANES)


def _undo(window: MainWindow) -> None:
    change = None if window.session.editor is None else window.session.editor.undo()
    if change is not None:
        window.status.say(f"Undone: {change.name}")


def _redo(window: MainWindow) -> None:
    change = None if window.session.editor is None else window.session.editor.redo()
    if change is not None:
        window.status.say(f"Done again: {change.name}")


def cancel(window: MainWindow) -> None:
    """Esc, one step back: running drag or shape, files that are read, proposal or AI run, tool to default."""
    for view in window.grid.views:
        if view.close_story():
            return
    if window.opener.scanning:
        window.opener.cancel_scan()
        return
    actions = window.actions_table
    for name in ("cancel-suggestion", "reject-proposal"):
        if actions.has(name) and actions.why_not(name) is None:
            actions.do(name)
            return
    if window.session.tool != DEFAULT_TOOL or window.session.annotating:
        window.session.set_tool(DEFAULT_TOOL, annotating=False)


def _help(window: MainWindow) -> None:
    from medviewer.desktop.help_sheet import HelpSheet

    HelpSheet(window.keymap, window).show()

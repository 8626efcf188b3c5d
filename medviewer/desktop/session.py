"""What the window is about right now: one ReadingSession, and the broadcast of what changed in it.

The session is the only thing that views and panels share. A method changes one thing and broadcasts a `Changes`; every
open panel decides by itself whether that concerns it. Nobody pokes anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PySide6.QtCore import QObject, Signal

from medviewer.desktop.presets import frame_window
from medviewer.volume.plane import PlaneAxes
from medviewer.volume.volume import Volume
from medviewer.volume.window import Window, auto_window

if TYPE_CHECKING:
    from medviewer.annotation.editor import Editor
    from medviewer.annotation.segmentation import Segmentation
    from medviewer.desktop.documents.presentation import PresentedFrame
    from medviewer.desktop.overlays.laid import LaidObject
    from medviewer.desktop.viewport.marks import Mark
    from medviewer.formats.catalog import Catalog, Stack
    from medviewer.inference.prompt import Prompt
    from medviewer.inference.suggestion import Suggestion

#: A box of voxels as array slices `[k, j, i]`: `labelmap[box]` is what changed.
Box = tuple[slice, slice, slice]

#: The tool of a fresh window; Esc leads back to it.
DEFAULT_TOOL = "window"


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed. Everything is False or None unless it did.

    Attributes:
        catalog: other studies are listed.
        volume: another stack is shown (or none): everything about the picture is new.
        slices: these slices of the shown volume have arrived.
        window: width, level or inversion.
        crosshair: the crosshair moved, and with it the plane positions.
        overlay: voxels of the segmentation changed inside this box.
        segments: the list of segments: number, names, colours, which one is active, what is hidden, opacity.
        proposal: another proposal, or none, or a larger part of the same.
        findings: findings, their verdicts, or what is said beside a proposal.
        tool: the tool, its size, or the mode (read or annotate).
        saved: what is saved, or what undo would undo.
        laid: which objects of files lie over the images, or how they look.
        marks: what files have drawn on the pictures, or which images are key images.
        presented: a presentation state is applied to the shown slice, another one, or none any more.
    """

    catalog: bool = False
    volume: bool = False
    slices: Collection[int] | None = None
    window: bool = False
    crosshair: bool = False
    overlay: Box | None = None
    segments: bool = False
    proposal: bool = False
    findings: bool = False
    tool: bool = False
    saved: bool = False
    marks: bool = False
    presented: bool = False
    laid: bool = False


class ReadingSession(QObject):
    """The shown stack with everything a view or panel draws about it. Lives in the Qt thread.

    `changed` carries a `Changes`. Read the attributes freely; change them only through the methods.
    """

    changed = Signal(object)
    #: A person pointed at something (a Prompt) and wants a suggestion.
    asked = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.catalog: Catalog | None = None
        self.stack: Stack | None = None
        self.volume: Volume | None = None
        self.window = Window(400.0, 40.0)
        self.window_by_frame = False
        self.inverted = False
        self.file_overlays_shown = True
        self.shutter_shown = True
        self.crosshair_kji: NDArray[np.float64] = np.zeros(3)
        self.editor: Editor | None = None
        self.proposal: Suggestion | None = None
        self.tool = DEFAULT_TOOL
        self.annotating = False
        self.brush_diameter_mm = 8.0
        self.brush_is_sphere = False
        self.active_segment = 1
        self.hidden_segments: frozenset[int] = frozenset()
        self.overlay_visible = True
        self.overlay_opacity = 0.28
        self.marks: tuple[Mark, ...] = ()
        self.chosen_mark: object = None
        self.key_slices: Mapping[int, str] = {}
        self.presented: PresentedFrame | None = None
        self.laid: tuple[LaidObject, ...] = ()
        self._leave: Callable[[], None] | None = None

    # -- what is shown ---------------------------------------------------------------------------------------------

    def announce(self, **what: object) -> None:
        """Broadcast a Changes, for a thing that was changed at its own place (the editor's voxels, a finding)."""
        self.changed.emit(Changes(**what))  # type: ignore[arg-type]

    def set_catalog(self, catalog: Catalog | None) -> None:
        """List other studies; what is shown stays (only a person moves to another patient)."""
        self.catalog = catalog
        self.announce(catalog=True)

    def show(self, stack: Stack | None, volume: Volume | None, window: Window | None = None) -> None:
        """Show another stack: crosshair to its middle, no proposal, no editor; without a window, an automatic one."""
        if not self._is_same_place(stack, volume):
            self.laid = ()
        self.stack, self.volume = stack, volume
        self._leave_editor()
        self.editor, self.proposal = None, None
        self.inverted = False
        self.hidden_segments = frozenset()
        self.overlay_visible = True
        self.active_segment = 1
        self.marks, self.chosen_mark, self.key_slices = (), None, {}
        self.presented = None
        if volume is not None:
            k, j, i = volume.size_kji
            self.crosshair_kji = np.array([k // 2, j // 2, i // 2], dtype=np.float64)
            self.window = window if window is not None else auto_window(volume)
        self.window_by_frame = stack is not None and stack.window_by_frame
        self._take_frame_window()
        self.announce(
            volume=True, window=True, crosshair=True, proposal=True, segments=True, findings=True, saved=True, laid=True
        )

    def _is_same_place(self, stack: Stack | None, volume: Volume | None) -> bool:
        """True where another stack has the voxels of the shown one at the same places in the patient."""
        before, now = self.volume, volume
        if before is None or now is None or before.grid is None or now.grid is None or stack is None:
            return False
        same_space = self.stack is not None and self.stack.frame_of_reference_uid == stack.frame_of_reference_uid
        return same_space and bool(stack.frame_of_reference_uid) and before.grid.same_as(now.grid)

    def set_laid(self, laid: tuple[LaidObject, ...]) -> None:
        """Lay these objects over the images, the first lowest."""
        self.laid = laid
        self.announce(laid=True)

    def show_moment(self, stack: Stack, volume: Volume) -> None:
        """Another time of the shown 4-D stack, on the same grid: only the pictures change."""
        self.stack, self.volume = stack, volume
        self.announce(slices=range(volume.size_kji[0]))

    def slices_arrived(self, slices: Collection[int]) -> None:
        """Say that voxels of these slices have been filled in by the loader."""
        self.announce(slices=slices, window=self._take_frame_window())

    def set_window(self, window: Window) -> None:
        """Another width or level for all views of the stack; frames' own windows are followed no more."""
        self.window, self.window_by_frame = window, False
        self.announce(window=True)

    def follow_frame_windows(self) -> None:
        """Show each frame under its own window, where the stack's frames have unlike ones."""
        self.window_by_frame = self.stack is not None and self.stack.window_by_frame
        self._take_frame_window()
        self.announce(window=True)

    def _take_frame_window(self) -> bool:
        """Take the window of the shown frame where frames' windows are followed; True if it is another one."""
        if not self.window_by_frame or self.stack is None or self.volume is None:
            return False
        before, k = self.window, int(np.rint(self.crosshair_kji[0]))
        self.window = frame_window(self.stack, self.volume, k)
        return self.window != before

    def show_of_file(self, overlays: bool | None = None, shutter: bool | None = None) -> None:
        """Draw or leave out what the file lays over its pictures: overlay planes, shutters."""
        if overlays is not None:
            self.file_overlays_shown = overlays
        if shutter is not None:
            self.shutter_shown = shutter
        self.announce(window=True)

    def set_inverted(self, inverted: bool) -> None:
        """The user's inversion of the grey scale, on top of the file's own."""
        self.inverted = inverted
        self.announce(window=True)

    # -- where one looks -------------------------------------------------------------------------------------------

    @property
    def crosshair_lps(self) -> NDArray[np.float64] | None:
        """The crosshair in mm (LPS); None without a volume or without geometry."""
        if self.volume is None or self.volume.grid is None:
            return None
        return self.volume.grid.index_to_lps(self.crosshair_kji)

    def position_of(self, axes: PlaneAxes) -> int:
        """Index of the cut that a plane shows: the crosshair, rounded, along the plane's own axis."""
        return int(np.rint(self.crosshair_kji[axes.through]))

    def move_crosshair(self, index_kji: ArrayLike) -> None:
        """Put the crosshair at a (fractional) index; it is kept inside the volume."""
        if self.volume is None:
            return
        last = np.asarray(self.volume.size_kji, dtype=np.float64) - 1
        wanted = np.clip(np.asarray(index_kji, dtype=np.float64), 0, last)
        if not np.array_equal(wanted, self.crosshair_kji):
            self.crosshair_kji = wanted
            self.announce(crosshair=True, window=self._take_frame_window())

    def go_to(self, point_lps: ArrayLike) -> None:
        """Put the crosshair at a point in mm (LPS): all planes show it. Nothing happens without geometry."""
        if self.volume is not None and self.volume.grid is not None:
            self.move_crosshair(self.volume.grid.lps_to_index(point_lps))

    def scroll(self, axes: PlaneAxes, steps: int) -> None:
        """Move a plane by some cuts; a step down the list of slices is positive."""
        index = self.crosshair_kji.copy()
        index[axes.through] = np.rint(index[axes.through]) + steps
        self.move_crosshair(index)

    # -- what the hand does ----------------------------------------------------------------------------------------

    def set_tool(self, name: str, annotating: bool | None = None) -> None:
        """Take another tool; `annotating` switches between read and annotate mode, None leaves the mode."""
        self.tool = name
        if annotating is not None:
            self.annotating = annotating
        self.announce(tool=True)

    def set_brush(self, diameter_mm: float | None = None, is_sphere: bool | None = None) -> None:
        """Another brush size (mm, kept within 0.5 to 100) or shape."""
        if diameter_mm is not None:
            self.brush_diameter_mm = float(np.clip(diameter_mm, 0.5, 100.0))
        if is_sphere is not None:
            self.brush_is_sphere = is_sphere
        self.announce(tool=True)

    # -- marks -----------------------------------------------------------------------------------------------------

    @property
    def segmentation(self) -> Segmentation | None:
        """The segmentation under the editor, if there is one."""
        return None if self.editor is None else self.editor.segmentation

    def set_editor(self, editor: Editor | None) -> None:
        """Edit another segmentation (new, loaded or recovered); its edits are broadcast from now on."""
        self._leave_editor()
        self.editor = editor
        if editor is not None:
            self._leave = editor.on_change(
                lambda change: self.announce(
                    overlay=None if change.box is None else change.box.slices, segments=change.segments, saved=True
                )
            )
        self.announce(segments=True, overlay=self.whole_box, saved=True)

    def _leave_editor(self) -> None:
        if self._leave is not None:
            self._leave()
        self._leave = None

    def set_active_segment(self, number: int) -> None:
        """The segment that tools paint; 0 is the background (tools erase)."""
        self.active_segment = number
        self.announce(segments=True)

    def set_hidden_segments(self, hidden: frozenset[int]) -> None:
        """Do not draw these segments."""
        self.hidden_segments = hidden
        self.announce(segments=True)

    def set_overlay(self, visible: bool | None = None, opacity: float | None = None) -> None:
        """Show or hide all overlays (Space peeks), or change the fill's opacity (0 to 1)."""
        if visible is not None:
            self.overlay_visible = visible
        if opacity is not None:
            self.overlay_opacity = float(np.clip(opacity, 0.0, 1.0))
        self.announce(segments=True)

    def ask(self, prompt: Prompt) -> None:
        """Ask for a suggestion at a click or a box; whoever serves suggestions listens to `asked`."""
        self.asked.emit(prompt)

    def set_proposal(self, proposal: Suggestion | None) -> None:
        """Draw a suggestion as a proposal (or a larger part of the same one), or draw none."""
        self.proposal = proposal
        self.announce(proposal=True, findings=True)

    def set_marks(self, marks: tuple[Mark, ...], key_slices: Mapping[int, str], chosen: object = None) -> None:
        """Draw these marks of files; `key_slices` are the key images with the title of their selection.

        `chosen` is the owner whose marks stand out.
        """
        self.marks, self.key_slices, self.chosen_mark = marks, key_slices, chosen
        self.announce(marks=True)

    def set_presented(self, presented: PresentedFrame | None, window: Window, *, inverted: bool = False) -> None:
        """Show the slice as a presentation state wants it, under this window; None shows it as it is again."""
        self.presented, self.window, self.inverted = presented, window, inverted
        self.announce(presented=True, window=True)

    @property
    def whole_box(self) -> Box | None:
        """The box of all voxels, or None without a volume."""
        if self.volume is None:
            return None
        k, j, i = self.volume.size_kji
        return slice(0, k), slice(0, j), slice(0, i)

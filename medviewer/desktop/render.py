"""One picture without a window: the same view widget, fed by the same session, grabbed offscreen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QBuffer, QIODevice

from medviewer.desktop.application import application, has_display
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats.atomic import write_whole
from medviewer.formats.carry import Use, is_resampled, why_not
from medviewer.formats.catalog import Stack
from medviewer.formats.straighten import straightened
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneName, nearest_plane

if TYPE_CHECKING:
    from medviewer.desktop.session import ReadingSession


@dataclass(frozen=True, slots=True)
class Picture:
    """What to render.

    Attributes:
        path: file, folder or ZIP.
        stack_id: which stack; the one that the window would show first by default.
        plane: "axial", "coronal", "sagittal"; the acquired plane by default.
        position: index of the cut; the middle by default.
        at_lps: a point in mm that the cut goes through, instead of `position`.
        window: "W,L", a preset's name, "auto" or "file".
        inverted: inverts the grey scale.
        overlay: a segmentation, structures, a dose or a mask laid over it by geometry; or a report, a key object
            selection or a presentation state for it.
        size: width and height in pixels.
        with_text: corner text, letters, scale bar.
    """

    path: Path
    stack_id: str | None = None
    plane: str | None = None
    position: int | None = None
    at_lps: tuple[float, float, float] | None = None
    window: str | None = None
    inverted: bool = False
    overlay: Path | None = None
    size: tuple[int, int] = (900, 900)
    with_text: bool = True


def chosen_stack(path: Path, stack_id: str | None) -> Stack:
    """The stack of that id, or the one that the window would show first; raises BadInput where there is none."""
    from medviewer.formats.choose import open_stack

    return open_stack([path], stack_id)


def acquired_name(stack: Stack) -> PlaneName:
    """The anatomical plane nearest to the acquired images, also where gaps keep them from having a grid."""
    if stack.direction is None:
        return PlaneName.ACQUIRED
    return nearest_plane(Grid((1, 1, 1), (1.0, 1.0, 1.0), stack.direction, (0.0, 0.0, 0.0)))


def render(picture: Picture, out: Path) -> Mapping[str, Any]:
    """Write the picture as PNG; tells plane, cut, window and size.

    Raises:
        BadInput: nothing can be shown, an unknown stack, plane, window or preset, a cut or point outside.
        Refused: the overlay belongs to another patient or place.
        SaveFailed: the file cannot be written.
    """
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application()
    from medviewer.desktop.colours import frame_colours
    from medviewer.desktop.documents.render import document_of, lay_document, stack_of
    from medviewer.desktop.jobs import Jobs
    from medviewer.desktop.presets import first_window, window_from_text
    from medviewer.desktop.services import Actions, Services
    from medviewer.desktop.session import ReadingSession
    from medviewer.desktop.viewport.grey import GreySource
    from medviewer.desktop.viewport.plane_view import PlaneViewport
    from medviewer.formats import load

    document = document_of(picture.overlay)
    stack = None if document is None or picture.stack_id is not None else stack_of(document, picture.path)
    stack = stack or chosen_stack(picture.path, picture.stack_id)
    volume = load.load_volume(stack, JobContext(), allow_missing=True)
    one = stack.at_time(0)
    other_plane = picture.plane is not None and picture.plane != acquired_name(stack)
    if is_resampled(stack) and (other_plane or (picture.at_lps is not None and volume.grid is None)):
        one, volume = straightened(stack, volume)
    session = ReadingSession()
    window = first_window(one, volume) if picture.window is None else window_from_text(picture.window, one, volume)
    session.show(one, volume, window)
    if picture.window is not None:
        session.set_window(window)  # for all frames, whatever windows they have of their own
    session.set_inverted(picture.inverted)
    as_acquired = picture.plane is None or (volume.grid is None and is_resampled(stack))
    plane = nearest_plane(volume.grid) if as_acquired else PlaneName(picture.plane or "")
    if not as_acquired and (volume.grid is None or not volume.grid.oriented):
        reason = why_not(stack, Use.PLANES) or "the file gives no orientation"
        raise Refused(f"this stack has no anatomical planes: {reason}", path=picture.path)

    def nothing(*_: object) -> None:
        return None

    services = Services(Jobs(), Actions(), nothing, nothing, lambda: None, nothing)
    source = GreySource()
    if one.is_colour:
        source.colour_frame = lambda k: frame_colours(one, k)
    if one.coloured_from is not None:
        supplement = load.read_supplement(one)
        source.supplement = lambda: supplement
    if one.has_graphics:
        source.graphics_of = lambda k: load.read_graphics(one, k)
    view = PlaneViewport(session, services, plane, source, {})
    view.show_crosshair = False
    view.show_text = picture.with_text
    view.resize(*picture.size)
    _go(picture, session, view)
    over: dict[str, Any] | None = None
    if document is not None:
        has_place = picture.position is not None or picture.at_lps is not None
        over = lay_document(document, session, source, has_place=has_place, has_window=picture.window is not None)
    elif picture.overlay is not None:
        over = _lay_over(picture.overlay, session)
    if not out.parent.is_dir():
        raise SaveFailed("the picture could not be written: there is no such folder", path=out.parent)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image = view.grab().toImage()
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    write_whole(out, bytes(buffer.data().data()))
    return {
        "out": str(out),
        "stack": stack.id,
        "plane": str(plane),
        "slice": view.position,
        "slices": view.axes.count(volume.size_kji),
        "window": [session.window.width, session.window.level],
        "size": [image.width(), image.height()],
        **({} if over is None else {"overlay": over}),
    }


def _go(picture: Picture, session: Any, view: Any) -> None:
    volume = session.volume
    if picture.at_lps is not None:
        if volume.grid is None:
            raise BadInput("this stack carries no geometry, so a point in mm has no place in it", path=picture.path)
        if not volume.grid.contains_lps(picture.at_lps):
            raise BadInput(f"the point {picture.at_lps} lies outside the volume", path=picture.path)
        session.go_to(picture.at_lps)
    elif picture.position is not None:
        count = view.axes.count(volume.size_kji)
        if not 0 <= picture.position < count:
            raise BadInput(f"there is no slice {picture.position}", path=picture.path, remedy=f"0 to {count - 1} exist")
        session.scroll(view.axes, picture.position - view.position)


def _lay_over(path: Path, session: ReadingSession) -> dict[str, Any]:
    """Read a segmentation, structures, a dose or a mask and lay it over the shown stack; tells what was laid."""
    from medviewer.desktop.overlays.laid import laid_object
    from medviewer.formats.laid import Target
    from medviewer.formats.overlays import read_overlay

    stack = session.stack
    assert stack is not None
    if not path.exists() and not any(parent.is_file() for parent in path.parents):
        raise BadInput("there is nothing at this path", path=path)
    target = Target.of(stack)
    overlay = read_overlay(path, target, JobContext())
    laid = laid_object(overlay, overlay.kind, target)
    session.set_laid((laid,))
    return {
        "path": str(path),
        "kind": overlay.kind,
        "parts": [{"name": part.name, "colour": list(part.colour), "facts": part.facts} for part in laid.parts],
        "notes": list(overlay.notes),
        "refused": list(overlay.refused),
    }

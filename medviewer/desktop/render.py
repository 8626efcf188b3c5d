"""One picture without a window: the same view widget, fed by the same session, grabbed offscreen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QIODevice

from medviewer.desktop.application import application, has_display
from medviewer.errors import BadInput, SaveFailed
from medviewer.formats.atomic import write_whole
from medviewer.formats.catalog import Stack
from medviewer.jobs import JobContext
from medviewer.volume.plane import PlaneName, nearest_plane
from medviewer.volume.volume import Volume


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
        overlay: a segmentation laid over it by geometry.
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
    from medviewer.desktop.opening import first_stack
    from medviewer.formats.scan import scan

    catalog = scan([path], JobContext())
    stack = first_stack(catalog) if stack_id is None else catalog.stack(stack_id)
    if stack is not None:
        return stack
    if stack_id is not None:
        known = ", ".join(s.id for s in catalog.stacks())
        raise BadInput(f"there is no stack {stack_id!r} here", path=path, remedy=f"known are: {known or 'none'}")
    reason = f": {catalog.skipped[0].reason}" if catalog.skipped else ""
    raise BadInput(f"nothing here can be shown{reason}", path=path)


def render(picture: Picture, out: Path) -> Mapping[str, Any]:
    """Write the picture as PNG; tells plane, cut, window and size.

    Raises:
        BadInput: nothing can be shown, an unknown stack, plane, window or preset, a cut or point outside.
        SaveFailed: the file cannot be written.
    """
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application()
    from medviewer.desktop.jobs import Jobs
    from medviewer.desktop.presets import first_window, window_from_text
    from medviewer.desktop.services import Actions, Services
    from medviewer.desktop.session import ReadingSession
    from medviewer.desktop.viewport.grey import GreySource
    from medviewer.desktop.viewport.plane_view import PlaneViewport
    from medviewer.formats import load

    stack = chosen_stack(picture.path, picture.stack_id)
    volume = load.load_volume(stack, JobContext(), allow_missing=True)
    one = stack.at_time(0)
    session = ReadingSession()
    window = first_window(one, volume) if picture.window is None else window_from_text(picture.window, one, volume)
    session.show(one, volume, window)
    session.set_inverted(picture.inverted)
    plane = nearest_plane(volume.grid) if picture.plane is None else PlaneName(picture.plane)
    if picture.plane is not None and volume.grid is None:
        raise BadInput("this stack carries no geometry, so it has no anatomical planes", path=picture.path)

    def nothing(*_: object) -> None:
        return None

    services = Services(Jobs(), Actions(), nothing, nothing, lambda: None, nothing)
    source = GreySource()
    if one.is_colour:
        source.colour_frame = lambda k: load.read_frame_rgb(one, k)
    view = PlaneViewport(session, services, plane, source, {})
    view.show_crosshair = False
    view.show_text = picture.with_text
    view.resize(*picture.size)
    _go(picture, session, view)
    if picture.overlay is not None:
        _lay_over(picture.overlay, session, volume)
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


def _lay_over(path: Path, session: Any, volume: Volume) -> None:
    """Read a segmentation and lay it on the volume's grid."""
    from medviewer.annotation.editor import Editor
    from medviewer.annotation.segmentation import Segment, Segmentation, colour_of

    if volume.grid is None:
        raise BadInput("this stack carries no geometry, so nothing can be laid over it", path=path)
    if not path.exists():
        raise BadInput("there is nothing at this path", path=path)
    labelmap, segments = _labels_of(path, volume)
    made = [Segment(d.number, d.label, d.colour or colour_of(d.number)) for d in segments] if segments else ()
    session.set_editor(Editor(Segmentation.from_labelmap(volume.grid, labelmap, made)))


def _labels_of(path: Path, volume: Volume) -> tuple[NDArray[np.uint8], Any]:
    if path.name.endswith((".nii", ".nii.gz", ".nrrd", ".nhdr")):
        from medviewer.formats import load

        mask = load.load_volume(chosen_stack(path, None), JobContext())
        if mask.grid is None or volume.grid is None or not mask.grid.same_as(volume.grid):
            raise BadInput("the mask lies on another grid than the picture", path=path)
        return np.asarray(mask.voxels).astype(np.uint8), ()
    from medviewer.formats.dicom.seg import read_seg

    assert volume.grid is not None
    return read_seg(path, volume.grid)

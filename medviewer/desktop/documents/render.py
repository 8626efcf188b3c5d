"""Reports, key image lists and presentation states laid over a rendered picture, as the window would show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medviewer.desktop.documents.document import Opened, marks_of_opened, read_object, slices_of_opened, speaks_of
from medviewer.desktop.documents.presentation import presented_frame, presented_graphics
from medviewer.errors import Refused
from medviewer.formats.catalog import Stack
from medviewer.formats.scan import scan

if TYPE_CHECKING:
    from medviewer.desktop.session import ReadingSession
    from medviewer.desktop.viewport.grey import GreySource

#: Kinds that are laid here; all others are masks, contours and doses.
KINDS = frozenset({"SR", "KO", "PR"})


def document_of(path: Path | None) -> Opened | None:
    """The document in a file, None for anything else.

    Raises:
        BadInput: it is a document that cannot be read.
    """
    if path is None or not path.is_file() or path.name.endswith((".nii", ".nii.gz", ".nrrd", ".nhdr")):
        return None
    found = next((o for o in scan([path]).objects if o.kind in KINDS), None)
    return None if found is None else read_object(found, {})


def stack_of(document: Opened, path: Path) -> Stack | None:
    """The first stack below a path that a document speaks of."""
    return next((stack for stack in scan([path]).stacks() if speaks_of(document, stack)), None)


def lay_document(
    document: Opened, session: ReadingSession, source: GreySource, *, has_place: bool, has_window: bool
) -> dict[str, Any]:
    """Show a document on the session's stack; tells what was laid.

    Args:
        document: what was read.
        session: with stack and volume.
        source: of the picture's grey values.
        has_place: a slice or point was asked for; else the first one that the document speaks of is shown.
        has_window: a window was asked for, which stays.

    Raises:
        Refused: the stack has nothing that the document speaks of.
    """
    stack, volume = session.stack, session.volume
    assert stack is not None and volume is not None
    slices = slices_of_opened(document, stack, volume.grid)
    if not slices:
        raise Refused(
            "none of the images that it refers to is in this stack",
            path=document.found.path,
            remedy="render the folder with those images, or name their stack with --stack",
        )
    here = round(float(session.crosshair_kji[0]))
    if not has_place and here not in slices:
        at = session.crosshair_kji.copy()
        at[0] = here = slices[0]
        session.move_crosshair(at)
    marks, keys = marks_of_opened(document, stack, volume.grid)
    state = document.state
    if state is not None and here in slices:
        presented = presented_frame(state, stack, volume, here)
        graphics = presented_graphics(state, stack, here)
        session.set_presented(presented, session.window if has_window else presented.window or session.window)
        source.graphics_of = lambda _: graphics
    session.set_marks(tuple(marks), keys)
    return {
        "path": str(document.found.path),
        "kind": document.found.kind,
        "summary": document.found.summary,
        "slices": list(slices),
    }

"""Fill: the area that hangs together under the click becomes the active segment; with Ctrl it is erased."""

from __future__ import annotations

from medviewer.annotation.tools.fill import NAME, fill_patch
from medviewer.annotation.tools.stroke import Patch
from medviewer.desktop.tool_protocol import PlanePosition, PlaneView, ToolLook, ToolStory
from medviewer.desktop.tools.editing import add_operation, do, editor_of, looks
from medviewer.jobs import JobContext


@looks(ToolLook(cursor="point", hint="Click inside an outline to fill it. Ctrl empties it."))
def fill(view: PlaneView, press: PlanePosition) -> ToolStory:
    """Fill at a click. The area is found in the background (a large one takes longer than a frame)."""
    editor = editor_of(view)
    if editor is None:
        return
    session, axes = view.session, view.axes
    number = 0 if press.control else session.active_segment
    revision = editor.segmentation.revision

    def find(_context: JobContext) -> Patch | None:
        return fill_patch(editor.segmentation, axes, press.position, (press.row, press.column))

    def found(patch: Patch | None) -> None:
        if patch is not None:
            do(view, add_operation(editor.segmentation, number, patch, NAME))

    view.services.jobs.start(
        "Filling",
        find,
        on_done=found,
        on_failed=lambda sentence: view.services.say(sentence, "warn"),
        wanted=lambda: session.editor is editor and editor.segmentation.revision == revision,
    )
    yield from ()

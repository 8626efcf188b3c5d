"""What all drawing tools share: may they draw here, and how one finished gesture becomes one undo step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import AddSegment, Operation, Paint, Together
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.annotation.tools.stroke import Patch
from medviewer.desktop.jobs import sentence_of
from medviewer.desktop.tool_protocol import PlaneView, ToolLook
from medviewer.errors import MedviewerError
from medviewer.formats.carry import Use, why_not

_Function = TypeVar("_Function", bound=Callable[..., object])


def looks(look: ToolLook) -> Callable[[_Function], _Function]:
    """Give a tool its look."""

    def mark(function: _Function) -> _Function:
        function.look = look  # type: ignore[attr-defined]
        return function

    return mark


def editor_of(view: PlaneView) -> Editor | None:
    """The editor of the shown stack; without one, the status line says why."""
    if view.session.editor is None:
        why = "Open a study first."
        if view.volume is not None:
            why = (
                f"These images cannot be outlined: {reason}."
                if (reason := _why_no_marks(view)) is not None
                else "The earlier work on this study is still being read; one moment."
            )
        view.services.say(why, "warn")
    return view.session.editor


def _why_no_marks(view: PlaneView) -> str | None:
    stack = view.session.stack
    if stack is not None:
        return why_not(stack, Use.MARKS)
    return "the positions of their slices are unknown" if view.volume is None or view.volume.grid is None else None


def add_operation(segmentation: Segmentation, number: int, patch: Patch, name: str) -> Operation:
    """Give the voxels of a patch to a segment; a segment that does not exist yet is added in the same step."""
    paint = Paint.of_mask(name, patch.start_kji, patch.mask, number)
    if number == 0 or number in segmentation.segments:
        return paint
    return Together(name, (AddSegment(Segment.named(number, f"Segment {number}"), name), paint))


def do(view: PlaneView, operation: Operation) -> None:
    """Do an operation through the editor; a failure is a sentence in the status line, and the picture stays true."""
    editor = view.session.editor
    if editor is not None:
        do_edit(editor, operation, view.services.say)


def do_edit(editor: Editor, operation: Operation, say: Callable[..., None]) -> bool:
    """Do an operation; True if it was done, else `say` got the reason."""
    try:
        editor.do(operation)
    except (MedviewerError, OSError) as error:
        say(sentence_of(error), "bad")
        return False
    return True

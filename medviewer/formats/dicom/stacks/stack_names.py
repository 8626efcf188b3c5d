"""Names that tell the stacks of one series apart, where the rule that split them gave none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from medviewer.formats.catalog import Stack, StackKind

_KINDS = {
    StackKind.VOLUME: "volume", StackKind.FRAMES: "images", StackKind.CINE: "cine", StackKind.FOUR_D: "4-D",
    StackKind.SINGLE: "single image",
}  # fmt: skip


def _size(stack: Stack) -> str:
    return f"{stack.size_kji[2]} x {stack.size_kji[1]}"


def _spacing(stack: Stack) -> str:
    if stack.spacing_kji is None:
        return "unknown pixel size"
    _, row, column = stack.spacing_kji
    return f"{row:.3g} mm pixels" if abs(row - column) < 1e-6 else f"{row:.3g} x {column:.3g} mm pixels"


def _colour(stack: Stack) -> str:
    return "colour" if stack.is_colour else "grey"


def _view(stack: Stack) -> str:
    return " ".join(part for part in (stack.text.laterality, stack.text.view) if part)


def _text(name: str) -> Callable[[Stack], str]:
    return lambda stack: str(getattr(stack.text, name) or "")


#: What may tell two stacks apart, in the order in which it is said.
_FACTS: tuple[Callable[[Stack], str], ...] = (
    _view, _size, _spacing, _colour, _text("kernel"), _text("contrast_agent"),
    lambda stack: _KINDS[stack.kind],
    lambda stack: "inverted" if stack.inverted else "",
)  # fmt: skip
#: What nobody can read: such stacks are numbered.
_NUMBERED: tuple[tuple[str, Callable[[Stack], Hashable]], ...] = (
    ("frame of reference", lambda stack: stack.frame_of_reference_uid),
    ("image class", lambda stack: stack.sop_class_uid),
)


def _is_one_file(stack: Stack) -> bool:
    return len({frame.path for frame in stack.frames}) == 1


def distinct_names(stacks: Sequence[Stack]) -> list[Stack]:
    """The same stacks; those of one series with equal names get one by the first fact that differs."""
    by_name: dict[str, list[int]] = defaultdict(list)
    for n, stack in enumerate(stacks):
        by_name[stack.name].append(n)
    named = list(stacks)
    for name, members in by_name.items():
        if len(members) == 1:
            continue
        for n, words in zip(members, _apart([stacks[n] for n in members]), strict=True):
            if words:
                named[n] = replace(stacks[n], name=", ".join(part for part in (name, words) if part))
    return named


def _apart(sisters: Sequence[Stack]) -> list[str]:
    """A few words for each of some stacks of one name."""
    for label, fact in _NUMBERED:
        values = list(dict.fromkeys(fact(stack) for stack in sisters))
        if len(values) > 1 and label == "frame of reference":
            return [f"{label} {values.index(fact(stack)) + 1}" for stack in sisters]
    for describe in _FACTS:
        words = [describe(stack) for stack in sisters]
        if len(set(words)) > 1:
            return words
    for label, fact in _NUMBERED:
        values = list(dict.fromkeys(fact(stack) for stack in sisters))
        if len(values) > 1:
            return [f"{label} {values.index(fact(stack)) + 1}" for stack in sisters]
    numbers = [stack.frames[0].instance_number for stack in sisters]
    if None not in numbers and len(set(numbers)) == len(numbers) and all(_is_one_file(stack) for stack in sisters):
        return [f"{'cine' if s.kind is StackKind.CINE else 'image'} {s.frames[0].instance_number}" for s in sisters]
    return [f"part {n + 1}" for n in range(len(sisters))]

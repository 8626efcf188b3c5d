"""Which stack of a scan a task is asked about, where a person named a folder and no stack."""

from __future__ import annotations

from medviewer.errors import BadInput
from medviewer.formats.catalog import Catalog, Stack
from medviewer.inference.card import TaskCard
from medviewer.inference.prompt import Prompt


def input_stack(catalog: Catalog, card: TaskCard, prompt: Prompt, stack_id: str | None = None) -> Stack:
    """The named stack, else the one that suits: with geometry, of the task's modality, holding the click; the largest.

    Args:
        catalog: not empty.
        card: of the task.
        prompt: where the person points.
        stack_id: the stack's id, or None.

    Raises:
        BadInput: no such stack, or none with geometry, or none that holds the click.
    """
    stacks = list(catalog.stacks())
    if stack_id is not None:
        named = catalog.stack(stack_id)
        if named is None:
            known = ", ".join(stack.id for stack in stacks[:8])
            raise BadInput(f"there is no stack {stack_id!r}", remedy=f"known stacks: {known}")
        return named
    placed = [stack for stack in stacks if stack.grid is not None]
    if not placed:
        raise BadInput("no series here carries a geometry: nothing can be measured on it", remedy="open another folder")
    point = prompt.middle_lps
    holding = [s for s in placed if point is None or (s.grid is not None and s.grid.contains_lps(point))]
    if not holding:
        prompt.check_inside(placed[0].grid)  # type: ignore[arg-type]
        raise BadInput("the click lies outside every series here", remedy="click on the picture")

    def suits(stack: Stack) -> tuple[bool, bool, int]:
        known = not card.modalities or stack.modality in card.modalities
        k, j, i = stack.size_kji
        return known, k > 1, k * j * i

    return max(holding, key=suits)

"""One stack out of a catalog: the asked one, else the one that a person most likely means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medviewer.errors import BadInput
from medviewer.formats.catalog import Catalog, Stack
from medviewer.formats.scan import nothing_opened, scan
from medviewer.jobs import JobContext


def choose_stack(catalog: Catalog, stack_id: str | None = None, *, path: Path | None = None) -> Stack:
    """The stack with this id; without one, the one with most voxels, stacks with a geometry before those without.

    Raises:
        BadInput: there is no stack, or none with this id.
    """
    stacks = list(catalog.stacks())
    if stack_id is not None:
        found = catalog.stack(stack_id)
        if found is None:
            known = ", ".join(s.id for s in stacks[:8]) + (", ..." if len(stacks) > 8 else "")
            raise BadInput(f"there is no stack {stack_id!r}", path=path, remedy=f"there are: {known or 'none'}")
        return found
    if not stacks:
        if catalog.objects:
            kinds = ", ".join(sorted({o.kind for o in catalog.objects}))
            raise BadInput(f"there is no picture here, only: {kinds}", path=path)
        raise nothing_opened([] if path is None else [path], catalog)

    def size(stack: Stack) -> tuple[bool, int]:
        k, j, i = stack.size_kji
        return stack.grid is not None and k > 1, k * j * i * stack.times

    return max(stacks, key=size)


def open_stack(paths: Sequence[Path], stack_id: str | None = None, context: JobContext | None = None) -> Stack:
    """Scan and choose.

    Raises:
        BadInput: nothing could be opened, or there is no stack with this id. Cancelled.
    """
    catalog = scan(paths, context)
    return choose_stack(catalog, stack_id, path=paths[0] if paths else None)

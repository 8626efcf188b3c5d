"""One stack out of a catalog: the asked one, else the one that a person most likely means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medviewer.errors import BadInput
from medviewer.formats.carry import Use, why_not
from medviewer.formats.catalog import Catalog, Stack
from medviewer.formats.scan import nothing_opened
from medviewer.formats.scan_cache import open_catalog
from medviewer.jobs import JobContext


def likeliest_stack(catalog: Catalog) -> Stack | None:
    """The stack that a person most likely means, which the window shows first; None where there is none.

    Stacks that carry other planes (gaps and a tilt do not keep them from it) go before all others and before
    localizers, then the one with most voxels, then the first in the catalog's order.
    """

    def size(stack: Stack) -> tuple[bool, int]:
        k, j, i = stack.size_kji
        return why_not(stack, Use.PLANES) is None and "localizer" not in stack.name, k * j * i * stack.times

    return max(catalog.stacks(), key=size, default=None)


def choose_stack(catalog: Catalog, stack_id: str | None = None, *, path: Path | None = None) -> Stack:
    """The stack with this id; without one, the likeliest.

    Raises:
        BadInput: there is no stack, or none with this id.
    """
    if stack_id is not None:
        found = catalog.stack(stack_id)
        if found is None:
            stacks = list(catalog.stacks())
            known = ", ".join(s.id for s in stacks[:8]) + (", ..." if len(stacks) > 8 else "")
            raise BadInput(f"there is no stack {stack_id!r}", path=path, remedy=f"there are: {known or 'none'}")
        return found
    likeliest = likeliest_stack(catalog)
    if likeliest is None:
        if catalog.objects:
            kinds = ", ".join(sorted({o.kind for o in catalog.objects}))
            raise BadInput(f"there is no picture here, only: {kinds}", path=path)
        raise nothing_opened([] if path is None else [path], catalog)
    return likeliest


def open_stack(paths: Sequence[Path], stack_id: str | None = None, context: JobContext | None = None) -> Stack:
    """Scan (through the scan cache) and choose.

    Raises:
        BadInput: nothing could be opened, or there is no stack with this id. Cancelled.
    """
    catalog = open_catalog(paths, context)
    return choose_stack(catalog, stack_id, path=paths[0] if paths else None)

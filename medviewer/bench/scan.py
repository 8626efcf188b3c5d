"""How fast the headers of a folder are read into a Catalog: anew, and where nothing has changed since the last scan.

What is timed is what the window and `inspect` call: `scan` reads every header and builds patients, series and stacks
with all their facts; `open_catalog` looks at sizes and times and takes what the last scan left. The scan cache has no
part in the first.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.bench.figures import machine, row
from medviewer.bench.made_folder import made_headers
from medviewer.formats.catalog import Catalog

#: How often each is repeated; the median counts.
REPEATS = 5


def scan_figures(folder: Path | None) -> Mapping[str, Any]:
    """Rows in seconds: a scan that reads everything, and one of a folder that has not changed.

    `seconds` is the median of the first, `first_seconds` its first repetition (which waits for a disk, where the files
    were not in memory), `cpu_seconds` its median time of work, `seconds_unchanged` the median of the second; `crc` is a
    checksum of series, their files and positions.

    Args:
        folder: any folder; None for one with headers made here.
    """
    if folder is None:
        with made_headers() as made:
            return scan_figures(made)
    from medviewer.formats.scan import scan
    from medviewer.formats.scan_cache import open_catalog

    catalog, anew, work = _timed(lambda: scan([folder]))
    open_catalog([folder])  # leaves what the next one takes
    again, unchanged, _ = _timed(lambda: open_catalog([folder]))
    assert again == catalog  # whoever is quick must not be wrong
    facts = facts_of(catalog)
    return {
        "name": "scan",
        "machine": machine(),
        "n": len(anew),
        "rows": [row("scan", "s", anew), row("scan, nothing changed", "s", unchanged)],
        "seconds": float(np.median(anew)),
        "first_seconds": anew[0],
        "seconds_unchanged": float(np.median(unchanged)),
        "cpu_seconds": float(np.median(work)),
        "crc": checksum(facts),
        "series": len({stack.series_uid for stack in catalog.stacks()}),
        "files": catalog.files,
    }


def _timed(work: Callable[[], Catalog]) -> tuple[Catalog, list[float], list[float]]:
    """The result, and wall and processor seconds of each repetition."""
    wall: list[float] = []
    cpu: list[float] = []
    catalog = Catalog()
    for _ in range(REPEATS):
        began, worked = time.perf_counter(), time.process_time()
        catalog = work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    return catalog, wall, cpu


def facts_of(catalog: Catalog) -> dict[str, dict[str, Any]]:
    """`series`: pictures with a position by Series Instance UID; `zsum`: the sum of their z in mm."""
    count: dict[str, int] = {}
    zsum: dict[str, float] = {}
    for stack in catalog.stacks():
        along = [frame.position_lps[2] for frame in stack.frames if frame.position_lps is not None]
        if along:
            count[stack.series_uid] = count.get(stack.series_uid, 0) + len(along)
            zsum[stack.series_uid] = zsum.get(stack.series_uid, 0.0) + sum(along)
    return {"series": count, "zsum": zsum}


def checksum(facts: Mapping[str, Mapping[str, Any]]) -> int:
    """CRC-32 of the sorted (series, sum of z to 0.1 mm, pictures)."""
    told = repr(sorted((uid, round(total, 1), facts["series"][uid]) for uid, total in facts["zsum"].items()))
    return zlib.crc32(told.encode())


def factory(context: Mapping[str, Any]) -> Callable[[], dict[str, dict[str, Any]]]:
    """For a bench that times from outside: `run()` scans `context["folder"]`, reading every header."""
    from medviewer.formats.scan import scan

    folder = Path(context["folder"])
    return lambda: facts_of(scan([folder]))


def unchanged(context: Mapping[str, Any]) -> Callable[[], dict[str, dict[str, Any]]]:
    """As `factory`, through the scan cache: what opening a folder again costs."""
    from medviewer.formats.scan_cache import open_catalog

    folder = Path(context["folder"])
    return lambda: facts_of(open_catalog([folder]))

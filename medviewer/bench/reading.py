"""How fast folders are scanned and volumes are read, and how fast slices and windows reach the picture."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.bench.figures import machine, row
from medviewer.errors import BadInput
from medviewer.formats.catalog import Catalog, Stack
from medviewer.jobs import JobContext

#: How often a scan or a load is repeated; the median counts.
REPEATS = 3

#: Steps of scrolling and of dragging the window.
STEPS = 120


def scan_figures(folder: Path) -> Mapping[str, Any]:
    """Scan a folder some times: `seconds` is the median, `crc` a checksum of series, counts and positions."""
    from medviewer.formats.scan import scan

    seconds: list[float] = []
    catalog = Catalog()
    for _ in range(REPEATS):
        began = time.perf_counter()
        catalog = scan([folder], JobContext())
        seconds.append(time.perf_counter() - began)
    counts: dict[str, int] = {}
    sums: dict[str, float] = {}
    for stack in catalog.stacks():
        for frame in stack.frames:
            if frame.position_lps is not None:
                counts[stack.series_uid] = counts.get(stack.series_uid, 0) + 1
                sums[stack.series_uid] = sums.get(stack.series_uid, 0.0) + frame.position_lps[2]
    told = repr(sorted((uid, round(total, 1), counts[uid]) for uid, total in sums.items()))
    return {
        **_document("scan", seconds, "s"),
        "seconds": float(np.median(seconds)),
        "crc": zlib.crc32(told.encode()),
        "series": len({stack.series_uid for stack in catalog.stacks()}),
        "files": catalog.files,
    }


def load_figures(folder: Path) -> Mapping[str, Any]:
    """Read the folder's first volume some times, scan included; the checksum is of the values after rescale."""
    from medviewer.formats import load
    from medviewer.formats.scan import scan

    seconds: list[float] = []
    volume = None
    for _ in range(REPEATS):
        volume = None  # two at a time would ask for twice the memory
        began = time.perf_counter()
        stack = _first(scan([folder], JobContext()), folder)
        volume = load.load_volume(stack, JobContext())
        seconds.append(time.perf_counter() - began)
    assert volume is not None
    sample = np.ascontiguousarray(np.rint(volume.values()[::7, ::5, ::3])).astype("<i2")
    return {
        **_document("load", seconds, "s"),
        "seconds": float(np.median(seconds)),
        "crc": zlib.crc32(sample.tobytes()),
        "shape": list(volume.size_kji),
    }


def picture_figures(name: str, folder: Path) -> Mapping[str, Any]:
    """From a step of scrolling ("scroll") or dragging ("window") until the view has painted it, in ms.

    Painting is forced for every step, into the widget's own memory: what the screen adds is not in it.
    """
    from medviewer.desktop.application import application
    from medviewer.desktop.main_window import MainWindow
    from medviewer.desktop.presets import drag_gain, dragged
    from medviewer.formats import load
    from medviewer.formats.scan import scan

    app = application()
    stack = _first(scan([folder], JobContext()), folder)
    volume = load.load_volume(stack, JobContext())
    window = MainWindow()
    window.resize(1280, 900)
    window.show()
    window.session.show(stack, volume)
    app.processEvents()
    view, session = window.grid.views[0], window.session
    gain = drag_gain(volume)
    times: list[float] = []
    for step in range(STEPS):
        began = time.perf_counter()
        if name == "scroll":
            session.scroll(view.axes, 1 if step < STEPS // 2 else -1)
        else:
            session.set_window(dragged(session.window, (1.0, 1.0 if step % 2 else -1.0), gain, is_integer=True))
        view.repaint()
        times.append((time.perf_counter() - began) * 1000)
    window.close()
    return {**_document(name, times, "ms"), "latency_ms": float(np.median(times))}


def _first(catalog: Catalog, folder: Path) -> Stack:
    found = next((s for s in catalog.stacks() if s.size_kji[0] > 1), None) or next(catalog.stacks(), None)
    if found is None:
        raise BadInput("nothing here can be shown", path=folder)
    return found


def _document(name: str, values: list[float], unit: str) -> dict[str, Any]:
    return {"name": name, "machine": machine(), "n": len(values), "rows": [row(name, unit, values)]}

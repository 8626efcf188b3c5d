"""How fast slices and windows reach the picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.bench.figures import machine, row
from medviewer.formats.choose import choose_stack
from medviewer.jobs import JobContext

#: Steps of scrolling and of dragging the window.
STEPS = 120


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
    stack = choose_stack(scan([folder], JobContext()), path=folder)
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


def _document(name: str, values: list[float], unit: str) -> dict[str, Any]:
    return {"name": name, "machine": machine(), "n": len(values), "rows": [row(name, unit, values)]}

"""Is this installation whole? Resources, models, decoders, Qt and the graphics card, one row each.

The same rows are checked in a checkout, in an installation from a wheel and in the frozen program; that is where they
are needed most, since what a packager forgot shows only there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medviewer import __version__, places
from medviewer.errors import MedviewerError

if TYPE_CHECKING:
    from medviewer.inference.store import ModelStore

#: Samples whose values may differ from the original by so much (lossy coding); all others must be exact.
LOSSY_TOLERANCE = {"jpeg-baseline": 8, "jpeg-extended-12": 16, "jpeg-ls-near": 4, "jpeg2000": 16}
RESOURCES = ("codecs", "phantom", "presets", "gate.toml")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        ok: True if it is well.
        needed: False for what medviewer can do without (a graphics card, OpenGL).
        detail: what was found, or the sentence of the fault.
        seconds: how long looking took.
    """

    name: str
    ok: bool
    needed: bool
    detail: str
    seconds: float


def run_self_test() -> Iterator[Row]:
    """Look at everything, in order; rows come as they are known."""
    yield _row("program", lambda: f"medviewer {__version__}, {_kind_of_installation()}")
    for name in RESOURCES:
        yield _row(f"resource {name}", partial(_resource, name))
    for sample in sorted((places.resources_folder() / "codecs").glob("*.dcm")):
        yield _row(f"decode {sample.stem}", partial(_decode, sample))
    yield from _models()
    yield _row("window", _window)
    yield _row("OpenGL", _opengl, needed=False)
    yield _row("graphics card", _graphics_card, needed=False)
    yield _row("user's folder", _user_folder)


def _row(name: str, look: Callable[[], str], *, needed: bool = True) -> Row:
    start = time.perf_counter()
    try:
        detail, ok = look(), True
    except MedviewerError as error:
        detail, ok = error.sentence, False
    except Exception as error:  # a self-test reports every fault as a row
        detail, ok = f"{type(error).__name__}: {error}", False
    return Row(name, ok, needed, detail, time.perf_counter() - start)


def _kind_of_installation() -> str:
    import sys

    if getattr(sys, "frozen", False):
        return "frozen program"
    return "installed" if "_data" in str(places.resources_folder()) else "checkout"


def _resource(name: str) -> str:
    path = places.resources_folder() / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    count = sum(1 for p in path.rglob("*") if p.is_file()) if path.is_dir() else 1
    return f"{count} file{'s' if count != 1 else ''}"


def _decode(path: Path) -> str:
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan
    from medviewer.jobs import JobContext

    context = JobContext()
    catalog = scan([path], context)
    stack = next(iter(catalog.stacks()), None)
    if stack is None:
        raise ValueError("; ".join(s.reason for s in catalog.skipped) or "no picture in it")
    voxels = load_volume(stack, context).voxels[0].astype(np.int64)
    bits = 8 if path.stem == "jpeg-baseline" else 12
    truth = np.load(path.with_name(f"grey-{bits}.npy")).astype(np.int64)
    difference = int(np.abs(voxels - truth).max())
    allowed = LOSSY_TOLERANCE.get(path.stem, 0)
    if difference > allowed:
        raise ValueError(f"values differ by up to {difference}, allowed are {allowed}")
    return "exact" if difference == 0 else f"within {difference} of {allowed} (lossy)"


def _models() -> Iterator[Row]:
    from medviewer.inference.store import ModelStore

    store = ModelStore()
    tasks = store.tasks()
    yield _row("models", lambda: _some(tasks))
    for task in tasks:
        yield _row(f"model {task}", partial(_verify, store, task))


def _some(tasks: tuple[str, ...]) -> str:
    if not tasks:
        raise FileNotFoundError(f"no model in {places.shipped_models_folder()}")
    return ", ".join(tasks)


def _verify(store: ModelStore, task: str) -> str:
    package = store.verify(task)
    return f"version {package.card.version}, hashes and golden case agree"


def _window() -> str:
    from medviewer.desktop.self_check import paint_a_window

    return paint_a_window()


def _opengl() -> str:
    from medviewer.desktop.self_check import opengl_version

    return opengl_version()


def _graphics_card() -> str:
    from medviewer.inference.device import describe_device

    return describe_device()


def _user_folder() -> str:
    probe = places.data_folder() / ".self-test"
    probe.write_text("medviewer", encoding="utf-8")
    probe.unlink()
    return "can be written"

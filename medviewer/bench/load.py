"""How fast a folder becomes a Volume: headers scanned, slices put in order, every voxel read.

Voxels stay in their stored type, as the window keeps them; HU are worked out where they are asked for. `factory` is
for benches that want the values themselves, and pays for them.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.bench.figures import machine, row
from medviewer.bench.made_folder import made_series
from medviewer.formats.catalog import Catalog, Stack
from medviewer.formats.choose import choose_stack
from medviewer.volume.volume import Volume

#: How often it is repeated; the median counts.
REPEATS = 5


def load_figures(folder: Path | None) -> Mapping[str, Any]:
    """Rows in seconds: the whole, the scan of it, and until the first slice is there after the scan.

    `seconds` is the median of the whole, `first_seconds` the first repetition (the one that waits for a disk, where the
    files were not in memory), `peak_mb` the memory above the start at most (None where the system does not
    tell), `voxels_mb` what the voxels need; `crc` is a checksum of the values after rescale, worked out untimed.

    Args:
        folder: a series; of several stacks the one is taken that the program would show. None for one made here.
    """
    if folder is None:
        with made_series() as made:
            return load_figures(made)
    from medviewer.formats.load import empty_volume, load_volume, read_slice

    whole: list[float] = []
    scanned: list[float] = []
    first: list[float] = []
    volume: Volume | None = None
    peak: float | None = None
    for _ in range(REPEATS):
        volume = None  # two at a time would ask for twice the memory
        before = _reset_peak()
        began = time.perf_counter()
        stack = choose_stack(_scan(folder), path=folder)
        scanned.append(time.perf_counter() - began)
        volume = load_volume(stack)
        whole.append(time.perf_counter() - began)
        after = _status("VmHWM")
        if before is not None and after is not None:
            peak = max(peak or 0.0, after - before)
    assert volume is not None
    for _ in range(REPEATS):
        began = time.perf_counter()
        read_slice(stack, empty_volume(stack), stack.size_kji[0] // 2)
        first.append(1000 * (time.perf_counter() - began))
    rows = [row("load", "s", whole), row("scan", "s", scanned), row("first slice after the scan", "ms", first)]
    return {
        "name": "load",
        "machine": machine(),
        "n": len(whole),
        "rows": rows,
        "seconds": float(np.median(whole)),
        "first_seconds": whole[0],
        "crc": checksum(volume),
        "shape": list(volume.size_kji),
        "peak_mb": peak,
        "voxels_mb": volume.voxels.nbytes / 2**20,
    }


def _scan(folder: Path) -> Catalog:
    from medviewer.formats.scan import scan

    return scan([folder])


def checksum(volume: Volume) -> int:
    """CRC-32 of every 7th slice, 5th row and 3rd column of the values, as 16-bit integers."""
    stored = volume.voxels[::7, ::5, ::3]
    values = np.stack([volume.values_of(part, 7 * n) for n, part in enumerate(stored)])
    return zlib.crc32(np.ascontiguousarray(np.rint(values)).astype("<i2").tobytes())


def factory(context: Mapping[str, Any]) -> Callable[[], NDArray[np.generic]]:
    """For a bench that times from outside: `run()` gives the values [k, j, i] of `context["folder"]`.

    Where they fit into the stored type they are worked out in place, as the peers in such benches do.
    """
    folder = Path(context["folder"])

    def run() -> NDArray[np.generic]:
        from medviewer.formats.load import load_volume

        return _values(load_volume(choose_stack(_scan(folder), path=folder)))

    return run


def stored(context: Mapping[str, Any]) -> Callable[[], Stack]:
    """As `factory`, but the voxels stay as they are stored: what the window waits for."""
    folder = Path(context["folder"])

    def run() -> Stack:
        from medviewer.formats.load import load_volume

        stack = choose_stack(_scan(folder), path=folder)
        load_volume(stack)
        return stack

    return run


def _values(volume: Volume) -> NDArray[np.generic]:
    """Values in place as int16 where they fit, else as float32."""
    voxels = volume.voxels
    slope, intercept = volume.rescale_of(0)
    if not (volume.has_one_rescale and volume.is_whole and slope == 1 and voxels.dtype in (np.int16, np.uint16)):
        return volume.values()
    ends = (-32768, 32767) if voxels.dtype == np.int16 else (0, 65535)
    least = int(voxels.min()) if ends[0] + intercept < -32768 else ends[0]
    greatest = int(voxels.max()) if ends[1] + intercept > 32767 else ends[1]
    if least + intercept < -32768 or greatest + intercept > 32767:
        return volume.values()
    values = voxels.view(np.int16)
    np.add(values, np.int16(intercept), out=values)
    return values


def _status(key: str) -> float | None:
    """A line of /proc/self/status in MB; None where there is none."""
    try:
        with Path("/proc/self/status").open(encoding="ascii") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith(key)), None)
    except OSError:
        return None


def _reset_peak() -> float | None:
    """Memory in use in MB; the peak is counted from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    return _status("VmRSS")

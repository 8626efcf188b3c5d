"""Folders of CT files for the benches that were given none: made by our own writer, removed afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: Series and slices of the folder for scanning, slices and rows of the one for loading.
SERIES, SLICES = 4, 250
LOAD_SLICES, LOAD_ROWS = 120, 512


@contextmanager
def made_headers() -> Iterator[Path]:
    """A folder of small pictures: 1,000 headers in four series."""
    with tempfile.TemporaryDirectory(prefix="medviewer-scan-") as made:
        for series in range(SERIES):
            _write(Path(made) / f"series {series + 1}", series + 1, (SLICES, 16, 16))
        yield Path(made)


@contextmanager
def made_series() -> Iterator[Path]:
    """A folder of one series of 120 pictures of 512 x 512."""
    with tempfile.TemporaryDirectory(prefix="medviewer-load-") as made:
        _write(Path(made) / "series", 1, (LOAD_SLICES, LOAD_ROWS, LOAD_ROWS))
        yield Path(made)


def _write(folder: Path, series: int, size_kji: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(series).integers(-1000, 2000, size_kji).astype(np.int16)
    grid = Grid(size_kji, (1.0, 0.7, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-180.0, -180.0, -200.0))
    text = CtText("Bench^Made", "BENCH", series_description=f"made {series}", series_number=series, synthetic=True)
    write_ct_series(Volume(voxels, grid, unit="HU", modality="CT"), folder, text=text, uid_seed=f"bench {series}")

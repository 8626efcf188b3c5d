"""Nodule crops with several readers' outlines: `SPLIT.npz` + `SPLIT.csv`, one row a nodule.

The layout is that of the public LIDC-IDRI nodule crops (Armato et al. 2011, doi 10.1118/1.3528204; CC BY 3.0) and of
the phantom's training sets. Grey values are 8-bit stretches of each slice's own crop: they carry no HU. Slices that
touched scanner padding are repaired by `pad_level` when a case is read.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer import places
from medviewer.errors import BadInput
from medviewer.phantom.ratings import RATING_NAMES

#: Highest grey value that is stored (the lowest bit is dropped).
TOP_GREY = 254.0
#: The nine ratings of LIDC; `internalStructure` and `calcification` are names, not a scale.
RATINGS = RATING_NAMES
_ARRAYS = ("images", "masks", "first", "pad_level")


@dataclass(frozen=True, slots=True, eq=False)
class NoduleCase:
    """One nodule: its crop, what each reader drew, and how each rated it.

    Attributes:
        nodule: name of the nodule (unique in its set).
        patient: name of the patient; splits and bootstraps go by it.
        images: `[k, 96, 96]` float32 in 0..1, padding repaired, feet to head.
        readers: `[reader, k, 96, 96]` bool; readers are in no common order between nodules.
        pixel_mm: size of a pixel; `slice_spacing_mm`: distance of neighbouring slices.
        diameter_mm: longest in-slice extent of the consensus (from full outlines), NaN where unknown.
        ratings: rating by name -> one number a reader (NaN where not given).
        row: the CSV row as it is.
    """

    nodule: str
    patient: str
    images: NDArray[np.float32]
    readers: NDArray[np.bool_]
    pixel_mm: float
    slice_spacing_mm: float
    diameter_mm: float
    ratings: Mapping[str, tuple[float, ...]]
    row: Mapping[str, str]

    @property
    def fraction(self) -> NDArray[np.float32]:
        """Share of the readers who drew each voxel, `[k, 96, 96]` float32 in 0..1."""
        share: NDArray[np.float32] = self.readers.mean(axis=0, dtype=np.float32)
        return share

    @property
    def consensus(self) -> NDArray[np.bool_]:
        """Voxels that at least half of the readers drew, `[k, 96, 96]`."""
        counted: NDArray[np.bool_] = self.readers.sum(axis=0, dtype=np.int32) * 2 >= self.readers.shape[0]
        return counted

    @property
    def click_kji(self) -> tuple[int, int, int]:
        """Where a person is taken to click: the middle of the crop, which is the middle of the nodule."""
        k, j, i = self.images.shape
        return k // 2, j // 2, i // 2

    @property
    def label(self) -> int | None:
        """1 where the readers' mean malignancy is above 3, 0 below, None at 3 or unrated. Opinion, not pathology."""
        mean = self.mean_rating("malignancy")
        return None if not np.isfinite(mean) or mean == 3.0 else int(mean > 3.0)

    def mean_rating(self, name: str) -> float:
        """Mean of the readers' ratings of one name, NaN where nobody rated it."""
        given = [value for value in self.ratings.get(name, ()) if np.isfinite(value)]
        return float(np.mean(given)) if given else float("nan")


class NoduleSet:
    """A split on disk, read case by case; the arrays stay memory-mapped in the cache folder."""

    def __init__(self, folder: Path, split: str) -> None:
        """Open `folder/SPLIT.npz` and its table.

        Raises:
            BadInput: a file is missing, broken, or table and arrays do not fit each other.
        """
        self.folder, self.split = Path(folder), split
        table = self.folder / f"{split}.csv"
        archive = self.folder / f"{split}.npz"
        for path in (table, archive):
            if not path.is_file():
                raise BadInput(f"the set has no split '{split}'", path=path, remedy="give the folder that holds it")
        with table.open(newline="", encoding="utf-8") as file:
            self.rows: list[dict[str, str]] = list(csv.DictReader(file))
        self._arrays = _unpacked(archive)
        first = self._arrays["first"]
        sizes = {self._arrays[name].shape[0] for name in ("images", "masks", "pad_level")}
        if len(first) != len(self.rows) + 1 or sizes != {int(first[-1])}:
            raise BadInput("table and arrays of the set do not fit each other", path=archive)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[NoduleCase]:
        return (self[n] for n in range(len(self)))

    @property
    def patients(self) -> list[str]:
        """The patient of each nodule, in the order of the set."""
        return [row["patient"] for row in self.rows]

    def __getitem__(self, n: int) -> NoduleCase:
        row = self.rows[n]
        span = slice(int(self._arrays["first"][n]), int(self._arrays["first"][n + 1]))
        count = int(row["n_readers"])
        packed = np.asarray(self._arrays["masks"][span])
        readers = np.stack([(packed >> r) & 1 for r in range(count)]).astype(bool)
        images = repaired(np.asarray(self._arrays["images"][span]), np.asarray(self._arrays["pad_level"][span]))
        ratings = {name: tuple(_number(row.get(f"{name}_r{r}")) for r in range(count)) for name in RATINGS}
        return NoduleCase(
            nodule=row["nodule"],
            patient=row["patient"],
            images=images,
            readers=readers,
            pixel_mm=float(row["pixel_mm"]),
            slice_spacing_mm=float(row["slice_spacing_mm"]),
            diameter_mm=_number(row.get("diameter_mm")),
            ratings=ratings,
            row=row,
        )


def repaired(images: NDArray[np.uint8], pad_level: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey values as float32 in 0..1 with the scanner's padding taken out of the stretch.

    Args:
        images: `[S, j, i]` uint8 as stored.
        pad_level: `[S]`, 0 or the lowest real grey level of the slice.
    """
    low = pad_level.astype(np.float32)[:, None, None]
    clipped: NDArray[np.float32] = np.clip((images.astype(np.float32) - low) / (TOP_GREY - low), 0.0, 1.0)
    return clipped


def part_of_train(patient: str) -> str:
    """Which part of the training split a patient belongs to: `fit` (75 %), `early-stop` (10 %) or `calibrate` (15 %).

    The second hash is independent of the one that made the splits; val is never touched for these choices.
    """
    share = int(hashlib.sha256(f"carve:{patient}".encode()).hexdigest()[:8], 16) / 2**32
    return "fit" if share < 0.75 else "early-stop" if share < 0.85 else "calibrate"


def _number(text: str | None) -> float:
    return float(text) if text else float("nan")


def _unpacked(archive: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of the archive, memory-mapped from .npy copies in the cache (unpacking bzip2 takes seconds)."""
    about = archive.stat()
    key = hashlib.sha256(f"{archive.resolve()}:{about.st_size}:{about.st_mtime_ns}".encode()).hexdigest()[:16]
    folder = places.cache_folder() / "nodule-sets" / key
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            with np.load(archive, allow_pickle=False) as packed:
                for name in _ARRAYS:
                    np.save(made / f"{name}.npy", packed[name])
            made.replace(folder)
        except (OSError, ValueError, KeyError, EOFError) as error:
            if not folder.is_dir():  # else another process unpacked it in the meantime
                raise BadInput(f"the set's arrays cannot be read: {error}", path=archive) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}

"""Writes phantom nodules in the layout of the public LIDC crops, so that what reads those reads these.

The layout: `SPLIT.npz` with `images`, `masks`, `nodule`, `first`, `z_mm`, `pad_level`; `SPLIT.csv`, one row a nodule.
Each slice is the 128 x 128 crop stretched from its lowest to its highest value to 0..255, of which the middle
96 x 96 are kept and the lowest bit is dropped. Absolute HU are lost on purpose, as they are there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.atomic import write_whole
from medviewer.phantom.nodules import PhantomCase
from medviewer.phantom.ratings import RATING_NAMES

#: Rows and columns that are kept of a crop.
KEPT = 96

COLUMNS = (
    "nodule",
    "patient",
    "series_uid",
    "n_readers",
    "first_slice",
    "n_slices",
    "pixel_mm",
    "slice_spacing_mm",
    "slice_thickness_mm",
    "diameter_mm",
    "eq_diameter_mm",
    "volume_mm3",
    "consensus_slices",
    "slices_not_in_images",
    "voxels_lost_slices",
    "voxels_lost_crop",
    "padded_slices",
    "row0",
    "col0",
    "slice0",
    *(f"{name}_{part}" for name in RATING_NAMES for part in ("r0", "r1", "r2", "r3", "mean", "sd")),
    "label",
    *(f"annotation_r{r}" for r in range(4)),
    "kind",
)


def stretched(image: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Slices `[k, 128, 128]` HU as the collection keeps them: `[k, 96, 96]` grey values 0, 2, .. 254."""
    values = image.astype(np.float32)
    low = values.min(axis=(1, 2), keepdims=True)
    span = np.maximum(values.max(axis=(1, 2), keepdims=True) - low, 1)
    grey = ((values - low) / span * 255).astype(np.uint8) & np.uint8(0xFE)
    return np.ascontiguousarray(grey[:, _middle(image.shape[1]), _middle(image.shape[2])])


def _middle(size: int) -> slice:
    start = (size - KEPT) // 2
    return slice(start, start + KEPT)


def write_training_set(folder: Path, split: str, cases: Sequence[PhantomCase]) -> tuple[Path, Path]:
    """Write `cases` as `folder/SPLIT.npz` and `folder/SPLIT.csv`, each whole or not at all.

    Of each case the slices are kept in which a reader drew. The column `kind` stands after those of the public set.

    Returns:
        The two files.

    Raises:
        SaveFailed: the folder cannot be written or the disk is full.
    """
    images, masks, owners, heights, rows = [], [], [], [], []
    first = [0]
    for number, case in enumerate(cases):
        drawn = np.flatnonzero(case.readers.any(axis=(1, 2)))
        kept = slice(int(drawn[0]), int(drawn[-1]) + 1)
        grey = stretched(case.image[kept])
        bits = case.readers[kept, _middle(case.readers.shape[1]), _middle(case.readers.shape[2])]
        images.append(grey)
        masks.append(bits)
        owners.append(np.full(len(grey), number, dtype=np.int32))
        heights.append(case.origin_lps[2] + np.arange(kept.start, kept.stop) * case.slice_spacing_mm)
        rows.append(_row(case, kept, first[-1]))
        first.append(first[-1] + len(grey))
    arrays: dict[str, Any] = {
        "images": np.concatenate(images),
        "masks": np.concatenate(masks).astype(np.uint8),
        "nodule": np.concatenate(owners),
        "first": np.asarray(first, dtype=np.int32),
        "z_mm": np.concatenate(heights).astype(np.float32),
        "pad_level": np.zeros(first[-1], dtype=np.uint8),
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    arrays_path, table_path = folder / f"{split}.npz", folder / f"{split}.csv"
    write_whole(arrays_path, packed.getvalue())
    write_whole(table_path, table.getvalue().encode())
    return arrays_path, table_path


def _row(case: PhantomCase, kept: slice, first: int) -> dict[str, Any]:
    largest = int(case.mask.sum(axis=(1, 2)).max())
    inside = case.mask[:, _middle(case.mask.shape[1]), _middle(case.mask.shape[2])]
    start = _middle(case.image.shape[1]).start
    row: dict[str, Any] = {
        "nodule": case.nodule_id,
        "patient": case.patient_id,
        "series_uid": "",
        "n_readers": case.n_readers,
        "first_slice": first,
        "n_slices": kept.stop - kept.start,
        "pixel_mm": case.pixel_mm,
        "slice_spacing_mm": case.slice_spacing_mm,
        "slice_thickness_mm": case.slice_spacing_mm,
        "diameter_mm": round(case.diameter_mm, 3),
        "eq_diameter_mm": round(float(2 * np.sqrt(largest / np.pi)) * case.pixel_mm, 3),
        "volume_mm3": round(case.volume_mm3, 2),
        "consensus_slices": int(case.mask.any(axis=(1, 2)).sum()),
        "slices_not_in_images": 0,
        "voxels_lost_slices": 0,
        "voxels_lost_crop": int(case.mask.sum() - inside.sum()),
        "padded_slices": 0,
        "row0": start,
        "col0": start,
        "slice0": kept.start,
        "kind": case.kind,
    }
    for name, values in case.ratings.items():
        row.update({f"{name}_r{r}": value for r, value in enumerate(values)})
        row[f"{name}_mean"] = round(float(np.mean(values)), 4)
        row[f"{name}_sd"] = round(float(np.std(values, ddof=1)), 4)
    malignancy = float(np.mean(case.ratings["malignancy"]))
    row["label"] = "" if malignancy == 3 else int(malignancy > 3)
    return row

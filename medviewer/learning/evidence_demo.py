"""The outline on a real study, through the program's own doors, against four readers.

    python -m medviewer.learning.evidence_demo --data data/lidc_demo --out docs/evidence/lidc_demo.json

The nodule of LIDC-IDRI-0314 lies in true HU and true geometry; the patient is in no training set here. The DICOM files
are scanned and loaded as the window does it, the champion is asked at the consensus centre and at 28 places around it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from medviewer.inference.predict import predict
from medviewer.jobs import JobContext
from medviewer.learning.metrics import dice, hd95_mm
from medviewer.volume.volume import Volume

TASK = "lung-nodule-segment"
#: The series counts its slices from 0 at the lowest z; the block holds slices from here on.
FIRST_SLICE = 132

Mask = NDArray[np.bool_]


def filled(points_column_row: Sequence[Sequence[int]], shape: tuple[int, int]) -> Mask:
    """The inside of a reader's outline; its own pixels are outside (LIDC's readers drew on the first pixel beyond)."""
    from scipy import ndimage

    drawn = np.zeros(shape, dtype=bool)
    points = np.asarray(points_column_row, dtype=np.int64)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        steps = int(max(abs(x1 - x0), abs(y1 - y0), 1))
        share = np.arange(steps + 1) / steps
        drawn[np.round(y0 + share * (y1 - y0)).astype(int), np.round(x0 + share * (x1 - x0)).astype(int)] = True
    inside: Mask = ndimage.binary_fill_holes(drawn) & ~drawn
    return inside


def readers_masks(folder: Path, shape: tuple[int, int, int]) -> list[Mask]:
    """What each reader drew, on the voxels of the block; outlines marked as exclusions are cut out, rim and all."""
    document = json.loads((folder / "reader_contours.json").read_text(encoding="utf-8"))
    masks = []
    for reader in document["readers"]:
        mask = np.zeros(shape, dtype=bool)
        for wanted in (True, False):
            for contour in reader["contours"]:
                if contour["inclusion"] is not wanted:
                    continue
                k = int(contour["slice_index_in_full_series"]) - FIRST_SLICE
                inside = filled(contour["col_row"], shape[1:])
                if wanted:
                    mask[k] |= inside
                else:
                    rim = np.asarray(contour["col_row"])
                    inside[rim[:, 1], rim[:, 0]] = True
                    mask[k] &= ~inside
        masks.append(mask)
    return masks


def measured(folder: Path) -> dict[str, Any]:
    """Dice with each reader and the consensus, and with itself when the click moves."""
    catalog = scan([folder / "LIDC-IDRI-0314_ct_block.zip"], JobContext())
    stacks = [
        stack for patient in catalog.patients for study in patient.studies for s in study.series for stack in s.stacks
    ]
    if len(stacks) != 1:
        raise BadInput(f"one stack was expected, {len(stacks)} were found", path=folder)
    volume = load_volume(stacks[0], JobContext())
    assert volume.grid is not None
    readers = readers_masks(folder, volume.size_kji)
    with (folder / "nodules.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = [int(row["voxels"]) for row in rows if row["row_kind"] == "reader"]
    (centre_row,) = [row for row in rows if row["row_kind"].startswith("consensus")]
    centre = [float(centre_row[name]) for name in ("L_mm", "P_mm", "S_mm")]
    consensus = np.sum(readers, axis=0) * 2 >= len(readers)
    found, suggestion = _asked(volume, centre)
    pairs = [dice(a, b) for n, a in enumerate(readers) for b in readers[n + 1 :]]
    moved: list[dict[str, Any]] = []
    pixel, step = volume.grid.spacing_kji[2], volume.grid.spacing_kji[0]
    for offset in _offsets():
        shift = (offset[2] * pixel, offset[1] * pixel, offset[0] * step)
        mask, _ = _asked(volume, [c + s for c, s in zip(centre, shift, strict=True)])
        moved.append({"kji": offset, "itself": dice(mask, found), "consensus": dice(mask, consensus)})
    return {
        "model": suggestion.model,
        "clicked_lps": centre,
        "voxels": int(found.sum()),
        "readers_voxels": [int(r.sum()) for r in readers],
        "readers_voxels_in_nodules_csv": listed,
        "dice_with_each_reader": [dice(found, reader) for reader in readers],
        "dice_with_consensus": dice(found, consensus),
        "hd95_with_consensus_mm": hd95_mm(found, consensus, volume.grid.spacing_kji),
        "readers_among_themselves": {"lowest": min(pairs), "highest": max(pairs), "mean": float(np.mean(pairs))},
        "check_first": list(suggestion.check_first),
        "moved_clicks": moved,
        "moved_itself_lowest": min(row["itself"] for row in moved),
        "moved_consensus_lowest": min(row["consensus"] for row in moved),
    }


def _asked(volume: Volume, point_lps: Sequence[float]) -> tuple[Mask, Any]:
    suggestion = predict(TASK, volume, point_lps=point_lps, device="cpu")
    mask = np.zeros(volume.size_kji, dtype=bool)
    for segment in suggestion.segments:
        box = tuple(slice(a, a + n) for a, n in zip(segment.start_kji, segment.mask.shape, strict=True))
        mask[box] |= segment.mask > 0
    return mask, suggestion


def _offsets() -> list[tuple[int, int, int]]:
    """Clicks moved by 3 pixels or slices along axes and diagonals, by less, and at random in between."""
    plain = [tuple(3 * s if axis == a else 0 for a in range(3)) for axis in range(3) for s in (-1, 1)]
    corners = [(0, j, i) for j in (-3, 3) for i in (-3, 3)]
    rng = np.random.default_rng(5)
    some = [tuple(int(v) for v in rng.integers(-3, 4, 3)) for _ in range(18)]
    return [(int(k), int(j), int(i)) for k, j, i in (*plain, *corners, *some)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    told = parser.parse_args(arguments)
    result = measured(told.data)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "moved_clicks"}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

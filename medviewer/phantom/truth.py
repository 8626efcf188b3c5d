"""The truth of a phantom study on disk: `nodules.csv` for people, `nodules.json` and `masks.npz` for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.errors import BadInput
from medviewer.formats.atomic import write_whole
from medviewer.phantom.study import PhantomNodule, PhantomStudy
from medviewer.volume.grid import Grid

_FORMAT = 1
_COLUMNS = ("name", "kind", "x_lps", "y_lps", "z_lps", "diameter_mm", "volume_mm3", "hu", "voxels")


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The truth of a study as read back: the patient, the Grid that the masks lie on, and the nodules."""

    patient_id: str
    grid: Grid
    nodules: tuple[PhantomNodule, ...]


def write_truth(study: PhantomStudy, folder: Path) -> tuple[Path, Path, Path]:
    """Write the three files of the truth; each is there whole or not at all.

    Raises:
        SaveFailed: the folder cannot be written or the disk is full.
    """
    grid = study.volume.grid
    assert grid is not None
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    records: list[dict[str, Any]] = []
    masks: dict[str, Any] = {}
    for number, nodule in enumerate(study.nodules, start=1):
        x, y, z = (round(v, 3) for v in nodule.centre_lps)
        sizes = (round(nodule.diameter_mm, 3), round(nodule.volume_mm3, 2))
        writer.writerow([nodule.name, nodule.kind, x, y, z, *sizes, round(nodule.hu, 1), int(nodule.mask.sum())])
        records.append(
            {
                "name": nodule.name,
                "kind": nodule.kind,
                "centre_lps": list(nodule.centre_lps),
                "diameter_mm": nodule.diameter_mm,
                "volume_mm3": nodule.volume_mm3,
                "hu": nodule.hu,
                "start_kji": list(nodule.start_kji),
                "ratings": {name: list(values) for name, values in nodule.ratings.items()},
            }
        )
        masks[f"nodule_{number}"] = nodule.mask
    packed = io.BytesIO()
    np.savez_compressed(packed, **masks)
    content = {
        "format": _FORMAT,
        "patient_id": study.patient_id,
        "recipe": study.recipe_name,
        "seed": study.seed,
        "grid": {
            "size_kji": list(grid.size_kji),
            "spacing_kji": list(grid.spacing_kji),
            "direction": list(grid.direction),
            "origin_lps": list(grid.origin_lps),
        },
        "nodules": records,
    }
    paths = (folder / "nodules.csv", folder / "nodules.json", folder / "masks.npz")
    write_whole(paths[0], table.getvalue().encode())
    write_whole(paths[2], packed.getvalue())
    write_whole(paths[1], json.dumps(content, indent=1).encode())
    return paths


def read_truth(folder: Path) -> Truth:
    """Read back what `write_truth` wrote into `folder`.

    Raises:
        BadInput: the files are missing or are not such a truth.
    """
    path = folder / "nodules.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        with np.load(folder / "masks.npz", allow_pickle=False) as packed:
            masks = {name: packed[name].astype(np.bool_) for name in packed.files}
        spot = content["grid"]
        grid = Grid(
            (spot["size_kji"][0], spot["size_kji"][1], spot["size_kji"][2]),
            (spot["spacing_kji"][0], spot["spacing_kji"][1], spot["spacing_kji"][2]),
            tuple(spot["direction"]),
            (spot["origin_lps"][0], spot["origin_lps"][1], spot["origin_lps"][2]),
        )
        nodules = tuple(
            _nodule(record, masks[f"nodule_{number}"]) for number, record in enumerate(content["nodules"], start=1)
        )
        return Truth(str(content["patient_id"]), grid, nodules)
    except OSError as error:
        reason = error.strerror or "no such file"
        raise BadInput(f"the phantom's truth cannot be read: {reason}", path=path) from error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadInput("this is not a phantom's truth", path=path) from error


def _nodule(record: dict[str, Any], mask: np.ndarray[Any, np.dtype[np.bool_]]) -> PhantomNodule:
    x, y, z = (float(v) for v in record["centre_lps"])
    k, j, i = (int(v) for v in record["start_kji"])
    return PhantomNodule(
        name=str(record["name"]),
        kind=str(record["kind"]),
        start_kji=(k, j, i),
        mask=mask,
        centre_lps=(x, y, z),
        diameter_mm=float(record["diameter_mm"]),
        volume_mm3=float(record["volume_mm3"]),
        hu=float(record["hu"]),
        ratings={name: tuple(int(v) for v in values) for name, values in record["ratings"].items()},
    )

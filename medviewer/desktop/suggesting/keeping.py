"""Finished lesions join the user's own library of similar cases, in a child process: it needs torch. No Qt here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import Box, Segmentation
from medviewer.inference.prompt import Prompt
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: What is handed to the child: so much of the picture on every side of the lesion, voxels in a slice and mm through it.
AROUND_PX, AROUND_MM = 80, 40.0


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One lesion to keep.

    Attributes:
        id: 32 hexadecimal digits; the same lesion has the same, so that it is kept once.
        volume: the picture around it.
        point_lps: a voxel of it, mm (LPS).
        diameter_mm: longest extent in one slice.
    """

    id: str
    volume: Volume
    point_lps: tuple[float, float, float]
    diameter_mm: float | None


@dataclass(frozen=True, slots=True, eq=False)
class KeepRequest:
    """What the child is told: the similar-cases task, the patient's id, the lesions."""

    task: str
    patient: str
    lesions: tuple[Lesion, ...]


def lesions_of(volume: Volume, segmentation: Segmentation, numbers: Sequence[int]) -> tuple[Lesion, ...]:
    """The lesions behind some segments, each with the picture around it."""
    made = []
    for number in numbers:
        drawn = segmentation.mask(number)
        if drawn is None or volume.grid is None:
            continue
        box, mask = drawn
        inside = np.argwhere(mask)
        nearest = inside[np.argmin(((inside - inside.mean(axis=0)) ** 2).sum(axis=1))] + np.asarray(box.start_kji)
        point = volume.grid.index_to_lps(nearest)
        name = f"{segmentation.stack_id} {segmentation.segments[number].tracking_uid}"
        made.append(
            Lesion(
                hashlib.sha256(name.encode()).hexdigest()[:32],
                around(volume, box),
                (float(point[0]), float(point[1]), float(point[2])),
                longest_mm(mask, volume.grid),
            )
        )
    return tuple(made)


def around(volume: Volume, box: Box) -> Volume:
    """A copy of the part of a volume around a box, at its place in the patient."""
    assert volume.grid is not None
    reach = (int(np.ceil(AROUND_MM / volume.grid.spacing_kji[0])), AROUND_PX, AROUND_PX)
    size = [n + 2 * r for n, r in zip(box.size_kji, reach, strict=True)]
    part = Box.of([a - r for a, r in zip(box.start_kji, reach, strict=True)], size).cut_to(volume.size_kji)
    assert part is not None
    x, y, z = (float(v) for v in volume.grid.index_to_lps(part.start_kji))
    grid = replace(volume.grid, size_kji=part.size_kji, origin_lps=(x, y, z))
    k = part.slices[0]
    slope = volume.slope[k] if isinstance(volume.slope, np.ndarray) else volume.slope
    intercept = volume.intercept[k] if isinstance(volume.intercept, np.ndarray) else volume.intercept
    tables = volume.tables[k] if len(volume.tables) > 1 else volume.tables
    loaded = np.ones(part.size_kji[0], dtype=np.bool_)
    voxels = np.ascontiguousarray(volume.voxels[part.slices])
    return replace(volume, voxels=voxels, grid=grid, slope=slope, intercept=intercept, tables=tables, loaded=loaded)


def longest_mm(mask: NDArray[np.bool_], grid: Grid) -> float | None:
    """The longest distance of two voxel centres of one slice plus one voxel, mm; None for an empty mask."""
    pixel = np.asarray(grid.spacing_kji[1:])
    longest = None
    for plane in mask:
        ends = _ends_of_rows(plane) * pixel
        if len(ends):
            far = float(np.sqrt(((ends[:, None] - ends[None]) ** 2).sum(axis=-1).max()) + pixel.mean())
            longest = far if longest is None else max(longest, far)
    return longest


def _ends_of_rows(plane: NDArray[np.bool_]) -> NDArray[np.float64]:
    """First and last voxel of each row: the farthest two are among them."""
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - 1 - plane[rows][:, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)]).astype(np.float64)


def keep(request: KeepRequest, context: JobContext) -> int:
    """Add the lesions to the user's own library; how many the model could place. Imports torch."""
    from medviewer.inference.nodule_query import nodule_query
    from medviewer.inference.similar_nodule import library_nodule, load_finder, own_library
    from medviewer.inference.store import ModelStore

    finder = load_finder(ModelStore().champion(request.task))
    library = own_library()
    kept = 0
    for n, lesion in enumerate(request.lesions):
        context.report(n, len(request.lesions), "Adding to the library")
        query = nodule_query(lesion.volume, Prompt.of(point_lps=lesion.point_lps), finder.ensemble)
        if isinstance(query, str):
            continue
        nodule = library_nodule(
            finder, query, patient=library.patient_hash(request.patient), diameter_mm=lesion.diameter_mm
        )
        library.add(replace(nodule, id=lesion.id))
        kept += 1
    return kept

"""Masks of any origin laid on an image's grid as one label map: DICOM SEG and RTSTRUCT, NIfTI, NRRD.

Equal grids are taken as they are; other grids of the same space are resampled to the nearest voxel, and that is
said; a mask that lies elsewhere is refused. Order of voxels and file names play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, Refused
from medviewer.formats.catalog import Catalog
from medviewer.formats.choose import choose_stack
from medviewer.formats.dicom.objects.seg_read import SegDescription
from medviewer.formats.laid import Target
from medviewer.formats.load import load_volume
from medviewer.formats.scan import nothing_opened
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: Label maps of files: eight bits, or sixteen where numbers need them.
Labels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class LaidMask:
    """A label map on an image's grid.

    Attributes:
        labelmap: uint8 `[k, j, i]`, 0 is background.
        segments: what the labels are.
        note: what had to be done to lay it, "" if nothing.
    """

    labelmap: NDArray[np.uint8]
    segments: tuple[SegDescription, ...]
    note: str = ""


def read_mask(path: Path, grid: Grid, context: JobContext | None = None) -> LaidMask:
    """Read a mask file and lay it on a grid.

    Args:
        path: DICOM SEG or RTSTRUCT, .nii, .nii.gz or .nrrd.
        grid: the image's.
        context: for cancel.

    Raises:
        BadInput: the file is no mask, or a part of it is damaged.
        Refused: its geometry does not fit, or its segments overlap.
    """
    from medviewer.formats.overlays import as_segments, read_overlay

    target = Target(grid.size_kji, grid)
    laid = as_segments(read_overlay(path, target, context), target, context)
    if laid.refused:
        raise BadInput(f"the mask cannot be read whole: {laid.refused[0]}", path=path)
    try:
        labelmap = laid.labelmap()
    except Refused as refused:
        raise Refused(refused.what, path=path, remedy=refused.remedy) from refused
    return LaidMask(labelmap, tuple(s.description for s in laid.segments), "; ".join(laid.notes))


def plain_segments(labelmap: Labels) -> tuple[SegDescription, ...]:
    """Descriptions of labels of which nothing is known but their numbers."""
    present = np.flatnonzero(np.bincount(labelmap.ravel(), minlength=256)[1:]) + 1
    return tuple(SegDescription(int(n), f"Segment {n}") for n in present)


def label_volume(catalog: Catalog, path: Path, context: JobContext | None = None) -> tuple[Labels, Grid]:
    """Labels of a NIfTI or NRRD file and their grid.

    Raises:
        BadInput: it is no mask. Refused: it has no geometry.
    """
    if catalog.is_empty:
        raise nothing_opened([path], catalog)
    stack = choose_stack(catalog, path=path)
    if stack.source == "dicom" or stack.times > 1 or stack.is_colour:
        raise BadInput("a mask is asked for, and this holds pictures", path=path, remedy="give a SEG, NIfTI or NRRD")
    if stack.grid is None or not stack.grid.oriented:
        raise Refused("the mask gives no orientation, so nobody knows where it lies", path=path)
    return as_labels(load_volume(stack, context), path), stack.grid


def as_labels(volume: Volume, path: Path) -> Labels:
    """Whole values 0 to 65535, as narrow as they are.

    Raises:
        BadInput: the values are no labels.
    """
    stored = volume.voxels
    plain = volume.has_one_rescale and volume.rescale_of(0) == (1.0, 0.0)
    values = stored if plain else volume.values()
    narrow = float(values.max(initial=0)) <= 255  # False for NaN
    with np.errstate(invalid="ignore"):
        labels: Labels = values.astype(np.uint8) if narrow else values.astype(np.uint16)
    if not bool(np.array_equal(labels, values)):
        raise BadInput("a mask holds whole numbers from 0 to 65535, and this does not", path=path)
    return labels


def resample_nearest(labels: Labels, own: Grid, grid: Grid) -> Labels:
    """Labels at the centres of another grid's voxels; 0 outside."""
    out: Labels = np.zeros(grid.size_kji, dtype=labels.dtype)
    rows, columns = np.meshgrid(np.arange(grid.size_kji[1]), np.arange(grid.size_kji[2]), indexing="ij")
    index = np.stack([np.zeros_like(rows), rows, columns], axis=-1).astype(np.float64)
    limits = np.asarray(own.size_kji)
    for k in range(grid.size_kji[0]):
        index[..., 0] = k
        nearest = np.floor(own.lps_to_index(grid.index_to_lps(index)) + 0.5).astype(np.int64)
        inside = np.all((nearest >= 0) & (nearest < limits), axis=-1)
        at = nearest[inside]
        out[k][inside] = labels[at[:, 0], at[:, 1], at[:, 2]]
    return out

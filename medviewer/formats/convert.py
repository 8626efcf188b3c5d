"""From one format to another, without a loss that is not said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, Refused
from medviewer.formats import nifti, nrrd
from medviewer.formats.carry import Use, grid_for, is_resampled
from medviewer.formats.catalog import Stack
from medviewer.formats.choose import choose_stack
from medviewer.formats.load import load_volume
from medviewer.formats.scan import nothing_opened, scan
from medviewer.formats.straighten import straightened
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

AnyArray = NDArray[np.generic]

_FORMATS = ((".nii.gz", "nifti"), (".nii", "nifti"), (".nrrd", "nrrd"), (".stl", "stl"))


def format_of(out: Path) -> str:
    """The format that a file name asks for.

    Raises:
        BadInput: none that is written.
    """
    for suffix, form in _FORMATS:
        if out.name.lower().endswith(suffix):
            return form
    raise BadInput(
        "the output's name says no format that is written", path=out, remedy="end it in .nii.gz, .nii, .nrrd or .stl"
    )


def to_volume_file(path: Path, out: Path, form: str, stack_id: str | None, context: JobContext) -> dict[str, Any]:
    """Write a stack as NIfTI or NRRD.

    Returns:
        What was written, for people and for JSON.

    Raises:
        BadInput: nothing to convert. Refused: the geometry cannot carry it. SaveFailed: it cannot be written.
    """
    catalog = scan([path], context)
    if catalog.is_empty:
        raise nothing_opened([path], catalog)
    stack = choose_stack(catalog, stack_id, path=path)
    grid = grid_for(stack, Use.VOLUME_FILE)
    facts = _facts(stack)
    if is_resampled(stack):
        return _upright_to_file(stack, out, form, facts, context)
    if form == "nrrd":
        if stack.times > 1:
            raise Refused("a 4-D stack is not written as NRRD", path=path, remedy="write .nii.gz")
        volume = load_volume(stack, context)
        nrrd.write(out, _values(volume), grid)
        return facts
    if stack.times == 1:
        volume = load_volume(stack, context)
        if volume.has_one_rescale:
            slope, intercept = volume.rescale_of(0)
            nifti.write(out, volume.voxels, grid, slope=slope, intercept=intercept)
        else:
            nifti.write(out, volume.values(), grid)
            facts["note"] = "each slice has its own rescale: written as values after it (float)"
        return facts
    volumes = [load_volume(stack, context, time=t) for t in range(stack.times)]
    rescales = {volume.rescale_of(0) for volume in volumes if volume.has_one_rescale}
    if len(rescales) == 1 and all(volume.has_one_rescale for volume in volumes):
        slope, intercept = rescales.pop()
        nifti.write(out, np.stack([volume.voxels for volume in volumes]), grid, slope=slope, intercept=intercept)
    else:
        nifti.write(out, np.stack([volume.values() for volume in volumes]), grid)
    return facts


def _upright_to_file(stack: Stack, out: Path, form: str, facts: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """A tilted stack on an upright grid: readers of volume files take the third axis for the normal."""
    made = [straightened(stack, load_volume(stack, context, time=t), context, t) for t in range(stack.times)]
    described, first = made[0]
    assert described.grid is not None
    if form == "nrrd" and stack.times > 1:
        raise Refused("a 4-D stack is not written as NRRD", path=out, remedy="write .nii.gz")
    if form == "nrrd":
        nrrd.write(out, _values(first), described.grid)
    elif stack.times == 1 and first.has_one_rescale:
        slope, intercept = first.rescale_of(0)
        nifti.write(out, first.voxels, described.grid, slope=slope, intercept=intercept)
    else:
        values = [volume.values() for _, volume in made]
        nifti.write(out, values[0] if stack.times == 1 else np.stack(values), described.grid)
    k, j, i = described.size_kji
    what = "; ".join(q.detail for q in described.quality if q.code == "gantry-tilt")
    return {**facts, "what": f"{k} x {j} x {i} voxels", "size": [k, j, i], "resampled": True, "note": what}


def _facts(stack: Stack) -> dict[str, Any]:
    k, j, i = stack.size_kji
    times = f" x {stack.times} times" if stack.times > 1 else ""
    return {
        "what": f"{k} x {j} x {i} voxels{times}",
        "stack": stack.id,
        "size": [k, j, i],
        "times": stack.times,
        "note": "",
    }


def _values(volume: Volume) -> AnyArray:
    """Values after the rescale in the narrowest type that holds them exactly: the stored one, int32, float32."""
    slope, intercept = volume.rescale_of(0)
    whole = volume.has_one_rescale and volume.voxels.dtype.kind in "iu" and volume.voxels.dtype.itemsize <= 2
    if volume.has_one_rescale and (slope, intercept) == (1.0, 0.0):
        return volume.voxels
    if whole and slope == int(slope) and intercept == int(intercept):
        values = volume.voxels.astype(np.int32) * int(slope) + int(intercept)
        fits = values.min() >= -32768 and values.max() <= 32767
        return values.astype(np.int16) if fits else values
    return volume.values()

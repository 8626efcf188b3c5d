"""Segmentations, structures and doses to volume files and surfaces, and masks to DICOM; no loss that is not said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.errors import BadInput, Refused
from medviewer.formats import mesh, nifti, nrrd
from medviewer.formats.carry import Use, grid_for, is_resampled
from medviewer.formats.catalog import Catalog, ObjectFile, Stack
from medviewer.formats.choose import open_stack
from medviewer.formats.dicom.objects.dose import Dose
from medviewer.formats.dicom.objects.seg_file import open_seg_file
from medviewer.formats.dicom.objects.seg_lay import lay, own_target
from medviewer.formats.laid import LaidSegment, LaidSegments, Target
from medviewer.formats.masks import label_volume
from medviewer.formats.overlays import Overlay, as_segments, read_object, read_overlay, the_object
from medviewer.formats.scan import scan
from medviewer.formats.straighten import plan_of
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.regular import regular_labels


@dataclass(frozen=True, slots=True)
class MaskJob:
    """What is converted.

    Attributes:
        path: the mask, segmentation, structure set or dose.
        out: the file to write.
        reference: the series that it is laid on; None: on the lattice of its own frames.
        segment: number or name of the one segment that is wanted, None for all.
    """

    path: Path
    out: Path
    reference: Path | None = None
    segment: str | None = None


def is_object(path: Path, context: JobContext) -> bool:
    """True where a path holds a segmentation, structures or a dose, and no pictures."""
    catalog = scan([path], context)
    return next(catalog.stacks(), None) is None and the_object(catalog, path) is not None


def to_volume_file(job: MaskJob, form: str, context: JobContext) -> dict[str, Any]:
    """Write a mask or a dose as NIfTI or NRRD, on the reference's grid or on its own.

    Returns:
        What was written, for people and for JSON.

    Raises:
        BadInput: nothing that could be converted. Refused: the geometries do not fit. MissingHere, SaveFailed.
    """
    catalog = scan([job.path], context)
    found = the_object(catalog, job.path)
    if found is not None and found.kind == "RTDOSE":
        return _dose_to_file(found, job, form, context)
    laid, grid = _laid(job, catalog, found, Use.VOLUME_FILE, context)
    numbers = laid.numbers(on_overlap="later-wins")
    note = _note(laid)
    stack = None if job.reference is None else open_stack([job.reference], None, context)
    if stack is not None and is_resampled(stack):  # as the images themselves are written
        plan = plan_of(stack)
        numbers, grid = regular_labels(plan, numbers), plan.grid
        note = "; ".join(part for part in (note, "laid upright as the tilted images are") if part)
    write = nrrd.write if form == "nrrd" else nifti.write
    write(job.out, numbers, grid)
    return {**_facts(laid), "size": list(grid.size_kji), "times": 1, "note": note}


def to_surface(job: MaskJob, context: JobContext) -> dict[str, Any]:
    """Write the surface of a mask as STL: of all segments together, or of one.

    Raises:
        BadInput: no mask. Refused: the geometries do not fit. MissingHere, SaveFailed.
    """
    catalog = scan([job.path], context)
    found = the_object(catalog, job.path)
    if found is None and job.reference is None and job.segment is None:
        labels, grid = label_volume(catalog, job.path, context)
        mesh.write_stl(job.out, labels, grid)
        return {"what": "surface in LPS millimetres", "note": ""}
    laid, grid = _laid(job, catalog, found, Use.SURFACE, context)
    mesh.write_stl(job.out, laid.numbers(on_overlap="later-wins"), grid)
    return {**_facts(laid), "what": "surface in LPS millimetres", "note": _note(replace(laid, segments=()))}


def to_dicom(job: MaskJob, kind: str, context: JobContext) -> dict[str, Any]:
    """Write masks of any origin as DICOM SEG ("seg") or RT Structure Set ("rtstruct") on the reference series.

    Raises:
        BadInput: no mask, no series. Refused: the geometries do not fit. MissingHere, SaveFailed.
    """
    if job.reference is None:
        raise BadInput("a DICOM object lies on a series", path=job.path, remedy="add --reference FOLDER")
    stack, target = _target(job.reference, Use.DICOM_MASK, context)
    laid = _chosen(as_segments(read_overlay(job.path, target, context), target, context), job)
    if kind == "seg":
        from medviewer.formats.dicom.objects.seg import write_segments

        write_segments(job.out, laid, stack)
        what = f"DICOM SEG with {len(laid.segments)} segments"
    else:
        from medviewer.formats.dicom.objects.rtstruct_writer import write_structures

        count = write_structures(job.out, laid, stack)
        what = f"RT Structure Set with {len(laid.segments)} structures, {count} contours"
    return {**_facts(laid), "what": what, "note": "; ".join((*laid.notes, *laid.refused))}


def _target(reference: Path, use: Use, context: JobContext) -> tuple[Stack, Target]:
    stack = open_stack([reference], None, context)
    grid_for(stack, use)
    return stack, Target.of(stack)


def _laid(
    job: MaskJob, catalog: Catalog, found: ObjectFile | None, use: Use, context: JobContext
) -> tuple[LaidSegments, Grid]:
    """The masks and the grid that they lie on."""
    if job.reference is not None:
        _, target = _target(job.reference, use, context)
        overlay = read_overlay(job.path, target, context) if found is None else read_object(found, target, context)
    elif found is None or found.kind not in ("SEG", "LABELMAP"):
        if found is None and job.segment is not None:
            labels, grid = label_volume(catalog, job.path, context)
            target = Target(labels.shape, grid)
            overlay = read_overlay(job.path, target, context)
        else:
            raise BadInput("contours lie on a series", path=job.path, remedy="add --reference FOLDER")
    else:
        seg = open_seg_file(found.path)
        target = own_target(seg)
        overlay = Overlay(found.path, found.kind, lay(seg, target, context))
    assert target.grid is not None
    return _chosen(as_segments(overlay, target, context), job), target.grid


def _chosen(laid: LaidSegments, job: MaskJob) -> LaidSegments:
    if job.segment is None:
        return laid
    fits = [s for s in laid.segments if job.segment in (str(s.description.number), s.description.label)]
    if not fits:
        known = ", ".join(f"{s.description.number} ({s.description.label})" for s in laid.segments[:12])
        raise BadInput(f"there is no segment {job.segment!r}", path=job.path, remedy=f"there are: {known or 'none'}")
    return replace(laid, segments=(fits[0],))


def _facts(laid: LaidSegments) -> dict[str, Any]:
    def row(segment: LaidSegment) -> dict[str, Any]:
        described = segment.description
        voxels = int(np.count_nonzero(segment.mask))
        return {"number": described.number, "label": described.label, "voxels": voxels}

    count = len(laid.segments)
    return {
        "what": f"{count} segment{'s' if count != 1 else ''}",
        "segments": [row(s) for s in laid.segments],
        "refused": list(laid.refused),
    }


def _note(laid: LaidSegments) -> str:
    """What is lost or done, for people."""
    notes = [*laid.notes, *laid.refused]
    if laid.kind == "fractional":
        notes.append("fractions count from one half")
    shared = laid.overlap
    if shared:
        notes.append(
            f"{shared} voxels belong to several segments, and the file has room for one: the later one has them "
            "(--segment N writes one of them whole)"
        )
    return "; ".join(notes)


def _dose_to_file(found: ObjectFile, job: MaskJob, form: str, context: JobContext) -> dict[str, Any]:
    if job.segment is not None:
        raise BadInput("a dose has no segments", path=found.path)
    notes: list[str] = []
    if job.reference is not None:
        _, target = _target(job.reference, Use.VOLUME_FILE, context)
        content = read_object(found, target, context).content
        assert isinstance(content, Dose) and target.grid is not None
        grid = target.grid
        j, i = np.meshgrid(np.arange(grid.size_kji[1]), np.arange(grid.size_kji[2]), indexing="ij")
        values = np.empty(grid.size_kji, dtype=np.float32)
        for k in range(grid.size_kji[0]):
            context.report(k, grid.size_kji[0], "resampling the dose")
            values[k] = content.at(grid.index_to_lps(np.stack([np.full_like(j, k), j, i], axis=-1)))
        outside = int(np.count_nonzero(np.isnan(values)))
        values = np.nan_to_num(values, nan=0.0)
        notes.append("resampled to the image's grid (trilinear)")
        if outside:
            notes.append(f"{100 * outside / values.size:.0f} % of the image lie outside the dose grid and are 0")
    else:
        from medviewer.formats.dicom.objects.dose import read_dose

        content = read_dose(found.path, context)
        values, grid = content.values, _grid_of(content)
    write = nrrd.write if form == "nrrd" else nifti.write
    write(job.out, values, grid)
    return {
        "what": f"dose, {content.summary}",
        "size": list(grid.size_kji),
        "times": 1,
        "unit": content.unit,
        "max": content.largest,
        "note": "; ".join((*notes, *content.notes)),
    }


def _grid_of(dose: Dose) -> Grid:
    """The dose's own grid.

    Raises:
        Refused: its planes are not evenly spaced.
    """
    steps = np.diff(dose.heights_mm)
    step = float(np.median(steps)) if steps.size else 1.0
    if steps.size and np.max(np.abs(steps - step)) > 1e-2 * step:
        raise Refused("the dose's planes are unevenly spaced", path=dose.path, remedy="add --reference FOLDER")
    normal = np.cross(dose.column_lps, dose.row_lps)
    x, y, z = (float(v) for v in dose.origin_lps + dose.heights_mm[0] * normal)
    k, j, i = dose.values.shape
    direction = tuple(float(v) for v in (*dose.column_lps, *dose.row_lps, *normal))
    return Grid((k, j, i), (step, *dose.spacing_mm), direction, (x, y, z))

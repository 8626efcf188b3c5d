"""Contours of structures laid on an image: as lines in its planes, and as masks on request.

Lines stay what the file gives. A mask is made in the contours' own plane by the even-odd rule over all closed contours
of that plane, so that holes come out whether they are drawn by a keyhole, as an inner contour or as XOR contour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Refused
from medviewer.formats.dicom.objects.rtstruct import Contour, Structure, StructureSet
from medviewer.formats.dicom.objects.seg_file import SegDescription
from medviewer.formats.laid import LaidSegment, LaidSegments, Space, Target, refuse_stranger
from medviewer.jobs import JobContext

#: A contour lies in a slice's plane where it leaves it by no more than this, in slices.
FLAT = 0.1
#: Heights of contours that differ by less than this share of a slice are one plane.
SAME_PLANE = 0.02

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LaidContours:
    """Structures whose contours stand in the image's voxel coordinates.

    Attributes:
        grid: of the image, or the places of its slices.
        structures: those that lie in the image's space, in the file's order.
        lines: for each structure its contours with points as fractional `index_kji`, shape (n, 3).
        notes, refused: for people, as in `LaidSegments`.
    """

    grid: Space
    structures: tuple[Structure, ...]
    lines: tuple[tuple[tuple[str, Float], ...], ...]
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def lay_contours(found: StructureSet, target: Target) -> LaidContours:
    """The structures of a file on an image.

    Raises:
        Refused: another patient, or all structures in another frame of reference; the image has no geometry.
    """
    refuse_stranger("structure set", found.path, target, frame_of_reference_uid="", patient_id=found.patient_id)
    space = target.space
    if space is None:
        raise Refused("this image carries no geometry, so contours have no place in it", path=found.path)
    notes, refused, kept = list(found.faults), [], []
    for structure in found.structures:
        theirs, ours = structure.frame_of_reference_uid, target.frame_of_reference_uid
        if theirs and ours and theirs != ours:
            refused.append(f"{structure.name} lies in another frame of reference")
        elif not structure.contours:
            refused.append(f"{structure.name} has no contour")
        else:
            kept.append(structure)
    if not kept and any("frame of reference" in line for line in refused):
        frame = next(s.frame_of_reference_uid for s in found.structures if s.frame_of_reference_uid)
        refuse_stranger("structure set", found.path, target, frame_of_reference_uid=frame, patient_id="")
    if not kept:
        raise Refused("this structure set has no contour", path=found.path)
    here = {uid for uid, _ in target.slices}
    missing = len(found.images - here)
    if found.images and here and missing:
        which = "the images" if missing == len(found.images) else f"{missing} of the {len(found.images)} images"
        notes.append(f"{which} that it was drawn on are not here; it is laid by its coordinates")
    lines = tuple(tuple((c.kind, space.lps_to_index(c.points_lps)) for c in s.contours) for s in kept)
    return LaidContours(space, tuple(kept), lines, tuple(notes), tuple(refused))


def described(structure: Structure, number: int) -> SegDescription:
    """A structure as a segment of that number."""
    kinds = {"AUTOMATIC": "AUTOMATIC", "SEMIAUTOMATIC": "SEMIAUTOMATIC"}
    return SegDescription(
        number,
        structure.name,
        colour=structure.colour,
        algorithm_type=kinds.get(structure.algorithm.upper(), "MANUAL"),  # type: ignore[arg-type]
    )


def masks_of(laid: LaidContours, target: Target, context: JobContext | None = None) -> LaidSegments:
    """The closed contours of structures as masks; segments are numbered from 1 in the structures' order.

    Raises:
        Refused: there is no closed contour, or none of them lies in the image.
    """
    context = context or JobContext()
    notes, refused, segments = list(laid.notes), list(laid.refused), []
    for number, structure in enumerate(laid.structures, start=1):
        context.report(number, len(laid.structures), "filling contours")
        closed = [c for c in structure.contours if c.is_closed and len(c.points_lps) > 2]
        left = len(structure.contours) - len(closed)
        if not closed:
            refused.append(f"{structure.name} has no closed contour, so it encloses nothing")
            continue
        if left:
            notes.append(f"{left} points and open lines of {structure.name} are left out of its mask")
        mask, between = _mask(closed, laid.grid, context)
        if mask is None:
            refused.append(f"{structure.name} lies outside the image")
            continue
        if between:
            notes.append(f"contours of {structure.name} lie between slices: each slice takes the nearest one")
        segments.append(LaidSegment(described(structure, number), *mask))
    if not segments:
        raise Refused(f"no structure can be made a mask: {refused[0] if refused else 'there is none'}")
    return LaidSegments(target.size_kji, tuple(segments), "binary", tuple(notes), tuple(refused))


Mask = tuple[tuple[int, int, int], NDArray[np.uint8]]


def _mask(contours: Sequence[Contour], grid: Space, context: JobContext) -> tuple[Mask | None, bool]:
    """The box around what closed contours enclose, and whether contours lie between slices."""
    index = [grid.lps_to_index(c.points_lps) for c in contours]
    extents = np.max([np.ptp(points, axis=0) for points in index], axis=0)
    axis = int(np.argmin(extents))
    if extents[axis] > FLAT:
        return _mask_across(contours, grid, context), False
    heights = np.asarray([float(points[:, axis].mean()) for points in index])
    planes, depth = _planes(heights)
    down, right = [a for a in range(3) if a != axis]
    flat = [points[:, (down, right)] for points in index]
    low = np.floor(np.min([points.min(axis=0) for points in flat], axis=0)).astype(int)
    high = np.ceil(np.max([points.max(axis=0) for points in flat], axis=0)).astype(int) + 1
    size = np.asarray(grid.size_kji)
    low, high = np.maximum(low, 0), np.minimum(high, size[[down, right]])
    first = max(0, int(np.ceil(planes[0] - depth / 2 - 1e-6)))
    last = min(int(size[axis]) - 1, int(np.floor(planes[-1] + depth / 2 - 1e-6)))
    if np.any(high <= low) or last < first:
        return None, False
    shape = (int(high[0] - low[0]), int(high[1] - low[1]))
    between = bool(np.any(np.abs(planes - np.rint(planes)) > FLAT))
    filled: dict[int, Bool] = {}
    slices = []
    for k in range(first, last + 1):
        context.check()
        nearest = int(np.argmin(np.abs(planes - k)))
        off = k - planes[nearest]
        if not -depth / 2 - 1e-6 <= off < depth / 2 - 1e-6 and abs(off) > FLAT:
            slices.append(np.zeros(shape, dtype=np.uint8))
            continue
        if nearest not in filled:
            rings = [flat[n] - low for n in np.flatnonzero(np.abs(heights - planes[nearest]) <= SAME_PLANE)]
            filled[nearest] = even_odd(rings, shape)
        slices.append(np.where(filled[nearest], np.uint8(255), np.uint8(0)))
    stacked = np.moveaxis(np.stack(slices), 0, axis)
    start = [0, 0, 0]
    start[axis], start[down], start[right] = first, int(low[0]), int(low[1])
    return _cropped(stacked, start), between


def _planes(heights: Float) -> tuple[Float, float]:
    """Distinct heights in slices, ascending, and how deep each reaches: their usual step, one slice for one plane."""
    ordered = np.sort(heights)
    planes = ordered[np.concatenate([[True], np.diff(ordered) > SAME_PLANE])]
    return planes, max(1.0, float(np.median(np.diff(planes)))) if planes.size > 1 else 1.0


def even_odd(rings: Sequence[Float], shape: tuple[int, int]) -> Bool:
    """Pixels whose centre lies inside an odd number of times.

    Args:
        rings: closed polygons of (row, column), pixel centres at integers; the last point joins the first.
        shape: rows and columns.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.int64)
    for ring in rings:
        y0, x0 = ring[:, 0], ring[:, 1]
        y1, x1 = np.roll(y0, -1), np.roll(x0, -1)
        first = np.clip(np.ceil(np.minimum(y0, y1)), 0, rows).astype(int)
        last = np.clip(np.ceil(np.maximum(y0, y1)), 0, rows).astype(int)  # a row at the upper end is not crossed
        count = last - first
        edge = np.repeat(np.arange(len(ring)), count)
        if not edge.size:
            continue
        row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        x = x0[edge] + (row - y0[edge]) / (y1[edge] - y0[edge]) * (x1[edge] - x0[edge])
        np.add.at(crossings, (row, np.clip(np.ceil(x), 0, columns).astype(int)), 1)
    inside: Bool = np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1
    return inside


def _mask_across(contours: Sequence[Contour], grid: Space, context: JobContext) -> Mask | None:
    """As `_mask`, for contours in planes that are not the image's: each voxel is asked in the contours' own plane."""
    middle = contours[0].points_lps.mean(axis=0)
    normal = np.linalg.svd(contours[0].points_lps - middle)[2][2]
    normal = normal if normal[int(np.argmax(np.abs(normal)))] > 0 else -normal
    u = np.linalg.svd(contours[0].points_lps - middle)[2][0]
    v = np.cross(normal, u)
    tolerance = 0.5 * min(grid.spacing_kji)
    for contour in contours:
        if float(np.ptp(contour.points_lps @ normal)) > tolerance:
            raise Refused("the contours of a structure lie in planes that are not parallel; they fill no mask")
    heights = np.asarray([float((c.points_lps @ normal).mean()) for c in contours])
    ordered = np.sort(heights)
    planes = ordered[np.concatenate([[True], np.diff(ordered) > SAME_PLANE])]
    depth = float(np.median(np.diff(planes))) if planes.size > 1 else float(min(grid.spacing_kji))
    points = np.concatenate([c.points_lps for c in contours])
    corners = np.concatenate([points - depth / 2 * normal, points + depth / 2 * normal])
    index = grid.lps_to_index(corners)
    low = np.maximum(np.floor(index.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0)) + 1, grid.size_kji).astype(int)
    if np.any(high <= low):
        return None
    out = np.zeros(high - low, dtype=np.uint8)
    j, i = np.meshgrid(np.arange(low[1], high[1]), np.arange(low[2], high[2]), indexing="ij")
    rings = [np.stack([c.points_lps @ v, c.points_lps @ u], axis=1) for c in contours]
    for k in range(int(low[0]), int(high[0])):
        context.check()
        at = grid.index_to_lps(np.stack([np.full_like(j, k), j, i], axis=-1)).reshape(-1, 3)
        along = at @ normal
        nearest = np.argmin(np.abs(along[:, None] - planes[None]), axis=1)
        deep = np.abs(along - planes[nearest]) <= depth / 2
        flat = np.stack([at @ v, at @ u], axis=1)
        marked = np.zeros(len(at), dtype=np.bool_)
        for n, ring in enumerate(rings):
            plane = int(np.argmin(np.abs(planes - heights[n])))
            here = np.flatnonzero(deep & (nearest == plane))
            marked[here] ^= _inside(flat[here], ring)
        out[k - low[0]] = np.where(marked.reshape(j.shape), np.uint8(255), np.uint8(0))
    return _cropped(out, low.tolist())


def _inside(points: Float, ring: Float) -> Bool:
    """The even-odd rule for points (n, 2) and one polygon."""
    inside = np.zeros(len(points), dtype=np.bool_)
    ends = np.roll(ring, -1, axis=0)
    for (ay, ax), (by, bx) in zip(ring, ends, strict=True):
        if ay == by:
            continue
        crosses = (ay > points[:, 0]) != (by > points[:, 0])
        inside ^= crosses & (points[:, 1] < ax + (points[:, 0] - ay) / (by - ay) * (bx - ax))
    return inside


def _cropped(shares: NDArray[np.uint8], start: Sequence[int]) -> Mask | None:
    found = np.nonzero(shares)
    if not found[0].size:
        return None
    a = [int(axis.min()) for axis in found]
    b = [int(axis.max()) + 1 for axis in found]
    box = np.ascontiguousarray(shares[a[0] : b[0], a[1] : b[1], a[2] : b[2]])
    return (start[0] + a[0], start[1] + a[1], start[2] + a[2]), box

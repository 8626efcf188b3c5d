"""Segmentations on a lattice of their own, laid on an image by the nearest voxel of their nearest plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Refused
from medviewer.formats.dicom.objects.seg_file import Float, FramePlace, SegFrame
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid

#: Distances of planes that differ by less than this share are the same.
SAME_SPACING = 0.1
#: Marked voxels that a file may hold while it is laid: frames are cheap to write and dear to unpack.
LARGEST_LAID = 1 << 31

Bytes = NDArray[np.uint8]
#: What a frame marks: where it lies, first row and column of the box around the marks, and its shares.
Crop = tuple[FramePlace, tuple[int, int], Bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Marked voxels of one frame in the image: shares `[k, j, i]` and where they begin."""

    start_kji: tuple[int, int, int]
    shares: Bytes


def plane_heights(places: Sequence[FramePlace], normal: Float) -> tuple[Float, float | None]:
    """Distinct plane heights along a normal, ascending, and their least step (None with one plane)."""
    along = np.asarray([p.origin_lps @ normal for p in places])
    heights = np.unique(np.round(along, 3))
    return heights, float(np.min(np.diff(heights))) if heights.size > 1 else None


@dataclass(frozen=True, slots=True, eq=False)
class PlaneStack:
    """Parallel planes of a segmentation with a lattice of its own: heights along the normal and their depth, mm."""

    normal: Float
    heights: Float
    depth_mm: float

    @classmethod
    def of(cls, frames: Sequence[SegFrame], grid: Grid) -> PlaneStack:
        """The planes of frames that all have a place; `grid` is the image's, for a lone plane of unknown depth."""
        places = [f.place for f in frames if f.place is not None]
        normal = places[0].normal_lps
        heights, step = plane_heights(places, normal)
        spacing, thickness = places[0].spacing_mm, places[0].thickness_mm
        if step is None:
            depth = spacing or thickness or float(np.min(grid.spacing_kji))
        elif spacing is not None and spacing <= step * (1 + SAME_SPACING):
            depth = spacing
        else:  # planes that the file leaves out make the least step too long; a thickness tells
            depth = thickness if thickness is not None and step > 1.5 * thickness else step
        return cls(normal, heights, depth)

    def lay(self, crops: Sequence[Crop], grid: Grid, context: JobContext) -> Block | None:
        """The nearest voxel of one segment for each voxel of the image in the box around it."""
        low, high = self._box(crops, grid)
        if np.any(high <= low):
            return None
        if int(np.prod(high - low)) > LARGEST_LAID:
            raise Refused("the segmentation is too large to be laid on this image")
        by_plane: dict[int, list[Crop]] = {}
        for crop in crops:
            height = float(crop[0].origin_lps @ self.normal)
            by_plane.setdefault(int(np.argmin(np.abs(self.heights - height))), []).append(crop)
        out = np.zeros(high - low, dtype=np.uint8)
        middles = (self.heights[1:] + self.heights[:-1]) / 2
        j, i = np.meshgrid(np.arange(low[1], high[1]), np.arange(low[2], high[2]), indexing="ij")
        for k in range(int(low[0]), int(high[0])):
            context.check()
            points = grid.index_to_lps(np.stack([np.full_like(j, k), j, i], axis=-1))
            along = points @ self.normal
            nearest = np.searchsorted(middles, along, side="right")
            off = along - self.heights[nearest]
            deep = (off >= -self.depth_mm / 2 - 1e-6) & (off < self.depth_mm / 2 - 1e-6)
            for plane in np.unique(nearest[deep]).tolist():
                here = deep & (nearest == plane)
                for crop in by_plane.get(plane, ()):
                    values = _sampled(points[here], *crop)
                    out[k - low[0]][here] = np.maximum(out[k - low[0]][here], values)
        found = np.nonzero(out)
        if not found[0].size:
            return None
        a = [int(axis.min()) for axis in found]
        b = [int(axis.max()) + 1 for axis in found]
        start = (int(low[0]) + a[0], int(low[1]) + a[1], int(low[2]) + a[2])
        return Block(start, np.ascontiguousarray(out[a[0] : b[0], a[1] : b[1], a[2] : b[2]]))

    def _box(self, crops: Sequence[Crop], grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last + 1 voxel of the image that the crops can touch."""
        corners = []
        for place, (row, column), shares in crops:
            rows, columns = shares.shape
            for r in (row - 0.5, row + rows - 0.5):
                for c in (column - 0.5, column + columns - 0.5):
                    point = place.origin_lps + r * place.row_step_lps + c * place.column_step_lps
                    corners += [point + s * self.depth_mm / 2 * self.normal for s in (-1, 1)]
        index = grid.lps_to_index(np.asarray(corners))
        low = np.maximum(np.floor(index.min(axis=0)), 0).astype(np.int64)
        high = np.minimum(np.ceil(index.max(axis=0)) + 1, grid.size_kji).astype(np.int64)
        return low, high


def _sampled(points: Float, place: FramePlace, corner: tuple[int, int], shares: Bytes) -> Bytes:
    """The pixel of a frame's box at each point, 0 beside it; shape (n,)."""
    offset = points - place.origin_lps
    column = offset @ place.column_step_lps / float(place.column_step_lps @ place.column_step_lps)
    row = offset @ place.row_step_lps / float(place.row_step_lps @ place.row_step_lps)
    r = np.floor(row + 0.5).astype(np.int64) - corner[0]
    c = np.floor(column + 0.5).astype(np.int64) - corner[1]
    inside = (r >= 0) & (r < shares.shape[0]) & (c >= 0) & (c < shares.shape[1])
    values = np.zeros(len(points), dtype=np.uint8)
    values[inside] = shares[r[inside], c[inside]]
    return values

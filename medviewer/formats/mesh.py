"""Surfaces of masks, in LPS millimetres, and STL files of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.errors import BadInput, MissingHere
from medviewer.formats.atomic import write_whole
from medviewer.volume.grid import Grid


def surface(mask: ArrayLike, grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The closed surface of a mask by marching cubes.

    Args:
        mask: `[k, j, i]`, true inside.
        grid: where it lies.

    Returns:
        Points in mm (LPS), shape (n, 3), and triangles as indices, shape (m, 3), turning anticlockwise seen
        from outside.

    Raises:
        BadInput: the mask is empty.
        MissingHere: scikit-image is not installed.
    """
    try:
        from skimage.measure import marching_cubes
    except ImportError as fault:
        raise MissingHere("surfaces need scikit-image", remedy="pip install scikit-image") from fault
    inside = np.asarray(mask) > 0
    if not inside.any():
        raise BadInput("the mask is empty: it has no surface")
    padded = np.pad(inside, 1).astype(np.float32)
    index, triangles, _, _ = marching_cubes(padded, 0.5)  # type: ignore[no-untyped-call]
    points = grid.index_to_lps(index - 1.0)
    triangles = np.asarray(triangles, dtype=np.int64)
    if signed_volume(points, triangles) < 0:
        triangles = triangles[:, ::-1]
    return points, triangles


def signed_volume(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> float:
    """Volume inside a closed surface in mm3 (divergence theorem); negative where it is turned inside out."""
    a, b, c = (points[triangles[:, n]] for n in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def write_stl(path: Path, mask: ArrayLike, grid: Grid) -> None:
    """Write a mask's surface as binary STL, in LPS millimetres (said in its header, as 3D Slicer reads it).

    Raises:
        BadInput, MissingHere: as `surface`. SaveFailed: it cannot be written.
    """
    points, triangles = surface(mask, grid)
    corners = points[triangles].astype("<f4")
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    record = np.zeros(len(triangles), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")])
    record["normal"] = normals
    record["corners"] = corners
    head = b"medviewer; SPACE=LPS; UNIT=mm".ljust(80)
    write_whole(path, head + np.uint32(len(triangles)).tobytes() + record.tobytes())

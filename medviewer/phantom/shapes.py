"""Shapes as signed distances in mm: negative inside, positive outside, approximate away from the surface.

All functions broadcast: coordinates may be a slice (`[j, 1]` and `[1, i]`), a block or a list of points.
The distance of an ellipse is the first-order one, k0 (k0 - 1) / k1 (Quilez, "ellipsoid - distance").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]


def ellipse(x: F32, y: F32, centre: tuple[float, float], half: tuple[float, float]) -> F32:
    """Signed distance of an axis-parallel ellipse in a plane."""
    u, v = (x - centre[0]) / half[0], (y - centre[1]) / half[1]
    k0 = np.sqrt(u * u + v * v)
    k1 = np.sqrt((u / half[0]) ** 2 + (v / half[1]) ** 2)
    return _float(k0 * (k0 - 1) / np.maximum(k1, 1e-6))


def superellipse(
    x: F32, y: F32, centre: tuple[ArrayLike, ArrayLike], half: tuple[ArrayLike, ArrayLike], power: float
) -> F32:
    """Signed distance of |x/a|^p + |y/b|^p = 1; rounder than a rectangle, boxier than an ellipse for p > 2.

    Centre and half axes may be arrays (they change from slice to slice).
    """
    a, b = np.asarray(half[0], dtype=np.float32), np.asarray(half[1], dtype=np.float32)
    u = np.abs(x - np.asarray(centre[0], dtype=np.float32)) / a
    v = np.abs(y - np.asarray(centre[1], dtype=np.float32)) / b
    up, vp = u ** (power - 1), v ** (power - 1)
    # float32 exp and log are several times quicker than powers.
    logarithm = np.log(np.maximum(up * u + vp * v, 1e-6)) / power
    k0 = np.exp(logarithm)
    slope = np.sqrt((up / a) ** 2 + (vp / b) ** 2) * np.exp(logarithm * (1 - power))
    return _float((k0 - 1) / np.maximum(slope, 1e-3))


def ellipsoid(
    x: F32, y: F32, z: ArrayLike, centre: tuple[float, float, float], half: tuple[float, float, float], turn: float = 0
) -> F32:
    """Signed distance of an ellipsoid whose x-y axes are turned by `turn` radians around z."""
    c, s = float(np.cos(turn)), float(np.sin(turn))
    dx, dy = x - centre[0], y - centre[1]
    u, v = (c * dx + s * dy) / half[0], (c * dy - s * dx) / half[1]
    w = (np.asarray(z, dtype=np.float32) - centre[2]) / half[2]
    k0 = np.sqrt(u * u + v * v + w * w)
    k1 = np.sqrt((u / half[0]) ** 2 + (v / half[1]) ** 2 + (w / half[2]) ** 2)
    return _float(k0 * (k0 - 1) / np.maximum(k1, 1e-6))


def union(first: F32, second: F32, rounding_mm: float = 0.0) -> F32:
    """Signed distance of both together; the seam is filled with a fillet of that size (polynomial smooth minimum)."""
    if rounding_mm <= 0:
        return np.minimum(first, second)
    h = np.clip(0.5 + 0.5 * (second - first) / rounding_mm, 0, 1)
    return _float(second * (1 - h) + first * h - rounding_mm * h * (1 - h))


def covered(distance: F32, width_mm: float) -> F32:
    """Share of a voxel inside a shape: 1 inside, 0 outside, a ramp of `width_mm` on the surface."""
    return _float(np.clip(0.5 - distance / width_mm, 0, 1))


def _float(values: NDArray[np.floating]) -> F32:
    return values.astype(np.float32, copy=False)

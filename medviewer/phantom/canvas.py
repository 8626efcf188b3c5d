"""A block of HU on an axial lattice that tissues are painted on, one over the other, with partial volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.phantom.shapes import F32
from medviewer.phantom.trees import Tubes


@dataclass(frozen=True, slots=True)
class Lattice:
    """Where the voxels of a canvas lie: even steps along each axis, in mm of the anatomy's frame.

    Attributes:
        z, y, x: centres of slices, rows and columns, ascending.
    """

    z: F32
    y: F32
    x: F32

    @classmethod
    def even(
        cls, first_zyx: tuple[float, float, float], step_zyx: tuple[float, float, float], size: tuple[int, int, int]
    ) -> Lattice:
        """A lattice from its first voxel, its steps and its size, all in the order z, y, x."""
        axes = [
            np.float32(f) + np.arange(n, dtype=np.float32) * np.float32(s)
            for f, s, n in zip(first_zyx, step_zyx, size, strict=True)
        ]
        return cls(axes[0], axes[1], axes[2])

    def scaled(self, factor: float) -> Lattice:
        """All coordinates times a factor."""
        return Lattice(*(np.asarray(a * np.float32(factor), dtype=np.float32) for a in (self.z, self.y, self.x)))

    @property
    def pixel(self) -> float:
        """Step between columns in mm."""
        return float(self.x[1] - self.x[0])

    @property
    def step_z(self) -> float:
        """Step between slices in mm (the pixel where there is one slice only)."""
        return float(self.z[1] - self.z[0]) if len(self.z) > 1 else self.pixel

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return len(self.z), len(self.y), len(self.x)


def near(tubes: Tubes, lattice: Lattice, margin_mm: float = 1.0) -> Tubes:
    """The tubes whose bounding box meets the lattice."""
    reach = np.maximum(tubes.radius_start, tubes.radius_end)[:, None] + margin_mm
    low = np.minimum(tubes.start, tubes.end) - reach
    high = np.maximum(tubes.start, tubes.end) + reach
    first = np.array([a[0] for a in (lattice.x, lattice.y, lattice.z)])
    last = np.array([a[-1] for a in (lattice.x, lattice.y, lattice.z)])
    return tubes.where(np.all((high >= first) & (low <= last), axis=1))


def paint_tubes(
    canvas: F32, lattice: Lattice, tubes: Tubes, value: float, *, only: NDArray[np.bool_] | None = None
) -> None:
    """Paint tubes of one value into `canvas` `[k, j, i]`, in place.

    A tube thinner than a pixel is painted with the share of the pixel that it fills. Where `only` (`[k, j, i]`) is
    False nothing is painted.
    """
    tubes = near(tubes, lattice)
    width = lattice.pixel
    axes = (lattice.z, lattice.y, lattice.x)
    steps = (lattice.step_z, width, width)
    reach = np.maximum(tubes.radius_start, tubes.radius_end) + 0.5 * width
    low = np.minimum(tubes.start, tubes.end) - reach[:, None]
    high = np.maximum(tubes.start, tubes.end) + reach[:, None]
    first = [np.maximum(np.ceil((low[:, 2 - a] - axes[a][0]) / steps[a]), 0).astype(int) for a in range(3)]
    stop = [
        np.minimum(np.floor((high[:, 2 - a] - axes[a][0]) / steps[a]) + 1, len(axes[a])).astype(int) for a in range(3)
    ]
    along = tubes.end - tubes.start
    squared = np.maximum(np.sum(along * along, axis=1), 1e-6)
    for n in range(len(tubes)):
        box = tuple(slice(int(first[a][n]), int(stop[a][n])) for a in range(3))
        if any(b.start >= b.stop for b in box):
            continue
        x0, y0, z0 = tubes.start[n]
        ax, ay, az = along[n]
        dz = lattice.z[box[0], None, None] - z0
        dy = lattice.y[None, box[1], None] - y0
        dx = lattice.x[None, None, box[2]] - x0
        t = (dz * az + dy * ay + dx * ax) / squared[n]
        np.clip(t, 0, 1, out=t)
        distance = np.sqrt((dz - t * az) ** 2 + (dy - t * ay) ** 2 + (dx - t * ax) ** 2)
        radius = tubes.radius_start[n] + t * (tubes.radius_end[n] - tubes.radius_start[n])
        share = np.clip(0.5 - (distance - radius) / width, 0, 1) * np.minimum(1, 1.6 * radius / width)
        part = canvas[box]
        if only is not None:
            share *= only[box]
        part += share * (value - part) * (part < value if value > 0 else 1)

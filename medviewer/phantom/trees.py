"""Trees that fill a lung: arteries, veins and bronchi, grown towards points spread through it.

Each branch owns a share of the points, runs part of the way to their middle and splits them by a plane into its two
children (after Wang, Bassingthwaighte 1992 and Tawhai 2000, whose airway trees grow the same way). Radii follow the
number of points supplied: r = r_end n^(1/2.7), between Murray's cube law and measured pulmonary exponents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

#: Radii of mother and children follow r^E = r1^E + r2^E.
RADIUS_EXPONENT = 2.7


@dataclass(frozen=True, slots=True)
class Tubes:
    """Straight pieces of tubes with a radius at either end.

    Attributes:
        start, end: `[n, 3]` mm (x, y, z).
        radius_start, radius_end: `[n]` mm.
        generation: `[n]` how many times the tree has split before this piece.
    """

    start: F32
    end: F32
    radius_start: F32
    radius_end: F32
    generation: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start)

    def where(self, keep: NDArray[np.bool_]) -> Tubes:
        """Only the pieces that `keep` names."""
        return Tubes(
            self.start[keep], self.end[keep], self.radius_start[keep], self.radius_end[keep], self.generation[keep]
        )

    def moved(self, direction: F32, times_radius: float) -> Tubes:
        """A companion that runs beside: shifted along `direction` by a multiple of the radius."""
        first = (self.radius_start * times_radius)[:, None] * direction
        last = (self.radius_end * times_radius)[:, None] * direction
        return Tubes(self.start + first, self.end + last, self.radius_start, self.radius_end, self.generation)

    def thicker(self, factor: float, plus_mm: float = 0.0) -> Tubes:
        """The same course with other radii."""
        return Tubes(
            self.start,
            self.end,
            self.radius_start * factor + plus_mm,
            self.radius_end * factor + plus_mm,
            self.generation,
        )


def chain(points: list[tuple[float, float, float]], radii: list[float]) -> Tubes:
    """A tube through the given points."""
    p, r = np.asarray(points, dtype=np.float32), np.asarray(radii, dtype=np.float32)
    return Tubes(p[:-1], p[1:], r[:-1], r[1:], np.zeros(len(p) - 1, dtype=np.int32))


def joined(parts: list[Tubes]) -> Tubes:
    """Several sets of tubes as one."""
    return Tubes(
        np.concatenate([t.start for t in parts]),
        np.concatenate([t.end for t in parts]),
        np.concatenate([t.radius_start for t in parts]),
        np.concatenate([t.radius_end for t in parts]),
        np.concatenate([t.generation for t in parts]),
    )


def grow(
    rng: np.random.Generator,
    root: tuple[float, float, float],
    heading: tuple[float, float, float],
    points: F32,
    levels: int,
    end_radius: float,
    pieces: int = 3,
) -> Tubes:
    """A tree from `root` that supplies all `points` (`[n, 3]`, mm) with 2**levels end branches.

    Args:
        rng: where the irregularity comes from.
        root: where the tree enters.
        heading: its direction there (a unit vector).
        points: places to supply.
        levels: how often it splits.
        end_radius: radius of the last branches in mm.
        pieces: straight pieces of each curved branch.
    """
    label = np.zeros(len(points), dtype=np.int64)
    position = np.asarray([root], dtype=np.float32)
    direction = np.asarray([heading], dtype=np.float32)
    normal = _perpendicular(direction, rng.standard_normal((1, 3)).astype(np.float32))
    per_end = len(points) / 2**levels
    mother_radius = np.array([_radius(len(points), per_end, end_radius)], dtype=np.float32)
    found: list[Tubes] = []
    for level in range(levels + 1):
        count = np.bincount(label, minlength=len(position)).astype(np.float32)
        middle = np.stack([np.bincount(label, points[:, a], len(position)) for a in range(3)], axis=1)
        middle = (middle / np.maximum(count, 1)[:, None]).astype(np.float32)
        share = rng.uniform(0.42, 0.62, len(position)).astype(np.float32)
        if level == levels:
            share = rng.uniform(0.75, 1.1, len(position)).astype(np.float32)
        end = position + share[:, None] * (middle - position)
        radius = _radius(count, per_end, end_radius)
        length = np.linalg.norm(end - position, axis=1, keepdims=True)
        bend = position + direction * length * 0.45
        alive = count > 0
        begin_radius = np.minimum(mother_radius, radius * 1.25)
        found.append(_curves(position, bend, end, begin_radius, radius, alive, level, pieces))
        along = (end - bend) / np.maximum(np.linalg.norm(end - bend, axis=1, keepdims=True), 1e-3)
        wobble = rng.standard_normal((len(position), 3)).astype(np.float32) * 0.35
        normal = _perpendicular(along, np.cross(along, normal) + wobble)
        if level < levels:
            # Unequal children: the plane lies off the middle, so that long stems with side branches appear.
            offset = np.einsum("na,na->n", points - middle[label], normal[label])
            spread = np.sqrt(np.bincount(label, offset**2, len(position)) / np.maximum(count, 1))
            side = offset > (spread * rng.uniform(-0.75, 0.75, len(position)))[label]
            label = label * 2 + side
            position, direction = np.repeat(end, 2, axis=0), np.repeat(along, 2, axis=0)
            normal, mother_radius = np.repeat(normal, 2, axis=0), np.repeat(radius, 2)
    return joined(found)


def _radius(count: NDArray[np.floating] | float, per_end: float, end_radius: float) -> F32:
    share = np.maximum(count, 0.3 * per_end) / per_end
    return np.asarray(end_radius * share ** (1 / RADIUS_EXPONENT), dtype=np.float32)


def _perpendicular(direction: F32, vector: F32) -> F32:
    across = vector - np.sum(vector * direction, axis=1, keepdims=True) * direction
    return np.asarray(across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _curves(
    first: F32, bend: F32, last: F32, r_first: F32, r_last: F32, alive: NDArray[np.bool_], level: int, pieces: int
) -> Tubes:
    """Quadratic Bezier branches in straight pieces."""
    t = np.linspace(0, 1, pieces + 1, dtype=np.float32)[:, None, None]
    track = (1 - t) ** 2 * first + 2 * t * (1 - t) * bend + t**2 * last
    radii = (1 - t[..., 0]) * r_first + t[..., 0] * r_last
    keep = np.tile(alive, pieces)
    return Tubes(
        track[:-1].reshape(-1, 3),
        track[1:].reshape(-1, 3),
        radii[:-1].reshape(-1),
        radii[1:].reshape(-1),
        np.full(len(first) * pieces, level, dtype=np.int32),
    ).where(keep)

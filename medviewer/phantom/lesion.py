"""One nodule: its exact shape, what it is made of, and the readers who would outline it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medviewer.phantom.canvas import Lattice, paint_tubes
from medviewer.phantom.recipe import Recipe, draw
from medviewer.phantom.shapes import F32
from medviewer.phantom.trees import Tubes

#: Kinds of which collections of real nodules hold many.
COMMON_KINDS = ("solid", "small", "part-solid", "spiculated", "juxta-pleural", "juxta-vascular")
#: Kinds that they hardly hold, each with a definite truth: what a model has not seen yet.
RARE_KINDS = ("ground-glass", "cavitary", "halo", "calcified-rim", "pleural-plaque")

_WAVES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A nodule of known shape and value, before the scanner blurs it.

    The surface is R(u) = radius (1 + waves(u)) around the centre, in axes turned by `turn` and stretched by `stretch`.

    Attributes:
        kind: a name below `[kind]` of the recipe.
        centre: mm of the patient (x, y, z).
        radius: mm of the sphere that it is made from.
        hu: value of the outer part.
        turn: 3x3, rows are the nodule's own axes.
        stretch: factors along them; their product is 1 unless it is flat.
        waves: `[n, 5]` direction (3), phase, height of each bump.
        edge_mm: width of its border.
        core_hu, core_share: solid part inside and its diameter over the whole, or None and 0.
        core_shift: where the solid part's middle lies, mm from the centre.
        inner_hu, inner_share: cavity (or what the rim encloses) and its diameter over the whole, or None and 0.
        spicules: spines that leave the surface; they are no part of the truth.
        wall_depth: how far inside the wall its middle lies, over its radius; None unless the wall cuts it.
    """

    kind: str
    centre: tuple[float, float, float]
    radius: float
    hu: float
    turn: NDArray[np.float64]
    stretch: tuple[float, float, float]
    waves: NDArray[np.float64]
    edge_mm: float = 0.0
    core_hu: float | None = None
    core_share: float = 0.0
    core_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    inner_hu: float | None = None
    inner_share: float = 0.0
    spicules: Tubes | None = None
    wall_depth: float | None = None

    @property
    def on_wall(self) -> bool:
        """True where the chest wall cuts it."""
        return self.wall_depth is not None

    @property
    def reach_mm(self) -> float:
        """No part of the nodule is further than this from its centre, spicules left out."""
        bumps = 1 + float(np.abs(self.waves[:, 4]).sum())
        return self.radius * max(self.stretch) * bumps

    def placed(self, centre: tuple[float, float, float], turn: NDArray[np.float64] | None = None) -> Lesion:
        """The same nodule at another place, and in another attitude if `turn` is given."""
        moved = self.spicules
        if moved is not None:
            shift = np.subtract(centre, self.centre).astype(np.float32)
            moved = Tubes(
                moved.start + shift, moved.end + shift, moved.radius_start, moved.radius_end, moved.generation
            )
        return replace(self, centre=centre, turn=self.turn if turn is None else turn, spicules=moved)


def draw_lesion(
    recipe: Recipe, kind: str, rng: np.random.Generator, diameter_mm: float | None = None, hu: float | None = None
) -> Lesion:
    """A nodule of one kind, drawn from the recipe; its centre is the origin until it is placed."""
    plan = recipe.kind(kind)
    drawn = draw(rng, plan["diameter_mm"], logarithmic=True)
    radius = (drawn if diameter_mm is None else diameter_mm) / 2
    value = draw(rng, plan["hu"])
    if rng.random() < plan.get("calcified_share", 0.0):
        value = draw(rng, plan["calcified_hu"])
    long = draw(rng, plan["elongation"])
    stretch = (float(np.sqrt(long)), 1.0, float(1 / np.sqrt(long)))
    if "flatness" in plan:
        stretch = (long, 1.0, draw(rng, plan["flatness"]))
    directions = rng.standard_normal((_WAVES, 3))
    directions *= rng.uniform(1.6, 3.6, (_WAVES, 1)) / np.linalg.norm(directions, axis=1, keepdims=True)
    height = draw(rng, plan["lobulation"]) * rng.dirichlet(np.ones(_WAVES)) * 2.0
    waves = np.column_stack([directions, rng.uniform(0, 2 * np.pi, _WAVES), height])
    lesion = Lesion(
        kind=kind,
        centre=(0.0, 0.0, 0.0),
        radius=radius,
        hu=value if hu is None else hu,
        turn=np.linalg.qr(rng.standard_normal((3, 3)))[0],
        stretch=stretch,
        waves=waves,
        edge_mm=draw(rng, plan.get("edge_mm", 0.0)),
        core_hu=draw(rng, plan["core_hu"]) if "core_hu" in plan else None,
        core_share=draw(rng, plan.get("core_share", 0.0)),
        core_shift=_core_shift(rng, radius) if "core_hu" in plan else (0.0, 0.0, 0.0),
        wall_depth=draw(rng, plan["wall_depth"]) if "wall_depth" in plan else None,
    )
    if "cavity_hu" in plan:
        lesion = replace(lesion, inner_hu=draw(rng, plan["cavity_hu"]), inner_share=draw(rng, plan["cavity_share"]))
    elif "rim_hu" in plan:
        inside = lesion.hu
        lesion = replace(
            lesion, hu=draw(rng, plan["rim_hu"]), inner_hu=inside, inner_share=draw(rng, plan["rim_share"])
        )
    if "spicules" in plan:
        lesion = replace(lesion, spicules=_spicules(lesion, rng, round(draw(rng, plan["spicules"]))))
    return lesion


def _core_shift(rng: np.random.Generator, radius: float) -> tuple[float, float, float]:
    x, y, z = rng.uniform(-0.16, 0.16, 3) * radius
    return float(x), float(y), float(z)


def _spicules(lesion: Lesion, rng: np.random.Generator, count: int) -> Tubes:
    out = rng.standard_normal((count, 3))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    length = np.maximum(lesion.radius, 5) * rng.uniform(0.4, 1.2, count)
    start = out * lesion.radius * 0.85
    aside = rng.standard_normal((count, 3)) * 0.25
    end = start + (out + aside) * (lesion.radius * 0.2 + length)[:, None]
    thick = rng.uniform(0.8, 1.7, count)
    return Tubes(
        start.astype(np.float32),
        end.astype(np.float32),
        thick.astype(np.float32),
        (thick * 0.32).astype(np.float32),
        np.zeros(count, dtype=np.int32),
    )


def distance_to(lesion: Lesion, x: F32, y: F32, z: F32, share: float = 1.0) -> F32:
    """Signed distance in mm from the surface (or from the surface shrunk to `share` of its size); broadcasts."""
    own, length = _own_axes(lesion, x, y, z)
    surface = lesion.radius * share * (1 + _wave(lesion.waves, own, length))
    return np.asarray((length - surface) * min(lesion.stretch), dtype=np.float32)


def _own_axes(lesion: Lesion, x: F32, y: F32, z: F32) -> tuple[list[F32], F32]:
    d = (x - lesion.centre[0], y - lesion.centre[1], z - lesion.centre[2])
    own = [
        np.asarray((r[0] * d[0] + r[1] * d[1] + r[2] * d[2]) / s, dtype=np.float32)
        for r, s in zip(lesion.turn, lesion.stretch, strict=True)
    ]
    return own, np.sqrt(own[0] ** 2 + own[1] ** 2 + own[2] ** 2)


def _wave(waves: NDArray[np.float64], own: list[F32], length: F32) -> F32:
    per_mm = 1 / np.maximum(length, 1e-3)
    total = np.zeros_like(length)
    for a, b, c, phase, height in waves.astype(np.float32):
        total += height * np.cos((a * own[0] + b * own[1] + c * own[2]) * per_mm + phase)
    return total


def _box(lesion: Lesion, lattice: Lattice, margin_mm: float) -> tuple[slice, slice, slice] | None:
    spans = []
    for axis, middle in zip((lattice.z, lattice.y, lattice.x), lesion.centre[::-1], strict=True):
        reach = lesion.reach_mm + margin_mm
        first = int(np.searchsorted(axis, middle - reach))
        stop = int(np.searchsorted(axis, middle + reach, side="right"))
        if first >= stop:
            return None
        spans.append(slice(first, stop))
    return spans[0], spans[1], spans[2]


def _axes(lattice: Lattice, box: tuple[slice, slice, slice]) -> tuple[F32, F32, F32]:
    return lattice.x[None, None, box[2]], lattice.y[None, box[1], None], lattice.z[box[0], None, None]


def paint_lesion(canvas: F32, lungs: F32, lattice: Lattice, lesion: Lesion) -> None:
    """Paint one nodule into `canvas` `[k, j, i]`, in place; `lungs` is the lungs' signed distance there."""
    if lesion.spicules is not None:
        paint_tubes(canvas, lattice, lesion.spicules, lesion.hu - 30, only=lungs < 1)
    box = _box(lesion, lattice, 2 + lesion.edge_mm)
    if box is None:
        return
    x, y, z = _axes(lattice, box)
    width = max(lattice.pixel, lesion.edge_mm)
    share = np.clip(0.5 - distance_to(lesion, x, y, z) / width, 0, 1)
    if lesion.on_wall:
        share *= np.clip(0.5 - (lungs[box] - 0.8) / lattice.pixel, 0, 1)
    part = canvas[box]
    grain = 14 * np.sin(1.1 * x + 0.7 * y) * np.sin(0.9 * y - 0.8 * z) * np.sin(0.6 * z + 0.8 * x)
    painted = part + share * (lesion.hu + grain - part)
    see_through = lesion.hu < -300
    part[:] = np.maximum(part, painted) if see_through else painted
    if lesion.core_hu is not None:
        a, b, c = lesion.core_shift
        # Seen from the other side, so that the core's bumps are not those of the whole.
        core = distance_to(lesion, 2 * lesion.centre[0] - x + a, 2 * lesion.centre[1] - y + b, z + c, lesion.core_share)
        part += np.clip(0.5 - core / (2.2 * lattice.pixel), 0, 1) * (lesion.core_hu - part)
    if lesion.inner_hu is not None:
        inner = distance_to(lesion, x, y, z, lesion.inner_share)
        part += np.clip(0.5 - inner / (1.5 * lattice.pixel), 0, 1) * (lesion.inner_hu - part)


def truth_of(lesion: Lesion, lungs: F32, lattice: Lattice) -> NDArray[np.bool_]:
    """The voxels `[k, j, i]` whose centre lies in the nodule: not in its spicules, not in the chest wall."""
    return _within(lesion, lungs, lattice, None)


def readers_of(
    lesion: Lesion, lungs: F32, lattice: Lattice, rng: np.random.Generator, count: int
) -> list[NDArray[np.bool_]]:
    """What `count` readers (three or four) would outline, in no order.

    One draws more than the truth everywhere, one exactly the truth, the others less. So at least half of them agree
    exactly on the truth, while any two differ about as much as radiologists do on real nodules.
    """
    spread = 0.20 + 0.055 * lesion.radius
    offsets = [1.0, 0.0] + [-1.0] * (count - 2)
    masks = []
    for sign in offsets:
        size = sign * spread * rng.uniform(0.7, 1.5)
        directions = rng.standard_normal((3, 3)) * 1.5
        waves = np.column_stack([directions, rng.uniform(0, 2 * np.pi, 3), np.full(3, 0.33)])
        masks.append(_within(lesion, lungs, lattice, (size, waves) if sign else None))
    return [masks[n] for n in rng.permutation(count)]


def _within(
    lesion: Lesion, lungs: F32, lattice: Lattice, moved: tuple[float, NDArray[np.float64]] | None
) -> NDArray[np.bool_]:
    mask = np.zeros(lattice.shape, dtype=np.bool_)
    box = _box(lesion, lattice, 3.0)
    if box is None:
        return mask
    x, y, z = _axes(lattice, box)
    distance = distance_to(lesion, x, y, z)
    if moved is not None:
        size, waves = moved
        own, length = _own_axes(lesion, x, y, z)
        more = size * np.maximum(0, 1 + _wave(waves, own, length))
        distance = np.asarray(distance - more, dtype=np.float32)
    inside = distance < 0
    if lesion.on_wall:
        inside &= lungs[box] < 0
    mask[box] = inside
    return mask

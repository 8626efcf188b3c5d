"""Finds a place for a nodule that fits its kind: free in the lung, on the wall, beside a vessel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medviewer.phantom import body as anatomy
from medviewer.phantom.body import Body
from medviewer.phantom.lesion import Lesion
from medviewer.phantom.trees import Tubes, joined

Point = tuple[float, float, float]


def place_lesion(body: Body, lesion: Lesion, rng: np.random.Generator) -> Lesion:
    """The nodule at a place drawn for its kind, in mm of the patient."""
    side = "left" if rng.random() < 0.5 else "right"
    if lesion.on_wall:
        return on_wall(body, lesion, _wall_point(body, rng, side))
    if lesion.kind == "juxta-vascular":
        return beside_vessel(body, lesion, side, rng)
    points = anatomy.points_in_lung(body, rng, side, 160)
    depth = -anatomy.lung(body, points[:, 0], points[:, 1], points[:, 2]) * body.scale
    free = _free_of_vessels(body, points, lesion.reach_mm, side)
    room = depth - lesion.reach_mm
    good = np.flatnonzero((room > 2) & free & (points[:, 2] > -90))
    pick = int(rng.choice(good)) if len(good) else int(np.argmax(room))
    return lesion.placed(_scaled(points[pick], body.scale))


def place_near(
    body: Body, lesion: Lesion, wanted: Point, rng: np.random.Generator, others: Sequence[Lesion] = ()
) -> Lesion:
    """The nodule as near to `wanted` (anatomy's frame) as its kind and the `others` already placed allow."""
    point = np.asarray(wanted, dtype=np.float64)
    side = anatomy.side_of(point)
    if lesion.on_wall:
        return on_wall(body, lesion, point)
    if lesion.kind == "juxta-vascular":
        return beside_vessel(body, lesion, side, rng, point)
    points = np.concatenate([anatomy.points_in_lung(body, rng, side, 1500), point[None].astype(np.float32)])
    depth = -anatomy.lung(body, points[:, 0], points[:, 1], points[:, 2]) * body.scale
    free = (depth - lesion.reach_mm > 3) & _free_of_vessels(body, points, lesion.reach_mm, side)
    for other in others:
        gap = np.linalg.norm(points * body.scale - np.asarray(other.centre), axis=1)
        free &= gap > lesion.reach_mm + other.reach_mm + 15
    good = np.flatnonzero(free)
    if len(good) == 0:
        good = np.array([int(np.argmax(depth))])
    nearest = good[int(np.argmin(np.sum((points[good] - point) ** 2, axis=1)))]
    return lesion.placed(_scaled(points[nearest], body.scale))


def _scaled(point: NDArray[np.floating], scale: float) -> Point:
    return float(point[0] * scale), float(point[1] * scale), float(point[2] * scale)


def _free_of_vessels(body: Body, points: NDArray[np.float32], reach_mm: float, side: str) -> NDArray[np.bool_]:
    trees = anatomy.lung_trees(body, side)
    # A large nodule may lie over small vessels, a small one beside them only.
    least = 1.1 if reach_mm < 8 else 1.9
    large = joined([t.where(t.radius_start > least) for t in trees.values()] + [anatomy.great_vessels()])
    gaps = gaps_to(points, large) * body.scale
    return np.asarray(gaps > reach_mm + 1.0, dtype=np.bool_)


def gaps_to(points: NDArray[np.float32], tubes: Tubes) -> NDArray[np.float32]:
    """Distance `[n]` of each point `[n, 3]` from the nearest tube's surface, negative inside."""
    along = tubes.end - tubes.start
    away = points[:, None] - tubes.start[None]
    t = np.clip(np.einsum("nma,ma->nm", away, along) / np.maximum(np.sum(along**2, axis=1), 1e-6), 0, 1)
    distance = np.linalg.norm(away - t[..., None] * along[None], axis=2)
    return np.asarray(np.min(distance - tubes.radius_start, axis=1), dtype=np.float32)


def _wall_point(body: Body, rng: np.random.Generator, side: str) -> NDArray[np.float32]:
    """A point of the lung that looks at the chest wall, not at the heart, the spine or the diaphragm."""
    points = anatomy.points_in_lung(body, rng, side, 200, depth_mm=3)
    x, y, z = points.T
    lateral = (np.abs(x) > 35) & (z > -75) & (z < 80)
    near_wall = anatomy.cage(body, x, y, z) > -22
    clear = gaps_to(points, anatomy.great_vessels()) > 22
    good = np.flatnonzero(lateral & near_wall & clear)
    pick = int(rng.choice(good)) if len(good) else int(np.argmax(np.abs(x)))
    return np.asarray(points[pick], dtype=np.float32)


def on_wall(body: Body, lesion: Lesion, start: NDArray[np.floating]) -> Lesion:
    """The nodule moved from `start` (anatomy's frame) out to the chest wall, so that the wall cuts it.

    Args:
        body: the patient.
        lesion: a nodule.
        start: a point of the lung.
    """
    point = np.asarray(start, dtype=np.float64)
    for _ in range(40):
        gap = float(anatomy.cage(body, *_columns(point))[0])
        if abs(gap) < 0.02:
            break
        point = point - gap * _outward(body, point) * 0.9
    normal = _outward(body, point)
    assert lesion.wall_depth is not None
    away = lesion.wall_depth * lesion.radius * min(lesion.stretch) / body.scale
    centre = point - away * normal
    turn = lesion.turn
    if min(lesion.stretch) < 0.6:  # a plaque lies flat on the wall: its short axis is the wall's normal
        along = np.cross(normal, (0.0, 0.0, 1.0))
        along /= np.linalg.norm(along)
        turn = np.stack([along, np.cross(normal, along), normal])
    return lesion.placed(_scaled(centre, body.scale), turn)


def _columns(point: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    return [np.array([v], dtype=np.float32) for v in point]


def _outward(body: Body, point: NDArray[np.float64], step: float = 0.5) -> NDArray[np.float64]:
    slope = np.empty(3)
    for axis in range(3):
        ahead, behind = point.copy(), point.copy()
        ahead[axis] += step
        behind[axis] -= step
        rise = anatomy.cage(body, *_columns(ahead)) - anatomy.cage(body, *_columns(behind))
        slope[axis] = float(rise[0]) / (2 * step)
    return slope / max(float(np.linalg.norm(slope)), 1e-6)


def beside_vessel(
    body: Body, lesion: Lesion, side: str, rng: np.random.Generator, wanted: NDArray[np.float64] | None = None
) -> Lesion:
    """The nodule moved to the side of a thinner vessel, which it touches: any, or the nearest to `wanted`."""
    trees = anatomy.lung_trees(body, side)
    tubes: Tubes = trees["veins" if rng.random() < 0.5 else "arteries"]
    # The nodule is the larger of the two, or nobody could tell which is which.
    widest = float(np.clip(0.5 * lesion.radius / body.scale, 1.1, 2.2))
    tubes = tubes.where((tubes.radius_start > 0.8) & (tubes.radius_start < widest))
    middle = 0.5 * (tubes.start + tubes.end)
    depth = -anatomy.lung(body, middle[:, 0], middle[:, 1], middle[:, 2]) * body.scale
    avoided = joined([anatomy.great_vessels(), trees["bronchi"]])
    clear = gaps_to(middle, avoided) * body.scale > lesion.reach_mm * 2
    good = np.flatnonzero((depth > lesion.reach_mm * 1.6) & clear)
    pick = int(rng.choice(good)) if len(good) else int(np.argmax(depth))
    if wanted is not None and len(good):
        pick = int(good[np.argmin(np.sum((middle[good] - wanted) ** 2, axis=1))])
    along = tubes.end[pick] - tubes.start[pick]
    aside = np.cross(along, rng.standard_normal(3))
    aside /= max(float(np.linalg.norm(aside)), 1e-6)
    gap = float(tubes.radius_start[pick]) + 0.80 * lesion.radius / body.scale
    return lesion.placed(_scaled(middle[pick] + aside * gap, body.scale))

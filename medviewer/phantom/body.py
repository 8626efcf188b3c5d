"""One patient: drawn measures and values, and the surfaces that follow from them.

Surfaces are signed distances in mm of the anatomy's frame (see `resources/phantom/chest.toml`), before `scale`.
Places and sizes were taken from the proportions of an adult in inspiration, arms raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.phantom.recipe import Recipe, draw
from medviewer.phantom.seeds import generator
from medviewer.phantom.shapes import F32, ellipse, ellipsoid, superellipse, union
from medviewer.phantom.trees import Tubes, chain, grow, joined

#: Where the vessels and the main bronchus enter the right lung; the left is a little higher and further out.
HILUM = {"right": (-40.0, 10.0, 8.0), "left": (42.0, 14.0, 14.0)}

_OUTLINE_Z = (-150, -60, 0, 40, 80, 110, 140)
_OUTLINE_FRONT = (-116, -118, -116, -104, -88, -74, -60)
_OUTLINE_BACK = (134, 142, 146, 147, 143, 130, 108)
_OUTLINE_WIDTH = (144, 148, 154, 168, 186, 194, 186)


@dataclass(frozen=True, slots=True)
class Body:
    """What one patient drew from the recipe: values in HU, measures in mm before `scale`."""

    patient_id: str
    hu: dict[str, float]
    scale: float
    cage_half_width: float
    cage_half_depth: float
    cage_roundness: float
    fat_thickness: float
    muscle_thickness: float
    rib_distance: float
    rib_phase: float
    heart_scale: float
    dome_right: float
    dome_left: float
    branches: int
    contrast: bool
    emphysema: bool
    _trees: dict[str, dict[str, Tubes]] = field(default_factory=dict, repr=False, compare=False)


def draw_body(recipe: Recipe, patient_id: str) -> Body:
    """The patient of that name: the same name gives the same patient."""
    rng = generator("body", recipe.name, patient_id)
    hu = {name: draw(rng, entry) for name, entry in recipe.tissue.items()}
    plan = recipe.body
    contrast = bool(rng.random() < plan["share_with_contrast"])
    if contrast:
        hu["blood"] = hu["blood_contrast"]
    emphysema = bool(rng.random() < plan["share_with_emphysema"])
    if emphysema:
        hu["lung"] -= 45
    return Body(
        patient_id=patient_id,
        hu=hu,
        scale=draw(rng, plan["scale"]),
        cage_half_width=draw(rng, plan["cage_half_width"]),
        cage_half_depth=draw(rng, plan["cage_half_depth"]),
        cage_roundness=draw(rng, plan["cage_roundness"]),
        fat_thickness=draw(rng, plan["fat_thickness"]),
        muscle_thickness=draw(rng, plan["muscle_thickness"]),
        rib_distance=draw(rng, plan["rib_distance"]),
        rib_phase=float(rng.uniform(0, 1)),
        heart_scale=draw(rng, plan["heart_scale"]),
        dome_right=draw(rng, plan["dome_right"]),
        dome_left=draw(rng, plan["dome_left"]),
        branches=int(plan["branches"]),
        contrast=contrast,
        emphysema=emphysema,
    )


def outline(body: Body, x: F32, y: F32, z: float) -> F32:
    """The skin of slice `z`."""
    front = np.interp(z, _OUTLINE_Z, _OUTLINE_FRONT) - 0.6 * body.fat_thickness + 90 - body.cage_half_depth
    back = np.interp(z, _OUTLINE_Z, _OUTLINE_BACK) + 0.5 * body.fat_thickness
    width = np.interp(z, _OUTLINE_Z, _OUTLINE_WIDTH) + body.fat_thickness + body.cage_half_width - 120
    shoulder = float(np.clip((z - 30) / 90, 0, 1))
    middle = 0.5 * (front + back) + 18 * shoulder * (np.abs(x) / width)
    surface = superellipse(x, y, (0.0, middle), (width, 0.5 * (back - front)), 2.32 - 0.35 * shoulder)
    # The furrow over the spine, and no two sides alike.
    furrow = 6.5 * np.exp(-((x / 19) ** 2)) * np.clip(y / 60, 0, 1)
    return np.asarray(surface + furrow + 1.6 * np.sin(0.021 * x + 0.017 * y + 0.012 * z), dtype=np.float32)


def cage(body: Body, x: F32, y: F32, z: ArrayLike) -> F32:
    """The inner surface of the rib cage (the parietal pleura)."""
    up = np.clip((np.asarray(z, dtype=np.float32) + 10) / 128, 0, 0.9995)
    half_width = body.cage_half_width * np.sqrt(1 - up**2.5)
    half_depth = body.cage_half_depth * (1 - up**2.9) ** 0.55
    # Beside the spine the lungs reach further back than the front of the vertebrae.
    depth = np.where(y > 27 * up, (1 + 0.24 * (1 - up)) * half_depth, half_depth)
    return superellipse(x, y, (0.0, 27 * up), (half_width, depth), body.cage_roundness)


def spine_y(z: ArrayLike) -> F32:
    """y of the middle of the vertebral bodies at height z: the thoracic kyphosis."""
    z = np.asarray(z, dtype=np.float32)
    return np.asarray(91 - 30 * (np.maximum(z, 0) / 120) ** 2 - 9 * (np.minimum(z, 0) / 130) ** 2, dtype=np.float32)


def heart(body: Body, x: F32, y: F32, z: ArrayLike) -> F32:
    """The heart's outer surface: ventricles, left and right atrium."""
    s = body.heart_scale
    ventricles = ellipsoid(x, y, z, (26.0, -34.0, -48.0), (57 * s, 41 * s, 48 * s), 0.6)
    right_atrium = ellipsoid(x, y, z, (-17.0, -20.0, -32.0), (30 * s, 33 * s, 40 * s))
    left_atrium = ellipsoid(x, y, z, (3.0, 15.0, -18.0), (37 * s, 23 * s, 26 * s))
    return union(union(ventricles, right_atrium, 6), left_atrium, 6)


def diaphragm_z(body: Body, x: F32, y: F32) -> F32:
    """Height of the diaphragm above (x, y)."""
    right = body.dome_right - 0.0078 * (x + 60) ** 2 - 0.0060 * (y - 2) ** 2
    left = body.dome_left - 0.0078 * (x - 62) ** 2 - 0.0060 * (y - 4) ** 2
    middle = body.dome_left + 6 - 0.004 * (x - 8) ** 2 - 0.010 * (y + 30) ** 2
    return np.asarray(np.maximum(np.maximum(right, left), middle), dtype=np.float32)


def midline(x: F32, y: F32, z: ArrayLike) -> F32:
    """The middle of the chest that is no lung, without the heart: fat, vessels, gullet, windpipe."""
    z = np.asarray(z, dtype=np.float32)
    half = np.interp(z, (-130, -60, -15, 15, 45, 75, 105, 135), (23, 19, 19, 21, 20, 18, 20, 40)).astype(np.float32)
    front = superellipse(x, y, (2.0, -8.0), (half, 90.0), 1.45)
    back = superellipse(x, y, (4.0, 58.0), (half * 0.74, 42.0), 2.0)
    return union(front, back, 8)


def lung(body: Body, x: F32, y: F32, z: ArrayLike) -> F32:
    """Both lungs, bounded by rib cage, spine, middle, heart and diaphragm."""
    z = np.asarray(z, dtype=np.float32)
    spine = superellipse(x, y, (0.0, spine_y(z) + 5), (20.5, 20.0), 2.2)
    aorta = ellipse(x, y, (21.0, 56.0), (16.0, 15.5)) if z.ndim == 0 and -90 < z < 40 else _aorta(x, y, z)
    out = union(union(midline(x, y, z), heart(body, x, y, z) - 2.5, 7), union(spine, aorta, 5), 5)
    under = (diaphragm_z(body, x, y) - z) * 0.75
    return np.asarray(np.maximum(np.maximum(cage(body, x, y, z), -out), under), dtype=np.float32)


def _aorta(x: F32, y: F32, z: F32) -> F32:
    distance = ellipse(x, y, (21.0, 56.0), (16.0, 15.5))
    return np.asarray(np.where((z > -90) & (z < 40), distance, 100.0), dtype=np.float32)


def side_of(point: ArrayLike) -> str:
    """The lung on whose side a point lies."""
    return "left" if float(np.asarray(point)[0]) > 0 else "right"


def points_in_lung(body: Body, rng: np.random.Generator, side: str, count: int, depth_mm: float = 1.5) -> F32:
    """Points spread evenly through one lung, at least `depth_mm` below its surface, `[count, 3]` (x, y, z)."""
    found: list[F32] = []
    have = 0
    sign = 1.0 if side == "left" else -1.0
    while have < count:
        p = rng.uniform((4, -100, -150), (130, 122, 122), (4 * count, 3)).astype(np.float32)
        p[:, 0] *= sign
        p = p[lung(body, p[:, 0], p[:, 1], p[:, 2]) < -depth_mm]
        found.append(p)
        have += len(p)
    return np.concatenate(found)[:count]


def lung_trees(body: Body, side: str) -> dict[str, Tubes]:
    """Arteries, veins and bronchi of one lung, grown once and kept."""
    if side not in body._trees:
        body._trees[side] = _grow_lung(body, side)
    return body._trees[side]


def _grow_lung(body: Body, side: str) -> dict[str, Tubes]:
    rng = generator("trees", body.patient_id, side)
    levels = round(np.log2(body.branches))
    x, y, z = HILUM[side]
    outward = 1.0 if side == "left" else -1.0
    points = points_in_lung(body, rng, side, 5 * 2**levels)
    end = 0.38 if body.emphysema else 0.46
    arteries = grow(rng, (x, y - 2, z + 2), (outward * 0.8, 0.2, -0.55), points[::2], levels, end)
    veins = grow(rng, (outward * 36, 20.0, -14.0), (outward * 0.9, -0.2, 0.35), points[1::2], levels, end * 0.95)
    aside = np.array([outward * 0.35, 0.55, -0.75], dtype=np.float32)
    accompanied = (arteries.generation <= 5) & (arteries.radius_start > 1.4)
    bronchi = arteries.where(accompanied).moved(aside, 1.7).thicker(0.66)
    return {"arteries": arteries, "veins": veins, "bronchi": bronchi}


def great_vessels() -> Tubes:
    """Aorta with its branches, caval and brachiocephalic veins, pulmonary arteries and veins of the middle."""
    return joined(
        [
            chain([(6, -20, -14), (-5, -30, 10), (-7, -34, 35), (-1, -22, 54)], [15, 15.5, 15, 14]),
            chain([(-1, -22, 54), (8, 2, 63), (18, 30, 57), (22, 50, 36)], [14, 13.5, 13, 12.5]),
            chain([(22, 50, 36), (22, 56, 0), (18, 61, -50), (9, 63, -100), (5, 63, -150)], [12.5, 12.5, 12, 11.5, 11]),
            chain([(-23, -22, 62), (-23, -14, 25), (-19, -16, -8)], [9.5, 10, 11]),
            chain([(42, -26, 94), (2, -40, 74), (-20, -28, 60)], [6.5, 7.5, 8.5]),
            chain([(-44, -20, 98), (-28, -24, 80), (-22, -22, 60)], [6, 7.5, 9]),
            chain([(20, -52, -12), (22, -34, 10), (21, -16, 23)], [14, 14, 12]),
            chain([(20, -14, 22), (-8, 3, 15), (-40, 8, 10)], [11, 10, 8]),
            chain([(21, -14, 23), (33, 4, 25), (43, 12, 16)], [11.5, 10, 8]),
            chain([(-26, 20, -12), (-44, 18, -15)], [7, 5.5]),
            chain([(30, 20, -12), (46, 18, -15)], [7, 5.5]),
            chain([(-23, 6, -58), (-24, 12, -150)], [11.5, 12]),
            chain([(-2, -16, 58), (-14, -10, 92), (-32, -6, 118), (-70, 8, 122)], [7, 6.5, 5, 4.5]),
            chain([(8, 2, 64), (14, 2, 96), (20, 0, 140)], [4.2, 4, 3.8]),
            chain([(17, 20, 62), (27, 22, 95), (42, 14, 114), (76, 10, 122)], [5.5, 5, 5, 4.5]),
            chain([(-22, 0, 112), (-24, 0, 140)], [3.8, 3.8]),
            chain([(-30, -8, 104), (-32, -4, 140)], [6, 5.5]),
            chain([(30, -8, 104), (32, -4, 140)], [5, 5]),
            chain([(-9, 68, -150), (-9, 66, 20), (-14, 48, 40), (-22, 10, 42)], [3.2, 3.8, 4, 4.5]),
        ]
    )


def airways() -> Tubes:
    """Windpipe and main bronchi."""
    return joined(
        [
            chain([(0, 14, 145), (0, 20, 80), (-1, 27, 40)], [8.5, 8.8, 9]),
            chain([(-1, 27, 41), (-20, 23, 24), (-42, 18, 2)], [7.4, 6.8, 5.2]),
            chain([(-1, 27, 41), (24, 25, 20), (44, 22, 6)], [6.8, 6.2, 5.0]),
        ]
    )


def gullet() -> Tubes:
    """The oesophagus."""
    return chain([(3, 38, 145), (5, 42, 45), (3, 44, -30), (12, 40, -100)], [6, 6.5, 7, 7.5])


def angle_from_front(x: F32, y: F32) -> NDArray[np.float32]:
    """Angle around the chest's middle: 0 in front, pi at the back; the left side runs a little ahead of the right."""
    return np.asarray(np.arctan2(np.abs(x), -(y - 4)) + 0.035 * np.tanh(x / 30), dtype=np.float32)

"""Paints a patient onto any axial lattice: a whole study and a small crop come from the same anatomy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medviewer.jobs import JobContext
from medviewer.phantom import body as anatomy
from medviewer.phantom.body import Body
from medviewer.phantom.canvas import Lattice, near, paint_tubes
from medviewer.phantom.inside import fissure_distance, lung_value, paint_belly, paint_heart, paint_table
from medviewer.phantom.lesion import Lesion, paint_lesion
from medviewer.phantom.seeds import generator
from medviewer.phantom.shapes import F32, covered
from medviewer.phantom.wall import paint, paint_spine, paint_wall


def paint_body(
    body: Body, lattice: Lattice, table_y: float | None = None, context: JobContext | None = None
) -> tuple[F32, F32]:
    """The patient without lesions and without the scanner's blur and noise.

    Args:
        body: the patient.
        lattice: where the voxels lie, in mm of the patient (the body's scale is taken into account here).
        table_y: top of the table, or None for no table.
        context: told how many slices are done.

    Returns:
        HU `[k, j, i]` and the lungs' signed distance `[k, j, i]` (negative inside), both float32.
    """
    place = lattice.scaled(1 / body.scale)
    width = place.pixel
    canvas = np.empty(lattice.shape, dtype=np.float32)
    lungs = np.empty(lattice.shape, dtype=np.float32)
    x, y = place.x[None, :], place.y[:, None]
    texture = _texture(body, lattice)
    for k, z in enumerate(float(v) for v in place.z):
        image = canvas[k]
        image[:] = body.hu["air"]
        if table_y is not None:
            paint_table(image, x, y, table_y / body.scale, width)
        _paint_slice(image, lungs[k], body, x, y, z, width, next(texture))
        if context is not None:
            context.report(k + 1, len(place.z), "painting the body")
    _paint_vessels(canvas, lungs, body, place)
    return canvas, lungs * np.float32(body.scale)


def _paint_slice(image: F32, lungs: F32, body: Body, x: F32, y: F32, z: float, width: float, texture: F32) -> None:
    skin = anatomy.outline(body, x, y, z)
    pleura = anatomy.cage(body, x, y, z)
    lungs[:] = anatomy.lung(body, x, y, z)
    paint_wall(image, body, x, y, z, skin, pleura, width)
    paint(image, pleura, body.hu["fat"], width)
    # A thin line of soft tissue lines the cavity where no rib does.
    paint(image, np.maximum(np.abs(pleura + 0.2) - 0.6, lungs - 1.5), body.hu["muscle"], width)
    paint_belly(image, body, x, y, z, pleura, width)
    paint_heart(image, body, x, y, z, width)
    paint(image, lungs, lung_value(body, y, texture), width)
    fissure = np.maximum(fissure_distance(x, y, z) - 0.35, lungs + 1)
    share = covered(fissure, width) * 0.75
    image += share * np.maximum(0, body.hu["fissure"] - image)
    paint_spine(image, body, x, y, z, width)


def _texture(body: Body, lattice: Lattice):  # type: ignore[no-untyped-def]
    """One slice of lung texture after the other: what vessels too fine to be painted leave behind."""
    from scipy.ndimage import gaussian_filter

    rng = generator("texture", body.patient_id, round(float(lattice.z[0]), 3), round(float(lattice.x[0]), 3))
    sigma = 0.8 / lattice.pixel
    keep = float(np.exp(-lattice.step_z / 1.5))
    field = np.zeros(lattice.shape[1:], dtype=np.float32)
    gain = body.hu["lung_texture"] * 3.5 * sigma
    while True:
        fresh = gaussian_filter(rng.standard_normal(lattice.shape[1:], dtype=np.float32), sigma, truncate=3)
        field = keep * field + np.float32(np.sqrt(1 - keep**2)) * fresh
        yield gain * field


def _paint_vessels(canvas: F32, lungs: F32, body: Body, place: Lattice) -> None:
    hu = body.hu
    inside = lungs < 0.8
    lowest, highest = float(place.x[0]), float(place.x[-1])
    sides = [side for side, there in (("right", lowest < 10), ("left", highest > -10)) if there]
    for side in sides:
        trees = anatomy.lung_trees(body, side)
        for name in ("veins", "arteries"):
            tree = near(trees[name], place)
            for low, high, value in ((0.0, 0.9, 0.80), (0.9, 99.0, 1.0)):
                part = tree.where((tree.radius_start > low) & (tree.radius_start <= high))
                paint_tubes(canvas, place, part, hu["blood"] * value, only=inside)
        bronchi = near(trees["bronchi"], place)
        paint_tubes(canvas, place, bronchi.thicker(1.12, 0.55), hu["muscle"] - 20)
        paint_tubes(canvas, place, bronchi, -955)
    paint_tubes(canvas, place, anatomy.gullet(), hu["muscle"] - 10)
    paint_tubes(canvas, place, anatomy.great_vessels(), hu["blood"])
    paint_tubes(canvas, place, anatomy.airways().thicker(1.0, 1.3), hu["muscle"])
    paint_tubes(canvas, place, anatomy.airways(), -985)


def add_lesions(canvas: F32, lungs: F32, lattice: Lattice, lesions: Sequence[Lesion]) -> None:
    """Paint lesions into a body, in place."""
    for lesion in lesions:
        paint_lesion(canvas, lungs, lattice, lesion)

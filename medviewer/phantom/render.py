"""Paints a patient onto any axial lattice: a whole study and a small crop come from the same anatomy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def paint_chest(
    body: Body,
    lattice: Lattice,
    lesions: Sequence[Lesion] = (),
    thin_per_slice: int = 1,
    table_y: float | None = None,
    context: JobContext | None = None,
) -> tuple[F32, F32]:
    """The patient with lesions, before the scanner's blur and noise.

    Large structures are painted once a slice; vessels and lesions into `thin_per_slice` thinner slices each, which
    the scanner averages.

    Args:
        body: the patient.
        lattice: where the voxels lie, in mm of the patient (the body's scale is taken into account here).
        lesions: nodules to paint.
        thin_per_slice: thin slices that stand for one slice.
        table_y: top of the table, or None for no table.
        context: asked whether to stop, once a slice.

    Returns:
        HU of the thin slices `[k * n, j, i]`, and the lungs' signed distance in mm at the slices' middles `[k, j, i]`
        (negative inside), both float32.
    """
    thin = thinner(lattice, thin_per_slice)
    place = lattice.scaled(1 / body.scale)
    canvas = np.empty(thin.shape, dtype=np.float32)
    lungs = np.empty(lattice.shape, dtype=np.float32)
    x, y = place.x[None, :], place.y[:, None]
    texture = _texture(body, lattice)
    for k, z in enumerate(float(v) for v in place.z):
        if context is not None:
            context.check()
        slices = canvas[k * thin_per_slice : (k + 1) * thin_per_slice]
        image = slices[0]
        image[:] = body.hu["air"]
        if table_y is not None:
            paint_table(image, x, y, table_y / body.scale, place.pixel)
        _paint_slice(image, lungs[k], body, x, y, z, place.pixel, next(texture))
        slices[1:] = image
    lungs *= np.float32(body.scale)
    lungs_thin = np.repeat(lungs, thin_per_slice, axis=0) if thin_per_slice > 1 else lungs
    _paint_vessels(canvas, lungs_thin, body, thin.scaled(1 / body.scale))
    for lesion in lesions:
        paint_lesion(canvas, lungs_thin, thin, lesion)
    return canvas, lungs


def thinner(lattice: Lattice, parts: int) -> Lattice:
    """The lattice with each slice split into thin ones whose middles lie evenly over its thickness."""
    offsets = ((np.arange(parts, dtype=np.float32) + 0.5) / parts - 0.5) * np.float32(lattice.step_z)
    return Lattice((lattice.z[:, None] + offsets).reshape(-1).astype(np.float32), lattice.y, lattice.x)


def _paint_slice(image: F32, lungs: F32, body: Body, x: F32, y: F32, z: float, width: float, texture: F32) -> None:
    skin = anatomy.outline(body, x, y, z)
    pleura = anatomy.cage(body, x, y, z)
    lungs[:] = anatomy.lung(body, x, y, z)
    paint_wall(image, body, x, y, z, skin, pleura, width)
    # The fat of the middle holds strands, small vessels and nodes.
    strands = 22 * np.sin(0.31 * x + 0.09 * z) * np.sin(0.27 * y - 0.11 * z) + 0.8 * texture
    paint(image, pleura, body.hu["fat"] + 14 + strands, width)
    # A thin line of soft tissue lines the cavity where no rib does.
    paint(image, np.maximum(np.abs(pleura + 0.2) - 0.6, lungs - 1.5), body.hu["muscle"], width)
    paint_belly(image, body, x, y, z, pleura, width)
    paint_heart(image, body, x, y, z, width)
    paint(image, lungs, lung_value(body, y, texture), width)
    fissure = np.maximum(fissure_distance(x, y, z) - 0.35, lungs + 1)
    share = covered(fissure, width) * 0.75
    image += share * np.maximum(0, body.hu["fissure"] - image)
    paint_spine(image, body, x, y, z, width)


def _texture(body: Body, lattice: Lattice) -> Iterator[F32]:
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
        paint_tubes(canvas, place, bronchi.thicker(1.1, 0.45), hu["muscle"] - 20)
        paint_tubes(canvas, place, bronchi, -955)
    paint_tubes(canvas, place, anatomy.gullet(), hu["muscle"] - 10)
    paint_tubes(canvas, place, anatomy.great_vessels(), hu["blood"])
    paint_tubes(canvas, place, anatomy.airways().thicker(1.0, 1.3), hu["muscle"])
    paint_tubes(canvas, place, anatomy.airways(), -985)

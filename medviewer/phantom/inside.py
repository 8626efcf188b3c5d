"""What lies inside the rib cage and below the diaphragm in one slice, and the table under the patient."""

from __future__ import annotations

import numpy as np

from medviewer.phantom.body import Body, diaphragm_z, heart
from medviewer.phantom.shapes import F32, ellipsoid
from medviewer.phantom.wall import paint


def lung_value(body: Body, y: F32, texture: F32) -> F32:
    """HU of lung tissue: denser towards the back where the patient lies on it, plus fine texture."""
    drop = body.hu["lung_gravity"] * np.clip((y + 90) / 195, 0, 1)
    return np.asarray(body.hu["lung"] + drop - 15 + texture, dtype=np.float32)


def paint_heart(canvas: F32, body: Body, x: F32, y: F32, z: float, width_mm: float) -> None:
    """Paint heart muscle and its chambers; they differ visibly only with contrast medium."""
    s = body.heart_scale
    surface = heart(body, x, y, z)
    if float(surface.min()) > 5:
        return
    hu = body.hu
    paint(canvas, surface, hu["heart_wall"], width_mm)
    groove = np.abs(ellipsoid(x, y, z, (26.0, -34.0, -48.0), (57 * s, 41 * s, 48 * s), 0.6)) - 1.6
    paint(canvas, np.maximum(groove, np.maximum(-surface - 9, x - 14)), hu["fat"], width_mm * 2)
    for centre, half, turn in (
        ((38.0, -26.0, -48.0), (36 * s, 18 * s, 30 * s), 0.6),
        ((10.0, -50.0, -44.0), (34 * s, 16 * s, 34 * s), 0.5),
        ((-17.0, -20.0, -32.0), (25 * s, 28 * s, 35 * s), 0.0),
        ((3.0, 15.0, -18.0), (34 * s, 20 * s, 23 * s), 0.0),
    ):
        paint(canvas, ellipsoid(x, y, z, centre, half, turn), hu["blood"], width_mm * 3)


def paint_belly(canvas: F32, body: Body, x: F32, y: F32, z: float, pleura: F32, width_mm: float) -> None:
    """Paint diaphragm, liver, spleen and stomach where the slice lies below the domes."""
    under = z - diaphragm_z(body, x, y)
    if float(under.min()) > 3:
        return
    hu = body.hu
    inside = np.maximum(pleura + 1.5, under * 0.75)
    paint(canvas, inside, hu["muscle"], width_mm)
    cavity = inside + 2.0
    paint(canvas, np.maximum(cavity, 36 - x), hu["fat"], width_mm)
    liver_edge = np.maximum(x - 46 + 0.22 * (y + 40) + 0.25 * (z + 100), 0.5 * (y - 96) + 0.4 * np.abs(x + 20) - 18)
    paint(canvas, np.maximum(cavity - 0.8, liver_edge).astype(np.float32), hu["liver"], width_mm)
    stomach = ellipsoid(x, y, z, (58.0, -22.0, -134.0), (44.0, 46.0, 36.0))
    paint(canvas, np.maximum(stomach, cavity), hu["muscle"], width_mm)
    paint(canvas, np.maximum(stomach + 4, cavity), hu["stomach"], width_mm)
    gas = np.maximum(stomach + 4.5, y + 38)
    paint(canvas, np.maximum(gas, cavity), -960, width_mm)
    paint(
        canvas, np.maximum(ellipsoid(x, y, z, (82.0, 46.0, -128.0), (32.0, 38.0, 34.0)), cavity), hu["spleen"], width_mm
    )


def fissure_distance(x: F32, y: F32, z: float) -> F32:
    """Distance to the nearest interlobar fissure: the oblique one of each lung, the horizontal one of the right."""
    bow = 0.0012 * (np.abs(x) - 70) ** 2
    oblique_right = (z - 12 - 0.95 * y - bow) * 0.72
    oblique_left = (z - 20 - 1.05 * y - bow) * 0.69
    oblique = np.where(x > 0, oblique_left, oblique_right)
    horizontal = np.where((x < 0) & (oblique_right > 0), z - 6 + 0.12 * y + 0.10 * (np.abs(x) - 60), 99.0)
    return np.asarray(np.minimum(np.abs(oblique), np.abs(horizontal)), dtype=np.float32)


def paint_table(canvas: F32, x: F32, y: F32, top_y: float, width_mm: float) -> None:
    """Paint the mattress' cover and the table's two shells below it."""
    sag = 0.00125 * x**2
    edge = np.maximum(np.abs(x) - 262, 0)
    for down, half, value in ((-7.0, 0.9, -420.0), (0.0, 0.8, 160.0), (26.0, 1.2, 60.0)):
        curve = y - (top_y + down) + (sag if down < 20 else 1.35 * sag)
        paint(canvas, np.maximum(np.abs(curve) - half, edge).astype(np.float32), value, width_mm)
    foam = np.maximum(np.abs(y - (top_y + 13) + 1.15 * sag) - 11, edge)
    share = np.clip(0.5 - foam, 0, 1)
    canvas += (share * np.maximum(0.0, -955 - canvas)).astype(np.float32)

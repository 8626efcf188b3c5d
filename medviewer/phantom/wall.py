"""What surrounds the chest cavity in one slice: skin, fat, muscles, ribs, sternum, spine, shoulder blades."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medviewer.phantom.body import Body, angle_from_front, spine_y
from medviewer.phantom.shapes import F32, covered, ellipse, superellipse

#: Distance of the two discs' middles that a vertebra takes, mm.
VERTEBRA_MM = 23.5


def paint(canvas: F32, distance: F32, value: float | NDArray[np.floating], width_mm: float) -> None:
    """Paint one shape over what is there, in place, with partial volume on its surface."""
    if float(distance.min()) > 0.5 * width_mm:
        return
    share = covered(distance, width_mm)
    canvas += share * (value - canvas)


def paint_bone(canvas: F32, body: Body, distance: F32, shell_mm: float, width_mm: float) -> None:
    """Paint marrow inside a shell of cortical bone."""
    paint(canvas, distance, body.hu["cortex"], width_mm)
    paint(canvas, distance + shell_mm, body.hu["marrow"], width_mm)


def paint_wall(canvas: F32, body: Body, x: F32, y: F32, z: float, skin: F32, pleura: F32, width_mm: float) -> None:
    """Paint the chest wall of slice `z` (anatomy's frame) around the cavity.

    Args:
        canvas: `[j, i]` HU, painted in place.
        body: the patient.
        x, y: `[1, i]` and `[j, 1]` mm.
        z: height of the slice.
        skin, pleura: signed distances of the body's outline and of the rib cage's inner surface, `[j, i]`.
        width_mm: width of the surfaces' ramp.
    """
    hu = body.hu
    paint(canvas, skin, hu["skin"], width_mm)
    streaks = 9 * np.sin(0.11 * x + 0.19 * y + 0.07 * z) * np.sin(0.23 * x - 0.13 * y + 0.05 * z)
    paint(canvas, skin + 2.0, hu["fat"] + streaks, width_mm)
    angle = angle_from_front(x, y)
    _muscles(canvas, body, x, y, z, skin, pleura, angle, streaks, width_mm)
    _ribs(canvas, body, z, pleura, angle, width_mm)
    _sternum(canvas, body, x, y, z, width_mm)
    if -45 < z < 112:
        _shoulder_blade(canvas, body, x, y, z, pleura, angle, skin, width_mm)


def _muscles(
    canvas: F32, body: Body, x: F32, y: F32, z: float, skin: F32, pleura: F32, angle: F32, streaks: F32, width: float
) -> None:
    value = body.hu["muscle"] + 1.3 * streaks
    depth_of_fat = 2.5 + body.fat_thickness
    under_fat = skin + 0.62 * depth_of_fat
    # Intercostal layer, a thin plane of fat, then latissimus and serratus behind, pectorals in front.
    wavy = 1.6 * np.sin(3 * angle + 0.025 * z + 5 * body.rib_phase) * np.sin(7 * angle - 0.04 * z)
    paint(canvas, np.maximum(pleura - 10.9 - wavy, under_fat), value, width)
    shoulder = float(np.clip((z + 10) / 80, 0, 1))
    size = body.muscle_thickness
    outer = size * (0.25 + 1.35 * np.exp(-(((angle - 2.05) / 0.55) ** 2)) * (0.7 + shoulder))
    outer += size * 1.5 * np.exp(-(((angle - 0.72) / 0.42) ** 2)) * float(np.clip((z + 25) / 45, 0, 1))
    outer *= 1 + 0.22 * np.sin(5 * angle + 0.03 * z + 6 * body.rib_phase) * np.cos(0.05 * z - 3 * angle)
    outer += 46 * max(0.0, shoulder - 0.35) * np.exp(-(((angle - 1.75) / 0.75) ** 2))
    outer += size * 1.1 * np.exp(-(((angle - 2.62) / 0.36) ** 2))
    band = np.maximum(np.abs(pleura - 12.2 - outer / 2) - outer / 2, under_fat)
    between = np.where(outer > 13, 0.75 - np.abs(pleura - 12.2 - outer * (0.5 + 0.12 * np.sin(4 * angle))), -9.0)
    paint(canvas, np.maximum(band, between).astype(np.float32), value, width)
    if z > 20:  # the armpit's fat between the pectoral muscles and the shoulder blade
        side = np.abs(x)
        hollow = superellipse(side, y, (body.cage_half_width + 16, -2.0), (20.0, 26.0), 1.6)
        paint(canvas, np.maximum(hollow, 6 - pleura), body.hu["fat"] + streaks, width * 3)
    _shoulder_muscles(canvas, body, x, y, z, skin, pleura, value, width)
    back = spine_y(z)
    erector = np.minimum(
        superellipse(np.abs(x), y, (25.0, back + 40), (22.0, 15.0), 2.2),
        superellipse(np.abs(x), y, (48.0, back + 36), (20.0, 9.0), 2.0),
    )
    paint(canvas, np.maximum(erector, skin + 5.0), value, width)


def _shoulder_muscles(
    canvas: F32, body: Body, x: F32, y: F32, z: float, skin: F32, pleura: F32, value: NDArray[np.floating], width: float
) -> None:
    """The mass of muscles around the shoulder joint and the neck, with planes of fat between them."""
    filled = float(np.clip((z - 42) / 40, 0, 1))
    if filled <= 0:
        return
    side = np.abs(x)
    inner = body.cage_half_width - 25 - 75 * float(np.clip((z - 84) / 30, 0, 1)) + 9 * np.sin(0.07 * y)
    mass = np.maximum(skin + 4 + 0.9 * body.fat_thickness, 20 - pleura)
    mass = np.maximum(mass, (1 - filled) * 90 - (side - inner))
    # Shells around the joint: the deltoid, then what lies under it.
    dx, dy = side - body.cage_half_width - 34, y - 26
    around = np.arctan2(dy, dx)
    reach = np.sqrt(dx * dx + dy * dy)
    planes = np.minimum(
        np.abs(reach - 35 - 5 * np.sin(2 * around + 0.03 * z)),
        np.abs(reach - 60 - 9 * np.sin(3 * around + 0.04 * z + 2 * body.rib_phase)),
    )
    spokes = np.abs(np.sin(1.5 * around + 0.35 * np.sin(0.08 * reach) + 0.02 * z)) * reach * 0.6
    planes = np.minimum(planes, np.where(reach > 36, spokes, 99.0))
    paint(canvas, np.maximum(mass, 1.1 - planes).astype(np.float32), value, width * 2)


def rib_distance(body: Body, z: float, pleura: F32, angle: F32) -> F32:
    """Signed distance of the nearest rib, from where it leaves the spine to where it becomes cartilage.

    A rib runs 5.5 mm outside the pleura and sinks by about 90 mm from the back to the front.
    """
    forward = 1 - angle / np.pi
    sink = 150 * forward - 40 * forward**2
    phase = (z + sink) / body.rib_distance + body.rib_phase
    dz = (phase - np.round(phase)) * body.rib_distance
    k0 = np.sqrt(((pleura - 5.6) / 3.7) ** 2 + (dz / 6.0) ** 2)
    distance = (k0 - 1) * 3.7
    distance = np.maximum(distance, (0.50 - angle) * 70)
    return np.asarray(np.maximum(distance, (angle - 2.86) * 70), dtype=np.float32)


def _ribs(canvas: F32, body: Body, z: float, pleura: F32, angle: F32, width: float) -> None:
    if z > 116:
        return
    distance = rib_distance(body, z, pleura, angle)
    cartilage = np.maximum(np.abs(pleura - 6) - 4.5, np.abs(angle - 0.36) * 70 - 12)
    cut = (z / body.rib_distance + body.rib_phase) % 1.0
    if cut < 0.55 and z < 60:
        paint(canvas, cartilage, body.hu["cartilage"], width)
    paint_bone(canvas, body, distance, 0.95, width)


def _sternum(canvas: F32, body: Body, x: F32, y: F32, z: float, width: float) -> None:
    if not -75 < z < 92:
        return
    up = float(np.clip((z + 10) / 128, 0, 0.999))
    front = 27 * up - body.cage_half_depth * (1 - up**2.9) ** 0.55
    half = float(np.interp(z, (-75, -55, -20, 40, 60, 92), (4, 13, 17, 14, 26, 30)))
    paint_bone(canvas, body, superellipse(x, y, (0.0, front - 7.5), (half, 5.6), 2.6), 1.0, width)
    if z > 72:  # inner ends of the collar bones
        tip = superellipse(np.abs(x), y, (44.0 + 0.5 * (z - 72), front - 4), (17.0, 7.0), 2.2)
        paint_bone(canvas, body, tip, 1.4, width)


def paint_spine(canvas: F32, body: Body, x: F32, y: F32, z: float, width_mm: float) -> None:
    """Paint vertebra or disc, canal and processes of slice `z`, in place."""
    hu, yc = body.hu, float(spine_y(z))
    part = (z / VERTEBRA_MM + 0.37 * body.rib_phase) % 1.0
    side = np.abs(x)
    disc = 0.24
    # The waist of the vertebral body: wider at its end plates.
    bulge = 1.6 * (2 * abs((part - disc) / (1 - disc) - 0.5)) ** 2 if part >= disc else 1.0
    vertebra = superellipse(x, y, (0.0, yc), (16.0 + bulge, 13.0 + bulge), 2.4)
    if part < disc:
        paint(canvas, vertebra, hu["disc"], width_mm)
    else:
        at_plate = min(part - disc, 1 - part) * VERTEBRA_MM < 1.3
        paint(canvas, vertebra, hu["cortex"] * (0.75 if at_plate else 0.85), width_mm)
        speckle = 28 * np.sin(1.9 * x + 0.8 * z) * np.sin(1.7 * y - 0.6 * z)
        paint(canvas, vertebra + 1.0, hu["marrow"] * (1.9 if at_plate else 1.0) + speckle, width_mm)
    canal = ellipse(x, y, (0.0, yc + 21.0), (9.5, 8.2))
    if part >= 0.34:  # pedicles and laminae
        ring = np.maximum(canal - (6.2 if part > 0.5 else 5.0), -canal)
        paint_bone(canvas, body, np.maximum(ring, yc + 8 - y), 1.1, width_mm)
    if 0.48 < part < 0.78:  # transverse processes
        t = np.clip((side - 12) / 24, 0, 1)
        process = np.sqrt((side - 12 - 24 * t) ** 2 + (y - (yc + 19 + 10 * t)) ** 2) - (5.0 - 1.2 * t)
        paint_bone(canvas, body, process.astype(np.float32), 1.1, width_mm)
    # Spinous processes slant down: each slice cuts one somewhere along its length, ligament between them.
    beyond = np.clip(y - (yc + 30), 0, 24)
    own_height = ((z + 0.85 * beyond) / VERTEBRA_MM + 0.37 * body.rib_phase) % 1.0
    above = (np.abs(own_height - 0.62) - 0.27) * VERTEBRA_MM
    column = np.maximum(np.abs(y - (yc + 40)) - 12, side - (3.6 - 0.05 * beyond))
    paint(canvas, column.astype(np.float32), 0.5 * hu["muscle"], width_mm)
    paint_bone(canvas, body, np.maximum(column, above).astype(np.float32), 1.1, width_mm)
    paint(canvas, canal, 14, width_mm)
    paint(canvas, ellipse(x, y, (0.0, yc + 21.0), (5.2, 4.0)), 38, width_mm)


def _shoulder_blade(
    canvas: F32, body: Body, x: F32, y: F32, z: float, pleura: F32, angle: F32, skin: F32, width: float
) -> None:
    first = float(np.interp(z, (-45, -20, 40, 112), (2.0, 1.93, 1.82, 1.74)))
    last = float(np.interp(z, (-45, -20, 40, 95, 112), (2.06, 2.22, 2.42, 2.38, 2.2)))
    lift = 17.5 + 0.05 * max(z, 0) + 5.0 * np.sin(2.2 * (angle - first))
    middle = 0.5 * (first + last)
    beyond = (np.abs(angle - middle) - 0.5 * (last - first)) * 125
    thick = 1.7 + 1.8 * np.exp(-(((angle - first) / 0.10) ** 2))
    plate = np.maximum(np.abs(pleura - lift) - thick, beyond)
    paint_bone(canvas, body, np.maximum(plate, skin + 5).astype(np.float32), 1.3, width)
    if z > 48:  # spine of the scapula and acromion, going out and back
        height = min(1.0, (z - 48) / 30)
        fin = np.maximum(np.abs(angle - (first + 0.26)) * (100 + pleura) - 2.3, np.abs(pleura - 30) - 12 * height)
        paint_bone(canvas, body, np.maximum(fin, skin + 4).astype(np.float32), 1.2, width)
    if z > 70:  # head of the humerus and the glenoid
        head_x = body.cage_half_width + 34
        radius = float(np.sqrt(max(0.0, 24.0**2 - (z - 98) ** 2)))
        if radius > 3:
            paint_bone(canvas, body, ellipse(np.abs(x), y, (head_x, 26.0), (radius, radius)), 1.8, width)

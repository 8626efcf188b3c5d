"""From the planes of sorted slices to a Grid, or to the reason why there can be none.

Points are LPS millimetres. Slices are sorted by their distance along row x column, never by instance number,
slice location or file name (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import Quality
from medviewer.volume.grid import Grid

#: Slices closer than this lie at one place, mm.
SAME_PLACE = 0.01
#: Slices may leave the straight line of even steps by this, mm, or by a share of the step where that is more
#: (bed joins of PET make single steps of 3.19 among 3.27 mm), but never by much of a thin step.
EVEN_MM, EVEN_SHARE, EVEN_MOST = 0.1, 0.03, 0.3
#: A gap is a whole number of steps within this share.
GAP_SHARE = 0.05
#: From this angle on the slices are sheared against their normal, degrees.
TILT_DEGREES = 0.1
#: Sideways drift of the whole stack that is taken for rounding, mm.
DRIFT_MM = 0.02
#: So many odd steps are named one by one.
_NAMED_STEPS = 6


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the positions of a stack's slices say.

    Attributes:
        grid: None where no regular grid fits; `quality` says why.
        origin: centre of the first voxel of the first slice.
        direction: unit vectors of i, j, k.
        step: along the normal in mm; for one slice its thickness, None if unknown.
        quality: faults.
    """

    grid: Grid | None
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    step: float | None
    quality: tuple[Quality, ...]


def normal_of(row: Sequence[float], column: Sequence[float]) -> NDArray[np.float64]:
    """Row x column, unit length."""
    normal = np.cross(np.asarray(row, dtype=np.float64), np.asarray(column, dtype=np.float64))
    return normal / np.linalg.norm(normal)


def distances(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each position, (n, 3), from the patient's origin along the normal, mm."""
    return positions @ normal


def stack_geometry(
    positions: NDArray[np.float64],
    row: Sequence[float],
    column: Sequence[float],
    spacing: tuple[float, float] | None,
    thickness: float | None,
    plane_size: tuple[int, int],
) -> Geometry:
    """Fit a Grid to sorted slices.

    Args:
        positions: (n, 3), ascending along the normal, no two at one place.
        row, column: unit vectors of increasing column index and row index.
        spacing: mm between rows and between columns; None: unknown, then there is no grid.
        thickness: mm, stands for the step of a single slice.
        plane_size: rows, columns.
    """
    normal = normal_of(row, column)
    origin = (float(positions[0, 0]), float(positions[0, 1]), float(positions[0, 2]))
    straight = (*row, *column, *(float(v) for v in normal))
    count = len(positions)
    if count == 1:
        grid = _grid(1, plane_size, spacing, thickness or 1.0, straight, origin)
        return Geometry(grid, origin, straight, thickness, ())
    along = distances(positions - positions[0], normal)
    steps = np.diff(along)
    step, fault = _steps(along, steps, positions)
    sideways = positions - positions[0] - np.outer(along, normal)
    drift = sideways[-1]
    off_line = np.linalg.norm(sideways - np.outer(along / along[-1], drift), axis=1)
    quality = [] if fault is None else [fault]
    if fault is None and float(off_line.max()) > max(EVEN_MM, EVEN_SHARE * step):
        k = int(np.argmax(off_line))
        detail = f"image {k + 1} lies {off_line[k]:.2f} mm beside the line through the others"
        quality.append(Quality("uneven-spacing", detail, images=(k,)))
    amount = float(np.linalg.norm(drift))
    angle = float(np.degrees(np.arctan2(amount, along[-1])))
    direction, length = straight, step
    if amount > DRIFT_MM:
        axis = positions[-1] - positions[0]
        slant = axis / np.linalg.norm(axis)
        direction = (*row, *column, *(float(v) for v in slant))
        length = step / float(slant @ normal)
    if angle > TILT_DEGREES and amount > DRIFT_MM:
        detail = f"the images are sheared by {angle:.1f}° against their normal, as by a tilted gantry"
        quality.append(Quality("gantry-tilt", detail, f"gantry tilt {angle:.1f}°"))
    sound = all(q.code == "gantry-tilt" for q in quality)
    grid = _grid(count, plane_size, spacing, length, direction, origin) if sound else None
    return Geometry(grid, origin, direction, step, tuple(quality))


def _grid(
    count: int,
    plane_size: tuple[int, int],
    spacing: tuple[float, float] | None,
    step: float,
    direction: tuple[float, ...],
    origin: tuple[float, float, float],
) -> Grid | None:
    if spacing is None:
        return None
    return Grid((count, *plane_size), (step, *spacing), direction, origin)


def _steps(
    along: NDArray[np.float64], steps: NDArray[np.float64], positions: NDArray[np.float64]
) -> tuple[float, Quality | None]:
    """The step along the normal, and what is wrong with the steps."""
    count = len(along)
    mean = float(along[-1] / (count - 1))
    index = np.arange(count)
    slope, start = np.polyfit(index, along, 1)
    middle = float(np.median(steps))
    allowed = min(max(EVEN_MM, EVEN_SHARE * middle), EVEN_MOST * middle)
    if float(np.max(np.abs(along - (start + slope * index)))) <= allowed:
        return mean, None
    smallest = float(steps.min())
    times = steps / smallest
    whole = np.rint(times)
    regular = bool(np.all(np.abs(times - whole) <= GAP_SHARE * whole)) and whole.max() >= 2
    if regular and not _changes_step(whole):
        unit = float(along[-1] / whole.sum())
        gaps = np.flatnonzero(whole >= 2)
        missing = int((whole[gaps] - 1).sum())
        places = _places(gaps, steps, positions, unit)
        detail = f"{missing} {'image is' if missing == 1 else 'images are'} missing {places}"
        words = f"{missing} image{'' if missing == 1 else 's'} missing"
        return unit, Quality("missing-slice", detail, words, _beside(gaps))
    odd = np.flatnonzero(np.abs(steps - middle) > allowed)
    if not len(odd):  # each step is nearly right, their sum is not
        odd = np.array([int(np.argmax(np.abs(steps - middle)))])
    detail = f"the distance of the images changes {_places(odd, steps, positions, middle)}"
    words = f"uneven spacing {steps.min():.1f} to {steps.max():.1f} mm"
    return middle, Quality("uneven-spacing", detail, words, _beside(odd))


def _changes_step(whole: NDArray[np.float64]) -> bool:
    """True where steps of two and more units are not gaps in a stack but a stretch acquired at a wider step."""
    if np.count_nonzero(whole >= 2) > np.count_nonzero(whole == 1):
        return True
    wide_twice = (whole[1:] >= 2) & (whole[1:] == whole[:-1])
    return bool(np.any(wide_twice[1:] & wide_twice[:-1]))


def _beside(steps: NDArray[np.intp]) -> tuple[int, ...]:
    """The slices on both sides of some steps."""
    return tuple(sorted({int(n) + side for n in steps for side in (0, 1)}))


def _places(odd: NDArray[np.intp], steps: NDArray[np.float64], positions: NDArray[np.float64], usual: float) -> str:
    """Which steps, in words: "between image 12 and 13: 10.0 mm where 5.0 is usual (z 28.1 to 38.1)"."""
    parts = []
    for k in (int(n) for n in odd[:_NAMED_STEPS]):
        axis = int(np.argmax(np.abs(positions[k + 1] - positions[k])))
        where = f"{'xyz'[axis]} {positions[k, axis]:.1f} to {positions[k + 1, axis]:.1f}"
        parts.append(f"between image {k + 1} and {k + 2}: {steps[k]:.1f} mm where {usual:.1f} is usual ({where})")
    rest = len(odd) - len(parts)
    return "; ".join(parts) + (f"; and at {rest} more places" if rest > 0 else "")

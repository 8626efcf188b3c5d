"""Where a volume task's net looks: the crop on the patient's axes that it was trained on, and the way back.

A volume that is such a crop already keeps its own voxels (their order is turned, nothing is interpolated). From a
larger one the place that a box or click names is cut out and resampled, and the answer is laid back on the native grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Refused
from medviewer.inference.prompt import Prompt
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

Float = NDArray[np.float32]

_LETTERS = {
    "L": (1.0, 0.0, 0.0),
    "R": (-1.0, 0.0, 0.0),
    "P": (0.0, 1.0, 0.0),
    "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}

#: A crop whose voxels differ from the training spacing by no more than this share is not resampled.
SPACING_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class InputRule:
    """The part `input` of config.json: what the net was trained on.

    Attributes:
        orientation: directions of increasing i, j, k as letters of R L A P H F.
        spacing_mm: distance of voxels.
        coarsest_mm: voxels further apart than this along any axis are not resampled but refused.
        smallest_mm, largest_mm: sizes (k, j, i) of volumes that are taken as they are.
        usual_mm: the middle of the training crops' sizes (k, j, i).
        margin_mm: what is added around a person's box.
        multiple: the net wants sizes that this number divides.
        mirror_axis: axis (of k, j, i) along which the mirrored picture is asked too, or None.
        trained_on, structure: words for people, "crops of 35 to 50 mm", "one hippocampus".
    """

    orientation: tuple[str, str, str]
    spacing_mm: float
    coarsest_mm: float
    smallest_mm: tuple[float, ...]
    largest_mm: tuple[float, ...]
    usual_mm: tuple[float, ...]
    margin_mm: float
    multiple: int
    mirror_axis: int | None
    trained_on: str
    structure: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> InputRule:
        """Read it from a config.json.

        Raises:
            Refused: it is not there or not complete.
        """
        try:
            rule = config["input"]
            i, j, k = (str(letter) for letter in rule["orientation"])
            mirror = rule.get("mirror_axis")
            if sorted("LRPAHF".index(letter) // 2 for letter in (i, j, k)) != [0, 1, 2]:
                raise ValueError("orientation")
            return cls(
                (i, j, k),
                float(rule["spacing_mm"]),
                float(rule["coarsest_mm"]),
                tuple(float(v) for v in rule["smallest_mm_kji"]),
                tuple(float(v) for v in rule["largest_mm_kji"]),
                tuple(float(v) for v in rule["usual_mm_kji"]),
                float(rule["margin_mm"]),
                int(rule["multiple"]),
                None if mirror is None else int(mirror),
                str(rule["trained_on"]),
                str(rule["structure"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused(f"config.json of this model does not say what it was trained on ({error})") from error

    @property
    def axes_lps(self) -> NDArray[np.float64]:
        """3x3, rows: unit vectors (LPS) of increasing k, j, i of the net's input."""
        return np.array([_LETTERS[letter] for letter in reversed(self.orientation)])


def crop_grid(grid: Grid, prompt: Prompt, rule: InputRule, title: str) -> Grid | str:
    """Where the net looks: a grid oriented and spaced as in training, or why there is none.

    A volume that is a crop already keeps its own voxel centres where its axes and spacing allow it.
    """
    coarsest = max(grid.spacing_kji)
    if coarsest > rule.coarsest_mm:
        return (
            f"the voxels of this volume are up to {coarsest:.1f} mm apart: {title} was trained on "
            f"{rule.spacing_mm:.1f} mm and takes up to {rule.coarsest_mm:.1f} mm"
        )
    whole = _extent_mm(grid, rule)
    box = prompt.box_lps
    span = " x ".join(f"{v:.0f}" for v in whole[::-1])
    low, high = np.asarray(rule.smallest_mm), np.asarray(rule.largest_mm)
    if box is None and np.any(whole < low):
        return f"this volume is only {span} mm large: {title} needs at least {_size(low)} mm around the structure"
    if box is None and prompt.point_lps is None:
        if np.any(whole > high):
            return (
                f"{title} was trained on {rule.trained_on}, this volume is {span} mm: "
                f"draw a box around {rule.structure}"
            )
        return _whole_volume(grid, rule)
    if np.all(whole <= high):
        return _whole_volume(grid, rule)
    if box is None:
        size = np.asarray(rule.usual_mm)
    else:
        corners = np.array([(a, b, c) for a in (box[0], box[3]) for b in (box[1], box[4]) for c in (box[2], box[5])])
        asked = np.ptp(corners @ rule.axes_lps.T, axis=0)
        if np.any(asked > high) or np.any(asked < 10.0):
            return (
                f"this box is {_size(asked)} mm: {title} was trained on {rule.trained_on}, "
                f"draw it closely around {rule.structure}"
            )
        size = np.maximum(asked, np.minimum(asked + 2 * rule.margin_mm, rule.usual_mm))
        size = np.maximum(size, np.asarray(rule.usual_mm) * 0.85)
    middle = np.asarray(prompt.middle_lps if box is None else Prompt(None, box).middle_lps)
    return _grid_around(middle, size, rule)


def sample(volume: Volume, target: Grid) -> Float:
    """Grey values of a volume on another grid, float32 `[k, j, i]`; linear, edges repeated.

    Where the grids share voxel centres up to order and direction of the axes, nothing is interpolated.
    """
    if volume.grid is None:
        raise ValueError("no geometry")
    lined_up = _lined_up(volume.grid, target)
    if lined_up is not None:
        return np.ascontiguousarray(_turn(volume.values(), *lined_up))
    return _interpolate(volume, target)


def _extent_mm(grid: Grid, rule: InputRule) -> NDArray[np.float64]:
    """Size of the volume in mm along the k, j, i axes of the net's input (voxel edges included)."""
    points = grid.corners_lps() @ rule.axes_lps.T
    extent: NDArray[np.float64] = np.ptp(points, axis=0) + np.abs(rule.axes_lps @ grid.step_matrix).sum(axis=1)
    return extent


def _size(mm_kji: Any) -> str:
    return " x ".join(f"{float(v):.0f}" for v in reversed(list(mm_kji)))


def _whole_volume(grid: Grid, rule: InputRule) -> Grid:
    """The volume's own voxels in the order of training, or a resampled grid over all of it."""
    order, signs = _nearest_axes(grid, rule)
    spacing = tuple(grid.spacing_kji[axis] for axis in order)
    near = all(abs(s / rule.spacing_mm - 1) <= SPACING_TOLERANCE for s in spacing)
    directions = [(grid.axis_k, grid.axis_j, grid.axis_i)[axis] * sign for axis, sign in zip(order, signs, strict=True)]
    oblique = any(
        float(d @ wanted) < np.cos(np.radians(20)) for d, wanted in zip(directions, rule.axes_lps, strict=True)
    )
    if not near or oblique:
        size = _extent_mm(grid, rule)
        return _grid_around(np.asarray(grid.centre_lps), size, rule)
    size_kji = tuple(grid.size_kji[axis] for axis in order)
    first = [0 if sign > 0 else grid.size_kji[axis] - 1 for axis, sign in zip(order, signs, strict=True)]
    start = np.zeros(3)
    for axis, index in zip(order, first, strict=True):
        start[axis] = index
    origin = grid.index_to_lps(start)
    k, j, i = directions
    return Grid(
        (size_kji[0], size_kji[1], size_kji[2]),
        (spacing[0], spacing[1], spacing[2]),
        tuple(float(v) for v in (*i, *j, *k)),
        (float(origin[0]), float(origin[1]), float(origin[2])),
    )


def _grid_around(middle_lps: NDArray[np.float64], size_mm: NDArray[np.float64], rule: InputRule) -> Grid:
    count = np.maximum(1, np.round(np.asarray(size_mm) / rule.spacing_mm)).astype(int)
    k, j, i = rule.axes_lps
    origin = middle_lps - ((count - 1) / 2 * rule.spacing_mm) @ rule.axes_lps
    return Grid(
        (int(count[0]), int(count[1]), int(count[2])),
        (rule.spacing_mm,) * 3,
        tuple(float(v) for v in (*i, *j, *k)),
        (float(origin[0]), float(origin[1]), float(origin[2])),
    )


def _nearest_axes(grid: Grid, rule: InputRule) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each axis k, j, i of the net: the volume's axis that runs most along it, and whether with or against it."""
    cosines = rule.axes_lps @ np.stack([grid.axis_k, grid.axis_j, grid.axis_i], axis=1)
    order: list[int] = [0, 0, 0]
    signs: list[int] = [1, 1, 1]
    left = np.abs(cosines)
    for _ in range(3):
        wanted, axis = np.unravel_index(int(np.argmax(left)), left.shape)
        order[wanted], signs[wanted] = int(axis), 1 if cosines[wanted, axis] >= 0 else -1
        left[wanted, :] = -1
        left[:, axis] = -1
    return tuple(order), tuple(signs)


def _lined_up(grid: Grid, target: Grid) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Order and direction of axes where both grids hold the very same voxels, else None."""
    ends = grid.lps_to_index(target.corners_lps())
    steps = np.linalg.inv(grid.step_matrix) @ target.step_matrix
    whole = np.rint(steps)
    if np.max(np.abs(steps - whole)) > 1e-3 or not np.all(np.abs(whole).sum(axis=0) == 1):
        return None
    order = tuple(int(np.argmax(np.abs(whole[:, axis]))) for axis in range(3))
    same_size = all(grid.size_kji[order[n]] == target.size_kji[n] for n in range(3))
    if len(set(order)) != 3 or not same_size or np.max(np.abs(ends - np.rint(ends))) > 1e-3 or ends.min() < -0.01:
        return None
    signs = tuple(int(whole[order[n], n]) for n in range(3))
    return order, signs


def _turn(array: NDArray[Any], order: Sequence[int], signs: Sequence[int]) -> NDArray[Any]:
    turned = np.transpose(array, order)
    return turned[tuple(slice(None, None, sign) for sign in signs)]


def _turn_back(array: NDArray[Any], order: Sequence[int], signs: Sequence[int]) -> NDArray[Any]:
    """Undo `_turn` on the last three axes."""
    lead = array.ndim - 3
    flipped = array[(slice(None),) * lead + tuple(slice(None, None, sign) for sign in signs)]
    return np.transpose(flipped, (*range(lead), *(lead + int(n) for n in np.argsort(order))))


def _interpolate(volume: Volume, target: Grid) -> Float:
    from scipy import ndimage

    grid = volume.grid
    if grid is None:
        raise ValueError("no geometry")
    index = grid.lps_to_index(target.index_to_lps(_indices(target.size_kji)))
    low = np.maximum(0, np.floor(index.min(axis=(0, 1, 2))).astype(int) - 1)
    high = np.minimum(np.asarray(grid.size_kji), np.ceil(index.max(axis=(0, 1, 2))).astype(int) + 2)
    part = volume.values(low, np.maximum(1, high - low))
    # A finer picture is smoothed first: half a target voxel's width, so that thin structures do not alias.
    factor = target.spacing_kji[0] / np.asarray(grid.spacing_kji)
    sigma = np.where(factor > 1.2, 0.4 * np.sqrt(np.maximum(factor**2 - 1, 0)), 0.0)
    if np.any(sigma > 0):
        part = ndimage.gaussian_filter(part, sigma)
    values: Float = ndimage.map_coordinates(
        part, np.moveaxis(index - low, -1, 0), order=1, mode="nearest", output=np.float32
    )
    return values


def _indices(size_kji: Any) -> NDArray[np.float64]:
    """The index of every voxel, shape (k, j, i, 3)."""
    k, j, i = (np.arange(int(n), dtype=np.float64) for n in size_kji)
    return np.stack(np.meshgrid(k, j, i, indexing="ij"), axis=-1)


def to_native(probabilities: Float, target: Grid, grid: Grid) -> tuple[tuple[int, int, int], Float]:
    """Class probabilities on the volume's own voxels, and the index of the first of them."""
    lined_up = _lined_up(grid, target)
    if lined_up is not None:
        return (0, 0, 0), np.ascontiguousarray(_turn_back(probabilities, *lined_up))
    from scipy import ndimage

    ends = grid.lps_to_index(target.corners_lps())
    low = np.maximum(0, np.floor(ends.min(axis=0)).astype(int))
    high = np.minimum(np.asarray(grid.size_kji), np.ceil(ends.max(axis=0)).astype(int) + 1)
    size = np.maximum(1, high - low)
    start = (int(low[0]), int(low[1]), int(low[2]))
    points = grid.index_to_lps(_indices(size) + low)
    index = np.moveaxis(target.lps_to_index(points), -1, 0)
    out = np.zeros((len(probabilities), *size), dtype=np.float32)
    for number, channel in enumerate(probabilities):
        outside = 1.0 if number == 0 else 0.0
        out[number] = ndimage.map_coordinates(channel, index, order=1, mode="constant", cval=outside)
    return start, out

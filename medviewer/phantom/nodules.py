"""Crops of phantom nodules: quick, many, each of its own patient, each with its exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.jobs import JobContext
from medviewer.phantom.body import Body, draw_body
from medviewer.phantom.canvas import Lattice
from medviewer.phantom.lesion import COMMON_KINDS, Lesion, draw_lesion, readers_of, truth_of
from medviewer.phantom.place import place_lesion
from medviewer.phantom.ratings import Ratings, draw_ratings
from medviewer.phantom.recipe import Recipe, load_recipe
from medviewer.phantom.render import paint_chest
from medviewer.phantom.scanner import Scanner, draw_scanner, scanned, sub_slices
from medviewer.phantom.seeds import generator
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: Rows and columns of a crop.
CROP = 128
#: Slices without nodule at either end of a crop.
MARGIN_SLICES = 3


@dataclass(frozen=True, slots=True, eq=False)
class PhantomCase:
    """One nodule in a crop of its patient, nodule in the middle.

    Attributes:
        patient_id: of the invented patient.
        nodule_id: patient and number of the nodule.
        kind: what it is.
        image: HU int16 `[k, 128, 128]`, feet to head, front to back, patient's right to left.
        mask: the exact truth, bool `[k, 128, 128]`.
        readers: uint8 `[k, 128, 128]`, bit r set where reader r drew.
        n_readers: three or four.
        pixel_mm, slice_spacing_mm: distances of voxel centres.
        origin_lps: centre of voxel [0, 0, 0], mm.
        centre_lps: middle of the truth, mm.
        diameter_mm: longest in-slice extent of the truth, plus one pixel.
        hu: value of its solid part before the scanner's blur.
        ratings: nine ratings, each a tuple with one number a reader.
    """

    patient_id: str
    nodule_id: str
    kind: str
    image: NDArray[np.int16]
    mask: NDArray[np.bool_]
    readers: NDArray[np.uint8]
    n_readers: int
    pixel_mm: float
    slice_spacing_mm: float
    origin_lps: tuple[float, float, float]
    centre_lps: tuple[float, float, float]
    diameter_mm: float
    hu: float
    ratings: Ratings

    @property
    def grid(self) -> Grid:
        """Where the crop's voxels lie."""
        k, j, i = self.image.shape
        spacing = (self.slice_spacing_mm, self.pixel_mm, self.pixel_mm)
        return Grid((k, j, i), spacing, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), self.origin_lps)

    @property
    def volume(self) -> Volume:
        """The crop as a CT volume."""
        return Volume(self.image, self.grid, unit="HU", modality="CT", stack_id=self.nodule_id)

    @property
    def volume_mm3(self) -> float:
        """Volume of the truth."""
        return float(self.mask.sum()) * self.pixel_mm**2 * self.slice_spacing_mm


def nodule_cases(
    kinds: Sequence[str] = COMMON_KINDS,
    n_patients: int = 12,
    seed: int = 1,
    per_patient: int = 1,
    recipe: Recipe | None = None,
    context: JobContext | None = None,
) -> list[PhantomCase]:
    """Crops of `n_patients` invented patients with `per_patient` nodules each; the kinds take turns.

    A patient depends on `seed` and number only: asking for more patients does not change the first ones.

    Args:
        kinds: names below `[kind]` of the recipe.
        n_patients: patients, named PHANTOM-seed-0000, -0001, ...
        seed: another seed, other patients.
        per_patient: nodules of each.
        recipe: the shipped one if not given.
        context: told how many cases are made.

    Raises:
        BadInput: a kind that the recipe does not know.
        Cancelled: a person asked for it.
    """
    context = JobContext() if context is None else context
    total = n_patients * per_patient
    found: list[PhantomCase] = []
    for case in iterate_nodule_cases(kinds, n_patients, seed, per_patient, recipe):
        found.append(case)
        context.report(len(found), total, "making phantom nodules")
    return found


def iterate_nodule_cases(
    kinds: Sequence[str], n_patients: int, seed: int, per_patient: int = 1, recipe: Recipe | None = None
) -> Iterator[PhantomCase]:
    """As `nodule_cases`, one after the other."""
    recipe = load_recipe() if recipe is None else recipe
    for kind in kinds:
        recipe.kind(kind)
    for n in range(n_patients):
        patient_id = f"PHANTOM-{seed}-{n:04d}"
        body, scanner = draw_body(recipe, patient_id), draw_scanner(recipe, patient_id)
        for m in range(per_patient):
            yield make_case(recipe, body, scanner, kinds[(n * per_patient + m) % len(kinds)], m)


def make_case(recipe: Recipe, body: Body, scanner: Scanner, kind: str, number: int) -> PhantomCase:
    """Nodule `number` of one patient, of that kind."""
    rng = generator("nodule", body.patient_id, kind, number)
    lesion = place_lesion(body, draw_lesion(recipe, kind, rng), rng)
    lattice = _lattice(lesion, scanner, rng)
    canvas, lungs = paint_chest(body, lattice, [lesion], sub_slices(scanner.slice_spacing_mm))
    image = scanned(canvas, scanner, scanner.pixel_mm, rng)
    mask = truth_of(lesion, lungs, lattice)
    n_readers = 4 if rng.random() < 0.65 else 3
    outlines = readers_of(lesion, lungs, lattice, rng, n_readers)
    bits = np.zeros(mask.shape, dtype=np.uint8)
    for r, drawn in enumerate(outlines):
        bits |= drawn.astype(np.uint8) << r
    diameter = longest_extent(mask) * scanner.pixel_mm
    return PhantomCase(
        patient_id=body.patient_id,
        nodule_id=f"{body.patient_id}_n{number}",
        kind=kind,
        image=image,
        mask=mask,
        readers=bits,
        n_readers=n_readers,
        pixel_mm=scanner.pixel_mm,
        slice_spacing_mm=scanner.slice_spacing_mm,
        origin_lps=(float(lattice.x[0]), float(lattice.y[0]), float(lattice.z[0])),
        centre_lps=centre_of(mask, lattice),
        diameter_mm=diameter,
        hu=lesion.hu,
        ratings=draw_ratings(lesion, diameter, rng, n_readers),
    )


def _lattice(lesion: Lesion, scanner: Scanner, rng: np.random.Generator) -> Lattice:
    pixel, spacing = scanner.pixel_mm, scanner.slice_spacing_mm
    half = int(np.ceil((lesion.reach_mm + 0.6) / spacing)) + MARGIN_SLICES
    x, y, z = lesion.centre
    # The nodule's middle lies within a pixel or so of the crop's, as where a person clicked.
    dx, dy = rng.uniform(-1.2, 1.2, 2) * pixel
    dz = rng.uniform(-0.5, 0.5) * spacing
    first = (z + dz - half * spacing, y + dy - CROP / 2 * pixel, x + dx - CROP / 2 * pixel)
    return Lattice.even(first, (spacing, pixel, pixel), (2 * half + 1, CROP, CROP))


def centre_of(mask: NDArray[np.bool_], lattice: Lattice) -> tuple[float, float, float]:
    """Middle of a mask `[k, j, i]` in mm (x, y, z)."""
    k, j, i = (float(v) for v in np.argwhere(mask).mean(axis=0))
    x = float(lattice.x[0]) + i * lattice.pixel
    return x, float(lattice.y[0]) + j * lattice.pixel, float(lattice.z[0]) + k * lattice.step_z


def longest_extent(mask: NDArray[np.bool_]) -> float:
    """Longest in-slice extent in pixels: the largest distance of two pixel centres in one slice, plus one."""
    longest = 0.0
    for slab in mask:
        points = np.argwhere(slab)
        if len(points) == 0 or np.hypot(*(np.ptp(points, axis=0))) + 1 <= longest:
            continue
        inner = slab[1:-1, 1:-1] & slab[:-2, 1:-1] & slab[2:, 1:-1] & slab[1:-1, :-2] & slab[1:-1, 2:]
        rim = slab.copy()
        rim[1:-1, 1:-1] &= ~inner
        edge = np.argwhere(rim).astype(np.float32)
        gaps = np.sqrt(((edge[:, None] - edge[None]) ** 2).sum(axis=-1))
        longest = max(longest, float(gaps.max()) + 1)
    return longest

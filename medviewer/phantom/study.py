"""The synthetic study: a whole chest CT with nodules of known place, size, value and shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.jobs import JobContext
from medviewer.phantom.body import Body, draw_body, outline
from medviewer.phantom.canvas import Lattice
from medviewer.phantom.lesion import Lesion, draw_lesion, truth_of
from medviewer.phantom.nodules import centre_of, longest_extent
from medviewer.phantom.place import place_near
from medviewer.phantom.ratings import Ratings, draw_ratings
from medviewer.phantom.recipe import Recipe, load_recipe
from medviewer.phantom.render import paint_chest
from medviewer.phantom.scanner import Scanner, scanned, shoulder_loudness, sub_slices
from medviewer.phantom.seeds import generator
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: Slices that are painted together: bounds the memory and lets a person cancel.
SLAB = 8
#: Highest HU of what lies outside the scanner's round field.
OUTSIDE_HU = -1024


@dataclass(frozen=True, slots=True, eq=False)
class PhantomNodule:
    """The truth about one nodule of a study.

    Attributes:
        name: "Nodule 1", in the recipe's order.
        kind: what it is.
        start_kji: where voxel [0, 0, 0] of `mask` lies in the volume.
        mask: bool `[k, j, i]`, the voxels whose centre lies in it.
        centre_lps: middle of the mask, mm.
        diameter_mm: longest in-slice extent plus one pixel.
        volume_mm3: voxels times the volume of one.
        hu: value of its outer part before the scanner's blur.
        ratings: nine ratings of four invented readers.
    """

    name: str
    kind: str
    start_kji: tuple[int, int, int]
    mask: NDArray[np.bool_]
    centre_lps: tuple[float, float, float]
    diameter_mm: float
    volume_mm3: float
    hu: float
    ratings: Ratings


@dataclass(frozen=True, slots=True, eq=False)
class PhantomStudy:
    """A synthetic chest CT and what is known about it.

    Attributes:
        patient_id: of the invented patient.
        seed: the number it was made from; the same recipe and seed give the same study.
        recipe_name: the recipe.
        volume: HU int16 with its Grid.
        nodules: the truth, in the recipe's order.
    """

    patient_id: str
    seed: int
    recipe_name: str
    volume: Volume
    nodules: tuple[PhantomNodule, ...]

    def labels(self) -> NDArray[np.uint8]:
        """`[k, j, i]`: 0, or the number of the nodule (from 1) whose truth holds the voxel."""
        out = np.zeros(self.volume.size_kji, dtype=np.uint8)
        for number, nodule in enumerate(self.nodules, start=1):
            k, j, i = nodule.start_kji
            dk, dj, di = nodule.mask.shape
            out[k : k + dk, j : j + dj, i : i + di][nodule.mask] = number
        return out


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """Where a study was written: the folder of its images, the folder of its truth, and the images."""

    images_folder: Path
    truth_folder: Path
    images: tuple[Path, ...]


def make_study(recipe: Recipe | None = None, seed: int = 1, context: JobContext | None = None) -> PhantomStudy:
    """Make the recipe's study; takes about a tenth of a second of one core for each slice of 512 x 512.

    Raises:
        Cancelled: a person asked for it.
        BadInput: the recipe is faulty.
    """
    recipe = load_recipe() if recipe is None else recipe
    context = JobContext() if context is None else context
    patient_id = f"PHANTOM-{recipe.name.upper()}-{seed}"
    body = draw_body(recipe, patient_id)
    plan = recipe.study
    spacing = tuple(float(v) for v in plan["spacing_kji"])
    size = tuple(int(v) for v in plan["size_kji"])
    lattice = _lattice(plan["top_z"], plan["middle_xy"], size, spacing)
    scanner = Scanner(
        pixel_mm=spacing[1],
        slice_spacing_mm=spacing[0],
        blur_mm=float(plan["blur_mm"]),
        sharpening=float(plan["sharpening"]),
        noise=float(plan["noise"]),
        grain_mm=float(plan["noise_grain_mm"]),
    )
    lesions = _lesions(recipe, body)
    voxels = np.empty(lattice.shape, dtype=np.int16)
    lungs = np.empty(lattice.shape, dtype=np.float16)
    table_y = _back(body) + float(plan["table_gap"])
    for first in range(0, len(lattice.z), SLAB):
        context.report(first, len(lattice.z), "making the phantom")
        part = slice(first, min(first + SLAB, len(lattice.z)))
        slab = Lattice(lattice.z[part], lattice.y, lattice.x)
        canvas, inside = paint_chest(body, slab, lesions, sub_slices(spacing[0]), table_y, context)
        lungs[part] = inside
        rng = generator("noise", patient_id, first)
        loudness = np.stack(
            [shoulder_loudness(slab, float(z) / body.scale, float(plan["shoulder_noise"]), rng) for z in slab.z]
        )
        voxels[part] = scanned(canvas, scanner, spacing[1], rng, loudness)
    _round_field(voxels, lattice)
    grid = Grid(
        lattice.shape,
        (spacing[0], spacing[1], spacing[2]),
        (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
        (float(lattice.x[0]), float(lattice.y[0]), float(lattice.z[0])),
    )
    volume = Volume(voxels, grid, unit="HU", modality="CT", stack_id=patient_id)
    nodules = tuple(
        _truth(f"Nodule {n}", lesion, lungs, lattice, grid, generator("ratings", patient_id, n))
        for n, lesion in enumerate(lesions, start=1)
    )
    context.report(len(lattice.z), len(lattice.z), "making the phantom")
    return PhantomStudy(patient_id, seed, recipe.name, volume, nodules)


def write_study(study: PhantomStudy, folder: Path, context: JobContext | None = None) -> StudyFiles:
    """Write the images as valid DICOM into `folder/ct` and the truth into `folder/truth`.

    Raises:
        SaveFailed: the folder cannot be written or the disk is full.
        Cancelled: a person asked for it.
    """
    from medviewer.phantom.truth import write_truth

    text = CtText(
        patient_name="Phantom^Chest",
        patient_id=study.patient_id,
        study_description="Synthetic chest CT",
        series_description=f"Thorax {study.volume.grid.spacing_kji[0]:g} mm" if study.volume.grid else "Thorax",
        kernel="PHANTOM",
        synthetic=True,
    )
    images = write_ct_series(study.volume, folder / "ct", text=text, uid_seed=study.patient_id, context=context)
    write_truth(study, folder / "truth")
    return StudyFiles(folder / "ct", folder / "truth", images)


def _lattice(
    top_z: float, middle_xy: tuple[float, float], size: tuple[int, ...], spacing: tuple[float, ...]
) -> Lattice:
    low_z = float(top_z) - (size[0] - 1) * spacing[0]
    low_y = float(middle_xy[1]) - (size[1] - 1) / 2 * spacing[1]
    low_x = float(middle_xy[0]) - (size[2] - 1) / 2 * spacing[2]
    return Lattice.even((low_z, low_y, low_x), (spacing[0], spacing[1], spacing[2]), (size[0], size[1], size[2]))


def _lesions(recipe: Recipe, body: Body) -> list[Lesion]:
    """The recipe's nodules in this patient, each as near to its place as its kind and the others allow."""
    lesions: list[Lesion] = []
    for number, plan in enumerate(recipe.nodules, start=1):
        rng = generator("study nodule", body.patient_id, number, plan.kind)
        lesion = draw_lesion(recipe, plan.kind, rng, plan.diameter_mm, plan.hu)
        lesions.append(place_near(body, lesion, plan.centre, rng, lesions))
    return lesions


def _back(body: Body) -> float:
    """y of the patient's back where it lies on the table, mm of the patient."""
    y = np.arange(80, 220, 0.5, dtype=np.float32)
    x = np.full_like(y, 40)
    inside = outline(body, x, y, 20.0) < 0
    return float(y[inside].max()) * body.scale


def _round_field(voxels: NDArray[np.int16], lattice: Lattice) -> None:
    """Outside the scanner's round field nothing was measured."""
    radius = 0.5 * (len(lattice.x) - 1) * lattice.pixel
    dx, dy = lattice.x - lattice.x.mean(), lattice.y - lattice.y.mean()
    voxels[:, dx[None, :] ** 2 + dy[:, None] ** 2 > radius**2] = OUTSIDE_HU


def _truth(
    name: str, lesion: Lesion, lungs: NDArray[np.float16], lattice: Lattice, grid: Grid, rng: np.random.Generator
) -> PhantomNodule:
    axes = (lattice.z, lattice.y, lattice.x)
    reach = lesion.reach_mm + 4
    box = tuple(
        slice(int(np.searchsorted(a, c - reach)), int(np.searchsorted(a, c + reach)))
        for a, c in zip(axes, lesion.centre[::-1], strict=True)
    )
    part = Lattice(lattice.z[box[0]], lattice.y[box[1]], lattice.x[box[2]])
    mask = truth_of(lesion, lungs[box].astype(np.float32), part)
    diameter = longest_extent(mask) * lattice.pixel
    return PhantomNodule(
        name=name,
        kind=lesion.kind,
        start_kji=(box[0].start, box[1].start, box[2].start),
        mask=mask,
        centre_lps=centre_of(mask, part),
        diameter_mm=diameter,
        volume_mm3=float(mask.sum()) * grid.voxel_volume_mm3,
        hu=lesion.hu,
        ratings=draw_ratings(lesion, diameter, rng, 4),
    )

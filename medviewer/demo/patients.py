"""The story's synthetic patients: written as DICOM by worker processes, read back as any study is.

The first study is a whole chest. The other patients have one cavitating nodule each, in a block of CT around it. Real
cavitating nodules are so rare in the public training data that the model has hardly seen any: its weakness here is
honest, and the demo measures it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import Stack
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

#: The kind of nodule that the shipped model is weak on, and the seed of its patients.
WEAK_KIND = "cavitary"
PATIENTS_SEED = 2026
STUDY_SEED = 1
#: One core is left to the machine where there are many.
WORKERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """A synthetic patient as read back from DICOM, with the truth about its nodule.

    Attributes:
        patient_id: in the files.
        stack, volume: what the scan found, all slices loaded.
        truth: bool `[k, j, i]` on the volume's grid.
        centre_lps: middle of the nodule, mm.
        diameter_mm: longest in-slice extent of the truth.
        ratings: mean of the invented readers' ratings by name.
    """

    patient_id: str
    stack: Stack
    volume: Volume
    truth: NDArray[np.bool_]
    centre_lps: tuple[float, float, float]
    diameter_mm: float
    ratings: dict[str, float]


@dataclass(frozen=True, slots=True)
class WrittenPatient:
    """What a worker hands back: where the files lie, and the truth in a file beside them."""

    patient_id: str
    images: Path
    truth: Path
    centre_lps: tuple[float, float, float]
    diameter_mm: float
    ratings: dict[str, float]


def patient_name(number: int) -> str:
    """Patient ID of the n-th patient; it alone decides (with the queue's secret) who is held out."""
    return f"PHANTOM-{PATIENTS_SEED}-{number:04d}"


def library_name(number: int) -> str:
    """Patient ID of the n-th patient of the library; never one of those who are corrected or held out."""
    return f"PHANTOM-LIBRARY-{number:04d}"


def write_patient(patient_id: str, kind: str, folder: Path) -> WrittenPatient:
    """Make one patient with one nodule and write it as a CT series. Runs in a worker process."""
    from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
    from medviewer.phantom.body import draw_body
    from medviewer.phantom.nodules import make_case
    from medviewer.phantom.recipe import load_recipe
    from medviewer.phantom.scanner import draw_scanner

    recipe = load_recipe()
    case = make_case(recipe, draw_body(recipe, patient_id), draw_scanner(recipe, patient_id), kind, 0)
    text = CtText(
        patient_name=f"Phantom^{patient_id.rsplit('-', 1)[-1]}",
        patient_id=patient_id,
        study_description="Synthetic nodule",
        series_description=f"Phantom {kind}",
        synthetic=True,
    )
    images = folder / patient_id / "ct"
    write_ct_series(case.volume, images, text=text, uid_seed=patient_id)
    truth = folder / patient_id / "truth.npz"
    np.savez_compressed(truth, mask=case.mask)
    ratings = {name: float(np.mean(values)) for name, values in case.ratings.items()}
    return WrittenPatient(patient_id, images, truth, case.centre_lps, case.diameter_mm, ratings)


def write_chest(folder: Path) -> Path:
    """Make the whole-chest study and write it; the folder of its images. Runs in a worker process."""
    from medviewer.phantom.study import make_study, write_study

    return write_study(make_study(seed=STUDY_SEED), folder).images_folder


def read_patient(written: WrittenPatient) -> Patient:
    """Scan and load what was written, as any study is read."""
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan

    context = JobContext()
    stack = next(iter(scan([written.images], context).stacks()))
    with np.load(written.truth) as packed:
        truth = packed["mask"]
    return Patient(
        written.patient_id,
        stack,
        load_volume(stack, context),
        truth,
        written.centre_lps,
        written.diameter_mm,
        written.ratings,
    )


class Workshop:
    """Two worker processes that make patients while the story goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def chest(self) -> Future[Path]:
        """Begin to make the chest study."""
        return self._pool.submit(write_chest, self.folder / "chest")

    def run(self, work: Callable[..., object], *arguments: object) -> Future[object]:
        """Begin another piece of work."""
        return self._pool.submit(work, *arguments)

    def patients(self, names: Sequence[str], kinds: Sequence[str]) -> Iterator[Future[WrittenPatient]]:
        """Begin to make patients; the kinds take turns."""
        for n, name in enumerate(names):
            yield self._pool.submit(write_patient, name, kinds[n % len(kinds)], self.folder / "patients")

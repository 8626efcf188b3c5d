"""The shipped outline model: on a real nodule four readers drew, and on phantom nodules whose truth is exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medviewer.inference.predict import predict
from medviewer.inference.store import ModelStore
from medviewer.jobs import JobContext
from medviewer.learning.evidence_demo import filled, readers_masks
from medviewer.learning.metrics import dice
from medviewer.volume.volume import Volume

TASK = "lung-nodule-segment"


def outline(volume: Volume, point_lps: tuple[float, ...]) -> np.ndarray:
    found = predict(TASK, volume, point_lps=point_lps, device="cpu")
    assert found.abstained is None
    mask = np.zeros(volume.size_kji, dtype=bool)
    for segment in found.segments:
        box = tuple(slice(a, a + n) for a, n in zip(segment.start_kji, segment.mask.shape, strict=True))
        mask[box] |= segment.mask > 0
    return mask


def test_the_package_is_small_and_says_what_it_was_measured_on() -> None:
    package = ModelStore().get(TASK, "1")
    assert all(path.stat().st_size < 6_000_000 for path in package.weights)
    (look,) = package.metrics["looks"]
    assert {"date", "commit", "weights_sha256", "n_patients", "split"} <= set(look)
    assert package.metrics["metrics"]["dice"]["n"] == 222


def test_phantom_nodules_are_found_when_clicked() -> None:
    from medviewer.phantom.nodules import nodule_cases

    values = [
        dice(outline(case.volume, case.centre_lps), case.mask) for case in nodule_cases(["solid", "spiculated"], 4, 41)
    ]
    assert np.mean(values) > 0.8, values


def test_the_inside_of_an_outline_leaves_its_own_pixels_out() -> None:
    square = [(2, 2), (6, 2), (6, 6), (2, 6)]
    assert filled(square, (9, 9)).sum() == 9


@pytest.mark.data
def test_a_real_nodule_is_outlined_within_the_readers_band_and_stays_when_the_click_moves(public_data: Path) -> None:
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan

    folder = public_data / "lidc_demo"
    if not folder.is_dir():
        pytest.skip("lidc_demo is not in the public data folder")
    catalog = scan([folder / "LIDC-IDRI-0314_ct_block.zip"], JobContext())
    (stack,) = [k for p in catalog.patients for study in p.studies for s in study.series for k in s.stacks]
    volume = load_volume(stack, JobContext())
    readers = readers_masks(folder, volume.size_kji)
    assert [int(r.sum()) for r in readers] == [3071, 3712, 2483, 3416]  # the data's own table
    found = outline(volume, (-57.2, 131.35, -520.36))
    for reader in readers:
        assert dice(found, reader) >= 0.755  # the least that two of the readers agree
    assert dice(found, np.sum(readers, axis=0) * 2 >= 4) > 0.9
    moved = outline(volume, (-57.2 + 3 * 0.78125, 131.35 - 3 * 0.78125, -520.36))
    assert dice(moved, found) >= 0.9

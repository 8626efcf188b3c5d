"""What is shipped in `models/`: whole, small, described, and able to do its work on a crop it was made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medviewer import places
from medviewer.inference.predict import predict
from medviewer.inference.store import ModelStore
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

TASKS = sorted(p.name for p in places.shipped_models_folder().glob("*") if p.is_dir())
SAID = ("intended_use", "not_intended", "training_data", "reference_standard", "known_failures", "abstains", "licence")


@pytest.mark.parametrize("task", TASKS)
def test_every_shipped_model_passes_all_checks(task: str) -> None:
    package = ModelStore().verify(task)
    assert package.card.task == task
    assert all(str(package.card.facts.get(name, "")) for name in SAID)
    assert all(path.stat().st_size <= 6_000_000 for path in package.weights)
    assert "looks" in package.metrics and "Not for diagnosis" in (package.folder / "LICENSE").read_text()


def test_all_weights_together_stay_small() -> None:
    files = list(places.shipped_models_folder().rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) <= 40_000_000


@pytest.mark.data
@pytest.mark.skipif("hippocampus-segment" not in TASKS, reason="the model is not shipped here")
def test_hippocampus_is_drawn_on_a_training_crop_as_its_reader_did(public_data: Path) -> None:
    from medviewer.learning.datasets.hippocampus import read_cases
    from medviewer.learning.recipes.hippocampus_segment import dice_by_label

    case = read_cases(public_data / "hippocampus", "train")[0]
    grid = Grid(case.image.shape, (1.0, 1.0, 1.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0), (0.0, 0.0, 0.0))
    said = predict("hippocampus-segment", Volume(case.image, grid, modality="MR"), device="cpu")
    assert said.abstained is None
    drawn = np.zeros(case.label.shape, np.uint8)
    for value, segment in enumerate(said.segments, start=1):
        drawn[segment.mask > 0] = value
    assert min(dice_by_label(drawn, case.label)) > 0.85

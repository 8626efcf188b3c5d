"""Corrected volumes: cut as the net sees them, trained on from the champion, judged like public cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import BadInput
from medviewer.inference.golden import check_golden
from medviewer.inference.package import ModelPackage
from medviewer.jobs import JobContext
from medviewer.learning.datasets.volume_samples import corrected_volume, sample_arrays
from medviewer.learning.recipes import hippocampus_retrain as recipe
from medviewer.learning.retrained import Replay
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume
from tests.inference.conftest import CONFIG, blob_volume, make_package

__all__ = ["make_package"]
Make = Callable[..., ModelPackage]


def test_a_small_volume_is_turned_not_interpolated() -> None:
    voxels = np.random.default_rng(0).integers(0, 500, (20, 24, 28)).astype(np.int16)
    labels = (voxels % 3).astype(np.uint8)
    volume = Volume(voxels, Grid.plain(voxels.shape), slope=2.0, modality="MR")
    arrays = sample_arrays(CONFIG, volume, labels)
    assert np.array_equal(arrays["image"], voxels[:, ::-1, ::-1] * 2.0)  # L P H on disk, R A H for the net
    assert np.array_equal(arrays["label"], labels[:, ::-1, ::-1])


def test_a_large_volume_is_cut_around_what_was_drawn() -> None:
    grid = Grid((100, 200, 200), (1.2, 0.9, 0.9), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (0.0, 0.0, 0.0))
    labels = np.zeros(grid.size_kji, dtype=np.uint8)
    labels[40:52, 90:110, 60:70] = 1
    labels[40:52, 90:110, 70:80] = 2
    volume = Volume((labels * 100).astype(np.int16), grid, modality="MR")
    arrays = sample_arrays(CONFIG, volume, labels)
    assert max(arrays["label"].shape) <= 40
    for value in (1, 2):
        ml = (labels == value).sum() * grid.voxel_volume_mm3
        assert (arrays["label"] == value).sum() == pytest.approx(ml, rel=0.1)
    assert arrays["image"][arrays["label"] == 2].mean() > arrays["image"][arrays["label"] == 1].mean()


def test_what_cannot_be_learnt_from_is_bad_input() -> None:
    volume = blob_volume()
    with pytest.raises(BadInput, match="nothing is drawn"):
        sample_arrays(CONFIG, volume, np.zeros(volume.size_kji, np.uint8))
    with pytest.raises(BadInput, match="does not lie on"):
        sample_arrays(CONFIG, volume, np.ones((3, 3, 3), np.uint8))
    good = sample_arrays(CONFIG, volume, (volume.voxels > 250).astype(np.uint8))
    assert corrected_volume("a", "p", good, 2).label.any()
    for broken, words in (
        ({**good, "label": good["label"] * 3}, "more than 2 labels"),
        ({**good, "image": good["image"][1:]}, "a picture"),
        ({"image": good["image"]}, "has no `label`"),
    ):
        with pytest.raises(BadInput, match=words):
            corrected_volume("a", "p", broken, 2)


def test_retraining_goes_on_from_the_champion(make_package: Make, tmp_path: Path) -> None:
    champion = make_package(tmp_path, members=2)
    volume = blob_volume()
    labels = np.where(volume.voxels > 250, 1, 0).astype(np.uint8)
    labels[:12] *= 2
    arrays = sample_arrays(CONFIG, volume, labels)
    samples = [recipe.sample_of(f"c{n}", f"p{n}", arrays) for n in range(2)]
    told: list[tuple[int, int | None]] = []
    context = JobContext(listener=lambda p: told.append((p.done, p.total)))
    before = recipe.judge(champion, samples, JobContext())
    retrained = recipe.retrain(champion, samples, Replay(None), steps=3, seed=1, context=context)
    assert len(retrained.states) == 2 and told[-1] == (6, 6)
    assert retrained.facts["corrections"] == 2 and retrained.facts["distillation"] > 0
    candidate = recipe.write_candidate(tmp_path / "blob-segment" / "1-c1", champion, retrained, {"run": {}}, "more")
    check_golden(candidate)
    assert candidate.id != champion.id and candidate.card.facts["previous"].endswith(champion.short_id)
    after = recipe.judge(candidate, samples, JobContext())
    assert len(after.values) == len(before.values) == 2 and all(0 <= v <= 1 for v in after.values)


def test_corrections_are_half_of_what_is_seen_but_not_too_often() -> None:
    assert recipe.correction_odds(20, 146) == pytest.approx(7.3)
    assert recipe.correction_odds(2, 146) == recipe.MOST_REPEATED
    assert recipe.correction_odds(0, 146) == recipe.correction_odds(5, 0) == 1.0


def test_a_whole_retraining_ends_with_the_gates_answer(make_package: Make, tmp_path: Path) -> None:
    from medviewer.inference.store import ModelStore
    from medviewer.learning.retrain import QueuedCase, run

    make_package(tmp_path / "own")
    store = ModelStore(tmp_path / "none", tmp_path / "own")
    volume = blob_volume()
    arrays = sample_arrays(CONFIG, volume, (volume.voxels > 250).astype(np.uint8))
    cases = [QueuedCase(f"c{n}", f"p{n}", arrays) for n in range(4)]
    outcome = run(
        "blob-segment",
        store,
        corrections=cases[:2],
        held_out=cases[2:],
        data=None,
        hash_of=str,
        steps=1,
        seed=0,
        context=JobContext(),
    )
    assert not outcome.passed and "cannot tell" in outcome.report["reason"]
    assert store.get("blob-segment", outcome.candidate).short_id == outcome.candidate_id
    assert store.champion("blob-segment").card.version == "1"

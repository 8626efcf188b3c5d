"""The classifier's training: it learns, it goes on where it stopped, and its targets follow the readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medviewer.inference.networks.nodule_cnn import NoduleNetConfig
from medviewer.learning.recipes import lung_nodule_malignancy as recipe
from medviewer.learning.recipes.nodule_net import (
    FOLDS,
    RatedNodules,
    Schedule,
    fold_of,
    make_batch,
    random_pose,
    train_member,
)

SMALL = NoduleNetConfig(widths=(4, 6, 8, 10), decoder=(6, 4), hidden=8, dropout=0.0)


def nodules(n: int = 12) -> RatedNodules:
    """Bright balls: the large ones are rated 5, the small ones 1."""
    rng = np.random.default_rng(0)
    j, i = np.mgrid[-47.5:48, -47.5:48]
    large = np.arange(n) % 2 == 1
    images, fractions = [], []
    for row in range(n):
        inside = (np.hypot(i, j) < (13 if large[row] else 5)).astype(np.float32)
        fractions.append(np.stack([inside] * 4))
        images.append(np.clip(0.1 + 0.6 * fractions[-1] + rng.normal(0, 0.02, fractions[-1].shape), 0, 1, dtype="f4"))
    means = np.where(large[:, None], 4.5, 1.5) * np.ones((1, 7))
    return RatedNodules(
        images=images,
        fractions=fractions,
        pixel_mm=np.full(n, 0.7),
        spacing_mm=np.full(n, 1.5),
        patients=[f"p{row // 2}" for row in range(n)],
        ordinal=(means[:, :, None] > np.arange(1, 5)).astype(np.float32),
        means=means,
        calcified=np.zeros(n, np.float32),
        diameter_mm=np.where(large, 18.2, 7.0),
        volume_mm3=np.where(large, 1500.0, 230.0),
    )


def quick(epochs: int) -> Schedule:
    return Schedule(epochs=epochs, batch=6, warm_up=0.1)


def test_a_member_tells_large_from_small(tmp_path: Path) -> None:
    made = nodules()
    member = train_member(made, np.arange(12), 0, tmp_path, quick(12), SMALL, log=lambda _: None)
    blocks, _ = make_batch(made, np.arange(12), np.random.default_rng(9))
    with torch.inference_mode():
        said = member(blocks).malignant.numpy()
    assert said[1::2].min() > said[::2].max()


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    made, lines = nodules(), []
    whole = train_member(made, np.arange(12), 3, tmp_path / "whole", quick(3), SMALL, log=lambda _: None)

    def stop_after_two(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_member(made, np.arange(12), 3, tmp_path / "parts", quick(3), SMALL, log=stop_after_two)
    again = train_member(made, np.arange(12), 3, tmp_path / "parts", quick(3), SMALL, log=lambda _: None)
    for one, other in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.allclose(one.double(), other.double(), atol=1e-6)


def test_folds_keep_a_patient_together_and_are_about_equal() -> None:
    folds = np.array([fold_of(f"LIDC-IDRI-{n:04d}") for n in range(1000)])
    assert sorted(set(folds.tolist())) == list(range(FOLDS))
    assert np.bincount(folds).min() > 150
    assert fold_of("a") == fold_of("a")


def test_undecided_nodules_are_soft_targets() -> None:
    made = nodules(4)
    made.means[0, 6] = 3.0
    assert made.malignant.tolist() == [0.5, 1.0, 0.0, 1.0]


def test_a_larger_appearance_is_a_larger_target() -> None:
    made, rng = nodules(2), np.random.default_rng(0)
    poses = [random_pose(np.random.default_rng(0), 4, 1.5)]
    _, target = make_batch(made, np.array([1]), rng)
    drawn = np.log(made.diameter_mm[1]) + np.log(poses[0].scale)
    assert float(target["size"][0, 0]) == pytest.approx(drawn, abs=1e-5)


def test_two_heads_do_not_listen_to_size() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(50, 11))
    odds = recipe.two_heads(columns)
    moved = columns.copy()
    moved[:, [0, 1, 2, 3, 4, 5, 7, 8, 9]] += 10
    assert odds(columns) == pytest.approx(odds(moved))
    assert np.corrcoef(odds(columns), columns[:, 6] + columns[:, 10])[0, 1] > 0.98


def test_out_of_fold_calibration_finds_what_the_members_know() -> None:
    rng = np.random.default_rng(0)
    n = 300
    truth = rng.normal(0, 1, n)
    columns = rng.normal(size=(n, 11))
    columns[:, 6] = 3 + truth + 0.5 * rng.normal(size=n)
    columns[:, 10] = 2 * truth + rng.normal(size=n)
    patients = [f"p{row // 2}" for row in range(n)]
    fold = np.array([fold_of(patient) for patient in patients])
    made = RatedNodules(
        images=[],
        fractions=[],
        pixel_mm=np.ones(n),
        spacing_mm=np.ones(n),
        patients=patients,
        ordinal=np.zeros((n, 7, 4), np.float32),
        means=np.repeat((3 + truth)[:, None], 7, 1),
        calcified=np.zeros(n, np.float32),
        diameter_mm=np.exp(rng.normal(2, 0.3, n)),
        volume_mm3=np.ones(n),
    )
    hidden = rng.normal(size=(n, 4)).astype(np.float32)
    oof = recipe.OutOfFold(columns, hidden, fold, np.stack([columns] * 5), np.stack([hidden] * 5))
    judge, report = recipe.fit_judge(made, oof)
    assert report["auc"] > 0.9
    assert report["auc_size_only"] < 0.62
    assert report["auc_gain"][1] > 0.2
    assert report["ece"] < 0.08
    said = judge.opinion(columns)
    inside = np.abs(np.clip(said, 1, 5) - made.means[:, 6]) <= judge.rating_width
    assert 0.84 < inside.mean() < 0.96
    familiarity = recipe.fit_familiarity(made, oof)
    far = familiarity.distance(np.stack([hidden] * 5)) > familiarity.limit
    assert far.mean() < 0.06

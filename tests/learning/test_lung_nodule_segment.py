"""The recipe learns: samples are what they claim, losses are finite, a small net overfits drawn nodules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nodule_makers import drawn_nodule

from medviewer.inference.networks.unet25d import Shape
from medviewer.learning.nodule_batches import draw, pool_of
from medviewer.learning.recipes.lung_nodule_segment import Settings, fit, loss_of

SMALL = Shape(5, (8, 16, 32))


def test_plain_samples_are_pixels_of_the_crop_with_their_target() -> None:
    case = drawn_nodule(3)
    pool = pool_of([case])
    batch = draw(pool, 24, np.random.default_rng(0), plain=True)
    assert batch.x.shape == (24, 7, 64, 64) and batch.fraction.shape == (24, 64, 64)
    known = set(np.round(case.images.astype(np.float16).astype(np.float32).ravel(), 5).tolist())
    seen = np.round(batch.x[:, 2, 8:-8, 8:-8].numpy().ravel(), 5)
    assert np.mean([v in known for v in seen[:4000].tolist()]) > 0.99  # exact pixels, not interpolated
    thirds = batch.fraction.numpy() * 3
    np.testing.assert_allclose(thirds, np.round(thirds), atol=0.005)


def test_picture_and_target_are_moved_together() -> None:
    pool = pool_of([drawn_nodule(5)])
    batch = draw(pool, 200, np.random.default_rng(1))
    for n in range(200):
        target = batch.fraction[n] >= 0.9
        if target.sum() > 10:
            middle = batch.x[n, 2]
            assert middle[target].mean() > middle[~target].median()


def test_the_click_lies_in_the_nodule_or_the_target_is_empty() -> None:
    pool = pool_of([drawn_nodule(n) for n in range(6)])
    batch = draw(pool, 300, np.random.default_rng(2))
    near = away = empty = 0
    for n in range(300):
        target = batch.fraction[n] > 0
        if not target.any():
            empty += 1
            continue
        best = np.unravel_index(int(batch.x[n, 5].argmax()), (64, 64))
        places = torch.nonzero(target).float()
        distance = (places - torch.tensor(best).float()).norm(dim=1).min()
        near, away = near + int(distance < 5), away + int(distance >= 5)
    assert near > 0.97 * (near + away)
    assert 0 < empty < 60


def test_beside_a_neighbour_nobody_clicks() -> None:
    rows = [{"series_uid": "1.2", "row0": "100", "col0": str(c), "slice0": "5"} for c in (100, 140, 400)]
    cases = []
    for n, row in enumerate(rows):
        case = drawn_nodule(n)
        object.__setattr__(case, "row", row)
        cases.append(case)
    assert pool_of(cases).alone.tolist() == [False, False, True]


def test_the_loss_is_finite_on_an_empty_batch_and_small_when_right() -> None:
    empty = torch.zeros(4, 32, 32)
    assert torch.isfinite(loss_of(torch.zeros(4, 32, 32), empty))
    target = torch.zeros(4, 32, 32)
    target[:, 10:20, 10:20] = 1
    right, wrong = loss_of(20 * target - 10, target), loss_of(10 - 20 * target, target)
    assert right < 0.1 < wrong


def test_a_run_of_steps_is_repeatable_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    pool = pool_of([drawn_nodule(n) for n in range(4)])
    settings = Settings(shape=SMALL, steps=4, batch=4, seed=3)
    first, second = fit(pool, settings), fit(pool, settings)
    for name, value in first.state.items():
        assert torch.equal(value, second.state[name])
    saved = fit(pool, settings, checkpoint=tmp_path / "run.pt")
    again = fit(pool, settings, checkpoint=tmp_path / "run.pt")  # has nothing left to do
    assert again.steps == saved.steps == 4
    for name, value in saved.state.items():
        assert torch.equal(value, again.state[name])


def test_a_report_that_raises_stops_the_run() -> None:
    class Stop(Exception):
        pass

    def stop(_: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        fit(pool_of([drawn_nodule(0)]), Settings(shape=SMALL, steps=1, batch=2), report=stop)


def test_settings_want_steps_or_seconds_not_both() -> None:
    with pytest.raises(ValueError, match="either"):
        Settings()
    with pytest.raises(ValueError, match="either"):
        Settings(steps=1, seconds=1.0)


@pytest.mark.slow
def test_a_small_net_overfits_four_nodules() -> None:
    from medviewer.inference.networks.unet25d import UNet25d
    from medviewer.inference.segment_nodule import crop_logits
    from medviewer.learning.recipes.lung_nodule_segment import dice_at_click

    cases = [drawn_nodule(n) for n in range(4)]
    found = fit(pool_of(cases), Settings(shape=SMALL, steps=350, batch=8, learning_rate=3e-3, average=0.95))
    net = UNet25d(SMALL).eval()
    net.load_state_dict(found.state)
    dice = []
    for case in cases:
        logits = crop_logits([net], case.images, case.click_kji, case.pixel_mm, case.slice_spacing_mm)
        dice.append(dice_at_click(logits, case))
    assert np.mean(dice) > 0.92

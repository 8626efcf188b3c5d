"""The network: shapes, no mixing between nodules of a batch, no trouble with empty pictures, and it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medviewer.inference.networks.nodule_cnn import LEVELS, ORDINAL, NoduleNet, NoduleNetConfig
from medviewer.inference.nodule_ensemble import NoduleEnsemble
from medviewer.inference.nodule_patch import SIZE, SLICES

SMALL = NoduleNetConfig(widths=(4, 6, 8, 10), decoder=(6, 4), hidden=8)


def net(seed: int = 0) -> NoduleNet:
    torch.manual_seed(seed)
    return NoduleNet(SMALL).eval()


def blocks(n: int, seed: int = 1) -> torch.Tensor:
    return torch.rand((n, SLICES, SIZE, SIZE), generator=torch.Generator().manual_seed(seed))


def test_every_head_has_its_shape() -> None:
    out = net()(blocks(3))
    assert out.malignant.shape == (3,)
    assert out.ordinal.shape == (3, len(ORDINAL), LEVELS)
    assert out.size.shape == (3, 2)
    assert out.mask.shape == (3, SLICES, SIZE, SIZE)


def test_higher_levels_of_a_rating_are_never_more_probable() -> None:
    with torch.inference_mode():
        levels = net()(blocks(4)).ordinal
    assert (levels.diff(dim=-1) <= 0).all()


def test_a_nodule_is_judged_alike_in_any_company() -> None:
    ensemble = NoduleEnsemble([net(0), net(1)])
    together = ensemble.predict(blocks(6))
    alone = ensemble.predict(blocks(6)[4:5])
    assert together.malignant[:, 4] == pytest.approx(alone.malignant[:, 0], abs=1e-4)
    assert np.allclose(together.mask[4], alone.mask[0], atol=1e-4)


def test_a_mirrored_nodule_is_judged_alike() -> None:
    ensemble = NoduleEnsemble([net()])
    one = ensemble.predict(blocks(3))
    mirrored = ensemble.predict(blocks(3).flip(3))
    assert one.malignant == pytest.approx(mirrored.malignant, abs=1e-4)
    assert np.allclose(one.mask[..., ::-1], mirrored.mask, atol=1e-4)


def test_an_empty_picture_gives_finite_numbers_and_gradients() -> None:
    fresh = NoduleNet(SMALL)
    out = fresh(torch.zeros((2, SLICES, SIZE, SIZE)))
    total = out.malignant.sum() + out.ordinal.sum() + out.size.sum() + out.mask.sum()
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in fresh.parameters() if p.grad is not None)


def test_blocks_of_another_shape_are_not_taken() -> None:
    with pytest.raises(ValueError, match="blocks of shape"):
        NoduleEnsemble([net()]).predict(torch.zeros((1, 3, SIZE, SIZE)))

"""From a click in a CT to the block: where the lesion ends, how little the click's place changes, and when not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from medviewer.errors import BadInput
from medviewer.inference.networks.nodule_cnn import LEVELS, ORDINAL, NoduleOutput
from medviewer.inference.nodule_ensemble import NoduleEnsemble
from medviewer.inference.nodule_query import NoduleQuery, nodule_query
from medviewer.inference.prompt import Prompt
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

SPACING = (1.5, 0.7, 0.7)
CENTRE = (30, 110, 110)


class Bright(torch.nn.Module):
    """Stands for a member: the nodule is where the block is brighter than the middle grey."""

    def forward(self, blocks: torch.Tensor) -> NoduleOutput:
        n = len(blocks)
        bright = blocks.flatten(1).mean(1)
        return NoduleOutput(
            bright,
            torch.zeros(n, len(ORDINAL), LEVELS),
            bright,
            torch.zeros(n, 2),
            20 * (blocks - 0.5),
            torch.ones(n, 4),
        )


ENSEMBLE = NoduleEnsemble([Bright()])  # type: ignore[list-item]


def volume(radius_mm: float = 6.0, vessel: bool = False, **changes: Any) -> Volume:
    hu = np.full((60, 220, 220), -850.0)
    hu[:, :, :8] = 40
    where = np.stack(np.meshgrid(*(np.arange(n) for n in hu.shape), indexing="ij"), -1) - np.asarray(CENTRE)
    hu[np.sum((where * np.asarray(SPACING)) ** 2, -1) <= radius_mm**2] = 40
    if vessel:
        hu[:, 109:112, 109:112] = 40  # a thin vessel runs through the nodule from end to end
    grid = Grid(hu.shape, SPACING, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-70.0, -60.0, -300.0))
    facts: dict[str, Any] = {"unit": "HU", "modality": "CT", **changes}
    return Volume(hu.astype(np.int16), grid, **facts)


def click(kji: tuple[float, float, float], of: Volume) -> Prompt:
    assert of.grid is not None
    return Prompt.of([float(v) for v in of.grid.index_to_lps(kji)])


def asked(kji: tuple[float, float, float], of: Volume) -> NoduleQuery:
    got = nodule_query(of, click(kji, of), ENSEMBLE)
    assert isinstance(got, NoduleQuery), got
    return got


@pytest.mark.parametrize("radius", [4.0, 6.0, 10.0])
def test_the_lesion_ends_where_the_ball_ends(radius: float) -> None:
    got = asked(CENTRE, volume(radius))
    reach = radius / SPACING[0]
    assert got.slices[0] == pytest.approx(30 - reach, abs=1.2)
    assert got.slices[1] == pytest.approx(30 + reach, abs=1.2)


def test_a_vessel_does_not_carry_the_lesion_away() -> None:
    got = asked(CENTRE, volume(6.0, vessel=True))
    assert got.slices[0] >= 24
    assert got.slices[1] <= 36


@pytest.mark.parametrize("beside", [(0, 4, 0), (0, 0, -4), (2, 0, 0), (-2, 3, 3)])
def test_a_click_beside_the_middle_shows_the_same_block(beside: tuple[int, int, int]) -> None:
    ct = volume(6.0)
    middle = asked(CENTRE, ct)
    moved = asked(tuple(float(a + b) for a, b in zip(CENTRE, beside, strict=True)), ct)  # type: ignore[arg-type]
    assert np.abs(np.subtract(moved.slices, middle.slices)).max() <= 1
    assert float((moved.block - middle.block).abs().mean()) < 0.03


def test_a_tube_is_no_nodule() -> None:
    ct = volume(6.0)
    ct.voxels[:, 157:165, 157:165] = 40
    got = nodule_query(ct, click((30, 160, 160), ct), ENSEMBLE)
    assert isinstance(got, str)
    assert "vessel or a rib" in got


def test_what_lies_in_soft_tissue_is_no_lung_nodule() -> None:
    ct = volume(6.0)
    j, i = np.mgrid[:220, :220]
    ct.voxels[:, np.hypot(j - 110, i - 110) < 45] = -100  # soft tissue all around, lung begins further out
    where = np.stack(np.meshgrid(*(np.arange(n) for n in ct.size_kji), indexing="ij"), -1) - np.asarray(CENTRE)
    ct.voxels[np.sum((where * np.asarray(SPACING)) ** 2, -1) <= 36] = 450
    ct.voxels[:, 60:64, 60:64] = 1500  # bone in view: the nodule is a little brighter than the middle grey
    got = nodule_query(ct, click(CENTRE, ct), ENSEMBLE)
    assert isinstance(got, str)
    assert "does not lie in lung" in got


def test_a_nodule_on_the_wall_is_still_a_nodule() -> None:
    ct = volume(6.0)
    ct.voxels[:, :, 117:] = -100  # the wall touches one side
    assert isinstance(nodule_query(ct, click(CENTRE, ct), ENSEMBLE), NoduleQuery)


def test_the_picture_for_the_library_shows_the_nodule() -> None:
    got = asked(CENTRE, volume(6.0))
    assert got.picture.shape == (96, 96)
    assert got.picture[44:52, 44:52].min() > 0.5 > got.picture[:10, 40:60].max()


def test_where_there_is_nothing_it_says_so() -> None:
    ct = volume(6.0)
    got = nodule_query(ct, click((30, 180, 180), ct), ENSEMBLE)
    assert isinstance(got, str)
    assert "nothing that looks like a nodule" in got


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"modality": "MR"}, "MR"), ({"unit": "BQML"}, "HU")],
)
def test_other_pictures_are_none_of_its_business(changes: dict[str, str], word: str) -> None:
    ct = volume(6.0, **changes)
    got = nodule_query(ct, click(CENTRE, ct), ENSEMBLE)
    assert isinstance(got, str)
    assert word in got


def test_a_head_without_lung_is_refused() -> None:
    ct = volume(6.0)
    hu = np.where(ct.voxels < 0, 30, 60).astype(np.int16)
    hu[:, :20] = -1000
    head = Volume(hu, ct.grid, unit="HU", modality="CT")
    got = nodule_query(head, click(CENTRE, head), ENSEMBLE)
    assert isinstance(got, str)
    assert "hardly any lung" in got


def test_without_a_click_it_asks_for_one_and_outside_is_an_error() -> None:
    ct = volume()
    assert "click" in str(nodule_query(ct, Prompt(), ENSEMBLE))
    with pytest.raises(BadInput, match="outside"):
        nodule_query(ct, Prompt.of((900.0, 0.0, 0.0)), ENSEMBLE)

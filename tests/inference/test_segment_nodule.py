"""The walk through a lesion, with a network that simply answers "bright": what comes out must be the drawn shape."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from medviewer.errors import BadInput, Cancelled
from medviewer.inference import segment_nodule
from medviewer.inference.networks.unet25d import Shape
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import Suggestion
from medviewer.jobs import CancelToken, JobContext, Progress
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

SPACING = (1.5, 0.7, 0.7)


class Bright:
    """Stands for a network: a voxel is nodule where its slice is brighter than the middle grey."""

    shape = Shape()

    def __call__(self, x: torch.Tensor, scalars: torch.Tensor) -> torch.Tensor:
        return 20 * (x[:, self.shape.slices // 2] - 0.5)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(segment_nodule, "loaded_nets", lambda package, device: (Bright(),))
    return SimpleNamespace(
        card=SimpleNamespace(task="lung-nodule-segment"),
        short_id="0123456789ab",
        calibration={},
        config={"mirrored": True},
    )


def lung(size: tuple[int, int, int] = (60, 220, 220)) -> np.ndarray:
    hu = np.full(size, -850.0)
    hu[:, :, :8] = 40  # the wall, far away
    return hu


def ball(hu: np.ndarray, centre: tuple[int, int, int], radius_mm: float) -> np.ndarray:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in hu.shape), indexing="ij"), -1) - np.asarray(centre)
    inside = np.sum((grid * np.asarray(SPACING)) ** 2, -1) <= radius_mm**2
    hu[inside] = 40
    return np.asarray(inside)


def volume_of(hu: np.ndarray, **changes: Any) -> Volume:
    grid = Grid(hu.shape, SPACING, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-70.0, -60.0, -300.0))
    facts: dict[str, Any] = {"unit": "HU", "modality": "CT", **changes}
    return Volume(hu.astype(np.int16), facts.pop("grid", grid), **facts)


def whole(suggestion: Suggestion, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    (segment,) = suggestion.segments
    box = tuple(slice(a, a + n) for a, n in zip(segment.start_kji, segment.mask.shape, strict=True))
    mask[box] = segment.mask > 0
    return mask


def ask(
    package: Any, volume: Volume, index: tuple[float, float, float], context: JobContext | None = None
) -> Suggestion:
    assert volume.grid is not None
    prompt = Prompt.of(volume.grid.index_to_lps(index))
    return segment_nodule.suggest(package, volume, prompt, "cpu", context or JobContext())


def test_a_ball_comes_out_as_drawn_with_its_volume(package: Any) -> None:
    hu = lung()
    truth = ball(hu, (30, 100, 120), 7.0)
    found = ask(package, volume_of(hu), (30, 101, 119))
    assert found.abstained is None
    np.testing.assert_array_equal(whole(found, hu.shape), truth)
    (segment,) = found.segments
    assert segment.label == "nodule"
    assert segment.volume_ml == pytest.approx(truth.sum() * 1.5 * 0.7 * 0.7 / 1000)
    assert segment.fraction is not None and segment.fraction.shape == segment.mask.shape
    assert found.check_first and all(truth[k].any() for k in found.check_first)


def test_the_clicked_slice_is_reported_first(package: Any) -> None:
    hu = lung()
    truth = ball(hu, (30, 100, 120), 7.0)
    heard: list[Progress] = []
    ask(package, volume_of(hu), (32, 100, 120), JobContext(listener=heard.append))
    partial = next(p.partial for p in heard if p.partial is not None)
    assert partial.stage == "clicked-slice"
    mask = whole(partial, hu.shape)
    np.testing.assert_array_equal(mask[32], truth[32])
    assert not np.delete(mask, 32, axis=0).any()


@pytest.mark.parametrize("k", [0, 59])
def test_a_lesion_at_the_first_or_last_slice_ends_there(package: Any, k: int) -> None:
    hu = lung()
    truth = ball(hu, (k, 100, 120), 8.0)
    np.testing.assert_array_equal(whole(ask(package, volume_of(hu), (k, 100, 120)), hu.shape), truth)


def test_a_long_lesion_is_followed_to_both_ends(package: Any) -> None:
    hu = lung()
    hu[6:55, 95:105, 110:125] = 40
    truth = hu > 0
    truth[:, :, :8] = False
    np.testing.assert_array_equal(whole(ask(package, volume_of(hu), (10, 100, 118)), hu.shape), truth)


def test_a_lesion_larger_than_the_crop_is_followed(package: Any) -> None:
    hu = lung()
    truth = np.zeros(hu.shape, bool)
    truth[25:30, 90:100, 40:180] = True
    hu[truth] = 40
    found = ask(package, volume_of(hu), (27, 95, 110))
    np.testing.assert_array_equal(whole(found, hu.shape), truth)
    assert any("larger" in note for note in found.notes)


def test_a_neighbour_is_left_alone(package: Any) -> None:
    hu = lung()
    truth = ball(hu, (30, 100, 100), 5.0)
    ball(hu, (30, 100, 125), 8.0)
    np.testing.assert_array_equal(whole(ask(package, volume_of(hu), (30, 100, 101)), hu.shape), truth)


def test_a_box_keeps_the_suggestion_inside(package: Any) -> None:
    hu = lung()
    hu[20:40, 95:105, 60:160] = 40
    volume = volume_of(hu)
    assert volume.grid is not None
    corners = volume.grid.index_to_lps([(22, 90, 100), (38, 110, 120)])
    found = segment_nodule.suggest(package, volume, Prompt.of(None, corners.reshape(-1)), "cpu", JobContext())
    columns = np.flatnonzero(whole(found, hu.shape).any(axis=(0, 1)))
    assert columns[0] >= 97 and columns[-1] <= 123


def test_air_gives_no_segment_but_a_reason(package: Any) -> None:
    found = ask(package, volume_of(lung()), (30, 100, 120))
    assert found.segments == ()
    assert found.abstained is not None and "nothing" in found.abstained


def test_a_speck_is_no_nodule(package: Any) -> None:
    hu = lung()
    hu[30, 100, 120:123] = 40
    found = ask(package, volume_of(hu), (30, 100, 120))
    assert found.segments == ()
    assert found.abstained is not None and "nothing" in found.abstained
    hu[30:33, 100:103, 120:124] = 40  # 2.8 mm
    assert ask(package, volume_of(hu), (31, 101, 121)).abstained is None


def test_what_lies_in_the_wall_is_no_nodule_and_what_is_attached_to_it_is(package: Any) -> None:
    hu = lung()
    hu[:, :, :110] = -100  # fat
    hu[:, 60, 130] = 900  # something as bright as bone
    buried, attached = hu.copy(), hu.copy()
    ball(buried, (30, 100, 98), 5.0)
    ball(attached, (30, 100, 110), 5.0)
    for one, centre in ((buried, (30, 100, 98)), (attached, (30, 100, 110))):
        one[one == 40] = 300
        found = ask(package, volume_of(one), centre)
        if one is attached:
            assert found.abstained is None
            np.testing.assert_array_equal(whole(found, hu.shape), one == 300)
        else:
            assert found.abstained is not None and "does not lie in lung" in found.abstained


def test_ground_glass_lies_in_lung() -> None:
    hu = np.full((3, 60, 60), -850, dtype=np.float32)
    drawn = np.zeros(hu.shape, dtype=bool)
    drawn[:, 25:35, 25:35] = True
    hu[drawn] = -600
    assert segment_nodule.lung_around(hu, drawn, 0.7) == 1.0
    assert segment_nodule.lung_around(hu + 600, drawn, 0.7) == 0.0
    assert segment_nodule.lung_around(hu, np.zeros_like(drawn), 0.7) is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"modality": "MR"}, "MR"), ({"unit": "SUV"}, "HU"), ({"grid": None}, "geometry")],
)
def test_what_is_no_chest_ct_is_left_alone(package: Any, changes: dict[str, Any], word: str) -> None:
    volume = volume_of(lung(), **changes)
    found = segment_nodule.suggest(package, volume, Prompt.of((0.0, 0.0, -260.0)), "cpu", JobContext())
    assert found.abstained is not None and word in found.abstained


def test_a_head_is_no_lung(package: Any) -> None:
    head = np.full((20, 200, 200), -1000.0)
    rows, columns = np.meshgrid(np.arange(200) - 100, np.arange(200) - 100, indexing="ij")
    head[:, rows**2 + columns**2 < 70**2] = 40
    found = ask(package, volume_of(head), (10, 90, 100))
    assert found.abstained is not None and "lung" in found.abstained


def test_coronal_slices_are_not_what_it_learned_on(package: Any) -> None:
    grid = Grid((60, 220, 220), SPACING, (1.0, 0, 0, 0, 0, -1.0, 0, 1.0, 0), (0.0, 0.0, 0.0))
    volume = volume_of(lung(), grid=grid)
    found = segment_nodule.suggest(package, volume, Prompt.of(grid.centre_lps), "cpu", JobContext())
    assert found.abstained is not None and "axial" in found.abstained


def test_a_click_outside_is_bad_input_and_no_click_a_question(package: Any) -> None:
    volume = volume_of(lung())
    with pytest.raises(BadInput, match="outside"):
        segment_nodule.suggest(package, volume, Prompt.of((5000.0, 0.0, 0.0)), "cpu", JobContext())
    found = segment_nodule.suggest(package, volume, Prompt(), "cpu", JobContext())
    assert found.abstained is not None and "click" in found.abstained


def test_cancel_stops_between_two_steps(package: Any) -> None:
    hu = lung()
    ball(hu, (30, 100, 120), 7.0)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        ask(package, volume_of(hu), (30, 100, 120), JobContext(token))


def test_the_shape_of_a_network_is_checked() -> None:
    from medviewer.errors import Refused

    assert Shape.from_config({"slices": 5, "channels": [4, 8]}) == Shape(5, (4, 8))
    for broken in ({"slices": 4, "channels": [4, 8]}, {"slices": 5, "channels": []}, {"slices": 5}, {"channels": "x"}):
        with pytest.raises(Refused):
            Shape.from_config(broken)


def test_logits_do_not_depend_on_what_else_is_in_the_batch(tmp_path: Path) -> None:
    from medviewer.inference.networks.unet25d import UNet25d, slice_logits

    torch.manual_seed(0)
    net = UNet25d(Shape(5, (4, 8, 8))).eval()
    images = np.random.default_rng(0).random((7, 96, 96), dtype=np.float32)
    together = slice_logits(net, images, (3, 48, 48), 0.7, 1.5, range(7))
    alone = np.concatenate([slice_logits(net, images, (3, 48, 48), 0.7, 1.5, [k]) for k in range(7)])
    np.testing.assert_allclose(together, alone, atol=1e-5)

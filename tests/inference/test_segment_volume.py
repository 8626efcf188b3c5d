"""Where a volume task looks, what it refuses, and that its masks lie where the picture does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.errors import BadInput, Refused
from medviewer.inference.package import ModelPackage
from medviewer.inference.predict import suggest_with
from medviewer.inference.prompt import Prompt
from medviewer.inference.segment_volume import without_specks
from medviewer.inference.suggestion import Suggestion
from medviewer.inference.volume_crop import InputRule, crop_grid, sample, to_native
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume
from tests.inference.conftest import CONFIG, blob_volume

Make = Callable[..., ModelPackage]
RULE = InputRule.of(CONFIG)


@pytest.fixture(scope="module")
def package(make_package: Make, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return make_package(tmp_path_factory.mktemp("models"))


def ask(package: ModelPackage, volume: Volume, prompt: Prompt | None = None) -> Suggestion:
    return suggest_with(package, volume, prompt or Prompt(), device="cpu", context=JobContext())


def reoriented(volume: Volume, order: tuple[int, int, int], signs: tuple[int, int, int]) -> Volume:
    """The same patient, stored with other axes."""
    grid = volume.grid
    assert grid is not None
    voxels = np.transpose(volume.voxels, order)[tuple(slice(None, None, s) for s in signs)]
    axes = [(grid.axis_k, grid.axis_j, grid.axis_i)[n] * s for n, s in zip(order, signs, strict=True)]
    start = np.zeros(3)
    for n, s in zip(order, signs, strict=True):
        start[n] = 0 if s > 0 else grid.size_kji[n] - 1
    origin = grid.index_to_lps(start)
    k, j, i = axes
    turned = Grid(
        voxels.shape,
        tuple(grid.spacing_kji[n] for n in order),
        tuple(map(float, (*i, *j, *k))),
        tuple(map(float, origin)),
    )
    return Volume(np.ascontiguousarray(voxels), turned, modality=volume.modality)


def lumpy(size: tuple[int, int, int] = (20, 24, 28)) -> Volume:
    """An MR without symmetry."""
    voxels = (np.random.default_rng(3).normal(300, 60, size)).astype(np.float32)
    voxels[5:12, 8:14, 4:20] += 500
    return Volume(
        voxels, Grid(size, (1, 1, 1), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0), (10.0, -20.0, 30.0)), modality="MR"
    )


@pytest.mark.parametrize("order", list(permutations((0, 1, 2))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_the_answer_does_not_depend_on_how_the_axes_are_stored(
    package: ModelPackage, order: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    volume = lumpy()
    plain = ask(package, volume)
    turned = ask(package, reoriented(volume, order, signs))
    assert plain.segments[0].voxels > 0
    for a, b in zip(plain.segments, turned.segments, strict=True):
        back = np.transpose(a.mask, order)[tuple(slice(None, None, s) for s in signs)]
        assert np.array_equal(back, b.mask) and a.voxels == b.voxels


def test_resampling_agrees_with_simpleitk() -> None:
    rng = np.random.default_rng(0)
    angle = np.radians(25)
    i = (np.cos(angle), np.sin(angle), 0.0)
    j = (-np.sin(angle), np.cos(angle), 0.0)
    grid = Grid((60, 70, 80), (1.5, 0.9, 1.1), (*i, *j, 0.0, 0.0, 1.0), (-30.0, -40.0, 12.0))
    voxels = rng.normal(size=grid.size_kji).astype(np.float32)
    volume = Volume(voxels, grid, slope=2.0, intercept=5.0, modality="MR")
    x, y, z = grid.centre_lps
    target = crop_grid(grid, Prompt.of(None, (x - 12, y - 14, z - 10, x + 12, y + 14, z + 10)), RULE, "Blob")
    assert isinstance(target, Grid)
    image = sitk.GetImageFromArray(voxels * 2.0 + 5.0)
    image.SetSpacing(grid.spacing_kji[::-1])
    image.SetOrigin(grid.origin_lps)
    image.SetDirection(np.stack([grid.axis_i, grid.axis_j, grid.axis_k], axis=1).ravel().tolist())
    like = sitk.Image([int(n) for n in target.size_kji[::-1]], sitk.sitkFloat32)
    like.SetSpacing(target.spacing_kji[::-1])
    like.SetOrigin(target.origin_lps)
    like.SetDirection(np.stack([target.axis_i, target.axis_j, target.axis_k], axis=1).ravel().tolist())
    wanted = sitk.GetArrayFromImage(sitk.Resample(image, like, sitk.Transform(), sitk.sitkLinear))
    assert np.allclose(sample(volume, target), wanted, atol=1e-3)


def test_a_mask_of_a_resampled_crop_lies_on_the_picture() -> None:
    grid = Grid((90, 128, 128), (1.2, 0.8, 0.8), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-50.0, -50.0, -50.0))
    points = grid.index_to_lps(np.stack(np.indices(grid.size_kji), axis=-1))
    ball = np.linalg.norm(points - np.array([3.0, 5.0, 7.0]), axis=-1) < 9.0
    volume = Volume(ball.astype(np.float32), grid, modality="MR")
    target = crop_grid(grid, Prompt.of((4, 4, 8)), RULE, "Blob")
    assert isinstance(target, Grid)
    seen = sample(volume, target)
    start, back = to_native(np.stack([1 - seen, seen]), target, grid)
    whole = np.zeros(grid.size_kji, dtype=bool)
    whole[tuple(slice(s, s + n) for s, n in zip(start, back.shape[1:], strict=True))] = back[1] > 0.5
    assert 2 * (whole & ball).sum() / (whole.sum() + ball.sum()) > 0.95


def test_a_whole_head_asks_for_a_box(package: ModelPackage) -> None:
    head = Volume(np.zeros((160, 240, 240), np.int16), Grid.plain((160, 240, 240)), modality="MR")
    head.voxels[:] = (np.arange(240) % 50)[None, None]  # type: ignore[index]
    said = ask(package, head)
    assert said.abstained is not None and "draw a box around one blob" in said.abstained
    assert "240 x 240 x 160 mm" in said.abstained
    boxed = ask(package, head, Prompt.of(None, (100, 100, 60, 130, 130, 90)))
    assert boxed.abstained is None and boxed.segments[0].start_kji[1] > 80
    too_large = ask(package, head, Prompt.of(None, (20, 20, 20, 200, 130, 90)))
    assert too_large.abstained is not None and "draw it closely" in too_large.abstained


def test_what_it_was_not_trained_on_is_answered_with_a_reason(package: ModelPackage) -> None:
    ct = ask(package, blob_volume(modality="CT"))
    assert ct.abstained is not None and "this series is CT" in ct.abstained
    volume = blob_volume(modality="")
    hu = Volume(volume.voxels - 1000, volume.grid)
    unknown = ask(package, hu)
    assert unknown.abstained is not None and "Hounsfield" in unknown.abstained
    flat = ask(package, Volume(np.full((24, 24, 24), 3, np.uint8), Grid.plain((24, 24, 24)), modality="MR"))
    assert flat.abstained is not None and "one grey value" in flat.abstained
    thick = Volume(volume.voxels, Grid.plain((24, 24, 24), (6.5, 0.7, 0.7)), modality="MR")
    coarse = ask(package, thick, Prompt.of((8, 8, 60)))
    assert coarse.abstained is not None and "up to 6.5 mm apart" in coarse.abstained
    tiny = ask(package, Volume(volume.voxels[:5], Grid.plain((5, 24, 24)), modality="MR"))
    assert tiny.abstained is not None and "needs at least" in tiny.abstained


def test_grey_scale_does_not_matter(package: ModelPackage) -> None:
    volume = lumpy()
    scaled = Volume(volume.voxels * 977 + 12345, volume.grid, modality="MR")  # type: ignore[operator]
    a, b = ask(package, volume), ask(package, scaled)
    for one, other in zip(a.segments, b.segments, strict=True):
        assert np.mean(one.mask != other.mask) < 1e-3


def test_a_click_outside_is_bad_input(package: ModelPackage) -> None:
    with pytest.raises(BadInput, match="outside the volume"):
        ask(package, lumpy(), Prompt.of((0, 0, 1000)))
    with pytest.raises(BadInput, match="outside the volume"):
        ask(package, lumpy(), Prompt.of(None, (500, 500, 500, 520, 520, 520)))
    with pytest.raises(BadInput, match="no geometry"):
        ask(package, Volume(np.zeros((20, 20, 20), np.uint8), None, modality="MR"))


def test_disagreement_and_impossible_volumes_are_kept_back(make_package: Make, tmp_path: Path) -> None:
    strict = make_package(tmp_path, calibration={"abstain": {"volume_ml": [0.0, 0.1]}})
    said = ask(strict, lumpy())
    assert said.abstained is not None and "outside the 0.0 to 0.1 ml" in said.abstained


def test_a_config_without_its_input_rule_is_refused() -> None:
    for broken in ({}, {"input": {**CONFIG["input"], "orientation": ["R", "L", "H"]}}):
        with pytest.raises(Refused, match="does not say what it was trained on"):
            InputRule.of(broken)


def test_measures_and_slices_to_check(package: ModelPackage) -> None:
    said = ask(package, lumpy())
    near = said.segments[0]
    assert near.volume_ml == pytest.approx(near.voxels / 1000)
    assert near.diameter_mm == pytest.approx((6 * near.voxels / np.pi) ** (1 / 3))
    assert near.fraction is not None and near.fraction.shape == near.mask.shape
    assert all(0 <= k < 20 for k in said.check_first)
    assert said.as_json()["segments"][0]["label"] == "near"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.5))
def test_specks_go_and_nothing_is_added(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((8, 9, 10)) < 0.2
    kept = without_specks(mask, share) > 0
    assert not np.any(kept & ~mask)
    from scipy import ndimage

    parts, count = ndimage.label(kept, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel())[1:]
    assert count == 0 or sizes.min() >= min(share * mask.sum(), mask.sum())

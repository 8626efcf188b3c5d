"""Training of the hippocampus task: the net learns, a run continues where it stopped, the data is read as it is."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.errors import BadInput, Cancelled
from medviewer.formats import nifti
from medviewer.inference.networks.unet3d import UNet3D
from medviewer.inference.volume_patch import normalise, pad_to_multiple
from medviewer.jobs import JobContext
from medviewer.learning.datasets.hippocampus import HippocampusCase, part_of, read_cases
from medviewer.learning.evaluations.volume_segment import compare
from medviewer.learning.recipes.hippocampus_segment import (
    NETWORK,
    Settings,
    dice_by_label,
    loss_of,
    predict_probabilities,
    train,
)
from medviewer.learning.volume_augmentation import Augmentation, view
from medviewer.volume.grid import Grid


def synthetic_case(seed: int, size: tuple[int, int, int] = (24, 32, 24)) -> HippocampusCase:
    """Two bright halves of an egg of two grey values, in noise and on an arbitrary scale."""
    rng = np.random.default_rng(seed)
    k, j, i = (np.indices(size).T - (np.array(size) - 1) / 2 + rng.uniform(-1, 1, 3)).T
    inside = (k / 7) ** 2 + (j / 11) ** 2 + (i / 7) ** 2 < 1
    label = np.where(inside, np.where(j > 0, 1, 2), 0).astype(np.uint8)
    image = (100 + 60 * (label == 1) + 30 * (label == 2) + rng.normal(0, 6, size)) * rng.uniform(1, 900)
    return HippocampusCase(f"case_{seed}", image.astype(np.float32), label, (1.0, 1.0, 1.0))


def test_it_overfits_four_cases(tmp_path: Path) -> None:
    cases = [synthetic_case(seed) for seed in range(4)]
    weights = train(cases, Settings(steps=45, patch_kji=(24, 32, 24), rate=5e-3, ema=0.9), tmp_path, JobContext())
    net = UNet3D.from_config({**NETWORK, "coarse_heads": 0})
    net.load_state_dict(weights)
    net.eval()
    dices = [dice_by_label(predict_probabilities([net], case.image).argmax(0), case.label) for case in cases]
    assert np.mean(dices) > 0.9
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["finished"] and lines[-1]["step"] == 45


def test_a_cancelled_run_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medviewer.learning.recipes import hippocampus_segment

    monkeypatch.setattr(hippocampus_segment, "SAVE_EVERY_SECONDS", 0.0)
    context = JobContext()
    context.listener = lambda p: context.token.cancel() if p.done >= 3 else None
    cases, plan = [synthetic_case(1)], Settings(steps=6, patch_kji=(16, 16, 16))
    with pytest.raises(Cancelled):
        train(cases, plan, tmp_path, context)
    steps: list[int] = []
    train(cases, plan, tmp_path, JobContext(listener=lambda p: steps.append(p.done)))
    assert steps[0] > 1 and steps[-1] == 6


def test_from_given_weights_without_steps_nothing_changes(tmp_path: Path) -> None:
    torch.manual_seed(3)
    start = UNet3D.from_config({**NETWORK, "coarse_heads": 0}).state_dict()
    out = train([synthetic_case(0)], Settings(steps=0, patch_kji=(16, 16, 16)), tmp_path, JobContext(), start=start)
    assert out.keys() == start.keys()
    assert all(torch.equal(out[name], start[name]) for name in start)


def test_the_loss_is_finite_where_nothing_is_labelled_and_falls_where_it_is_right() -> None:
    empty = torch.zeros((2, 8, 8, 8), dtype=torch.int64)
    logits = [torch.randn(2, 3, 8, 8, 8), torch.randn(2, 3, 4, 4, 4)]
    assert torch.isfinite(loss_of(logits, empty, 3))
    label = torch.randint(0, 3, (2, 8, 8, 8))
    right = [10 * torch.nn.functional.one_hot(label, 3).permute(0, 4, 1, 2, 3).float()]
    assert loss_of(right, label, 3) < 0.01 < loss_of([torch.zeros(2, 3, 8, 8, 8)], label, 3)


def test_the_net_answers_the_same_in_any_company() -> None:
    torch.manual_seed(0)
    net = UNet3D((4, 8), classes=3).eval()
    x = torch.randn(3, 1, 16, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(net(x)[1:2], net(x[1:2]), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_views_keep_image_and_label_together(seed: int) -> None:
    case = synthetic_case(seed % 7)
    label = torch.from_numpy(case.label.astype(np.int64))
    still = Augmentation(gain=0, offset=0, noise=0)
    image = torch.from_numpy(case.label.astype(np.float32))
    seen, told = view(image, label, 3, (24, 32, 24), still, torch.Generator().manual_seed(seed))
    assert seen.shape == (1, 24, 32, 24) and told.shape == (24, 32, 24)
    assert torch.isfinite(seen).all() and set(told.unique().tolist()) <= {0, 1, 2}
    share = float((told > 0).float().mean() / (label > 0).float().mean())
    assert 0.4 < share < 1.8
    inside, outside = seen[0][told > 0].mean(), seen[0][told == 0].mean()
    assert inside > outside + 0.5


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e5), st.floats(-1e4, 1e4))
def test_normalising_forgets_the_scale(gain: float, offset: float) -> None:
    image = np.random.default_rng(0).normal(100, 20, (12, 13, 14))
    assert np.allclose(normalise(image), normalise(image * gain + offset * gain), atol=2e-2)


def test_padding_tells_where_the_original_lies() -> None:
    image = np.random.default_rng(0).normal(size=(13, 16, 21)).astype(np.float32)
    padded, inside = pad_to_multiple(image, 8)
    assert padded.shape == (16, 16, 24) and np.array_equal(padded[inside], image)


def test_compare_counts_labels_apart() -> None:
    case = synthetic_case(0)
    row = compare(case.label, case, ("anterior", "posterior"))
    assert row["dice"] == row["dice-anterior"] == 1.0 and row["hd95"] == 0.0
    swapped = np.where(case.label == 0, 0, 3 - case.label).astype(np.uint8)
    assert compare(swapped, case, ("anterior", "posterior"))["dice"] == 0.0


def write_split(folder: Path, split: str, cases: list[HippocampusCase], dtype: str = "<f4") -> None:
    with zipfile.ZipFile(folder / f"{split}.zip", "w") as packed:
        for case in cases:
            for kind, array in (("images", case.image.astype(dtype)), ("labels", case.label)):
                path = folder / "one.nii.gz"
                nifti.write(path, array, Grid.plain(case.image.shape))
                packed.writestr(f"{split}/{kind}/{case.name}.nii.gz", path.read_bytes())


def test_a_split_is_read_as_it_was_written(tmp_path: Path) -> None:
    cases = [synthetic_case(n) for n in (3, 1)]
    write_split(tmp_path, "val", cases)
    back = read_cases(tmp_path, "val")
    assert [case.name for case in back] == ["case_1", "case_3"]
    assert np.array_equal(back[1].image, cases[0].image) and np.array_equal(back[1].label, cases[0].label)


def test_broken_splits_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"val\.zip"):
        read_cases(tmp_path, "val")
    (tmp_path / "val.zip").write_bytes(b"no zip")
    with pytest.raises(BadInput, match="cannot be read"):
        read_cases(tmp_path, "val")
    with zipfile.ZipFile(tmp_path / "val.zip", "w") as packed:
        packed.writestr("val/images/a.nii.gz", gzip.compress(b"x" * 400))
    with pytest.raises(BadInput, match="cannot be read"):
        read_cases(tmp_path, "val")


@pytest.mark.data
def test_the_public_cases_read_as_their_table_says(public_data: Path) -> None:
    import csv

    folder = public_data / "hippocampus"
    table = {row["case"]: row for row in csv.DictReader((folder / "cases.csv").open()) if row["split"] == "val"}
    cases = read_cases(folder, "val")
    assert len(cases) == len(table) == 45
    for case in cases:
        row = table[case.name]
        assert case.image.shape == (int(row["nz"]), int(row["ny"]), int(row["nx"]))
        assert int((case.label == 1).sum()) == int(row["voxels_anterior"])
        assert case.image.max() == pytest.approx(float(row["max"]), rel=1e-4)


def test_the_calibration_part_is_a_seventh_of_train() -> None:
    parts = [part_of(f"hippocampus_{n:03d}") for n in range(1000)]
    assert 0.10 < parts.count("calibrate") / 1000 < 0.20

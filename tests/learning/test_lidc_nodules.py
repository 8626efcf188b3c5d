"""The nodule sets: what is read is what the files say, repaired, and broken files are a sentence."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import BadInput
from medviewer.learning.datasets.lidc_nodules import NoduleSet, part_of_train, repaired


def write_set(folder: Path, split: str = "val") -> np.ndarray:
    """Two nodules of 2 and 3 slices, four and three readers, one padded slice."""
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 128, (5, 96, 96)) * 2).astype(np.uint8)
    masks = np.zeros((5, 96, 96), np.uint8)
    for reader, size in enumerate((4, 5, 6, 7)):
        masks[:2, 48 - size : 48 + size, 48 - size : 48 + size] |= 1 << reader
    for reader, size in enumerate((3, 4, 5)):
        masks[2:, 48 - size : 48 + size, 40:56] |= 1 << reader
    pad = np.array([0, 0, 100, 0, 0], np.uint8)
    np.savez(
        folder / f"{split}.npz", images=images, masks=masks, first=np.array([0, 2, 5], np.int32), pad_level=pad,
        nodule=np.array([0, 0, 1, 1, 1], np.int32), z_mm=np.arange(5, dtype=np.float32),
    )  # fmt: skip
    rows = [
        {"nodule": "P1_n0", "patient": "P1", "n_readers": 4, "pixel_mm": 0.7, "slice_spacing_mm": 1.25,
         "diameter_mm": 8.5, **{f"malignancy_r{r}": v for r, v in enumerate((4, 5, 3, 4))}},
        {"nodule": "P2_n0", "patient": "P2", "n_readers": 3, "pixel_mm": 0.6, "slice_spacing_mm": 2.5,
         "diameter_mm": "", **{f"malignancy_r{r}": v for r, v in enumerate((3, 3, 3, ""))}},
    ]  # fmt: skip
    with (folder / f"{split}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return images


def test_cases_are_what_the_files_say(tmp_path: Path) -> None:
    images = write_set(tmp_path)
    nodules = NoduleSet(tmp_path, "val")
    first, second = list(nodules)
    np.testing.assert_allclose(first.images, images[:2] / np.float32(254))
    assert first.readers.shape == (4, 2, 96, 96)
    assert [int(r.sum()) for r in first.readers] == [2 * (2 * s) ** 2 for s in (4, 5, 6, 7)]
    assert first.consensus.sum() == 2 * 12**2  # at least two of four: the second smallest of those drawn is 6
    assert first.fraction[0, 48, 48] == 1 and first.fraction[0, 48, 42] == 0.5
    assert (first.label, second.label) == (1, None)
    assert first.click_kji == (1, 48, 48)
    assert np.isnan(second.diameter_mm)
    assert nodules.patients == ["P1", "P2"]


def test_padding_is_repaired(tmp_path: Path) -> None:
    images = write_set(tmp_path)
    second = NoduleSet(tmp_path, "val")[1]
    expected = np.clip((images[2].astype(np.float64) - 100) / 154, 0, 1)
    np.testing.assert_allclose(second.images[0], expected, atol=1e-6)
    np.testing.assert_allclose(repaired(images[3:], np.zeros(2, np.uint8)), images[3:] / 254, atol=1e-6)


def test_the_unpacked_copy_follows_the_file(tmp_path: Path) -> None:
    write_set(tmp_path)
    before = NoduleSet(tmp_path, "val")[0].images.copy()
    with np.load(tmp_path / "val.npz") as packed:
        arrays = {k: packed[k] for k in packed.files}
    arrays["images"] = 254 - arrays["images"]
    np.savez(tmp_path / "val.npz", **arrays)
    np.testing.assert_allclose(NoduleSet(tmp_path, "val")[0].images, 1 - before, atol=1e-6)


@pytest.mark.parametrize("damage", ["no-table", "no-arrays", "garbage", "short-table", "lacks-masks"])
def test_broken_sets_are_bad_input(tmp_path: Path, damage: str) -> None:
    write_set(tmp_path)
    if damage == "no-table":
        (tmp_path / "val.csv").unlink()
    elif damage == "no-arrays":
        (tmp_path / "val.npz").unlink()
    elif damage == "garbage":
        (tmp_path / "val.npz").write_bytes(b"not an archive at all")
    elif damage == "short-table":
        lines = (tmp_path / "val.csv").read_text().splitlines()
        (tmp_path / "val.csv").write_text("\n".join(lines[:-1]) + "\n")
    else:
        np.savez(tmp_path / "val.npz", images=np.zeros((5, 96, 96), np.uint8))
    with pytest.raises(BadInput):
        NoduleSet(tmp_path, "val")


def test_the_carve_is_by_patient_and_of_the_sizes_it_says() -> None:
    parts = [part_of_train(f"LIDC-IDRI-{n:04d}") for n in range(4000)]
    shares = {part: parts.count(part) / 4000 for part in set(parts)}
    assert shares["fit"] == pytest.approx(0.75, abs=0.03)
    assert shares["early-stop"] == pytest.approx(0.10, abs=0.02)
    assert shares["calibrate"] == pytest.approx(0.15, abs=0.02)


@pytest.mark.data
def test_the_public_set_has_the_counts_of_its_readme(public_data: Path) -> None:
    folder = public_data / "lidc_nodules"
    if not folder.is_dir():
        pytest.skip("lidc_nodules is not in the public data folder")
    nodules = NoduleSet(folder, "val")
    assert len(nodules) == 222
    assert len(set(nodules.patients)) == 101
    labels = [case.label for case in nodules]
    assert (labels.count(0), labels.count(None), labels.count(1)) == (98, 39, 85)
    assert sum(case.diameter_mm < 6 for case in nodules) == 39

"""Figures against other implementations and known shapes."""

from __future__ import annotations

import numpy as np
import pytest

from medviewer.learning.metrics import Metric, dice, hd95_mm, near_outlines, size_stratum, summarised


def box(lo: int, hi: int) -> np.ndarray:
    mask = np.zeros((24, 40, 40), bool)
    mask[lo:hi, lo:hi, lo:hi] = True
    return mask


def test_dice_of_known_overlap_and_of_nothing() -> None:
    assert dice(box(4, 14), box(4, 14)) == 1
    assert dice(box(4, 14), box(9, 19)) == pytest.approx(2 * 125 / 2000)
    assert dice(box(0, 0), box(4, 14)) == 0
    assert np.isnan(dice(box(0, 0), box(0, 0)))


def test_dice_agrees_with_simpleitk() -> None:
    import SimpleITK as sitk

    rng = np.random.default_rng(0)
    a, b = rng.random((5, 9, 9)) < 0.4, rng.random((5, 9, 9)) < 0.4
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(a.astype(np.uint8)), sitk.GetImageFromArray(b.astype(np.uint8)))
    assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient())


def test_hd95_of_a_shifted_box_is_the_shift_in_mm() -> None:
    moved = np.roll(box(6, 16), 3, axis=0)
    assert hd95_mm(box(6, 16), moved, (2.0, 0.7, 0.7)) == pytest.approx(6.0)
    assert hd95_mm(box(6, 16), box(6, 16), (2.0, 0.7, 0.7)) == 0
    assert np.isnan(hd95_mm(box(0, 0), box(6, 16), (1, 1, 1)))


def test_hd95_never_exceeds_the_hausdorff_distance_of_simpleitk() -> None:
    import SimpleITK as sitk

    rng = np.random.default_rng(1)
    a, b = box(5, 15) & (rng.random((24, 40, 40)) < 0.9), box(7, 18)
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (a, b)]
    for image in images:
        image.SetSpacing((0.7, 0.7, 2.0))
    exact = sitk.HausdorffDistanceImageFilter()
    exact.Execute(*images)
    assert 0 < hd95_mm(a, b, (2.0, 0.7, 0.7)) <= exact.GetHausdorffDistance() + 1e-6


@pytest.mark.parametrize(("mm", "name"), [(5.99, "<6mm"), (6.0, "6-10mm"), (10.0, "6-10mm"), (10.01, ">10mm")])
def test_strata(mm: float, name: str) -> None:
    assert size_stratum(mm) == name


def test_near_outlines_is_a_band_around_the_border() -> None:
    fraction = np.zeros((3, 60, 60), np.float32)
    fraction[1, 15:45, 15:45] = 1
    band = near_outlines(fraction)
    assert not band[0].any()
    assert band[1, 15, 30] and band[1, 11, 30] and not band[1, 30, 30] and not band[1, 5, 30]


def test_the_summary_is_by_patient_and_skips_what_is_undefined() -> None:
    table = summarised({"dice": [0.5, 0.7, float("nan"), 0.9]}, ["a", "a", "b", "c"], ["<6mm", ">10mm", None, None])
    assert table["dice"].n == 3
    assert table["dice"].value == pytest.approx(0.7)
    assert table["dice"].low <= 0.7 <= table["dice"].high
    assert table["dice/<6mm"].n == 1
    assert "dice/6-10mm" not in table


def test_json_has_no_nan() -> None:
    assert Metric(float("nan"), 0.1, 0.2, 0).as_json() == {"value": None, "low": 0.1, "high": 0.2, "n": 0}

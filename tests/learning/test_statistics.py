"""Statistics against known values, numpy and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.inference.logistic import Linear
from medviewer.learning import statistics as s

SCORES = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60)


@given(SCORES)
def test_auc_is_the_share_of_pairs_in_the_right_order(cases: list[tuple[bool, int]]) -> None:
    truth, score = [c[0] for c in cases], [c[1] for c in cases]
    pairs = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for t, p in zip(truth, score, strict=True)
        if t
        for u, q in zip(truth, score, strict=True)
        if not u
    ]
    got = s.auc(truth, score)
    assert math.isnan(got) if not pairs else got == pytest.approx(np.mean(pairs))


@given(SCORES)
def test_auc_of_the_opposite_score_is_the_complement(cases: list[tuple[bool, int]]) -> None:
    truth, score = [c[0] for c in cases], np.array([c[1] for c in cases])
    if len(set(truth)) == 2:
        assert s.auc(truth, score) + s.auc(truth, -score) == pytest.approx(1)


def test_bootstrap_by_patient_is_wider_than_by_nodule_when_a_patients_nodules_agree() -> None:
    rng = np.random.default_rng(1)
    patient = np.repeat(np.arange(60), 4)
    values = rng.normal(size=60)[patient] + 0.1 * rng.normal(size=240)
    value, low, high = s.bootstrap_by_group(values, patient.tolist())
    _, low_alone, high_alone = s.bootstrap_by_group(values, list(range(240)))
    assert value == pytest.approx(values.mean())
    assert low < value < high
    assert 1.6 < (high - low) / (high_alone - low_alone) < 2.4  # theory: sqrt(4) for fully shared values


def test_bootstrap_interval_of_a_mean_matches_the_normal_theory_and_covers() -> None:
    inside = 0
    for seed in range(60):
        values = np.random.default_rng(seed).normal(3, 2, 80)
        _, low, high = s.bootstrap_by_group(values, list(range(80)), n=300, seed=seed)
        assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(80), rel=0.25)
        inside += low <= 3 <= high
    assert inside >= 50


def test_bootstrap_is_repeatable_and_refuses_nothing() -> None:
    values, groups = np.arange(10.0), list("aabbccddee")
    assert s.bootstrap_by_group(values, groups, n=50) == s.bootstrap_by_group(values, groups, n=50)
    with pytest.raises(ValueError, match="groups"):
        s.bootstrap_by_group([], [])
    with pytest.raises(ValueError, match="groups"):
        s.bootstrap_by_group([1.0], ["a", "b"])


def test_paired_difference_cancels_what_both_share() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(0, 10, 100)
    first, second = shared + 1 + 0.1 * rng.normal(size=100), shared
    value, low, high = s.paired_difference(first, second, list(range(100)), lambda v: float(v.mean()))
    assert value == pytest.approx(1, abs=0.05)
    assert high - low < 0.1


def test_paired_auc_gain_of_a_score_over_itself_is_zero() -> None:
    rng = np.random.default_rng(3)
    truth, score = rng.integers(0, 2, 80), rng.normal(size=80)
    assert s.paired_difference(score, score, list(range(80)), s.auc_of_rows, truth, n=100) == (0, 0, 0)


def test_ece_of_known_bins() -> None:
    truth = [0, 0, 1, 1, 1, 1, 1, 0]
    probability = [0.25] * 4 + [0.75] * 4
    assert s.ece(truth, probability, bins=2) == pytest.approx(0.25 * 0.5 + 0.0 * 0.5)
    assert s.ece([1, 0], [1.0, 0.0]) == 0
    assert s.ece([0, 1], [1.0, 0.0]) == 1


def test_a_calibrated_model_stays_below_its_own_simulation_nine_times_in_ten() -> None:
    rng = np.random.default_rng(4)
    p = rng.beta(0.8, 0.9, 183)
    limit, middle, high = s.ece_calibrated(p, n=400)
    below = np.mean([s.ece(rng.random(183) < p, p) <= limit for _ in range(400)])
    assert 0.84 < below < 0.96
    assert middle < limit < high


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 4.0))
def test_temperature_of_overconfident_logits_is_found(factor: float) -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, 6000)
    truth = rng.random(6000) < s.sigmoid(logits)
    own = s.fit_temperature(logits, truth)
    assert own == pytest.approx(1, abs=0.12)
    assert s.fit_temperature(logits * factor, truth) == pytest.approx(own * factor, rel=1e-3)


def test_logistic_finds_the_coefficients_that_made_the_data() -> None:
    rng = np.random.default_rng(6)
    x = np.c_[rng.normal(5, 3, 20000), rng.normal(-2, 0.5, 20000)]
    truth = rng.random(20000) < s.sigmoid(0.7 * x[:, 0] - 2.0 * x[:, 1] - 8)
    fitted = s.fit_logistic(x, truth, ridge=0)
    raw = fitted.weights / fitted.scale
    assert raw == pytest.approx([0.7, -2.0], rel=0.06)
    assert fitted.bias - raw @ fitted.centre == pytest.approx(-8, rel=0.06)
    again = Linear.from_json(fitted.as_json())
    assert np.array_equal(again(x), fitted(x))
    assert s.sigmoid(fitted(x)).mean() == pytest.approx(truth.mean(), abs=1e-6)


def test_linear_is_least_squares() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(3, 2, (50, 3))
    target = x @ [1.0, -2.0, 0.5] + 4 + 0.1 * rng.normal(size=50)
    wanted = np.c_[x, np.ones(50)] @ np.linalg.lstsq(np.c_[x, np.ones(50)], target, rcond=None)[0]
    assert s.fit_linear(x, target, ridge=0)(x) == pytest.approx(wanted)


def test_logistic_of_separable_data_stays_finite() -> None:
    fitted = s.fit_logistic([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], ridge=1e-3)
    assert np.isfinite(fitted.weights).all()
    assert fitted([[3.0]])[0] > 0 > fitted([[0.0]])[0]


def test_conformal_quantile_covers_what_it_promises() -> None:
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(300):
        scores = rng.exponential(size=99)
        covered.append(np.mean(rng.exponential(size=200) <= s.conformal_quantile(scores, 0.9)))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)
    assert s.conformal_quantile([1.0, 2.0, 3.0], 0.9) == math.inf
    assert s.conformal_quantile(np.arange(1, 10), 0.9) == 9


def test_one_row_of_each_group() -> None:
    groups = list("aaabbc")
    chosen = s.one_per_group(groups)
    assert sorted(groups[n] for n in chosen) == ["a", "b", "c"]

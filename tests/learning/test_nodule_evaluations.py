"""The classifier's figures: against known answers, and their names as the command line's page has them."""

from __future__ import annotations

import numpy as np
import pytest

from medviewer.learning.evaluations.nodule_classify import RatedCases, metrics_of

NAMES = {
    "auc",
    "auc-size-only",
    "auc-gain",
    "ece",
    "ece-calibrated",
    "brier",
    "accuracy",
    "recall",
    "specificity",
    "f1",
    "mae-rating",
    "coverage",
}


def cases(n: int = 120, seed: int = 0) -> RatedCases:
    rng = np.random.default_rng(seed)
    mean = np.clip(np.round(rng.normal(3, 1, n) * 4) / 4, 1, 5)
    rating = np.clip(mean + rng.normal(0, 0.6, n), 1, 5)
    probability = 1 / (1 + np.exp(-3 * (rating - 3)))
    return RatedCases(
        names=[f"c{i}" for i in range(n)],
        patients=[f"p{i // 2}" for i in range(n)],
        mean_rating=mean,
        probability=probability,
        rating=rating,
        rating_interval=np.stack([rating - 1, rating + 1], 1),
        diameter_mm=np.exp(rng.normal(2.1, 0.4, n)),
        size_only=rng.normal(size=n),
        unfamiliar=np.zeros(n, bool),
    )


def test_the_names_are_those_of_the_page() -> None:
    table = metrics_of(cases())
    assert set(table) >= NAMES
    assert {"auc/<6mm", "auc/6-10mm", "auc/>10mm"} <= set(table)


def test_undecided_nodules_are_left_out_of_the_label_but_not_of_the_rating() -> None:
    made = cases()
    table = metrics_of(made)
    undecided = int((made.mean_rating == 3).sum())
    assert undecided > 3
    assert table["auc"].n == table["ece"].n == table["f1"].n == len(made.names) - undecided
    assert table["mae-rating"].n == table["coverage"].n == len(made.names)


def test_figures_agree_with_counting() -> None:
    made = cases()
    table = metrics_of(made)
    sure = made.mean_rating != 3
    truth, said = made.mean_rating[sure] > 3, made.probability[sure] >= 0.5
    assert table["accuracy"].value == pytest.approx((truth == said).mean())
    assert table["recall"].value == pytest.approx(said[truth].mean())
    assert table["specificity"].value == pytest.approx((~said[~truth]).mean())
    precision, recall = truth[said].mean(), said[truth].mean()
    assert table["f1"].value == pytest.approx(2 * precision * recall / (precision + recall))
    assert table["brier"].value == pytest.approx(((made.probability[sure] - truth) ** 2).mean())
    assert table["mae-rating"].value == pytest.approx(np.abs(made.rating - made.mean_rating).mean())
    assert table["auc-gain"].value == pytest.approx(table["auc"].value - table["auc-size-only"].value)
    for metric in table.values():
        assert metric.low <= metric.high


def test_a_score_without_knowledge_has_no_gain_over_size() -> None:
    made = cases(400)
    blind = RatedCases(
        made.names,
        made.patients,
        made.mean_rating,
        np.random.default_rng(1).random(400),
        made.rating,
        made.rating_interval,
        made.diameter_mm,
        made.mean_rating + np.random.default_rng(2).normal(0, 0.5, 400),
        made.unfamiliar,
    )
    assert metrics_of(blind)["auc-gain"].high < 0

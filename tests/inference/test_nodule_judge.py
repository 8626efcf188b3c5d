"""What people are shown: probabilities with intervals that hold them, ratings on their scale, and strangers known."""

from __future__ import annotations

import numpy as np
import pytest

from medviewer.inference.logistic import Linear
from medviewer.inference.nodule_ensemble import NodulePrediction
from medviewer.inference.nodule_judge import FEATURES, Familiarity, NoduleJudge, features, unit


def prediction(members: int = 3, n: int = 20, seed: int = 0) -> NodulePrediction:
    rng = np.random.default_rng(seed)
    return NodulePrediction(
        malignant=rng.normal(0, 2, (members, n)),
        above=rng.random((members, n, 7, 4)),
        calcified=rng.random((members, n)),
        size=rng.normal(2, 0.5, (members, n, 2)),
        hidden=rng.random((members, n, 8)).astype(np.float32),
        mask=rng.random((n, 5, 48, 48)).astype(np.float32),
    )


def judge() -> NoduleJudge:
    count = len(FEATURES)
    weights = np.zeros(count)
    weights[-1] = 1
    plain = Linear(np.zeros(count), np.ones(count), weights, 0.0)
    opinion = Linear(np.zeros(count), np.ones(count), weights, 3.0)
    refits = np.random.default_rng(1).normal([1, 0], 0.1, (50, 2))
    return NoduleJudge(plain, opinion, 1.0, 0.0, refits, 0.8)


def test_the_probability_is_the_calibrated_mean_of_the_members() -> None:
    told = judge().judge(prediction())
    mean = prediction().malignant.mean(0)
    assert told.probability == pytest.approx(1 / (1 + np.exp(-mean)))


def test_intervals_hold_their_figures_and_stay_on_the_scale() -> None:
    told = judge().judge(prediction())
    assert (told.interval[:, 0] <= told.probability).all()
    assert (told.probability <= told.interval[:, 1]).all()
    assert ((told.interval >= 0) & (told.interval <= 1)).all()
    assert (told.rating_interval[:, 0] <= told.rating).all()
    assert (told.rating <= told.rating_interval[:, 1]).all()
    assert ((told.rating_interval >= 1) & (told.rating_interval <= 5)).all()


def test_members_that_disagree_widen_the_interval() -> None:
    one = prediction()
    same = NodulePrediction(
        np.repeat(one.malignant.mean(0, keepdims=True), 3, 0), one.above, one.calcified, one.size, one.hidden, one.mask
    )
    width = np.diff(judge().judge(one).interval, axis=1)
    narrow = np.diff(judge().judge(same).interval, axis=1)
    assert (width >= narrow - 1e-9).all()
    assert width.mean() > 2 * narrow.mean()


def test_features_stand_in_the_order_of_their_names() -> None:
    told = prediction()
    columns = features(told)
    assert columns.shape == (3, 20, len(FEATURES))
    assert columns[..., FEATURES.index("malignant logit")] == pytest.approx(told.malignant)
    assert columns[..., FEATURES.index("malignancy")] == pytest.approx(1 + told.above[:, :, 6].sum(-1))
    assert columns[..., FEATURES.index("log volume")] == pytest.approx(told.size[..., 1])


def test_a_judge_survives_json() -> None:
    import json

    first = judge()
    config = json.loads(json.dumps({"odds": first.odds.as_json(), "opinion": first.opinion.as_json()}))
    again = NoduleJudge.from_package(
        config, {"slope": 1.0, "intercept": 0.0, "refits": first.refits.tolist(), "rating_width": 0.8}
    )
    assert again.judge(prediction()).interval == pytest.approx(first.judge(prediction()).interval)


def test_strangers_lie_further_away_than_kin() -> None:
    rng = np.random.default_rng(2)
    known = unit(rng.normal([5, 0, 0, 0], 0.3, (2, 100, 4)))
    familiarity = Familiarity(known, 0.05)
    kin = rng.normal([5, 0, 0, 0], 0.3, (2, 10, 4)).astype(np.float32)
    strangers = rng.normal([0, 0, 5, 0], 0.3, (2, 10, 4)).astype(np.float32)
    assert (familiarity.distance(kin) < 0.05).all()
    assert (familiarity.distance(strangers) > 0.5).all()

"""From what the members say to what people are shown: a calibrated probability, a rating, their intervals.

The probability is that of "the readers' mean malignancy rating is above 3": an opinion from the images, not
pathology. Each member's heads are weighed by a small linear model, the members' log odds are averaged, and one slope
and one intercept, fitted on nodules that the member never saw, calibrate the average.

`interval` of the probability holds 95 % of what the figure becomes when one member speaks alone and the calibration is
fitted on resampled patients: how far the model itself is sure, not how far it is right about this patient.
`rating_interval` is split conformal: it held the readers' mean rating in its stated share of patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.inference.logistic import Floats, Linear, sigmoid
from medviewer.inference.networks.nodule_cnn import ORDINAL
from medviewer.inference.nodule_ensemble import NodulePrediction

FEATURES = (*ORDINAL, "calcified", "log diameter", "log volume", "malignant logit")
"""Columns of `features`, in order."""


def features(prediction: NodulePrediction) -> Floats:
    """What each member says of each nodule, as plain columns [members, n, len(FEATURES)]."""
    columns: Floats = np.concatenate(
        [
            prediction.ratings,
            prediction.calcified[..., None],
            prediction.size,
            prediction.malignant[..., None],
        ],
        -1,
    )
    return columns


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What is said of n nodules.

    Attributes:
        probability: calibrated, of a mean rating above 3 [n].
        interval: lower and upper bound [n, 2].
        rating: expected mean malignancy rating 1 to 5 [n].
        rating_interval: lower and upper bound [n, 2].
        ratings: expected mean of each of `ORDINAL` [n, 7].
        disagreement: standard deviation of the members' log odds [n].
    """

    probability: Floats
    interval: Floats
    rating: Floats
    rating_interval: Floats
    ratings: Floats
    disagreement: Floats


@dataclass(frozen=True, slots=True, eq=False)
class NoduleJudge:
    """The small models behind the heads.

    Attributes:
        odds: features of one member to its log odds.
        opinion: features of one member to the expected mean rating.
        slope, intercept: calibration of the members' mean log odds.
        refits: slope and intercept on resampled patients [draws, 2].
        rating_width: half width of the conformal rating interval.
    """

    odds: Linear
    opinion: Linear
    slope: float
    intercept: float
    refits: Floats
    rating_width: float

    @classmethod
    def from_package(cls, config: Mapping[str, Any], calibration: Mapping[str, Any]) -> NoduleJudge:
        """The judge of a package's `config.json` and `calibration.json`."""
        return cls(
            odds=Linear.from_json(config["odds"]),
            opinion=Linear.from_json(config["opinion"]),
            slope=float(calibration["slope"]),
            intercept=float(calibration["intercept"]),
            refits=np.asarray(calibration["refits"], np.float64).reshape(-1, 2),
            rating_width=float(calibration["rating_width"]),
        )

    def log_odds(self, columns: ArrayLike) -> Floats:
        """Uncalibrated log odds of each member [members, n] from `features`."""
        return self.odds(columns)

    def judge(self, prediction: NodulePrediction) -> Judgement:
        """Judge every nodule of a prediction."""
        columns = features(prediction)
        each = self.log_odds(columns)
        mean = each.mean(0)
        probability = sigmoid(self.slope * mean + self.intercept)
        drawn = sigmoid(self.refits[:, :1, None] * each[None] + self.refits[:, 1:, None]).reshape(-1, each.shape[1])
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        interval = np.stack([np.minimum(low, probability), np.maximum(high, probability)], 1)
        rating = np.clip(self.opinion(columns).mean(0), 1, 5)
        bounds = np.stack([rating - self.rating_width, rating + self.rating_width], 1)
        return Judgement(
            probability=probability,
            interval=interval,
            rating=rating,
            rating_interval=np.clip(bounds, 1, 5),
            ratings=prediction.ratings.mean(0),
            disagreement=each.std(0),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """How far a nodule lies from those that each member was trained on.

    Attributes:
        known: float32 [members, m, h], unit vectors; rows of zeros where a member has fewer.
        limit: largest mean distance that counts as familiar.
        k: neighbours looked at.
    """

    known: NDArray[np.float32]
    limit: float
    k: int = 5

    def distance(self, hidden: NDArray[np.float32]) -> Floats:
        """Mean cosine distance to the k nearest training nodules, averaged over members [n]; hidden [members, n, h]."""
        return np.asarray(np.mean([self.of_member(m, hidden[m]) for m in range(len(self.known))], axis=0), np.float64)

    def of_member(self, member: int, hidden: NDArray[np.float32]) -> Floats:
        """The same for one member [n]; hidden [n, h]."""
        nearest = np.sort(1 - unit(hidden) @ self.known[member].T, axis=1)[:, : self.k]
        return np.asarray(nearest.mean(1), np.float64)


def unit(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rows divided by their length (rows of zeros stay)."""
    values = np.asarray(vectors, np.float32)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(length > 0, length, 1), np.float32)

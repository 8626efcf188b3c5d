"""A logistic or linear model with standardised columns, as model packages carry it (fitted in `learning`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def sigmoid(logit: ArrayLike) -> Floats:
    """1 / (1 + exp(-x)) without overflow."""
    x = np.asarray(logit, np.float64)
    small = np.exp(-np.abs(x))
    result: Floats = np.where(x >= 0, 1 / (1 + small), small / (1 + small))
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A weighted sum of standardised columns: the log odds of a logistic regression, or a value itself.

    Attributes:
        centre, scale: of each column [columns].
        weights: of the standardised columns [columns].
        bias: intercept.
    """

    centre: Floats
    scale: Floats
    weights: Floats
    bias: float

    def __call__(self, columns: ArrayLike) -> Floats:
        """The sum [...] for rows [..., columns]."""
        x = (np.asarray(columns, np.float64) - self.centre) / self.scale
        result: Floats = x @ self.weights + self.bias
        return result

    def as_json(self) -> dict[str, Any]:
        """Plain values for a model package's `config.json`."""
        return {
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "bias": self.bias,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Linear:
        """What `as_json` wrote."""
        return cls(
            np.asarray(data["centre"], np.float64),
            np.asarray(data["scale"], np.float64),
            np.asarray(data["weights"], np.float64),
            float(data["bias"]),
        )

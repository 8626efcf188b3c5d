"""From a nodule set on disk to what the classifier's recipe needs in memory."""

from __future__ import annotations

import numpy as np

from medviewer.inference.networks.nodule_cnn import LEVELS, ORDINAL
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.recipes.nodule_net import RatedNodules

ABSENT = 6.0
"""Calcification's code for "no calcium"."""


def rated_nodules(nodules: NoduleSet) -> RatedNodules:
    """All cases of a set, in its order."""
    images, fractions = [], []
    n = len(nodules)
    above = np.zeros((n, len(ORDINAL), LEVELS), np.float32)
    means = np.zeros((n, len(ORDINAL)))
    calcified = np.zeros(n, np.float32)
    for row, case in enumerate(nodules):
        images.append(np.ascontiguousarray(case.images))
        fractions.append(case.fraction)
        for column, name in enumerate(ORDINAL):
            given = _given(case.ratings[name])
            means[row, column] = given.mean()
            above[row, column] = [(given > level).mean() for level in range(1, LEVELS + 1)]
        calcified[row] = (_given(case.ratings["calcification"]) != ABSENT).mean()

    def numbers(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(line[name]) for line in nodules.rows])

    return RatedNodules(
        images=images,
        fractions=fractions,
        pixel_mm=numbers("pixel_mm"),
        spacing_mm=numbers("slice_spacing_mm"),
        patients=nodules.patients,
        ordinal=above,
        means=means,
        calcified=calcified,
        diameter_mm=numbers("diameter_mm"),
        volume_mm3=numbers("volume_mm3"),
    )


def _given(values: tuple[float, ...]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = np.array(values, np.float64)
    return numbers[np.isfinite(numbers)]

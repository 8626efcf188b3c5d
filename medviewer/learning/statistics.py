"""Honest numbers: intervals by patient, calibration, and the small fits that calibration needs.

Everything here is numpy on flat arrays; a *group* is the patient of each value. Nodules of one patient resemble each
other, so every interval resamples patients, never nodules (a nodule bootstrap is too narrow).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.inference.logistic import Floats, Linear, sigmoid

__all__ = [
    "auc",
    "auc_of_rows",
    "bootstrap_by_group",
    "brier",
    "conformal_quantile",
    "ece",
    "ece_calibrated",
    "fit_linear",
    "fit_logistic",
    "fit_temperature",
    "negative_log_likelihood",
    "one_per_group",
    "paired_difference",
    "resampled_rows",
    "sigmoid",
]

Statistic = Callable[[NDArray[Any]], float]


def resampled_rows(groups: Sequence[Hashable], n: int = 2000, seed: int = 0) -> list[NDArray[np.int64]]:
    """Rows of `n` bootstrap samples of whole groups (as many groups as there are, drawn with replacement)."""
    _, member = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)
    order = np.argsort(member, kind="stable").astype(np.int64)
    rows = np.split(order, np.cumsum(np.bincount(member))[:-1])
    rng = np.random.default_rng(seed)
    return [np.concatenate([rows[g] for g in rng.integers(len(rows), size=len(rows))]) for _ in range(n)]


def bootstrap_by_group(
    values: ArrayLike,
    groups: Sequence[Hashable],
    statistic: Statistic = lambda values: float(np.mean(values)),
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """A statistic with its percentile interval, whole groups resampled.

    Args:
        values: one row per case ([cases] or [cases, columns]).
        groups: the patient of each row.
        statistic: what to compute from rows; a result that is not finite (one class only, say) is left out.
        n: number of bootstrap samples.
        seed: of the resampling; equal seeds and groups give equal samples, hence paired comparisons.
        level: share of the samples inside the interval.

    Returns:
        value on all rows, lower and upper bound; NaN bounds where no sample had a finite statistic.

    Raises:
        ValueError: no rows, or values and groups of different length.
    """
    rows = np.asarray(values)
    if len(rows) == 0 or len(rows) != len(groups):
        raise ValueError(f"{len(rows)} values and {len(groups)} groups")
    value = float(statistic(rows))
    drawn = np.array([statistic(rows[chosen]) for chosen in resampled_rows(groups, n, seed)], np.float64)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return value, float("nan"), float("nan")
    low, high = np.percentile(drawn, [50 - 50 * level, 50 + 50 * level])
    return value, float(low), float(high)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    groups: Sequence[Hashable],
    statistic: Statistic,
    truth: ArrayLike | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """`statistic(first) - statistic(second)` with its interval, both on the same resampled patients.

    Args:
        first, second: one value per case of each of the two that are compared.
        groups: the patient of each case.
        statistic: of rows [cases] or, with `truth`, of rows [cases, 2] = (truth, value).
        truth: the true label per case, where the statistic needs it.
        n, seed, level: as in `bootstrap_by_group`.
    """
    columns = [np.asarray(first, np.float64), np.asarray(second, np.float64)]
    if truth is not None:
        columns.insert(0, np.asarray(truth, np.float64))

    def difference(rows: NDArray[Any]) -> float:
        if truth is None:
            return float(statistic(rows[:, 0]) - statistic(rows[:, 1]))
        return float(statistic(rows[:, [0, 1]]) - statistic(rows[:, [0, 2]]))

    return bootstrap_by_group(np.stack(columns, 1), groups, difference, n, seed, level)


def auc(truth: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half); NaN where one class is absent."""
    positive = np.asarray(truth) > 0.5
    values = np.asarray(score, np.float64)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, member, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[member]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def auc_of_rows(rows: NDArray[Any]) -> float:
    """`auc` of rows (truth, score): the form that the bootstrap wants."""
    return auc(rows[:, 0], rows[:, 1])


def ece(truth: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error over bins of equal mass (cases sorted by probability, split as evenly as can be)."""
    outcome = np.asarray(truth, np.float64)
    p = np.asarray(probability, np.float64)
    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return float(sum(abs(p[part].mean() - outcome[part].mean()) * len(part) for part in parts) / len(order))


def ece_calibrated(
    probability: ArrayLike, bins: int = 10, share: float = 0.9, n: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """What the ECE of a *perfectly* calibrated model looks like at this number of cases.

    Outcomes are drawn from the probabilities themselves `n` times and the ECE is taken each time.

    Returns:
        the `share` percentile (0.9: a calibrated model stays below it nine times out of ten), the median, and the
        97.5th percentile of these ECEs.
    """
    p = np.asarray(probability, np.float64)
    rng = np.random.default_rng(seed)
    drawn = [ece(rng.random(len(p)) < p, p, bins) for _ in range(n)]
    value, middle, high = np.quantile(drawn, [share, 0.5, 0.975])
    return float(value), float(middle), float(high)


def brier(truth: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared distance of probability and outcome."""
    return float(np.mean((np.asarray(probability, np.float64) - np.asarray(truth, np.float64)) ** 2))


def negative_log_likelihood(logit: ArrayLike, truth: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Mean cross-entropy of logits against outcomes 0 to 1."""
    z, y = np.asarray(logit, np.float64), np.asarray(truth, np.float64)
    each = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    return float(np.average(each, weights=None if weight is None else np.asarray(weight, np.float64)))


def fit_temperature(logit: ArrayLike, truth: ArrayLike, weight: ArrayLike | None = None) -> float:
    """The temperature T that makes sigmoid(logit / T) most likely (Guo et al. 2017), by golden section in log T."""
    z = np.asarray(logit, np.float64)

    def cost(log_t: float) -> float:
        return negative_log_likelihood(z / np.exp(log_t), truth, weight)

    low, high, golden = -4.0, 4.0, (5**0.5 - 1) / 2
    a, b = high - golden * (high - low), low + golden * (high - low)
    cost_a, cost_b = cost(a), cost(b)
    for _ in range(80):
        if cost_a < cost_b:
            high, b, cost_b = b, a, cost_a
            a = high - golden * (high - low)
            cost_a = cost(a)
        else:
            low, a, cost_a = a, b, cost_b
            b = low + golden * (high - low)
            cost_b = cost(b)
    return float(np.exp((low + high) / 2))


def fit_logistic(columns: ArrayLike, truth: ArrayLike, ridge: float = 1e-3, weight: ArrayLike | None = None) -> Linear:
    """Logistic regression by Newton's method, ridge penalty per case on the standardised weights (not the bias).

    Args:
        columns: [cases, columns]; standardised here.
        truth: outcomes, 0 to 1 (soft outcomes are allowed).
        ridge: penalty `ridge * |w|^2 / 2` beside the mean cross-entropy.
        weight: weight of each case.
    """
    x = np.asarray(columns, np.float64)
    y = np.asarray(truth, np.float64)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    w = w / w.sum()
    centre = w @ x
    scale = np.sqrt(w @ (x - centre) ** 2)
    scale = np.where(scale > 1e-12, scale, 1.0)
    full = np.c_[(x - centre) / scale, np.ones(len(x))]
    penalty = np.r_[np.full(x.shape[1], ridge), 1e-9]
    beta = np.zeros(full.shape[1])

    def cost(candidate: Floats) -> float:
        z = full @ candidate
        each = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
        return float(w @ each + 0.5 * penalty @ candidate**2)

    for _ in range(100):
        p = sigmoid(full @ beta)
        slope = full.T @ (w * (p - y)) + penalty * beta
        curve = full.T @ (full * (w * np.maximum(p * (1 - p), 1e-10))[:, None]) + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while cost(beta - size * step) > cost(beta) + 1e-12 and size > 1e-6:
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return Linear(centre, scale, beta[:-1], float(beta[-1]))


def fit_linear(columns: ArrayLike, target: ArrayLike, ridge: float = 1e-3) -> Linear:
    """Least squares with a ridge penalty per case on the standardised weights (not the bias).

    Args:
        columns: [cases, columns]; standardised here.
        target: [cases].
        ridge: penalty `ridge * |w|^2` beside the mean squared error.
    """
    x, y = np.asarray(columns, np.float64), np.asarray(target, np.float64)
    centre, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    z = (x - centre) / scale
    weights = np.linalg.solve(z.T @ z / len(z) + ridge * np.eye(z.shape[1]), z.T @ (y - y.mean()) / len(z))
    return Linear(centre, scale, weights, float(y.mean()))


def conformal_quantile(scores: ArrayLike, level: float = 0.9) -> float:
    """The ceil((n + 1) * level)-th smallest score of the calibration cases (split conformal; Vovk, Papadopoulos).

    Returns:
        infinity where there are too few cases for the level.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    rank = int(np.ceil((len(ordered) + 1) * level - 1e-9))
    return float(ordered[rank - 1]) if rank <= len(ordered) else float("inf")


def one_per_group(groups: Sequence[Hashable], seed: int = 0) -> NDArray[np.int64]:
    """One random row of each group: conformal's exchangeable units are patients, not nodules."""
    rng = np.random.default_rng(seed)
    names = np.asarray([str(group) for group in groups])
    return np.array([rng.choice(np.flatnonzero(names == name)) for name in np.unique(names)], np.int64)

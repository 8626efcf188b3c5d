"""How `nodule-classify` models are measured: against the readers' mean malignancy rating, an opinion and not pathology.

Positive: mean above 3. Nodules with a mean of exactly 3 are left out, except for `mae-rating` and `coverage`. The model
sees the crop and the click at its middle; the diameter of a case is used by the baseline `auc-size-only` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.inference.classify_nodule import load_classifier
from medviewer.inference.logistic import Linear
from medviewer.jobs import JobContext
from medviewer.learning import statistics
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.evaluate import Evaluation
from medviewer.learning.metrics import Metric, size_stratum

if TYPE_CHECKING:
    from medviewer.inference.package import ModelPackage

_BATCH = 32
_DRAWS = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RatedCases:
    """What the model said of each case, beside what the readers said.

    Attributes:
        names, patients: of the cases.
        mean_rating: mean malignancy of the readers [n].
        probability: calibrated [n].
        rating, rating_interval: expected mean and its interval [n], [n, 2].
        diameter_mm: of the readers' consensus, for baseline and strata [n].
        size_only: log odds of the baseline [n].
        unfamiliar: True where the model would abstain [n].
    """

    names: list[str]
    patients: list[str]
    mean_rating: Floats
    probability: Floats
    rating: Floats
    rating_interval: Floats
    diameter_mm: Floats
    size_only: Floats
    unfamiliar: NDArray[np.bool_]


def evaluate(package: ModelPackage, data_folder: Path, split: str, context: JobContext) -> Evaluation:
    """The figures of one split, by the names of the command line's page."""
    cases = judged(package, NoduleSet(data_folder, split), context)
    return Evaluation(
        n_patients=len(set(cases.patients)),
        n_cases=len(cases.names),
        metrics=metrics_of(cases),
        cases=tuple(
            {
                "case": cases.names[n],
                "patient": cases.patients[n],
                "mean-rating": float(cases.mean_rating[n]),
                "probability": float(cases.probability[n]),
                "rating": float(cases.rating[n]),
            }
            for n in range(len(cases.names))
        ),
    )


def judged(package: ModelPackage, nodules: NoduleSet, context: JobContext) -> RatedCases:
    """Ask the model about every rated nodule of a set, from its crop alone.

    Raises:
        BadInput: nobody rated any nodule of the set.
    """
    classifier = load_classifier(package)
    baseline = Linear.from_json(package.config["size_only"])
    rated = [n for n in range(len(nodules)) if np.isfinite(nodules[n].mean_rating("malignancy"))]
    if not rated:
        raise BadInput("no nodule of this set has a malignancy rating", path=nodules.folder)
    parts = []
    for start in range(0, len(rated), _BATCH):
        context.report(start, len(rated), f"{package.card.task} on {nodules.split}")
        batch = [nodules[n] for n in rated[start : start + _BATCH]]
        prediction, told = classifier.classify(
            [case.images for case in batch],
            [case.pixel_mm for case in batch],
            [case.slice_spacing_mm for case in batch],
        )
        far = classifier.familiarity.distance(prediction.hidden) > classifier.familiarity.limit
        parts.append((batch, told, far))
    batches = [case for batch, _, _ in parts for case in batch]
    diameter = np.array([case.diameter_mm for case in batches], np.float64)
    return RatedCases(
        names=[case.nodule for case in batches],
        patients=[case.patient for case in batches],
        mean_rating=np.array([case.mean_rating("malignancy") for case in batches], np.float64),
        probability=np.concatenate([told.probability for _, told, _ in parts]),
        rating=np.concatenate([told.rating for _, told, _ in parts]),
        rating_interval=np.concatenate([told.rating_interval for _, told, _ in parts]),
        diameter_mm=diameter,
        size_only=baseline(np.log(np.where(diameter > 0, diameter, np.nan))[:, None]),
        unfamiliar=np.concatenate([far for _, _, far in parts]),
    )


def metrics_of(cases: RatedCases) -> dict[str, Metric]:
    """Figures with intervals by patient; strata of `auc` by diameter."""
    sure = cases.mean_rating != 3.0
    truth = (cases.mean_rating > 3.0).astype(np.float64)
    patients = np.array(cases.patients)

    def of(chosen: NDArray[np.bool_], values: NDArray[np.float64], statistic: Callable[[Floats], float]) -> Metric:
        count = int(chosen.sum())
        if count == 0:
            return Metric(float("nan"), float("nan"), float("nan"), 0)
        found = statistics.bootstrap_by_group(values[chosen], patients[chosen].tolist(), statistic, _DRAWS)
        return Metric(*found, count)

    rows = np.stack([truth, cases.probability], 1)
    table = {"auc": of(sure, rows, statistics.auc_of_rows)}
    strata = [size_stratum(float(d)) for d in cases.diameter_mm]
    for stratum in ("<6mm", "6-10mm", ">10mm"):
        inside = sure & np.array([s == stratum for s in strata])
        if inside.any():
            table[f"auc/{stratum}"] = of(inside, rows, statistics.auc_of_rows)
    sized = sure & np.isfinite(cases.size_only)
    table["auc-size-only"] = of(sized, np.stack([truth, cases.size_only], 1), statistics.auc_of_rows)
    if sized.any():
        gain = statistics.paired_difference(
            cases.probability[sized],
            cases.size_only[sized],
            patients[sized].tolist(),
            statistics.auc_of_rows,
            truth[sized],
            _DRAWS,
        )
        table["auc-gain"] = Metric(*gain, int(sized.sum()))
    table["ece"] = of(sure, rows, lambda r: statistics.ece(r[:, 0], r[:, 1]))
    if sure.any():
        limit, middle, high = statistics.ece_calibrated(cases.probability[sure])
        table["ece-calibrated"] = Metric(limit, middle, high, int(sure.sum()))
    table["brier"] = of(sure, rows, lambda r: statistics.brier(r[:, 0], r[:, 1]))
    said = (cases.probability >= 0.5).astype(np.float64)
    both = np.stack([truth, said], 1)
    table["accuracy"] = of(sure, both, lambda r: float(np.mean(r[:, 0] == r[:, 1])))
    table["recall"] = of(sure, both, lambda r: _share(r[:, 1], r[:, 0] == 1))
    table["specificity"] = of(sure, both, lambda r: _share(1 - r[:, 1], r[:, 0] == 0))
    table["f1"] = of(sure, both, _f1)
    everyone = np.ones(len(truth), bool)
    table["mae-rating"] = of(everyone, np.abs(cases.rating - cases.mean_rating), _mean)
    inside = (cases.rating_interval[:, 0] <= cases.mean_rating) & (cases.mean_rating <= cases.rating_interval[:, 1])
    table["coverage"] = of(everyone, inside.astype(np.float64), _mean)
    table["abstained"] = of(everyone, cases.unfamiliar.astype(np.float64), _mean)
    return table


def _mean(values: Floats) -> float:
    return float(values.mean())


def _share(values: Floats, chosen: NDArray[np.bool_]) -> float:
    return float(values[chosen].mean()) if chosen.any() else float("nan")


def _f1(rows: Floats) -> float:
    hit = float(np.sum(rows[:, 0] * rows[:, 1]))
    total = float(rows.sum())
    return 2 * hit / total if total else float("nan")

"""How `volume-segment` models are measured: overlap and boundary distance of every label, case by case.

The data is a folder laid out like `data/hippocampus` (`SPLIT.zip`). It names no patients: intervals are by case, and
`n_patients` is the number of cases. What the model would keep back (abstain) is measured all the same, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Refused
from medviewer.inference.segment_volume import label_map
from medviewer.jobs import JobContext
from medviewer.learning.datasets.hippocampus import HippocampusCase, read_cases
from medviewer.learning.datasets.volume_samples import CorrectedVolume
from medviewer.learning.evaluate import Evaluation
from medviewer.learning.metrics import dice, hd95_mm, summarised

if TYPE_CHECKING:
    from medviewer.inference.package import ModelPackage


def evaluate(package: ModelPackage, data_folder: Path, split: str, context: JobContext) -> Evaluation:
    """The figures of one split: `dice` (mean of the labels'), `dice-LABEL`, `hd95`, `hd95-LABEL`, `abstained`.

    Raises:
        BadInput: the data cannot be read.
        Refused: the data has other labels than the model.
    """
    cases = read_cases(data_folder, split)
    rows = list(score_cases(package, cases, context))
    names = [row["case"] for row in rows]
    figures = {name: [row[name] for row in rows] for name in rows[0] if name != "case"}
    return Evaluation(len(rows), len(rows), summarised(figures, names), tuple(rows))


def score_cases(
    package: ModelPackage, cases: Iterable[HippocampusCase | CorrectedVolume], context: JobContext
) -> Iterable[dict[str, Any]]:
    """One row of figures a case; NaN where a figure is not defined (a label that nobody drew)."""
    total = len(cases) if isinstance(cases, list) else None
    for number, case in enumerate(cases):
        context.report(number, total, f"{package.card.task} on {case.name}")
        if int(case.label.max()) > len(package.card.labels):
            raise Refused(f"{case.name} has more labels than the model ({', '.join(package.card.labels)})")
        labels, reason = label_map(package, case.image, context)
        yield {"case": case.name, **compare(labels, case, package.card.labels), "abstained": float(reason is not None)}


def compare(
    labels: NDArray[np.uint8], case: HippocampusCase | CorrectedVolume, names: tuple[str, ...]
) -> dict[str, float]:
    """Dice and HD95 of each label of one case, and their means."""
    overlap, distance = {}, {}
    for value, name in enumerate(names, start=1):
        mask, truth = labels == value, case.label == value
        overlap[f"dice-{name}"] = dice(mask, truth)
        distance[f"hd95-{name}"] = hd95_mm(mask, truth, case.spacing_kji)
    return {
        "dice": float(np.mean(list(overlap.values()))),
        **overlap,
        "hd95": float(np.mean(list(distance.values()))),
        **distance,
    }

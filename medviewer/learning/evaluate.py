"""`medviewer models evaluate`: one model on one split of a folder laid out like its training data.

What is measured depends on the card's kind; each kind's evaluator is a module of `medviewer.learning.evaluations`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medviewer.errors import Refused
from medviewer.jobs import JobContext
from medviewer.learning.metrics import Metric

if TYPE_CHECKING:
    from medviewer.inference.package import ModelPackage

#: Card kind -> module with `evaluate(package, data_folder, split, context) -> Evaluation`.
EVALUATORS = {
    "nodule-segment": "medviewer.learning.evaluations.nodule_segment",
    "nodule-classify": "medviewer.learning.evaluations.nodule_classify",
    "nodule-similar": "medviewer.learning.evaluations.nodule_similar",
    "volume-segment": "medviewer.learning.evaluations.volume_segment",
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out.

    Attributes:
        n_patients, n_cases: behind the figures.
        metrics: by the names of the command line's page.
        cases: one row of plain values a case, for reports.
    """

    n_patients: int
    n_cases: int
    metrics: Mapping[str, Metric]
    cases: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def evaluate(
    task: str, data_folder: Path, split: str, package: ModelPackage, context: JobContext | None = None
) -> dict[str, Any]:
    """Measure a model: `{"task", "model", "split", "n_patients", "n_cases", "metrics": {name: {value, low, high, n}}}`.

    Args:
        task: as named on the command line; must be the package's.
        data_folder: a folder laid out like the training data of the task.
        split: "val", "test", ...; the files are `SPLIT.*`.
        package: the model.

    Raises:
        Refused: the package is for another task, or no evaluator knows its kind.
        BadInput: the data cannot be read.
    """
    if package.card.task != task:
        raise Refused(f"this model is for {package.card.task}, not for {task}", path=package.folder)
    result = evaluator(package.card.kind).evaluate(package, Path(data_folder), split, context or JobContext())
    return {
        "task": task,
        "model": package.short_id,
        "split": split,
        "n_patients": result.n_patients,
        "n_cases": result.n_cases,
        "metrics": {name: metric.as_json() for name, metric in result.metrics.items()},
    }


def evaluator(kind: str) -> Any:
    """The module that measures a card's kind.

    Raises:
        Refused: none does.
    """
    if kind not in EVALUATORS:
        raise Refused(f"this program cannot measure models of the kind {kind!r}", remedy="update medviewer")
    return importlib.import_module(EVALUATORS[kind])

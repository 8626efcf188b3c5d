"""How `nodule-similar` models are measured: do the nearest cases carry the label that readers gave the query?

Archive: the index that ships (the train split), cases with a label only. Queries: cases of the split with a label. No
case of the query's own patient is ever a hit. `ratings-distance-ratio` compares how far the five hits lie from the
query in the readers' seven ordinal ratings with how far the whole archive lies: 1 is chance, less is better.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.inference.index import EmbeddingIndex
from medviewer.inference.networks.nodule_cnn import ORDINAL
from medviewer.inference.nodule_patch import blocks
from medviewer.inference.similar_nodule import load_finder, public_patient_hash
from medviewer.jobs import JobContext
from medviewer.learning.datasets.lidc_nodules import NoduleCase, NoduleSet
from medviewer.learning.evaluate import Evaluation
from medviewer.learning.metrics import Metric, summarised

if TYPE_CHECKING:
    from medviewer.inference.package import ModelPackage

_BATCH = 32
HITS = 5


def evaluate(package: ModelPackage, data_folder: Path, split: str, context: JobContext) -> Evaluation:
    """The figures of one split: `p@5`, by label too, and `ratings-distance-ratio`.

    Raises:
        BadInput: no nodule of the split has a label.
    """
    finder = load_finder(package)
    nodules = NoduleSet(data_folder, split)
    queries = [n for n in range(len(nodules)) if nodules[n].label is not None]
    if not queries:
        raise BadInput("no nodule of this set has a label", path=nodules.folder)
    labelled = finder.index.without([case.case for case in finder.index.cases if case.label not in LABELS.values()])
    rows = []
    for start in range(0, len(queries), _BATCH):
        context.report(start, len(queries), f"{package.card.task} on {split}")
        batch = [nodules[n] for n in queries[start : start + _BATCH]]
        seen = blocks(
            [case.images for case in batch],
            [case.pixel_mm for case in batch],
            [case.slice_spacing_mm for case in batch],
        )
        vectors = finder.embedding(finder.ensemble.predict(seen))
        rows += [score(case, vector, labelled) for case, vector in zip(batch, vectors, strict=True)]
    cases = [nodules[n] for n in queries]
    return Evaluation(
        n_patients=len({case.patient for case in cases}),
        n_cases=len(cases),
        metrics=metrics_of(cases, np.array(rows)),
        cases=tuple(
            {"case": case.nodule, "patient": case.patient, "p@5": row[0], "ratings-distance-ratio": row[1]}
            for case, row in zip(cases, rows, strict=True)
        ),
    )


LABELS = {0: "benign", 1: "malignant"}
"""The index's words for a label."""


def score(case: NoduleCase, vector: NDArray[np.float32], archive: EmbeddingIndex) -> tuple[float, float]:
    """Share of the five nearest with the query's label, and the ratio of rating distances."""
    own = {public_patient_hash(case.patient)}
    hits = archive.nearest(vector, HITS, exclude_patients=own)
    wanted = LABELS[int(case.label or 0)]
    precision = float(np.mean([hit.case.label == wanted for hit in hits])) if hits else float("nan")
    said = np.array([case.mean_rating(name) for name in ORDINAL])
    table = np.array([[c.ratings.get(name, np.nan) for name in ORDINAL] for c in archive.cases if c.patient not in own])
    found = np.array([[hit.case.ratings.get(name, np.nan) for name in ORDINAL] for hit in hits])
    everyone = float(np.mean(np.linalg.norm(table - said, axis=1)))
    return precision, float(np.mean(np.linalg.norm(found - said, axis=1))) / everyone


def metrics_of(cases: list[NoduleCase], rows: NDArray[np.float64]) -> dict[str, Metric]:
    """Means with intervals by patient; `p@5/benign` and `p@5/malignant` beside `p@5`."""
    patients = [case.patient for case in cases]
    table = summarised({"p@5": rows[:, 0], "ratings-distance-ratio": rows[:, 1]}, patients)
    for label, name in LABELS.items():
        own = np.array([case.label == label for case in cases])
        table.update(summarised({f"p@5/{name}": np.where(own, rows[:, 0], np.nan)}, patients))
    return table

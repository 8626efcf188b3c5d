"""The recipe of lung-nodule-similar: an embedding behind the classifier's members, and the index of the train split.

    python -m medviewer.learning.recipes.lung_nodule_similar --data DIR --work WORK

A case of the archive lies (mostly) where its readers' ratings and outlines put it, a query lies where the members
expect readers to put it: so the hits are cases that readers rated as they would probably rate the query.

WORK is that of `lung_nodule_malignancy` after its `fit`. What the parts of the embedding are worth is chosen by cross
validation over patients inside the train split: the queries are the nodules that a member never saw, the archive is
what it was trained on.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.index import EmbeddingIndex, IndexedCase
from medviewer.inference.logistic import Floats, Linear
from medviewer.inference.networks.nodule_cnn import ORDINAL
from medviewer.inference.nodule_embedding import DIMENSIONS, NoduleEmbedding
from medviewer.inference.nodule_judge import FEATURES, unit
from medviewer.inference.similar_nodule import case_hash, public_patient_hash
from medviewer.learning import statistics
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.recipes.nodule_net import RatedNodules
from medviewer.learning.recipes.rated_nodules import rated_nodules

TASK = "lung-nodule-similar"
HITS = 5
FAMILIAR_LEVEL = 0.975
SOURCE = "LIDC-IDRI, train split"
CLOSE_ENOUGH = 0.005
"""Precision within this of the best counts as equal; among equals the nearest in ratings wins."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What each part of the embedding is worth: standard deviations of its coordinates.

    Attributes:
        odds: the stack's log odds of "malignant".
        ratings: each expected rating, calcium included.
        size: log diameter and log volume.
        hidden: all directions of the hidden vectors together.
        opinion: how far an archive case lies where its readers put it (1) rather than where the members do (0).
    """

    odds: float
    ratings: float
    size: float
    hidden: float
    opinion: float


GRID = tuple(
    Worth(1.0, ratings, size, hidden, opinion)
    for ratings, size, hidden, opinion in itertools.product(
        (0.15, 0.3, 0.5), (0.15, 0.3, 0.6), (0.0, 0.15, 0.3), (0.0, 0.25, 0.5, 0.75, 1.0)
    )
)


def archive_columns(nodules: RatedNodules, columns: Floats, opinion: float) -> Floats:
    """Where archive cases lie: between what the members say (`columns`) and what their readers said.

    The readers' ratings, the share that saw calcium, and the size of their consensus take the place of the matching
    columns, moved and stretched to the mean and spread of what the members say of the same nodules.
    """
    malignancy = nodules.means[:, ORDINAL.index("malignancy")]
    said = {name: nodules.means[:, n] for n, name in enumerate(ORDINAL)} | {
        "calcified": nodules.calcified,
        "log diameter": np.log(nodules.diameter_mm),
        "log volume": np.log(nodules.volume_mm3),
        "malignant logit": malignancy,
    }
    readers = np.stack([said[name] for name in FEATURES], 1)
    matched = (readers - readers.mean(0)) / readers.std(0) * columns.std(0) + columns.mean(0)
    result: Floats = (1 - opinion) * columns + opinion * matched
    return result


def fit_embedding(columns: Floats, hidden: NDArray[np.float32], odds: Linear, worth: Worth) -> NoduleEmbedding:
    """The linear map for given worths.

    Args:
        columns: `features` (of one member, or the mean of several) [n, columns].
        hidden: hidden vectors of all members one after the other [n, members * h].
        odds: the stack of the classifier.
        worth: of the parts.
    """
    count = len(FEATURES)
    middle, spread = columns.mean(0), np.maximum(columns.std(0), 1e-6)
    z = (columns - middle) / spread
    weights = np.zeros((count, count + 1), np.float32)
    for n, name in enumerate(FEATURES):
        weights[n, n] = worth.size if name.startswith("log ") else 0.0 if name == "malignant logit" else worth.ratings
    direction = odds.weights / odds.scale * spread
    weights[:, count] = direction * worth.odds / max(float((z @ direction).std()), 1e-6)
    centre = hidden.mean(0)
    _, strength, axes = np.linalg.svd(hidden - centre, full_matrices=False)
    kept = min(DIMENSIONS - count - 2, len(axes)) if worth.hidden else 0
    whole = float(np.sqrt(np.sum(strength[:kept] ** 2) / len(hidden)))
    directions = (axes[:kept].T * (worth.hidden / max(whole, 1e-6))).astype(np.float32)
    said = z @ weights
    length = float(np.sqrt(np.mean(np.sum(said**2, 1) + worth.hidden**2)))
    return NoduleEmbedding(
        centre=middle.astype(np.float32),
        scale=spread.astype(np.float32),
        weights=weights,
        hidden_centre=centre.astype(np.float32),
        directions=directions,
        constant=length,
    )


def embed(embedding: NoduleEmbedding, columns: Floats, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors from columns and hidden vectors in hand (`NoduleEmbedding.__call__` without the networks)."""
    said = (columns - embedding.centre) / embedding.scale @ embedding.weights
    inner = (hidden - embedding.hidden_centre) @ embedding.directions
    return unit(np.concatenate([said, inner, np.full((len(said), 1), embedding.constant)], 1))


def nearest_rows(
    queries: NDArray[np.float32],
    archive: NDArray[np.float32],
    query_patients: NDArray[np.str_],
    archive_patients: NDArray[np.str_],
    k: int = HITS,
) -> NDArray[np.int64]:
    """Rows of the k nearest of the archive for each query [queries, k], its own patient left out."""
    distance = 1 - queries @ archive.T
    distance[query_patients[:, None] == archive_patients[None]] = np.inf
    return np.argsort(distance, axis=1, kind="stable")[:, :k]


def cross_validated(
    nodules: RatedNodules, seen: dict[str, NDArray[Any]], odds: Linear, worth: Worth
) -> tuple[dict[str, float], NDArray[np.float64]]:
    """Precision and ratio of rating distances of one choice of worths, over all folds of the train split.

    Returns:
        the two means, and the distance of the nearest case for each query.
    """
    fold, patients = seen["fold"], np.array(nodules.patients)
    sure = nodules.malignant != 0.5
    precision, ratio, nearest = (np.zeros(len(fold)) for _ in range(3))
    for member in range(len(seen["everything"])):
        columns, hidden = seen["everything"][member], seen["everything_hidden"][member]
        archive, query = np.flatnonzero((fold != member) & sure), np.flatnonzero((fold == member) & sure)
        embedding = fit_embedding(columns[archive], hidden[archive], odds, worth)
        asked = embed(embedding, columns[query], hidden[query])
        kept = embed(embedding, archive_columns(nodules, columns, worth.opinion)[archive], hidden[archive])
        rows = nearest_rows(asked, kept, patients[query], patients[archive])
        nearest[query] = 1 - np.sum(asked * kept[rows[:, 0]], axis=1)
        hits = archive[rows]
        precision[query] = (nodules.malignant[hits] == nodules.malignant[query][:, None]).mean(1)
        near = np.linalg.norm(nodules.means[hits] - nodules.means[query][:, None], axis=2).mean(1)
        far = np.linalg.norm(nodules.means[archive][None] - nodules.means[query][:, None], axis=2).mean(1)
        ratio[query] = near / far
    means = {"p@5": float(precision[sure].mean()), "ratings-distance-ratio": float(ratio[sure].mean())}
    return means, nearest[sure]


def choose(nodules: RatedNodules, seen: dict[str, NDArray[Any]], odds: Linear) -> tuple[Worth, list[dict[str, Any]]]:
    """The worths with the best precision, ties by rating distance, and the whole table."""
    table = [{**asdict(worth), **cross_validated(nodules, seen, odds, worth)[0]} for worth in GRID]
    best = max(row["p@5"] for row in table)
    row = min((r for r in table if r["p@5"] >= best - CLOSE_ENOUGH), key=lambda r: r["ratings-distance-ratio"])
    return Worth(**{part: row[part] for part in Worth.__slots__}), table


def size_alone(nodules: RatedNodules) -> float:
    """Precision at five of "nearest in diameter" over the train split, own patient left out: what must be beaten."""
    sure = np.flatnonzero(nodules.malignant != 0.5)
    patients, size = np.array(nodules.patients)[sure], np.log(nodules.diameter_mm[sure])
    distance = np.abs(size[:, None] - size[None])
    distance[patients[:, None] == patients[None]] = np.inf
    hits = sure[np.argsort(distance, axis=1, kind="stable")[:, :HITS]]
    return float((nodules.malignant[hits] == nodules.malignant[sure][:, None]).mean())


def fit(nodules: RatedNodules, work: Path) -> dict[str, Any]:
    """Choose and fit the embedding; keep it in `work/embedding.npz` and the table in `work/similar.json`."""
    with np.load(work / "out-of-fold.npz", allow_pickle=False) as packed:
        seen = {name: packed[name] for name in packed.files}
    odds = Linear.from_json(json.loads((work / "fit.json").read_text(encoding="utf-8"))["odds"])
    worth, table = choose(nodules, seen, odds)
    columns = seen["everything"].mean(0)
    hidden = np.moveaxis(seen["everything_hidden"], 0, 1).reshape(len(columns), -1)
    embedding = fit_embedding(columns, hidden, odds, worth)
    vectors = embed(embedding, archive_columns(nodules, columns, worth.opinion), hidden)
    chosen, nearest = cross_validated(nodules, seen, odds, worth)
    report = {
        "worth": asdict(worth),
        "chosen": chosen,
        "size-alone p@5 on train": size_alone(nodules),
        "n": int((nodules.malignant != 0.5).sum()),
        "familiar_within": statistics.conformal_quantile(nearest, FAMILIAR_LEVEL),
        "nearest_percentiles": np.percentile(nearest, [5, 25, 50, 75, 95]).tolist(),
        "table": table,
    }
    np.savez_compressed(work / "embedding.npz", **embedding.as_arrays())  # type: ignore[arg-type]
    np.savez_compressed(work / "vectors.npz", vectors=vectors)
    (work / "similar.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return report


def index_of(nodules: NoduleSet, rated: RatedNodules, vectors: NDArray[np.float32], space: str) -> EmbeddingIndex:
    """The index that ships: vectors, mean ratings and sizes; cases and patients by hash, no pictures."""
    words = {0.0: "benign", 0.5: "uncertain", 1.0: "malignant"}
    cases = tuple(
        IndexedCase(
            case=case_hash(row["nodule"]),
            patient=public_patient_hash(row["patient"]),
            label=words[float(rated.malignant[n])],
            diameter_mm=float(rated.diameter_mm[n]),
            ratings={name: float(rated.means[n, c]) for c, name in enumerate(ORDINAL)},
            source=SOURCE,
        )
        for n, row in enumerate(nodules.rows)
    )
    return EmbeddingIndex(space, vectors, cases)


def main() -> None:
    """Choose and fit the embedding."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    report = fit(rated_nodules(NoduleSet(args.data, "train")), args.work)
    print(json.dumps({name: value for name, value in report.items() if name != "table"}, indent=1))


if __name__ == "__main__":
    main()

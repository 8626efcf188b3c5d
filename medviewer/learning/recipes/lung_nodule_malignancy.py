"""The recipe of lung-nodule-malignancy: five members, out-of-fold calibration, and the package.

    python -m medviewer.learning.recipes.lung_nodule_malignancy train --data DIR --work WORK
    python -m medviewer.learning.recipes.lung_nodule_malignancy fit --data DIR --work WORK

`train` trains member k on the patients outside fold k (resumable). `fit` predicts every train nodule by the one member
that never saw its patient and fits calibration, intervals and familiarity on these predictions. No step reads
any other split.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medviewer.inference.logistic import Floats, Linear, sigmoid
from medviewer.inference.networks.nodule_cnn import ORDINAL, NoduleNet, NoduleNetConfig
from medviewer.inference.nodule_ensemble import NoduleEnsemble
from medviewer.inference.nodule_judge import FEATURES, Familiarity, NoduleJudge, features, unit
from medviewer.inference.nodule_patch import blocks
from medviewer.learning import statistics
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.recipes.nodule_net import FOLDS, RatedNodules, Schedule, fold_of, train_member
from medviewer.learning.recipes.rated_nodules import rated_nodules

TASK = "lung-nodule-malignancy"
EPOCHS = 24
HEADS = ("malignancy", "malignant logit")
"""Columns that the shipped log odds are made of."""
RIDGES = (1e-2, 1e-1, 1.0)
REFITS = 200
RATING_LEVEL = 0.9
FAMILIAR_LEVEL = 0.975


@dataclass(slots=True, eq=False)
class OutOfFold:
    """Every train nodule as seen by the one member that never saw its patient.

    Attributes:
        columns: `features` [n, columns].
        hidden: hidden vectors [n, h].
        fold: which member that is [n].
        everything: what each member says of every nodule (seen in training or not): columns [members, n, columns].
        everything_hidden: the same for hidden vectors [members, n, h].
    """

    columns: Floats
    hidden: NDArray[np.float32]
    fold: NDArray[np.int64]
    everything: Floats
    everything_hidden: NDArray[np.float32]


def folds_of(nodules: RatedNodules) -> NDArray[np.int64]:
    """Fold of each nodule's patient."""
    return np.array([fold_of(patient) for patient in nodules.patients], np.int64)


def train(nodules: RatedNodules, work: Path, epochs: int = EPOCHS) -> None:
    """Train all members, each in `work/member-K`; finished ones are left alone."""
    fold = folds_of(nodules)
    for member in range(FOLDS):
        folder = work / f"member-{member}"

        def log(line: str, path: Path = folder / "log.txt") -> None:
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

        train_member(nodules, np.flatnonzero(fold != member), member, folder, Schedule(epochs=epochs), log=log)


def members_of(work: Path) -> list[NoduleNet]:
    """The trained members: the averaged weights of each `work/member-K/state.pt`."""
    members = []
    for path in sorted(work.glob("member-*/state.pt")):
        net = NoduleNet(NoduleNetConfig())
        net.load_state_dict(torch.load(path, weights_only=True)["mean"])
        members.append(net.eval())
    return members


def out_of_fold(nodules: RatedNodules, members: list[NoduleNet]) -> OutOfFold:
    """Ask every member about every nodule, and pick for each nodule the member that never saw its patient."""
    fold = folds_of(nodules)
    seen = blocks(nodules.images, nodules.pixel_mm.tolist(), nodules.spacing_mm.tolist())
    prediction = NoduleEnsemble(members).predict(seen)
    columns, every = features(prediction), np.arange(len(fold))
    return OutOfFold(
        columns=columns[fold, every],
        hidden=prediction.hidden[fold, every],
        fold=fold,
        everything=columns,
        everything_hidden=prediction.hidden,
    )


def decided(nodules: RatedNodules) -> NDArray[np.bool_]:
    """True where the mean malignancy is not 3."""
    return np.asarray(nodules.malignant != 0.5)


def two_heads(columns: Floats) -> Linear:
    """The mean of the two heads that were trained for malignancy, each in its own standard deviations.

    A stack of all heads looks better on single members, where it averages their noise away; the ensemble does that by
    itself, and the stack then leans on size more than it should. So no weight is fitted here.
    """
    used = [FEATURES.index(name) for name in HEADS]
    weights = np.zeros(columns.shape[1])
    weights[used] = 1 / len(used)
    scale = np.ones(columns.shape[1])
    scale[used] = columns[:, used].std(0)
    centre = np.zeros(columns.shape[1])
    centre[used] = columns[:, used].mean(0)
    return Linear(centre, scale, weights, 0.0)


def stacked(columns: Floats, truth: NDArray[Any], fold: NDArray[np.int64], ridge: float) -> Floats:
    """Log odds of each nodule by a stack of all heads fitted on the other folds: reported, not shipped."""
    odds = np.zeros(len(fold))
    for k in np.unique(fold):
        odds[fold == k] = statistics.fit_logistic(columns[fold != k], truth[fold != k], ridge)(columns[fold == k])
    return odds


def fit_judge(nodules: RatedNodules, oof: OutOfFold) -> tuple[NoduleJudge, dict[str, Any]]:
    """Calibration and rating interval from out-of-fold predictions, and what the heads were worth there."""
    truth, sure = nodules.malignant.astype(np.float64), decided(nodules)
    patients = np.array(nodules.patients)
    heads = two_heads(oof.columns)
    odds = heads(oof.columns)

    def platt(rows: NDArray[np.int64]) -> tuple[float, float]:
        line = statistics.fit_logistic(odds[rows][:, None], truth[rows], 1e-4)
        slope = float(line.weights[0] / line.scale[0])
        return slope, line.bias - slope * float(line.centre[0])

    chosen = np.flatnonzero(sure)
    slope, intercept = platt(chosen)
    drawn = statistics.resampled_rows(patients[chosen].tolist(), REFITS, seed=1)
    refits = np.array([platt(chosen[rows]) for rows in drawn])
    mean_rating = nodules.means[:, ORDINAL.index("malignancy")]
    line = statistics.fit_linear(odds[:, None], mean_rating, 0)
    slope_rating = float(line.weights[0] / line.scale[0])
    opinion = Linear(
        heads.centre, heads.scale, heads.weights * slope_rating, line.bias - slope_rating * float(line.centre[0])
    )
    said = opinion(oof.columns)
    missed = np.abs(np.clip(said, 1, 5) - mean_rating)
    widths = [
        statistics.conformal_quantile(missed[statistics.one_per_group(nodules.patients, seed)], RATING_LEVEL)
        for seed in range(25)
    ]
    judge = NoduleJudge(
        odds=heads,
        opinion=opinion,
        slope=slope,
        intercept=intercept,
        refits=refits,
        rating_width=float(np.median(widths)),
    )
    size = np.log(nodules.diameter_mm)
    groups = patients[sure].tolist()
    probability = sigmoid(slope * odds + intercept)[sure]
    report = {
        "n": int(sure.sum()),
        "n_patients": len(set(groups)),
        "auc": statistics.auc(truth[sure], odds[sure]),
        "auc_by_fold": [
            float(statistics.auc(truth[f], odds[f])) for f in (sure & (oof.fold == k) for k in range(FOLDS))
        ],
        "auc_single_heads": {
            name: statistics.auc(truth[sure], oof.columns[sure, FEATURES.index(name)])
            for name in (*HEADS, "log diameter", "log volume")
        },
        "auc_stack": {
            str(ridge): statistics.auc(truth[sure], stacked(oof.columns, truth, oof.fold, ridge)[sure])
            for ridge in RIDGES
        },
        "auc_size_only": statistics.auc(truth[sure], size[sure]),
        "auc_gain": statistics.paired_difference(
            odds[sure], size[sure], groups, statistics.auc_of_rows, truth[sure], n=1000
        ),
        "ece": statistics.ece(truth[sure], probability),
        "brier": statistics.brier(truth[sure], probability),
        "mae_rating": float(missed.mean()),
    }
    return judge, report


def fit_size_only(nodules: RatedNodules) -> Linear:
    """The baseline: logistic regression on log diameter alone."""
    sure = decided(nodules)
    return statistics.fit_logistic(np.log(nodules.diameter_mm[sure])[:, None], nodules.malignant[sure], 0)


def fit_familiarity(nodules: RatedNodules, oof: OutOfFold) -> Familiarity:
    """What each member was trained on, and how far unseen train patients lie from it."""
    members = len(oof.everything_hidden)
    most = max(int((oof.fold != m).sum()) for m in range(members))
    known = np.zeros((members, most, oof.hidden.shape[1]), np.float32)
    for m in range(members):
        own = unit(oof.everything_hidden[m, oof.fold != m])
        known[m, : len(own)] = own.astype(np.float16)
    probe = Familiarity(known, np.inf)
    distance = np.zeros(len(oof.fold))
    for m in range(members):
        distance[oof.fold == m] = probe.of_member(m, oof.hidden[oof.fold == m])
    limits = [
        statistics.conformal_quantile(distance[statistics.one_per_group(nodules.patients, seed)], FAMILIAR_LEVEL)
        for seed in range(25)
    ]
    return Familiarity(known, float(np.median(limits)))


def write_fit(work: Path, judge: NoduleJudge, familiarity: Familiarity, size: Linear, report: dict[str, Any]) -> None:
    """Keep what was fitted in `work/fit.json` and `work/known.npz`."""
    parts = {
        "odds": judge.odds.as_json(),
        "opinion": judge.opinion.as_json(),
        "size_only": size.as_json(),
        "slope": judge.slope,
        "intercept": judge.intercept,
        "refits": judge.refits.round(5).tolist(),
        "rating_width": judge.rating_width,
        "familiar_within": familiarity.limit,
        "report": report,
    }
    (work / "fit.json").write_text(json.dumps(parts, indent=1), encoding="utf-8")
    np.savez_compressed(work / "known.npz", hidden=familiarity.known.astype(np.float16))


def fit(nodules: RatedNodules, work: Path) -> dict[str, Any]:
    """Fit everything behind the members; returns the out-of-fold report."""
    oof = out_of_fold(nodules, members_of(work))
    np.savez_compressed(work / "out-of-fold.npz", **arrays_of(oof))  # type: ignore[arg-type]
    judge, report = fit_judge(nodules, oof)
    write_fit(work, judge, fit_familiarity(nodules, oof), fit_size_only(nodules), report)
    return report


def arrays_of(oof: OutOfFold) -> dict[str, NDArray[Any]]:
    """The arrays of an `OutOfFold` by name."""
    return {name: getattr(oof, name) for name in OutOfFold.__slots__}


def main() -> None:
    """`train` the members (resumable), or `fit` what stands behind them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("step", choices=("train", "fit"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    nodules = rated_nodules(NoduleSet(args.data, "train"))
    if args.step == "train":
        train(nodules, args.work, args.epochs)
    else:
        print(json.dumps(fit(nodules, args.work), indent=1))


if __name__ == "__main__":
    main()

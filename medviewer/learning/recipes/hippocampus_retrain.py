"""Retraining of `volume-segment` models: on from the champion, with corrections and a replay of what it came from.

With the public data at hand half of what is seen is its training split. Without it only the corrections are seen, at a
tenth of the rate, and the champion's own answers on them are kept to (distillation): there is no phantom of this organ.
Then the golden set is empty too, and the gate says that it cannot tell; it needs the data folder to let one through.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medviewer.inference.package import ModelPackage, read_arrays, read_weights, write_package
from medviewer.jobs import JobContext, Progress
from medviewer.learning.datasets.hippocampus import HippocampusCase, part_of, read_cases
from medviewer.learning.datasets.volume_samples import CorrectedVolume, corrected_volume
from medviewer.learning.evaluations.volume_segment import score_cases
from medviewer.learning.recipes.hippocampus_segment import Labelled, Settings, train
from medviewer.learning.retrained import Judged, Replay, Retrained

#: Steps of each network unless asked for otherwise.
DEFAULT_STEPS = 200
#: Peak rates with a replay of the training data, and without.
RATE, RATE_ALONE = 4e-4, 1e-4
#: A correction is seen at most this many times as often as a case of the replay.
MOST_REPEATED = 8.0
#: Weight of the champion's answers where there is no replay.
DISTIL = 0.5
#: Below this Dice of both labels together a case counts as missed.
MISSED_BELOW = 0.1

Sample = HippocampusCase | CorrectedVolume


def sample_of(name: str, patient: str, arrays: Mapping[str, NDArray[Any]]) -> CorrectedVolume:
    """A case of the queue as a sample."""
    return corrected_volume(name, patient, arrays, labels=2)


def split_of(data: Path, split: str) -> list[HippocampusCase]:
    """All cases of a split of a data folder."""
    return read_cases(data, split)


def golden_set(context: JobContext) -> list[Sample]:
    """Empty: no phantom of this organ exists (see the module)."""
    context.check()
    return []


def judge(package: ModelPackage, samples: Sequence[Sample], context: JobContext) -> Judged:
    """Mean Dice of the labels of each sample."""
    values = tuple(float(row["dice"]) for row in score_cases(package, list(samples), context))
    return Judged(values, tuple(not v >= MISSED_BELOW for v in values), (None,) * len(values), None)


def retrain(
    champion: ModelPackage,
    corrections: Sequence[CorrectedVolume],
    replay: Replay,
    *,
    steps: int | None,
    seed: int,
    context: JobContext,
) -> Retrained:
    """Train each of the champion's networks on.

    Args:
        champion: where to start.
        corrections: a person's cases; may be empty (then only the replay is gone on with).
        replay: the folder of the public data, or None.
        steps: of each network.
        seed: of the draws.
        context: told loss and how far it is; cancel.
    """
    known = [] if replay.data is None else [c for c in read_cases(replay.data, "train") if part_of(c.name) == "fit"]
    cases: list[Labelled] = [*known, *corrections]
    odds = [1.0] * len(known) + [correction_odds(len(corrections), len(known))] * len(corrections)
    count = DEFAULT_STEPS if steps is None else steps
    members = len(champion.weights)
    distil = 0.0 if known else DISTIL
    states = []
    for member in range(members):
        settings = Settings(
            steps=count, seed=seed + 1000 * member, rate=RATE if known else RATE_ALONE, ema=0.98, threads=1
        )
        with tempfile.TemporaryDirectory() as scratch:
            states.append(
                train(
                    cases,
                    settings,
                    Path(scratch),
                    _telling(context, member, members, count),
                    start=read_weights(champion, member),
                    odds=odds,
                    distil=distil,
                    network=champion.config["network"],
                )
            )
    return Retrained(
        states=tuple(states),
        calibration=dict(champion.calibration),
        facts={
            "steps_each": count,
            "replay": "train split of the public data" if known else "none; the champion's answers are kept to",
            "replay_cases": len(known),
            "corrections": len(corrections),
            "odds_of_a_correction": round(odds[-1], 2),
            "distillation": distil,
            "settings": asdict(settings),
            "seed": seed,
        },
    )


def correction_odds(corrections: int, replay: int) -> float:
    """How much more often a correction is seen than a case of the replay: half of all views, within `MOST_REPEATED`."""
    if corrections == 0 or replay == 0:
        return 1.0
    return min(MOST_REPEATED, replay / corrections)


def write_candidate(
    folder: Path, champion: ModelPackage, retrained: Retrained, metrics: Mapping[str, Any], changes: str
) -> ModelPackage:
    """Write the candidate's package; card, golden input and licence are the champion's, with what changed."""
    facts = {key: value for key, value in champion.card.facts.items() if key != "measured"}
    previous = f"{champion.card.version} {champion.short_id}"
    facts.update({"version": folder.name, "changes": changes, "previous": previous})
    tolerance = {"default": 2e-3}
    return write_package(
        folder,
        card=facts,
        weights=retrained.states,
        config=champion.config,
        calibration=retrained.calibration,
        metrics=metrics,
        golden=(read_arrays(champion.folder / "golden" / "input.npz"), None, tolerance),
        licence=(champion.folder / "LICENSE").read_text(encoding="utf-8"),
    )


def _telling(context: JobContext, member: int, members: int, count: int) -> JobContext:
    """A context that counts the steps of all members."""

    def listen(progress: Progress) -> None:
        facts = {"member": member, **(progress.partial or {})}
        total = members * count
        context.report(member * count + progress.done, total, f"training network {member + 1} of {members}", facts)

    return JobContext(context.token, listen)

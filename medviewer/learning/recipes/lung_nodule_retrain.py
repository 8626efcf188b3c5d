"""Retraining of `nodule-segment` models: on from the champion, with corrections and a replay of what it came from.

With the public data at hand half of what is seen is its training split. Without it phantom nodules stand in for it, and
the champion's own answers on them are kept to (distillation), so that what it knows is not forgotten.
This module is what `medviewer.learning.retrain` asks of every kind that can be retrained.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medviewer import places
from medviewer.inference.networks.unet25d import Shape
from medviewer.inference.package import ModelPackage, read_weights
from medviewer.jobs import JobContext
from medviewer.learning.datasets.lidc_nodules import NoduleSet, part_of_train
from medviewer.learning.datasets.nodule_samples import CorrectedNodule, NoduleSample, corrected_nodule
from medviewer.learning.evaluations.nodule_segment import score_cases, share_error
from medviewer.learning.nodule_batches import NodulePool, pool_of
from medviewer.learning.recipes import lung_nodule_package as package_of
from medviewer.learning.recipes.lung_nodule_segment import Settings, fit
from medviewer.learning.retrained import Judged, Replay, Retrained

#: Steps of each network unless asked for otherwise.
DEFAULT_STEPS = 400
#: A third of the first training's rate: the champion is to be moved, not made anew.
LEARNING_RATE = 3e-4
#: A correction is seen at most this many times as often as a case of the replay.
MOST_REPEATED = 8.0
#: Weight of the champion's answers on phantom replay.
DISTIL = 0.5
#: Invented patients of the replay and of the golden set; their seeds never meet.
REPLAY_PATIENTS, REPLAY_SEED = 72, 301
GOLDEN_PATIENTS, GOLDEN_SEED = 30, 907
#: Golden cases whose Dice is told while it trains; they choose nothing.
WATCHED = 6
#: Patients of the calibration part that are looked at again after retraining.
CALIBRATION_NODULES = 60
#: Fewer cases than this say nothing about calibration: then the champion's goes on.
LEAST_CALIBRATION = 15
#: One patient in so many of the phantom replay is kept out of training and calibrates the candidate instead.
CALIBRATION_PHANTOM_ONE_IN = 4
#: Without the public data the candidate is this share of the retrained weights and the rest of the champion's (weights
#: averaged as in WiSE-FT, Wortsman 2022): what was learned from real nodules lies nowhere but in the champion.
KEEP_OF_RETRAINED = 0.7


def sample_of(name: str, patient: str, arrays: Mapping[str, NDArray[Any]]) -> CorrectedNodule:
    """A case of the queue as a sample."""
    return corrected_nodule(name, patient, arrays)


def split_of(data: Path, split: str) -> list[NoduleSample]:
    """All cases of a split of a data folder."""
    return list(NoduleSet(data, split))


def golden_set(context: JobContext) -> list[NoduleSample]:
    """The phantom's golden cases: the same on every machine."""
    return list(_phantoms(GOLDEN_PATIENTS, GOLDEN_SEED, context))


def judge(package: ModelPackage, samples: Sequence[NoduleSample], context: JobContext) -> Judged:
    """Dice of each sample, whether it was missed, and the calibration of the share."""
    scores = score_cases(package, samples, context, total=len(samples))
    return Judged(
        values=tuple(s.dice for s in scores),
        missed=tuple(s.missed for s in scores),
        subgroups=tuple(s.stratum for s in scores),
        calibration=share_error(scores).value if scores else None,
    )


def retrain(
    champion: ModelPackage,
    corrections: Sequence[CorrectedNodule],
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
        replay: the folder of the public data, or None for phantoms.
        steps: of each network.
        seed: of the draws; each network has its own from it.
        context: told loss, Dice on a few golden cases (also the champion's) and the number of the network.
    """
    shape = Shape.from_config(champion.config["network"])
    states = [read_weights(champion, member) for member in range(len(champion.weights))]
    pool, calibration_cases = _replay_pool(replay, context)
    corrected = pool_of(corrections) if corrections else None
    golden = golden_set(context)
    watch = golden[:: max(1, len(golden) // WATCHED)][:WATCHED]
    count = DEFAULT_STEPS if steps is None else steps
    settings = Settings(
        shape=shape,
        steps=count,
        learning_rate=LEARNING_RATE,
        warm_up=0.1,
        average=0.99,
        replay_share=1 - correction_share(len(corrections), len(pool)),
        distil=0.0 if replay.data is not None else DISTIL,
        threads=max(1, (os.cpu_count() or 2) // 2),
        seed=seed,
    )
    fitted = []
    for member, state in enumerate(states):

        def tell(message: Mapping[str, Any], member: int = member) -> None:
            context.report(
                member * count + int(message["step"]),
                len(states) * count,
                f"training network {member + 1} of {len(states)}",
                partial={"member": member, **message},
            )

        tell({"step": 0, "done": 0.0})
        own = dataclasses.replace(settings, seed=seed + 1000 * member)
        fitted.append(fit(pool, own, corrections=corrected, start=state, teacher=state, watch=watch, report=tell))
    share = 1.0 if replay.data is not None else KEEP_OF_RETRAINED
    averaged = [averaged_weights(old, new.state, share) for old, new in zip(states, fitted, strict=True)]
    calibration = dict(champion.calibration)
    if len(calibration_cases) >= LEAST_CALIBRATION:
        nets = package_of.nets_of(averaged, shape)
        calibration.update(
            package_of.calibrated(nets, calibration_cases, threshold=float(calibration.get("threshold", 0.5)))
        )
    return Retrained(
        states=tuple(averaged),
        calibration=calibration,
        facts={
            "steps_each": count,
            "replay": replay.described,
            "replay_nodules": len(pool),
            "corrections": len(corrections),
            "share_of_corrections": round(1 - settings.replay_share, 3) if corrections else 0.0,
            "learning_rate": LEARNING_RATE,
            "distillation": settings.distil,
            "share_of_retrained_weights": share,
            "seed": seed,
        },
    )


def averaged_weights(champion: Mapping[str, Any], retrained: Mapping[str, Any], share: float) -> dict[str, Any]:
    """`share` of the retrained weights and the rest of the champion's, tensor by tensor."""
    return {
        name: (champion[name].float() * (1 - share) + new.float() * share).to(new.dtype)
        for name, new in retrained.items()
    }


def write_candidate(
    folder: Path, champion: ModelPackage, retrained: Retrained, metrics: Mapping[str, Any], changes: str
) -> ModelPackage:
    """Write the candidate's package; card and licence are the champion's, with what changed."""
    facts = {**dict(champion.card.facts), "version": folder.name, "changes": changes}
    facts.pop("measured", None)  # the champion's figures are not the candidate's
    return package_of.write(
        folder,
        retrained.states,
        shape=Shape.from_config(champion.config["network"]),
        facts=facts,
        calibration=retrained.calibration,
        metrics=metrics,
        mirrored=bool(champion.config.get("mirrored")),
    )


def correction_share(corrections: int, replay: int) -> float:
    """Share of a batch from corrections: half, but none is seen over `MOST_REPEATED` times as often as the replay."""
    if corrections == 0:
        return 0.0
    weight = MOST_REPEATED * corrections
    return min(0.5, weight / (weight + replay))


def _replay_pool(replay: Replay, context: JobContext) -> tuple[NodulePool, list[NoduleSample]]:
    if replay.data is None:
        phantoms: list[NoduleSample] = list(_phantoms(REPLAY_PATIENTS, REPLAY_SEED, context))
        first = len(phantoms) - len(phantoms) // CALIBRATION_PHANTOM_ONE_IN
        return pool_of(phantoms[:first]), phantoms[first:]
    context.report(0, None, "reading the training data")
    train = NoduleSet(replay.data, "train")
    parts = [part_of_train(patient) for patient in train.patients]
    kept = [n for n, part in enumerate(parts) if part == "calibrate"][:CALIBRATION_NODULES]
    pool = pool_of(train[n] for n, part in enumerate(parts) if part == "fit")
    return pool, [train[n] for n in kept]


def prepare(context: JobContext) -> None:
    """Make the phantom nodules of replay and golden set ahead of a retraining; they are kept in the cache."""
    _phantoms(GOLDEN_PATIENTS, GOLDEN_SEED, context)
    _phantoms(REPLAY_PATIENTS, REPLAY_SEED, context)


def _phantoms(patients: int, seed: int, context: JobContext) -> NoduleSet:
    """Phantom nodules of the common kinds, made once and kept in the cache."""
    from medviewer.phantom.lesion import COMMON_KINDS
    from medviewer.phantom.nodules import iterate_nodule_cases
    from medviewer.phantom.training_set import write_training_set

    recipe = (places.resources_folder() / "phantom" / "chest.toml").read_bytes()
    name = hashlib.sha256(recipe).hexdigest()[:12]
    folder = places.cache_folder() / "phantom-nodules" / f"{name}-{seed}-{patients}"
    if not ((folder / "cases.csv").is_file() and (folder / "cases.npz").is_file()):
        cases = []
        for number, case in enumerate(iterate_nodule_cases(COMMON_KINDS, patients, seed)):
            context.report(number, patients, "making phantom nodules")
            cases.append(case)
        write_training_set(folder, "cases", cases)
    return NoduleSet(folder, "cases")

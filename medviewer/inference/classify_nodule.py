"""The runner of kind `nodule-classify`: how radiologists would rate the clicked nodule's malignancy.

The truth it learned is the mean of three or four readers' ratings, an opinion from the images and not pathology.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import Suggestion
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.inference.nodule_ensemble import NoduleEnsemble, NodulePrediction
    from medviewer.inference.nodule_judge import Familiarity, Judgement, NoduleJudge
    from medviewer.inference.package import ModelPackage

OPINION = "by readers' opinion, not pathology"
"""Stands beside every figure of this task."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A package made ready: the networks, the judge behind them, and what they know."""

    ensemble: NoduleEnsemble
    judge: NoduleJudge
    familiarity: Familiarity

    def classify(
        self,
        images: Sequence[NDArray[np.float32]],
        pixel_mm: Sequence[float],
        spacing_mm: Sequence[float],
    ) -> tuple[NodulePrediction, Judgement]:
        """Judge the nodules in the middle of crops that end where the nodules end.

        Args:
            images: one float32 [k, 96, 96] per crop, 0 to 1, padding removed.
            pixel_mm, spacing_mm: geometry per crop.
        """
        from medviewer.inference.nodule_patch import blocks

        prediction = self.ensemble.predict(blocks(images, pixel_mm, spacing_mm))
        return prediction, self.judge.judge(prediction)


def load_classifier(package: ModelPackage, device: str = "cpu") -> Classifier:
    """The parts of a package.

    Raises:
        Refused: weights, config or arrays are not what they should be.
    """
    from medviewer.errors import Refused
    from medviewer.inference.nodule_ensemble import load_ensemble
    from medviewer.inference.nodule_judge import Familiarity, NoduleJudge
    from medviewer.inference.package import read_arrays

    ensemble = load_ensemble(package, device)
    try:
        judge = NoduleJudge.from_package(package.config, package.calibration)
        known = read_arrays(package.folder / "known.npz")["hidden"].astype(np.float32)
        limit = float(package.calibration["familiar_within"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"the calibration of this model package is not complete ({error})", path=package.folder
        ) from error
    return Classifier(ensemble, judge, Familiarity(known, limit))


def suggest(package: ModelPackage, volume: Volume, prompt: Prompt, device: str, context: JobContext) -> Suggestion:
    """The calibrated probability that readers' mean rating is above 3, the expected ratings, and their intervals.

    Raises:
        BadInput: the click lies outside the volume.
        Cancelled: a person asked for it.
    """
    from medviewer.inference.nodule_query import nodule_query

    began = time.perf_counter()

    def answer(**parts: Any) -> Suggestion:
        return Suggestion(
            task=package.card.task,
            model=package.short_id,
            device=device,
            seconds=time.perf_counter() - began,
            **parts,
        )

    classifier = load_classifier(package, device)
    context.check()
    query = nodule_query(volume, prompt, classifier.ensemble)
    if isinstance(query, str):
        return answer(abstained=query)
    context.report(1, 2, "the nodule is found")
    prediction = classifier.ensemble.predict(query.block)
    distance = float(classifier.familiarity.distance(prediction.hidden)[0])
    if distance > classifier.familiarity.limit:
        return answer(
            abstained="what is seen here is unlike the nodules that the model learned from"
            f" (distance {distance:.3f}, familiar up to {classifier.familiarity.limit:.3f})"
        )
    context.check()
    told = classifier.judge.judge(prediction)
    return answer(
        probability=float(told.probability[0]),
        interval=(float(told.interval[0, 0]), float(told.interval[0, 1])),
        rating=float(told.rating[0]),
        rating_interval=(float(told.rating_interval[0, 0]), float(told.rating_interval[0, 1])),
        ratings=named_ratings(told.ratings[0]),
        notes=(f"probability that the mean of several readers' malignancy ratings is above 3: {OPINION}",),
    )


def named_ratings(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Expected ratings by name, to two digits."""
    from medviewer.inference.networks.nodule_cnn import ORDINAL

    return {name: round(float(value), 2) for name, value in zip(ORDINAL, values, strict=True)}


def golden_outputs(package: ModelPackage, inputs: Mapping[str, NDArray[Any]], device: str) -> dict[str, NDArray[Any]]:
    """The golden case: crops in, probabilities and ratings out.

    Args:
        inputs: `images` uint8 [k, 96, 96] (0 to 254), `pixel_mm` and `spacing_mm`, each one number.
    """
    return golden_of(load_classifier(package, device), inputs)


def golden_of(classifier: Classifier, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """As `golden_outputs`, with the parts in hand."""
    images = np.asarray(inputs["images"], np.float32) / np.float32(254)
    prediction, told = classifier.classify([images], [float(inputs["pixel_mm"])], [float(inputs["spacing_mm"])])
    return {
        "probability": told.probability,
        "interval": told.interval,
        "rating": told.rating,
        "ratings": told.ratings,
        "familiar": classifier.familiarity.distance(prediction.hidden),
    }


def warm(package: ModelPackage, device: str) -> None:
    """Load the networks and run them once, so that the first click need not wait for it."""
    blank = np.zeros((1, 96, 96), np.float32)
    load_classifier(package, device).classify([blank], [0.7], [1.5])

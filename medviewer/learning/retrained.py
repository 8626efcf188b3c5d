"""Values that pass between the retraining of any kind of task and the recipe of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from medviewer.inference.package import ModelPackage
from medviewer.jobs import JobContext


@dataclass(frozen=True, slots=True)
class Replay:
    """What the champion came from: a folder of the public training data, or None for phantoms."""

    data: Path | None = None

    @property
    def described(self) -> str:
        """For reports; names no folder of the user."""
        return "phantom cases" if self.data is None else "train split of the public data"


@dataclass(frozen=True, slots=True)
class Retrained:
    """The networks' weights, the calibration that goes with them, and facts about the run for metrics.json."""

    states: tuple[Mapping[str, Any], ...]
    calibration: Mapping[str, Any]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """One model on a list of samples, in their order.

    Attributes:
        values: the primary figure (Dice), NaN where undefined.
        missed: True where the lesion was as good as not found.
        subgroups: size class or the like.
        calibration: calibration error over all of them, or None.
    """

    values: tuple[float, ...]
    missed: tuple[bool, ...]
    subgroups: tuple[str | None, ...]
    calibration: float | None


class Recipe(Protocol):
    """What a module must offer so that models of its kind can be retrained. `Sample` is its own affair."""

    DEFAULT_STEPS: int

    def sample_of(self, name: str, patient: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """A case of the queue as a sample (with `patient`)."""

    def split_of(self, data: Path, split: str) -> list[Any]:
        """All samples of a split of a data folder."""

    def golden_set(self, context: JobContext) -> list[Any]:
        """The frozen golden samples that need no data folder."""

    def judge(self, package: ModelPackage, samples: Sequence[Any], context: JobContext) -> Judged:
        """One model on samples."""

    def retrain(
        self,
        champion: ModelPackage,
        corrections: Sequence[Any],
        replay: Replay,
        *,
        steps: int | None,
        seed: int,
        context: JobContext,
    ) -> Retrained:
        """Train on from the champion."""

    def write_candidate(
        self, folder: Path, champion: ModelPackage, retrained: Retrained, metrics: Mapping[str, Any], changes: str
    ) -> ModelPackage:
        """Write the candidate's package."""

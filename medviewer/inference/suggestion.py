"""Suggestion: what a model says about a case, kept apart from human work. Plain values, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

#: "clicked-slice" is shown first, "complete" replaces it.
Stage = Literal["clicked-slice", "complete"]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMask:
    """One suggested segment: a box of voxels on the native grid of the volume.

    Attributes:
        label: its name in the task's card, "nodule", "anterior", ...
        start_kji: index of the box's first voxel in the volume.
        mask: uint8 `[k, j, i]`, 1 inside the segment.
        fraction: float32 of the same shape, 0..1: share of readers (or probability) expected to mark the
            voxel; None where the task has none.
        voxels: number of voxels in `mask`.
        volume_ml: their volume in millilitres; None without geometry.
        diameter_mm: diameter of the sphere of that volume in mm; None without geometry.
    """

    label: str
    start_kji: tuple[int, int, int]
    mask: NDArray[np.uint8]
    fraction: NDArray[np.float32] | None = None
    voxels: int = 0
    volume_ml: float | None = None
    diameter_mm: float | None = None

    @classmethod
    def measured(
        cls,
        label: str,
        start_kji: tuple[int, int, int],
        mask: NDArray[np.uint8],
        voxel_volume_mm3: float | None,
        fraction: NDArray[np.float32] | None = None,
    ) -> Self:
        """A segment whose voxels, volume and sphere-equivalent diameter are counted from `mask`.

        Args:
            label, start_kji, mask, fraction: as in the class.
            voxel_volume_mm3: volume of one voxel, None where the volume has no geometry.
        """
        voxels = int(np.count_nonzero(mask))
        if voxel_volume_mm3 is None:
            return cls(label, start_kji, mask, fraction, voxels)
        volume_mm3 = voxels * voxel_volume_mm3
        diameter = float((6.0 * volume_mm3 / np.pi) ** (1.0 / 3.0))
        return cls(label, start_kji, mask, fraction, voxels, volume_mm3 / 1000.0, diameter)


@dataclass(frozen=True, slots=True)
class SimilarCase:
    """One similar case of the library.

    Attributes:
        case: its name in the index.
        distance: cosine distance of the embeddings, 0 (same) to 2.
        label: "malignant", "benign" or "uncertain" by the readers' ratings; empty where unknown.
        diameter_mm: sphere-equivalent diameter by the readers' masks, or None.
        ratings: mean reader ratings by name.
        source: where the case comes from ("train split", "own library", ...).
        thumbnail: path or key of a picture in the user's library, or None (then a card stands there).
    """

    case: str
    distance: float
    label: str = ""
    diameter_mm: float | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    thumbnail: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The keys of the command line's SIMILAR."""
        return {
            "case": self.case,
            "distance": self.distance,
            "label": self.label,
            "diameter_mm": self.diameter_mm,
            "ratings": dict(self.ratings),
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a model says about a case.

    Attributes:
        task: name of the task.
        model: id of the model package (first 12 characters of its manifest's SHA-256).
        device: "cpu" or "cuda" as it ran in the end.
        seconds: time of pre-processing, network and post-processing, without loading the model.
        abstained: why the model says nothing, or None.
        segments: suggested masks; empty where it abstained or the task makes none.
        probability: calibrated probability of the card's positive class, or None.
        interval: its interval (95 % unless the card says otherwise).
        rating: expected reader rating, or None.
        rating_interval: its interval.
        ratings: further expected ratings by name.
        similar: nearest cases, nearest first.
        check_first: slices (k of the volume) where the model is least sure, worst first.
        stage: "clicked-slice" for a first part, "complete" for the whole.
        notes: sentences for people ("the graphics card ran out of memory: computed on the CPU").
    """

    task: str
    model: str
    device: str
    seconds: float
    abstained: str | None = None
    segments: tuple[SegmentMask, ...] = ()
    probability: float | None = None
    interval: tuple[float, float] | None = None
    rating: float | None = None
    rating_interval: tuple[float, float] | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    similar: tuple[SimilarCase, ...] = ()
    check_first: tuple[int, ...] = ()
    stage: Stage = "complete"
    notes: tuple[str, ...] = ()

    def with_note(self, sentence: str) -> Suggestion:
        """The same suggestion with one more sentence for people."""
        return replace(self, notes=(*self.notes, sentence))

    def as_json(self) -> dict[str, Any]:
        """The document of `medviewer predict --json` (docs/cli.md); masks are not part of it."""
        return {
            "task": self.task,
            "model": self.model,
            "device": self.device,
            "seconds": round(self.seconds, 3),
            "abstained": self.abstained,
            "segments": [
                {
                    "label": segment.label,
                    "volume_ml": segment.volume_ml,
                    "diameter_mm": segment.diameter_mm,
                    "voxels": segment.voxels,
                }
                for segment in self.segments
            ],
            "probability": self.probability,
            "interval": None if self.interval is None else list(self.interval),
            "rating": self.rating,
            "rating_interval": None if self.rating_interval is None else list(self.rating_interval),
            "ratings": dict(self.ratings),
            "similar": [case.as_json() for case in self.similar],
            "check_first": list(self.check_first),
            "stage": self.stage,
            "notes": list(self.notes),
        }

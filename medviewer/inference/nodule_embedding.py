"""Where a nodule lies among others: at most 64 numbers; near means "readers would rate it alike and it is as large".

The first numbers are what the members expect readers to say (ratings, calcium, size), each weighed by what it is worth
for likeness; the rest (if any) are the leading directions of the members' hidden vectors. One constant coordinate
keeps lengths comparable after the division by the length, so that the cosine distance orders cases much as the plain
distance does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.nodule_ensemble import NodulePrediction
from medviewer.inference.nodule_judge import features, unit

if TYPE_CHECKING:
    from medviewer.inference.package import ModelPackage

DIMENSIONS = 64


@dataclass(frozen=True, slots=True, eq=False)
class NoduleEmbedding:
    """A linear map behind the ensemble.

    Attributes:
        centre, scale: of each column of `features`, averaged over members [columns].
        weights: map from standardised columns to coordinates, what each is worth included [columns, c].
        hidden_centre: mean hidden vector of all members, one after the other [members * h].
        directions: map from hidden vectors to their leading directions, already weighed [members * h, d].
        constant: the constant coordinate.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    hidden_centre: NDArray[np.float32]
    directions: NDArray[np.float32]
    constant: float

    def __call__(self, prediction: NodulePrediction) -> NDArray[np.float32]:
        """Unit vectors [n, c + d + 1]."""
        said = (features(prediction).mean(0) - self.centre) / self.scale @ self.weights
        hidden = np.moveaxis(prediction.hidden, 0, 1).reshape(len(said), -1)
        inner = (hidden - self.hidden_centre) @ self.directions
        return unit(np.concatenate([said, inner, np.full((len(said), 1), self.constant)], 1))

    def as_arrays(self) -> dict[str, NDArray[np.float32]]:
        """The parts by name, for the package."""
        return {
            "centre": self.centre,
            "scale": self.scale,
            "weights": self.weights,
            "hidden_centre": self.hidden_centre,
            "directions": self.directions,
            "constant": np.array(self.constant, np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> NoduleEmbedding:
        """What `as_arrays` gave."""
        named = {name: np.asarray(arrays[name], np.float32) for name in cls.__slots__ if name != "constant"}
        return cls(**named, constant=float(arrays["constant"]))


def space_of(weights: Mapping[str, bytes], embedding: NoduleEmbedding) -> str:
    """Identity of an embedding: SHA-256 over the weights' SHA-256 by file name, and the map's numbers."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode() + weights[name])
    for name, array in sorted(embedding.as_arrays().items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def weights_digests(package: ModelPackage) -> dict[str, bytes]:
    """SHA-256 of each weights file of a package."""
    digests = {}
    for path in package.weights:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").digest()
    return digests

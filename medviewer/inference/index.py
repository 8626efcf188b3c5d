"""Exact search among embeddings, stamped with the network that made them.

Vectors are L2-normalised, so the inner product is the cosine and `1 - cosine` the distance (0 same, 2 opposite). Exact
search is a single product up to about 100 000 cases. An index made by other weights means nothing: it is refused.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import Refused


@dataclass(frozen=True, slots=True)
class IndexedCase:
    """What is known of one case beside its vector.

    Attributes:
        case: its name: a hash for cases of the train split, the library's id for a person's own.
        patient: hash of its patient; a search never returns the query's own patient.
        label: "malignant", "benign", "uncertain" by the readers' ratings, or empty where nobody rated it.
        diameter_mm: longest in-slice extent, or None.
        ratings: mean ratings by name.
        source: where the case comes from, for people.
        thumbnail: key of its picture in the user's library, or None.
    """

    case: str
    patient: str
    label: str = ""
    diameter_mm: float | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    thumbnail: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One case found, and how far it lies from the query (cosine distance, 0 to 2)."""

    case: IndexedCase
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingIndex:
    """Cases and their vectors.

    Attributes:
        space: identity of the embedding that made the vectors (`medviewer.inference.nodule_embedding`).
        vectors: float32 [n, d], L2-normalised.
        cases: one per row.
    """

    space: str
    vectors: NDArray[np.float32]
    cases: tuple[IndexedCase, ...]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.cases):
            raise ValueError(f"{len(self.cases)} cases and vectors of shape {self.vectors.shape}")

    def check_space(self, space: str) -> None:
        """Raise `Refused` where another embedding made this index."""
        if space != self.space:
            raise Refused(
                f"this index of similar cases was made by another model ({self.space[:12]}, in use: {space[:12]})",
                remedy="build the index again",
            )

    def joined(self, other: EmbeddingIndex) -> EmbeddingIndex:
        """The cases of both; `Refused` where they are of different embeddings."""
        other.check_space(self.space)
        return EmbeddingIndex(self.space, np.concatenate([self.vectors, other.vectors]), self.cases + other.cases)

    def without(self, cases: Sequence[str]) -> EmbeddingIndex:
        """The index without these cases: their vectors are gone, not hidden."""
        gone = set(cases)
        keep = np.array([case.case not in gone for case in self.cases], bool)
        kept = tuple(case for case in self.cases if case.case not in gone)
        return EmbeddingIndex(self.space, np.ascontiguousarray(self.vectors[keep]), kept)

    def nearest(
        self, query: NDArray[np.floating[Any]], k: int = 5, exclude_patients: Collection[str] = ()
    ) -> list[Hit]:
        """The k nearest cases, nearest first, ties in the order of the index.

        Args:
            query: one vector [d], L2-normalised.
            k: how many; fewer come back where the index is smaller.
            exclude_patients: hashes of the query's patient; none of its cases comes back.
        """
        if k < 1 or not self.cases:
            return []
        distance = 1 - self.vectors @ np.asarray(query, np.float32)
        if exclude_patients:
            own = np.array([case.patient in exclude_patients for case in self.cases])
            distance = np.where(own, np.inf, distance)
        order = np.argsort(distance, kind="stable")[:k]
        return [Hit(self.cases[n], float(max(distance[n], 0.0))) for n in order if np.isfinite(distance[n])]

    def to_bytes(self) -> bytes:
        """The index as one .npz of plain arrays (no pickles)."""
        names = sorted({name for case in self.cases for name in case.ratings})
        table = np.full((len(self.cases), len(names)), np.nan, np.float32)
        for row, case in enumerate(self.cases):
            for column, name in enumerate(names):
                table[row, column] = case.ratings.get(name, np.nan)
        diameters = [np.nan if case.diameter_mm is None else case.diameter_mm for case in self.cases]
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            space=np.array(self.space),
            vectors=self.vectors.astype(np.float32),
            case=np.array([case.case for case in self.cases], dtype=np.str_),
            patient=np.array([case.patient for case in self.cases], dtype=np.str_),
            label=np.array([case.label for case in self.cases], dtype=np.str_),
            source=np.array([case.source for case in self.cases], dtype=np.str_),
            diameter_mm=np.array(diameters, np.float32),
            rating_names=np.array(names, dtype=np.str_),
            ratings=table,
        )
        return buffer.getvalue()


def read_index(source: Path | bytes, space: str) -> EmbeddingIndex:
    """Read what `EmbeddingIndex.to_bytes` wrote, for one embedding.

    Raises:
        Refused: it cannot be read, or another model made it.
    """
    path = source if isinstance(source, Path) else None
    try:
        with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
        vectors = arrays["vectors"].astype(np.float32)
        names = [str(name) for name in arrays["rating_names"]]
        cases = tuple(
            IndexedCase(
                case=str(arrays["case"][n]),
                patient=str(arrays["patient"][n]),
                label=str(arrays["label"][n]),
                diameter_mm=_known(arrays["diameter_mm"][n]),
                ratings={
                    name: round(float(value), 3)
                    for name, value in zip(names, arrays["ratings"][n], strict=True)
                    if np.isfinite(value)
                },
                source=str(arrays["source"][n]),
            )
            for n in range(len(vectors))
        )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        index = EmbeddingIndex(str(arrays["space"]), vectors / np.where(norms > 0, norms, 1), cases)
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(f"this index of similar cases cannot be read ({error})", path=path) from error
    index.check_space(space)
    return index


def _known(value: np.floating[Any]) -> float | None:
    return round(float(value), 2) if np.isfinite(value) else None

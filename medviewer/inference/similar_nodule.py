"""The runner of kind `nodule-similar`: the cases that readers would rate most like the clicked nodule.

What ships is an index of the train split: vectors, ratings and sizes, no pictures. The user's own nodules
(`medviewer.library.nodule_library`) are searched with it, and they have pictures. A case of the query's own patient
never comes back; the patient is known by a hash only.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer import places
from medviewer.errors import Refused
from medviewer.inference.index import EmbeddingIndex, Hit, IndexedCase, read_index
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import SimilarCase, Suggestion
from medviewer.jobs import JobContext
from medviewer.library.nodule_library import LibraryNodule, NoduleLibrary
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.inference.nodule_embedding import NoduleEmbedding
    from medviewer.inference.nodule_ensemble import NoduleEnsemble, NodulePrediction
    from medviewer.inference.nodule_query import NoduleQuery
    from medviewer.inference.package import ModelPackage

SHOWN = 5
"""Cases that a suggestion holds unless more are asked for."""
OWN = "own library"


@dataclass(frozen=True, slots=True, eq=False)
class Finder:
    """A package made ready: networks, embedding, and the index that came with them."""

    ensemble: NoduleEnsemble
    embedding: NoduleEmbedding
    index: EmbeddingIndex

    @property
    def space(self) -> str:
        """Identity of the embedding; other embeddings' vectors mean nothing to it."""
        return self.index.space


def own_library() -> NoduleLibrary:
    """The user's own nodules."""
    return NoduleLibrary(places.data_folder() / "nodules")


def public_patient_hash(patient: str) -> str:
    """What stands for a patient of the public train split in its index: 16 digits of a SHA-256. Empty if unknown."""
    return hashlib.sha256(f"medviewer nodule index:{patient}".encode()).hexdigest()[:16] if patient else ""


_finders: dict[tuple[str, str], Finder] = {}


def load_finder(package: ModelPackage, device: str = "cpu") -> Finder:
    """The parts of a package; the last few are kept.

    Raises:
        Refused: weights or arrays are not what they should be, or the index was made by another model.
    """
    from medviewer.inference.nodule_embedding import NoduleEmbedding, space_of, weights_digests
    from medviewer.inference.nodule_ensemble import load_ensemble
    from medviewer.inference.package import read_arrays

    key = (package.id, device)
    if key not in _finders:
        ensemble = load_ensemble(package, device)
        try:
            embedding = NoduleEmbedding.from_arrays(read_arrays(package.folder / "embedding.npz"))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"the embedding of this model cannot be read ({error})", path=package.folder) from error
        index = read_index(package.folder / "index.npz", space_of(weights_digests(package), embedding))
        while len(_finders) > 2:
            _finders.pop(next(iter(_finders)))
        _finders[key] = Finder(ensemble, embedding, index)
    return _finders[key]


def suggest(package: ModelPackage, volume: Volume, prompt: Prompt, device: str, context: JobContext) -> Suggestion:
    """The five cases most like the nodule at the click.

    Raises:
        BadInput: the click lies outside the volume.
        Cancelled: a person asked for it.
    """
    return find_similar(package, volume, prompt, device, context, k=SHOWN)


def find_similar(
    package: ModelPackage,
    volume: Volume,
    prompt: Prompt,
    device: str,
    context: JobContext,
    *,
    k: int = SHOWN,
    patient: str | None = None,
    library: NoduleLibrary | None = None,
) -> Suggestion:
    """As `suggest`, for k cases, with the patient's id and the library given.

    Args:
        package, volume, prompt, device, context: as every runner.
        k: how many cases.
        patient: id of the patient in the study; its own cases are left out. By default the prompt's, if it has one.
        library: the user's own nodules; the usual place by default.
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

    finder = load_finder(package, device)
    context.check()
    query = nodule_query(volume, prompt, finder.ensemble)
    if isinstance(query, str):
        return answer(abstained=query)
    context.report(1, 2, "the nodule is found")
    vector = finder.embedding(finder.ensemble.predict(query.block))[0]
    if patient is None:
        patient = prompt.patient
    where = own_library() if library is None else library
    index = finder.index.joined(library_index(where, finder))
    own = {public_patient_hash(patient), where.patient_hash(patient)} if patient else ()
    hits = index.nearest(vector, k, exclude_patients=own)
    folder = data_folder_with_pictures()
    nearest = hits[0].distance if hits else float("inf")
    limit = float(package.calibration.get("familiar_within", float("inf")))
    far = "even the nearest case lies further away than nearly all cases of the train split do from each other"
    return answer(similar=tuple(_case(hit, where, folder) for hit in hits), notes=(far,) if nearest > limit else ())


def library_index(library: NoduleLibrary, finder: Finder) -> EmbeddingIndex:
    """An index of the user's own nodules; those whose vectors another model made are embedded anew and stored."""
    import torch

    nodules = library.nodules()
    old = [n for n, nodule in enumerate(nodules) if nodule.space != finder.space]
    if old:
        from dataclasses import replace

        blocks = torch.from_numpy(np.stack([nodules[n].block for n in old]).astype(np.float32) / 255)
        vectors = finder.embedding(finder.ensemble.predict(blocks))
        for n, vector in zip(old, vectors, strict=True):
            nodules[n] = replace(nodules[n], vector=vector, space=finder.space)
            library.add(nodules[n])
    size = finder.index.vectors.shape[1]
    vectors = np.stack([nodule.vector for nodule in nodules]) if nodules else np.zeros((0, size), np.float32)
    cases = tuple(
        IndexedCase(
            case=nodule.id,
            patient=nodule.patient,
            label=nodule.label,
            diameter_mm=nodule.diameter_mm,
            ratings=nodule.ratings,
            source=nodule.source,
            thumbnail=nodule.id,
        )
        for nodule in nodules
    )
    return EmbeddingIndex(finder.space, vectors, cases)


def library_nodule(
    finder: Finder,
    query: NoduleQuery,
    *,
    patient: str,
    source: str = OWN,
    label: str = "",
    diameter_mm: float | None = None,
    ratings: Mapping[str, float] | None = None,
) -> LibraryNodule:
    """A nodule ready for `NoduleLibrary.add`: the clicked one, with what is known of it.

    Args:
        finder: the parts of the package in use.
        query: the clicked nodule (`medviewer.inference.nodule_query`).
        patient: the patient's hash (`NoduleLibrary.patient_hash`).
        source, label, diameter_mm, ratings: as in `LibraryNodule`.
    """
    prediction: NodulePrediction = finder.ensemble.predict(query.block)
    return LibraryNodule(
        thumbnail=(np.clip(query.picture, 0, 1) * 254).astype(np.uint8),
        vector=finder.embedding(prediction)[0],
        space=finder.space,
        block=np.round(np.clip(query.block[0].numpy(), 0, 1) * 255).astype(np.uint8),
        patient=patient,
        source=source,
        label=label,
        diameter_mm=diameter_mm,
        ratings=dict(ratings or {}),
    )


def data_folder_with_pictures() -> Path | None:
    """The folder of the training data, if the person pointed to one (MEDVIEWER_NODULE_DATA)."""
    named = os.environ.get("MEDVIEWER_NODULE_DATA", "")
    folder = Path(named) if named else None
    return folder if folder is not None and (folder / "train.csv").is_file() else None


def thumbnail_of(case: SimilarCase, library: NoduleLibrary | None = None) -> NDArray[np.uint8] | None:
    """The picture of a case, uint8 [96, 96]: of the user's library or of a data folder, else None (show a card).

    Args:
        case: as a suggestion holds it; its `thumbnail` says where the picture is.
        library: the user's own nodules; the usual place by default.
    """
    if case.thumbnail is None:
        return None
    kind, _, key = case.thumbnail.partition(":")
    if kind == "library":
        return (own_library() if library is None else library).get(key).thumbnail
    folder = data_folder_with_pictures()
    if kind != "train" or folder is None:
        return None
    return _pictures(folder, key)


def case_hash(nodule: str) -> str:
    """What stands for a nodule of the train split in the index."""
    return hashlib.sha256(f"medviewer nodule:{nodule}".encode()).hexdigest()[:16]


def _pictures(folder: Path, case: str) -> NDArray[np.uint8] | None:
    """The middle slice of the train nodule with this hash, from the user's copy of the training data."""
    import csv

    with (folder / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    row = next((n for n, row in enumerate(rows) if case_hash(row["nodule"]) == case), None)
    if row is None:
        return None
    images, first, pad = _arrays(folder)
    middle = int(first[row] + first[row + 1]) // 2
    low = float(pad[middle])
    share = np.clip((images[middle].astype(np.float32) - low) / (254 - low), 0, 1)
    return np.asarray(share * 254, np.uint8)


_unpacked: dict[Path, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = {}


def _arrays(folder: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    if folder not in _unpacked:
        with np.load(folder / "train.npz", allow_pickle=False) as packed:
            _unpacked[folder] = (packed["images"], packed["first"], packed["pad_level"])
    return _unpacked[folder]


def _case(hit: Hit, library: NoduleLibrary, folder: Path | None) -> SimilarCase:
    case = hit.case
    key = None
    if case.thumbnail is not None:
        key = f"library:{case.thumbnail}"
    elif folder is not None:
        key = f"train:{case.case}"
    return SimilarCase(
        case=case.case,
        distance=hit.distance,
        label=case.label,
        diameter_mm=case.diameter_mm,
        ratings=dict(case.ratings),
        source=case.source,
        thumbnail=key,
    )


def golden_outputs(package: ModelPackage, inputs: Mapping[str, NDArray[Any]], device: str) -> dict[str, NDArray[Any]]:
    """The golden case: a crop in, its vector out.

    Args:
        inputs: `images` uint8 [k, 96, 96] (0 to 254), `pixel_mm` and `spacing_mm`, each one number.
    """
    finder = load_finder(package, device)
    return golden_of(finder.ensemble, finder.embedding, inputs)


def golden_of(
    ensemble: NoduleEnsemble, embedding: NoduleEmbedding, inputs: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """As `golden_outputs`, with the parts in hand."""
    from medviewer.inference.nodule_patch import blocks

    images = np.asarray(inputs["images"], np.float32) / np.float32(254)
    block = blocks([images], [float(inputs["pixel_mm"])], [float(inputs["spacing_mm"])])
    return {"vector": embedding(ensemble.predict(block))}


def warm(package: ModelPackage, device: str) -> None:
    """Load networks and index, so that the first click need not wait for them."""
    load_finder(package, device)

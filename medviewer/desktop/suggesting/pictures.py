"""Pictures of similar cases, read in a job: from the user's own library or from a data folder that they pointed to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import MedviewerError
from medviewer.inference.suggestion import SimilarCase

#: Share of the stored crop (96 pixels) that a tile shows: the lesion and what is around it.
MIDDLE = 0.6


#: Where a case of the user's own library keeps its picture.
OWN_LIBRARY = "library:"

Pictures = dict[str, NDArray[np.uint8]]


def without_patient(cases: Sequence[SimilarCase], patient: str) -> tuple[SimilarCase, ...]:
    """The cases but those of this patient. The model leaves them out already; a screen must not depend on that."""
    from medviewer.inference.similar_nodule import own_library

    library = own_library()
    own = library.patient_hash(patient)
    kept = []
    for case in cases:
        if case.thumbnail is not None and case.thumbnail.startswith(OWN_LIBRARY) and own:
            try:
                if library.get(case.thumbnail.removeprefix(OWN_LIBRARY)).patient == own:
                    continue
            except MedviewerError:
                pass  # the case went away meanwhile: its ratings stay
        kept.append(case)
    return tuple(kept)


def pictures_of(cases: Sequence[SimilarCase]) -> Pictures:
    """The picture of each case that has one, uint8 `[row, column]`, all stretched alike, by the case's name."""
    from medviewer.inference.similar_nodule import thumbnail_of

    found: Pictures = {}
    for case in cases:
        try:
            picture = thumbnail_of(case)
        except MedviewerError:
            continue  # its card shows the ratings
        if picture is not None:
            found[case.case] = middle_of(picture)
    return found


def middle_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle of a crop, where the lesion is."""
    rows, columns = picture.shape
    top, left = round(rows * (1 - MIDDLE) / 2), round(columns * (1 - MIDDLE) / 2)
    return np.ascontiguousarray(picture[top : rows - top, left : columns - left])

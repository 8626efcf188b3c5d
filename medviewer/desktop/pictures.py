"""Pictures of similar cases, read in a job: from the user's own library or from a data folder that they pointed to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import MedviewerError
from medviewer.inference.suggestion import SimilarCase

#: Share of the stored crop (96 pixels) that a tile shows: the lesion and what is around it.
MIDDLE = 0.6


def pictures_of(cases: Sequence[SimilarCase]) -> dict[str, NDArray[np.uint8]]:
    """The picture of each case that has one, uint8 `[row, column]`, all stretched alike, by the case's name."""
    from medviewer.inference.similar_nodule import thumbnail_of

    found: dict[str, NDArray[np.uint8]] = {}
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

"""What readers would say about a nodule: nine ratings on the scales of the LIDC collection."""

from __future__ import annotations

import numpy as np

from medviewer.phantom.lesion import Lesion

Ratings = dict[str, tuple[int, ...]]

#: The nine ratings in the order of the public collection's tables.
RATING_NAMES = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)


def draw_ratings(lesion: Lesion, diameter_mm: float, rng: np.random.Generator, n_readers: int) -> Ratings:
    """Ratings of three or four invented readers.

    They follow from size, shape and value with about the disagreement of real readers. They are invented like the
    nodule: fit to fill a table and to test with, not to learn medicine from.
    """
    lesion_hu = lesion.hu if lesion.inner_hu is None else max(lesion.hu, lesion.inner_hu)
    calcified = lesion_hu > 150
    glassy = lesion.hu < -300
    spiculated = lesion.spicules is not None
    bumps = float(np.abs(lesion.waves[:, 4]).sum()) / 2
    texture = 5.0 if not glassy else (3.0 if lesion.core_hu is not None else 1.2)
    malignancy = 2.2 + 1.5 * np.clip(np.log2(diameter_mm / 8), -0.8, 1.4) + (0.9 if spiculated else 0)
    malignancy += (0.4 if glassy and lesion.core_hu is not None else 0) - (1.3 if calcified else 0)
    means = {
        "subtlety": float(np.clip(2.4 + 0.16 * diameter_mm - (1.2 if glassy else 0), 1, 5)),
        "sphericity": float(np.clip(5.2 - 3.0 * (max(lesion.stretch) - 1) - 4 * bumps, 1, 5)),
        "margin": float(np.clip(4.8 - 1.1 * lesion.edge_mm - (1.4 if spiculated else 0), 1, 5)),
        "lobulation": float(np.clip(1.0 + 14 * bumps, 1, 5)),
        "spiculation": 4.0 if spiculated else 1.2,
        "texture": texture,
        "malignancy": float(np.clip(malignancy, 1, 5)),
    }
    ratings: Ratings = {}
    for name in RATING_NAMES:
        if name == "internalStructure":
            ratings[name] = tuple([4 if lesion.kind == "cavitary" else 1] * n_readers)
        elif name == "calcification":
            ratings[name] = tuple([(2 if lesion.inner_hu is not None else 3) if calcified else 6] * n_readers)
        else:
            drawn = np.clip(np.rint(means[name] + 0.55 * rng.standard_normal(n_readers)), 1, 5)
            ratings[name] = tuple(int(v) for v in drawn)
    return ratings

"""Training samples of volume tasks: a person's label map, cut, turned and spaced as the task's net sees pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.inference.prompt import Prompt
from medviewer.inference.volume_crop import InputRule, crop_grid, sample
from medviewer.volume.volume import Volume


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedVolume:
    """A crop that a person drew or corrected; fields as in `hippocampus.HippocampusCase`, and its patient's hash."""

    name: str
    patient: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing_kji: tuple[float, float, float]


def sample_arrays(config: Mapping[str, Any], volume: Volume, labels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """The arrays that the correction queue keeps of a corrected volume: `image`, `label`, `spacing`.

    Args:
        config: config.json of the task's model.
        volume: the picture, with a Grid.
        labels: `[k, j, i]` on the volume's grid, 0 background, then the card's labels from 1.

    Raises:
        BadInput: nothing is drawn, the sizes differ, or the net was not trained on such a picture (with the reason).
    """
    if volume.grid is None or labels.shape != volume.size_kji:
        raise BadInput("the mask does not lie on the picture's grid, so the case cannot be queued")
    drawn = np.argwhere(labels > 0)
    if not len(drawn):
        raise BadInput("nothing is drawn, so there is nothing to learn from")
    corners = volume.grid.cropped(drawn.min(axis=0), np.ptp(drawn, axis=0) + 1).corners_lps()
    half = np.asarray(volume.grid.spacing_kji).max() / 2
    box = Prompt.of(None, (*(corners.min(axis=0) - half), *(corners.max(axis=0) + half)))
    target = crop_grid(volume.grid, box, InputRule.of(config), "this model")
    if isinstance(target, str):
        raise BadInput(f"the case cannot be queued: {target}")
    image = sample(volume, target)
    label = np.zeros(image.shape, dtype=np.uint8)
    best = np.full(image.shape, 0.5, dtype=np.float32)
    for value in range(1, int(labels.max()) + 1):
        share = sample(Volume((labels == value).astype(np.float32), volume.grid), target)
        label[share > best] = value
        best = np.maximum(best, share)
    return {"image": image, "label": label, "spacing": np.asarray(target.spacing_kji, dtype=np.float64)}


def corrected_volume(name: str, patient: str, arrays: Mapping[str, NDArray[Any]], labels: int) -> CorrectedVolume:
    """A case of the queue as a sample.

    Args:
        name, patient: of the case.
        arrays: as `sample_arrays` made them.
        labels: how many labels the task has.

    Raises:
        BadInput: an array is missing, of another shape or type, or the label is empty or has too many values.
    """
    missing = {"image", "label", "spacing"} - set(arrays)
    if missing:
        raise BadInput(f"case {name} of the queue has no `{sorted(missing)[0]}`, so it cannot be trained on")
    image, label = np.asarray(arrays["image"], dtype=np.float32), np.asarray(arrays["label"])
    if image.ndim != 3 or image.shape != label.shape or not np.all(np.isfinite(image)):
        raise BadInput(f"case {name} of the queue has a picture {image.shape} and a label {label.shape}")
    if not label.any() or label.max() > labels or np.any(label != np.rint(label)):
        raise BadInput(f"case {name} of the queue has an empty label map or one with more than {labels} labels")
    k, j, i = (float(s) for s in np.asarray(arrays["spacing"]).ravel()[:3])
    return CorrectedVolume(name, patient, image, label.astype(np.uint8), (k, j, i))

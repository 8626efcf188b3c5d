"""What nodule recipes and judges need of a case, whatever it comes from: a public set or a person's correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.inference.lesion import longest_diameter_mm


class NoduleSample(Protocol):
    """A crop with a click and what one or more people drew in it (fields as in `lidc_nodules.NoduleCase`)."""

    @property
    def nodule(self) -> str: ...  # noqa: D102
    @property
    def patient(self) -> str: ...  # noqa: D102
    @property
    def images(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def fraction(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def consensus(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def pixel_mm(self) -> float: ...  # noqa: D102
    @property
    def slice_spacing_mm(self) -> float: ...  # noqa: D102
    @property
    def diameter_mm(self) -> float: ...  # noqa: D102
    @property
    def click_kji(self) -> tuple[int, int, int]: ...  # noqa: D102
    @property
    def row(self) -> Mapping[str, str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class CorrectedNodule:
    """A nodule that a person drew or corrected.

    Attributes:
        nodule: name of the case; `patient`: its patient's hash.
        images: `[k, 96, 96]` float32 in 0..1.
        fraction: `[k, 96, 96]` float32: 0 or 1, or the share where several people drew.
        pixel_mm, slice_spacing_mm: mm.
        weight: how much it counts; less than 1 for a suggestion that nobody changed.
        click_kji: the click; by default the middle of the mask in its largest slice.
    """

    nodule: str
    patient: str
    images: NDArray[np.float32]
    fraction: NDArray[np.float32]
    pixel_mm: float
    slice_spacing_mm: float
    click_kji: tuple[int, int, int]
    weight: float = 1.0
    row: Mapping[str, str] = field(default_factory=dict)

    @property
    def consensus(self) -> NDArray[np.bool_]:
        """Voxels that at least half of the people drew."""
        drawn: NDArray[np.bool_] = self.fraction >= 0.5
        return drawn

    @property
    def diameter_mm(self) -> float:
        """Longest in-slice extent of the consensus."""
        return longest_diameter_mm(self.consensus, (self.slice_spacing_mm, self.pixel_mm, self.pixel_mm))


def corrected_nodule(name: str, patient: str, arrays: Mapping[str, NDArray[Any]]) -> CorrectedNodule:
    """A case of the queue as a sample.

    Args:
        name: of the case.
        patient: hash of its patient.
        arrays: `images` `[k, 96, 96]` (float in 0..1, or uint8 up to 254), `mask` of the same shape (0..1),
            `pixel_mm`, `slice_spacing_mm`, and `click_kji` and `weight` where they are known.

    Raises:
        BadInput: an array is missing, of another shape, or the mask is empty.
    """
    missing = {"images", "mask", "pixel_mm", "slice_spacing_mm"} - set(arrays)
    if missing:
        raise BadInput(f"case {name} of the queue has no `{sorted(missing)[0]}`, so it cannot be trained on")
    images, mask = np.asarray(arrays["images"]), np.asarray(arrays["mask"], dtype=np.float32)
    if images.ndim != 3 or images.shape[1:] != (96, 96) or images.shape != mask.shape:
        raise BadInput(f"case {name} of the queue has pictures {images.shape} and a mask {mask.shape}")
    scaled = images.astype(np.float32) / (np.float32(254.0) if images.dtype == np.uint8 else np.float32(1.0))
    if not mask.any():
        raise BadInput(f"case {name} of the queue has an empty mask, so there is nothing to learn from it")
    click = arrays.get("click_kji")
    if click is None:
        k = int(np.argmax((mask >= 0.5).sum(axis=(1, 2)) + mask.mean(axis=(1, 2))))
        places = np.argwhere(mask[k] >= min(0.5, float(mask[k].max())))
        middle = places[np.argmin(np.sum((places - places.mean(axis=0)) ** 2, axis=1))]
        at = (k, int(middle[0]), int(middle[1]))
    else:
        at = (round(float(click[0])), round(float(click[1])), round(float(click[2])))
    return CorrectedNodule(
        nodule=name,
        patient=patient,
        images=np.clip(scaled, 0, 1),
        fraction=np.clip(mask, 0, 1),
        pixel_mm=float(arrays["pixel_mm"]),
        slice_spacing_mm=float(arrays["slice_spacing_mm"]),
        click_kji=at,
        weight=float(arrays.get("weight", 1.0)),
    )

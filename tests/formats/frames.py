"""Enhanced multi-frame files made by the tests: functional groups shared or a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from tests.formats import samples

_NONE = dict.fromkeys(
    ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope",
     "RescaleIntercept", "WindowCenter", "WindowWidth")
)  # fmt: skip


def item(**elements: Any) -> Dataset:
    """A sequence item."""
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def groups(**sequences: Mapping[str, Any]) -> Dataset:
    """Functional groups: each a sequence of one item."""
    return item(**{name: [item(**content)] for name, content in sequences.items()})


def enhanced(
    path: Path,
    pixels: NDArray[Any],
    per_frame: Sequence[Dataset],
    shared: Dataset,
    **elements: Any,
) -> Path:
    """Write one file of many frames."""
    values = {**_NONE, "NumberOfFrames": len(per_frame), **elements}
    data = samples.picture(pixels, **values)
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = list(per_frame)
    return samples.save(data, path)


def placed(position: Sequence[float], **content: Any) -> Dataset:
    """A frame at a place; `content` are further groups."""
    return groups(PlanePositionSequence={"ImagePositionPatient": [float(v) for v in position]}, **content)


def plane(orientation: Sequence[float] = samples.AXIAL, spacing: Sequence[float] = (0.8, 0.5), **more: Any) -> Dataset:
    """Shared orientation and pixel measures."""
    return groups(
        PlaneOrientationSequence={"ImageOrientationPatient": list(orientation)},
        PixelMeasuresSequence={"PixelSpacing": list(spacing), "SliceThickness": 2.0},
        **more,
    )


def numbered(count: int, size: tuple[int, int] = (6, 5)) -> NDArray[np.int16]:
    """Frames that hold their own number."""
    return np.stack([np.full(size, n, dtype=np.int16) for n in range(count)])

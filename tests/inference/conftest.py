"""A small model package with random weights, and volumes that a small 3-D net takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medviewer.inference.package import ModelPackage, write_package
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

CARD: dict[str, Any] = {
    "task": "blob-segment",
    "title": "Blob: two halves",
    "version": "1",
    "kind": "volume-segment",
    "intended_use": "tests",
    "input": {"modalities": ["MR"], "prompt": "optional"},
    "output": {"labels": ["near", "far"]},
}
CONFIG: dict[str, Any] = {
    "network": {"name": "unet3d", "channels": [4, 8], "inputs": 1, "classes": 3, "coarse_heads": 0},
    "input": {
        "orientation": ["R", "A", "H"],
        "spacing_mm": 1.0,
        "coarsest_mm": 2.0,
        "smallest_mm_kji": [12, 12, 12],
        "largest_mm_kji": [64, 66, 64],
        "usual_mm_kji": [24, 24, 24],
        "margin_mm": 4.0,
        "multiple": 8,
        "mirror_axis": 2,
        "trained_on": "crops of 12 to 64 mm",
        "structure": "one blob",
    },
    "output": {"drop_below": 0.05},
}


def random_weights(config: dict[str, Any]) -> dict[str, Any]:
    """Weights of a net that is no good at anything, the same each time."""
    import torch

    from medviewer.inference.networks.registry import build

    torch.manual_seed(5)
    return dict(build(config["network"]).state_dict())


@pytest.fixture(scope="session")
def make_package() -> Callable[..., ModelPackage]:
    """Write a package: `make_package(folder, version="1", members=1, card={...}, config={...})`."""

    def make(
        root: Path,
        version: str = "1",
        members: int = 1,
        card: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        calibration: dict[str, Any] | None = None,
        shift: float = 0.0,
    ) -> ModelPackage:
        facts = {**CARD, "version": version, **(card or {})}
        settings = {**CONFIG, **(config or {})}
        weights = random_weights(settings)
        weights["head.bias"] = weights["head.bias"] + shift
        image = np.random.default_rng(1).normal(size=(16, 16, 16)).astype(np.float32)
        return write_package(
            root / facts["task"] / version,
            card=facts,
            weights=[weights] * members,
            config=settings,
            calibration=calibration or {},
            metrics={},
            golden=({"image": image}, None, {"default": 1e-3}),
            licence="none: random numbers",
        )

    return make


def blob_volume(size: int = 24, modality: str = "MR") -> Volume:
    """A bright ball in noise, int16, 1 mm, axes R A H as the net wants them."""
    k, j, i = np.indices((size, size, size)) - (size - 1) / 2
    noise = np.random.default_rng(2).normal(0, 20, (size, size, size))
    voxels = (100 + 300 * (k**2 + j**2 + i**2 < (size / 4) ** 2) + noise).astype(np.int16)
    grid = Grid((size,) * 3, (1.0,) * 3, (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0), (0.0, 0.0, 0.0))
    return Volume(voxels, grid, modality=modality, stack_id=f"blob-{size}")


@pytest.fixture
def volume() -> Volume:
    """The ball of 24 mm."""
    return blob_volume()

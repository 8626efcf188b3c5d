"""Drawn nodules for the tests of learning: balls in lung, with readers who draw a little differently."""

from __future__ import annotations

import numpy as np

from medviewer.learning.datasets.nodule_samples import CorrectedNodule


def drawn_nodule(n: int, *, patient: str | None = None, shift: float = 0.0) -> CorrectedNodule:
    """A ball of 5 to 9 mm in noise beside a vessel, in a crop of as many slices as it has."""
    rng = np.random.default_rng(n)
    pixel, spacing = float(rng.uniform(0.55, 0.8)), float(rng.uniform(1.0, 2.0))
    radius = float(rng.uniform(2.5, 4.5)) + shift
    count = 2 * int(radius / spacing) + 1
    k, j, i = np.meshgrid(np.arange(count) - count // 2, np.arange(96) - 48, np.arange(96) - 48, indexing="ij")
    away = np.sqrt((k * spacing) ** 2 + (j * pixel) ** 2 + (i * pixel) ** 2)
    images = np.full(away.shape, 0.15) + rng.normal(0, 0.02, away.shape)
    images += 0.5 * np.clip(radius + 0.5 - away, 0, 1)
    vessel = np.hypot(j * pixel - 14, i * pixel - 6)
    images += 0.5 * np.clip(2.5 - vessel, 0, 1)
    fraction = np.mean([away <= radius + d for d in (-0.4, 0.0, 0.4)], axis=0)
    return CorrectedNodule(
        nodule=f"case-{n}",
        patient=patient or f"patient-{n}",
        images=np.clip(images, 0, 1).astype(np.float32),
        fraction=fraction.astype(np.float32),
        pixel_mm=pixel,
        slice_spacing_mm=spacing,
        click_kji=(count // 2, 48, 48),
    )

"""What the scanner adds: slice profile, point spread, noise with a kernel's grain, streaks at the shoulders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medviewer.phantom.canvas import Lattice
from medviewer.phantom.recipe import Recipe, draw
from medviewer.phantom.seeds import generator
from medviewer.phantom.shapes import F32

#: Lowest and highest value that 12 stored bits hold with an intercept of -1024.
HU_RANGE = (-1024, 3071)


@dataclass(frozen=True, slots=True)
class Scanner:
    """How one patient was scanned.

    Attributes:
        pixel_mm: distance of columns and of rows.
        slice_spacing_mm: distance of slices; their thickness is the same.
        blur_mm: sigma of the in-plane point spread.
        sharpening: share of edge enhancement of a sharp kernel, 0 for a smooth one.
        noise: standard deviation in soft tissue, HU.
        grain_mm: correlation length of the noise.
    """

    pixel_mm: float
    slice_spacing_mm: float
    blur_mm: float
    sharpening: float
    noise: float
    grain_mm: float


def draw_scanner(recipe: Recipe, patient_id: str) -> Scanner:
    """The scanner of one patient: the same name gives the same scanner."""
    rng = generator("scanner", recipe.name, patient_id)
    plan = recipe.scanner
    spacing = float(rng.choice(np.asarray(plan["slice_spacing_mm"], dtype=np.float64)))
    sharp = bool(rng.random() < plan.get("sharp_share", 0.3))
    # Thick slices average noise away; sharp kernels raise it.
    noise = draw(rng, plan["noise"]) * (1.25 if sharp else 0.9) * float(np.clip(1.5 / spacing, 0.6, 1.2)) ** 0.5
    grain = draw(rng, plan["noise_grain_mm"]) * (0.75 if sharp else 1.0)
    return Scanner(
        pixel_mm=round(draw(rng, plan["pixel_mm"]), 6),
        slice_spacing_mm=spacing,
        blur_mm=draw(rng, plan["blur_mm"]),
        sharpening=draw(rng, (0.25, 0.6)) if sharp else 0.0,
        noise=noise,
        grain_mm=grain,
    )


def sub_slices(spacing_mm: float) -> int:
    """How many thin slices are painted and averaged for one slice of that thickness."""
    return int(np.clip(np.ceil(spacing_mm / 1.3), 1, 2))


def scanned(
    canvas: F32, scanner: Scanner, pixel_mm: float, rng: np.random.Generator, loudness: F32 | None = None
) -> NDArray[np.int16]:
    """The picture that the scanner makes of `canvas` `[k * n, j, i]` (n thin slices for one), int16 HU `[k, j, i]`.

    Args:
        canvas: painted HU.
        scanner: blur and noise.
        pixel_mm: distance of columns.
        rng: the noise.
        loudness: factor of the noise, `[k, j, i]`, or None.
    """
    from scipy.ndimage import gaussian_filter

    n = sub_slices(scanner.slice_spacing_mm)
    out = np.empty((len(canvas) // n, *canvas.shape[1:]), dtype=np.int16)
    sigma = scanner.blur_mm / pixel_mm
    grain = max(scanner.grain_mm / pixel_mm, 0.3)
    gain = _grain_gain(grain)
    for k in range(len(out)):
        image = canvas[k * n : k * n + n].mean(axis=0)
        sharp = gaussian_filter(image, sigma, truncate=3)
        if scanner.sharpening:
            sharp += scanner.sharpening * (sharp - gaussian_filter(image, sigma * 2.2, truncate=3))
        white = rng.standard_normal(image.shape, dtype=np.float32)
        noise = gaussian_filter(white, grain, truncate=3) - gaussian_filter(white, grain * 2.5, truncate=2.5)
        # Air attenuates nothing: there the noise is lower.
        noise *= scanner.noise * gain * np.clip((sharp + 1060) / 180, 0.35, 1)
        if loudness is not None:
            noise *= loudness[k]
        out[k] = np.clip(np.rint(sharp + noise), *HU_RANGE).astype(np.int16)
    return out


def shoulder_loudness(lattice: Lattice, z: float, gain: float, rng: np.random.Generator) -> F32:
    """Factor of the noise `[j, i]` at height z (anatomy's frame): bones across the beam starve it, in lines along x."""
    from scipy.ndimage import gaussian_filter1d

    share = float(np.clip((z - 35) / 45, 0, 1))
    lines = gaussian_filter1d(rng.standard_normal(len(lattice.y)), 1.2) * 1.8
    belt = np.exp(-(((lattice.y - 28) / 55) ** 2))
    factor = 1 + share * gain * belt * np.clip(1 + 0.6 * lines, 0, 3)
    return np.broadcast_to(factor[:, None], lattice.shape[1:]).astype(np.float32)


def _grain_gain(grain: float) -> float:
    """1 over the standard deviation of white noise after the band filter of that grain (pixels)."""
    from scipy.ndimage import gaussian_filter

    impulse = np.zeros((41, 41), dtype=np.float32)
    impulse[20, 20] = 1
    kernel = gaussian_filter(impulse, grain, truncate=3) - gaussian_filter(impulse, grain * 2.5, truncate=2.5)
    return float(1 / np.sqrt(np.sum(kernel.astype(np.float64) ** 2)))

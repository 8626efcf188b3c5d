"""The block that the classifier sees lies where the millimetres say, checked against scipy's interpolation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medviewer.inference.nodule_patch import (
    CROP_SIZE,
    PIXEL_MM,
    SIZE,
    SLICES,
    STEP_MM,
    Pose,
    blocks,
    slice_weights,
)


def smooth_crop(k: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(k, CROP_SIZE, CROP_SIZE)), (1, 3, 3))
    return (field / np.abs(field).max() * 0.5 + 0.5).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
    k=st.integers(1, 20),
    pixel=st.floats(0.5, 0.95),
    spacing=st.floats(0.6, 3.0),
    angle=st.floats(-math.pi, math.pi),
    shift=st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)),
    scale=st.floats(0.9, 1.1),
)
def test_a_block_holds_what_scipy_interpolates_at_its_places(
    k: int, pixel: float, spacing: float, angle: float, shift: tuple[float, float, float], scale: float
) -> None:
    crop = smooth_crop(k)
    got = blocks([crop], [pixel], [spacing], [Pose(shift, angle, scale)])[0].numpy()
    z = np.clip((k - 1) / 2 + ((np.arange(SLICES) - 2) * STEP_MM / scale + shift[0]) / spacing, 0, k - 1)
    axis = (np.arange(SIZE) - (SIZE - 1) / 2) * PIXEL_MM / scale
    y, x = np.meshgrid(axis, axis, indexing="ij")
    row = (CROP_SIZE - 1) / 2 + (y * math.cos(angle) + x * math.sin(angle) + shift[1]) / pixel
    column = (CROP_SIZE - 1) / 2 + (x * math.cos(angle) - y * math.sin(angle) + shift[2]) / pixel
    places = np.stack(
        [np.broadcast_to(z[:, None, None], (SLICES, SIZE, SIZE)), *(np.stack([a] * SLICES) for a in (row, column))]
    )
    wanted = ndimage.map_coordinates(crop, places, order=1, mode="nearest")
    assert np.abs(got - wanted).max() < 2e-3


def test_mirrors_are_mirrors() -> None:
    crop = smooth_crop(9)
    plain = blocks([crop], [0.7], [1.0])[0].numpy()
    mirrored = blocks([crop], [0.7], [1.0], [Pose(mirror=True)])[0].numpy()
    turned = blocks([crop], [0.7], [1.0], [Pose(upside_down=True)])[0].numpy()
    assert np.allclose(mirrored, plain[:, :, ::-1], atol=1e-5)
    assert np.allclose(turned, plain[::-1], atol=1e-5)


@given(st.integers(1, 40), st.floats(0.45, 5.0), st.floats(-3, 3))
def test_slices_beyond_the_ends_repeat_the_last_one(n: int, spacing: float, shift: float) -> None:
    lower, upper, weight = slice_weights(n, spacing, Pose(shift_kji_mm=(shift, 0, 0)))
    assert lower.min() >= 0
    assert upper.max() <= n - 1
    assert ((weight >= 0) & (weight <= 1)).all()
    where = lower + weight
    assert (np.diff(where) >= -1e-6).all()
    assert np.ptp(where) <= (SLICES - 1) * STEP_MM / spacing + 1e-6


def test_the_click_may_lie_anywhere_along_the_crop() -> None:
    crop = np.arange(11, dtype=np.float32)[:, None, None] * np.ones((1, CROP_SIZE, CROP_SIZE), np.float32)
    got = blocks([crop], [0.7], [STEP_MM], middles=[3.0])[0, :, 0, 0].numpy()
    assert got == pytest.approx([1, 2, 3, 4, 5])

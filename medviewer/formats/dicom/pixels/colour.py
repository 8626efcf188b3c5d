"""Colour models of DICOM to RGB and to grey (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]


def to_rgb(ybr: AnyArray, bits: int) -> AnyArray:
    """YBR_FULL [..., 3] to RGB of the same type, rounded half up and clipped.

    Args:
        ybr: luminance and both colour differences.
        bits: stored bits of a sample; the colour differences have their zero in the middle of these.
    """
    top = (1 << bits) - 1
    middle = (top + 1) // 2
    y, cb, cr = (ybr[..., n].astype(np.float64) for n in range(3))
    cb -= middle
    cr -= middle
    rgb = np.empty(ybr.shape, dtype=ybr.dtype)
    for n, channel in enumerate((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)):
        rgb[..., n] = np.clip(np.floor(channel + 0.5), 0, top).astype(ybr.dtype)
    return rgb


def partial_to_rgb(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """YBR_PARTIAL [..., 3] of 8 bits to RGB: black at 16, white at 235 (ITU-R BT.601; retired in DICOM)."""
    y, cb, cr = (ybr[..., n].astype(np.float64) - zero for n, zero in enumerate((16, 128, 128)))
    y *= 255 / 219
    cb *= 255 / 224
    cr *= 255 / 224
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


def from_422(raw: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Uncompressed YBR_FULL_422 (Y1 Y2 Cb Cr for two pixels) to YBR_FULL [rows, columns, 3], chroma repeated."""
    groups = raw[: rows * columns // 2 * 4].reshape(-1, 4)
    full = np.empty((groups.shape[0], 2, 3), dtype=np.uint8)
    full[:, :, 0] = groups[:, :2]
    full[:, :, 1:] = groups[:, None, 2:]
    return full.reshape(rows, columns, 3)


def luminance(rgb: AnyArray) -> AnyArray:
    """Grey of RGB [..., 3] in the same type (ITU-R BT.601), for planes and measurements of colour stacks."""
    weights = np.array([0.299, 0.587, 0.114])
    grey: AnyArray = np.rint(rgb.astype(np.float64) @ weights).astype(rgb.dtype)
    return grey


def eight_bit(rgb: AnyArray, bits: int) -> NDArray[np.uint8]:
    """RGB of any width as eight bits a sample."""
    if rgb.dtype == np.uint8 and bits >= 8:
        return rgb.astype(np.uint8, copy=False)
    wide = rgb.astype(np.int64)
    if bits < 8:
        return (wide * 255 // ((1 << bits) - 1)).astype(np.uint8)
    return (wide >> bits - 8).astype(np.uint8)


def expand_palette(indices: AnyArray, tables: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    """Palette indices to RGB [..., 3]: indices below the first mapped value take the first entry, above the last."""
    at = np.clip(indices.astype(np.int64) - first, 0, tables.shape[0] - 1)
    return tables[at]

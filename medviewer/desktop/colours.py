"""Colours of a file for the screen: through its ICC profile, where it has one, to sRGB (PS3.3 C.11.15)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColorSpace, QImage

if TYPE_CHECKING:
    from medviewer.formats.catalog import Stack


def frame_colours(stack: Stack, k: int) -> NDArray[np.uint8]:
    """The colours [rows, columns, 3] of one frame of a colour stack, as they should look on an sRGB screen.

    Raises:
        BadInput, MissingHere: as `load.read_frame_rgb`.
    """
    from medviewer.formats import load

    rgb = load.read_frame_rgb(stack, k)
    profile = load.read_icc_profile(stack, k)
    return rgb if profile is None else to_srgb(rgb, profile)


def to_srgb(rgb: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Colours that a profile describes as sRGB; unchanged where the profile is damaged, of another model or sRGB."""
    space = _colour_space(profile)
    if space is None:
        return rgb
    rgb = np.ascontiguousarray(rgb)
    rows, columns = rgb.shape[:2]
    image = QImage(rgb.data, columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    image.setColorSpace(space)
    shown = image.convertedToColorSpace(QColorSpace(QColorSpace.NamedColorSpace.SRgb))
    if shown.isNull():
        return rgb
    shown = shown.convertToFormat(QImage.Format.Format_RGB888)
    lines = np.frombuffer(shown.constBits(), np.uint8).reshape(rows, shown.bytesPerLine())
    return lines[:, : 3 * columns].reshape(rows, columns, 3).copy()


@lru_cache(maxsize=16)
def _colour_space(profile: bytes) -> QColorSpace | None:
    """What Qt makes of a profile; None where there is nothing to convert."""
    if profile[16:20] != b"RGB ":  # the model of the device's colours
        return None
    space = QColorSpace.fromIccProfile(profile)
    return space if space.isValid() and space != QColorSpace(QColorSpace.NamedColorSpace.SRgb) else None

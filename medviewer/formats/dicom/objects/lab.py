"""Recommended Display CIELab Value (0062,000D) to RGB (PS3.3 C.10.7.1.1): three numbers of 16 bits; white of sRGB."""

from __future__ import annotations

from collections.abc import Sequence

#: The white of sRGB (IEC 61966-2-1) in XYZ, Y = 1.
_WHITE = (0.95047, 1.0, 1.08883)
_TO_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))


def rgb_of_lab(values: Sequence[float | None]) -> tuple[int, int, int] | None:
    """The colour of L* a* b* as DICOM stores them (0 to 65535); None where they are no colour.

    Colours that no screen of sRGB shows are brought to its border.
    """
    if len(values) != 3 or any(v is None or not 0 <= v <= 0xFFFF for v in values):
        return None
    light, a, b = (float(v or 0.0) for v in values)
    lightness, red_green, blue_yellow = light / 655.35, a * 255 / 0xFFFF - 128, b * 255 / 0xFFFF - 128
    y = (lightness + 16) / 116
    xyz = [w * _cubed(f) for w, f in zip(_WHITE, (y + red_green / 500, y, y - blue_yellow / 200), strict=True)]
    red, green, blue = (_encoded(sum(m * v for m, v in zip(row, xyz, strict=True))) for row in _TO_RGB)
    return red, green, blue


def _cubed(f: float) -> float:
    return f**3 if f**3 > 216 / 24389 else (f - 4 / 29) * 108 / 841


def _encoded(linear: float) -> int:
    """Gamma of sRGB, as eight bits."""
    gamma = 1.055 * linear ** (1 / 2.4) - 0.055 if linear > 0.0031308 else 12.92 * linear
    return min(255, max(0, round(255 * gamma)))

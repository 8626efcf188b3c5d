"""Which spacing counts, and what a millimetre then means (PS3.3 10.7.1.3 and IHE's reading of it).

Slices have a Pixel Spacing in the patient. Projections have one at the detector, unless somebody calibrated; scanned
film has one on the film; ultrasound has one inside its regions. What is ambiguous has none.
"""

from __future__ import annotations

from typing import NamedTuple

from medviewer.formats.catalog import Quality
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.sop_classes import PROJECTIONS

_CENTIMETRES = 3  # Physical Units X/Y Direction, PS3.3 C.8.5.5.1.15
_PROJECTION_MODALITIES = frozenset({"CR", "DX", "MG", "XA", "RF", "IO", "PX", "RG"})
#: Magnifications that differ by more than this are two.
_SAME_MAGNIFICATION = 0.02
_MAGNIFICATIONS = (0.5, 20.0)


class PixelSize(NamedTuple):
    """Size of a pixel.

    Attributes:
        spacing: mm between rows, between columns; None where it is unknown.
        source: the attribute that it comes from, "" where unknown.
        words: what a millimetre means, "" where it is one of the patient's.
    """

    spacing: tuple[float, float] | None
    source: str = ""
    words: str = ""


def pair(data: Elements, tag: int, faults: dict[str, Quality] | None = None) -> tuple[float, float] | None:
    """Two positive distances in mm, None where they are absent or make no sense (then noted in `faults`)."""
    if tag not in data or not data.text(tag):
        return None
    numbers = data.vector(tag, 2)
    if numbers is None or min(numbers) <= 1e-6 or max(numbers) > 1e5:
        if faults is not None:
            faults["no-spacing"] = Quality("no-spacing", "Pixel Spacing is not two positive numbers")
        return None
    return numbers[0], numbers[1]


def pixel_size(data: Elements, sop_class: str, modality: str, faults: dict[str, Quality]) -> PixelSize:
    """The pixel size of a picture that says it at its top level."""
    pixel = pair(data, T.PIXEL_SPACING, faults)
    imager = pair(data, T.IMAGER_SPACING)
    projection = sop_class in PROJECTIONS or modality in _PROJECTION_MODALITIES
    if projection and (pixel or imager):
        return _projected(data, pixel, imager, faults)
    if pixel is not None:
        return PixelSize(pixel, "PixelSpacing")
    if imager is not None:
        return _projected(data, None, imager, faults)
    nominal = pair(data, T.NOMINAL_SCANNED_SPACING)
    if nominal is not None:
        return PixelSize(nominal, "NominalScannedPixelSpacing", "on the film")
    regions = data.items(T.ULTRASOUND_REGIONS)
    found = {_region_spacing(region) for region in regions} - {None}
    if regions and len(found) == 1:
        return PixelSize(found.pop(), "UltrasoundRegion", "US region")
    return PixelSize(None)


def _projected(
    data: Elements,
    pixel: tuple[float, float] | None,
    imager: tuple[float, float] | None,
    faults: dict[str, Quality],
) -> PixelSize:
    kind = data.text(T.CALIBRATION_TYPE).upper()
    if pixel is not None and kind in ("GEOMETRY", "FIDUCIAL"):
        return PixelSize(pixel, "PixelSpacing", f"calibrated: {kind.lower()}")
    factors = [f for f in data.numbers(T.MAGNIFICATION) if f and _MAGNIFICATIONS[0] < f < _MAGNIFICATIONS[1]]
    if pixel is not None and imager is None:
        return PixelSize(pixel, "PixelSpacing", "calibration unknown")
    assert imager is not None
    if pixel is not None and max(abs(a - b) for a, b in zip(pixel, imager, strict=True)) < 1e-6:
        return _at_detector(pixel, "PixelSpacing", faults)
    if pixel is not None:
        factors.append(imager[0] / pixel[0])
    if factors and max(factors) - min(factors) > _SAME_MAGNIFICATION * min(factors):
        said = " and ".join(f"{f:.2f}" for f in dict.fromkeys(round(f, 2) for f in factors))
        faults["no-spacing"] = Quality("no-spacing", f"the file says two magnifications, {said}: no mm")
        return PixelSize(None)
    if pixel is not None and len(factors) == 1:
        faults["imager-spacing"] = Quality(
            "imager-spacing", "Pixel Spacing differs from the detector's and nothing says why", "calibration unknown"
        )
        return PixelSize(pixel, "PixelSpacing", "calibration unknown")
    if pixel is None:
        faults.pop("no-spacing", None)
    if not factors or abs(factors[0] - 1) < 1e-6:
        return _at_detector(pixel or imager, "PixelSpacing" if pixel else "ImagerPixelSpacing", faults)
    factor = factors[0]
    detail = f"mm are the detector's divided by an estimated magnification of {factor:.2f}"
    faults["imager-spacing"] = Quality("imager-spacing", detail, f"mm (magn. {factor:.2f})")
    if pixel is not None:
        return PixelSize(pixel, "PixelSpacing", f"magn. {factor:.2f}")
    return PixelSize((imager[0] / factor, imager[1] / factor), "ImagerPixelSpacing", f"magn. {factor:.2f}")


def _at_detector(spacing: tuple[float, float], source: str, faults: dict[str, Quality]) -> PixelSize:
    detail = "mm are at the detector, not in the patient"
    faults["imager-spacing"] = Quality("imager-spacing", detail, "mm at detector")
    return PixelSize(spacing, source, "at detector")


def _region_spacing(region: Elements) -> tuple[float, float] | None:
    if (region.integer(T.REGION_UNITS_X), region.integer(T.REGION_UNITS_Y)) != (_CENTIMETRES, _CENTIMETRES):
        return None
    dx, dy = region.number(T.REGION_DELTA_X), region.number(T.REGION_DELTA_Y)
    if not dx or not dy:
        return None
    return round(abs(dy) * 10, 9), round(abs(dx) * 10, 9)


def pixel_aspect(data: Elements) -> float | None:
    """Height of a pixel to its width (0028,0034), None where absent or square."""
    aspect = data.vector(T.PIXEL_ASPECT, 2)
    if aspect is None or min(aspect) <= 0 or abs(aspect[0] - aspect[1]) < 1e-9:
        return None
    ratio = aspect[0] / aspect[1]
    return ratio if 0.05 < ratio < 20 else None

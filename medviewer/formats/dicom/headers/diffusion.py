"""Diffusion weighting and part of a complex picture: the standard's attributes, else those of the makers.

Private elements count only where the maker's own creator stands in the block (PS3.5 7.8.1); without any creator (it is
often lost in anonymising) the usual block is believed.
"""

from __future__ import annotations

import struct

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements

#: Parts of a complex picture (0008,9208) as people say them; MIXED says nothing about a picture.
COMPONENTS: dict[str, str] = {
    "MAGNITUDE": "magnitude", "PHASE": "phase", "REAL": "real", "IMAGINARY": "imaginary",
}  # fmt: skip
_GE_COMPONENTS = ("magnitude", "phase", "real", "imaginary")
#: GE adds a flag to b-values of several shells: 1000000800 means 800.
_GE_FLAG = 100_000
#: More than this is no b-value, s/mm².
_MOST = 100_000.0


def b_value(data: Elements) -> float | None:
    """The b-value in s/mm² of a classic picture, None where the file has none."""
    value = data.number(T.B_VALUE)
    if value is None and _is_of(data, T.CREATOR_19, "SIEMENS"):
        value = _number(data, T.SIEMENS_B_VALUE)
    if value is None and _is_of(data, T.CREATOR_43, "GEMS"):
        value = _number(data, T.GE_B_VALUE)
        if value is not None:
            value %= _GE_FLAG
    if value is None and _is_of(data, T.CREATOR_2001, "PHILIPS"):
        value = _number(data, T.PHILIPS_B_VALUE)
    return value if value is not None and 0 <= value < _MOST else None


def diffusion_gradient(data: Elements) -> tuple[float, ...] | None:
    """The direction of the gradient as the file has it, None where it has none."""
    found = data.vector(T.GRADIENT, 3)
    if found is None and _is_of(data, T.CREATOR_19, "SIEMENS"):
        found = data.vector(T.SIEMENS_GRADIENT, 3)
    if found is None and _is_of(data, T.CREATOR_19, "GEMS"):
        found = _three(data, T.GE_GRADIENT_X, T.GE_GRADIENT_Y, T.GE_GRADIENT_Z)
    if found is None and _is_of(data, T.CREATOR_2005, "PHILIPS"):
        found = _three(data, T.PHILIPS_GRADIENT_X, T.PHILIPS_GRADIENT_Y, T.PHILIPS_GRADIENT_Z)
    return found


def _is_of(data: Elements, creator: int, maker: str) -> bool:
    name = data.text(creator).upper()
    return not name or name.startswith(maker)


def ge_component(data: Elements) -> str | None:
    """GE's kind of picture: magnitude, phase, real or imaginary."""
    kind = data.integer(T.GE_IMAGE_KIND) if data.vr(T.GE_IMAGE_KIND) in ("SS", "US", "IS") else None
    if kind is None or not 0 <= kind < len(_GE_COMPONENTS) or not _is_of(data, T.CREATOR_43, "GEMS"):
        return None
    return _GE_COMPONENTS[kind]


def _number(data: Elements, tag: int) -> float | None:
    """A private number; where the file has lost its VR (UN), as text or as the float that it is by rule."""
    vr = data.vr(tag)
    if vr == "UN" and T.WANTED[tag] == b"FL" and len(data.bytes(tag)) == 4:
        return float(struct.unpack(">f" if data.big_endian else "<f", data.bytes(tag))[0])
    return data.number(tag) if vr in ("IS", "FL", "FD", "DS", "UN") else None


def _three(data: Elements, *tags: int) -> tuple[float, ...] | None:
    numbers = [_number(data, tag) for tag in tags]
    return None if any(n is None for n in numbers) else tuple(n for n in numbers if n is not None)

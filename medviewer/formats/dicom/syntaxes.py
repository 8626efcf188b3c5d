"""Transfer syntaxes that the program reads (PS3.5 annex A), and their names for people."""

from __future__ import annotations

_ROOT = "1.2.840.10008.1.2"

#: Uncompressed pixels.
NATIVE = frozenset({_ROOT, f"{_ROOT}.1", f"{_ROOT}.1.99", f"{_ROOT}.2"})

_NAMES: dict[str, str] = {
    _ROOT: "Implicit VR Little Endian",
    f"{_ROOT}.1": "Explicit VR Little Endian",
    f"{_ROOT}.1.99": "Deflated Explicit VR Little Endian",
    f"{_ROOT}.2": "Explicit VR Big Endian",
    f"{_ROOT}.4.50": "JPEG Baseline",
    f"{_ROOT}.4.51": "JPEG Extended",
    f"{_ROOT}.4.53": "JPEG Spectral Selection (retired)",
    f"{_ROOT}.4.55": "JPEG Full Progression (retired)",
    f"{_ROOT}.4.57": "JPEG Lossless",
    f"{_ROOT}.4.70": "JPEG Lossless SV1",
    f"{_ROOT}.4.80": "JPEG-LS Lossless",
    f"{_ROOT}.4.81": "JPEG-LS Near-lossless",
    f"{_ROOT}.4.90": "JPEG 2000 Lossless",
    f"{_ROOT}.4.91": "JPEG 2000",
    f"{_ROOT}.4.92": "JPEG 2000 Part 2 Lossless",
    f"{_ROOT}.4.93": "JPEG 2000 Part 2",
    f"{_ROOT}.4.201": "HTJ2K Lossless",
    f"{_ROOT}.4.202": "HTJ2K Lossless RPCL",
    f"{_ROOT}.4.203": "HTJ2K",
    f"{_ROOT}.5": "RLE Lossless",
    f"{_ROOT}.8.1": "Deflated Image Frame",
}

#: JPEG processes 1 to 14: the frame starts with a JPEG header that states its size.
JPEG = frozenset(f"{_ROOT}.4.{n}" for n in (50, 51, 53, 55, 57, 70))
JPEG_LS = frozenset(f"{_ROOT}.4.{n}" for n in (80, 81))
JPEG_2000 = frozenset(f"{_ROOT}.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
RLE = f"{_ROOT}.5"
DEFLATED_FRAMES = f"{_ROOT}.8.1"


def is_known(uid: str) -> bool:
    """True for a transfer syntax that some decoder here may read."""
    return uid in _NAMES


def syntax_name(uid: str) -> str:
    """Its name for people, the UID itself where unknown."""
    return _NAMES.get(uid, uid[:64] or "(none)")

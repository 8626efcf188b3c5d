"""Transfer syntaxes that the program reads (PS3.5 annex A), and their names for people."""

from __future__ import annotations

_ROOT = "1.2.840.10008.1.2"

#: Uncompressed pixels.
NATIVE = frozenset({_ROOT, f"{_ROOT}.1", f"{_ROOT}.1.99", f"{_ROOT}.2"})

#: Syntaxes that always lose something, whatever the file says of itself.
ALWAYS_LOSSY = frozenset({f"{_ROOT}.4.{n}" for n in (50, 51, 53, 55)})

_NAMES: dict[str, str] = {
    _ROOT: "Implicit VR Little Endian",
    f"{_ROOT}.1": "Explicit VR Little Endian",
    f"{_ROOT}.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
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

#: Those without a permissive decoder, or without pixels in the file; named so that the sentence can name them.
_UNREAD: dict[str, str] = {
    **{f"{_ROOT}.4.{n}": "a JPEG process that DICOM has retired" for n in (52, 54, 56, *range(58, 67))},
    f"{_ROOT}.4.94": "JPIP Referenced (the pixels lie on a server)",
    f"{_ROOT}.4.95": "JPIP Referenced Deflate (the pixels lie on a server)",
    f"{_ROOT}.4.100": "MPEG2 Main Profile video",
    f"{_ROOT}.4.100.1": "MPEG2 Main Profile video",
    f"{_ROOT}.4.101": "MPEG2 High Level video",
    f"{_ROOT}.4.101.1": "MPEG2 High Level video",
    f"{_ROOT}.4.102": "MPEG-4 AVC/H.264 video",
    f"{_ROOT}.4.102.1": "MPEG-4 AVC/H.264 video",
    f"{_ROOT}.4.103": "MPEG-4 AVC/H.264 BD-compatible video",
    f"{_ROOT}.4.103.1": "MPEG-4 AVC/H.264 BD-compatible video",
    f"{_ROOT}.4.104": "MPEG-4 AVC/H.264 video for 2D",
    f"{_ROOT}.4.104.1": "MPEG-4 AVC/H.264 video for 2D",
    f"{_ROOT}.4.105": "MPEG-4 AVC/H.264 video for 3D",
    f"{_ROOT}.4.105.1": "MPEG-4 AVC/H.264 video for 3D",
    f"{_ROOT}.4.106": "MPEG-4 AVC/H.264 stereo video",
    f"{_ROOT}.4.106.1": "MPEG-4 AVC/H.264 stereo video",
    f"{_ROOT}.4.107": "HEVC/H.265 video",
    f"{_ROOT}.4.108": "HEVC/H.265 10-bit video",
    f"{_ROOT}.4.110": "JPEG XL Lossless",
    f"{_ROOT}.4.111": "JPEG XL JPEG Recompression",
    f"{_ROOT}.4.112": "JPEG XL",
    f"{_ROOT}.4.204": "JPIP HTJ2K Referenced (the pixels lie on a server)",
    f"{_ROOT}.4.205": "JPIP HTJ2K Referenced Deflate (the pixels lie on a server)",
    f"{_ROOT}.6.1": "RFC 2557 MIME encapsulation",
    f"{_ROOT}.6.2": "XML Encoding",
    f"{_ROOT}.7.1": "SMPTE ST 2110-20 uncompressed video",
    f"{_ROOT}.7.2": "SMPTE ST 2110-20 uncompressed interlaced video",
    f"{_ROOT}.7.3": "SMPTE ST 2110-30 PCM audio",
}

#: JPEG processes 1 to 14: the frame starts with a JPEG header that states its size.
JPEG = frozenset(f"{_ROOT}.4.{n}" for n in (50, 51, 53, 55, 57, 70))
JPEG_LS = frozenset(f"{_ROOT}.4.{n}" for n in (80, 81))
JPEG_2000 = frozenset(f"{_ROOT}.4.{n}" for n in (90, 91, 92, 93, 201, 202, 203))
RLE = f"{_ROOT}.5"
RAW_FRAMES = f"{_ROOT}.1.98"
DEFLATED_FRAMES = f"{_ROOT}.8.1"


def is_known(uid: str) -> bool:
    """True for a transfer syntax that some decoder here may read."""
    return uid in _NAMES


def syntax_name(uid: str) -> str:
    """Its name for people, the UID itself where unknown."""
    return _NAMES.get(uid) or _UNREAD.get(uid) or uid[:64] or "(none)"

"""What a file is, by its first bytes: never by its name alone."""

from __future__ import annotations

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ObjectType", "a MetaImage"),
    (b"SQLite format 3", "a database"),
    (b"\x89HDF", "HDF5"),
)


def describe(start: bytes) -> str:
    """What the first bytes look like, for people; "unknown data" if nothing is recognised."""
    head = start[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    if head.startswith(b"<?xml"):
        return "XML"
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    sample = start[:512]
    if sample and all(byte >= 32 or byte in b"\t\r\n\f" for byte in sample):
        return "JSON" if head.startswith((b"{", b"[")) else "text"
    return "unknown data"


def is_nifti(start: bytes, name: str) -> bool:
    """True for the header of NIfTI-1 or -2, or a gzip file or an Analyze 7.5 header whose name says so."""
    if start[:2] == b"\x1f\x8b":
        return name.lower().endswith((".nii.gz", ".hdr.gz"))
    if name.lower().endswith(".hdr") and start[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return True
    return start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0")


def is_nrrd(start: bytes) -> bool:
    """True for the magic of NRRD."""
    return start[:7] == b"NRRD000"

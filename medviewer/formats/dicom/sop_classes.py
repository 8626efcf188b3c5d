"""What a SOP class means to a viewer: picture, or an object of some kind (PS3.4 B.5, PS3.6 annex A)."""

from __future__ import annotations

_STORAGE = "1.2.840.10008.5.1.4.1.1."

#: Kinds of objects by the UID below the storage root.
_KINDS: dict[str, str] = {
    "66.4": "SEG", "66.7": "LABELMAP", "66.5": "other", "66.1": "other", "66.2": "other", "66.3": "other",
    "66": "other", "67": "RWV", "68.1": "other", "68.2": "other",
    "481.2": "RTDOSE", "481.3": "RTSTRUCT", "481.5": "RTPLAN", "481.8": "RTPLAN", "481.4": "other",
    "481.6": "other", "481.7": "other", "481.9": "other",
    "104.1": "PDF", "104.2": "other", "104.3": "M3D", "104.4": "M3D", "104.5": "M3D",
    "91.1": "ANN", "4.2": "MR-spectroscopy", "88.59": "KO",
    "11.1": "PR", "11.2": "PR", "11.3": "PR", "11.4": "PR", "11.5": "PR", "11.6": "PR", "11.7": "PR", "11.8": "PR",
    "11.9": "PR", "11.10": "PR", "11.11": "PR", "11.12": "PR",
    "9": "other", "10": "other", "8": "other", "79.1": "other", "9.100.1": "PR", "9.100.2": "PR",
}  # fmt: skip


def object_kind(sop_class: str) -> str | None:
    """The kind of an object that is no picture of its own, None for image storage and for unknown classes."""
    if sop_class == "1.2.840.10008.1.3.10":
        return "DICOMDIR"
    if not sop_class.startswith(_STORAGE):
        return None
    rest = sop_class[len(_STORAGE) :]
    kind = _KINDS.get(rest)
    if kind is not None:
        return kind
    if rest == "88.67" or rest.startswith("88."):
        return "SR"
    if rest.startswith("9."):
        return "WAVEFORM"
    return None


#: SOP classes whose pictures are projections: several of one series are never slices of one volume.
PROJECTIONS = frozenset(
    _STORAGE + tail
    for tail in (
        "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "6.1", "6", "3.1", "3", "12.1", "12.1.1", "12.2", "12.2.1",
        "12.77", "7", "7.1", "7.2", "7.3", "7.4", "77.1.1", "77.1.2", "77.1.4", "77.1.1.1", "77.1.2.1", "77.1.4.1",
        "77.1.5.1", "481.1", "5", "77.1.6",
    )
)  # fmt: skip

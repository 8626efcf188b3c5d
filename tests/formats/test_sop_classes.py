"""Every storage class of the standard's registry is a picture or an object of a kind that the contract names."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary

from medviewer.formats.dicom.sop_classes import object_kind

STORAGE = "1.2.840.10008.5.1.4.1.1."
PICTURES = sorted(
    uid
    for uid, (name, kind, *_) in UID_dictionary.items()
    if kind == "SOP Class" and name.endswith("Image Storage") and uid.startswith(STORAGE)
)


@pytest.mark.parametrize("uid", PICTURES)
def test_image_storage_is_a_picture(uid: str) -> None:
    assert object_kind(uid) is None


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Presentation State", "PR"), ("Waveform Storage", "WAVEFORM"), ("SR Storage", "SR"), ("RT Dose", "RTDOSE"),
        ("RT Structure", "RTSTRUCT"), ("RT Plan", "RTPLAN"), ("RT Ion Plan", "RTPLAN"), ("Key Object", "KO"),
        ("Encapsulated PDF", "PDF"), ("Encapsulated STL", "M3D"), ("Encapsulated OBJ", "M3D"),
        ("Real World Value", "RWV"), ("Bulk Simple Annotations", "ANN"), ("MR Spectroscopy", "MR-spectroscopy"),
    ],
)  # fmt: skip
def test_the_kind_follows_from_the_name(words: str, kind: str) -> None:
    found = {
        uid: object_kind(uid)
        for uid, (name, sort, *_) in UID_dictionary.items()
        if sort == "SOP Class" and words in name and uid.startswith(STORAGE)
    }
    assert found and set(found.values()) == {kind}

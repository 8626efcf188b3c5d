"""Coded terms (PS3.3 8.8): what a segment is, in words that other programs understand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept.

    Attributes:
        value: Code Value (0008,0100).
        scheme: Coding Scheme Designator (0008,0102): "SCT" is SNOMED CT, "DCM" is DICOM's own.
        meaning: Code Meaning (0008,0104), for people.
    """

    value: str
    scheme: str
    meaning: str


# Categories, PS3.16 CID 7150.
TISSUE = Code("85756007", "SCT", "Tissue")
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
MORPHOLOGICALLY_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")

# Types, PS3.16 CIDs 7151, 7153, 7159 and what they include.
NODULE = Code("27925004", "SCT", "Nodule")
LESION = Code("52988006", "SCT", "Lesion")
LUNG = Code("39607008", "SCT", "Lung")
HIPPOCAMPUS = Code("5366008", "SCT", "Hippocampus")

# Modifiers, PS3.16 CID 2 and CID 244 hold laterality; front and back are SNOMED qualifiers.
ANTERIOR = Code("255549009", "SCT", "Anterior")
POSTERIOR = Code("255551008", "SCT", "Posterior")


@dataclass(frozen=True, slots=True)
class SegmentMeaning:
    """What a segment is: category, type, where in the body, and which part of it.

    Attributes:
        category: Segmented Property Category (0062,0003).
        kind: Segmented Property Type (0062,000F).
        modifier: Segmented Property Type Modifier (0062,0011), or None.
        region: Anatomic Region (0008,2218), or None where the type is anatomy itself.
    """

    category: Code = TISSUE
    kind: Code = TISSUE
    modifier: Code | None = None
    region: Code | None = None


#: Meanings of the labels that the shipped tasks use; a card may name others.
MEANINGS: dict[str, SegmentMeaning] = {
    "nodule": SegmentMeaning(MORPHOLOGICALLY_ABNORMAL, NODULE, region=LUNG),
    "lesion": SegmentMeaning(MORPHOLOGICALLY_ABNORMAL, LESION),
    "lung": SegmentMeaning(ANATOMICAL_STRUCTURE, LUNG),
    "hippocampus": SegmentMeaning(ANATOMICAL_STRUCTURE, HIPPOCAMPUS),
    "anterior": SegmentMeaning(ANATOMICAL_STRUCTURE, HIPPOCAMPUS, modifier=ANTERIOR),
    "posterior": SegmentMeaning(ANATOMICAL_STRUCTURE, HIPPOCAMPUS, modifier=POSTERIOR),
}


def meaning_of(label: str) -> SegmentMeaning:
    """The meaning of a label: exact, or by its first word ("Nodule 2" is a nodule), else plain tissue."""
    words = label.lower().replace("-", " ").split()
    for name in (label.lower(), *words):
        if name in MEANINGS:
            return MEANINGS[name]
    return SegmentMeaning()

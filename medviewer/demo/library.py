"""The demo's library: nodules with pictures, so that the panel of similar cases is not empty at first sight."""

from __future__ import annotations

from collections.abc import Sequence

from medviewer.demo.patients import Patient
from medviewer.inference.store import ModelStore


def add_to_library(store: ModelStore, patients: Sequence[Patient]) -> int:
    """Add each patient's nodule to the user's library; gives how many could be added."""
    from medviewer.inference.nodule_query import nodule_query
    from medviewer.inference.prompt import Prompt
    from medviewer.inference.similar_nodule import library_nodule, load_finder, own_library

    finder = load_finder(store.champion("lung-nodule-similar"))
    library = own_library()
    added = 0
    for patient in patients:
        query = nodule_query(patient.volume, Prompt.of(point_lps=patient.centre_lps), finder.ensemble)
        if isinstance(query, str):
            continue
        mean = patient.ratings["malignancy"]
        label = "malignant" if mean > 3 else "benign" if mean < 3 else "uncertain"
        library.add(
            library_nodule(
                finder,
                query,
                patient=library.patient_hash(patient.patient_id),
                source="phantom",
                label=label,
                diameter_mm=patient.diameter_mm,
                ratings=patient.ratings,
            )
        )
        added += 1
    return added

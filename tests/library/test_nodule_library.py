"""The user's own nodules: what is added comes back, what is deleted is gone from the disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import BadInput, SaveFailed
from medviewer.library.nodule_library import LibraryNodule, NoduleLibrary


def nodule(seed: int = 0, patient: str = "p1") -> LibraryNodule:
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=64).astype(np.float32)
    return LibraryNodule(
        thumbnail=rng.integers(0, 255, (48, 48), dtype=np.uint8),
        vector=vector / np.linalg.norm(vector),
        space="s" * 64,
        block=rng.integers(0, 255, (5, 48, 48), dtype=np.uint8),
        patient=patient,
        label="benign",
        diameter_mm=8.5,
        ratings={"malignancy": 2.25},
    )


def test_what_is_added_comes_back(tmp_path: Path) -> None:
    library = NoduleLibrary(tmp_path / "nodules")
    assert library.nodules() == []
    kept = nodule()
    case = library.add(kept)
    got = NoduleLibrary(tmp_path / "nodules").get(case)
    for name in ("thumbnail", "vector", "block"):
        assert np.array_equal(getattr(got, name), getattr(kept, name))
    for name in ("space", "patient", "source", "label", "diameter_mm", "ratings"):
        assert getattr(got, name) == getattr(kept, name)
    assert got.id == case


def test_a_deleted_case_leaves_nothing_behind(tmp_path: Path) -> None:
    library = NoduleLibrary(tmp_path)
    gone, stays = library.add(nodule(1, "p1")), library.add(nodule(2, "p2"))
    library.remove(gone)
    assert library.ids() == [stays]
    assert [path.stem for path in tmp_path.iterdir()] == [stays]  # no cache, no database page
    with pytest.raises(BadInput, match="no nodule"):
        library.get(gone)
    with pytest.raises(BadInput, match="no nodule"):
        library.remove(gone)


def test_a_patient_is_deleted_with_all_nodules(tmp_path: Path) -> None:
    library = NoduleLibrary(tmp_path)
    for seed, patient in enumerate(("a", "b", "a")):
        library.add(nodule(seed, patient))
    assert library.remove_patient("a") == 2
    assert [n.patient for n in library.nodules()] == ["b"]


def test_unknown_size_stays_unknown(tmp_path: Path) -> None:
    library = NoduleLibrary(tmp_path)
    assert library.get(library.add(replace(nodule(), diameter_mm=None))).diameter_mm is None


def test_a_damaged_file_costs_one_case(tmp_path: Path) -> None:
    library = NoduleLibrary(tmp_path)
    bad, good = library.add(nodule(1)), library.add(nodule(2))
    (tmp_path / f"{bad}.npz").write_bytes(b"PK\x03\x04 nothing")
    assert [n.id for n in library.nodules()] == [good]
    with pytest.raises(BadInput, match="cannot be read"):
        library.get(bad)


@pytest.mark.parametrize("case", ["../x", "a" * 31, "A" * 32, "", "/etc/passwd"])
def test_an_id_is_never_a_path(tmp_path: Path, case: str) -> None:
    with pytest.raises(BadInput):
        NoduleLibrary(tmp_path).get(case)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveFailed, match="could not be kept"):
        NoduleLibrary(tmp_path / "file" / "below").add(nodule())


def test_a_patient_is_known_by_a_hash_that_others_cannot_compute(tmp_path: Path) -> None:
    one, other = NoduleLibrary(tmp_path / "one"), NoduleLibrary(tmp_path / "other")
    assert one.patient_hash("4711") == NoduleLibrary(tmp_path / "one").patient_hash("4711")
    assert one.patient_hash("4711") not in (other.patient_hash("4711"), one.patient_hash("4712"))
    assert one.patient_hash("") == ""
    assert one.ids() == []

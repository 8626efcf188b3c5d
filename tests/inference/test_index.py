"""Exact search: the nearest by brute force, never the same patient, never another model's vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medviewer.errors import Refused
from medviewer.inference.index import EmbeddingIndex, IndexedCase, read_index


def index(n: int = 30, seed: int = 0, space: str = "a" * 64) -> EmbeddingIndex:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cases = tuple(IndexedCase(f"c{i}", f"p{i // 3}", "benign", 5.0 + i, {"malignancy": 2.0}, "test") for i in range(n))
    return EmbeddingIndex(space, vectors, cases)


@given(st.integers(0, 29), st.integers(1, 40))
def test_hits_are_the_nearest_in_order_and_of_other_patients(row: int, k: int) -> None:
    archive = index()
    hits = archive.nearest(archive.vectors[row], k, exclude_patients={f"p{row // 3}"})
    brute = sorted((1 - float(archive.vectors[n] @ archive.vectors[row]), n) for n in range(30) if n // 3 != row // 3)
    assert [hit.case.case for hit in hits] == [f"c{n}" for _, n in brute[:k]]
    assert [hit.distance for hit in hits] == pytest.approx([d for d, _ in brute[:k]], abs=1e-6)


def test_a_case_is_nearest_to_itself_unless_its_patient_is_left_out() -> None:
    archive = index()
    assert archive.nearest(archive.vectors[7], 1)[0].case.case == "c7"
    assert archive.nearest(archive.vectors[7], 1)[0].distance == pytest.approx(0, abs=1e-6)
    assert archive.nearest(archive.vectors[7], 1, exclude_patients={"p2"})[0].case.patient != "p2"


def test_a_removed_case_is_gone_with_its_vector() -> None:
    archive = index()
    left = archive.without(["c7"])
    assert len(left.vectors) == 29
    assert "c7" not in {hit.case.case for hit in left.nearest(archive.vectors[7], 29)}
    assert not (left.vectors == archive.vectors[7]).all(1).any()


def test_an_index_survives_the_disk(tmp_path: Path) -> None:
    archive = index()
    path = tmp_path / "index.npz"
    path.write_bytes(archive.to_bytes())
    got = read_index(path, archive.space)
    assert got.cases == archive.cases
    assert np.allclose(got.vectors, archive.vectors, atol=1e-6)


def test_another_models_index_is_refused(tmp_path: Path) -> None:
    archive = index()
    with pytest.raises(Refused, match="another model"):
        read_index(archive.to_bytes(), "b" * 64)
    with pytest.raises(Refused, match="another model"):
        archive.joined(index(space="b" * 64))
    (tmp_path / "broken.npz").write_bytes(archive.to_bytes()[:200])
    with pytest.raises(Refused, match="cannot be read"):
        read_index(tmp_path / "broken.npz", archive.space)


def test_an_empty_index_finds_nothing() -> None:
    empty = EmbeddingIndex("a" * 64, np.zeros((0, 16), np.float32), ())
    assert empty.nearest(np.ones(16)) == []
    assert len(index().joined(empty).cases) == 30

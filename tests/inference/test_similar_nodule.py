"""Similar cases: the index that ships, the user's own nodules beside it, and never the same patient."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from medviewer import places
from medviewer.errors import Refused
from medviewer.inference import similar_nodule as similar
from medviewer.inference.golden import check_golden
from medviewer.inference.index import read_index
from medviewer.inference.nodule_query import NoduleQuery, nodule_query
from medviewer.inference.package import ModelPackage
from medviewer.inference.prompt import Prompt
from medviewer.inference.store import ModelStore
from medviewer.inference.suggestion import SimilarCase
from medviewer.jobs import JobContext
from medviewer.library.nodule_library import NoduleLibrary
from medviewer.phantom.nodules import PhantomCase, nodule_cases

TASK = "lung-nodule-similar"
pytestmark = pytest.mark.skipif(
    not (places.shipped_models_folder() / TASK).is_dir(), reason="the model is not shipped here"
)


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return ModelStore(places.shipped_models_folder()).get(TASK)


@pytest.fixture(scope="module")
def finder(package: ModelPackage) -> similar.Finder:
    return similar.load_finder(package)


@pytest.fixture(scope="module")
def case() -> PhantomCase:
    return nodule_cases(["solid"], 1, seed=5)[0]


@pytest.fixture(scope="module")
def query(finder: similar.Finder, case: PhantomCase) -> NoduleQuery:
    got = nodule_query(case.volume, Prompt.of(case.centre_lps), finder.ensemble)
    assert isinstance(got, NoduleQuery), got
    return got


def asked(  # type: ignore[no-untyped-def]
    package: ModelPackage, case: PhantomCase, library: NoduleLibrary, k: int = 5, patient: str = ""
):
    return similar.find_similar(
        package,
        case.volume,
        Prompt.of(case.centre_lps),
        "cpu",
        JobContext(),
        k=k,
        patient=patient,
        library=library,
    )


def test_five_cases_come_nearest_first_without_pictures(
    package: ModelPackage, case: PhantomCase, tmp_path: Path
) -> None:
    answer = asked(package, case, NoduleLibrary(tmp_path))
    distances = [hit.distance for hit in answer.similar]
    assert len(distances) == 5
    assert distances == sorted(distances)
    for hit in answer.similar:
        assert hit.label in {"malignant", "benign", "uncertain"}
        assert hit.diameter_mm is not None and 1 <= hit.ratings["malignancy"] <= 5
        assert hit.source and hit.thumbnail is None


def test_an_own_nodule_is_found_with_its_picture_but_not_by_its_own_patient(
    package: ModelPackage, finder: similar.Finder, case: PhantomCase, query: NoduleQuery, tmp_path: Path
) -> None:
    library = NoduleLibrary(tmp_path)
    kept = similar.library_nodule(
        finder, query, patient=library.patient_hash("4711"), label="benign", diameter_mm=7.0, ratings={"malignancy": 2}
    )
    own = library.add(kept)
    first = asked(package, case, library).similar[0]
    assert first.case == own
    assert first.distance == pytest.approx(0, abs=1e-4)
    picture = similar.thumbnail_of(first, library)
    assert picture is not None and picture.shape == (96, 96) and picture.dtype == np.uint8
    assert picture[44:52, 44:52].mean() > picture[:8, :8].min()
    assert own not in {hit.case for hit in asked(package, case, library, patient="4711").similar}
    library.remove(own)
    assert own not in {hit.case for hit in asked(package, case, library, k=50).similar}


def test_vectors_of_another_model_are_made_anew(
    package: ModelPackage, finder: similar.Finder, query: NoduleQuery, tmp_path: Path
) -> None:
    from dataclasses import replace

    library = NoduleLibrary(tmp_path)
    kept = similar.library_nodule(finder, query, patient="p")
    case = library.add(replace(kept, space="old model", vector=np.zeros(3, np.float32)))
    index = similar.library_index(library, finder)
    assert index.space == finder.space
    assert float(index.vectors[0] @ kept.vector) > 0.999  # the block is kept in 8 bit
    assert library.get(case).space == finder.space


def test_the_index_ships_no_pictures_and_no_names(package: ModelPackage, finder: similar.Finder) -> None:
    with np.load(package.folder / "index.npz", allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in packed.files}
    n = len(finder.index.cases)
    assert n > 800
    assert all(array.ndim < 2 or array.shape[1] <= 64 for array in arrays.values())
    names = [str(v) for name in ("case", "patient") for v in arrays[name]]
    assert not any("LIDC" in name for name in names)
    assert finder.index.vectors.shape[1] <= 64
    assert np.linalg.norm(finder.index.vectors, axis=1) == pytest.approx(np.ones(n), abs=1e-4)


def test_an_index_of_other_weights_is_refused(package: ModelPackage) -> None:
    with pytest.raises(Refused, match="another model"):
        read_index(package.folder / "index.npz", "0" * 64)


def test_the_golden_case_comes_out_as_when_the_model_was_made(package: ModelPackage) -> None:
    check_golden(package)


def test_pictures_of_the_train_split_come_from_the_users_own_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hit = SimilarCase(similar.case_hash("N_1"), 0.1, thumbnail=f"train:{similar.case_hash('N_1')}")
    monkeypatch.delenv("MEDVIEWER_NODULE_DATA", raising=False)
    assert similar.thumbnail_of(hit) is None
    (tmp_path / "train.csv").write_text("nodule,patient\nN_0,A\nN_1,B\n", encoding="utf-8")
    images = np.zeros((5, 96, 96), np.uint8)
    images[3] = 100
    images[3, 0, 0] = 254
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, images=images, first=np.array([0, 2, 5]), pad_level=np.array([0, 0, 0, 54, 0], np.uint8)
    )
    (tmp_path / "train.npz").write_bytes(buffer.getvalue())
    monkeypatch.setenv("MEDVIEWER_NODULE_DATA", str(tmp_path))
    picture = similar.thumbnail_of(hit)
    assert picture is not None
    assert picture[5, 5] == int((100 - 54) / 200 * 254)
    assert picture[0, 0] == 254

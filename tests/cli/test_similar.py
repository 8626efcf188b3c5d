"""`medviewer similar` on a written phantom CT: documents and exit codes, through the same door as a person's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medviewer import places
from medviewer.cli.main import main
from medviewer.formats import nifti
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.phantom.nodules import PhantomCase, nodule_cases

pytestmark = pytest.mark.skipif(
    not (places.shipped_models_folder() / "lung-nodule-similar").is_dir(), reason="the model is not shipped here"
)
Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def case() -> PhantomCase:
    return nodule_cases(["solid"], 1, seed=5)[0]


@pytest.fixture(scope="module")
def series(case: PhantomCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ct")
    text = CtText(patient_name="Phantom^Test", patient_id=case.patient_id)
    write_ct_series(case.volume, folder, text=text, uid_seed="similar")
    return folder


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def call(*words: str, json_wanted: bool = True) -> tuple[int, Any, str]:
        code = main(["similar", *words, *(["--json"] if json_wanted else [])])
        out, error = capsysbinary.readouterr()
        return code, json.loads(out) if json_wanted else out.decode(), error.decode()

    return call


def at(case: PhantomCase, moved: float = 0.0) -> str:
    return "--at=" + ",".join(f"{v + moved:.2f}" for v in case.centre_lps)


def test_it_names_the_nearest_cases(run: Run, series: Path, case: PhantomCase) -> None:
    code, document, _ = run(str(series), at(case), "-k", "3")
    assert code == 0
    assert len(document["similar"]) == 3
    for found in document["similar"]:
        assert set(found) >= {"case", "distance", "label", "diameter_mm", "ratings", "source"}
    code, text, _ = run(str(series), at(case), json_wanted=False)
    assert code == 0
    assert text.count("distance") == 5
    assert "not pathology" in text


@pytest.mark.parametrize("words", [("-k", "0"), ("--at", "a,b,c"), ("--stack", "nothing")])
def test_wrong_options_are_said(run: Run, series: Path, case: PhantomCase, words: tuple[str, str]) -> None:
    code, document, _ = run(str(series), at(case), *words)
    assert code == 2
    assert document["error"]


def test_a_click_outside_is_bad_input(run: Run, series: Path, case: PhantomCase) -> None:
    code, document, _ = run(str(series), at(case, 500))
    assert code == 2
    assert "outside" in document["error"]


def test_where_there_is_no_nodule_it_abstains(run: Run, series: Path, case: PhantomCase, tmp_path: Path) -> None:
    solid = tmp_path / "solid.nii.gz"
    nifti.write(solid, case.image * 0 + 40, case.grid)
    code, document, _ = run(str(solid), at(case))
    assert code == 3
    assert document["abstained"]
    assert document["similar"] == []

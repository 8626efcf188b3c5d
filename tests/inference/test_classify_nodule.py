"""The shipped classifier on phantom nodules: what it says is complete, steady, and cancelled when asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medviewer import places
from medviewer.errors import Cancelled, Refused
from medviewer.inference import classify_nodule
from medviewer.inference.golden import check_golden
from medviewer.inference.package import ModelPackage, copy_package, open_package
from medviewer.inference.prompt import Prompt
from medviewer.inference.store import ModelStore
from medviewer.jobs import CancelToken, JobContext
from medviewer.phantom.nodules import PhantomCase, nodule_cases

TASK = "lung-nodule-malignancy"
pytestmark = pytest.mark.skipif(
    not (places.shipped_models_folder() / TASK).is_dir(), reason="the model is not shipped here"
)


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return ModelStore(places.shipped_models_folder()).get(TASK)


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    return nodule_cases(["solid", "spiculated"], 4, seed=5)


def asked(package: ModelPackage, case: PhantomCase, beside: tuple[float, float, float] = (0, 0, 0)):  # type: ignore[no-untyped-def]
    point = tuple(a + b for a, b in zip(case.centre_lps, beside, strict=True))
    return classify_nodule.suggest(package, case.volume, Prompt.of(point), "cpu", JobContext())


def test_an_answer_holds_all_that_is_promised(package: ModelPackage, cases: list[PhantomCase]) -> None:
    answers = [asked(package, case) for case in cases]
    told = [answer for answer in answers if answer.abstained is None]
    assert told, [answer.abstained for answer in answers]
    for answer in told:
        assert answer.task == TASK
        assert answer.probability is not None and answer.interval is not None
        assert 0 <= answer.interval[0] <= answer.probability <= answer.interval[1] <= 1
        assert answer.rating is not None and answer.rating_interval is not None
        assert 1 <= answer.rating_interval[0] <= answer.rating <= answer.rating_interval[1] <= 5
        assert "malignancy" in answer.ratings and len(answer.ratings) == 7
        assert any("not pathology" in note for note in answer.notes)


def test_a_click_beside_the_middle_changes_little(package: ModelPackage, cases: list[PhantomCase]) -> None:
    case = cases[1]
    middle = asked(package, case)
    for beside in ((1.5, 0, 0), (0, -1.5, 0), (0, 0, 1.0)):
        moved = asked(package, case, beside)
        assert (moved.abstained is None) == (middle.abstained is None)
        if moved.rating is not None and middle.rating is not None:
            assert moved.rating == pytest.approx(middle.rating, abs=0.35)


def test_the_golden_case_comes_out_as_when_the_model_was_made(package: ModelPackage) -> None:
    check_golden(package)


def test_the_card_says_opinion_wherever_it_speaks(package: ModelPackage) -> None:
    assert "not pathology" in package.card.intended_use
    assert "not pathology" in str(package.card.facts["reference_standard"])


def test_a_cancelled_question_ends(package: ModelPackage, cases: list[PhantomCase]) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        classify_nodule.suggest(package, cases[0].volume, Prompt.of(cases[0].centre_lps), "cpu", JobContext(token))


def test_a_changed_calibration_is_refused(package: ModelPackage, tmp_path: Path) -> None:
    copy = copy_package(package, tmp_path / TASK / package.card.version)
    path = copy.folder / "calibration.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"slope"', '"slop"'), encoding="utf-8")
    with pytest.raises(Refused, match="does not match its manifest"):
        open_package(copy.folder)


def test_a_crop_is_judged_without_knowing_more_than_the_crop(package: ModelPackage, cases: list[PhantomCase]) -> None:
    classifier = classify_nodule.load_classifier(package)
    rng = np.random.default_rng(0)
    crop = rng.random((5, 96, 96), dtype=np.float32)
    prediction, told = classifier.classify([crop], [0.7], [1.5])
    assert told.probability.shape == (1,)
    assert classifier.familiarity.distance(prediction.hidden)[0] > classifier.familiarity.limit  # noise is a stranger

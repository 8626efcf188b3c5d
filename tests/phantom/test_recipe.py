from __future__ import annotations

from pathlib import Path

import pytest

from medviewer.errors import BadInput
from medviewer.phantom.lesion import COMMON_KINDS, RARE_KINDS
from medviewer.phantom.recipe import load_recipe


def test_the_shipped_recipe_knows_every_kind_and_places_nodules_of_several() -> None:
    recipe = load_recipe()
    assert set(recipe.kinds) == {*COMMON_KINDS, *RARE_KINDS}
    assert len({plan.kind for plan in recipe.nodules}) >= 6


def test_an_unknown_recipe_and_an_unknown_kind_are_named() -> None:
    with pytest.raises(BadInput, match="no phantom recipe 'knee'"):
        load_recipe("knee")
    with pytest.raises(BadInput, match=r"'square'.*kinds are"):
        load_recipe().kind("square")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", "not valid TOML"),
        ("name = 'x'", "lacks study.size_kji"),
    ],
)
def test_a_faulty_recipe_is_refused_with_its_reason(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        load_recipe(str(path))


def test_a_nodule_without_a_place_is_refused(tmp_path: Path) -> None:
    shipped = Path(__file__).resolve().parents[2] / "resources" / "phantom" / "chest.toml"
    path = tmp_path / "x.toml"
    path.write_text(shipped.read_text() + '\n[[nodule]]\nkind = "solid"\ndiameter_mm = 9\n')
    with pytest.raises(BadInput, match="nodule of the phantom recipe"):
        load_recipe(str(path))

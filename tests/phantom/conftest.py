from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from medviewer.phantom.recipe import NodulePlan, Recipe, load_recipe
from medviewer.phantom.study import PhantomStudy, StudyFiles, make_study, write_study


def small_recipe() -> Recipe:
    """The shipped recipe with fewer, coarser voxels and four of the kinds."""
    recipe = load_recipe()
    study = dict(recipe.study)
    study.update(size_kji=[30, 200, 200], spacing_kji=[3.0, 1.9, 1.9], top_z=70.0)
    nodules = (
        NodulePlan("solid", 20.0, (-62.0, -20.0, 30.0), 40.0),
        NodulePlan("juxta-pleural", 22.0, (104.0, 20.0, 6.0), 40.0),
        NodulePlan("part-solid", 24.0, (70.0, 20.0, 35.0)),
        NodulePlan("cavitary", 26.0, (-66.0, 40.0, 20.0), 30.0),
    )
    body = dict(recipe.body)
    body["branches"] = 128
    return dataclasses.replace(recipe, study=study, nodules=nodules, body=body)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return small_recipe()


@pytest.fixture(scope="session")
def study(recipe: Recipe) -> PhantomStudy:
    return make_study(recipe, seed=3)


@pytest.fixture(scope="session")
def files(study: PhantomStudy, tmp_path_factory: pytest.TempPathFactory) -> StudyFiles:
    folder: Path = tmp_path_factory.mktemp("phantom")
    return write_study(study, folder)

"""The study's truth is checked through other readers: pydicom's headers and SimpleITK's own geometry."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from medviewer.errors import Cancelled
from medviewer.jobs import CancelToken, JobContext, Progress
from medviewer.phantom.recipe import Recipe
from medviewer.phantom.study import PhantomStudy, StudyFiles, make_study


def _itk(files: StudyFiles):  # type: ignore[no-untyped-def]
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files.images_folder)))
    return reader.Execute()


def test_simpleitk_finds_each_nodule_at_its_place_with_its_value(study: PhantomStudy, files: StudyFiles) -> None:
    image = _itk(files)
    assert np.allclose(image.GetSpacing(), (1.9, 1.9, 3.0))
    for nodule, inside in ((study.nodules[0], 40), (study.nodules[3], -960)):
        at = image.TransformPhysicalPointToIndex(nodule.centre_lps)
        block = [image[at[0] + a, at[1] + b, at[2]] for a in (-1, 0, 1) for b in (-1, 0, 1)]
        assert abs(np.mean(block) - inside) < 45, nodule.kind


def test_volume_and_diameter_are_those_that_were_asked_for(study: PhantomStudy) -> None:
    solid = study.nodules[0]
    sphere = np.pi / 6 * 20**3
    assert solid.volume_mm3 == pytest.approx(sphere, rel=0.35)
    assert 18 < solid.diameter_mm < 30
    assert solid.volume_mm3 == pytest.approx(solid.mask.sum() * 1.9 * 1.9 * 3.0)


def test_the_middle_of_a_nodule_lies_in_the_nodule(study: PhantomStudy) -> None:
    labels = study.labels()
    grid = study.volume.grid
    assert grid is not None
    for number, nodule in enumerate(study.nodules, start=1):
        k, j, i = np.rint(grid.lps_to_index(nodule.centre_lps)).astype(int)
        assert labels[k, j, i] == number
        assert (labels == number).sum() == nodule.mask.sum()


def test_pydicom_reads_the_voxels_back(study: PhantomStudy, files: StudyFiles) -> None:
    for k in (0, 17):
        ds = pydicom.dcmread(files.images[k])
        assert np.array_equal(ds.pixel_array.astype(int) + int(ds.RescaleIntercept), study.volume.voxels[k])
        grid = study.volume.grid
        assert grid is not None
        assert np.allclose(ds.ImagePositionPatient, grid.index_to_lps((k, 0, 0)), atol=1e-5)
        assert ds.get((0x0008, 0x001C)).value == "YES"


def test_our_own_reader_finds_one_stack_of_all_slices(study: PhantomStudy, files: StudyFiles) -> None:
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan

    catalog = scan([files.images_folder], JobContext())
    (stack,) = [t for p in catalog.patients for s in p.studies for r in s.series for t in r.stacks]
    volume = load_volume(stack, JobContext())
    assert not catalog.skipped
    assert volume.grid is not None
    assert study.volume.grid is not None
    assert volume.grid.same_as(study.volume.grid)
    assert np.array_equal(volume.values(), study.volume.values())


def test_tissues_have_their_values(study: PhantomStudy) -> None:
    values = study.volume.values()
    grid = study.volume.grid
    assert grid is not None

    def around(point: tuple[float, float, float]) -> float:
        k, j, i = np.rint(grid.lps_to_index(point)).astype(int)
        return float(np.median(values[k - 1 : k + 2, j - 2 : j + 3, i - 2 : i + 3]))

    assert around((0.0, -170.0, 20.0)) < -990  # air in front
    assert around((0.0, 20.0, 60.0)) < -900  # windpipe
    assert -930 < around((80.0, -40.0, 20.0)) < -780  # lung
    assert -30 < around((23.0, 58.0, -5.0)) < 300  # aorta
    assert float(values.max()) > 450  # cortical bone


def test_the_same_seed_gives_the_same_study_and_another_seed_another(recipe: Recipe, study: PhantomStudy) -> None:
    again, other = make_study(recipe, seed=3), make_study(recipe, seed=4)
    assert np.array_equal(again.volume.voxels, study.volume.voxels)
    assert [n.centre_lps for n in again.nodules] == [n.centre_lps for n in study.nodules]
    assert not np.array_equal(other.volume.voxels, study.volume.voxels)


def test_making_a_study_tells_how_far_it_is_and_can_be_cancelled(recipe: Recipe) -> None:
    token = CancelToken()
    seen: list[Progress] = []

    def listen(progress: Progress) -> None:
        seen.append(progress)
        token.cancel()

    with pytest.raises(Cancelled):
        make_study(recipe, 3, JobContext(token, listen))
    assert len(seen) == 1
    assert seen[0].total == 30

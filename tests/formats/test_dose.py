"""RT Dose: every value at its place and in its unit, against SimpleITK's linear interpolation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from medviewer.cli.main import main
from medviewer.errors import BadInput, Refused
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.objects.dose import Dose, read_dose
from medviewer.formats.dose_cut import dose_in_cut
from medviewer.formats.laid import Target
from medviewer.formats.overlays import read_overlay
from medviewer.formats.scan import scan
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneName, plane_axes
from tests.formats.object_samples import write_dose
from tests.formats.test_seg import only_stack, write_series

SIZE = (9, 30, 34)
GRID = Grid(SIZE, (2.5, 1.1, 0.9), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-31.5, 12.25, 400.0))
ORIGIN, SPACING, STEP = (-28.0, 15.0, 402.0), (2.0, 3.0), 4.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, GRID)
    return only_stack(folder)


def doses(shape: tuple[int, int, int] = (5, 11, 8)) -> np.ndarray:
    return np.random.default_rng(7).random(shape) * 60


def by_simpleitk(values: np.ndarray, grid: Grid, direction: np.ndarray | None = None) -> np.ndarray:
    """Linear resampling; -1 outside."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetOrigin(ORIGIN)
    image.SetSpacing((SPACING[1], SPACING[0], STEP))
    image.SetDirection((np.eye(3) if direction is None else direction).ravel().tolist())
    onto = sitk.Image(*grid.size_kji[::-1], sitk.sitkFloat64)
    onto.SetOrigin(grid.origin_lps)
    onto.SetSpacing(grid.spacing_kji[::-1])
    onto.SetDirection(np.asarray(grid.direction).reshape(3, 3).T.ravel().tolist())
    return sitk.GetArrayFromImage(sitk.Resample(image, onto, sitk.Transform(), sitk.sitkLinear, -1.0))


def all_points(grid: Grid) -> np.ndarray:
    return grid.index_to_lps(np.stack(np.meshgrid(*map(np.arange, grid.size_kji), indexing="ij"), axis=-1))


def inside_of(dose: Dose, grid: Grid) -> np.ndarray:
    """Voxels whose centre lies between the centres of the dose's outer values."""
    return ~np.isnan(dose.at(all_points(grid)))


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("absolute", [False, True])
def test_values_are_those_of_simpleitk(stack: Stack, tmp_path: Path, bits: int, absolute: bool) -> None:
    offsets = np.arange(5) * STEP + (ORIGIN[2] if absolute else 0)
    write_dose(
        tmp_path / "d.dcm", stack, doses(), origin=ORIGIN, spacing=SPACING, offsets=offsets.tolist(), bits=bits,
        scaling=2e-3,
    )  # fmt: skip
    dose = read_dose(tmp_path / "d.dcm")
    assert dose.unit == "Gy" and dose.summation == "PLAN" and dose.notes == ()
    assert abs(dose.largest - doses().max()) < 2e-3
    assert dose.summary == f"{doses().max():.1f} Gy max, PLAN"
    theirs = by_simpleitk(doses(), GRID)
    ours, inside = dose.at(all_points(GRID)), inside_of(dose, GRID)
    assert 500 < inside.sum() < inside.size
    assert np.max(np.abs(ours[inside] - theirs[inside])) < 2e-3
    place = (np.asarray(GRID.index_to_lps((4, 10, 10))) - ORIGIN) / (SPACING[1], SPACING[0], STEP)
    assert np.all(place > 0) and np.isfinite(ours[4, 10, 10])
    assert np.isnan(dose.at((ORIGIN[0] - 1, ORIGIN[1], ORIGIN[2])))


@pytest.mark.parametrize("name", list(PlaneName))
@pytest.mark.parametrize("turned", [False, True])
def test_a_cut_shows_the_same_values(stack: Stack, tmp_path: Path, name: PlaneName, turned: bool) -> None:
    write_dose(
        tmp_path / "d.dcm", stack, doses(), origin=ORIGIN, spacing=SPACING, offsets=(np.arange(5) * STEP).tolist()
    )
    dose = read_dose(tmp_path / "d.dcm")
    grid = GRID
    if turned:
        c, s = np.cos(0.3), np.sin(0.3)
        grid = replace(GRID, direction=(c, s, 0, -s * 0.8, c * 0.8, 0.6, s * 0.6, -c * 0.6, 0.8))
    axes = plane_axes(grid, name)
    whole = dose.at(all_points(grid))
    seen = 0
    for position in range(axes.count(grid.size_kji)):
        expected = axes.cut(whole, position)
        ours = dose_in_cut(dose, grid, axes, position)
        assert np.array_equal(np.isnan(ours), np.isnan(expected))
        seen += int(np.isfinite(expected).sum())
        assert np.allclose(np.nan_to_num(ours), np.nan_to_num(expected), atol=1e-3)
    assert seen > 300


def test_a_large_askew_cut_is_close(stack: Stack, tmp_path: Path) -> None:
    k, j, i = np.meshgrid(np.arange(5), np.arange(11), np.arange(8), indexing="ij")
    smooth = 40 * np.exp(-((k - 2) ** 2) / 6 - (j - 5) ** 2 / 20 - (i - 4) ** 2 / 12)
    write_dose(
        tmp_path / "d.dcm", stack, smooth, origin=ORIGIN, spacing=SPACING, offsets=(np.arange(5) * STEP).tolist()
    )
    dose = read_dose(tmp_path / "d.dcm")
    c, s = np.cos(0.4), np.sin(0.4)
    grid = Grid((2, 400, 500), (2.0, 0.08, 0.07), (c, s, 0, -s * 0.9, c * 0.9, 0.436, 0, 0, 1.0), (-25.0, 10.0, 405.0))
    axes = plane_axes(grid, PlaneName.ACQUIRED)
    ours, exact = dose_in_cut(dose, grid, axes, 1), dose.at(all_points(grid)[1])
    both = np.isfinite(ours) & np.isfinite(exact)
    assert both.sum() > 0.92 * np.isfinite(exact).sum() > 20000
    assert np.max(np.abs(ours[both] - exact[both])) < 0.4  # 1 % of the largest


def test_planes_may_be_uneven_and_descend(stack: Stack, tmp_path: Path) -> None:
    offsets = [0.0, -3.0, -5.0, -12.0, -13.0]
    write_dose(tmp_path / "d.dcm", stack, doses(), origin=ORIGIN, spacing=SPACING, offsets=offsets)
    dose = read_dose(tmp_path / "d.dcm")
    for n, offset in enumerate(offsets):
        assert abs(float(dose.at((ORIGIN[0] + 9, ORIGIN[1] + 4, ORIGIN[2] + offset))) - doses()[n, 2, 3]) < 1e-3
    between = float(dose.at((ORIGIN[0] + 9, ORIGIN[1] + 4, ORIGIN[2] - 8.5)))
    assert abs(between - (doses()[2, 2, 3] + doses()[3, 2, 3]) / 2) < 2e-3


def test_a_grid_that_is_turned(stack: Stack, tmp_path: Path) -> None:
    """Head first prone: rows and columns run the other way, and so do positions."""
    write_dose(
        tmp_path / "d.dcm", stack, doses(), origin=ORIGIN, spacing=SPACING, offsets=[0, 4, 8, 12, 16],
        orientation=(-1, 0, 0, 0, -1, 0),
    )  # fmt: skip
    dose = read_dose(tmp_path / "d.dcm")
    at = dose.at((ORIGIN[0] - 2 * SPACING[1], ORIGIN[1] - 3 * SPACING[0], ORIGIN[2] + 2 * STEP))
    assert abs(float(at) - doses()[2, 3, 2]) < 1e-3


def test_what_means_nothing_is_refused(stack: Stack, tmp_path: Path) -> None:
    where = {"origin": ORIGIN, "spacing": SPACING, "offsets": [0, 4, 8, 12, 16]}
    target = Target.of(stack)
    write_dose(tmp_path / "d.dcm", stack, doses(), **where)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="another frame of reference"):
        read_overlay(tmp_path / "d.dcm", replace(target, frame_of_reference_uid="1.2"))
    with pytest.raises(Refused, match="another patient"):
        read_overlay(tmp_path / "d.dcm", replace(target, patient_id="2"))
    far = replace(target, grid=replace(GRID, origin_lps=(900.0, 0.0, 0.0)))
    with pytest.raises(Refused, match="outside"):
        read_overlay(tmp_path / "d.dcm", far)
    for change, message in (
        ({"DoseGridScaling": None}, "Dose Grid Scaling"),
        ({"GridFrameOffsetVector": None}, "where its planes lie"),
        ({"GridFrameOffsetVector": [0, 4, 4, 8, 12]}, "one place"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "where it lies"),
    ):
        write_dose(tmp_path / "x.dcm", stack, doses(), **where, **change)  # type: ignore[arg-type]
        with pytest.raises((BadInput, Refused), match=message):
            read_dose(tmp_path / "x.dcm")
    write_dose(tmp_path / "r.dcm", stack, doses() / 60, **where, DoseUnits="RELATIVE")  # type: ignore[arg-type]
    assert read_dose(tmp_path / "r.dcm").summary.endswith("(relative) max, PLAN")


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm"])
def test_doses_of_other_programs(name: str) -> None:
    """pydicom's own files, big endian and compressed ones too: the values that pydicom reads from the first."""
    import pydicom

    truth = pydicom.dcmread(str(get_testdata_file("rtdose.dcm")))
    values = truth.pixel_array * float(truth.DoseGridScaling)
    dose = read_dose(Path(str(get_testdata_file(name))))
    assert np.allclose(dose.values, values, rtol=1e-6) and dose.unit == "relative"
    assert np.allclose(dose.heights_mm, [float(o) for o in truth.GridFrameOffsetVector])
    assert dose.summary == f"{values.max():.3g} (relative) max, BEAM"


def test_a_dose_is_listed_as_one_and_converted(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK as sitk

    write_dose(tmp_path / "d.dcm", stack, doses(), origin=ORIGIN, spacing=SPACING, offsets=[0, 4, 8, 12, 16])
    catalog = scan([tmp_path / "d.dcm"])
    assert [o.kind for o in catalog.objects] == ["RTDOSE"] and not list(catalog.stacks())
    assert main(["convert", str(tmp_path / "d.dcm"), str(tmp_path / "own.nii.gz")]) == 0
    image = sitk.ReadImage(str(tmp_path / "own.nii.gz"))
    assert np.allclose(sitk.GetArrayFromImage(image), doses(), atol=1e-3)
    assert np.allclose(image.GetOrigin(), ORIGIN) and np.allclose(image.GetSpacing(), (3.0, 2.0, 4.0))
    folder = str(stack.frames[0].path.parent)
    capsys.readouterr()
    assert main(["convert", str(tmp_path / "d.dcm"), str(tmp_path / "on.nrrd"), "--reference", folder, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unit"] == "Gy" and "outside the dose grid" in said["note"]
    laid, inside = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "on.nrrd"))),
        inside_of(read_dose(tmp_path / "d.dcm"), GRID),
    )
    assert np.allclose(laid[inside], by_simpleitk(doses(), GRID)[inside], atol=2e-3) and not laid[~inside].any()


def test_a_lone_plane_is_as_deep_as_the_file_says(stack: Stack, tmp_path: Path) -> None:
    write_dose(
        tmp_path / "d.dcm", stack, doses((1, 11, 8)), origin=ORIGIN, spacing=SPACING, offsets=[0], SliceThickness=4
    )
    dose = read_dose(tmp_path / "d.dcm")
    for off, there in ((-1.9, True), (1.9, True), (2.1, False), (-2.1, False)):
        value = float(dose.at((ORIGIN[0] + 6, ORIGIN[1] + 4, ORIGIN[2] + off)))
        assert np.isfinite(value) == there and (not there or abs(value - doses((1, 11, 8))[0, 2, 2]) < 1e-3)

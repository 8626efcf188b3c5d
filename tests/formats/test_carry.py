"""What a stack can carry, and what tilted stacks become; the reason is a sentence and exit code 3."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medviewer.cli.main import main
from medviewer.errors import Refused
from medviewer.formats.carry import Use, grid_for, is_resampled, why_not
from medviewer.formats.catalog import Stack
from medviewer.formats.load import load_volume
from medviewer.formats.quality import SENTENCES, counted
from medviewer.formats.scan import scan
from medviewer.formats.straighten import fill_of, straightened
from tests.formats import samples

CODES = [
    "missing-slice",
    "uneven-spacing",
    "gantry-tilt",
    "duplicate-slice",
    "mixed-orientation",
    "mixed-spacing",
    "mosaic",
    "no-position",
    "no-spacing",
    "imager-spacing",
    "bad-orientation",
    "bad-rescale",
    "bad-window",
    "bad-overlay",
    "lossy",
    "burned-in",
    "padding",
    "frame-count-mismatch",
    "truncated",
    "private-codec",
    "charset-guessed",
    "4d-irregular",
]


def only(folder: Path) -> Stack:
    (stack,) = scan([folder]).stacks()
    return stack


def tilted(folder: Path, degrees: float = 15.0, count: int = 6) -> Stack:
    slant = np.tan(np.radians(degrees))
    samples.series(folder, [(0.0, 3.0 * n * slant, 3.0 * n) for n in range(count)], size=(20, 12))
    return only(folder)


def test_every_code_has_one_sentence() -> None:
    assert sorted(SENTENCES) == sorted(CODES)
    assert all(text.endswith(".") and text.count(". ") == 0 and len(text) < 130 for text in SENTENCES.values())


def test_indices_are_counted_as_people_count() -> None:
    assert counted([2, 6, 7, 8]) == "3, 7 to 9"
    assert counted([]) == "" and counted([0]) == "1"
    assert counted(range(0, 60, 2), most=3) == "1, 3, 5, ..."


def test_a_regular_stack_carries_everything(tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(5))
    stack = only(tmp_path)
    assert [why_not(stack, use) for use in Use] == [None] * len(Use) and not is_resampled(stack)


def test_a_gap_carries_other_planes_and_nothing_that_measures_across_it(tmp_path: Path) -> None:
    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 10)])
    stack = only(tmp_path)
    assert why_not(stack, Use.PLANES) is None and is_resampled(stack)
    assert why_not(stack, Use.MILLIMETRES) is None
    for use in (Use.MARKS, Use.SUGGESTION, Use.VOLUME_FILE, Use.SURFACE, Use.DICOM_MASK):
        assert "2 images are missing" in (why_not(stack, use) or ""), use
        with pytest.raises(Refused, match=f"cannot carry {use}"):
            grid_for(stack, use)


def test_pictures_without_position_carry_no_planes(tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(3), ImagePositionPatient=None)
    assert "where the pictures lie" in (why_not(only(tmp_path), Use.PLANES) or "")


def test_a_tilted_stack_becomes_upright_with_air_beside_it(tmp_path: Path) -> None:
    stack = tilted(tmp_path, 15.0)
    assert is_resampled(stack) and why_not(stack, Use.PLANES) is None and why_not(stack, Use.VOLUME_FILE) is None
    assert "upright images only" in (why_not(stack, Use.SUGGESTION) or "") and why_not(stack, Use.MARKS) is None
    volume = load_volume(stack)
    described, made = straightened(stack, volume)
    assert made.grid is not None and made.grid.is_orthogonal and described.grid == made.grid
    assert described.derived_from == stack.id and described.id != stack.id and made.stack_id == described.id
    assert "corrected" in described.quality[0].short and "15.0" in described.quality[0].short
    assert made.voxels.dtype == np.int16 and made.size_kji[0] == 6 and made.size_kji[1] > 20
    assert made.value_at((5, 0, 0)) == -1000.0  # air in HU above the shifted last slice
    middle = volume.grid.index_to_lps((3, 10, 6)) if volume.grid is not None else np.zeros(3)
    k, j, i = made.grid.lps_to_index(middle)
    low, share = int(np.floor(j)), float(j - np.floor(j))
    below, above = made.value_at((round(k), low, round(i))), made.value_at((round(k), low + 1, round(i)))
    assert below is not None and above is not None and volume.value_at((3, 10, 6)) is not None
    assert abs(share - 0.5) <= 0.5
    for use in (Use.MARKS, Use.SUGGESTION, Use.DICOM_MASK):
        assert "interpolated" in (why_not(described, use) or "")


def test_padding_is_what_lies_beside_a_tilted_stack_where_the_file_has_it(tmp_path: Path) -> None:
    slant = np.tan(np.radians(10))
    samples.series(
        tmp_path, [(0.0, 3.0 * n * slant, 3.0 * n) for n in range(4)], size=(20, 12), PixelPaddingValue=-2000
    )
    assert fill_of(load_volume(only(tmp_path))) == -2000.0


def test_slices_of_unlike_slopes_are_blended_as_values(tmp_path: Path) -> None:
    slant = np.tan(np.radians(10))
    samples.series(
        tmp_path, [(0.0, 3.0 * n * slant, 3.0 * n) for n in range(4)], size=(20, 12), Modality="PT",
        RescaleSlope=[1.0, 2.0, 0.5, 3.0], RescaleIntercept=0,
    )  # fmt: skip
    stack = only(tmp_path)
    volume = load_volume(stack)
    _, made = straightened(stack, volume)
    assert made.voxels.dtype == np.float32 and made.has_one_rescale
    assert np.array_equal(made.voxels[0, :20], volume.values()[0])


@pytest.mark.parametrize("name", ["x.nii.gz", "x.nrrd"])
def test_convert_writes_a_tilted_stack_upright_and_says_so(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK as sitk

    stack = tilted(tmp_path / "in")
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / name)]) == 0
    assert "15.0" in capsys.readouterr().out
    image = sitk.ReadImage(str(tmp_path / name))
    axes = np.array(image.GetDirection()).reshape(3, 3)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    described, made = straightened(stack, load_volume(stack))
    assert np.array_equal(sitk.GetArrayFromImage(image), made.values())
    assert described.origin_lps is not None and np.allclose(image.GetOrigin(), described.origin_lps, atol=1e-4)


def test_a_stack_that_needs_nothing_is_not_straightened(tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(4))
    stack = only(tmp_path)
    with pytest.raises(ValueError, match="not resampled"):
        straightened(stack, load_volume(stack))
    assert not is_resampled(replace(tilted(tmp_path / "t"), derived_from="x"))


def test_a_real_tilted_head_becomes_upright(corpus_folder: Path) -> None:
    stack = only(corpus_folder / "series" / "gantry_tilt")
    assert [q.short for q in stack.quality] == ["gantry tilt 14.0°"]
    described, made = straightened(stack, load_volume(stack))
    assert described.spacing_kji is not None and described.spacing_kji[0] == pytest.approx(4.8515, abs=1e-3)
    assert made.grid is not None and made.grid.is_orthogonal
    assert made.size_kji == (4, 512 + 9, 512)


def test_a_large_stack_with_a_gap_is_still_the_likeliest(tmp_path: Path) -> None:
    from medviewer.formats.choose import likeliest_stack

    samples.series(tmp_path / "a", [(0, 0, 2.0 * z) for z in range(20) if z != 7], size=(20, 20))
    samples.series(tmp_path / "b", samples.along_z(3), SeriesInstanceUID="1.2.8")
    found = likeliest_stack(scan([tmp_path]))
    assert found is not None and found.size_kji[0] == 19

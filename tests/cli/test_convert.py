"""`convert`: other programs find the same values at the same places, and nothing is converted that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medviewer.cli.main import main
from medviewer.formats import nifti
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from tests.formats import samples
from tests.formats.samples import along_z


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    samples.series(tmp_path / "ct", along_z(5), size=(16, 12))
    return tmp_path / "ct"


@pytest.mark.parametrize("name", ["x.nii.gz", "x.nii", "x.nrrd"])
def test_a_series_to_a_volume_file(name: str, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import SimpleITK as sitk

    assert main(["convert", str(ct), str(tmp_path / name), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == [5, 16, 12]
    (stack,) = scan([ct]).stacks()
    volume = load_volume(stack)
    assert volume.grid is not None
    image = sitk.ReadImage(str(tmp_path / name))
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.values())
    assert np.allclose(image.TransformIndexToPhysicalPoint((3, 2, 4)), volume.grid.index_to_lps((4, 2, 3)), atol=1e-4)


def test_slices_with_rescales_of_their_own_become_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples.series(tmp_path / "pt", along_z(3), RescaleSlope=[0.5, 1.5, 2.5], RescaleIntercept=0, Modality="PT")
    assert main(["convert", str(tmp_path / "pt"), str(tmp_path / "x.nii")]) == 0
    assert "own rescale" in capsys.readouterr().out
    (stack,) = scan([tmp_path / "pt"]).stacks()
    (written,) = scan([tmp_path / "x.nii"]).stacks()
    assert np.array_equal(load_volume(written).voxels, load_volume(stack).values())


def test_a_mask_to_seg_and_back(ct: Path, tmp_path: Path) -> None:
    (stack,) = scan([ct]).stacks()
    assert stack.grid is not None
    labels = np.zeros(stack.size_kji, np.uint8)
    labels[1:4, 3:9, 2:8] = 1
    labels[2, 10:12, 9:11] = 2
    nifti.write(tmp_path / "m.nii.gz", labels, stack.grid)
    reference = ["--reference", str(ct)]
    assert main(["convert", str(tmp_path / "m.nii.gz"), str(tmp_path / "m.dcm"), "--as", "seg", *reference]) == 0
    assert [o.kind for o in scan([tmp_path / "m.dcm"]).objects] == ["SEG"]
    assert main(["convert", str(tmp_path / "m.dcm"), str(tmp_path / "back.nrrd"), *reference]) == 0
    (back,) = scan([tmp_path / "back.nrrd"]).stacks()
    assert np.array_equal(load_volume(back).voxels, labels)
    assert main(["convert", str(tmp_path / "m.dcm"), str(tmp_path / "m.stl"), *reference]) == 0
    assert (tmp_path / "m.stl").stat().st_size > 1000


def test_what_cannot_be_converted_has_its_sentence(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = tmp_path / "gap"
    samples.series(gap, [(0, 0, z) for z in (0, 2, 4, 10)])
    cases = [
        ([str(gap), "x.nii"], 3, "missing-slice"),
        ([str(ct), "x.jpg"], 2, "end it in .nii.gz"),
        ([str(ct), "x.stl"], 2, "a mask is asked for"),
        ([str(ct), "x.nii", "--stack", "nonsense"], 2, "there is no stack 'nonsense'"),
        ([str(tmp_path / "none"), "x.nii"], 2, "no such file"),
        ([str(ct), "x.dcm", "--as", "seg"], 2, "--reference"),
        ([str(ct), "x.dcm", "--as", "rtstruct", "--reference", str(ct)], 2, "a mask is asked for"),
    ]
    for words, code, part in cases:
        source, name, *rest = words
        assert main(["convert", source, str(tmp_path / name), *rest]) == code, words
        error = capsys.readouterr().err
        assert part in error and error.count("\n") == 1
    assert not list(tmp_path.glob("x.*"))


def test_only_faults_of_the_geometry_are_named_as_its_reason() -> None:
    from medviewer.errors import Refused
    from medviewer.formats.carry import Use, grid_for
    from medviewer.formats.catalog import FrameRef, Quality, Stack, StackKind

    def said(kind: StackKind, *codes: str) -> str:
        faults = tuple(Quality(code, f"about {code}") for code in codes)
        frames = (FrameRef(Path("us.dcm"), 0),)
        with pytest.raises(Refused) as refused:
            stack = Stack("s", kind, frames, (27, 8, 8), 1, None, None, "uint8", "US", quality=faults)
            grid_for(stack, Use.VOLUME_FILE)
        return str(refused.value)

    cine = said(StackKind.CINE, "burned-in", "lossy")
    assert "this is a cine without positions" in cine and "burned-in" not in cine and "lossy" not in cine
    slices = said(StackKind.FRAMES, "bad-window", "mixed-orientation")
    assert "about mixed-orientation [mixed-orientation]" in slices and "bad-window" not in slices


def test_a_segmentation_without_its_images_is_written_on_its_own_lattice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK as sitk

    from medviewer.volume.grid import Grid
    from tests.formats.object_samples import write_segmentation
    from tests.formats.test_seg import only_stack, write_series

    size, direction = (6, 20, 22), (0.96, 0.28, 0, -0.28, 0.96, 0, 0, 0, 1.0)
    grid = Grid(size, (2.5, 0.7, 0.6), direction, (-31.5, 12.25, 400.0))
    write_series(tmp_path / "ct", grid, shuffled=True)
    both = np.zeros((*size, 2), np.uint8)
    both[1:3, 4:12, 4:12, 0] = 1
    both[4, 8:16, 8:16, 1] = 1  # slice 3 is empty and left out of the file
    both[2, 8:16, 8:16, 1] = 1
    write_segmentation(tmp_path / "x.dcm", only_stack(tmp_path / "ct"), both, "BINARY", 2)
    seg, out = str(tmp_path / "x.dcm"), tmp_path / "x.nii.gz"
    assert main(["convert", seg, str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [s["voxels"] for s in said["segments"]] == [128, 128] and "16 voxels belong to several" in said["note"]
    image = sitk.ReadImage(str(out))
    truth = np.where(both[..., 1], 2, both[..., 0])
    assert np.array_equal(sitk.GetArrayFromImage(image), truth[1:5])  # the planes that the file spans
    assert np.allclose(image.GetOrigin(), grid.index_to_lps((1, 0, 0)), atol=1e-4)
    assert np.allclose(image.GetSpacing(), (0.6, 0.7, 2.5), atol=1e-4)
    assert main(["convert", seg, str(tmp_path / "one.nrrd"), "--segment", "S1"]) == 0
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "one.nrrd"))), both[1:5, ..., 0])
    assert main(["convert", seg, str(tmp_path / "x.stl")]) == 0 and (tmp_path / "x.stl").stat().st_size > 1000
    capsys.readouterr()
    assert main(["convert", seg, str(tmp_path / "no.nrrd"), "--segment", "S9"]) == 2
    assert "1 (S1), 2 (S2)" in capsys.readouterr().err


def test_a_mask_on_tilted_images_is_laid_upright_with_them(tmp_path: Path) -> None:
    slant = np.tan(np.radians(15))
    samples.series(tmp_path / "in", [(0.0, 3.0 * n * slant, 3.0 * n) for n in range(6)], size=(20, 12))
    (stack,) = scan([tmp_path / "in"]).stacks()
    assert stack.grid is not None
    labels = np.zeros(stack.size_kji, np.uint8)
    labels[:, 8:12, 4:8] = np.arange(1, 7, dtype=np.uint8)[:, None, None]
    nifti.write(tmp_path / "m.nii", labels, stack.grid)
    reference = ["--reference", str(tmp_path / "in")]
    assert main(["convert", str(tmp_path / "m.nii"), str(tmp_path / "u.nii.gz"), *reference]) == 0
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "i.nii.gz")]) == 0
    (mask,), (image,) = scan([tmp_path / "u.nii.gz"]).stacks(), scan([tmp_path / "i.nii.gz"]).stacks()
    assert mask.grid is not None and image.grid is not None and mask.grid.same_as(image.grid)
    written = load_volume(mask).voxels
    assert [int((written == n).sum()) for n in range(1, 7)] == [16] * 6

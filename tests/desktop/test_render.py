"""`medviewer render`: the picture of the window, without a window."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QImage
from reading import a_volume

from medviewer.cli.main import main
from medviewer.desktop.render import Picture, render
from medviewer.errors import Refused
from medviewer.formats import nifti
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.volume.plane import PlaneName, plane_axes
from medviewer.volume.window import GreyMapper, Window
from tests.formats import samples


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_ct_series(a_volume(), folder, text=CtText("Test^Anna", "T-1"), uid_seed="render")
    return folder


def grey(path) -> np.ndarray:
    image = QImage(str(path)).convertToFormat(QImage.Format.Format_Grayscale8)
    lines = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine())
    return lines[:, : image.width()].copy()


def test_the_pixels_are_those_of_the_mapper(study, tmp_path, capsys):
    out = tmp_path / "a.png"
    code = main(
        [
            "render",
            str(study),
            str(out),
            "--slice",
            "4",
            "--window",
            "1500,-600",
            "--size",
            "128x96",
            "--no-text",
            "--json",
        ]
    )
    assert code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["plane"], told["slice"], told["slices"], told["size"]) == ("axial", 4, 20, [128, 96])
    volume = a_volume()
    axes = plane_axes(volume.grid, PlaneName.AXIAL)
    assert np.array_equal(grey(out), GreyMapper(volume, Window(1500.0, -600.0)).grey(axes.cut(volume.voxels, 4)))


def test_a_point_in_the_patient_chooses_the_cut(study, tmp_path, capsys):
    assert (
        main(["render", str(study), str(tmp_path / "a.png"), "--plane", "coronal", "--at", "0,5.2,110", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["slice"] == 25


def test_inverting(study, tmp_path):
    for name, more in (("a.png", []), ("b.png", ["--invert"])):
        assert (
            main(
                ["render", str(study), str(tmp_path / name), "--window", "lung", "--size", "128x96", "--no-text", *more]
            )
            == 0
        )
    assert np.array_equal(grey(tmp_path / "a.png"), 255 - grey(tmp_path / "b.png"))


def test_an_overlay_is_laid_by_geometry(study, tmp_path):
    volume = a_volume()
    mask = np.zeros(volume.size_kji, dtype=np.uint8)
    mask[4, 30:50, 40:80] = 1
    nifti.write(tmp_path / "mask.nii.gz", mask, volume.grid)
    arguments = ["render", str(study), str(tmp_path / "a.png"), "--slice", "4", "--size", "128x96", "--no-text"]
    assert main([*arguments, "--overlay", str(tmp_path / "mask.nii.gz")]) == 0
    image = QImage(str(tmp_path / "a.png"))
    inside, outside = image.pixelColor(60, 40), image.pixelColor(10, 10)
    assert inside.red() > inside.blue() + 20
    assert outside.red() == outside.blue()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--slice", "20"], "no slice 20"),
        (["--at", "0,0,5000"], "outside the volume"),
        (["--window", "purple"], "unknown window"),
        (["--window", "-3,5"], "positive"),
        (["--stack", "nope"], "no stack"),
        (["--size", "5"], "wrong size"),
        (["--slice", "1", "--at", "0,0,100"], "twice"),
        (["--overlay", "/no/such/file.dcm"], "nothing at this path"),
    ],
)
def test_wrong_wishes_are_one_sentence_and_exit_code_two(study, tmp_path, capsys, more, said):
    assert main(["render", str(study), str(tmp_path / "a.png"), *more]) == 2
    assert said in capsys.readouterr().err


def test_a_picture_is_no_text_file(study, tmp_path, capsys):
    assert main(["render", str(study), str(tmp_path / "a.txt")]) == 2
    assert "ends in .png" in capsys.readouterr().err and not (tmp_path / "a.txt").exists()


def test_a_folder_that_cannot_be_written_is_said(study, tmp_path, capsys):
    assert main(["render", str(study), str(tmp_path / "no" / "such" / "a.png")]) == 2
    assert "could not be written" in capsys.readouterr().err


def test_other_planes_of_a_tilted_stack_are_upright_and_the_acquired_one_is_as_it_is(tmp_path: Path) -> None:
    slant = np.tan(np.radians(15))
    samples.series(tmp_path / "t", [(0, 3.0 * n * slant, 3.0 * n) for n in range(12)], size=(40, 36))
    acquired = render(Picture(tmp_path / "t", plane="axial"), tmp_path / "a.png")
    assert acquired["slices"] == 12
    upright = render(Picture(tmp_path / "t", plane="coronal"), tmp_path / "c.png")
    assert upright["slices"] == 40 + 12  # 11 x 3 mm x tan 15 / 0.8 mm = 11.05 more rows hold all slices whole
    for n, gap in enumerate(((0, 2, 4, 8, 10), (0, 2, 4, 7, 9, 11))):
        samples.series(tmp_path / str(n), [(0, 0, z) for z in gap], size=(40, 36))
        assert render(Picture(tmp_path / str(n), plane="axial"), tmp_path / "x.png")["plane"] == "acquired"
        assert render(Picture(tmp_path / str(n), plane="sagittal"), tmp_path / "x.png")["slices"] == 36
        at = render(Picture(tmp_path / str(n), at_lps=(5.0, 8.0, gap[3])), tmp_path / "x.png")
        assert at["slice"] == round(gap[3] / 2)


def test_planes_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    samples.series(tmp_path, samples.along_z(3), ImagePositionPatient=None)
    with pytest.raises(Refused, match="no anatomical planes: where the pictures lie"):
        render(Picture(tmp_path, plane="coronal"), tmp_path / "x.png")

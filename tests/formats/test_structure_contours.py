"""RT structures: contours as given, and masks of them against other programs' polygons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medviewer.cli.main import main
from medviewer.errors import BadInput, Refused
from medviewer.formats.catalog import Stack
from medviewer.formats.contours import even_odd, lay_contours, masks_of
from medviewer.formats.dicom.objects.rtstruct import read_structures
from medviewer.formats.laid import INSIDE, LaidSegments, Target
from medviewer.formats.scan import scan
from medviewer.volume.grid import Grid
from tests.formats.object_samples import write_structures
from tests.formats.test_seg import only_stack, write_series

SIZE = (8, 30, 34)
GRID = Grid(SIZE, (2.5, 0.7, 0.6), (0.96, 0.28, 0, -0.28, 0.96, 0, 0, 0, 1), (-31.5, 12.25, 400.0))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, GRID, shuffled=True)
    return only_stack(folder)


def ring(k: float, middle: tuple[float, float], radius: float, points: int = 37, grid: Grid = GRID) -> np.ndarray:
    """A wavy ring in a slice, mm."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = radius * (1 + 0.2 * np.sin(3 * angle))
    index = np.stack([np.full(points, k), middle[0] + r * np.sin(angle), middle[1] + r * np.cos(angle)], axis=1)
    return grid.index_to_lps(index)


def filled(points: np.ndarray, k: int) -> np.ndarray:
    """The same polygon by scikit-image."""
    from skimage.draw import polygon2mask

    out = np.zeros(SIZE, dtype=bool)
    out[k] = polygon2mask(SIZE[1:], GRID.lps_to_index(points)[:, 1:])
    return out


def masks(path: Path, target: Target) -> LaidSegments:
    return masks_of(lay_contours(read_structures(path), target), target)


def whole(laid: LaidSegments, n: int = 0) -> np.ndarray:
    return laid.segments[n].whole(laid.size_kji) >= INSIDE


@pytest.mark.parametrize("seed", range(8))
def test_even_odd_fills_what_other_programs_fill(seed: int) -> None:
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(seed)
    polygon = rng.random((rng.integers(3, 30), 2)) * (44, 40) - 2.003  # crossing itself, and leaving the picture
    ours, theirs = even_odd([polygon], (40, 36)), polygon2mask((40, 36), polygon)
    assert ours.any() and np.array_equal(ours, theirs)


def test_structures_have_names_colours_kinds_and_contours(stack: Stack, tmp_path: Path) -> None:
    outer = ring(2, (14, 16), 8)
    point = GRID.index_to_lps([[3, 5, 6]])
    line = GRID.index_to_lps([[1, 2, 3], [1, 8, 9], [1, 4, 20]])
    write_structures(
        tmp_path / "rt.dcm",
        stack,
        [
            ("肝 liver", [("CLOSED_PLANAR", outer)]),
            ("iso", [("POINT", point)]),
            ("wire", [("OPEN_PLANAR", line)]),
            ("empty", []),
        ],
        colours=[(255, 0, 10), None],
        SpecificCharacterSet="ISO_IR 192",
    )
    found = read_structures(tmp_path / "rt.dcm")
    assert [s.name for s in found.structures] == ["肝 liver", "iso", "wire", "empty"]
    assert found.structures[0].colour == (255, 0, 10) and found.structures[1].colour is None
    assert [c.kind for s in found.structures for c in s.contours] == ["CLOSED_PLANAR", "POINT", "OPEN_PLANAR"]
    assert np.allclose(found.structures[0].contours[0].points_lps, outer, atol=1e-4)
    assert found.structures[0].kind == "ORGAN"
    laid = lay_contours(found, Target.of(stack))
    assert laid.refused == ("empty has no contour",)
    assert np.allclose(laid.lines[1][0][1], [[3, 5, 6]], atol=1e-3)
    made = masks_of(laid, Target.of(stack))
    assert [s.description.label for s in made.segments] == ["肝 liver"]
    assert any("iso has no closed contour" in line for line in made.refused)
    summary = scan([tmp_path / "rt.dcm"]).objects[0].summary
    assert summary == "RTSTRUCT - Plan A - 4 structures: 肝 liver, iso, wire, empty"


def test_masks_are_those_of_another_program_on_an_oblique_grid(stack: Stack, tmp_path: Path) -> None:
    rings = [ring(k, (14 + 0.3 * k, 16.2), 6 + 0.5 * k) for k in range(1, 7)]
    rings.append(ring(4, (25.1, 28.2), 2.5, 11))  # a second island
    write_structures(tmp_path / "rt.dcm", stack, [("a", [("CLOSED_PLANAR", r) for r in rings])])
    truth = np.zeros(SIZE, dtype=bool)
    for n, points in enumerate(rings):
        truth |= filled(points, (n + 1) if n < 6 else 4)
    assert np.array_equal(whole(masks(tmp_path / "rt.dcm", Target.of(stack))), truth)


@pytest.mark.parametrize("way", ["inner", "xor", "keyhole"])
def test_holes_are_holes_however_they_are_drawn(stack: Stack, tmp_path: Path, way: str) -> None:
    outer, inner = ring(3, (14.3, 16.2), 9), ring(3, (15.2, 15.7), 4)
    contours = [("CLOSED_PLANAR", outer), ("CLOSED_PLANAR", inner)]
    if way == "xor":
        contours = [("CLOSEDPLANAR_XOR", outer), ("CLOSEDPLANAR_XOR", inner)]
    if way == "keyhole":
        contours = [("CLOSED_PLANAR", np.concatenate([outer, outer[:1], inner[::-1], inner[-1:]]))]
    write_structures(tmp_path / "rt.dcm", stack, [("a", contours)])
    truth = filled(outer, 3) & ~filled(inner, 3)
    assert truth.sum() > 100
    assert np.array_equal(whole(masks(tmp_path / "rt.dcm", Target.of(stack))), truth)


def test_a_contour_that_is_there_twice_is_no_hole(stack: Stack, tmp_path: Path) -> None:
    outer = ring(3, (14.3, 16.2), 9)
    write_structures(tmp_path / "rt.dcm", stack, [("a", [("CLOSED_PLANAR", outer)] * 2)])
    laid = masks(tmp_path / "rt.dcm", Target.of(stack))
    assert np.array_equal(whole(laid), filled(outer, 3)) and any("there twice" in note for note in laid.notes)


def test_contours_between_slices_fill_the_nearest_and_leave_no_gaps(stack: Stack, tmp_path: Path) -> None:
    heights = [0.8, 2.8, 4.8]  # every second slice, and between them
    rings = [ring(h, (14.2, 16.1), 5 + n) for n, h in enumerate(heights)]
    write_structures(tmp_path / "rt.dcm", stack, [("a", [("CLOSED_PLANAR", r) for r in rings])])
    laid = masks(tmp_path / "rt.dcm", Target.of(stack))
    made = whole(laid)
    assert np.flatnonzero(made.any(axis=(1, 2))).tolist() == [0, 1, 2, 3, 4, 5]
    for k, n in ((1, 0), (3, 1), (5, 2)):
        assert np.array_equal(made[k], filled(rings[n], k)[k])
    assert any("between slices" in note for note in laid.notes)


def test_contours_in_planes_that_are_not_the_images(stack: Stack, tmp_path: Path) -> None:
    """Sagittal contours of a ball: the mask is the ball as far as the planes are apart."""
    middle, radius = GRID.index_to_lps((3.5, 15.0, 17.0)), 7.0
    contours = []
    for x in np.arange(-radius + 0.25, radius, 0.5):
        r = np.sqrt(radius**2 - x**2)
        angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        plane = np.stack([np.full(60, x), r * np.cos(angle), r * np.sin(angle)], axis=1)
        contours.append(("CLOSED_PLANAR", middle + plane))
    write_structures(tmp_path / "rt.dcm", stack, [("ball", contours)])
    made = whole(masks(tmp_path / "rt.dcm", Target.of(stack)))
    points = GRID.index_to_lps(np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1))
    truth = np.linalg.norm(points - middle, axis=-1) < radius
    assert np.count_nonzero(made != truth) < 0.06 * np.count_nonzero(truth)


def test_what_does_not_fit_is_refused_with_a_sentence(stack: Stack, tmp_path: Path) -> None:
    contour = ("CLOSED_PLANAR", ring(3, (14.3, 16.2), 9))
    write_structures(tmp_path / "rt.dcm", stack, [("a", [contour])])
    target, found = Target.of(stack), read_structures(tmp_path / "rt.dcm")
    with pytest.raises(Refused, match="another frame of reference"):
        lay_contours(found, replace(target, frame_of_reference_uid="1.2.3"))
    with pytest.raises(Refused, match="another patient"):
        lay_contours(found, replace(target, patient_id="other"))
    with pytest.raises(Refused, match="no geometry"):
        lay_contours(found, replace(target, grid=None))
    far = ("CLOSED_PLANAR", ring(90, (14.3, 16.2), 9))
    write_structures(tmp_path / "far.dcm", stack, [("a", [contour]), ("b", [far])])
    laid = masks(tmp_path / "far.dcm", target)
    assert len(laid.segments) == 1 and laid.refused == ("b lies outside the image",)
    with pytest.raises(BadInput, match="no RT Structure Set"):
        read_structures(stack.frames[0].path)


def test_images_that_are_not_there_are_said(stack: Stack, tmp_path: Path) -> None:
    contour = ("CLOSED_PLANAR", ring(3, (14.3, 16.2), 9))
    here = stack.frames[3].sop_instance_uid
    for images, expected in (([here], ""), ([here, "1.2.3"], "1 of the 2 images"), (["1.2.3"], "the images that")):
        write_structures(tmp_path / "rt.dcm", stack, [("a", [contour])], images=images)
        notes = lay_contours(read_structures(tmp_path / "rt.dcm"), Target.of(stack)).notes
        assert notes == () if not expected else expected in notes[0]


def test_damaged_contours_are_left_out_and_said(stack: Stack, tmp_path: Path) -> None:
    import pydicom

    contour = ("CLOSED_PLANAR", ring(3, (14.3, 16.2), 9))
    write_structures(tmp_path / "rt.dcm", stack, [("a", [contour, ("CLOSED_PLANAR", ring(4, (14, 16), 8))])])
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    rings = dataset.ROIContourSequence[0].ContourSequence
    rings[1].ContourData = rings[1].ContourData[:-2]
    dataset.save_as(tmp_path / "bad.dcm")
    found = read_structures(tmp_path / "bad.dcm")
    assert len(found.structures[0].contours) == 1 and "1 contours of a are damaged" in found.faults[0]


@pytest.mark.data
@pytest.mark.parametrize(
    ("structures", "images", "voxels"),
    [("ct_crop_RS.dcm", "STS_001_ct_crop.zip", [117145]), ("pet_1-1.dcm", "STS_001_pet_bqml.zip", [5095, None])],
)
def test_a_real_tumour_has_the_voxels_that_its_description_counts(
    public_data: Path, structures: str, images: str, voxels: list[int | None]
) -> None:
    folder = public_data / "pet_ct"
    (stack,) = scan([folder / images]).stacks()
    path = folder / "STS_001_rtstruct.zip" / "STS_001" / "RTSTRUCT" / structures
    laid = masks(path, Target.of(stack))
    counts = [int(np.count_nonzero(s.mask)) for s in laid.segments]
    assert [ours for ours, theirs in zip(counts, voxels, strict=True) if theirs is not None] == [
        v for v in voxels if v is not None
    ]


def test_structures_to_volume_file_surface_and_segmentation(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import highdicom
    import SimpleITK as sitk

    a, b = [ring(k, (14.3, 16.2), 9) for k in (2, 3, 4)], [ring(3, (17.3, 20.2), 6)]
    write_structures(
        tmp_path / "rt.dcm",
        stack,
        [("Body", [("CLOSED_PLANAR", r) for r in a]), ("Organ", [("CLOSED_PLANAR", r) for r in b])],
    )
    folder = str(stack.frames[0].path.parent)
    rt, reference = str(tmp_path / "rt.dcm"), ["--reference", folder]
    assert main(["convert", rt, str(tmp_path / "all.nii.gz"), *reference]) == 0
    assert "belong to several segments" in capsys.readouterr().out
    body = filled(a[0], 2) | filled(a[1], 3) | filled(a[2], 4)
    organ = filled(b[0], 3)
    assert np.array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "all.nii.gz"))), np.where(organ, 2, body)
    )
    assert main(["convert", rt, str(tmp_path / "one.nrrd"), *reference, "--segment", "Body"]) == 0
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "one.nrrd"))) > 0, body)
    assert main(["convert", rt, str(tmp_path / "seg.dcm"), *reference, "--as", "seg"]) == 0
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    array = seg.get_volume(combine_segments=False).array
    assert [int(array[..., n].sum()) for n in range(2)] == [int(body.sum()), int(organ.sum())]
    assert main(["convert", str(tmp_path / "seg.dcm"), str(tmp_path / "back.dcm"), *reference, "--as", "rtstruct"]) == 0
    back = masks(tmp_path / "back.dcm", Target.of(stack))
    assert np.array_equal(whole(back, 0), body) and np.array_equal(whole(back, 1), organ)
    assert main(["convert", rt, str(tmp_path / "x.stl"), *reference, "--segment", "2"]) == 0
    assert (tmp_path / "x.stl").stat().st_size > 1000
    capsys.readouterr()
    assert main(["convert", rt, str(tmp_path / "x.nii.gz")]) == 2
    assert "--reference" in capsys.readouterr().err
    assert main(["convert", rt, str(tmp_path / "x.nii.gz"), *reference, "--segment", "Lung"]) == 2
    assert "1 (Body), 2 (Organ)" in capsys.readouterr().err

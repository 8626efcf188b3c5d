"""NIfTI: what is written is read back, SimpleITK sees the same places, and damage is named."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.errors import SaveFailed
from medviewer.formats import nifti
from medviewer.formats.carry import Use, why_not
from medviewer.formats.load import load_volume, read_frame_rgb
from medviewer.formats.scan import scan
from medviewer.formats.source import SourceFault
from medviewer.volume.grid import Grid
from tests.formats.test_geometry import rotation

angles = st.floats(-3.1, 3.1)


def grid_of(turn: tuple[float, float, float], size: tuple[int, int, int], *, mirrored: bool = False) -> Grid:
    axes = rotation(*turn)
    if mirrored:
        axes = axes * np.array([1.0, 1.0, -1.0])
    return Grid(size, (3.0, 0.8, 0.5), tuple(float(v) for v in axes.T.ravel()), (-11.0, 22.5, 303.25))


@settings(max_examples=40, deadline=None)
@given(
    a=angles, b=angles, c=angles, mirrored=st.booleans(), dtype=st.sampled_from(["u1", "i2", "u2", "i4", "f4", "f8"])
)
def test_a_round_trip_keeps_voxels_and_places(
    a: float, b: float, c: float, mirrored: bool, dtype: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("n") / "x.nii.gz"
    grid = grid_of((a, b, c), (4, 6, 5), mirrored=mirrored)
    voxels = (np.arange(120) % 251).astype(dtype).reshape(grid.size_kji)
    nifti.write(path, voxels, grid)
    (stack,) = scan([path]).stacks()
    volume = load_volume(stack)
    assert np.array_equal(volume.voxels, voxels) and volume.voxels.dtype == np.dtype(dtype)
    assert volume.grid is not None
    assert np.allclose(volume.grid.corners_lps(), grid.corners_lps(), atol=1e-3)


@pytest.mark.parametrize("turn", [(0, 0, 0), (0.5, -0.3, 0.2), (3.1, 0.1, -2.0), (0, 3.14159, 0)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_simpleitk_reads_the_same_places_from_our_file(
    turn: tuple[float, float, float], mirrored: bool, tmp_path: Path
) -> None:
    import SimpleITK as sitk

    grid = grid_of(turn, (4, 6, 5), mirrored=mirrored)
    voxels = np.arange(120, dtype=np.int16).reshape(grid.size_kji)
    nifti.write(tmp_path / "x.nii", voxels, grid, slope=2.0, intercept=-7.0)
    image = sitk.ReadImage(str(tmp_path / "x.nii"))
    assert np.array_equal(sitk.GetArrayFromImage(image), voxels * 2.0 - 7.0)
    for k, j, i in ((0, 0, 0), (3, 5, 4), (1, 0, 3)):
        assert np.allclose(image.TransformIndexToPhysicalPoint((i, j, k)), grid.index_to_lps((k, j, i)), atol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_we_read_the_same_places_from_simpleitks_file(mirrored: bool, tmp_path: Path) -> None:
    import SimpleITK as sitk

    grid = grid_of((0.5, -0.3, 0.2), (4, 6, 5), mirrored=mirrored)
    image = sitk.GetImageFromArray(np.arange(120, dtype=np.float32).reshape(4, 6, 5))
    image.SetSpacing((0.5, 0.8, 3.0))
    image.SetOrigin(grid.origin_lps)
    image.SetDirection([float(v) for v in np.array(grid.direction).reshape(3, 3).T.ravel()])
    for name in ("x.nii.gz", "x.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
        (stack,) = scan([tmp_path / name]).stacks()
        volume = load_volume(stack)
        assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(image))
        assert volume.grid is not None and np.allclose(volume.grid.corners_lps(), grid.corners_lps(), atol=1e-3)


def test_a_sheared_grid_keeps_its_shear(tmp_path: Path) -> None:
    slant = np.array([0.0, 0.2, 1.0]) / np.linalg.norm([0.0, 0.2, 1.0])
    grid = Grid((3, 4, 4), (2.0, 1.0, 1.0), (1, 0, 0, 0, 1, 0, *(float(v) for v in slant)), (0.0, 0.0, 0.0))
    nifti.write(tmp_path / "t.nii", np.zeros(grid.size_kji, np.uint8), grid)
    found = nifti.grid_of(nifti.read_header(tmp_path / "t.nii"))
    assert found is not None and np.allclose(found.corners_lps(), grid.corners_lps(), atol=1e-4)


def _written(tmp_path: Path, name: str = "x.nii") -> tuple[Path, bytearray]:
    path = tmp_path / name
    nifti.write(path, np.arange(120, dtype=np.int16).reshape(4, 6, 5), Grid.plain((4, 6, 5)))
    return path, bytearray(path.read_bytes())


def test_without_a_code_the_orientation_is_unknown(tmp_path: Path) -> None:
    path, data = _written(tmp_path)
    struct.pack_into("<2h", data, 252, 0, 0)
    path.write_bytes(data)
    (stack,) = scan([path]).stacks()
    assert stack.grid is not None and not stack.grid.oriented and stack.spacing_kji == (1.0, 1.0, 1.0)
    assert stack.codes == {"no-position"} and stack.quality[0].short == "orientation unknown"
    assert stack.origin_lps is None and stack.direction is None
    assert "which side is left" in (why_not(stack, Use.SUGGESTION) or "") and why_not(stack, Use.PLANES) is None
    assert load_volume(stack).voxels[3, 5, 4] == 119


def test_the_qform_counts_where_there_is_no_sform(tmp_path: Path) -> None:
    grid = grid_of((0.4, 1.2, -2.0), (4, 6, 5), mirrored=True)
    nifti.write(tmp_path / "q.nii", np.zeros(grid.size_kji, np.uint8), grid)
    data = bytearray((tmp_path / "q.nii").read_bytes())
    struct.pack_into("<2h", data, 252, 1, 0)
    (tmp_path / "q.nii").write_bytes(data)
    found = nifti.grid_of(nifti.read_header(tmp_path / "q.nii"))
    assert found is not None and np.allclose(found.corners_lps(), grid.corners_lps(), atol=1e-3)


@pytest.mark.parametrize(
    ("offset", "form", "value", "code"),
    [
        (42, "<h", -5, "bad-header"),
        (42, "<h", 30000, "truncated"),
        (40, "<h", 9, "bad-header"),
        (70, "<h", 32, "unsupported"),
        (68, "<h", 3006, "unsupported"),
        (108, "<f", -8.0, "bad-header"),
        (108, "<f", 1e9, "truncated"),
    ],
)
def test_headers_that_lie_are_refused(offset: int, form: str, value: float, code: str, tmp_path: Path) -> None:
    path, data = _written(tmp_path)
    struct.pack_into(form, data, offset, value)
    path.write_bytes(data)
    assert [s.code for s in scan([path]).skipped] == [code]


def test_a_nan_in_the_affine_is_no_orientation(tmp_path: Path) -> None:
    path, data = _written(tmp_path)
    struct.pack_into("<f", data, 280, float("nan"))
    path.write_bytes(data)
    (stack,) = scan([path]).stacks()
    assert stack.grid is not None and not stack.grid.oriented and "span no space" in stack.quality[0].detail


def test_units_and_times_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.nii"
    nifti.write(path, np.zeros((3, 4, 6, 5), np.int16), Grid.plain((4, 6, 5), (3.0, 0.8, 0.5)))
    data = bytearray(path.read_bytes())
    data[123] = 3 | 16  # micrometres and milliseconds
    struct.pack_into("<2h", data, 252, 0, 0)
    struct.pack_into("<4f", data, 80, 500.0, 800.0, 3000.0, 2500.0)
    path.write_bytes(data)
    (stack,) = scan([path]).stacks()
    assert stack.spacing_kji == pytest.approx((3.0, 0.8, 0.5)) and stack.times == 3
    assert stack.time_labels == ("0 s", "2.5 s", "5 s")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_of_header_and_image(order: str, packed: bool, tmp_path: Path) -> None:
    path, data = _written(tmp_path)
    header, voxels = bytearray(data[:348]), np.frombuffer(bytes(data[352:]), "<i2")
    header[344:348] = b"ni1\0"
    struct.pack_into("<f", header, 108, 0.0)
    if order == ">":
        header = _swapped(header)
    path.unlink()
    body = voxels.astype(f"{order}i2").tobytes()
    (tmp_path / "p.hdr").write_bytes(header)
    (tmp_path / ("p.img.gz" if packed else "p.img")).write_bytes(gzip.compress(body) if packed else body)
    (stack,) = scan([tmp_path / "p.hdr"]).stacks()
    assert np.array_equal(load_volume(stack).voxels, np.arange(120).reshape(4, 6, 5))
    assert stack.grid is not None and stack.grid.oriented
    header[344:348] = b"\0\0\0\0"  # Analyze 7.5
    (tmp_path / "p.hdr").write_bytes(header)
    (stack,) = scan([tmp_path / "p.hdr"]).stacks()
    assert np.array_equal(load_volume(stack).voxels, np.arange(120).reshape(4, 6, 5))
    assert stack.grid is not None and not stack.grid.oriented


def _swapped(header: bytearray) -> bytearray:
    """A little endian NIfTI-1 header as a big endian one."""
    fields = "i10s18sihcB8h3f4h8f3fhBB4f2i80s24s2h6f4f4f4f16s4s"
    return bytearray(struct.pack(f">{fields}", *struct.unpack(f"<{fields}", header)))


def test_a_cut_gzip_is_named(tmp_path: Path) -> None:
    path, _ = _written(tmp_path, "x.nii.gz")
    path.write_bytes(path.read_bytes()[:-40])
    catalog = scan([path])
    if catalog.skipped:
        assert catalog.skipped[0].code == "truncated"
    else:
        with pytest.raises(SourceFault, match="truncated"):
            nifti.read_samples(path)


def test_a_gzip_that_cannot_hold_what_it_declares_is_refused(tmp_path: Path) -> None:
    _, data = _written(tmp_path)
    struct.pack_into("<3h", data, 42, 4000, 4000, 4000)
    packed = tmp_path / "bomb.nii.gz"
    packed.write_bytes(gzip.compress(bytes(data)))
    assert [s.code for s in scan([packed]).skipped] == ["too-large"]


def test_four_dimensions_become_times(tmp_path: Path) -> None:
    voxels = np.arange(240, dtype=np.int16).reshape(2, 4, 6, 5)
    nifti.write(tmp_path / "t.nii.gz", voxels, Grid.plain((4, 6, 5)))
    (stack,) = scan([tmp_path]).stacks()
    assert (stack.kind.value, stack.times, len(stack.frames)) == ("4d", 2, 8)
    assert np.array_equal(load_volume(stack, time=1).voxels, voxels[1])


def test_colour_voxels_keep_their_colours(tmp_path: Path) -> None:
    path, data = _written(tmp_path)
    rgb = np.random.default_rng(3).integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)
    struct.pack_into("<2h", data, 70, 128, 24)
    path.write_bytes(bytes(data[:352]) + rgb.tobytes())
    (stack,) = scan([path]).stacks()
    assert stack.is_colour and np.array_equal(read_frame_rgb(stack, 2), rgb[2])


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("in the way")
    with pytest.raises(SaveFailed):
        nifti.write(target / "x.nii", np.zeros((4, 6, 5), np.uint8), Grid.plain((4, 6, 5)))
    assert target.read_text() == "in the way" and list(tmp_path.iterdir()) == [target]

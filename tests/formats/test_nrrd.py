"""NRRD: round trip, other programs' files, spaces and encodings, damage."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest

from medviewer.formats import nrrd
from medviewer.formats.digest import digest
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from tests.formats.test_nifti import grid_of


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_a_round_trip_and_simpleitk_agree(dtype: str, tmp_path: Path) -> None:
    import SimpleITK as sitk

    grid = grid_of((0.5, -0.3, 0.2), (4, 6, 5))
    voxels = (np.arange(120) % 120).astype(dtype).reshape(grid.size_kji)
    nrrd.write(tmp_path / "x.nrrd", voxels, grid)
    (stack,) = scan([tmp_path]).stacks()
    volume = load_volume(stack)
    assert np.array_equal(volume.voxels, voxels) and volume.grid is not None
    assert np.allclose(volume.grid.corners_lps(), grid.corners_lps(), atol=1e-9)
    image = sitk.ReadImage(str(tmp_path / "x.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(image), voxels)
    assert np.allclose(image.TransformIndexToPhysicalPoint((4, 5, 3)), grid.index_to_lps((3, 5, 4)), atol=1e-6)


def text_header(**fields: str) -> bytes:
    known = {
        "type": "short", "dimension": "3", "sizes": "5 6 4", "endian": "little", "encoding": "raw",
        "space": "left-posterior-superior", "space directions": "(1,0,0) (0,2,0) (0,0,3)", "space origin": "(4,5,6)",
    }  # fmt: skip
    known |= {key.replace("_", " "): value for key, value in fields.items()}
    return ("NRRD0004\n# made by hand\n" + "".join(f"{k}: {v}\n" for k, v in known.items() if v) + "\n").encode()


VOXELS = np.arange(120, dtype="<i2").reshape(4, 6, 5)


def only(path: Path) -> object:
    (stack,) = scan([path]).stacks()
    return load_volume(stack)


def test_other_spaces_are_turned(tmp_path: Path) -> None:
    path = tmp_path / "ras.nrrd"
    path.write_bytes(text_header(space="right-anterior-superior") + VOXELS.tobytes())
    (stack,) = scan([path]).stacks()
    assert stack.grid is not None and stack.grid.origin_lps == (-4.0, -5.0, 6.0)
    assert np.allclose(stack.grid.index_to_lps((1, 1, 1)), (-5, -7, 9))


def test_encodings_and_byte_orders(tmp_path: Path) -> None:
    files = {
        "big.nrrd": text_header(endian="big") + VOXELS.astype(">i2").tobytes(),
        "bz.nrrd": text_header(encoding="bzip2") + bz2.compress(VOXELS.tobytes()),
        "hex.nrrd": text_header(encoding="hex") + VOXELS.tobytes().hex().encode(),
        "txt.nrrd": text_header(encoding="ascii") + " ".join(str(v) for v in VOXELS.ravel()).encode(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (stack,) = scan([tmp_path / name]).stacks()
        assert np.array_equal(load_volume(stack).voxels, VOXELS), name


@pytest.mark.parametrize(
    ("fields", "oriented", "spacing"),
    [
        ({"space": ""}, False, (3.0, 2.0, 1.0)),
        ({"space": "scanner-xyz"}, False, (3.0, 2.0, 1.0)),
        ({"space": "LAS"}, True, (3.0, 2.0, 1.0)),
        ({"space": "", "space_directions": "", "space_origin": "", "spacings": "1 2 3"}, False, (3.0, 2.0, 1.0)),
        ({"space_units": '"cm" "cm" "cm"'}, True, (30.0, 20.0, 10.0)),
    ],
)
def test_sizes_count_where_the_space_is_unknown(
    fields: dict[str, str], oriented: bool, spacing: tuple[float, ...], tmp_path: Path
) -> None:
    path = tmp_path / "s.nrrd"
    path.write_bytes(text_header(**fields) + VOXELS.tobytes())
    (stack,) = scan([path]).stacks()
    assert stack.spacing_kji == spacing and stack.grid is not None and stack.grid.oriented is oriented
    assert (stack.codes == {"no-position"}) is not oriented and (stack.origin_lps is None) is not oriented
    assert np.array_equal(load_volume(stack).voxels, VOXELS)


@pytest.mark.parametrize("space", ["left-posterior-superior", "RAS", "left-anterior-superior"])
def test_simpleitk_turns_spaces_the_same_way(space: str, tmp_path: Path) -> None:
    import SimpleITK as sitk

    path = tmp_path / "x.nrrd"
    head = text_header(space=space, space_directions="(0,1.5,0.2) (-2,0,0) (0,-0.4,3)", space_origin="(4,-5,6)")
    path.write_bytes(head + VOXELS.tobytes())
    (stack,) = scan([path]).stacks()
    image = sitk.ReadImage(str(path))
    assert stack.grid is not None
    for k, j, i in ((0, 0, 0), (3, 5, 4)):
        assert np.allclose(
            image.TransformIndexToPhysicalPoint((i, j, k)), stack.grid.index_to_lps((k, j, i)), atol=1e-4
        )


def test_an_unoriented_volume_stays_one_when_written(tmp_path: Path) -> None:
    from medviewer.formats import nifti

    path = tmp_path / "s.nrrd"
    path.write_bytes(text_header(space="", space_directions="", space_origin="", spacings="1 2 3") + VOXELS.tobytes())
    (stack,) = scan([path]).stacks()
    assert stack.grid is not None
    nrrd.write(tmp_path / "o.nrrd", VOXELS, stack.grid)
    nifti.write(tmp_path / "o.nii", VOXELS, stack.grid)
    for name in ("o.nrrd", "o.nii"):
        (back,) = scan([tmp_path / name]).stacks()
        assert back.grid is not None and not back.grid.oriented and back.spacing_kji == (3.0, 2.0, 1.0)
        assert np.array_equal(load_volume(back).voxels, VOXELS)


def test_a_list_axis_becomes_times(tmp_path: Path) -> None:
    head = text_header(
        dimension="4", sizes="2 5 6 4", space_directions="none (1,0,0) (0,2,0) (0,0,3)",
        kinds="list domain domain domain",
    )  # fmt: skip
    both = np.stack([VOXELS, VOXELS + 500], axis=-1).astype("<i2")
    (tmp_path / "l.nrrd").write_bytes(head + both.tobytes())
    (stack,) = scan([tmp_path]).stacks()
    assert stack.times == 2 and np.array_equal(load_volume(stack, time=1).voxels, VOXELS + 500)


def test_detached_data_come_from_the_same_folder_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / "in" / "x.raw").write_bytes(VOXELS.tobytes())
    inside, outside = tmp_path / "in" / "good.nhdr", tmp_path / "in" / "bad.nhdr"
    inside.write_bytes(text_header(data_file="x.raw"))
    outside.write_bytes(text_header(data_file="../secret.raw"))
    (stack,) = scan([inside]).stacks()
    assert np.array_equal(load_volume(stack).voxels, VOXELS)
    assert [s.code for s in scan([outside]).skipped] == ["outside-folder"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (text_header() + VOXELS.tobytes()[:-2], "truncated"),
        (text_header(data_file="LIST") + VOXELS.tobytes(), "unsupported"),
        (text_header(encoding="hex") + b"zz", "truncated"),
        (text_header(sizes="5 6") + VOXELS.tobytes(), "unsupported"),
        (text_header(sizes="-5 6 4") + VOXELS.tobytes(), "unsupported"),
        (text_header(type="block") + VOXELS.tobytes(), "bad-header"),
        (text_header(encoding="zstd") + VOXELS.tobytes(), "unsupported"),
        (text_header(sizes="99999 99999 99999") + VOXELS.tobytes(), "too-large"),
        (text_header(space_directions="(a,b) x"), "bad-header"),
    ],
)
def test_damage_is_named(data: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "x.nrrd").write_bytes(data)
    assert [s.code for s in scan([tmp_path]).skipped] == [code]


def test_blanks_inside_vectors_and_data_named_with_a_leading_dot(tmp_path: Path) -> None:
    directions = "(1, 0,0)  (0, 2, 0) ( 0,0,3)"
    header = text_header(space_directions=directions, data_file="./x.raw").rstrip(b"\n") + b"\n"
    (tmp_path / "x.nhdr").write_bytes(header)
    (tmp_path / "x.raw").write_bytes(VOXELS.tobytes())
    (stack,) = scan([tmp_path / "x.nhdr"]).stacks()
    volume = load_volume(stack)
    assert stack.spacing_kji == (3.0, 2.0, 1.0) and np.array_equal(volume.voxels, VOXELS)


def test_least_and_greatest_value_are_numbers_where_some_voxels_are_none(tmp_path: Path) -> None:
    voxels = np.arange(120, dtype="f4").reshape(4, 6, 5)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    nrrd.write(tmp_path / "x.nrrd", voxels, grid_of((0, 0, 0), (4, 6, 5)))
    (stack,) = scan([tmp_path]).stacks()
    found = digest(stack)
    assert (found.low, found.high) == (3.0, 119.0)
    voxels[...] = np.nan
    nrrd.write(tmp_path / "x.nrrd", voxels, grid_of((0, 0, 0), (4, 6, 5)))
    (stack,) = scan([tmp_path]).stacks()
    assert digest(stack).low is None

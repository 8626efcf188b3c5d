"""Damaged files that once were more than a sentence, each as the recipe that the fuzzer found: base and splices."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats import samples
from tests.formats.hostile_files import directory_file, put
from tests.fuzz.bases import base
from tests.fuzz.harness import file_name
from tests.fuzz.oracle import check_file
from tests.fuzz.splice import apply, from_hex

Recipe = tuple[str, list[tuple[int, int, str]]]

RECIPES: dict[str, Recipe] = {
    "bad magic number of a member's header": (
        "made:nested.zip",
        [(139, 16, "20" * 16), (279, 0, "70e4a1cab1b49388"), (1860, 64, "")],
    ),
    "a member's length of 4 GB": ("made:study.zip", [(349, 4, "ffffffff")]),
    "a member without a name": (
        "made:study.zip",
        [(94, 1, "d1"), (103, 1, "4c"), (462, 4, "00000000"), (201, 1, "ec"), (1774, 8, "0100000000000000")],
    ),
    "an archive that says it has no members": ("made:study.zip", [(1790, 8, "0700000000000000")]),
    "a control character in the transfer syntax": ("pydicom:charset_files/chrRuss.dcm", [(261, 2, "7fff")]),
    "JPEG with 32 bits allocated killed the process": (
        "pydicom:test_files/SC_rgb_jpeg_app14_dcmd.dcm",
        [(798, 10, "28000001555302002000")],
    ),
    "JPEG with one bit stored killed the process": (
        "pydicom:test_files/SC_rgb_dcmtk_+eb+cy+np.dcm",
        [(1198, 10, "200013004953040031653330"), (1588, 10, "28000101555302000100")],
    ),
    "a damaged JPEG marker killed the process": ("pydicom:test_files/SC_rgb_jpeg_dcmtk.dcm", [(1898, 2, "0002")]),
    "a JPEG cut by four bytes killed the process": (
        "pydicom:test_files/SC_rgb_dcmtk_+eb+cy+n1.dcm",
        [(1699, 4, "80000000")],
    ),
    "the file ends in the head of the offset table": (
        "pydicom:test_files/SC_rgb_dcmtk_+eb+cy+s4.dcm",
        [(1675, 1745, "")],
    ),
    "control characters in a segment's label": (
        "made:seg.dcm",
        [(1036, 14, "620005004c4f06000001021b7f20"), (674, 10, "")],
    ),
    "contours where the class of an image stood": ("made:ct.dcm", [(192, 4, "06305000")]),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_costs_a_sentence(name: str, tmp_path: Path) -> None:
    origin, rows = RECIPES[name]
    path = tmp_path / file_name(origin)
    path.write_bytes(apply(base(origin), from_hex(*rows)))
    check_file(path, base(origin))


def test_a_directory_with_controls_in_a_reference(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(directory_file("..\\X1\x04"))
    check_file(tmp_path / "DICOMDIR")


def test_a_palette_file_whose_character_set_is_a_number(tmp_path: Path) -> None:
    table = bytes(range(256)) * 2
    colours = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", table))
    }
    data = samples.picture(samples.ramp((6, 5), dtype="uint8"), PhotometricInterpretation="PALETTE COLOR", **colours)
    path = samples.save(data, tmp_path / "palette.dcm")
    path.write_bytes(put(path.read_bytes(), 0x00080005, b"SS", b"\1\0"))
    check_file(path)

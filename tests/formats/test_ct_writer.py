from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medviewer.errors import BadInput, Cancelled, SaveFailed
from medviewer.formats.dicom import ct_writer
from medviewer.formats.dicom.ct_writer import CtText, uid_from, write_ct_series
from medviewer.jobs import CancelToken, JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

TEXT = CtText(patient_name="Phantom^Chest", patient_id="P1", study_description="Test", series_description="Series")
#: Debian's dciodvfy (2022) does not know this attribute of the current standard (PS3.3 C.12.1.1.1).
KNOWN_TO_NEWER = "(0x0008,0x001c)"


def _volume(oblique: bool = False) -> Volume:
    rng = np.random.default_rng(1)
    voxels = rng.integers(-1024, 1500, (4, 12, 10)).astype(np.int16)
    c, s = np.cos(0.3), np.sin(0.3)
    direction = (c, s, 0.0, 0.0, 0.0, -1.0, -s, c, 0.0) if oblique else (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    grid = Grid((4, 12, 10), (2.5, 0.71, 0.83), direction, (-120.25, 33.125, -401.0))
    return Volume(voxels, grid, unit="HU", modality="CT")


@pytest.mark.parametrize("oblique", [False, True])
def test_simpleitk_maps_every_corner_to_the_same_point_and_value(tmp_path: Path, oblique: bool) -> None:
    import SimpleITK as sitk

    volume = _volume(oblique)
    paths = write_ct_series(volume, tmp_path / "ct", text=TEXT, uid_seed="a")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(p) for p in paths])
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.voxels)
    assert volume.grid is not None
    for index in ((0, 0, 0), (3, 11, 9), (2, 5, 1)):
        point = image.TransformIndexToPhysicalPoint(index[::-1])
        assert np.allclose(point, volume.grid.index_to_lps(index), atol=1e-4)


def test_the_headers_say_what_was_asked_and_nothing_of_a_person(tmp_path: Path) -> None:
    paths = write_ct_series(_volume(), tmp_path, text=TEXT, uid_seed="a", thickness_mm=3.0)
    first, last = pydicom.dcmread(paths[0]), pydicom.dcmread(paths[-1])
    assert first.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (first.PatientName, first.PatientID, first.PatientIdentityRemoved) == ("Phantom^Chest", "P1", "YES")
    assert (float(first.SliceThickness), float(first.SpacingBetweenSlices)) == (3.0, 2.5)
    assert [float(v) for v in first.PixelSpacing] == [0.71, 0.83]
    assert (first.RescaleIntercept, first.RescaleSlope, first.RescaleType) == (-1024, 1, "HU")
    assert (first.BitsStored, first.PixelRepresentation) == (12, 0)
    # Numbers run from head to feet.
    assert (first.InstanceNumber, last.InstanceNumber) == (4, 1)
    assert len({first.SOPInstanceUID, last.SOPInstanceUID}) == 2
    assert first.SeriesInstanceUID == last.SeriesInstanceUID
    assert (0x0008, 0x001C) not in first


def test_uids_come_from_the_seed(tmp_path: Path) -> None:
    same = [write_ct_series(_volume(), tmp_path / n, text=TEXT, uid_seed=s)[0] for n, s in ("1a", "2a", "3b")]
    uids = [pydicom.dcmread(p).SOPInstanceUID for p in same]
    assert uids[0] == uids[1] != uids[2]
    assert all(pydicom.uid.UID(u).is_valid for u in uids)
    assert uid_from("a", 1) != uid_from("a1")


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("synthetic", [False, True])
def test_dciodvfy_finds_no_error(tmp_path: Path, synthetic: bool) -> None:
    text = CtText("Phantom^Chest", "P1", study_description="Test", patient_age="058Y", synthetic=synthetic)
    for path in write_ct_series(_volume(), tmp_path, text=text, uid_seed="a"):
        answer = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        lines = (answer.stdout + answer.stderr).splitlines()
        assert "CTImage" in lines
        errors = [line for line in lines if line.startswith("Error") and KNOWN_TO_NEWER not in line]
        assert errors == []


def test_metal_beyond_twelve_bits_is_kept(tmp_path: Path) -> None:
    voxels = _volume().voxels.copy()
    voxels[1, 2, 3] = 20000
    paths = write_ct_series(Volume(voxels, _volume().grid), tmp_path, text=TEXT, uid_seed="a")
    read = [pydicom.dcmread(p) for p in paths]
    assert {ds.BitsStored for ds in read} == {16}
    assert read[1].pixel_array[2, 3] - 1024 == 20000


def test_values_that_do_not_fit_are_refused_not_clipped(tmp_path: Path) -> None:
    voxels = _volume().voxels.copy()
    voxels[0, 0, 0] = -2000
    with pytest.raises(BadInput, match=r"-2000 to .* do not fit a CT image"):
        write_ct_series(Volume(voxels, _volume().grid), tmp_path / "ct", text=TEXT, uid_seed="a")
    assert not list(tmp_path.rglob("*.dcm"))


def test_a_volume_without_geometry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="without geometry"):
        write_ct_series(Volume(np.zeros((1, 2, 2), np.int16), None), tmp_path, text=TEXT, uid_seed="a")


def test_a_full_disk_leaves_the_older_series_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ct"
    paths = write_ct_series(_volume(), folder, text=TEXT, uid_seed="old")
    before = [p.read_bytes() for p in paths]

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ct_writer, "_flush", full)
    with pytest.raises(SaveFailed, match=r"No space left on device.*free some space"):
        write_ct_series(_volume(), folder, text=TEXT, uid_seed="new")
    assert [p.read_bytes() for p in paths] == before
    assert [p.name for p in tmp_path.iterdir()] == ["ct"]


def test_a_folder_in_whose_place_a_file_stands_is_named(tmp_path: Path) -> None:
    (tmp_path / "ct").write_text("in the way")
    with pytest.raises(SaveFailed, match="ct"):
        write_ct_series(_volume(), tmp_path / "ct", text=TEXT, uid_seed="a")


def test_cancel_leaves_nothing(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        write_ct_series(_volume(), tmp_path / "ct", text=TEXT, uid_seed="a", context=JobContext(token))
    assert not list(tmp_path.rglob("*.dcm"))


@settings(max_examples=200, deadline=None)
@given(st.floats(-5000, 5000, allow_nan=False, allow_infinity=False))
def test_decimal_strings_fit_and_lose_no_more_than_a_hundred_thousandth_of_a_millimetre(value: float) -> None:
    text = ct_writer._decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, abs=1e-5)

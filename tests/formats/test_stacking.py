"""A series is split by rule, doubles are named, and ids do not depend on where the files lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage, XRayAngiographicImageStorage

from medviewer.formats.catalog import Catalog, Stack, StackKind
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from tests.formats import samples
from tests.formats.samples import along_z, ramp

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def stacks_of(folder: Path) -> list[Stack]:
    return list(scan([folder]).stacks())


def test_a_series_of_one_direction_is_one_volume(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(5))
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.size_kji, stack.times, stack.quality) == (StackKind.VOLUME, (5, 6, 5), 1, ())
    assert stack.spacing_kji == (2.0, 0.8, 0.5)
    assert stack.windows[0].width == 400 and stack.windows[0].level == 40
    assert stack.unit == "HU" and stack.text.patient_name == "Test^Patient"


def test_directions_are_kept_apart_and_said(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(3))
    samples.series(tmp_path / "c", [(0, n * 3, 0) for n in range(3)], orientation=CORONAL)
    stacks = stacks_of(tmp_path)
    assert sorted(s.name for s in stacks) == ["axial", "coronal"]
    assert all(s.codes == {"mixed-orientation"} and s.grid is not None for s in stacks)


def test_single_pictures_in_three_directions_stay_together(tmp_path: Path) -> None:
    for n, orientation in enumerate((samples.AXIAL, CORONAL, SAGITTAL)):
        samples.series(
            tmp_path / str(n), [(0, 0, 0)], orientation=orientation, ImageType=["ORIGINAL", "P", "LOCALIZER"]
        )
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.size_kji[0], stack.grid) == (StackKind.FRAMES, 3, None)
    assert "mixed-orientation" in stack.codes and stack.name == "localizer"


def test_a_localizer_in_the_series_stands_apart(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(4))
    samples.series(tmp_path / "l", [(0, 0, 0)], orientation=CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    stacks = stacks_of(tmp_path)
    assert [(s.name, s.size_kji[0]) for s in stacks] == [("", 4), ("localizer", 1)] or [
        (s.name, s.size_kji[0]) for s in stacks
    ] == [("localizer", 1), ("", 4)]


def test_pixel_sizes_are_kept_apart_and_said(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(4))
    samples.series(tmp_path / "b", [(0, 0, 100)], PixelSpacing=[0.9, 0.9])
    stacks = stacks_of(tmp_path)
    assert sorted(s.size_kji[0] for s in stacks) == [1, 4]
    assert all("mixed-spacing" in s.codes for s in stacks)


def test_frames_of_reference_and_matrices_are_kept_apart(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(3))
    samples.series(tmp_path / "b", along_z(3), FrameOfReferenceUID="1.2.9")
    samples.series(tmp_path / "c", along_z(3), size=(8, 8))
    assert len(stacks_of(tmp_path)) == 3


def test_a_picture_without_position_does_not_spoil_the_others(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(4))
    samples.series(tmp_path / "b", [(0, 0, 50)], ImagePositionPatient=None)
    stacks = {s.size_kji[0]: s for s in stacks_of(tmp_path)}
    assert stacks[4].grid is not None and stacks[4].codes == frozenset()
    assert stacks[1].grid is None and "no-position" in stacks[1].codes


def test_one_more_picture_at_an_occupied_place_is_never_stacked(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(5), InstanceNumber=[1, 2, 3, 4, 5])
    samples.series(tmp_path / "b", [(10, 20, 4.0)], InstanceNumber=9)
    stacks = stacks_of(tmp_path)
    main = next(s for s in stacks if s.size_kji[0] == 5)
    assert "duplicate-slice" in main.codes and main.grid is not None
    assert [s.name for s in stacks if s.size_kji[0] == 1] == ["doubles"]


def test_an_identical_copy_is_left_out_and_named(tmp_path: Path) -> None:
    paths = samples.series(tmp_path, along_z(3))
    shutil.copy(paths[1], tmp_path / "zz copy.dcm")
    catalog = scan([tmp_path])
    (stack,) = catalog.stacks()
    assert stack.size_kji[0] == 3 and "duplicate-slice" in stack.codes
    assert [(s.path.name, s.code) for s in catalog.skipped] == [("zz copy.dcm", "duplicate-uid")]


def test_the_same_uid_with_other_pixels_is_kept(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(2), SOPInstanceUID="1.2.3.4")
    (stack,) = stacks_of(tmp_path)
    assert stack.size_kji[0] == 2


@pytest.mark.parametrize(
    ("element", "values", "label"),
    [
        ("TemporalPositionIdentifier", [1, 2], "time 1"),
        ("EchoTime", [20.0, 80.0], "TE 20 ms"),
        ("AcquisitionNumber", [1, 2], "acquisition 1"),
        ("TriggerTime", [0.0, 50.0], "trigger 0 ms"),
    ],
)
def test_pictures_at_one_place_become_times(tmp_path: Path, element: str, values: list[float], label: str) -> None:
    for n, value in enumerate(values):
        samples.series(tmp_path / str(n), along_z(4), Modality="MR", SOPClassUID=MRImageStorage, **{element: value})
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.size_kji, stack.times) == (StackKind.FOUR_D, (4, 6, 5), 2)
    assert stack.time_labels[0] == label and stack.grid is not None
    second = load_volume(stack, time=1)
    assert np.array_equal(second.voxels[3], ramp((6, 5), 300))
    assert {f.path.parent.name for f in stack.at_time(1).frames} == {"1"}


def test_times_without_a_name_are_told_apart_by_their_order(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(3), InstanceNumber=[1, 2, 3])
    samples.series(tmp_path / "b", along_z(3), InstanceNumber=[4, 5, 6])
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 2 and {f.path.parent.name for f in stack.at_time(0).frames} == {"a"}


def test_echoes_of_other_places_stand_for_themselves(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(3), EchoTime=20.0)
    samples.series(tmp_path / "b", along_z(2), EchoTime=40.0)
    stacks = stacks_of(tmp_path)
    assert sorted(s.name for s in stacks) == ["TE 20 ms", "TE 40 ms"]


def test_an_incomplete_time_is_named_and_kept(tmp_path: Path) -> None:
    for n in range(3):
        samples.series(tmp_path / str(n), along_z(4 if n < 2 else 3), TemporalPositionIdentifier=n + 1)
    stacks = stacks_of(tmp_path)
    whole = next(s for s in stacks if s.times == 2)
    assert "4d-irregular" in whole.codes and sum(len(s.frames) for s in stacks) == 11


def test_one_place_in_time_is_a_cine(tmp_path: Path) -> None:
    samples.series(tmp_path, [(0, 0, 0)] * 6, TemporalPositionIdentifier=[3, 1, 2, 6, 5, 4])
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.size_kji[0]) == (StackKind.CINE, 6)
    assert np.array_equal(load_volume(stack).voxels[0], ramp((6, 5), 100))


def test_radiographs_stand_for_themselves(tmp_path: Path) -> None:
    for n in range(2):
        data = samples.picture(ramp((6, 5), n), Modality="DX", ImagePositionPatient=None, ImageOrientationPatient=None)
        samples.save(data, tmp_path / f"{n}.dcm")
    stacks = stacks_of(tmp_path)
    assert [s.kind for s in stacks] == [StackKind.SINGLE] * 2 and all(not s.codes for s in stacks)


def test_a_cine_keeps_the_files_order_and_times(tmp_path: Path) -> None:
    data = samples.picture(
        ramp((4, 6, 5)), Modality="XA", SOPClassUID=XRayAngiographicImageStorage, NumberOfFrames=4, FrameTime=40.0,
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, ImagerPixelSpacing=[0.2, 0.2],
    )  # fmt: skip
    samples.save(data, tmp_path / "xa.dcm")
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.frame_times_ms) == (StackKind.CINE, (0.0, 40.0, 80.0, 120.0))
    assert "imager-spacing" in stack.codes and stack.grid is None
    assert np.array_equal(load_volume(stack).voxels, ramp((4, 6, 5)))


def test_enhanced_frames_in_any_order_are_sorted(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    data = samples.picture(
        ramp((4, 6, 5)), Modality="MR", SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=4,
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, SliceThickness=None,
        RescaleSlope=None, RescaleIntercept=None,
    )  # fmt: skip
    orientation, measures = Dataset(), Dataset()
    orientation.ImageOrientationPatient = list(CORONAL)
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.5], 3.0
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for y in (6.0, 0.0, 3.0, 9.0):
        position, frame, transform = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [1.0, y, 2.0]
        transform.RescaleSlope, transform.RescaleIntercept = 1 + y, 0
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [transform]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    samples.save(data, tmp_path / "mr.dcm")
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.quality, stack.spacing_kji) == (StackKind.VOLUME, (), (3.0, 0.8, 0.5))
    assert [f.frame for f in stack.frames] == [1, 2, 0, 3]
    assert [f.slope for f in stack.frames] == [1.0, 4.0, 7.0, 10.0]
    volume = load_volume(stack)
    assert np.array_equal(volume.voxels, ramp((4, 6, 5))[[1, 2, 0, 3]])
    assert volume.grid is not None and volume.grid.origin_lps == (1.0, 0.0, 2.0)


def test_ids_are_the_same_wherever_the_files_lie(tmp_path: Path) -> None:
    def everything(folder: Path) -> Catalog:
        return scan([folder])

    for n, orientation in enumerate((samples.AXIAL, CORONAL)):
        samples.series(tmp_path / "one" / str(n), [(0, n, n)], orientation=orientation, SOPInstanceUID=f"1.2.{n + 1}")
    before = [s.id for s in everything(tmp_path / "one").stacks()]
    (tmp_path / "two").mkdir()
    for n in (1, 0):
        shutil.copy(tmp_path / "one" / str(n) / "000.dcm", tmp_path / "two" / f"x{1 - n}.dcm")
    after = [s.id for s in everything(tmp_path / "two").stacks()]
    assert len(set(before)) == 2 and sorted(before) == sorted(after)


def test_patients_with_one_series_uid_are_never_merged(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(2))
    samples.series(tmp_path / "b", along_z(2, start=4), PatientID="T2", PatientName="Other")
    catalog = scan([tmp_path])
    assert [p.id for p in catalog.patients] == ["T2", "T1"]
    assert [s.size_kji[0] for s in catalog.stacks()] == [2, 2]
    assert len({s.id for s in catalog.stacks()}) == 2


@pytest.mark.parametrize(("written", "unit"), [("Houndsfield Unit", "HU"), ("hounsfield", "HU"), ("OD", "OD")])
def test_hounsfield_written_out_is_hu(tmp_path: Path, written: str, unit: str) -> None:
    samples.series(tmp_path, along_z(2), RescaleType=written)
    assert stacks_of(tmp_path)[0].unit == unit

"""Series as scanners send them, split into stacks with a name each: what the collections of public files lack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    BreastTomosynthesisImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    EnhancedXAImageStorage,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from medviewer.formats.carry import Use, why_not
from medviewer.formats.catalog import Stack, StackKind
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from tests.formats import samples
from tests.formats.frames import enhanced, groups, numbered, placed, plane
from tests.formats.samples import along_z, ramp
from tests.formats.test_geometry import rotation

CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def stacks_of(folder: Path) -> list[Stack]:
    return list(scan([folder]).stacks())


def mr(folder: Path, count: int = 4, **elements: object) -> None:
    samples.series(folder, along_z(count), Modality="MR", SOPClassUID=MRImageStorage, **elements)


# -- diffusion ---------------------------------------------------------------------------------------------------------


def private(folder: Path, group: int, creator: str, values: dict[int, tuple[str, object]], **elements: object) -> None:
    """Four slices with private elements in block 10 of a group."""
    for n, position in enumerate(along_z(4)):
        data = samples.picture(
            ramp((6, 5), n), Modality="MR", SOPClassUID=MRImageStorage, ImagePositionPatient=list(position),
            InstanceNumber=n + 1, **elements,
        )  # fmt: skip
        if creator:
            data.add_new((group, 0x0010), "LO", creator)
        for element, (vr, value) in values.items():
            data.add_new((group, 0x1000 + element), vr, value)
        samples.save(data, folder / f"{n}.dcm")


@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "of"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", lambda b: b),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", lambda b: [b + 1_000_000_000, 8, 0, 0]),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", lambda b: [b, 8, 0, 0]),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", float),
        (0x0043, "", 0x39, "IS", lambda b: [b, 8, 0, 0]),
    ],
)
def test_b_values_of_the_makers_name_the_times(
    group: int, creator: str, element: int, vr: str, of: object, tmp_path: Path
) -> None:
    for b in (0, 500, 1000):
        private(tmp_path / str(b), group, creator, {element: (vr, of(b))})  # type: ignore[operator]
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.times, stack.time_labels) == (StackKind.FOUR_D, 3, ("b 0", "b 500", "b 1000"))


def test_another_makers_block_is_no_b_value(tmp_path: Path) -> None:
    for b in (0, 500):
        private(tmp_path / str(b), 0x0019, "SOMEBODY ELSE", {0x0C: ("IS", b)})
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 2 and stack.time_labels == ("time 1", "time 2")


def test_directions_of_a_b_value_are_counted(tmp_path: Path) -> None:
    for n, (b, direction) in enumerate([(0, [0, 0, 0]), (800, [1, 0, 0]), (800, [0, 1, 0]), (800, [0, 0, 1])]):
        mr(tmp_path / str(n), DiffusionBValue=float(b), DiffusionGradientOrientation=[float(v) for v in direction])
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 4
    assert stack.time_labels == ("b 0", "b 800, direction 1", "b 800, direction 2", "b 800, direction 3")


# -- kinds of picture --------------------------------------------------------------------------------------------------


def test_magnitude_and_phase_are_named(tmp_path: Path) -> None:
    for kind in ("M", "P"):
        mr(tmp_path / kind, count=5, ImageType=["ORIGINAL", "PRIMARY", kind, "ND"])
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 2 and stack.time_labels == ("magnitude", "phase")


def test_echoes_with_magnitude_and_phase_are_told_apart_in_pairs(tmp_path: Path) -> None:
    for kind in ("M", "P"):
        for echo, time in ((1, 4.9), (2, 7.4)):
            mr(
                tmp_path / f"{kind}{echo}", ImageType=["ORIGINAL", "PRIMARY", kind], EchoNumbers=echo, EchoTime=time
            )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 4 and set(stack.time_labels) == {
        "echo 1, magnitude", "echo 1, phase", "echo 2, magnitude", "echo 2, phase",
    }  # fmt: skip


def test_echoes_are_named_by_their_time(tmp_path: Path) -> None:
    for echo in (1, 2):
        mr(tmp_path / str(echo), EchoNumbers=echo, EchoTime=15.0 * echo)
    (stack,) = stacks_of(tmp_path)
    assert stack.time_labels == ("TE 15 ms", "TE 30 ms")


def test_energies_of_one_scan_are_told_apart(tmp_path: Path) -> None:
    for kv in (80, 140):
        samples.series(tmp_path / str(kv), along_z(4), KVP=kv)
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 2 and stack.time_labels == ("80 kV", "140 kV")


def test_kernels_over_other_places_are_stacks_with_names(tmp_path: Path) -> None:
    samples.series(tmp_path / "s", along_z(4), ConvolutionKernel="B30f")
    samples.series(tmp_path / "h", along_z(6), ConvolutionKernel="B70f")
    found = {stack.name: stack for stack in stacks_of(tmp_path)}
    assert set(found) == {"kernel B30f", "kernel B70f"}
    assert all(stack.codes == frozenset() and stack.grid is not None for stack in found.values())


def test_two_frames_of_reference_are_two_named_stacks(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(3))
    samples.series(tmp_path / "b", along_z(3), FrameOfReferenceUID="1.2.9")
    assert sorted(stack.name for stack in stacks_of(tmp_path)) == ["frame of reference 1", "frame of reference 2"]


def test_matrices_and_colours_give_names(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(3))
    samples.series(tmp_path / "b", along_z(3), size=(8, 8))
    assert sorted(stack.name for stack in stacks_of(tmp_path)) == ["5 x 6", "8 x 8"]


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_beating_heart_has_phases_although_each_slice_has_its_own_triggers(tmp_path: Path) -> None:
    number = 0
    for k, position in enumerate(along_z(5)):
        for phase in range(6):
            number += 1
            data = samples.picture(
                np.full((6, 5), 10 * phase + k, np.int16), Modality="MR", SOPClassUID=MRImageStorage,
                ImagePositionPatient=list(position), InstanceNumber=number, TriggerTime=40.0 * phase + 1.7 * k,
                AcquisitionNumber=1,
            )  # fmt: skip
            samples.save(data, tmp_path / f"{number:03}.dcm")
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.times, stack.size_kji[0]) == (StackKind.FOUR_D, 6, 5)
    for phase in (0, 5):
        voxels = load_volume(stack, time=phase).voxels
        assert [int(voxels[k, 0, 0]) for k in range(5)] == [10 * phase + k for k in range(5)]
    assert stack.time_labels[0] == "trigger ≈ 3 ms"


def test_moments_are_named_by_seconds(tmp_path: Path) -> None:
    for n, clock in enumerate(("235959.5", "000002.0")):
        mr(tmp_path / str(n), AcquisitionNumber=n + 1, AcquisitionDateTime=f"2026010{1 + n}{clock}")
    (stack,) = stacks_of(tmp_path)
    assert stack.time_labels == ("0.0 s", "2.5 s")


def test_an_irregular_4d_series_keeps_whole_times_together(tmp_path: Path) -> None:
    for n in range(5):
        mr(tmp_path / str(n), count=6 if n != 2 else 5, TemporalPositionIdentifier=n + 1)
    stacks = stacks_of(tmp_path)
    whole = next(stack for stack in stacks if stack.times > 1)
    rest = next(stack for stack in stacks if stack.times == 1)
    assert (whole.times, whole.size_kji[0], rest.size_kji[0]) == (4, 6, 5)
    assert whole.time_labels == ("time 1", "time 2", "time 4", "time 5") and rest.name == "time 3"
    assert "time 3" in next(q.detail for q in whole.quality if q.code == "4d-irregular")


def test_one_more_picture_says_which_place_is_taken(tmp_path: Path) -> None:
    samples.series(tmp_path / "a", along_z(5), InstanceNumber=[1, 2, 3, 4, 5])
    samples.series(tmp_path / "b", [(10, 20, 4.0)], InstanceNumber=9)
    main = next(stack for stack in stacks_of(tmp_path) if stack.size_kji[0] == 5)
    (fault,) = main.quality
    assert fault.images == (2,) and "image 3" in fault.detail and fault.short == "1 duplicate"


def test_a_fault_of_some_files_says_which_images(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(6), LossyImageCompression=["00", "01", "00", "01", "01", "00"])
    (stack,) = stacks_of(tmp_path)
    (fault,) = stack.quality
    assert fault.code == "lossy" and fault.images == (1, 3, 4) and "image 2, 4 to 5" in fault.detail


# -- multi-frame -------------------------------------------------------------------------------------------------------


def test_an_enhanced_mr_is_split_by_stack_then_direction(tmp_path: Path) -> None:
    frames = []
    for stack_id, direction, at in (("A", samples.AXIAL, 2), ("B", CORONAL, 1)):
        for n in range(3):
            position = [0.0, 0.0, 0.0]
            position[at] = 4.0 * n
            frames.append(
                placed(
                    position,
                    PlaneOrientationSequence={"ImageOrientationPatient": list(direction)},
                    FrameContentSequence={"StackID": stack_id, "InStackPositionNumber": n + 1},
                )
            )
    shared = groups(PixelMeasuresSequence={"PixelSpacing": [1.0, 1.0], "SliceThickness": 4.0})
    enhanced(tmp_path / "x.dcm", numbered(6), frames, shared, Modality="MR", SOPClassUID=EnhancedMRImageStorage)
    stacks = stacks_of(tmp_path)
    assert sorted((stack.name, stack.size_kji[0]) for stack in stacks) == [("axial", 3), ("coronal", 3)]
    assert all(stack.grid is not None for stack in stacks)


def test_stacks_of_one_place_and_direction_are_told_apart_by_their_id(tmp_path: Path) -> None:
    frames = [
        placed((0, 0, 3 * n), FrameContentSequence={"StackID": name, "InStackPositionNumber": n + 1})
        for name in ("1", "2")
        for n in range(4)
    ]
    enhanced(
        tmp_path / "x.dcm", numbered(8), frames, plane(), Modality="MR", SOPClassUID=EnhancedMRImageStorage
    )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    assert stack.times == 2 and stack.time_labels == ("stack 1", "stack 2")


def test_dimension_indices_are_the_last_resort(tmp_path: Path) -> None:
    frames = [
        placed((0, 0, 3 * n), FrameContentSequence={"DimensionIndexValues": [1, n + 1, moment + 1]})
        for moment in range(3)
        for n in range(4)
    ]
    enhanced(tmp_path / "x.dcm", numbered(12), frames, plane(), Modality="CT", SOPClassUID=EnhancedCTImageStorage)
    (stack,) = stacks_of(tmp_path)
    assert (stack.times, stack.size_kji[0], stack.time_labels) == (3, 4, ("time 1", "time 2", "time 3"))
    assert [int(v) for v in load_volume(stack, time=2).voxels[:, 0, 0]] == [8, 9, 10, 11]


def test_an_enhanced_pet_has_a_rescale_a_frame(tmp_path: Path) -> None:
    frames = [
        placed((0, 0, 3 * n), PixelValueTransformationSequence={"RescaleSlope": 0.5 * (n + 1), "RescaleIntercept": 0})
        for n in (2, 0, 1)
    ]
    enhanced(
        tmp_path / "x.dcm", numbered(3), frames, plane(), Modality="PT", SOPClassUID=EnhancedPETImageStorage
    )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    volume = load_volume(stack)
    assert stack.kind is StackKind.VOLUME and [f.frame for f in stack.frames] == [1, 2, 0]
    assert [float(v) for v in volume.values()[:, 0, 0]] == [0.5 * 1, 1.0 * 2, 1.5 * 0]


def test_files_of_one_grid_become_times_in_their_order(tmp_path: Path) -> None:
    for moment, number in ((3, 1), (1, 2), (2, 3)):
        frames = [
            placed((0, 0, 3 * n), FrameContentSequence={"TemporalPositionIndex": moment}) for n in range(4)
        ]  # fmt: skip
        enhanced(
            tmp_path / f"{number}.dcm", numbered(4) + 10 * moment, frames, plane(), Modality="MR",
            SOPClassUID=EnhancedMRImageStorage, InstanceNumber=number,
        )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.times) == (StackKind.FOUR_D, 3)
    assert [int(load_volume(stack, time=t).voxels[0, 0, 0]) for t in range(3)] == [10, 20, 30]


def test_breast_tomosynthesis_is_a_volume_where_it_has_positions(tmp_path: Path) -> None:
    frames = [placed((0.0, 0.0, float(n))) for n in range(20)]
    shared = plane(spacing=(0.1, 0.1))
    for name, laterality in (("l", "L"), ("r", "R")):
        enhanced(
            tmp_path / f"{name}.dcm", numbered(20), frames, shared, Modality="MG", ImageLaterality=laterality,
            SOPClassUID=BreastTomosynthesisImageStorage,
        )  # fmt: skip
    stacks = stacks_of(tmp_path)
    assert sorted((s.name, s.kind, s.size_kji[0]) for s in stacks) == [("L", "volume", 20), ("R", "volume", 20)]
    assert stacks[0].spacing_kji == pytest.approx((1.0, 0.1, 0.1)) and why_not(stacks[0], Use.PLANES) is None


def test_tomosynthesis_without_positions_is_a_set_of_frames(tmp_path: Path) -> None:
    shared = groups(PixelMeasuresSequence={"PixelSpacing": [0.1, 0.1]})
    frames = [groups(FrameContentSequence={"DimensionIndexValues": [n + 1]}) for n in range(9)]
    enhanced(
        tmp_path / "x.dcm", numbered(9), frames, shared, Modality="MG", SOPClassUID=BreastTomosynthesisImageStorage
    )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.size_kji[0], stack.grid) == (StackKind.FRAMES, 9, None)
    assert "share no geometry" in (why_not(stack, Use.PLANES) or "")


def test_an_enhanced_angiogram_runs_at_its_own_rate(tmp_path: Path) -> None:
    frames = [
        groups(FrameContentSequence={"FrameAcquisitionDateTime": f"20260101101112.{100 * n:03}"}) for n in range(8)
    ]
    enhanced(
        tmp_path / "x.dcm", numbered(8), frames, groups(), Modality="XA", SOPClassUID=EnhancedXAImageStorage,
        RecommendedDisplayFrameRate=15, PreferredPlaybackSequencing=1, ImagerPixelSpacing=[0.3, 0.3],
        EstimatedRadiographicMagnificationFactor=1.25,
    )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.display_fps, stack.sweeps) == (StackKind.CINE, 15.0, True)
    assert stack.frame_times_ms == pytest.approx(tuple(100.0 * n for n in range(8)))
    assert stack.spacing_kji is not None and stack.spacing_kji[1:] == pytest.approx((0.24, 0.24))
    assert stack.text.calibration == "magn. 1.25"


def test_a_cine_keeps_its_recommended_rate(tmp_path: Path) -> None:
    data = samples.picture(
        ramp((4, 6, 5)), Modality="US", SOPClassUID=UltrasoundMultiFrameImageStorage, NumberOfFrames=4,
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, CineRate=24,
        PixelAspectRatio=[2, 1],
    )  # fmt: skip
    samples.save(data, tmp_path / "us.dcm")
    (stack,) = stacks_of(tmp_path)
    assert stack.display_fps == 24.0 and stack.spacing_kji is None and stack.pixel_aspect == 2.0
    assert len(stack.frame_times_ms) == 4 and why_not(stack, Use.MILLIMETRES) == "the size of a pixel is unknown"


# -- what a millimetre means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elements", "spacing", "words", "codes"),
    [
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, 0.2, "at detector", {"imager-spacing"}),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, 0.2, "at detector", {"imager-spacing"}),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            0.16, "magn. 1.25", {"imager-spacing"},
        ),
        (
            {"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "FIDUCIAL"},
            0.15, "calibrated: fiducial", set(),
        ),
        (
            {"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2]},
            0.15, "calibration unknown", {"imager-spacing"},
        ),
        (
            {
                "PixelSpacing": [0.16, 0.16], "ImagerPixelSpacing": [0.2, 0.2],
                "EstimatedRadiographicMagnificationFactor": 1.25,
            },
            0.16, "magn. 1.25", {"imager-spacing"},
        ),
        (
            {
                "PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2],
                "EstimatedRadiographicMagnificationFactor": 1.1,
            },
            None, "", {"no-spacing"},
        ),
        ({"PixelSpacing": None, "NominalScannedPixelSpacing": [0.1, 0.1]}, 0.1, "on the film", set()),
        ({"PixelSpacing": None}, None, "", set()),
    ],
)  # fmt: skip
def test_which_spacing_counts_for_a_radiograph(
    elements: dict[str, object], spacing: float | None, words: str, codes: set[str], tmp_path: Path
) -> None:
    data = samples.picture(
        ramp((6, 5)), Modality="DX", ImagePositionPatient=None, ImageOrientationPatient=None,
        **{"PixelSpacing": None, **elements},
    )  # fmt: skip
    samples.save(data, tmp_path / "x.dcm")
    (stack,) = stacks_of(tmp_path)
    found = None if stack.spacing_kji is None else stack.spacing_kji[1]
    assert found == (None if spacing is None else pytest.approx(spacing))
    assert (stack.text.calibration, set(stack.codes)) == (words, codes)


# -- any geometry ------------------------------------------------------------------------------------------------------

angles = st.floats(-3.0, 3.0)


@settings(max_examples=15, deadline=None)
@given(
    a=angles, b=angles, c=angles, step=st.floats(0.4, 9.0), row_mm=st.floats(0.2, 3.0), column_mm=st.floats(0.2, 3.0),
    order=st.permutations(range(6)), times=st.integers(1, 2),
)  # fmt: skip
def test_files_of_any_oblique_geometry_in_any_order_have_the_true_grid(
    a: float, b: float, c: float, step: float, row_mm: float, column_mm: float, order: list[int], times: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    axes = rotation(a, b, c)
    origin = np.array([-87.25, 12.5, 430.0])
    for t in range(times):
        for place in range(6):
            position = origin + step * place * axes[:, 2]
            data = samples.picture(
                np.full((7, 9), 100 * t + place, np.int16),
                PixelSpacing=[f"{row_mm:.10g}", f"{column_mm:.10g}"],
                ImagePositionPatient=[f"{v:.9g}" for v in position],
                ImageOrientationPatient=[f"{v:.8f}" for v in (*axes[:, 0], *axes[:, 1])],
                InstanceNumber=order[place] + 1, TemporalPositionIdentifier=t + 1,
            )  # fmt: skip
            samples.save(data, folder / f"{order[place]}-{t}.dcm")
    (stack,) = stacks_of(folder)
    assert stack.quality == () and stack.times == times and stack.grid is not None
    for t in range(times):
        assert [int(v) for v in load_volume(stack, time=t).voxels[:, 3, 4]] == [100 * t + n for n in range(6)]
    for k, j, i in ((0, 0, 0), (5, 6, 8), (2, 0, 8)):
        truth = origin + k * step * axes[:, 2] + j * row_mm * axes[:, 1] + i * column_mm * axes[:, 0]
        assert np.allclose(stack.grid.index_to_lps((k, j, i)), truth, atol=1e-4)


def test_a_private_number_without_a_vr_is_read_by_rule() -> None:
    from medviewer.formats.dicom import tags as T
    from medviewer.formats.dicom.headers.diffusion import b_value

    assert b_value(Elements({T.PHILIPS_B_VALUE: (b"UN", np.float32(700).tobytes())})) == 700.0
    assert b_value(Elements({T.SIEMENS_B_VALUE: (b"UN", b"650 ")})) == 650.0
    assert b_value(Elements({T.GE_B_VALUE: (b"SQ", b"650 ")})) is None


def test_a_picture_cut_into_several_files_is_one_volume(tmp_path: Path) -> None:
    for part, name in ((0, "z.dcm"), (1, "a.dcm")):
        frames = [placed((0, 0, 3 * (4 * part + n))) for n in range(4)]
        enhanced(
            tmp_path / name, numbered(4) + 4 * part, frames, plane(), Modality="CT", InstanceNumber=1,
            SOPClassUID=EnhancedCTImageStorage, ConcatenationUID="1.2.3.9", InConcatenationNumber=part + 1,
            ConcatenationFrameOffsetNumber=4 * part,
        )  # fmt: skip
    (stack,) = stacks_of(tmp_path)
    assert (stack.kind, stack.size_kji[0], stack.quality) == (StackKind.VOLUME, 8, ())
    assert [int(v) for v in load_volume(stack).voxels[:, 0, 0]] == list(range(8))


def test_slabs_of_one_direction_each_have_names(tmp_path: Path) -> None:
    for n, angle in enumerate((0.4, 0.5, 0.7)):
        orientation = (1.0, 0.0, 0.0, 0.0, np.cos(angle), np.sin(angle))
        normal = np.array([0.0, -np.sin(angle), np.cos(angle)])
        samples.series(tmp_path / str(n), [(k * 4 * normal).tolist() for k in range(3)], orientation=orientation)
    names = [stack.name for stack in stacks_of(tmp_path)]
    assert len(set(names)) == 3 and all("oblique axial" in name for name in names)


def test_radiographs_of_one_series_are_told_apart(tmp_path: Path) -> None:
    for number, view in ((1, "PA"), (2, "LATERAL")):
        data = samples.picture(
            ramp((6, 5)), Modality="DX", InstanceNumber=number, ViewPosition=view, PatientOrientation=["L", "F"],
            ImagePositionPatient=None, ImageOrientationPatient=None,
        )  # fmt: skip
        samples.save(data, tmp_path / f"{number}.dcm")
    stacks = stacks_of(tmp_path)
    assert [stack.name for stack in stacks] == ["PA", "LATERAL"]
    assert stacks[0].text.patient_orientation == ("L", "F")


def test_inspect_says_what_a_stack_cannot_carry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from medviewer.cli.main import main

    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 10)])
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    (stack,) = json.loads(capsys.readouterr().out)["patients"][0]["studies"][0]["series"][0]["stacks"]
    assert "missing-slice" in stack["cannot"]["a volume file"] and "other planes" not in stack["cannot"]

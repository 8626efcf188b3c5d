"""DICOM SEG: identical to the voxel, laid by geometry, read by highdicom too, and without an error in dciodvfy."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.codes import meaning_of
from medviewer.formats.dicom.objects.seg import SegDescription, SegText, read_seg, write_seg
from medviewer.formats.scan import scan
from medviewer.volume.grid import Grid

SIZE = (5, 12, 14)
NODULE = SegDescription(
    1,
    "nodule",
    meaning_of("nodule"),
    (0xE6, 0x9F, 0x00),
    "SEMIAUTOMATIC",
    "lung-nodule-segment",
    "1.0.0+abcdef012345",
    (("threshold", "0.5"), ("device", "cpu")),
    "Nodule 1",
    "2.25.12345",
)
OTHER = SegDescription(2, "肺结节 2", meaning_of("anterior"), (0x56, 0xB4, 0xE9), tracking_uid="2.25.777")


def write_series(folder: Path, grid: Grid, *, shuffled: bool = False) -> None:
    """A small CT series on a grid, as another program would write it."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    order = np.random.default_rng(1).permutation(grid.size_kji[0]) if shuffled else np.arange(grid.size_kji[0])
    for n, k in enumerate(order.tolist()):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
            CTImageStorage,
            ds.SOPInstanceUID,
        )
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.Modality, ds.PatientID, ds.PatientName = "CT", "P1", "Test^One"
        ds.PatientBirthDate, ds.PatientSex = "19500101", "O"
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260101", "120000", "1", ""
        ds.ReferringPhysicianName, ds.PositionReferenceIndicator = "", ""
        ds.SeriesNumber, ds.InstanceNumber, ds.ImageType = 1, n + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Rows, ds.Columns = grid.size_kji[1:]
        ds.PixelSpacing = [grid.spacing_kji[1], grid.spacing_kji[2]]
        ds.SliceThickness = grid.spacing_kji[0]
        ds.ImageOrientationPatient = [round(v, 9) for v in grid.direction[:6]]
        ds.ImagePositionPatient = [round(float(v), 6) for v in grid.index_to_lps((k, 0, 0))]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleSlope, ds.RescaleIntercept, ds.KVP, ds.AcquisitionNumber = 1, -1024, 120, 1
        ds.PixelData = np.full(grid.size_kji[1:], k, dtype=np.int16).tobytes()
        ds.save_as(folder / f"IM{(n * 37) % 101:03d}", enforce_file_format=True)


def only_stack(path: Path) -> Stack:
    (stack,) = scan([path]).stacks()
    assert stack.grid is not None
    return stack


def _turned(rotation: np.ndarray, size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    direction = tuple(float(v) for v in np.concatenate([rotation[:, 0], rotation[:, 1], rotation[:, 2]]))
    return Grid(size, spacing, direction, (-31.5, 12.25, 400.0))


def _rotation(values: list[float]) -> np.ndarray:
    q, r = np.linalg.qr(np.asarray(values).reshape(3, 3) + np.eye(3) * 1e-3)
    q = q * np.sign(np.diag(r))
    q[:, 2] = np.cross(q[:, 0], q[:, 1])
    return q


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("series")
    angle = 0.2
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    write_series(folder, _turned(rotation, SIZE, (2.5, 0.7, 0.6)), shuffled=True)
    return only_stack(folder)


def labels(seed: int = 0, numbers: tuple[int, ...] = (0, 0, 1, 2), size: tuple[int, int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.asarray(numbers, dtype=np.uint8), size).astype(np.uint8)


def _by_highdicom(path: Path) -> np.ndarray:
    import highdicom

    return highdicom.seg.segread(path).get_volume(combine_segments=True).array


def test_a_label_map_comes_back_identical_with_all_that_was_said(stack: Stack, tmp_path: Path) -> None:
    drawn = labels()
    numbers = write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER], SegText(author="张 Wei"))
    assert numbers == {1: 1, 2: 2}
    assert stack.grid is not None
    back, segments = read_seg(tmp_path / "x.dcm", stack.grid, frame_of_reference_uid=stack.frame_of_reference_uid)
    assert np.array_equal(back, drawn)
    assert segments[0] == NODULE
    assert segments[1].label == "肺结节 2"
    assert segments[1].meaning == OTHER.meaning
    assert segments[1].colour == OTHER.colour
    assert segments[1].algorithm_type == "MANUAL" and segments[1].algorithm_name == ""
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    assert dataset.ContentQualification == "RESEARCH"
    assert str(dataset.ContentCreatorName).startswith("张 Wei")
    assert dataset.SegmentationType == "BINARY"
    assert {r.ReferencedSOPInstanceUID for r in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
        f.sop_instance_uid for f in stack.frames
    }
    theirs = _by_highdicom(tmp_path / "x.dcm")  # another reader; it orders the planes by itself
    assert np.array_equal(theirs, drawn) or np.array_equal(theirs[::-1], drawn)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.floats(-1, 1), min_size=9, max_size=9).filter(
        lambda v: abs(np.linalg.det(np.asarray(v).reshape(3, 3))) > 0.05
    ),
    st.tuples(*[st.floats(0.4, 4.0)] * 3),
    st.integers(0, 2**32 - 1),
    st.sampled_from([(0, 1), (0, 0, 0, 0, 0, 0, 1, 2), (0, 2, 5, 255), (7,)]),
)
def test_any_label_map_on_any_oblique_grid_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[float],
    spacing: tuple[float, float, float],
    seed: int,
    numbers: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("oblique")
    write_series(folder / "series", _turned(_rotation(values), SIZE, spacing), shuffled=True)
    stack = only_stack(folder / "series")
    drawn = labels(seed, numbers)
    if not drawn.any():
        return
    drawn[np.random.default_rng(seed).random(SIZE[0]) < 0.3] = 0  # slices without a voxel are left out of the file
    drawn[2, 3, 4] = numbers[-1]
    segments = [SegDescription(n, f"Segment {n}") for n in sorted(set(numbers) - {0})]
    renumbered = write_seg(folder / "x.dcm", drawn, stack, segments)
    assert stack.grid is not None
    back, _ = read_seg(folder / "x.dcm", stack.grid)
    for ours, theirs in renumbered.items():
        assert np.array_equal(back == theirs, drawn == ours)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("only", [None, 3])
def test_dciodvfy_finds_no_error(stack: Stack, tmp_path: Path, only: int | None) -> None:
    drawn = labels()
    if only is not None:
        drawn[np.arange(SIZE[0]) != only] = 0
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER], SegText(author="Li Na"))
    done = subprocess.run(["dciodvfy", tmp_path / "x.dcm"], capture_output=True, text=True, check=False)
    assert [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")] == []


def test_frames_may_stand_in_any_order(stack: Stack, tmp_path: Path) -> None:
    drawn = labels()
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER])
    dataset = pydicom.dcmread(tmp_path / "x.dcm")
    order = np.random.default_rng(5).permutation(int(dataset.NumberOfFrames))
    pixels = dataset.pixel_array[order]
    dataset.PixelData = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    dataset.PixelData += b"\0" * (len(dataset.PixelData) % 2)
    dataset.PerFrameFunctionalGroupsSequence = [dataset.PerFrameFunctionalGroupsSequence[int(n)] for n in order]
    dataset.save_as(tmp_path / "shuffled.dcm")
    assert stack.grid is not None
    assert np.array_equal(read_seg(tmp_path / "shuffled.dcm", stack.grid)[0], drawn)


def test_a_segmentation_on_a_part_of_the_grid_or_turned_lies_where_it_belongs(stack: Stack, tmp_path: Path) -> None:
    grid = stack.grid
    assert grid is not None
    drawn = labels()
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER])
    larger = grid.cropped((-2, -3, -4), (10, 20, 22))
    back, _ = read_seg(tmp_path / "x.dcm", larger)
    expected = np.zeros((10, 20, 22), dtype=np.uint8)
    expected[2:7, 3:15, 4:18] = drawn
    assert np.array_equal(back, expected)
    smaller = grid.cropped((1, 2, 3), (3, 5, 6))
    assert np.array_equal(read_seg(tmp_path / "x.dcm", smaller)[0], drawn[1:4, 2:7, 3:9])
    i, j, k = grid.axis_i, grid.axis_j, grid.axis_k
    start = grid.index_to_lps((0, SIZE[1] - 1, 0))
    turned = Grid(  # rows run the other way, and slices are rows
        (SIZE[1], SIZE[0], SIZE[2]),
        (grid.spacing_kji[1], grid.spacing_kji[0], grid.spacing_kji[2]),
        (*i.tolist(), *k.tolist(), *(-j).tolist()),
        tuple(start.tolist()),
    )
    assert np.array_equal(read_seg(tmp_path / "x.dcm", turned)[0], drawn[:, ::-1].transpose(1, 0, 2))


def test_a_segmentation_on_another_lattice_is_laid_by_nearest_voxel(stack: Stack, tmp_path: Path) -> None:
    grid = stack.grid
    assert grid is not None
    drawn = np.zeros(SIZE, dtype=np.uint8)
    drawn[1:4, 3:9, 4:10] = 1
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE])
    sk, sj, si = grid.spacing_kji
    origin = grid.index_to_lps((-0.25, -0.25, -0.25))
    finer = Grid((10, 24, 28), (sk / 2, sj / 2, si / 2), grid.direction, tuple(origin.tolist()))
    back, _ = read_seg(tmp_path / "x.dcm", finer)
    assert np.array_equal(back, drawn.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    mean = finer.index_to_lps(np.argwhere(back).mean(axis=0))
    assert np.allclose(mean, grid.index_to_lps(np.argwhere(drawn).mean(axis=0)), atol=1e-6)


def test_thick_slices_on_thin_ones_leave_no_gaps(tmp_path: Path) -> None:
    thick = Grid((4, 12, 14), (5.0, 1.0, 1.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (0.0, 0.0, 0.0))
    write_series(tmp_path / "s", thick)
    drawn = np.zeros(thick.size_kji, dtype=np.uint8)
    drawn[1:3, 4:8, 4:8] = 1
    write_seg(tmp_path / "x.dcm", drawn, only_stack(tmp_path / "s"), [NODULE])
    thin = Grid((20, 12, 14), (1.0, 1.0, 1.0), thick.direction, (0.0, 0.0, -2.0))
    back, _ = read_seg(tmp_path / "x.dcm", thin)
    assert np.flatnonzero(back.any(axis=(1, 2))).tolist() == list(range(5, 15))


def test_images_in_a_zip_carry_a_segmentation(stack: Stack, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for n, frame in enumerate(stack.frames):
            archive.write(frame.path, f"deep/er/{n}")
    zipped = only_stack(tmp_path / "study.zip")
    drawn = labels(3)
    write_seg(tmp_path / "x.dcm", drawn, zipped, [NODULE, OTHER])
    assert zipped.grid is not None
    assert np.array_equal(read_seg(tmp_path / "x.dcm", zipped.grid)[0], drawn)
    with zipfile.ZipFile(tmp_path / "seg.zip", "w") as archive:
        archive.write(tmp_path / "x.dcm", "x.dcm")
    assert np.array_equal(read_seg(tmp_path / "seg.zip" / "x.dcm", zipped.grid)[0], drawn)


def test_what_cannot_be_saved_is_refused_with_a_sentence(stack: Stack, tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "x.dcm"
    with pytest.raises(BadInput, match="nothing is drawn"):
        write_seg(path, np.zeros(SIZE, dtype=np.uint8), stack, [NODULE])
    with pytest.raises(BadInput, match="no description"):
        write_seg(path, labels(), stack, [NODULE])
    with pytest.raises(Refused, match="DICOM images"):
        write_seg(path, labels(), replace(stack, source="nifti"), [NODULE, OTHER])
    with pytest.raises(Refused, match="geometry"):
        write_seg(path, labels(), replace(stack, grid=None), [NODULE, OTHER])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_older_file_and_says_so(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.dcm"
    write_seg(path, labels(1), stack, [NODULE, OTHER])
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SaveFailed, match="No space left"):
            write_seg(path, labels(2), stack, [NODULE, OTHER])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.dcm"]
    (tmp_path / "a file").write_text("in the way")
    with pytest.raises(SaveFailed):
        write_seg(tmp_path / "a file" / "x.dcm", labels(2), stack, [NODULE, OTHER])


def test_what_cannot_be_read_is_refused_with_a_sentence(stack: Stack, tmp_path: Path) -> None:
    grid = stack.grid
    assert grid is not None
    (tmp_path / "text").write_text("no DICOM")
    with pytest.raises(BadInput):
        read_seg(tmp_path / "text", grid)
    with pytest.raises(BadInput):
        read_seg(tmp_path / "absent", grid)
    with pytest.raises(BadInput, match="no DICOM segmentation"):
        read_seg(stack.frames[0].path, grid)
    write_seg(tmp_path / "x.dcm", labels(), stack, [NODULE, OTHER])
    with pytest.raises(Refused, match="frame of reference"):
        read_seg(tmp_path / "x.dcm", grid, frame_of_reference_uid="1.2.3")
    with pytest.raises(Refused, match="outside"):
        read_seg(tmp_path / "x.dcm", grid.cropped((100, 0, 0), SIZE))
    whole = (tmp_path / "x.dcm").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-300])
    with pytest.raises(BadInput):
        read_seg(tmp_path / "cut", grid)


def _of_highdicom(stack: Stack, array: np.ndarray, kind: str, count: int) -> Dataset:
    import highdicom
    from pydicom.sr.codedict import codes

    return highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(f.path) for f in stack.frames],
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=[
            highdicom.seg.SegmentDescription(n, f"S{n}", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
            for n in range(1, count + 1)
        ],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="y",
        software_versions="1",
        device_serial_number="2",
    )


def test_files_of_other_kinds_are_read(stack: Stack, tmp_path: Path) -> None:
    assert stack.grid is not None
    drawn = labels(9)
    _of_highdicom(stack, drawn, "LABELMAP", 2).save_as(tmp_path / "map.dcm")
    back, segments = read_seg(tmp_path / "map.dcm", stack.grid)
    assert np.array_equal(back, drawn) and [s.number for s in segments] == [1, 2]
    assert segments[0].colour is None
    share = np.random.default_rng(0).random(SIZE).astype(np.float32)
    _of_highdicom(stack, share, "FRACTIONAL", 1).save_as(tmp_path / "share.dcm")
    assert np.array_equal(read_seg(tmp_path / "share.dcm", stack.grid)[0], np.rint(share * 255) >= 127.5)


def test_overlapping_segments_are_not_lost_silently(stack: Stack, tmp_path: Path) -> None:
    assert stack.grid is not None
    both = np.zeros((*SIZE, 2), dtype=np.uint8)
    both[1:3, 2:6, 2:6, 0] = 1
    both[2:4, 4:8, 4:8, 1] = 1
    _of_highdicom(stack, both, "BINARY", 2).save_as(tmp_path / "x.dcm")
    with pytest.raises(Refused, match="overlap"):
        read_seg(tmp_path / "x.dcm", stack.grid)
    back, _ = read_seg(tmp_path / "x.dcm", stack.grid, on_overlap="later-wins")
    assert np.array_equal(back == 2, both[..., 1]) and np.array_equal(back > 0, both.max(axis=-1))


def test_frames_of_a_multi_frame_image_carry_a_segmentation(tmp_path: Path) -> None:
    from tests.formats.enhanced import write_enhanced_ct

    grid = Grid((6, 10, 12), (2.0, 0.8, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-4.0, 5.0, -90.0))
    write_enhanced_ct(tmp_path / "multi.dcm", grid)
    stack = only_stack(tmp_path / "multi.dcm")
    assert stack.size_kji == grid.size_kji
    drawn = labels(4, size=grid.size_kji)
    drawn[0] = 0
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER])
    assert stack.grid is not None
    assert np.array_equal(read_seg(tmp_path / "x.dcm", stack.grid)[0], drawn)


def test_the_phantoms_own_series_carries_a_segmentation_without_an_error(tmp_path: Path) -> None:
    from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
    from medviewer.volume.volume import Volume

    grid = Grid(SIZE, (2.0, 0.7, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-10.0, -12.0, 5.0))
    voxels = np.random.default_rng(0).integers(-1000, 400, SIZE).astype(np.int16)
    text = CtText("Phantom^One", "PHANTOM-1", synthetic=True)
    write_ct_series(Volume(voxels, grid, unit="HU", modality="CT"), tmp_path / "series", text=text, uid_seed="seed")
    stack, drawn = only_stack(tmp_path / "series"), labels(8)
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER])
    assert stack.grid is not None
    assert np.array_equal(read_seg(tmp_path / "x.dcm", stack.grid)[0], drawn)
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", tmp_path / "x.dcm"], capture_output=True, text=True, check=False)
        assert [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")] == []


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["lidc_demo/LIDC-IDRI-0314_ct_block.zip", "mr_brain/PGBM-003_t2.zip", "chest_ct/Lung_Dx-A0001_ct_5mm.zip"],
)
def test_real_studies_carry_a_segmentation(public_data: Path, tmp_path: Path, name: str) -> None:
    stack = only_stack(public_data / name)
    middle = stack.size_kji[0] // 2
    drawn = np.zeros(stack.size_kji, dtype=np.uint8)
    drawn[middle - 4 : middle + 4, 100:140, 110:150] = 1
    drawn[middle + 5, 60:70, 60:90] = 2
    write_seg(tmp_path / "x.dcm", drawn, stack, [NODULE, OTHER], SegText(author="Li Na"))
    assert stack.grid is not None
    assert np.array_equal(read_seg(tmp_path / "x.dcm", stack.grid)[0], drawn)
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", tmp_path / "x.dcm"], capture_output=True, text=True, check=False)
        assert [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")] == []

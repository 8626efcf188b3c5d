"""Volumes: rescale by slice, order of loading, what happens when a slice is bad, and real studies."""

from __future__ import annotations

import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medviewer.errors import BadInput, Cancelled
from medviewer.formats import load
from medviewer.formats.load import empty_volume, load_volume, outwards, read_slice
from medviewer.formats.scan import scan
from medviewer.jobs import CancelToken, JobContext, Progress
from tests.formats import samples
from tests.formats.samples import along_z, ramp


def test_an_empty_volume_fills_slice_by_slice(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(4))
    (stack,) = scan([tmp_path]).stacks()
    volume = empty_volume(stack)
    assert not volume.loaded.any() and volume.stack_id == stack.id
    read_slice(stack, volume, 2)
    assert volume.loaded.tolist() == [False, False, True, False]
    assert volume.value_at((0, 0, 0)) is None
    load_volume(stack, volume=volume)
    assert volume.loaded.all() and np.array_equal(volume.voxels[3], ramp((6, 5), 300))
    assert volume.value_at((2, 0, 0)) == 200 - 1024


def test_loading_goes_outwards_from_the_asked_slice(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(6))
    (stack,) = scan([tmp_path]).stacks()
    volume = empty_volume(stack)
    seen: list[int] = []

    def listen(_: Progress) -> None:
        seen.extend(k for k in range(6) if volume.loaded[k] and k not in seen)

    load_volume(stack, JobContext(listener=listen), first=1, volume=volume)
    assert seen == [1, 2, 0, 3, 4, 5] == list(outwards(1, 6))


def test_each_slice_keeps_its_own_rescale(tmp_path: Path) -> None:
    slopes = [0.5, 1.5, 6e-8, 2.0]
    samples.series(tmp_path, along_z(4), RescaleSlope=slopes, RescaleIntercept=0, Modality="PT")
    (stack,) = scan([tmp_path]).stacks()
    volume = load_volume(stack)
    expected = np.stack([ramp((6, 5), 100 * n) * slope for n, slope in enumerate(slopes)])
    assert np.allclose(volume.values(), expected, rtol=1e-6)
    assert volume.voxels.dtype == np.int16 and not volume.has_one_rescale


def test_a_slice_that_vanished_leaves_the_others(tmp_path: Path) -> None:
    paths = samples.series(tmp_path, along_z(4))
    (stack,) = scan([tmp_path]).stacks()
    paths[1].unlink()
    with pytest.raises(BadInput, match=r"001\.dcm"):
        load_volume(stack)
    volume = load_volume(stack, allow_missing=True)
    assert volume.loaded.tolist() == [True, False, True, True]


def test_a_file_that_was_cut_after_the_scan_is_no_picture(tmp_path: Path) -> None:
    paths = samples.series(tmp_path, along_z(3))
    (stack,) = scan([tmp_path]).stacks()
    paths[2].write_bytes(paths[2].read_bytes()[:-30])
    with pytest.raises(BadInput, match="truncated"):
        load_volume(stack)


def test_cancel_stops_between_slices(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(8))
    (stack,) = scan([tmp_path]).stacks()
    token = CancelToken()
    volume = empty_volume(stack)
    context = JobContext(token, lambda progress: token.cancel() if progress.done == 3 else None)
    with pytest.raises(Cancelled):
        load_volume(stack, context, volume=volume)
    assert 3 <= int(volume.loaded.sum()) < 8


def test_a_stack_larger_than_the_memory_is_refused_before_allocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.series(tmp_path, along_z(3))
    (stack,) = scan([tmp_path]).stacks()
    monkeypatch.setattr(load, "_free_memory", lambda: 100.0)
    with pytest.raises(BadInput, match="GB of memory"):
        empty_volume(stack)


def test_monochrome1_and_padding_are_told_and_change_no_value(tmp_path: Path) -> None:
    data = samples.picture(ramp((6, 5)), PhotometricInterpretation="MONOCHROME1")
    data.add_new(0x00280120, "SS", -2000)
    samples.save(data, tmp_path / "1.dcm")
    (stack,) = scan([tmp_path]).stacks()
    volume = load_volume(stack)
    assert volume.inverted and volume.padding == (-2000, -2000) and np.array_equal(volume.voxels[0], ramp((6, 5)))


@pytest.mark.data
@pytest.mark.parametrize(
    ("archive", "size", "origin", "spacing"),
    [
        (
            "chest_ct/Lung_Dx-A0001_ct_5mm.zip",
            (64, 512, 512),
            (-228.036842, -93.0631599, -439.0),
            (5.0, 0.8418, 0.8418),
        ),
        ("lidc_demo/LIDC-IDRI-0314_ct_block.zip", (56, 512, 512), (-201.0, -59.0, -547.8), (1.0, 0.78125, 0.78125)),
        ("mr_brain/PGBM-003_t1post.zip", (22, 320, 280), None, (6.5, 0.6875, 0.6875)),
        ("pet_ct/STS_001_pet_bqml.zip", (267, 128, 128), None, (3.27, 4.6875, 4.6875)),
    ],
)
def test_public_studies_against_pydicom(
    archive: str,
    size: tuple[int, int, int],
    origin: tuple[float, float, float] | None,
    spacing: tuple[float, float, float],
    public_data: Path,
) -> None:
    path = public_data / archive
    if not path.is_file():
        pytest.skip(f"{archive} is absent")
    (stack,) = scan([path]).stacks()
    volume = load_volume(stack)
    assert stack.size_kji == size and stack.quality == () and volume.grid is not None
    assert volume.grid.spacing_kji == pytest.approx(spacing, abs=1e-3)
    if origin is not None:
        assert volume.grid.origin_lps == pytest.approx(origin, abs=1e-3)
    with zipfile.ZipFile(path) as file:
        for k in (0, size[0] // 3, size[0] - 1):
            member = stack.frames[k].path.relative_to(path).as_posix()
            data = pydicom.dcmread(io.BytesIO(file.read(member)))
            assert np.array_equal(volume.voxels[k], data.pixel_array)
            expected = data.pixel_array * float(data.get("RescaleSlope", 1)) + float(data.get("RescaleIntercept", 0))
            assert np.allclose(volume.values((k, 0, 0), (1, *size[1:]))[0], expected, rtol=1e-5)
            assert np.allclose(volume.grid.index_to_lps((k, 0, 0)), data.ImagePositionPatient, atol=0.06)


@pytest.mark.data
def test_the_readers_consensus_lies_where_the_table_says(public_data: Path) -> None:
    folder = public_data / "lidc_demo"
    if not folder.is_dir():
        pytest.skip("lidc_demo is absent")
    (image,) = scan([folder / "LIDC-IDRI-0314_ct_block.zip"]).stacks()
    (count,) = scan([folder / "reader_count.nii.gz"]).stacks()
    readers, ct = load_volume(count), load_volume(image)
    assert readers.grid is not None and ct.grid is not None and readers.grid.same_as(ct.grid)
    inside = readers.voxels >= 2
    centre = readers.grid.index_to_lps(np.argwhere(inside).mean(axis=0))
    assert np.allclose(centre, (-57.20, 131.35, -520.36), atol=0.02)
    assert int(inside.sum()) == 3398
    assert ct.values()[inside].mean() == pytest.approx(-13, abs=1)


def test_frames_of_one_file_are_read_into_their_places(tmp_path: Path) -> None:
    frames = np.stack([ramp((6, 5), 100 * n) for n in range(40)])
    data = samples.picture(frames, NumberOfFrames=40)
    samples.save(data, tmp_path / "multi.dcm")
    (stack,) = scan([tmp_path]).stacks()
    volume = load_volume(stack)
    assert np.array_equal(volume.voxels, frames) and volume.loaded.all()


def test_bits_that_do_not_count_are_masked_in_every_slice(tmp_path: Path) -> None:
    paths = samples.series(tmp_path, along_z(20), BitsStored=12, HighBit=11)
    for n, path in enumerate(paths):
        data = pydicom.dcmread(path)
        data.PixelData = (ramp((6, 5), 100 * n, "uint16") | 0xA000).astype("<u2").tobytes()
        data.PixelRepresentation = 0
        samples.save(data, path)
    (stack,) = scan([tmp_path]).stacks()
    expected = np.stack([ramp((6, 5), 100 * n) for n in range(20)])
    assert np.array_equal(load_volume(stack).voxels, expected)


def test_a_file_that_was_cut_after_the_scan_is_said_and_the_others_are_there(tmp_path: Path) -> None:
    paths = samples.series(tmp_path, along_z(30))
    (stack,) = scan([tmp_path]).stacks()
    paths[11].write_bytes(paths[11].read_bytes()[:-20])
    volume = empty_volume(stack)
    with pytest.raises(BadInput, match="truncated") as caught:
        load_volume(stack, volume=volume)
    assert caught.value.path == paths[11]
    assert [k for k in range(30) if not volume.loaded[k]] == [11]


def test_a_cancelled_load_ends_and_leaves_no_thread(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(60))
    (stack,) = scan([tmp_path]).stacks()
    token = CancelToken()
    context = JobContext(token, lambda progress: token.cancel() if progress.done > 3 else None)
    volume = empty_volume(stack)
    with pytest.raises(Cancelled):
        load_volume(stack, context, volume=volume)
    assert 0 < volume.loaded.sum() < 60
    assert not [t for t in threading.enumerate() if t.name.startswith("read")]

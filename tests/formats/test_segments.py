"""Segments with masks of their own: overlapping, fractional, label maps, damaged ones; against highdicom's reader."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from medviewer.errors import BadInput, Refused
from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.objects.lab import rgb_of_lab
from medviewer.formats.dicom.objects.seg_file import open_seg_file
from medviewer.formats.dicom.objects.seg_read import read_segments
from medviewer.formats.laid import INSIDE, LaidSegments, Target
from medviewer.volume.grid import Grid
from tests.formats.object_samples import item, write_segmentation
from tests.formats.test_seg import only_stack, write_series
from tests.formats.truth import read_table

SIZE = (5, 34, 36)
GRID = Grid(SIZE, (2.5, 0.7, 0.6), (0.96, 0.28, 0, -0.28, 0.96, 0, 0, 0, 1), (-31.5, 12.25, 400.0))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, GRID, shuffled=True)
    return only_stack(folder)


def two_overlapping() -> np.ndarray:
    both = np.zeros((*SIZE, 2), dtype=np.uint8)
    both[1:4, 2:8, 2:9, 0] = 1
    both[2:5, 5:11, 6:15, 1] = 1
    return both


def wholes(laid: LaidSegments) -> dict[int, np.ndarray]:
    return {s.description.number: s.whole(SIZE) >= INSIDE for s in laid.segments}


def test_overlapping_segments_keep_all_their_voxels_as_highdicom_reads_them(stack: Stack, tmp_path: Path) -> None:
    import highdicom

    both = two_overlapping()
    write_segmentation(tmp_path / "x.dcm", stack, both, "BINARY", 2)
    laid = read_segments(tmp_path / "x.dcm", Target.of(stack))
    theirs = highdicom.seg.segread(tmp_path / "x.dcm").get_volume(combine_segments=False).array
    masks = wholes(laid)
    rows = [k for k in range(SIZE[0]) if both[k].any()]
    assert np.array_equal(masks[1], both[..., 0] > 0) and np.array_equal(masks[2], both[..., 1] > 0)
    for order in (slice(None), slice(None, None, -1)):  # it orders the planes by itself
        if np.array_equal(theirs[order][..., 0] > 0, masks[1][rows]):
            assert np.array_equal(theirs[order][..., 1] > 0, masks[2][rows])
            break
    else:
        pytest.fail("highdicom reads other voxels")
    assert laid.overlap == int(np.count_nonzero(both.all(axis=-1))) and laid.kind == "binary"
    with pytest.raises(Refused, match="overlap"):
        laid.labelmap()
    assert np.array_equal(laid.labelmap(on_overlap="later-wins") == 2, both[..., 1] > 0)


@pytest.mark.parametrize("largest", [255, 100, 1])
@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
def test_fractions_stay_fractions_and_count_from_one_half(
    stack: Stack, tmp_path: Path, largest: int, kind: str
) -> None:
    import highdicom

    share = np.random.default_rng(2).random(SIZE).astype(np.float32)
    write_segmentation(
        tmp_path / "x.dcm", stack, share, "FRACTIONAL", 1, max_fractional_value=largest, fractional_type=kind
    )
    laid = read_segments(tmp_path / "x.dcm", Target.of(stack))
    (segment,) = laid.segments
    stored = np.rint(share.astype(np.float64) * largest)
    assert np.max(np.abs(segment.whole(SIZE) - stored * 255 / largest)) <= 0.5
    assert np.array_equal(segment.whole(SIZE) >= INSIDE, stored >= largest / 2)
    assert laid.kind == "fractional" and open_seg_file(tmp_path / "x.dcm").meaning == kind.lower()
    theirs = highdicom.seg.segread(tmp_path / "x.dcm").get_volume(rescale_fractional=False, combine_segments=False)
    assert int(theirs.array.max()) == int(stored.max())


@pytest.mark.parametrize("largest", [3, 400])
def test_label_maps_of_8_and_16_bits(stack: Stack, tmp_path: Path, largest: int) -> None:
    drawn = np.random.default_rng(3).choice([0, 1, 2], SIZE).astype(np.uint8)
    made = write_segmentation(tmp_path / "x.dcm", stack, drawn, "LABELMAP", 2)
    values = made.pixel_array.astype(np.uint16)
    values[values == 2] = largest
    made.SegmentSequence[-1].SegmentNumber = largest
    if largest > 255:
        made.BitsAllocated = made.BitsStored = 16
        made.HighBit = 15
        made.PixelData = values.astype("<u2").tobytes()
        made["PixelData"].VR = "OW"
    else:
        made.PixelData = values.astype(np.uint8).tobytes()
    made.save_as(tmp_path / "y.dcm")
    laid = read_segments(tmp_path / "y.dcm", Target.of(stack))
    masks = wholes(laid)
    assert np.array_equal(masks[1], drawn == 1) and np.array_equal(masks[largest], drawn == 2)
    assert laid.numbers().dtype == (np.uint16 if largest > 255 else np.uint8)
    if largest > 255:
        with pytest.raises(Refused, match="400"):
            laid.labelmap()


def test_a_label_map_with_a_palette_has_its_colours(stack: Stack, tmp_path: Path) -> None:
    drawn = np.zeros(SIZE, dtype=np.uint8)
    drawn[1, 2:5, 3:6], drawn[2, 3:7, 4:8] = 1, 2
    made = write_segmentation(tmp_path / "x.dcm", stack, drawn, "LABELMAP", 2)
    made.PhotometricInterpretation = "PALETTE COLOR"
    for n, name in enumerate(("Red", "Green", "Blue")):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        table = (np.arange(256) * (40 + n)).astype("<u2") % 256 * 257
        setattr(made, f"{name}PaletteColorLookupTableData", table.astype("<u2").tobytes())
    for segment in made.SegmentSequence:
        if "RecommendedDisplayCIELabValue" in segment:
            del segment.RecommendedDisplayCIELabValue
    made.save_as(tmp_path / "p.dcm")
    laid = read_segments(tmp_path / "p.dcm", Target.of(stack))
    assert [s.description.colour for s in laid.segments] == [(40, 41, 42), (80, 82, 84)]
    assert np.array_equal(laid.labelmap(), drawn)


def test_colours_are_those_of_another_reader() -> None:
    from highdicom.color import CIELabColor

    for rgb in np.random.default_rng(0).integers(0, 256, (200, 3)).tolist():
        ours = rgb_of_lab(CIELabColor.from_rgb(*rgb).value)
        assert ours is not None and max(abs(a - b) for a, b in zip(ours, rgb, strict=True)) <= 1
    assert rgb_of_lab((65535, 65535, 0)) is not None  # no screen shows it: brought to the border
    assert rgb_of_lab((1, 2)) is None and rgb_of_lab((1.0, None, 3.0)) is None


def test_numbers_in_any_order_up_to_the_largest(stack: Stack, tmp_path: Path) -> None:
    made = write_segmentation(tmp_path / "x.dcm", stack, two_overlapping(), "BINARY", 2)
    for number, other in ((1, 65535), (2, 7)):
        made.SegmentSequence[number - 1].SegmentNumber = other
        for frame in made.PerFrameFunctionalGroupsSequence:
            identity = frame.SegmentIdentificationSequence[0]
            if identity.ReferencedSegmentNumber == number:
                identity.ReferencedSegmentNumber = other
    made.save_as(tmp_path / "y.dcm")
    laid = read_segments(tmp_path / "y.dcm", Target.of(stack))
    assert [s.description.number for s in laid.segments] == [7, 65535]
    assert np.array_equal(wholes(laid)[7], two_overlapping()[..., 1] > 0)


def test_damage_costs_its_segment_and_no_other(stack: Stack, tmp_path: Path) -> None:
    both = two_overlapping()
    made = write_segmentation(tmp_path / "x.dcm", stack, both, "BINARY", 2)
    last = int(made.PerFrameFunctionalGroupsSequence[-1].SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    whole = (tmp_path / "x.dcm").read_bytes()
    frame = SIZE[1] * SIZE[2] // 8
    (tmp_path / "cut.dcm").write_bytes(whole[: -frame // 2])
    laid = read_segments(tmp_path / "cut.dcm", Target.of(stack))
    assert [s.description.number for s in laid.segments] == [3 - last]
    assert np.array_equal(wholes(laid)[3 - last], both[..., 2 - last] > 0)
    assert len(laid.refused) == 1 and "damaged" in laid.refused[0] and f"segment {last}" in laid.refused[0]

    made.SegmentSequence[0].SegmentNumber = 9  # frames of segment 1 belong to nobody now
    made.save_as(tmp_path / "strange.dcm")
    laid = read_segments(tmp_path / "strange.dcm", Target.of(stack))
    assert np.array_equal(wholes(laid)[2], both[..., 1] > 0) and not wholes(laid)[9].any()
    assert any("segment 1, which the file does not describe" in line for line in laid.refused)

    made.SegmentSequence[0].SegmentNumber = 2  # described twice
    made.save_as(tmp_path / "twice.dcm")
    laid = read_segments(tmp_path / "twice.dcm", Target.of(stack))
    assert [s.description.number for s in laid.segments] == [2] and any("twice" in note for note in laid.notes)


@pytest.mark.parametrize("syntax", ["rle", "deflated", "jpeg-ls", "jpeg-2000"])
def test_compressed_segmentations(stack: Stack, tmp_path: Path, syntax: str) -> None:
    share = (np.random.default_rng(1).random(SIZE) * (np.random.default_rng(4).random(SIZE) > 0.5)).astype(np.float32)
    made = write_segmentation(tmp_path / "x.dcm", stack, share, "FRACTIONAL", 1, omit_empty_frames=False)
    plain = read_segments(tmp_path / "x.dcm", Target.of(stack))
    if syntax == "deflated":
        import zlib

        frames = []
        for frame in made.pixel_array:
            packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            data = packer.compress(frame.tobytes()) + packer.flush()
            frames.append(data + b"\0" * (len(data) % 2))
        made.PixelData = encapsulate(frames)
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
        made.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.50")  # pydicom does not know the other
        made.save_as(tmp_path / "c.dcm", implicit_vr=False, little_endian=True)
        raw = (tmp_path / "c.dcm").read_bytes()
        (tmp_path / "c.dcm").write_bytes(raw.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.8.1\0"))
    else:
        uid = {"rle": RLELossless, "jpeg-ls": "1.2.840.10008.1.2.4.80", "jpeg-2000": "1.2.840.10008.1.2.4.90"}[syntax]
        dataset = pydicom.dcmread(tmp_path / "x.dcm")
        dataset.compress(UID(uid))
        dataset.save_as(tmp_path / "c.dcm")
    laid = read_segments(tmp_path / "c.dcm", Target.of(stack))
    assert np.array_equal(laid.segments[0].whole(SIZE), plain.segments[0].whole(SIZE))


def test_shared_and_per_frame_planes_say_the_same(stack: Stack, tmp_path: Path) -> None:
    both = two_overlapping()
    made = write_segmentation(tmp_path / "x.dcm", stack, both, "BINARY", 2)
    shared = made.SharedFunctionalGroupsSequence[0]
    for frame in made.PerFrameFunctionalGroupsSequence:
        frame.PlaneOrientationSequence = shared.PlaneOrientationSequence
        frame.PixelMeasuresSequence = shared.PixelMeasuresSequence
    del shared.PlaneOrientationSequence, shared.PixelMeasuresSequence
    made.save_as(tmp_path / "y.dcm")
    masks = wholes(read_segments(tmp_path / "y.dcm", Target.of(stack)))
    assert np.array_equal(masks[1], both[..., 0] > 0) and np.array_equal(masks[2], both[..., 1] > 0)


def test_a_lattice_of_its_own_is_resampled_as_simpleitk_does(stack: Stack, tmp_path: Path) -> None:
    import SimpleITK as sitk

    both = two_overlapping()
    write_segmentation(tmp_path / "x.dcm", stack, both, "BINARY", 2)
    angle = 0.3
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    direction = tuple(float(v) for v in rotation.T.ravel())
    x, y, z = (float(v) for v in GRID.index_to_lps((0.2, 0.3, 0.4)))
    turned = Grid((7, 22, 24), (1.7, 0.5, 0.45), direction, (x, y, z))
    laid = read_segments(tmp_path / "x.dcm", Target(turned.size_kji, turned))
    assert any("resampled" in note for note in laid.notes)
    for n, segment in enumerate(laid.segments):
        image = sitk.GetImageFromArray(both[..., n])
        image.SetSpacing(GRID.spacing_kji[::-1])
        image.SetOrigin(GRID.origin_lps)
        image.SetDirection(np.asarray(GRID.direction).reshape(3, 3).T.ravel().tolist())
        onto = sitk.Image(*turned.size_kji[::-1], sitk.sitkUInt8)
        onto.SetSpacing(turned.spacing_kji[::-1])
        onto.SetOrigin(turned.origin_lps)
        onto.SetDirection(np.asarray(turned.direction).reshape(3, 3).T.ravel().tolist())
        theirs = sitk.GetArrayFromImage(sitk.Resample(image, onto, sitk.Transform(), sitk.sitkNearestNeighbor))
        ours = segment.whole(turned.size_kji) >= INSIDE
        assert np.count_nonzero(ours != (theirs > 0)) <= 3 and ours.sum() > 200  # voxels half way between two


def test_segmentations_of_pictures_without_geometry_lie_on_the_pictures_they_name(stack: Stack, tmp_path: Path) -> None:
    both = two_overlapping()
    made = write_segmentation(tmp_path / "x.dcm", stack, both, "BINARY", 2)
    for frame in made.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    made.save_as(tmp_path / "y.dcm")
    flat = replace(Target.of(stack), grid=None)
    masks = wholes(read_segments(tmp_path / "y.dcm", flat))
    assert np.array_equal(masks[1], both[..., 0] > 0) and np.array_equal(masks[2], both[..., 1] > 0)
    with pytest.raises(Refused, match="images that are not here"):
        read_segments(tmp_path / "y.dcm", replace(flat, slices={}))


@pytest.mark.parametrize("turned", [False, True])
def test_a_frame_without_a_place_is_left_out_and_the_others_stay(stack: Stack, tmp_path: Path, turned: bool) -> None:
    both = two_overlapping()
    made = write_segmentation(tmp_path / "x.dcm", stack, both, "BINARY", 2)
    frames = made.PerFrameFunctionalGroupsSequence
    lost = next(
        n for n, frame in enumerate(frames) if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    )
    height = float(frames[lost].PlanePositionSequence[0].ImagePositionPatient[2])
    del frames[lost].PlanePositionSequence
    for frame in frames:
        frame.DerivationImageSequence = []
    made.save_as(tmp_path / "y.dcm")
    target = Target.of(stack)
    if turned:  # no lattice of the segmentation's: laid by nearest voxel
        finer = Grid((SIZE[0], 68, 72), (2.5, 0.35, 0.3), GRID.direction, GRID.origin_lps)
        target = replace(target, size_kji=finer.size_kji, grid=finer)
    laid = read_segments(tmp_path / "y.dcm", target)
    assert any(f"frame {lost + 1} says nothing about where it lies" in note for note in laid.notes)
    k = round((height - GRID.origin_lps[2]) / GRID.spacing_kji[0])
    rest = both[..., 0] > 0
    rest[k] = False
    first, second = (s.whole(target.size_kji) >= INSIDE for s in laid.segments)
    if turned:
        assert not first[k].any() and first[1:4].any(axis=(1, 2)).sum() == 2 and second[2:5].any(axis=(1, 2)).all()
    else:
        assert np.array_equal(first, rest) and np.array_equal(second, both[..., 1] > 0)


def test_strangers_are_refused_with_a_sentence(stack: Stack, tmp_path: Path) -> None:
    made = write_segmentation(tmp_path / "x.dcm", stack, two_overlapping(), "BINARY", 2)
    target = Target.of(stack)
    with pytest.raises(Refused, match="another frame of reference"):
        read_segments(tmp_path / "x.dcm", replace(target, frame_of_reference_uid="1.2.3"))
    with pytest.raises(Refused, match="another patient"):
        read_segments(tmp_path / "x.dcm", replace(target, patient_id="somebody else"))
    assert target.grid is not None
    with pytest.raises(Refused, match="outside"):
        read_segments(tmp_path / "x.dcm", replace(target, grid=target.grid.cropped((40, 0, 0), SIZE)))
    made.TotalPixelMatrixColumns, made.TotalPixelMatrixRows = 1000, 1000
    made.save_as(tmp_path / "slide.dcm")
    with pytest.raises(Refused, match="whole-slide"):
        read_segments(tmp_path / "slide.dcm", target)
    crooked = pydicom.dcmread(tmp_path / "x.dcm")
    crooked.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence = [
        item(ImageOrientationPatient=[1, 0, 0, 0.8, 0.6, 0])
    ]
    crooked.save_as(tmp_path / "crooked.dcm")  # nonsense places nothing; the images that it names still do
    assert np.array_equal(wholes(read_segments(tmp_path / "crooked.dcm", target))[1], two_overlapping()[..., 0] > 0)
    with pytest.raises(BadInput):
        read_segments(tmp_path / "absent.dcm", target)
    assert made.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.data
def test_the_corpus_segmentations_have_their_own_pixels(corpus_folder: Path) -> None:
    seen = 0
    for row in read_table(corpus_folder / "manifest.csv"):
        kind = row["expected"].partition(":")[2]
        if kind not in ("SEG", "LABELMAP") or not row["sha256"] or row["path"].startswith("pydicom:"):
            continue
        seg = open_seg_file(corpus_folder / row["path"])
        pixels = b"".join(np.ascontiguousarray(seg.stored(frame)).tobytes() for frame in seg.frames)
        assert hashlib.sha256(pixels).hexdigest() == row["sha256"], row["path"]
        seen += 1
    assert seen >= 15


@pytest.mark.data
def test_the_corpus_overlapping_segments_are_those_of_its_volumes(corpus_folder: Path) -> None:
    import SimpleITK as sitk

    from medviewer.formats.dicom.objects.seg_lay import lay, own_target

    seg = open_seg_file(corpus_folder / "files/objects/partial_overlaps.dcm")
    target = own_target(seg)
    laid = {s.description.number: s.whole(target.size_kji) > 0 for s in lay(seg, target).segments}
    seen = set()
    for n in (1, 2, 3):
        image = sitk.ReadImage(str(corpus_folder / f"volumes/partial_overlaps-{n}.nrrd"))
        values = sitk.GetArrayFromImage(image)
        assert target.grid is not None and np.allclose(image.GetOrigin(), target.grid.origin_lps, atol=1e-4)
        for number in np.unique(values)[1:].tolist():
            assert np.array_equal(values == number, laid[number])
            seen.add(number)
    assert seen == {1, 2, 3, 4, 5}

"""Stored values of every transfer syntax at hand, against pydicom and against uncompressed siblings."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.data.data_manager import DATA_ROOT

from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import read_stored
from medviewer.formats.load import load_volume, read_frame_rgb
from medviewer.formats.scan import scan
from tests.formats import samples

FILES = sorted(p for p in (Path(DATA_ROOT) / "test_files").glob("*.dcm"))
#: Decoders may differ by this: lossy JPEG, and the rounding of colour conversion.
LOSSY = {"1.2.840.10008.1.2.4.50": 3, "1.2.840.10008.1.2.4.51": 3}


def stack_of(path: Path) -> Stack | None:
    return next(scan([path]).stacks(), None)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_same_values_as_pydicom_decodes(path: Path) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = pydicom.dcmread(path, force=True)
            expected = np.asarray(reference.pixel_array)
    except Exception:
        pytest.skip("pydicom does not decode it")
    finally:
        logging.disable(logging.NOTSET)
    stack = stack_of(path)
    if stack is None:
        assert reference.get("Modality") in ("RTDOSE", "SEG") or "truncated" in path.name.lower()
        return
    frames = stack.frames
    if int(reference.get("NumberOfFrames", 1) or 1) == 1:
        expected = expected[None]
    tolerance = LOSSY.get(reference.file_meta.TransferSyntaxUID, 0) if "file_meta" in dir(reference) else 0
    colour = reference.get("SamplesPerPixel", 1) == 3 and "YBR" in reference.PhotometricInterpretation
    tolerance = max(tolerance, 1 if colour else 0)
    for frame in frames[:3]:
        ours = read_stored(frame).astype(np.int64) if stack.dtype[0] != "f" else read_stored(frame)
        theirs = expected[frame.frame]
        if colour:
            from pydicom.pixels import convert_color_space

            if "YBR_FULL" in reference.PhotometricInterpretation and theirs.dtype == np.uint8:
                converted = convert_color_space(theirs, reference.PhotometricInterpretation, "RGB")
                theirs = converted if np.abs(ours - converted).max() < np.abs(ours - theirs).max() else theirs
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs.astype(ours.dtype)).max() <= tolerance


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("image_dfl.dcm", "image_dfl.dcm"),
        ("SC_rgb_rle_2frame.dcm", "SC_rgb_2frame.dcm"),
        ("SC_rgb_rle_16bit.dcm", "SC_rgb_16bit.dcm"),
        ("SC_rgb_expb_16bit.dcm", "SC_rgb_16bit.dcm"),
        ("liver_expb_1frame.dcm", "liver_1frame.dcm"),
    ],
)
def test_one_picture_in_many_syntaxes(packed: str, plain: str) -> None:
    found = [get_testdata_file(name, download=False) for name in (packed, plain)]
    if None in found:
        pytest.skip(f"{packed} is not part of this pydicom")
    one, other = (stack_of(Path(str(name))) for name in found)
    if one is None or other is None:  # segmentations are objects
        return
    for a, b in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(read_stored(a), read_stored(b))


def test_bits_above_the_high_bit_do_not_count(tmp_path: Path) -> None:
    pixels = np.array([[0x0FFF, 0xF123], [0x8800, 0x0001]], dtype=np.uint16)
    samples.save(samples.picture(pixels, BitsStored=12, HighBit=11), tmp_path / "u.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None
    assert read_stored(stack.frames[0]).tolist() == [[0x0FFF, 0x0123], [0x0800, 0x0001]]


def test_signed_values_are_extended_from_the_stored_bits(tmp_path: Path) -> None:
    pixels = np.array([[0x0FFF, 0x0800], [0x07FF, 0x5001]], dtype=np.uint16)
    data = samples.picture(pixels, BitsStored=12, HighBit=11, PixelRepresentation=1)
    samples.save(data, tmp_path / "s.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None and stack.dtype == "int16"
    assert read_stored(stack.frames[0]).tolist() == [[-1, -2048], [2047, 1]]


def test_a_high_bit_above_the_stored_bits_shifts(tmp_path: Path) -> None:
    pixels = np.array([[0x0FF0, 0x1230]], dtype=np.uint16)
    samples.save(samples.picture(pixels, BitsStored=12, HighBit=15), tmp_path / "h.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None
    assert read_stored(stack.frames[0]).tolist() == [[0x0FF, 0x123]]


def test_one_bit_frames_follow_without_padding(tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (3, 5, 7)).astype(np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data = samples.picture(
        bits, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3, PixelData=packed + b"\0" * (len(packed) % 2),
        Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.1",
    )  # fmt: skip
    samples.save(data, tmp_path / "b.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None
    assert np.array_equal(load_volume(stack).voxels, bits)


def test_colour_has_its_colours_and_a_grey_volume(tmp_path: Path) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    for planar in (0, 1):
        stored = rgb if planar == 0 else np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
        data = samples.picture(
            rgb, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=planar,
            PixelData=stored.tobytes(), Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
        )  # fmt: skip
        samples.save(data, tmp_path / f"{planar}.dcm")
        stack = stack_of(tmp_path / f"{planar}.dcm")
        assert stack is not None and stack.is_colour
        assert np.array_equal(read_frame_rgb(stack, 0), rgb)
        grey = rgb.astype(float) @ [0.299, 0.587, 0.114]
        volume = load_volume(stack)
        assert np.abs(volume.voxels[0] - grey).max() <= 0.5 and volume.intercept == 0.0


def test_palettes_keep_indices_and_show_colours(tmp_path: Path) -> None:
    indices = np.arange(30, dtype=np.uint8).reshape(6, 5) % 4
    data = samples.picture(
        indices, PhotometricInterpretation="PALETTE COLOR", Modality="OT", SOPClassUID="1.2.840.10008.5.1.4.1.1.7"
    )
    for name, table in (("Red", [0, 255, 10, 20]), ("Green", [1, 2, 3, 4]), ("Blue", [9, 8, 7, 6])):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(data, f"{name}PaletteColorLookupTableData", bytes(table))
    samples.save(data, tmp_path / "p.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None and np.array_equal(load_volume(stack).voxels[0], indices)
    rgb = read_frame_rgb(stack, 0)
    assert rgb[0, 1].tolist() == [255, 2, 8] and rgb[0, 3].tolist() == [20, 4, 6]


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_cut_jpeg_is_refused(cut: float, tmp_path: Path) -> None:
    found = get_testdata_file("SC_rgb_jpeg_dcmtk.dcm", download=False) or get_testdata_file(
        "JPGLosslessP14SV1_1s_1f_8b.dcm", download=False
    )
    if found is None:
        pytest.skip("no JPEG among pydicom's files")
    reference = pydicom.dcmread(str(found))
    from pydicom.encaps import encapsulate, get_frame

    stream = get_frame(reference.PixelData, 0, number_of_frames=1)
    reference.PixelData = encapsulate([stream[: int(len(stream) * cut)]])
    reference.save_as(tmp_path / "cut.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None
    with pytest.raises(PixelFault) as fault:
        read_stored(stack.frames[0])
    assert fault.value.code in ("bad-pixels", "truncated")


def test_a_jpeg_of_another_size_never_reaches_a_decoder(tmp_path: Path) -> None:
    found = get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)
    assert found is not None
    reference = pydicom.dcmread(str(found))
    reference.Rows = 128
    reference.save_as(tmp_path / "other.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None
    with pytest.raises(PixelFault, match="64 x 64 where the header says 128 x 64"):
        read_stored(stack.frames[0])


def test_frames_that_are_not_there_are_counted(tmp_path: Path) -> None:
    whole = samples.ramp((4, 6, 5))
    data = samples.picture(whole, NumberOfFrames=9, Modality="XA", SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1")
    samples.save(data, tmp_path / "x.dcm")
    stack = stack_of(tmp_path)
    assert stack is not None and stack.size_kji[0] == 4 and "frame-count-mismatch" in stack.codes
    assert np.array_equal(load_volume(stack).voxels, whole)

"""One picture in the ways that other programs write it: the stored values come back."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian

from medviewer.formats.catalog import Stack
from medviewer.formats.dicom.pixels import stored as pixels
from medviewer.formats.dicom.pixels.stored import read_stored
from medviewer.formats.digest import digest
from medviewer.formats.load import load_volume
from medviewer.formats.scan import scan
from tests.formats import samples


def the_stack(path: Path) -> Stack:
    catalog = scan([path])
    assert catalog.skipped == ()
    (stack,) = catalog.stacks()
    return stack


def values_of(path: Path) -> NDArray[Any]:
    return np.stack([read_stored(frame) for frame in the_stack(path).frames])


def hills(bits: int, *, signed: bool = False, shape: tuple[int, int] = (40, 48)) -> NDArray[Any]:
    """A smooth picture over the whole range of its bits."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    wave = np.sin(x / 5) * np.cos(y / 7)
    share = (wave - wave.min()) / (wave.max() - wave.min())
    low = -(1 << (bits - 1)) if signed else 0
    size = 8 if bits <= 8 else 16 if bits <= 16 else 32
    picture: NDArray[Any] = np.rint(low + share * ((1 << bits) - 1)).astype(f"{'i' if signed else 'u'}{size // 8}")
    return picture


def encapsulated(data: FileDataset, streams: list[bytes], syntax: str, path: Path) -> Path:
    data.file_meta.TransferSyntaxUID = UID(syntax)
    data.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2) for stream in streams])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return samples.save(data, path)


def big_endian(data: FileDataset, raw: bytes, path: Path, vr: str = "OW") -> Path:
    """Big endian with the pixels' bytes as they are given."""
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    data.PixelData = raw
    data["PixelData"].VR = vr
    dcmwrite(path, data, little_endian=False, implicit_vr=False, enforce_file_format=True)
    return path


def words_swapped(raw: bytes) -> bytes:
    return np.frombuffer(raw, "<u2").astype(">u2").tobytes()


def test_one_bit_pixels_in_swapped_words(tmp_path: Path) -> None:
    picture = (np.arange(256).reshape(16, 16) % 7 == 0).astype(np.uint8)
    packed = np.packbits(picture.reshape(-1), bitorder="little").tobytes()
    data = samples.picture(picture, BitsAllocated=1, BitsStored=1, HighBit=0)
    found = values_of(big_endian(data, words_swapped(packed), tmp_path / "bits.dcm"))
    assert np.array_equal(found[0], picture)


@pytest.mark.parametrize("signed", [False, True])
def test_both_ways_of_writing_32_bit_pixels_in_big_endian(signed: bool, tmp_path: Path) -> None:
    """Word by word (DCMTK, GDCM) and all four bytes reversed: no element tells them apart, the picture does."""
    picture = hills(20, signed=signed)
    little = picture.astype(picture.dtype.newbyteorder("<")).tobytes()
    whole = picture.astype(picture.dtype.newbyteorder(">")).tobytes()
    for name, raw in (("words.dcm", words_swapped(little)), ("whole.dcm", whole)):
        data = samples.picture(picture, BitsStored=20, HighBit=19)
        assert np.array_equal(values_of(big_endian(data, raw, tmp_path / name))[0], picture), name


@pytest.mark.parametrize("order", ["<", ">"])
def test_words_under_ob_in_big_endian(order: str, tmp_path: Path) -> None:
    """OB must not hold them; who writes them there keeps the order of bytes (DCMTK) or swaps them all the same."""
    picture = hills(12)
    raw = picture.astype(picture.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    data = samples.picture(picture, BitsStored=12, HighBit=11)
    assert np.array_equal(values_of(big_endian(data, raw, tmp_path / "ob.dcm", "OB"))[0], picture)


def test_luminance_and_colour_differences_of_twelve_bits(tmp_path: Path) -> None:
    """The middle of the colour differences is 2048 with 12 bits stored, wherever they are allocated."""
    luminance = hills(12)
    stored = np.stack([luminance, np.full_like(luminance, 2048), np.full_like(luminance, 2048)], axis=-1)
    data = samples.picture(
        stored, SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=0,
        BitsStored=12, HighBit=11, RescaleSlope=None, RescaleIntercept=None,
    )  # fmt: skip
    found = values_of(samples.save(data, tmp_path / "ybr.dcm"))[0]
    assert np.array_equal(found, np.stack([luminance] * 3, axis=-1))


def test_six_stored_bits_in_jpeg_lossless(tmp_path: Path) -> None:
    """GDCM ends its process where it is told of six bits in a byte."""
    gdcm = pytest.importorskip("gdcm")
    picture = hills(6)
    plain = samples.save(samples.picture(picture, BitsStored=6, HighBit=5), tmp_path / "plain.dcm")
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    assert writer.Write()
    assert np.array_equal(values_of(tmp_path / "packed.dcm")[0], picture)


@pytest.mark.parametrize("error", [0, 2])
def test_signed_pixels_in_jpeg_ls(error: int, tmp_path: Path) -> None:
    """The code stream knows no sign: its values are the bit patterns of the stored ones (PS3.5 8.2.3)."""
    jpeg_ls = pytest.importorskip("jpeg_ls")
    picture = hills(12, signed=True)[2:, :]  # without the ends of the range, which an error would carry across zero
    picture = np.clip(picture, -2000, 2000)
    patterns = (picture.astype(np.int32) & 0xFFF).astype("<u2")
    stream = jpeg_ls.encode_pixel_data(
        patterns.tobytes(), lossy_error=error, rows=picture.shape[0], columns=picture.shape[1], samples_per_pixel=1,
        bits_allocated=16, bits_stored=12, photometric_interpretation="MONOCHROME2", planar_configuration=0,
        pixel_representation=0, number_of_frames=1, transfer_syntax_uid="1.2.840.10008.1.2.4.80",
    )  # fmt: skip
    data = samples.picture(picture, BitsStored=12, HighBit=11)
    syntax = "1.2.840.10008.1.2.4.81" if error else "1.2.840.10008.1.2.4.80"
    found = values_of(encapsulated(data, [bytes(stream)], syntax, tmp_path / "ls.dcm"))[0]
    assert np.abs(found.astype(int) - picture).max() <= error


def test_part_two_of_jpeg_2000_with_a_stream_of_part_one(tmp_path: Path) -> None:
    openjpeg = pytest.importorskip("openjpeg.utils")
    picture = hills(12)
    stream = bytes(openjpeg.encode_array(picture, bits_stored=12, photometric_interpretation=2))
    data = samples.picture(picture, BitsStored=12, HighBit=11)
    found = values_of(encapsulated(data, [stream], "1.2.840.10008.1.2.4.92", tmp_path / "part2.dcm"))[0]
    assert np.array_equal(found, picture)


def test_eight_bits_of_jpeg_where_sixteen_are_allocated(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = hills(8)
    buffer = io.BytesIO()
    image.fromarray(picture).save(buffer, "JPEG", quality=100)
    data = samples.picture(picture.astype("u2"), BitsStored=8, HighBit=7)
    found = values_of(encapsulated(data, [buffer.getvalue()], "1.2.840.10008.1.2.4.50", tmp_path / "wide.dcm"))[0]
    buffer.seek(0)
    assert found.dtype == np.uint16 and np.abs(found.astype(int) - np.asarray(image.open(buffer))).max() <= 1


def test_a_signed_code_stream_under_an_unsigned_header_is_shown_signed(tmp_path: Path) -> None:
    """Hashes and sums keep to the header, which defines stored values; the picture does not wrap, and it is said."""
    openjpeg = pytest.importorskip("openjpeg.utils")
    picture = hills(16, signed=True)
    stream = bytes(openjpeg.encode_array(picture, bits_stored=16, photometric_interpretation=2))
    data = samples.picture(picture.view("u2"), RescaleIntercept=0)
    path = encapsulated(data, [stream], "1.2.840.10008.1.2.4.90", tmp_path / "sign.dcm")
    stack = the_stack(path)
    assert stack.dtype == "int16" and "bad-rescale" in stack.codes
    assert np.array_equal(load_volume(stack).voxels[0], picture)
    found = digest(stack)
    assert found.sha256 == hashlib.sha256(picture.tobytes()).hexdigest()
    assert (found.low, found.high) == (picture.view("u2").min(), picture.view("u2").max())


def test_the_tiles_of_one_compressed_picture_cost_one_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openjpeg = pytest.importorskip("openjpeg.utils")
    picture = hills(12)
    stream = bytes(openjpeg.encode_array(picture, bits_stored=12, photometric_interpretation=2))
    data = samples.picture(picture, BitsStored=12, HighBit=11)
    (frame,) = the_stack(encapsulated(data, [stream], "1.2.840.10008.1.2.4.90", tmp_path / "tiled.dcm")).frames
    decoded = []
    ask = pixels.encoded_frame
    monkeypatch.setattr(pixels, "encoded_frame", lambda *asked: decoded.append(asked) or ask(*asked))
    for row, column in ((0, 0), (0, 24), (20, 0), (20, 24)):
        tile = read_stored(replace(frame, tile=(row, column, 20, 24)))
        assert np.array_equal(tile, picture[row : row + 20, column : column + 24])
    assert len(decoded) == 1

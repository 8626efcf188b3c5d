"""Decoders: the same values in a process as outside one and by the short way as by the long one; bombs and absences."""

from __future__ import annotations

import os
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.data.data_manager import DATA_ROOT
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate

from medviewer.errors import BadInput, MissingHere
from medviewer.formats.catalog import FrameRef, PixelLayout, Stack
from medviewer.formats.dicom.pixels import codecs
from medviewer.formats.dicom.pixels.decoding.pool import pool
from medviewer.formats.dicom.pixels.decoding.process import EncodedFrame
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.formats.dicom.pixels.stored import encoded_frame, is_encoded, read_stored
from medviewer.formats.load import load_volume, read_slice
from medviewer.formats.scan import scan
from tests.formats import samples

FOLDERS = [Path(DATA_ROOT) / "test_files", Path(__file__).resolve().parents[2] / "resources" / "codecs"]
RLE, JPEG, J2K = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"


def corpus_folders() -> list[Path]:
    named = os.environ.get("MEDVIEWER_CORPUS")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "corpus"
    return [folder] if folder.is_dir() else []


def encoded_frames(folders: list[Path]) -> Iterator[FrameRef]:
    """The first frames of every compressed file."""
    for stack in scan(folders).stacks():
        seen: dict[Path, int] = {}
        for frame in stack.frames:
            if is_encoded(frame) and seen.get(frame.path, 0) < 2 and len(seen) < 40:
                seen[frame.path] = seen.get(frame.path, 0) + 1
                yield replace(frame, tile=None)


def outcome(decode: object, *arguments: object) -> tuple[str, object]:
    try:
        values = decode(*arguments)  # type: ignore[operator]
    except PixelFault as fault:
        return fault.code, fault.reason
    return str(values.dtype), values


def here(frame: FrameRef) -> np.ndarray:
    """Decoded in this process."""
    encoded = encoded_frame(frame)
    stream = bytearray(encoded.length)
    encoded.fill(memoryview(stream))
    return codecs.decode(bytes(stream), encoded.layout)


def same(one: tuple[str, object], other: tuple[str, object]) -> bool:
    return one[0] == other[0] and (np.array_equal(one[1], other[1]) if isinstance(one[1], np.ndarray) else True)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["shipped and pydicom's", "corpus"])
def test_a_process_gives_the_very_values_that_decoding_here_gives(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = FOLDERS if where != "corpus" else corpus_folders()
    if not folders:
        pytest.skip("the corpus of difficult files is absent: set MEDVIEWER_CORPUS to run this test")
    frames = list(encoded_frames(folders))
    assert len(frames) > 20
    short = [outcome(here, frame) for frame in frames]
    apart = [outcome(read_stored, frame) for frame in frames]
    crashes = [f.path.name for f, a in zip(frames, apart, strict=True) if "crashed" in str(a[1])]
    assert [f.path for f, a, s in zip(frames, apart, short, strict=True) if not same(a, s)] == [], crashes
    monkeypatch.setattr(codecs, "decode_direct", lambda *_: None)
    long = [outcome(here, frame) for frame in frames]
    assert [f.path for f, a, b in zip(frames, short, long, strict=True) if not same(a, b)] == []
    assert sum(isinstance(values, np.ndarray) for _, values in short) > len(frames) // 2


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_rle_of_every_width_and_sign(tmp_path: Path, bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    low = -(1 << bits - 1) if signed else 0
    truth = rng.integers(low, low + (1 << bits), (3, 33, 21)).astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    for k in range(3):
        data = samples.picture(truth[k], InstanceNumber=k + 1, ImagePositionPatient=[0, 0, 2.0 * k])
        data.BitsStored, data.HighBit = bits, bits - 1
        data.compress(RLE, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        samples.save(data, tmp_path / f"{k}.dcm")
    volume = load_volume(next(scan([tmp_path]).stacks()))
    assert volume.voxels.dtype == truth.dtype and np.array_equal(volume.voxels, truth) and volume.loaded.all()


def test_raw_frames_in_fragments_are_read(tmp_path: Path) -> None:
    truth = samples.ramp((3, 9, 6))
    data = samples.picture(truth, NumberOfFrames=3, Modality="XA", SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1")
    data.PixelData = encapsulate([one.tobytes() for one in truth])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.98"
    samples.save(data, tmp_path / "x.dcm")
    assert np.array_equal(load_volume(next(scan([tmp_path]).stacks())).voxels, truth)


# -- bombs ----------------------------------------------------------------------------------------------------------


def save_as(data: FileDataset, path: Path, syntax: str) -> None:
    """Write a file of any transfer syntax; pydicom writes only those that it knows itself."""
    data.file_meta.TransferSyntaxUID = known = "1.2.840.10008.1.2.4.103"
    samples.save(data, path)
    path.write_bytes(path.read_bytes().replace(known.encode(), syntax.encode().ljust(len(known), b"\0"), 1))


def stack_of_stream(
    folder: Path, stream: bytes, syntax: str, shape: tuple[int, int] = (64, 64), **more: object
) -> Stack:
    data = samples.picture(np.zeros((4, 4), np.uint16), **more)
    data.Rows, data.Columns = shape
    data.BitsStored, data.HighBit = 12, 11
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    save_as(data, folder / "bomb.dcm", syntax)
    found = scan([folder])
    stack = next(found.stacks(), None)
    assert stack is not None, found.skipped
    return stack


def jpeg(rows: int, columns: int) -> bytes:
    start = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB3B", 11, 12, rows, columns, 1, 1, 0x11, 0)
    table = b"\xff\xc4" + struct.pack(">HB16B", 19 + 1, 0, 1, *[0] * 15) + b"\0"
    return start + table + b"\xff\xda" + struct.pack(">HB2B3B", 8, 1, 1, 0, 1, 0, 0) + b"\0" * 40 + b"\xff\xd9"


def j2k(rows: int, columns: int, tile: int, high_throughput: bool = False) -> bytes:
    """The main header of a code stream in tiles of `tile` pixels, one tile part with nothing in it, and an end."""
    size = struct.pack(
        ">HHIIIIIIIIHBBB", 41, 0x4000 if high_throughput else 0, columns, rows, 0, 0, tile, tile, 0, 0, 1, 11, 1, 1
    )
    capabilities = b"\xff\x50" + struct.pack(">HIH", 8, 0x00020000, 0) if high_throughput else b""
    style = struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 1, 4, 4, 0x40 if high_throughput else 0, 1)
    quantum = struct.pack(">HB4B", 7, 0x40, 0x60, 0x68, 0x68, 0x70)
    part = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 14, 0, 1) + b"\xff\x93"
    return b"\xff\x4f\xff\x51" + size + capabilities + b"\xff\x52" + style + b"\xff\x5c" + quantum + part + b"\xff\xd9"


@pytest.mark.parametrize(
    ("stream", "syntax", "shape"),
    [
        (jpeg(65500, 65500), JPEG, (64, 64)),
        (j2k(64, 64, 1), J2K, (64, 64)),
        (j2k(8192, 8192, 1), J2K, (8192, 8192)),
        (j2k(60000, 60000, 1), J2K, (64, 64)),
        (j2k(4096, 4096, 1, high_throughput=True), "1.2.840.10008.1.2.4.201", (4096, 4096)),
        (struct.pack("<16I", 2, 64, 70, *[0] * 13) + b"\x81\xff" * 6, RLE, (64, 64)),
        (struct.pack("<16I", 2, 64, 1 << 31, *[0] * 13) + b"\x81\xff" * 600, RLE, (64, 64)),
        (struct.pack("<16I", 15, *[64] * 15) + b"\x81\xff" * 600, RLE, (64, 64)),
        (b"\xff\xd8" + b"\xff" * 5000 + b"\xff\xd9", JPEG, (64, 64)),
    ],
    ids=["jpeg-65500", "j2k-tiles", "j2k-67-million-tiles", "j2k-60000", "htj2k-tiles", "rle-short",
         "rle-far", "rle-segments", "jpeg-fill"],
)  # fmt: skip
def test_a_bomb_costs_a_sentence(tmp_path: Path, stream: bytes, syntax: str, shape: tuple[int, int]) -> None:
    stack = stack_of_stream(tmp_path, stream, syntax, shape)
    began = time.monotonic()
    with pytest.raises(BadInput) as error:
        load_volume(stack)
    assert "cannot be shown" in error.value.what and time.monotonic() - began < 15
    assert read_stored(next(encoded_frames(FOLDERS[1:]))) is not None


def test_a_picture_larger_than_memory_is_refused_before_anything_is_taken(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="too-large"):
        stack_of_stream(tmp_path, jpeg(65500, 65500), JPEG, (65500, 65500))
    layout = PixelLayout(65500, 65500, 1, 16, 12, 11, False, "MONOCHROME2", 0, 1, JPEG)
    stream = jpeg(65500, 65500)

    def fill(room: memoryview) -> None:
        room[:] = stream

    with pytest.raises(PixelFault) as fault:  # and where the header's check has let it pass
        pool().decode(EncodedFrame(len(stream), fill, layout))
    assert fault.value.code == "too-large"
    assert read_stored(next(encoded_frames(FOLDERS[1:]))).shape == (32, 32)  # its process is as good as before


def test_a_deflated_bomb_is_cut_at_the_size_of_the_picture(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    stack = stack_of_stream(tmp_path, bomb, "1.2.840.10008.1.2.8.1")
    assert not read_stored(stack.frames[0]).any()


# -- what is not there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "sample", "name"),
    [
        ("rle.rle", "rle", "pip install pylibjpeg-rle"),
        ("gdcm", "jpeg-extended-12", "pip install python-gdcm"),
    ],
)
def test_a_missing_package_is_named(package: str, sample: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = next(scan([FOLDERS[1] / f"{sample}.dcm"]).stacks()).frames[0]
    monkeypatch.setitem(sys.modules, package, None)  # type: ignore[arg-type]
    code, reason = outcome(here, frame)
    assert code == "no-codec" and name in str(reason)


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
        ("1.2.840.10008.1.2.4.112", "JPEG XL"),
        ("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
        ("1.2.840.10008.1.2.4.100", "MPEG2"),
        ("1.2.840.10008.1.2.4.103", "MPEG-4"),
        ("1.2.840.10008.1.2.4.107", "HEVC"),
        ("1.2.840.10008.1.2.7.1", "SMPTE ST 2110"),
        ("1.2.3.4.5", "1.2.3.4.5"),
    ],
)
def test_what_nobody_here_decodes_is_named(tmp_path: Path, syntax: str, name: str) -> None:
    data = samples.picture(np.zeros((4, 4), np.uint16))
    data.PixelData = encapsulate([b"\0" * 32])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    save_as(data, tmp_path / "x.dcm", syntax)
    found = scan([tmp_path])
    assert [s.code for s in found.skipped] == ["no-codec"] and name in found.skipped[0].reason


def test_a_missing_decoder_ends_as_something_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = next(scan([FOLDERS[1] / "rle.dcm"]).stacks())
    from medviewer.formats import load

    def missing(*_: object, **__: object) -> None:
        raise PixelFault("no-codec", "the decoder for RLE Lossless is missing: pip install pylibjpeg-rle")

    monkeypatch.setattr(load, "read_stored", missing)
    with pytest.raises(MissingHere, match="pylibjpeg-rle"):
        read_slice(stack, load.empty_volume(stack), 0)


def test_layouts_travel_whole() -> None:
    from medviewer.formats.dicom.pixels.decoding.messages import Request, RequestReader, RequestWriter

    read, write = os.pipe()
    layout = PixelLayout(3, 4, 1, 16, 12, 11, True, "MONOCHROME2", 0, 7, RLE)
    writer, reader = RequestWriter(), RequestReader(read)
    for start in (0, 5):
        sent = Request(1 << 22, start, 10, 4096, 24, 1 << 30, 10.5, layout)
        os.write(write, writer.pack(sent))
        assert reader.read() == sent
    os.close(write)
    with pytest.raises(EOFError):
        reader.read()
    os.close(read)

"""How fast compressed frames are decoded through the limited processes, beside pydicom's plug-ins and beside two
processes that know nothing of each other.

Every method starts at the file, warm, and all take turns within each round, so that a busy machine slows all alike:
read the ratios, not the milliseconds.
"""

from __future__ import annotations

import multiprocessing
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.bench.figures import machine, row
from medviewer.errors import BadInput
from medviewer.formats.catalog import FrameRef, PixelLayout, Stack

AnyArray = NDArray[np.generic]

ROUNDS, FRAMES = 5, 24

SYNTAXES = {
    "rle": "1.2.840.10008.1.2.5",
    "jpegll": "1.2.840.10008.1.2.4.70",
    "jls": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
    "htj2k": "1.2.840.10008.1.2.4.201",
}
#: Codecs whose frames can be made here, and by whose encoder.
_MADE = {"rle": "pylibjpeg", "jpegll": "", "jls": "pyjpegls", "j2k": "pylibjpeg"}


def codec_figures(folder: Path | None) -> Mapping[str, Any]:
    """Rows of milliseconds a frame for each codec and method; ratios to the fastest plug-in; use of two cores.

    Args:
        folder: compressed series, one folder a codec or one for all; None for pictures made here.

    Raises:
        BadInput: there is nothing compressed in it.
    """
    with tempfile.TemporaryDirectory(prefix="medviewer-codecs-") as made:
        if folder is None:
            folder = Path(made)
            _make(folder)
        stacks = _stacks(folder)
        if not stacks:
            raise BadInput("there are no compressed pictures", path=folder)
        rows: list[dict[str, Any]] = []
        ratios, parallel, seconds = {}, {}, 0.0
        for codec, stack in stacks.items():
            times = _measure(stack)
            rows += [row(f"{codec}: {what}", "ms a frame", values) for what, values in times.items()]
            ours = float(np.median(times["ours, 1 process"]))
            peers = [float(np.median(v)) for what, v in times.items() if what.startswith("pydicom")]
            ratios[codec] = round(ours / min(peers), 3) if peers else None
            pairs = zip(times["two independent processes"], times["ours, 2 processes"], strict=True)
            parallel[codec] = round(float(np.median([theirs / our for theirs, our in pairs])), 3)
            seconds += ours * len(stack.frames) / 1000
    return {
        "name": "codecs",
        "machine": machine(),
        "n": ROUNDS,
        "rows": rows,
        "seconds": round(seconds, 4),
        "ratio_to_fastest_plugin": ratios,
        "parallel_efficiency": parallel,
    }


def told(document: Mapping[str, Any]) -> str:
    """The document of `codec_figures` as a table for people."""
    lines = [f"{r['what']:<40} {r['median']:>8.3f} {r['p99']:>8.3f} ms   n = {r['n']}" for r in document["rows"]]
    for codec, ratio in document["ratio_to_fastest_plugin"].items():
        of_two = document["parallel_efficiency"][codec]
        beside = "no plug-in to compare with" if ratio is None else f"{ratio:.2f} of the fastest plug-in's time"
        lines.append(f"{codec}: {beside}; both cores give {of_two:.2f} of what two independent processes give")
    return "\n".join([f"{'':<40} {'median':>8} {'p99':>8}", *lines])


def factory(_: Mapping[str, Any]) -> Callable[[str, bytes, str], AnyArray]:
    """`decode(codec, fragment, path)` through the limited processes, for the side-by-side table of the peers."""
    from medviewer.formats.dicom.pixels.decoding.pool import pool
    from medviewer.formats.dicom.pixels.decoding.process import EncodedFrame
    from medviewer.formats.dicom.pixels.stored import read_stored

    layouts = {
        codec: PixelLayout(512, 512, 1, 16, 12, 11, False, "MONOCHROME2", 0, 1, syntax)
        for codec, syntax in {**SYNTAXES, "deflated": "1.2.840.10008.1.2.1.99"}.items()
    }
    pool().warm()

    def decode(codec: str, fragment: bytes, path: str) -> AnyArray:
        if codec == "deflated":  # the data set is deflated as a whole: nothing of it is a fragment
            return read_stored(FrameRef(Path(path), 0, None, "", layouts[codec]))

        def fill(room: memoryview) -> None:
            room[:] = fragment

        return pool().decode(EncodedFrame(len(fragment), fill, layouts[codec]))

    return decode


def _measure(stack: Stack) -> dict[str, list[float]]:
    """Milliseconds a frame of each method, of all rounds; for single frames one value a frame."""
    from medviewer.formats.dicom.pixels.stored import read_stored
    from medviewer.formats.load import load_volume

    count = len(stack.frames)
    truth = [read_stored(frame) for frame in stack.frames]
    peers = _plugins(stack)
    times: dict[str, list[float]] = {"ours, 1 process": [], **{f"pydicom/{name}": [] for name in peers}}
    times |= {"ours, 2 processes": [], "two independent processes": []}
    with _independent(stack) as run_apart:
        for turn in range(ROUNDS + 1):  # the first warms up
            found: dict[str, list[float]] = {}
            found["ours, 1 process"] = _each(lambda k: read_stored(stack.frames[k]), truth)
            for name, decode in peers.items():
                found[f"pydicom/{name}"] = _each(decode, truth)
            began = time.perf_counter()
            load_volume(stack)
            found["ours, 2 processes"] = [(time.perf_counter() - began) * 1000 / count]
            found["two independent processes"] = [run_apart() * 1000 / count]
            if turn:
                for what, values in found.items():
                    times[what] += values
    return times


def _each(decode: Callable[[int], AnyArray], truth: list[AnyArray]) -> list[float]:
    times = []
    for k, expected in enumerate(truth):
        began = time.perf_counter()
        values = decode(k)
        times.append((time.perf_counter() - began) * 1000)
        if not np.array_equal(values, expected):
            raise RuntimeError("two decoders disagree on a lossless picture")
    return times


def _plugins(stack: Stack) -> dict[str, Callable[[int], AnyArray]]:
    """pydicom's decoders of this transfer syntax, each from the file."""
    from pydicom import dcmread
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    layout = stack.layout
    assert layout is not None
    if layout.frames > 1:
        return {}

    def decoder(plugin: str) -> Callable[[int], AnyArray]:
        def decode(k: int) -> AnyArray:
            data = dcmread(stack.frames[k].path)
            data.pixel_array_options(decoding_plugin=plugin)
            values: AnyArray = data.pixel_array
            return values

        return decode

    return {name: decoder(name) for name in get_decoder(UID(layout.transfer_syntax)).available_plugins}


# -- two processes that know nothing of each other ------------------------------------------------------------------


@contextmanager
def _independent(stack: Stack) -> Iterator[Callable[[], float]]:
    """Two processes that each read and decode half of the frames in themselves; gives a function for its seconds."""
    spawn = multiprocessing.get_context("spawn")
    halves = []
    for half in (stack.frames[0::2], stack.frames[1::2]):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_decode_apart, args=(theirs, half), daemon=True)
        process.start()
        theirs.close()
        halves.append((process, ours))

    def run() -> float:
        began = time.perf_counter()
        for _, pipe in halves:
            pipe.send("go")
        for _, pipe in halves:
            pipe.recv()
        return time.perf_counter() - began

    try:
        yield run
    finally:
        for process, pipe in halves:
            pipe.close()
            process.join(5.0)


def _decode_apart(pipe: Connection, frames: tuple[FrameRef, ...]) -> None:
    """Read and decode frames into fresh memory whenever asked, by the very decoders that the limited processes run."""
    from medviewer.formats.dicom.pixels import codecs
    from medviewer.formats.dicom.pixels.stored import encoded_frame

    layout = frames[0].layout
    assert layout is not None
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        volume = np.zeros((len(frames), layout.rows, layout.columns), layout.dtype)
        for n, frame in enumerate(frames):
            encoded = encoded_frame(frame)
            stream = bytearray(encoded.length)
            encoded.fill(memoryview(stream))
            values = codecs.decode(bytes(stream), layout, volume[n])
            if values is not volume[n]:
                volume[n] = values
        pipe.send("done")


# -- pictures -------------------------------------------------------------------------------------------------------


def _stacks(folder: Path) -> dict[str, Stack]:
    """One stack a codec, the longest there is."""
    from medviewer.formats.scan import scan

    names = {syntax: codec for codec, syntax in SYNTAXES.items()}
    parts = [folder / codec for codec in SYNTAXES if (folder / codec).is_dir()]  # perhaps of equal identifiers
    found: dict[str, Stack] = {}
    for part in parts or [folder]:
        for stack in scan([part]).stacks():
            layout = stack.layout
            codec = names.get(layout.transfer_syntax, "") if layout is not None and layout.samples == 1 else ""
            if codec and (codec not in found or len(stack.frames) > len(found[codec].frames)):
                found[codec] = stack
    return {codec: found[codec] for codec in SYNTAXES if codec in found}


def _make(folder: Path) -> None:
    """A CT-like series of 512 x 512, 12 of 16 bits with noise, in each codec that can be written here."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    series = {codec: generate_uid() for codec in _MADE}
    study = generate_uid()
    for k in range(FRAMES):
        picture = _picture(k)
        for codec, encoder in _MADE.items():
            meta = FileMetaDataset()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.MediaStorageSOPClassUID = CTImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            data.StudyInstanceUID, data.SeriesInstanceUID = study, series[codec]
            data.PatientName, data.PatientID, data.Modality = "Bench^Codecs", "BENCH", "CT"
            data.InstanceNumber, data.ImagePositionPatient = k + 1, [0, 0, float(k)]
            data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
            data.Rows, data.Columns = picture.shape
            data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
            data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
            data.RescaleSlope, data.RescaleIntercept = 1, -1024
            data.PixelData = picture.tobytes()
            data["PixelData"].VR = "OW"
            if codec == "jpegll":
                data.PixelData = encapsulate([_jpeg_lossless(picture)])
                data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
                meta.TransferSyntaxUID = SYNTAXES[codec]
            else:
                data.compress(SYNTAXES[codec], encoding_plugin=encoder, generate_instance_uid=False)
            path = folder / codec / f"{k:04d}.dcm"
            path.parent.mkdir(exist_ok=True)
            data.save_as(path, enforce_file_format=True)


def _picture(k: int) -> NDArray[np.uint16]:
    """A body in air with organs, a table and the noise of a scanner."""
    row_, column = np.mgrid[0:512, 0:512].astype(np.float64)
    hu = np.full((512, 512), -1000.0)
    for value, y, x, high, wide in (
        (40, 256, 256, 170, 220), (-850, 250, 170, 110, 75), (-850, 250, 345, 110, 75),
        (60, 280 + k % 7, 250, 60, 65), (700, 390, 256, 28, 34), (120, 330, 330, 12 + k % 5, 12),
    ):  # fmt: skip
        hu[((row_ - y) / high) ** 2 + ((column - x) / wide) ** 2 < 1] = value
    hu[450:458, 90:420] = 100
    hu += np.random.default_rng(k).normal(0, 12, hu.shape) * (hu > -1000)
    stored: NDArray[np.uint16] = np.clip(np.rint(hu) + 1024, 0, 4095).astype("<u2")
    return stored


def _jpeg_lossless(picture: NDArray[np.uint16]) -> bytes:
    """A 12-bit picture as JPEG Lossless, selection value 1 (ITU-T T.81 annex H), with the customary table of codes.

    No package that can be relied on writes it.
    """
    rows, columns = picture.shape
    values = picture.astype(np.int64)
    expected = np.empty_like(values)
    expected[:, 1:] = values[:, :-1]
    expected[1:, 0] = values[:-1, 0]
    expected[0, 0] = 2048
    difference = (values - expected).reshape(-1)
    category = np.frexp(np.abs(difference).astype(np.float64))[1].astype(np.int64)  # bits of its magnitude
    lengths = np.array([2, 3, 3, 3, 3, 3, *range(4, 12)])  # of the codes of category 0, 1, ...
    codes = np.array([0, 2, 3, 4, 5, 6, *((1 << n) - 2 for n in range(4, 12))])
    extra = np.where(difference < 0, difference + (1 << category) - 1, difference)
    words, widths = codes[category] << category | extra, lengths[category] + category
    starts = np.cumsum(widths) - widths
    place = np.arange(int(widths.sum())) - np.repeat(starts, widths)
    bits = (np.repeat(words, widths) >> (np.repeat(widths, widths) - 1 - place)) & 1
    scan = np.packbits(np.append(bits, np.ones(-bits.size % 8, np.int64)).astype(np.uint8)).tobytes()
    counts = bytes([0, 1, 5, *[1] * 8, 0, 0, 0, 0, 0])
    frame = struct.pack(">BHHBBBB", 12, rows, columns, 1, 1, 0x11, 0)
    head = b"\xff\xd8" + _segment(0xC3, frame) + _segment(0xC4, b"\0" + counts + bytes(range(14)))
    return head + _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + scan.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

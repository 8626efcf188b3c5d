"""NIfTI-1 and NIfTI-2, read and written; its RAS is turned into LPS here and nowhere else.

Voxels are never reordered: i, j, k of the file are i, j, k of the array `[k, j, i]`. The method with the higher
right wins: sform over qform; where both codes are 0 the voxel sizes are known and the orientation is not
(https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h).
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from medviewer.formats import source
from medviewer.formats.atomic import write_whole
from medviewer.formats.catalog import FrameRef, PixelLayout, Quality, Stack, StackKind, StackText
from medviewer.formats.dicom.pixels.colour import luminance
from medviewer.formats.source import SourceFault
from medviewer.volume.grid import Grid
from medviewer.volume.window import Window

AnyArray = NDArray[np.generic]

_TYPES: dict[int, str] = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_COLOURS: dict[int, int] = {128: 3, 2304: 4}
_CODES = {np.dtype(name): code for code, name in _TYPES.items()}
#: Millimetres of a spatial unit (xyzt_units & 7).
_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
#: Seconds of a unit of time (xyzt_units & 56); hertz and ppm are no time.
_SECONDS = {0: 1.0, 8: 1.0, 16: 0.001, 24: 1e-6, 32: 0.0, 40: 0.0, 48: 0.0}
#: gzip cannot pack tighter than this.
_MAX_GZIP_RATIO = 1100
_MAX_BYTES = 64 << 30

#: RAS millimetres to LPS millimetres and back.
_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True)
class NiftiHeader:
    """What a header says, checked.

    Attributes:
        size_kji, times: voxels along k, j, i; volumes in time.
        dtype: of one sample with its byte order.
        samples: 1, or 3 and 4 for colour.
        offset: byte offset of the voxels.
        slope, intercept: value = slope * stored + intercept.
        affine_lps: 4x4, index (i, j, k) to LPS millimetres; None where the orientation is unknown.
        why_unoriented: why it is unknown, "" where it is known.
        spacing_kji: voxel sizes in mm.
        step_s: seconds between volumes in time, 0 where unknown.
        window: from cal_min and cal_max, or None.
    """

    size_kji: tuple[int, int, int]
    times: int
    dtype: np.dtype[np.generic]
    samples: int
    offset: int
    slope: float
    intercept: float
    affine_lps: NDArray[np.float64] | None
    why_unoriented: str
    spacing_kji: tuple[float, float, float]
    step_s: float
    window: Window | None
    raw: bytes


def parse_header(data: bytes) -> NiftiHeader:
    """Read the first 540 bytes of an unpacked file.

    Raises:
        SourceFault: it is no NIfTI, or one that is no picture.
    """
    if len(data) < 348:
        raise SourceFault("truncated", "truncated: the NIfTI header is cut")
    order: Literal["<", ">"]
    for order in ("<", ">"):
        length = struct.unpack_from(f"{order}i", data)[0]
        if length in (348, 540):
            break
    else:
        raise SourceFault("bad-header", "not a NIfTI header")
    is_first = length == 348
    if not is_first and len(data) < 540:
        raise SourceFault("truncated", "truncated: the NIfTI header is cut")

    def get(form: str, first: int, second: int) -> tuple[float, ...]:
        return struct.unpack_from(order + form, data, first if is_first else second)

    dim = [int(d) for d in (get("8h", 40, 0) if is_first else struct.unpack_from(f"{order}8q", data, 16))]
    code = int(get("h", 70, 12)[0])
    numbers = get("8f", 76, 0) if is_first else struct.unpack_from(f"{order}8d", data, 104)
    pixdim = [float(n) for n in numbers]
    offset = get("f", 108, 0)[0] if is_first else struct.unpack_from(f"{order}q", data, 168)[0]
    slope, intercept = get("2f", 112, 0) if is_first else struct.unpack_from(f"{order}2d", data, 176)
    cal_max, cal_min = get("2f", 124, 0) if is_first else struct.unpack_from(f"{order}2d", data, 192)
    intent = int(get("h", 68, 0)[0] if is_first else struct.unpack_from(f"{order}i", data, 504)[0])
    units = int(data[123]) if is_first else int(struct.unpack_from(f"{order}i", data, 500)[0])
    qform, sform = (int(n) for n in (get("2h", 252, 0) if is_first else struct.unpack_from(f"{order}2i", data, 344)))
    quaternion = get("6f", 256, 0) if is_first else struct.unpack_from(f"{order}6d", data, 352)
    rows = get("12f", 280, 0) if is_first else struct.unpack_from(f"{order}12d", data, 400)
    if 3000 <= intent < 3100:
        raise SourceFault("unsupported", "a CIFTI matrix, no picture")
    if not 1 <= dim[0] <= 7 or any(d < 1 for d in dim[1 : dim[0] + 1]):
        raise SourceFault("bad-header", f"the NIfTI dimensions are {dim}")
    size = [dim[n] if n <= dim[0] else 1 for n in range(1, 8)]
    if any(d > 1 for d in size[4:]):
        raise SourceFault("unsupported", "a NIfTI file of more than four dimensions")
    if code in _COLOURS:
        dtype, samples = np.dtype("u1"), _COLOURS[code]
    elif code in _TYPES:
        dtype, samples = np.dtype(_TYPES[code]).newbyteorder(order), 1
    else:
        raise SourceFault("unsupported", f"NIfTI data type {code}")
    if not np.isfinite(offset) or offset < 0:
        raise SourceFault("bad-header", "the NIfTI data offset is negative")
    if slope == 0 or not np.isfinite(slope) or not np.isfinite(intercept) or samples > 1:
        slope, intercept = 1.0, 0.0
    millimetres = _UNITS.get(units & 7, 1.0)
    steps = [abs(p) * millimetres if np.isfinite(p) and p != 0 else 1.0 for p in pixdim[1:4]]
    if data[344:348] not in (b"n+1\0", b"ni1\0") and data[4:8] not in (b"n+2\0", b"ni2\0"):
        qform = sform = 0  # Analyze 7.5: other things stand there
    affine = _affine(pixdim, qform, sform, quaternion, rows, millimetres)
    why = "" if affine is not None else "both of its codes are 0"
    if affine is None and (qform > 0 or sform > 0):
        why = f"its {'sform' if sform > 0 else 'qform'} holds numbers that span no space"
    step = pixdim[4] * _SECONDS.get(units & 56, 1.0)
    if affine is not None:
        steps = [float(n) for n in np.linalg.norm(affine[:3, :3], axis=0)]
    window = None
    if np.isfinite(cal_max) and np.isfinite(cal_min) and cal_max > cal_min:
        window = Window(float(cal_max - cal_min), float(cal_max + cal_min) / 2)
    return NiftiHeader(
        size_kji=(size[2], size[1], size[0]),
        times=size[3],
        dtype=dtype,
        samples=samples,
        offset=int(offset) if data[344:348] != b"ni1\0" else 0,
        slope=float(slope),
        intercept=float(intercept),
        affine_lps=affine,
        why_unoriented=why,
        spacing_kji=(steps[2], steps[1], steps[0]),
        step_s=float(step) if np.isfinite(step) and 0 < step < 1e6 else 0.0,
        window=window,
        raw=data[:length],
    )


def _affine(
    pixdim: list[float],
    qform: int,
    sform: int,
    quaternion: tuple[float, ...],
    rows: tuple[float, ...],
    millimetres: float,
) -> NDArray[np.float64] | None:
    """Index (i, j, k) to LPS mm; None where neither method is set or the numbers span no space."""
    affine = np.eye(4)
    if sform > 0:
        affine[:3] = np.asarray(rows, dtype=np.float64).reshape(3, 4)
    elif qform > 0:
        b, c, d, *shift = (float(n) for n in quaternion)
        a = float(np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d))))
        norm = float(np.sqrt(a * a + b * b + c * c + d * d))
        if not norm:
            return None
        a, b, c, d = a / norm, b / norm, c / norm, d / norm
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        factor = -1.0 if pixdim[0] < 0 else 1.0
        affine[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], pixdim[3] * factor])
        affine[:3, 3] = shift
    else:
        return None
    affine[:3] *= millimetres
    if not np.all(np.isfinite(affine)):
        return None
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() <= 1e-6 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        return None
    return _TURN @ affine


def _open(path: Path) -> BinaryIO:
    file = source.open_binary(path)
    if source.read_start(path, 2) == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    return file


def _voxel_file(path: Path, header: NiftiHeader) -> Path:
    """The file itself, or the .img (.img.gz) beside a .hdr."""
    if header.raw[344:348] == b"n+1\0" or header.raw[4:8] == b"n+2\0":
        return path
    stem = path.name[: path.name.lower().rindex(".hdr")] if ".hdr" in path.name.lower() else path.stem
    beside = [path.parent / f"{stem}{end}" for end in (".img", ".IMG", ".img.gz")]
    return next((file for file in beside if _is_there(file)), beside[0])


def _is_there(path: Path) -> bool:
    try:
        return source.size_of(path) > 0
    except (SourceFault, OSError):
        return False


def _needed(header: NiftiHeader) -> int:
    k, j, i = header.size_kji
    return k * j * i * header.times * header.samples * header.dtype.itemsize


def read_header(path: Path) -> NiftiHeader:
    """The header of a file, checked against the file's size.

    Raises:
        SourceFault: damaged, cut, or no picture. OSError: it cannot be read.
    """
    try:
        with _open(path) as file:
            header = parse_header(file.read(540))
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise SourceFault("truncated", f"truncated or damaged gzip ({fault})") from fault
    voxel_file = _voxel_file(path, header)
    size = source.size_of(voxel_file)
    packed = voxel_file.name.lower().endswith(".gz")
    most = size * _MAX_GZIP_RATIO if packed else size
    needed = _needed(header) + header.offset
    if needed > _MAX_BYTES:
        raise SourceFault("too-large", f"the NIfTI header declares {needed >> 30} GB")
    if needed > most:
        share = 100 * (size - header.offset) / max(1, _needed(header))
        raise SourceFault("truncated", f"truncated: {max(0.0, share):.0f} % of the voxels are there")
    return header


def grid_of(header: NiftiHeader) -> Grid:
    """Where the voxels lie; where the orientation is unknown their sizes only (`oriented` is False)."""
    affine = header.affine_lps
    if affine is None:
        return replace(Grid.plain(header.size_kji, header.spacing_kji), oriented=False)
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    direction = tuple(float(v) for v in axes.T.ravel())
    origin = (float(affine[0, 3]), float(affine[1, 3]), float(affine[2, 3]))
    return Grid(header.size_kji, header.spacing_kji, direction, origin)


def read_stack(path: Path) -> Stack:
    """The one stack of a file.

    Raises:
        SourceFault, OSError: as `read_header`.
    """
    header = read_header(path)
    grid = grid_of(header)
    quality: tuple[Quality, ...] = ()
    if not grid.oriented:
        detail = f"the file gives no orientation ({header.why_unoriented}): no letters, sizes from its voxel sizes"
        quality = (Quality("no-position", detail, "orientation unknown"),)
    count = header.size_kji[0]
    layout = None
    if header.samples > 1:
        layout = PixelLayout(
            header.size_kji[1], header.size_kji[2], 3, 8, 8, 7, False, "RGB", 0, count * header.times, ""
        )
    frames = tuple(
        FrameRef(path, n, _first_voxel(grid, n % count) if grid.oriented else None, layout=layout,
                 slope=header.slope, intercept=header.intercept)
        for n in range(count * header.times)
    )  # fmt: skip
    several = StackKind.FOUR_D if header.times > 1 else StackKind.VOLUME
    identity = hashlib.sha1(path.name.encode() + header.raw, usedforsecurity=False).hexdigest()[:12]
    return Stack(
        id=identity,
        kind=StackKind.SINGLE if count == 1 and header.times == 1 else several,
        frames=frames,
        size_kji=header.size_kji,
        times=header.times,
        grid=grid,
        spacing_kji=header.spacing_kji,
        dtype=header.dtype.newbyteorder("=").name,
        modality="",
        windows=() if header.window is None else (header.window,),
        quality=quality,
        text=StackText(series_description=path.name),
        time_labels=_time_labels(header),
        source="nifti",
        origin_lps=grid.origin_lps if grid.oriented else None,
        direction=grid.direction if grid.oriented else None,
    )


def _time_labels(header: NiftiHeader) -> tuple[str, ...]:
    """Seconds since the first where the file says how far apart they are, else numbers."""
    if header.times == 1:
        return ()
    if header.step_s > 0:
        return tuple(f"{n * header.step_s:g} s" for n in range(header.times))
    return tuple(f"time {n + 1}" for n in range(header.times))


def _first_voxel(grid: Grid, k: int) -> tuple[float, float, float]:
    x, y, z = grid.index_to_lps((k, 0, 0))
    return float(x), float(y), float(z)


def read_samples(path: Path, time: int = 0) -> AnyArray:
    """Stored values of one time, `[k, j, i]`, or `[k, j, i, 3 or 4]` for colour, in this machine's byte order.

    Raises:
        SourceFault: cut or damaged. OSError: it cannot be read.
    """
    header = read_header(path)
    one = _needed(header) // header.times
    try:
        with _open(_voxel_file(path, header)) as file:
            file.seek(header.offset + time * one)
            data = file.read(one)
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise SourceFault("truncated", f"truncated or damaged gzip ({fault})") from fault
    if len(data) < one:
        raise SourceFault("truncated", f"truncated: {100 * len(data) / one:.0f} % of the voxels are there")
    values = np.frombuffer(data, header.dtype)
    shape = header.size_kji if header.samples == 1 else (*header.size_kji, header.samples)
    return values.astype(header.dtype.newbyteorder("="), copy=False).reshape(shape)


def read_voxels(path: Path, time: int = 0) -> AnyArray:
    """Stored values of one time as `[k, j, i]`; colour as luminance. Raises as `read_samples`."""
    samples = read_samples(path, time)
    return luminance(samples[..., :3]) if samples.ndim == 4 else samples


def write(path: Path, voxels: AnyArray, grid: Grid, *, slope: float = 1.0, intercept: float = 0.0) -> None:
    """Write `[k, j, i]` or `[t, k, j, i]` as NIfTI-1; gzip where the name ends in .gz. It is there whole or not at all.

    Args:
        path: .nii or .nii.gz.
        voxels: any type NIfTI knows; bool becomes uint8.
        grid: where they lie (LPS); written as sform, and as qform where the axes are perpendicular.
        slope, intercept: value = slope * stored + intercept.

    Raises:
        SaveFailed: it cannot be written. ValueError: NIfTI has no such type.
    """
    array = np.ascontiguousarray(voxels, dtype=np.uint8 if voxels.dtype == np.bool_ else voxels.dtype)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise ValueError(f"NIfTI has no type for {voxels.dtype}")
    k, j, i = grid.size_kji
    sk, sj, si = grid.spacing_kji
    affine = np.eye(4)
    steps = grid.step_matrix
    affine[:3, :3] = steps[:, ::-1]
    affine[:3, 3] = grid.origin_lps
    affine = _TURN @ affine
    quaternion, factor = _quaternion(affine[:3, :3] / np.array([si, sj, sk]))
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    times = array.shape[0] if array.ndim == 4 else 1
    if array.shape[-3:] != grid.size_kji:
        raise ValueError(f"voxels {array.shape} do not fit the grid {grid.size_kji}")
    struct.pack_into("<8h", header, 40, 4 if times > 1 else 3, i, j, k, times, 1, 1, 1)
    struct.pack_into("<2h", header, 70, code, array.dtype.itemsize * 8)
    struct.pack_into("<8f", header, 76, factor, si, sj, sk, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, slope, intercept)
    header[123] = 2  # millimetres
    header[148 : 148 + 9] = b"medviewer"
    if grid.oriented:  # else both codes stay 0: only the sizes are known
        struct.pack_into("<2h", header, 252, 1 if quaternion else 0, 1)
    struct.pack_into("<6f", header, 256, *(quaternion or (0, 0, 0)), *affine[:3, 3])
    struct.pack_into("<12f", header, 280, *affine[:3].ravel())
    header[344:348] = b"n+1\0"
    payload = bytes(header) + array.tobytes()
    if path.name.lower().endswith(".gz"):
        payload = gzip.compress(payload, compresslevel=5, mtime=0)
    write_whole(path, payload)


def _quaternion(rotation: NDArray[np.float64]) -> tuple[tuple[float, float, float] | None, float]:
    """b, c, d and qfac of direction cosines (columns i, j, k); None where they are not perpendicular."""
    factor = 1.0
    if np.linalg.det(rotation) < 0:
        rotation = rotation * np.array([1.0, 1.0, -1.0])
        factor = -1.0
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-4:
        return None, factor
    r = rotation
    trace = float(np.trace(r))
    if trace > 0:
        a = 0.5 * np.sqrt(1 + trace)
        b, c, d = (r[2, 1] - r[1, 2]) / (4 * a), (r[0, 2] - r[2, 0]) / (4 * a), (r[1, 0] - r[0, 1]) / (4 * a)
    else:
        big = int(np.argmax(np.diag(r)))
        one, two = (big + 1) % 3, (big + 2) % 3
        main = 0.5 * np.sqrt(max(0.0, 1 + r[big, big] - r[one, one] - r[two, two]))
        part = [0.0, 0.0, 0.0]
        part[big] = main
        part[one] = (r[one, big] + r[big, one]) / (4 * main)
        part[two] = (r[two, big] + r[big, two]) / (4 * main)
        a = (r[two, one] - r[one, two]) / (4 * main)
        b, c, d = part
        if a < 0:
            b, c, d = -b, -c, -d
    return (float(b), float(c), float(d)), factor

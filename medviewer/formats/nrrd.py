"""NRRD, read and written (http://teem.sourceforge.net/nrrd/format.html): 2-D to 4-D, scalars and colours.

Data in another file are read only from the header's own folder.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.formats import source
from medviewer.formats.atomic import write_whole
from medviewer.formats.catalog import FrameRef, PixelLayout, Quality, Stack, StackKind, StackText
from medviewer.formats.dicom.pixels.colour import luminance
from medviewer.formats.source import SourceFault
from medviewer.volume.grid import Grid

AnyArray = NDArray[np.generic]

_TYPES: dict[str, str] = {
    "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsigned char": "u1", "uint8": "u1",
    "uint8_t": "u1", "short": "i2", "short int": "i2", "signed short": "i2", "signed short int": "i2", "int16": "i2",
    "int16_t": "i2", "ushort": "u2", "unsigned short": "u2", "unsigned short int": "u2", "uint16": "u2",
    "uint16_t": "u2", "int": "i4", "signed int": "i4", "int32": "i4", "int32_t": "i4", "uint": "u4",
    "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4", "longlong": "i8", "long long": "i8", "int64": "i8",
    "int64_t": "i8", "ulonglong": "u8", "unsigned long long": "u8", "uint64": "u8", "uint64_t": "u8", "float": "f4",
    "double": "f8",
}  # fmt: skip
#: Signs that turn a space into LPS.
_SPACES: dict[str, tuple[float, float, float]] = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
_MAX_BYTES = 64 << 30
_MAX_RATIO = 1100
_NAMES = {np.dtype(code): name for name, code in reversed(_TYPES.items()) if name in (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float", "double")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NrrdHeader:
    """What a header says, checked.

    Attributes:
        shape: C order, slowest axis first.
        dtype: of one sample with its byte order.
        encoding: "raw", "gzip", "bzip2", "ascii" or "hex".
        data_path, offset: where the data begin; `skip` bytes (of the unpacked data) are left out.
        space_axes: axes of `shape` that lie in space, slowest first.
        grid: where the voxels lie; not `oriented` where the file says sizes only; None where it says nothing.
        spacing_kji: mm, None where unknown.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    encoding: str
    data_path: Path
    offset: int
    skip: int
    space_axes: tuple[int, ...]
    grid: Grid | None
    spacing_kji: tuple[float, float, float] | None
    raw: bytes


def _vector(text: str) -> tuple[float, ...] | None:
    text = text.strip()
    if text.lower() == "none":
        return None
    try:
        numbers = tuple(float(part) for part in text.strip("()").split(","))
    except ValueError as fault:
        raise SourceFault("bad-header", f"an NRRD vector is {text[:40]!r}") from fault
    return numbers if all(np.isfinite(n) for n in numbers) else None


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        if line.startswith("#") or ":=" in line:
            continue
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.strip()
    return fields


def read_header(path: Path) -> NrrdHeader:
    """The header of a file.

    Raises:
        SourceFault: damaged, cut or of a kind that is not read. OSError: it cannot be read.
    """
    start = source.read_start(path, 1 << 20)
    ends = [at for at in (start.find(b"\n\n"), start.find(b"\r\n\r\n")) if at >= 0]
    end = min(ends) if ends else len(start)
    raw = start[:end]
    body = end + (4 if start[end : end + 4] == b"\r\n\r\n" else 2)
    fields = _fields(raw.decode("utf-8", "replace"))
    try:
        dtype = np.dtype(_TYPES[fields.get("type", "").lower()])
        sizes = [int(n) for n in fields["sizes"].split()]
        dimension = int(fields["dimension"])
        skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    except (KeyError, ValueError) as fault:
        raise SourceFault("bad-header", f"the NRRD header lacks or garbles a field ({fault})") from fault
    if dimension != len(sizes) or not 2 <= dimension <= 4 or min(sizes) < 1:
        raise SourceFault("unsupported", f"an NRRD of sizes {sizes}")
    said = fields.get("encoding", "raw").lower()
    encoding = {"gz": "gzip", "bz2": "bzip2", "txt": "ascii", "text": "ascii"}.get(said, said)
    if encoding not in ("raw", "gzip", "bzip2", "ascii", "hex"):
        raise SourceFault("unsupported", f"NRRD encoding {encoding[:20]!r}")
    if int(fields.get("line skip", fields.get("lineskip", "0")) or 0):
        raise SourceFault("unsupported", "an NRRD with lines to skip")
    data_path = path
    detached = fields.get("data file", fields.get("datafile", ""))
    if detached:
        if detached.upper().startswith("LIST") or "%" in detached:
            raise SourceFault("unsupported", "an NRRD whose data are spread over several files")
        detached = detached.removeprefix("./")
        if "/" in detached or "\\" in detached:
            raise SourceFault("outside-folder", f"the NRRD's data lie elsewhere: {detached[:80]}")
        data_path, body = path.parent / detached, 0
    if dtype.itemsize > 1 and encoding != "ascii":
        order = fields.get("endian", "little").lower()
        if order not in ("little", "big"):
            raise SourceFault("bad-header", "the NRRD's byte order is unknown")
        dtype = dtype.newbyteorder("<" if order == "little" else ">")
    shape = tuple(reversed(sizes))
    axes, spacing, grid = _space(fields, shape)
    header = NrrdHeader(shape, dtype, encoding, data_path, body, skip, axes, grid, spacing, raw)
    needed = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    there = source.size_of(data_path) - body
    packing = {"raw": 1.0, "hex": 0.5, "ascii": dtype.itemsize / 2}
    most = int(there * packing.get(encoding, _MAX_RATIO)) + 1 - (encoding == "raw")
    if needed > _MAX_BYTES:
        raise SourceFault("too-large", f"the NRRD header declares {needed >> 30} GB")
    if needed > most:
        raise SourceFault("truncated", f"truncated: {100 * there / needed:.0f} % of the voxels are there")
    return header


def _space(
    fields: dict[str, str], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[float, float, float] | None, Grid | None]:
    """Spatial axes (slowest first), spacing and Grid."""
    dimension = len(shape)
    space = fields.get("space", "").lower()
    directions = [_vector(part) for part in re.findall(r"none|\([^)]*\)", fields.get("space directions", "").lower())]
    kinds = fields.get("kinds", "").lower().split()
    if len(directions) == dimension:
        fast = [n for n, vector in enumerate(directions) if vector is not None and len(vector) == 3]
    elif len(kinds) == dimension:
        fast = [n for n, kind in enumerate(kinds) if kind in ("domain", "space")]
    else:
        fast = list(range(min(3, dimension)))
    if not 2 <= len(fast) <= 3 or dimension - len(fast) > 1:
        raise SourceFault("unsupported", "an NRRD whose axes are not two or three in space and one beside")
    axes = tuple(dimension - 1 - n for n in reversed(fast))
    unit = _unit(fields)
    origin = _vector(fields["space origin"]) if "space origin" in fields else (0.0, 0.0, 0.0)
    signs = _SPACES.get(space.removesuffix("-time").removesuffix("t") if space not in _SPACES else space)
    vectors = [directions[n] for n in fast] if len(directions) == dimension else []
    size = tuple(shape[a] for a in axes)
    if len(vectors) == 3 and all(v is not None and len(v) == 3 for v in vectors):
        steps = np.array(vectors, dtype=np.float64) * np.array(signs or (1, 1, 1)) * unit
        lengths = np.linalg.norm(steps, axis=1)
        if lengths.min() > 1e-6:
            spacing = (float(lengths[2]), float(lengths[1]), float(lengths[0]))
            spans = abs(np.linalg.det(steps / lengths[:, None])) > 1e-3
            if signs is None or origin is None or len(origin) != 3 or not spans:
                return axes, spacing, _unoriented(size, spacing)
            at = np.asarray(origin) * np.array(signs) * unit
            direction = tuple(float(v) for v in (steps / lengths[:, None]).ravel())
            grid = Grid((size[0], size[1], size[2]), spacing, direction, (float(at[0]), float(at[1]), float(at[2])))
            return axes, spacing, grid
    try:
        plain = [abs(float(s)) for s in fields.get("spacings", "").split()]
    except ValueError:
        plain = []
    if len(plain) == dimension:
        chosen = [plain[n] for n in fast]
        chosen += [1.0] * (3 - len(chosen))
        if all(np.isfinite(s) and s > 0 for s in chosen):
            spacing = (chosen[2], chosen[1], chosen[0])
            return axes, spacing, _unoriented(size, spacing)
    return axes, None, None


def _unoriented(size: tuple[int, ...], spacing: tuple[float, float, float]) -> Grid | None:
    """Sizes without an orientation; None for a single picture."""
    if len(size) != 3:
        return None
    return replace(Grid.plain((size[0], size[1], size[2]), spacing), oriented=False)


def _unit(fields: dict[str, str]) -> float:
    """Millimetres of the unit of space; the usual one is mm."""
    units = [part.strip().lower() for part in fields.get("space units", "").replace('" "', '"|"').split("|")]
    first = units[0].strip('"') if units else ""
    return {"m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "nm": 1e-6}.get(first, 1.0)


def _arranged(array: AnyArray, header: NrrdHeader) -> AnyArray:
    """[t, k, j, i] or, for colour, [1, k, j, i, samples]."""
    other = [n for n in range(array.ndim) if n not in header.space_axes]
    if other and _is_colour(header):
        array = np.moveaxis(array, other[0], -1)[None]
        return array if array.ndim == 5 else array[:, None]
    array = np.moveaxis(array, other[0], 0) if other else array[None]
    return array if array.ndim == 4 else array[:, None]


def _is_colour(header: NrrdHeader) -> bool:
    other = [n for n in range(len(header.shape)) if n not in header.space_axes]
    return bool(other) and other[0] == len(header.shape) - 1 and header.shape[other[0]] in (3, 4) and (
        header.dtype == np.uint8
    )  # fmt: skip


def _sizes(header: NrrdHeader) -> tuple[tuple[int, int, int], int]:
    spatial = [header.shape[a] for a in header.space_axes]
    spatial = [1] * (3 - len(spatial)) + spatial
    times = 1
    if not _is_colour(header):
        times = int(np.prod(header.shape, dtype=np.int64)) // int(np.prod(spatial, dtype=np.int64))
    return (spatial[0], spatial[1], spatial[2]), times


def read_stack(path: Path) -> Stack:
    """The one stack of a file. Raises as `read_header`."""
    header = read_header(path)
    size, times = _sizes(header)
    grid = header.grid
    quality: tuple[Quality, ...] = ()
    if grid is None or not grid.oriented:
        detail = "the file does not say in which space its axes lie: no letters"
        quality = (Quality("no-position", detail, "orientation unknown"),)
    if header.spacing_kji is None:
        quality += (Quality("no-spacing", "the file gives no sizes of its voxels"),)
    count = size[0]
    layout = None
    if _is_colour(header):
        layout = PixelLayout(size[1], size[2], 3, 8, 8, 7, False, "RGB", 0, count, "")
    frames = tuple(FrameRef(path, n, layout=layout) for n in range(count * times))
    several = StackKind.FOUR_D if times > 1 else StackKind.VOLUME
    return Stack(
        id=hashlib.sha1(path.name.encode() + header.raw, usedforsecurity=False).hexdigest()[:12],
        kind=StackKind.SINGLE if count == 1 and times == 1 else several,
        frames=frames,
        size_kji=size,
        times=times,
        grid=grid,
        spacing_kji=header.spacing_kji,
        dtype=header.dtype.newbyteorder("=").name,
        modality="",
        quality=quality,
        text=StackText(series_description=path.name),
        time_labels=tuple(f"time {n + 1}" for n in range(times)) if times > 1 else (),
        source="nrrd",
        origin_lps=grid.origin_lps if grid is not None and grid.oriented else None,
        direction=grid.direction if grid is not None and grid.oriented else None,
    )


def read_samples(path: Path, time: int = 0) -> AnyArray:
    """Stored values of one time, `[k, j, i]` or `[k, j, i, 3 or 4]` for colour, in this machine's byte order.

    Raises:
        SourceFault: cut or damaged. OSError: it cannot be read.
    """
    header = read_header(path)
    count = int(np.prod(header.shape, dtype=np.int64))
    needed = count * header.dtype.itemsize
    with source.open_binary(header.data_path) as file:
        file.seek(header.offset)
        try:
            if header.encoding == "gzip":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    data = unpacked.read(needed + max(0, header.skip))
            elif header.encoding == "bzip2":
                data = bz2.BZ2Decompressor().decompress(file.read(), needed + max(0, header.skip))
            elif header.encoding == "hex":
                data = bytes.fromhex(b"".join(file.read(8 * needed + 65536).split()).decode("ascii", "replace"))
            elif header.encoding == "ascii":
                values = np.array(file.read().split()[:count], dtype=np.float64).astype(header.dtype)
                data = values.tobytes()
            else:
                if header.skip < 0:
                    file.seek(-needed, 2)
                data = file.read(needed + max(0, header.skip))
        except (EOFError, zlib.error, gzip.BadGzipFile, ValueError, OSError) as fault:
            raise SourceFault("truncated", f"truncated or damaged data ({fault})") from fault
    data = data[max(0, header.skip) :]
    if len(data) < needed:
        raise SourceFault("truncated", f"truncated: {100 * len(data) / needed:.0f} % of the voxels are there")
    array = np.frombuffer(data, header.dtype, count).reshape(header.shape)
    array = array.astype(header.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(_arranged(array, header)[time])


def read_voxels(path: Path, time: int = 0) -> AnyArray:
    """Stored values of one time as `[k, j, i]`; colour as luminance. Raises as `read_samples`."""
    samples = read_samples(path, time)
    return luminance(samples[..., :3]) if samples.ndim == 4 else samples


def write(path: Path, voxels: AnyArray, grid: Grid) -> None:
    """Write `[k, j, i]` as NRRD in LPS, gzip. Written beside and renamed, never half.

    Raises:
        SaveFailed: it cannot be written. ValueError: NRRD has no such type.
    """
    array = np.ascontiguousarray(voxels, dtype=np.uint8 if voxels.dtype == np.bool_ else voxels.dtype)
    name = _NAMES.get(array.dtype.newbyteorder("="))
    if name is None:
        raise ValueError(f"NRRD has no type for {voxels.dtype}")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    k, j, i = grid.size_kji
    steps = grid.step_matrix
    vectors = " ".join("({:.17g},{:.17g},{:.17g})".format(*steps[:, n]) for n in (2, 1, 0))
    space = [
        "space: left-posterior-superior", f"sizes: {i} {j} {k}", f"space directions: {vectors}",
        "space origin: ({:.17g},{:.17g},{:.17g})".format(*grid.origin_lps),
    ]  # fmt: skip
    if not grid.oriented:
        sk, sj, si = grid.spacing_kji
        space = [f"sizes: {i} {j} {k}", f"spacings: {si:.17g} {sj:.17g} {sk:.17g}"]
    lines = [
        "NRRD0004", f"type: {name}", "dimension: 3", *space, "kinds: domain domain domain", "endian: little",
        "encoding: gzip", "", "",
    ]  # fmt: skip
    write_whole(path, "\n".join(lines).encode() + gzip.compress(array.tobytes(), compresslevel=5, mtime=0))

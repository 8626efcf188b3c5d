"""Siemens mosaics: all slices of one moment as tiles of one picture, with the geometry of the whole picture.

The number of tiles and the direction in which they ascend stand in the maker's private header (CSA); the
position of the header belongs to a slice as large as the mosaic about the same centre.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.headers.planes import FramePlane, orthonormal


@dataclass(frozen=True, slots=True)
class Mosaic:
    """How a picture is tiled.

    Attributes:
        tiles: number of slices, 0 where unknown.
        normal: direction in which the slices ascend (LPS), None where unknown.
        step: mm between slices, None where unknown.
    """

    tiles: int
    normal: tuple[float, float, float] | None
    step: float | None


def read_mosaic(data: Elements, image_type: Sequence[str], layout: PixelLayout) -> Mosaic | None:
    """The mosaic of a file, None where it is none."""
    if "MOSAIC" not in (part.upper() for part in image_type) or layout.samples != 1 or layout.frames != 1:
        return None
    fields = csa_fields(data.bytes(T.SIEMENS_CSA_IMAGE))
    tiles = data.integer(T.SIEMENS_MOSAIC_IMAGES) or 0
    if not tiles:
        numbers = _numbers(fields.get("NumberOfImagesInMosaic", ()))
        tiles = int(numbers[0]) if numbers else 0
    if not tiles:  # the protocol that is written into the series header
        found = re.search(rb"sSliceArray\.lSize\s*=\s*(0x[0-9a-fA-F]+|\d+)", data.bytes(T.SIEMENS_CSA_SERIES))
        tiles = int(found[1], 0) if found else 0
    normal = _numbers(fields.get("SliceNormalVector", ()))
    step = data.number(T.SPACING_BETWEEN) or data.number(T.SLICE_THICKNESS)
    known = len(normal) == 3 and 0.9 < math.dist(normal, (0, 0, 0)) < 1.1
    return Mosaic(max(0, tiles), (normal[0], normal[1], normal[2]) if known else None, step)


def _numbers(texts: Sequence[str]) -> list[float]:
    numbers = []
    for text in texts:
        try:
            numbers.append(float(text))
        except ValueError:
            continue
    return [n for n in numbers if math.isfinite(n)]


def csa_fields(data: bytes) -> dict[str, tuple[str, ...]]:
    """Names and values of a CSA header of version 2 ("SV10") or 1; what cannot be read is left out."""
    fields: dict[str, tuple[str, ...]] = {}
    pos = 8 if data[:4] == b"SV10" else 0
    try:
        count = struct.unpack_from("<I", data, pos)[0]
        pos += 8
        for _ in range(min(count, 1000)):
            name = data[pos : pos + 64].split(b"\0")[0].decode("latin-1")
            items = struct.unpack_from("<I", data, pos + 76)[0]
            pos += 84
            values = []
            for _ in range(min(items, 10_000)):
                length = struct.unpack_from("<4I", data, pos)[1]
                pos += 16
                if pos + length > len(data):
                    return fields
                text = data[pos : pos + length].split(b"\0")[0].decode("latin-1").strip()
                if text:
                    values.append(text)
                pos += (length + 3) // 4 * 4
            fields[name] = tuple(values)
    except struct.error:
        pass
    return fields


def tile_planes(
    mosaic: Mosaic, plane: FramePlane, layout: PixelLayout
) -> list[tuple[tuple[int, int, int, int], FramePlane]]:
    """First row, first column, rows and columns of each tile, with its plane; empty where too little is known."""
    frame = orthonormal(plane.orientation) if plane.orientation else None
    side = math.ceil(math.sqrt(mosaic.tiles))
    known = frame and plane.position and plane.spacing and mosaic.step and mosaic.tiles > 1
    if not known or frame is None or plane.spacing is None or layout.rows % side or layout.columns % side:
        return []
    rows, columns = layout.rows // side, layout.columns // side
    row, column = (np.asarray(axis) for axis in frame)
    normal = np.cross(row, column)
    if mosaic.normal is not None and float(normal @ np.asarray(mosaic.normal)) < 0:
        normal = -normal
    between_rows, between_columns = plane.spacing
    first = (
        np.asarray(plane.position)
        + row * between_columns * (layout.columns - columns) / 2
        + column * between_rows * (layout.rows - rows) / 2
    )
    tiles = []
    for n in range(mosaic.tiles):
        at = first + normal * (mosaic.step or 1.0) * n
        position = (float(at[0]), float(at[1]), float(at[2]))
        tile = (n // side * rows, n % side * columns, rows, columns)
        tiles.append((tile, replace(plane, position=position)))
    return tiles

"""Operations, segments and grids as bytes and JSON: what journal and revisions write.

A record is `u32 length of JSON | JSON | binary parts`, deflated. JSON refers to binary parts by number, their lengths
stand under "parts". Names of fields are short in operations, since they are written thousands of times.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from medviewer.annotation.operations import (
    AcceptProposal,
    AddSegment,
    ChangeSegment,
    DeleteSegment,
    Operation,
    Paint,
    Together,
)
from medviewer.annotation.segmentation import Box, Provenance, Segment
from medviewer.formats.dicom.codes import Code, SegmentMeaning
from medviewer.volume.grid import Grid

_LENGTH = struct.Struct("<I")

#: Deflate quickly: masks are long runs of equal bits, and the window waits.
COMPRESSION = 1


def grid_as_json(grid: Grid) -> dict[str, Any]:
    """A grid in the command line's names: size, spacing, direction, origin."""
    return {
        "size": list(grid.size_kji),
        "spacing": list(grid.spacing_kji),
        "direction": list(grid.direction),
        "origin": list(grid.origin_lps),
    }


def grid_from_json(data: Mapping[str, Any]) -> Grid:
    """The grid of `grid_as_json`; floats come back exactly."""
    k, j, i = (int(n) for n in data["size"])
    a, b, c = (float(n) for n in data["spacing"])
    x, y, z = (float(n) for n in data["origin"])
    return Grid((k, j, i), (a, b, c), tuple(float(n) for n in data["direction"]), (x, y, z))


def _code_as_json(code: Code | None) -> list[str] | None:
    return None if code is None else [code.value, code.scheme, code.meaning]


def _code_from_json(data: list[str] | None) -> Code | None:
    return None if data is None else Code(*data)


def segment_as_json(segment: Segment) -> dict[str, Any]:
    """A segment as plain values."""
    meaning, source = segment.meaning, segment.provenance
    return {
        "number": segment.number,
        "label": segment.label,
        "colour": list(segment.colour),
        "category": _code_as_json(meaning.category),
        "kind": _code_as_json(meaning.kind),
        "modifier": _code_as_json(meaning.modifier),
        "region": _code_as_json(meaning.region),
        "task": source.task,
        "model": source.model,
        "model_version": source.model_version,
        "device": source.device,
        "edited": source.edited,
        "tracking_uid": segment.tracking_uid,
    }


def segment_from_json(data: Mapping[str, Any]) -> Segment:
    """The segment of `segment_as_json`."""
    red, green, blue = (int(n) for n in data["colour"])
    category, kind = _code_from_json(data["category"]), _code_from_json(data["kind"])
    if category is None or kind is None:
        raise ValueError("a segment needs category and kind")
    meaning = SegmentMeaning(category, kind, _code_from_json(data["modifier"]), _code_from_json(data["region"]))
    source = Provenance(data["task"], data["model"], data["model_version"], data["device"], bool(data["edited"]))
    return Segment(
        int(data["number"]), str(data["label"]), (red, green, blue), meaning, source, str(data["tracking_uid"])
    )


def _operation_as_json(operation: Operation, parts: list[bytes]) -> dict[str, Any]:
    def part(data: bytes) -> int:
        parts.append(data)
        return len(parts) - 1

    if isinstance(operation, Paint):
        data: dict[str, Any] = {
            "o": "paint",
            "n": operation.name,
            "a": list(operation.where.start_kji),
            "z": list(operation.where.stop_kji),
            "b": part(operation.bits),
        }
        if isinstance(operation.values, bytes):
            data["w"] = part(operation.values)
        else:
            data["v"] = operation.values
        if operation.only_over is not None:
            data["over"] = list(operation.only_over)
        return data
    if isinstance(operation, AddSegment):
        return {"o": "add", "n": operation.name, "s": segment_as_json(operation.segment)}
    if isinstance(operation, ChangeSegment):
        return {"o": "change", "n": operation.name, "s": segment_as_json(operation.segment)}
    if isinstance(operation, DeleteSegment):
        return {"o": "delete", "n": operation.name, "number": operation.number}
    if isinstance(operation, Together):
        return {"o": "all", "n": operation.name, "l": [_operation_as_json(o, parts) for o in operation.operations]}
    if isinstance(operation, AcceptProposal):
        return {
            "o": "accept",
            "n": operation.name,
            "s": [segment_as_json(s) for s in operation.segments],
            "l": [_operation_as_json(p, parts) for p in operation.paints],
        }
    raise TypeError(f"{type(operation).__name__} has no encoding")


def _box_from_json(start: list[int], stop: list[int]) -> Box:
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _operation_from_json(data: Mapping[str, Any], parts: list[bytes]) -> Operation:
    kind, name = data["o"], str(data["n"])
    if kind == "paint":
        values = parts[data["w"]] if "w" in data else int(data["v"])
        over = tuple(int(n) for n in data["over"]) if "over" in data else None
        return Paint(name, _box_from_json(data["a"], data["z"]), parts[data["b"]], values, over)
    if kind == "add":
        return AddSegment(segment_from_json(data["s"]), name)
    if kind == "change":
        return ChangeSegment(segment_from_json(data["s"]), name)
    if kind == "delete":
        return DeleteSegment(int(data["number"]), name)
    if kind == "all":
        return Together(name, tuple(_operation_from_json(d, parts) for d in data["l"]))
    if kind == "accept":
        paints = tuple(_operation_from_json(d, parts) for d in data["l"])
        return AcceptProposal(
            tuple(segment_from_json(s) for s in data["s"]), tuple(p for p in paints if isinstance(p, Paint)), name
        )
    raise ValueError(f"unknown operation {kind!r}")


def pack(head: Mapping[str, Any], operation: Operation | None = None, parts: tuple[bytes, ...] = ()) -> bytes:
    """A head of plain values, an operation and binary parts as one deflated record."""
    blobs = list(parts)
    whole = dict(head)
    if operation is not None:
        whole["op"] = _operation_as_json(operation, blobs)
    whole["parts"] = [len(b) for b in blobs]
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    return zlib.compress(b"".join((_LENGTH.pack(len(text)), text, *blobs)), COMPRESSION)


def kind_of(record: bytes) -> str:
    """The "kind" of a record of `pack`, which stands first in its head; only some bytes are inflated. "" if unknown."""
    try:
        start = zlib.decompressobj().decompress(record, 64)
    except zlib.error:
        return ""
    _, found, rest = start.partition(b'{"kind":"')
    return rest.partition(b'"')[0].decode("ascii", "replace") if found else ""


def unpack(record: bytes) -> tuple[dict[str, Any], Operation | None, list[bytes]]:
    """Head, operation and binary parts of a record of `pack`.

    Raises:
        ValueError: the bytes are no such record.
    """
    try:
        raw = zlib.decompress(record)
        (length,) = _LENGTH.unpack_from(raw)
        head = json.loads(raw[4 : 4 + length])
        parts: list[bytes] = []
        at = 4 + length
        for size in head.pop("parts"):
            parts.append(raw[at : at + size])
            at += size
        data = head.pop("op", None)
        return head, None if data is None else _operation_from_json(data, parts), parts
    except (zlib.error, struct.error, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"not a record: {error}") from error

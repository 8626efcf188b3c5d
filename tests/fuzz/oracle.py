"""What must hold for any file whatsoever: every reader answers, with an answer that people and programs can read."""

from __future__ import annotations

import json
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medviewer.cli.inspect import catalog_document
from medviewer.cli.object_words import add_words
from medviewer.cli.output import json_text
from medviewer.errors import MedviewerError
from medviewer.formats import load
from medviewer.formats.catalog import Catalog, ObjectFile, Stack
from medviewer.formats.dicom.elements import HeaderFault, looks_like_dicom
from medviewer.formats.dicom.headers.header_reader import HeaderReader
from medviewer.formats.dicom.objects.object_text import has_text, object_lines
from medviewer.formats.digest import digest
from medviewer.formats.laid import Target
from medviewer.formats.overlays import as_segments, read_object
from medviewer.formats.scan import nothing_opened, scan
from medviewer.volume.grid import Grid

SKIP_CODES = frozenset(
    (
        "not-dicom", "empty", "unreadable", "truncated", "no-pixels", "no-codec", "bad-header", "bad-pixels",
        "bad-rescale", "unsupported", "too-large", "encrypted", "zip-unsafe", "outside-folder", "duplicate-uid",
    )
)  # fmt: skip
QUALITY_CODES = frozenset(
    (
        "missing-slice", "uneven-spacing", "gantry-tilt", "duplicate-slice", "mixed-orientation", "mixed-spacing",
        "mosaic", "no-position", "no-spacing", "imager-spacing", "bad-orientation", "bad-rescale", "bad-window",
        "bad-overlay", "lossy", "burned-in", "padding", "frame-count-mismatch", "truncated", "private-codec",
        "charset-guessed", "4d-irregular",
    )
)  # fmt: skip
KINDS = frozenset(
    (
        "SEG", "LABELMAP", "SR", "RTSTRUCT", "RTPLAN", "RTDOSE", "PR", "KO", "PDF", "M3D", "ANN", "RWV", "WAVEFORM",
        "DICOMDIR", "MR-spectroscopy", "no-pixels", "other",
    )
)  # fmt: skip
#: Volumes above this are not computed with: a file may honestly be that large.
LARGE = 256 << 20
#: Marks that turn the direction of what follows.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
GRID = Grid((4, 12, 10), (2.0, 0.8, 0.5), (1, 0, 0, 0, 1, 0, 0, 0, 1), (0.0, 0.0, 0.0))
TARGET = Target(GRID.size_kji, GRID)


class Broken(AssertionError):
    """An answer that no reader may give."""


def check_file(path: Path, like: bytes = b"") -> None:
    """Open a file with everything that reads files.

    Args:
        path: the file.
        like: a file that is read before it, so that what is remembered of one file may mislead about the other.

    Raises:
        Anything but an error for people: a finding.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        catalog = scan([path])
        _check_catalog(catalog)
        _check_memory(path, like)
        document = catalog_document(catalog, {}, with_frames=False)
        add_words(document, catalog, None)
        json.loads(json_text(document).encode("utf-8"))
        for stack in catalog.stacks():
            _check_stack(stack)
        for found in catalog.objects:
            _check_object(found)
        if catalog.is_empty and not nothing_opened([path], catalog).sentence:
            raise Broken("nothing opened, and no sentence")


def _check_catalog(catalog: Catalog) -> None:
    for skip in catalog.skipped:
        if skip.code not in SKIP_CODES or not skip.reason.strip():
            raise Broken(f"skipped with {skip.code!r}, {skip.reason!r}")
        if "malformed header (" in skip.reason:
            raise Broken(f"an exception was swallowed: {skip.reason}")
        _one_line(skip.reason)
    for found in catalog.objects:
        if found.kind not in KINDS:
            raise Broken(f"kind {found.kind!r}")
        _one_line(found.summary)
    if catalog.is_empty and not catalog.skipped:
        raise Broken("neither shown nor skipped")
    document = catalog_document(catalog, {}, with_frames=True)
    json.loads(json_text(document).encode("utf-8"))


def _one_line(text: str) -> None:
    if len(text) > 4000 or any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _TURNING for c in text):
        raise Broken(f"not a line of plain text: {text[:80]!r}")


def _check_stack(stack: Stack) -> None:
    for fault in stack.quality:
        if fault.code not in QUALITY_CODES or not fault.detail.strip():
            raise Broken(f"quality {fault.code!r}, {fault.detail!r}")
        _one_line(fault.detail)
    if len(stack.frames) != stack.times * stack.size_kji[0]:
        raise Broken(f"{len(stack.frames)} frames for {stack.times} x {stack.size_kji}")
    if stack.grid is not None and not np.all(np.isfinite([*stack.grid.spacing_kji, *stack.grid.origin_lps])):
        raise Broken("a grid that is nowhere")
    for window in stack.windows:
        if not np.isfinite(window.width) or not np.isfinite(window.level) or window.width <= 0:
            raise Broken(f"window {window}")
    found = digest(stack)
    for failure in found.failed:
        if failure.code not in SKIP_CODES or not failure.reason.strip():
            raise Broken(f"a frame failed with {failure.code!r}, {failure.reason!r}")
        _one_line(failure.reason)
    json.loads(json_text(catalog_document(Catalog(), {stack.id: found}, with_frames=True)))
    _answers(lambda: _load(stack))
    if stack.is_colour:
        _answers(lambda: load.read_frame_rgb(stack, len(stack.frames) // 2))
    if stack.has_graphics:
        _answers(lambda: load.read_graphics(stack, 0))
    if stack.coloured_from is not None:
        _answers(lambda: load.read_supplement(stack))


def _load(stack: Stack) -> None:
    volume = load.load_volume(stack, allow_missing=True)
    if volume.voxels.nbytes < LARGE:
        volume.values()


def _check_object(found: ObjectFile) -> None:
    if found.kind in ("SEG", "LABELMAP", "RTSTRUCT", "RTDOSE"):
        _answers(lambda: as_segments(read_object(found, TARGET), TARGET))
    elif has_text(found):
        _answers(lambda: [_one_line(line.text) for line in object_lines(found)])


def _check_memory(path: Path, like: bytes) -> None:
    """What is said of a file is the same whether or not one that is like it was read before."""
    start = path.read_bytes()
    if not like or not looks_like_dicom(start) or not looks_like_dicom(like):
        return
    before = path.with_name("like.dcm")
    before.write_bytes(like)
    reader = HeaderReader()
    for _ in range(2):
        _read_header(reader, before, like)
    one, other = _read_header(reader, path, start), _read_header(HeaderReader(), path, start)
    if one != other and repr(one) != repr(other):
        raise Broken(f"read otherwise after a file like it: {str(one)[:200]} and {str(other)[:200]}")


def _read_header(reader: HeaderReader, path: Path, start: bytes) -> object:
    try:
        return reader.read(path, start, len(start))
    except HeaderFault as fault:
        return fault.code, fault.reason


def _answers(read: Callable[[], object]) -> None:
    """A result or an error for people; numpy's warnings about odd numbers are none of theirs."""
    try:
        with np.errstate(all="ignore"):
            read()
    except MedviewerError as error:
        _one_line(error.sentence)

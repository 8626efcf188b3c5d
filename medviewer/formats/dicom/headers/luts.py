"""Tables and windows of a header: Modality LUT, VOI LUT Sequence, Window Center and Width (PS3.3 C.11.1, C.11.2).

Works on the top level of an image, on an item of a functional group and on an item of a presentation state.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.text import decode, one_line
from medviewer.volume.lut import LookupTable, table_of
from medviewer.volume.window import VoiFunction, Window, window_of_table


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A table of a header and what is wrong with it ("" for nothing); None where nothing can be used."""

    table: LookupTable | None
    fault: str = ""


def read_table(item: Elements, *, signed: bool) -> ReadTable:
    """The table of one item of a Modality LUT, VOI LUT or Presentation LUT Sequence.

    Args:
        item: with LUT Descriptor, LUT Data and LUT Explanation.
        signed: True where the table's inputs can be negative: the first mapped input is read so.
    """
    descriptor = tuple(int(n) & 0xFFFF for n in item.numbers(T.LUT_DESCRIPTOR) if n is not None)
    data = item.bytes(T.LUT_DATA)
    if not descriptor and not data:
        return ReadTable(None)  # an empty item, as some writers leave
    if len(descriptor) != 3 or not data:
        return ReadTable(None, "a lookup table lacks its descriptor or its data")
    declared, first, bits = descriptor[0] or 65536, descriptor[1], descriptor[2]
    if first > 0x7FFF and (signed or item.vr(T.LUT_DESCRIPTOR) == "SS"):
        first -= 0x10000
    explanation = one_line(decode(item.bytes(T.LUT_EXPLANATION), ())[0])[:64]
    return _table(data[: 2 * 65536], declared, first, bits, explanation, item.big_endian)


@lru_cache(maxsize=64)
def _table(data: bytes, declared: int, first: int, bits: int, explanation: str, big_endian: bool) -> ReadTable:
    """One instance for the equal tables of a series' files."""
    order = ">" if big_endian else "<"
    words = np.frombuffer(data, f"{order}u2", len(data) // 2)
    if bits <= 8 and len(data) in (declared, declared + 1):  # eight-bit entries, packed
        outputs = np.frombuffer(words.astype("<u2").tobytes() if len(data) % 2 == 0 else data, np.uint8)
    else:
        outputs = words
    outputs = outputs[:declared]
    if outputs.size == 0:
        return ReadTable(None, "a lookup table has no entry")
    needed = max(1, int(outputs.max()).bit_length())
    if not needed <= bits <= 16:
        bits = max(needed, 8)
    fault = "" if outputs.size == declared else f"a lookup table has {outputs.size} of {declared} entries"
    return ReadTable(table_of(first, outputs, bits, explanation), fault)


def modality_table(data: Elements, *, signed: bool) -> tuple[ReadTable, str] | None:
    """The Modality LUT of a header and the unit of its outputs ("" where unknown); None where it has none."""
    items = data.items(T.MODALITY_LUT)
    if not items:
        return None
    kind = items[0].text(T.MODALITY_LUT_TYPE)
    unit = "" if kind.upper() in ("US", "UNSPECIFIED") else kind[:16]
    return read_table(items[0], signed=signed), unit


def read_windows(data: Elements, *, signed: bool) -> tuple[tuple[Window, ...], str]:
    """What a header offers to make brightness of values, in the order of preference, and what is wrong with it.

    Tables of the VOI LUT Sequence come first: they are made for the picture, while the windows beside them are for
    those who cannot apply a table. Windows without a positive width or without its level are left out.

    Args:
        data: top level, an item of the Frame VOI LUT group, or of a presentation state.
        signed: True where values after the modality step can be negative.
    """
    faults: list[str] = []
    found: list[Window] = []
    for item in data.items(T.VOI_LUT):
        read = read_table(item, signed=signed)
        if read.table is not None:
            found.append(window_of_table(read.table))
        if read.fault:
            faults.append(f"VOI: {read.fault}")
    levels, widths = data.numbers(T.WINDOW_CENTER), data.numbers(T.WINDOW_WIDTH)
    name = "_".join(data.text(T.VOI_FUNCTION).upper().split())
    function = VoiFunction(name) if name in VoiFunction.__members__ else VoiFunction.LINEAR
    words = [one_line(part) for part in decode(data.bytes(T.WINDOW_EXPLANATION), ())[0].split("\\")]
    usable = 0
    for n, (level, width) in enumerate(zip(levels, widths, strict=False)):
        if level is not None and width is not None and 0 < width < 1e12 and abs(level) < 1e12:
            usable += 1
            found.append(Window(width, level, function, explanation=words[n][:64] if n < len(words) else ""))
    if (levels or widths) and usable == 0:
        instead = "the file's table is used" if found else "an automatic one is used"
        faults.append(f"the file's window has no positive width or no level; {instead}")
    elif usable < max(len(levels), len(widths)):
        faults.append(f"only {usable} of {max(len(levels), len(widths))} windows of the file are usable")
    return tuple(dict.fromkeys(found)), "; ".join(dict.fromkeys(faults))

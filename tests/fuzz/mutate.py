"""Ways to damage a file: blindly, and where the structure of its format is."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzz.splice import Splice, apply
from tests.fuzz.structure import Element, elements, fragments

_NUMBERS = (
    b"", b"0", b"-1", b"1", b"nan", b"inf", b"-inf", b"1e30", b"-1e308", b"1e400", b"1,5", b"W/C", b"4294967295",
    b"65536", b"99999999999999999999", b"0.0000000001", b"\\\\\\", b"1\\nan\\3", b"1_000", b"0x10", b" ", b"+-1",
    b"1\\0\\0\\0\\1\\0", b"0\\0\\0\\0\\0\\0", b"1e-320", b"\xff\xfe", b"1" * 400,
)  # fmt: skip
_WORDS = (
    b"", b"\0", b"<b>x</b>", b"=cmd|' /C calc'!A0", b"../../../etc/passwd", b"\x1b$B", b"\x1b$)C\xff", b"\\" * 40,
    b"a" * 5000, b"\xe2\x80\xae\xd7\xa9", b"\x00\x01\x02\x1b\x7f", b"^" * 80, b"=" * 9, b"\xff" * 33, b"ISO 2022 IR 87",
    b"ISO_IR 192", b"GB18030", b"ISO 2022 IR 149\\ISO 2022 IR 58", b"PALETTE COLOR", b"RGB", b"YBR_FULL_422",
    b"MONOCHROME1", b"ORIGINAL\\PRIMARY\\LOCALIZER", b"DERIVED\\PRIMARY\\MOSAIC", b"99999999", b"\xed\xa0\x80",
)  # fmt: skip
_UIDS = (
    b"", b"abc/../x", b"1." * 80, b"0" * 65,
    *(f"1.2.840.10008.{tail}".encode() for tail in (
        "1.2", "1.2.1", "1.2.1.99", "1.2.2", "1.2.4.50", "1.2.4.51", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.81",
        "1.2.4.90", "1.2.4.91", "1.2.4.201", "1.2.4.203", "1.2.5", "1.2.8.1", "1.2.4.53", "1.2.4.100",
        "5.1.4.1.1.2", "5.1.4.1.1.2.1", "5.1.4.1.1.4.1", "5.1.4.1.1.66.4", "5.1.4.1.1.66.7", "5.1.4.1.1.481.2",
        "5.1.4.1.1.481.3", "5.1.4.1.1.88.22", "5.1.4.1.1.88.59", "5.1.4.1.1.11.1", "5.1.4.1.1.104.1", "1.3.10",
        "5.1.4.1.1.128", "5.1.4.1.1.77.1.6", "5.1.4.1.1.13.1.3", "5.1.4.1.1.6.1", "5.1.4.1.1.30", "5.1.4.1.1.67",
    )),
)  # fmt: skip
_VRS = (
    b"UN", b"SQ", b"OB", b"OW", b"UT", b"DS", b"IS", b"US", b"SS", b"UL", b"FD", b"FL", b"PN", b"AT", b"LO", b"ZZ",
    b"\0\0", b"ox", b"OF", b"UV", b"UI", b"CS", b"TM",
)  # fmt: skip
_SHORTS = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 64, 255, 256, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
_LONGS = (0, 1, 2, 3, 7, 64, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
#: Elements on which readers act; another tag is turned into one of these.
_TAGS = (
    0x00080005, 0x00080008, 0x00080016, 0x00080060, 0x00180050, 0x0020000D, 0x0020000E, 0x00200013, 0x00200032,
    0x00200037, 0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280009, 0x00280010, 0x00280011, 0x00280030,
    0x00280034, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00281050, 0x00281051, 0x00281052,
    0x00281053, 0x00281056, 0x00281101, 0x00281201, 0x00281221, 0x00283000, 0x00283010, 0x00181063, 0x00181065,
    0x00541001, 0x52009229, 0x52009230, 0x60000010, 0x60000011, 0x60000050, 0x60003000, 0x7FE00001, 0x7FE00002,
    0x7FE00008, 0x7FE00009, 0x7FE00010, 0x00620002, 0x0062000B, 0x30060039, 0x30060050, 0x3004000C, 0x0040A730,
    0x0040A124, 0x00700001, 0x00181600, 0x00181602, 0x00041220, 0x00041500, 0x0008114A, 0x00081199, 0xFFFEE000,
)  # fmt: skip
#: What readers act on most: these elements are hit more often than their number would have it.
_HOT = frozenset(_TAGS)

#: Second bytes of markers that decoders act on.
_MARKERS = bytes.fromhex("4f5152535c649093c0c1c3c4d8d9dadbddf7f8")

Mutation = Callable[[bytes, random.Random, bytes], Splice | None]


def _place(data: bytes, rng: random.Random) -> int:
    """A byte: often near the start, where heads are."""
    return rng.randrange(min(len(data), rng.choice((64, 400, 2000, 1 << 40)))) if data else 0


def flip(data: bytes, rng: random.Random, other: bytes) -> Splice:
    at = _place(data, rng)
    return Splice(at, 1, bytes([data[at] ^ 1 << rng.randrange(8)]) if data else b"")


def set_byte(data: bytes, rng: random.Random, other: bytes) -> Splice:
    return Splice(_place(data, rng), 1, bytes([rng.choice((0, 1, 0x20, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))]))


def cut(data: bytes, rng: random.Random, other: bytes) -> Splice:
    at = rng.randrange(len(data) + 1)
    return Splice(at, len(data) - at)


def drop(data: bytes, rng: random.Random, other: bytes) -> Splice:
    return Splice(_place(data, rng), rng.choice((1, 2, 4, 8, 12, 64, rng.randrange(1, 2000))))


def double(data: bytes, rng: random.Random, other: bytes) -> Splice:
    at, count = _place(data, rng), rng.choice((1, 2, 8, 64, rng.randrange(1, 2000)))
    return Splice(at, 0, data[at : at + count] * rng.choice((1, 1, 2, 30)))


def graft(data: bytes, rng: random.Random, other: bytes) -> Splice:
    """A piece of another file over, or in front of, a piece of this one."""
    start, count = _place(other, rng), rng.choice((4, 16, 128, 4000))
    return Splice(_place(data, rng), rng.choice((0, count)), other[start : start + count])


def number(data: bytes, rng: random.Random, other: bytes) -> Splice:
    form = rng.choice(("<I", ">I", "<H", ">H", "<Q"))
    value = rng.choice(_LONGS) if form[1] != "H" else rng.choice(_SHORTS)
    raw = struct.pack(form, value)
    return Splice(_place(data, rng), len(raw), raw)


def blank(data: bytes, rng: random.Random, other: bytes) -> Splice:
    count = rng.choice((4, 16, 100, 3000))
    return Splice(_place(data, rng), count, rng.choice((b"\0", b"\xff", b" ")) * count)


BLIND: tuple[Mutation, ...] = (flip, flip, set_byte, cut, drop, double, graft, number, blank)


def _pick(data: bytes, rng: random.Random, *, hot: bool = True) -> Element | None:
    found = elements(data)
    if not found:
        return None
    wanted = [e for e in found if e.tag in _HOT] if hot and rng.random() < 0.7 else found
    return rng.choice(wanted or found)


def _head(element: Element, length: int, vr: bytes | None = None) -> bytes:
    vr = element.vr if vr is None else vr
    order = element.order
    start = struct.pack(order + "HH", element.tag >> 16, element.tag & 0xFFFF)
    if not vr:
        return start + struct.pack(order + "I", length & 0xFFFFFFFF)
    if element.value - element.at == 12:
        return start + vr + b"\0\0" + struct.pack(order + "I", length & 0xFFFFFFFF)
    return start + vr + struct.pack(order + "H", length & 0xFFFF)


def change_vr(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    element = _pick(data, rng)
    return Splice(element.at + 4, 2, rng.choice(_VRS)) if element and element.vr else None


def change_length(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    element = _pick(data, rng, hot=False)
    if element is None:
        return None
    length = rng.choice((*_LONGS, element.length + 1, element.length - 1, element.length * 2, element.length // 2))
    return Splice(element.at, element.value - element.at, _head(element, length))


def change_value(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    """Another value with the length that belongs to it."""
    element = _pick(data, rng)
    if element is None or element.length == 0xFFFFFFFF or element.tag in (0xFFFEE000, 0x7FE00010):
        return None
    vr = element.vr
    if element.tag == 0x00020010 or vr == b"UI":
        value = rng.choice(_UIDS)
        value += b"\0" * (len(value) % 2)
    elif vr in (b"US", b"SS", b"OW"):
        value = b"".join(struct.pack(element.order + "H", rng.choice(_SHORTS)) for _ in range(rng.choice((1, 1, 1, 3))))
    elif vr in (b"UL", b"SL", b"AT"):
        value = struct.pack(element.order + "I", rng.choice(_LONGS))
    elif vr in (b"FD", b"FL"):
        width = "d" if vr == b"FD" else "f"
        numbers = (0.0, -1.0, 1.0, float("nan"), float("inf"), 1e30, 1e-40, 0.5)
        count = max(1, element.length // struct.calcsize(width))
        value = b"".join(struct.pack(element.order + width, rng.choice(numbers)) for _ in range(min(count, 6)))
    else:
        value = rng.choice(_NUMBERS if vr in (b"DS", b"IS") or rng.random() < 0.3 else _WORDS)
        value += b" " * (len(value) % 2)
    head = _head(element, len(value))
    return Splice(element.at, element.end - element.at, head + value)


def change_tag(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    element = _pick(data, rng, hot=False)
    if element is None:
        return None
    tag = rng.choice(_TAGS)
    return Splice(element.at, 4, struct.pack(element.order + "HH", tag >> 16, tag & 0xFFFF))


def delete_element(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    element = _pick(data, rng)
    return None if element is None else Splice(element.at, element.end - element.at)


def repeat_element(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    """The same element (or item) again, at its place or elsewhere."""
    element = _pick(data, rng, hot=False)
    if element is None:
        return None
    where = element if rng.random() < 0.5 else _pick(data, rng, hot=False) or element
    return Splice(where.at, 0, data[element.at : element.end][:20000] * rng.choice((1, 1, 1, 50)))


def swap_elements(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    found = elements(data)
    if len(found) < 3:
        return None
    n = rng.randrange(len(found) - 1)
    one, two = found[n], found[n + 1]
    if two.at != one.end or two.end > len(data):
        return None
    return Splice(one.at, two.end - one.at, data[two.at : two.end] + data[one.at : one.end])


def nest(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    """A sequence of many items or levels in front of an element."""
    element = _pick(data, rng, hot=False)
    if element is None:
        return None
    tag = struct.pack("<HH", *divmod(rng.choice((0x00081140, 0x52009230, 0x00400275, 0x0040A730)), 0x10000))
    if rng.random() < 0.5:
        count = rng.choice((10, 60, 70, 3000))
        return Splice(element.at, 0, (tag + b"SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff") * count)
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 3000 + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return Splice(element.at, 0, tag + b"SQ\0\0\xff\xff\xff\xff" + items)


def _fragment(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value


def deface_fragment(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    """Offset table, borders of fragments, fragments lost, doubled or in another order."""
    items = fragments(elements(data))
    if not items:
        return None
    item = rng.choice(items)
    how = rng.randrange(7)
    if how == 0:
        length = rng.choice((*_LONGS, item.length + 2, item.length - 2)) & 0xFFFFFFFF
        return Splice(item.at + 4, 4, struct.pack("<I", length))
    if how == 1:
        return Splice(item.at, item.end - item.at)
    if how == 2:
        return Splice(item.at, 0, data[item.at : item.end] * rng.choice((1, 2, 200)))
    if how == 3 and item.length >= 4:
        middle = rng.randrange(1, max(2, item.length // 2)) * 2
        value = data[item.value : item.end]
        return Splice(item.at, item.end - item.at, _fragment(value[:middle]) + _fragment(value[middle:]))
    if how == 4:
        offsets = [rng.choice((*_LONGS, rng.randrange(60000))) for _ in range(rng.choice((1, 2, 8)))]
        return Splice(items[0].at, items[0].end - items[0].at, _fragment(struct.pack(f"<{len(offsets)}I", *offsets)))
    if how == 5 and item.length > 64:
        return Splice(item.value + rng.randrange(64), 4, struct.pack("<I", rng.choice(_LONGS)))
    return Splice(item.end - rng.randrange(min(9, item.length + 1)), rng.choice((1, 2, 8)))


def deface_stream(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    """Markers of a JPEG, JPEG-LS or JPEG 2000 stream and what stands right behind them."""
    items = [item for item in fragments(elements(data)) if item.length > 16]
    if not items:
        return None
    item = rng.choice(items)
    stream = data[item.value : item.value + min(item.length, 600)]
    markers = [n for n in range(len(stream) - 8) if stream[n] == 0xFF and stream[n + 1] not in (0, 0xFF)]
    if not markers:
        return Splice(item.value + rng.randrange(min(64, item.length)), 1, bytes([rng.randrange(256)]))
    at = item.value + rng.choice(markers)
    how = rng.randrange(4)
    if how == 0:
        return Splice(at + 1, 1, bytes([rng.choice(_MARKERS)]))
    if how == 1:
        return Splice(at + 2, 2, struct.pack(">H", rng.choice(_SHORTS)))
    if how == 2:
        return Splice(at + 4 + rng.randrange(38), 2, struct.pack(">H", rng.choice(_SHORTS)))
    return Splice(at + 4 + rng.randrange(38), 4, struct.pack(">I", rng.choice(_LONGS)))


DICOM: tuple[Mutation, ...] = (
    change_vr, change_length, change_length, change_value, change_value, change_value, change_value, change_tag,
    delete_element, delete_element, repeat_element, swap_elements, nest, deface_fragment, deface_fragment,
    deface_stream, deface_stream,
)  # fmt: skip


def nifti_field(data: bytes, rng: random.Random, other: bytes) -> Splice:
    """One field of a NIfTI-1 header."""
    offset, form = rng.choice(
        (
            *((40 + 2 * n, "<h") for n in range(8)), (70, "<h"), (72, "<h"), *((76 + 4 * n, "<f") for n in range(8)),
            (108, "<f"), (112, "<f"), (116, "<f"), (123, "<B"), (252, "<h"), (254, "<h"),
            *((256 + 4 * n, "<f") for n in range(18)), (0, "<i"), (344, "<i"),
        )
    )  # fmt: skip
    if form == "<f":
        value = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30, 1e-30, -352.0, 4e9))
    elif form == "<B":
        value = rng.choice((0, 1, 2, 4, 7, 8, 16, 64, 127, 128))
    else:
        value = rng.choice((-1, 0, 1, 3, 5, 7, 8, 32767, -32768))
    raw = struct.pack(form, value)
    return Splice(offset, len(raw), raw)


def nrrd_field(data: bytes, rng: random.Random, other: bytes) -> Splice | None:
    """The value of one field of an NRRD header."""
    lines = data[:4000].split(b"\n\n")[0].split(b"\n")
    n = rng.randrange(len(lines))
    name, colon, value = lines[n].partition(b":")
    if not colon:
        return None
    at = sum(len(line) + 1 for line in lines[:n]) + len(name) + 2
    wild = (
        *_NUMBERS, b"none", b"(1,0,0) (0,1,0) (0,0,1)", b"(nan,0,0) none none", b"-3", b"65535 65535 65535", b"3 3",
        b"1 1 1 1 1 1", b"../../etc/passwd", b"/etc/passwd", b"LIST", b"gzip", b"raw", b"ascii", b"hex", b"bzip2",
        b"double", b"block", b"big", b"domain vector domain", b"(1e30,0,0) (0,1,0) (0,0,1)",
    )  # fmt: skip
    return Splice(at, len(value) - 1, rng.choice(wild))


def mutate(data: bytes, rng: random.Random, other: bytes, name: str) -> list[Splice]:
    """Between one and five splices that damage a file; `other` is another file to graft from."""
    aware: tuple[Mutation, ...] = DICOM
    if name.endswith(".nii"):
        aware = (nifti_field,)
    elif name.endswith(".nrrd"):
        aware = (nrrd_field,)
    elif name.endswith((".zip", ".gz")):
        aware = BLIND
    splices: list[Splice] = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        if not data or len(data) > 4 << 20:
            break
        splice = rng.choice(aware if rng.random() < 0.75 else BLIND)(data, rng, other)
        if splice is not None:
            splices.append(splice)
            data = apply(data, [splice])
    return splices

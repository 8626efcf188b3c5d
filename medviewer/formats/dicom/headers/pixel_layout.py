"""How the pixels of a file are stored (PS3.3 C.7.6.3), checked against itself and against the file's size.

Nothing is allocated by what a header declares before it has passed here.
"""

from __future__ import annotations

from functools import lru_cache

from medviewer.formats.catalog import PixelLayout, Quality
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import DOUBLE_PIXELS, FLOAT_PIXELS, Elements, Header, HeaderFault, tag_text
from medviewer.formats.dicom.pixels.native import HALVED
from medviewer.formats.dicom.syntaxes import NATIVE, is_known, syntax_name

#: A file may not declare more decoded pixels than this.
MAX_PIXEL_BYTES = 64 << 30

#: Frames of one file; whole-slide pictures have some hundred thousand.
MAX_FRAMES = 500_000
#: A compressed frame of more bytes than this may not be packed tighter than by this ratio.
TIGHT_FROM, MAX_TIGHTNESS = 128 << 20, 200
#: A compressed frame has one fragment at least, and that has a head.
_FRAGMENT_HEAD = 8

_PHOTOMETRIC = {
    1: frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}),
    3: frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422"}),
}
_RETIRED = frozenset({"HSV", "ARGB", "CMYK", "YBR_PARTIAL_420"})


def _whole(data: Elements, tag: int, name: str, default: int | None = None) -> int:
    if tag not in data or (not data.bytes(tag).strip(b" \0") and data.vr(tag) not in ("US", "SS")):
        if default is None:
            raise HeaderFault("bad-header", f"{name} {tag_text(tag)} is missing")
        return default
    value = data.integer(tag)
    if value is None:
        raise HeaderFault("bad-header", f"{name} {tag_text(tag)} is not a whole number")
    return value


def pixel_layout(header: Header, size: int) -> tuple[PixelLayout, list[Quality]]:
    """The pixel module, checked against itself and against the file's size; and what is wrong with it.

    Raises:
        HeaderFault: nothing can be shown.
    """
    there = pixel_bytes_there(header, size)
    layout, faults = stored_layout(header.data, header.transfer_syntax, header.pixel_tag, header.pixel_length, there)
    refuse_bomb(layout, header, size)
    return layout, list(faults)


def refuse_bomb(layout: PixelLayout, header: Header, size: int) -> None:
    """Refuse a compressed frame that declares far more than its file can hold."""
    frame = layout.rows * layout.columns * layout.samples * layout.dtype.itemsize
    if header.pixel_length < 0 and frame > max(TIGHT_FROM, MAX_TIGHTNESS * (size - header.pixel_offset)):
        what = f"declares {layout.rows} x {layout.columns} pixels ({frame >> 20} MB) in a file of {size >> 10} kB"
        raise HeaderFault("too-large", f"{what}: refused")


def pixel_bytes_there(header: Header, size: int) -> int:
    """How many bytes of declared pixels the file has; of one encapsulated frame it does not matter: -1."""
    if header.pixel_length < 0:
        return -1 if header.data.text(T.FRAMES) in ("", "1") else size - header.pixel_offset
    return header.pixel_length if header.deflated else min(header.pixel_length, size - header.pixel_offset)


def stored_layout(
    data: Elements, syntax: str, pixel_tag: int, pixel_length: int, there: int
) -> tuple[PixelLayout, tuple[Quality, ...]]:
    """As `pixel_layout`, of the elements and four facts about the pixel element, so that it can be remembered.

    Args:
        data: the elements.
        syntax: transfer syntax UID.
        pixel_tag, pixel_length: as `Header` has them.
        there: what `pixel_bytes_there` says.
    """
    faults: list[Quality] = []
    if not is_known(syntax):
        raise HeaderFault("no-codec", f"no decoder for transfer syntax {syntax_name(syntax)}")
    rows = _whole(data, T.ROWS, "Rows")
    columns = _whole(data, T.COLUMNS, "Columns")
    if not 0 < rows <= 65535 or not 0 < columns <= 65535:
        raise HeaderFault("bad-header", f"Rows x Columns is {rows} x {columns}")
    samples = _whole(data, T.SAMPLES, "Samples per Pixel", 1)
    photometric = data.text(T.PHOTOMETRIC).upper() or ("MONOCHROME2" if samples == 1 else "RGB")
    if photometric in _RETIRED or (photometric == "YBR_PARTIAL_422" and syntax not in NATIVE):
        raise HeaderFault("unsupported", f"colour model {photometric} is retired and not shown")
    if samples not in _PHOTOMETRIC:
        raise HeaderFault("bad-header", f"Samples per Pixel is {samples}")
    if photometric not in _PHOTOMETRIC[samples]:
        if photometric in _PHOTOMETRIC[4 - samples]:
            raise HeaderFault("bad-header", f"{photometric} does not go with {samples} samples a pixel")
        raise HeaderFault("unsupported", f"unknown Photometric Interpretation {photometric[:32]!r}")
    float_bits = {FLOAT_PIXELS: 32, DOUBLE_PIXELS: 64}.get(pixel_tag, 0)
    allocated = float_bits or _whole(data, T.BITS_ALLOCATED, "Bits Allocated", 16)
    if allocated not in (1, 8, 16, 32, 64):
        raise HeaderFault("unsupported", f"Bits Allocated is {allocated}")
    stored = allocated if float_bits else _whole(data, T.BITS_STORED, "Bits Stored", allocated)
    if not 0 < stored <= allocated:
        raise HeaderFault("bad-header", f"Bits Stored is {stored} of {allocated}")
    high = stored - 1 if float_bits else _whole(data, T.HIGH_BIT, "High Bit", stored - 1)
    if not stored - 1 <= high < allocated:
        raise HeaderFault("bad-header", f"High Bit is {high} with {stored} of {allocated} bits stored")
    signed = _whole(data, T.PIXEL_REPRESENTATION, "Pixel Representation", 0)
    if signed not in (0, 1):
        raise HeaderFault("bad-header", f"Pixel Representation is {signed}")
    frames = _frame_count(data)
    planar = data.integer(T.PLANAR) or 0
    native = syntax in NATIVE
    if native and pixel_length < 0:
        raise HeaderFault("bad-pixels", "compressed pixels under an uncompressed transfer syntax")
    if not native and pixel_length >= 0:
        raise HeaderFault("bad-pixels", f"the pixels are not encapsulated as {syntax_name(syntax)} must be")
    if native:
        frame_bits = rows * columns * samples * allocated
        if photometric in HALVED and allocated == 8:
            frame_bits = rows * columns * 2 * 8
        frames = _frames_there(frames, frame_bits, pixel_length, there, faults)
    elif there >= 0 and frames > (most := max(1, there // _FRAGMENT_HEAD)):
        faults.append(Quality("frame-count-mismatch", f"{frames} frames cannot lie in {there} bytes"))
        frames = most
    if frames > MAX_FRAMES:
        raise HeaderFault("too-large", f"{frames} frames in one file")
    if rows * columns * samples * max(8, allocated) // 8 * frames > MAX_PIXEL_BYTES:
        raise HeaderFault("too-large", f"{frames} frames of {rows} x {columns} would need more than 64 GB")
    layout = PixelLayout(
        rows=rows, columns=columns, samples=samples, bits_allocated=allocated, bits_stored=stored, high_bit=high,
        signed=bool(signed), photometric=photometric, planar=planar if samples == 3 else 0, frames=frames,
        transfer_syntax=syntax, float_bits=float_bits,
    )  # fmt: skip
    return _shared(layout), tuple(faults)


def _frame_count(data: Elements) -> int:
    if not data.text(T.FRAMES):
        return 1
    count = data.integer(T.FRAMES)
    if count is None or count < 0 or count > 10_000_000:
        raise HeaderFault("bad-header", f"Number of Frames is {data.text(T.FRAMES)[:20]!r}")
    return max(1, count)


def _frames_there(frames: int, frame_bits: int, declared: int, there: int, faults: list[Quality]) -> int:
    """How many whole frames the native pixel data holds; refuses less than one."""
    needed = (frame_bits * frames + 7) // 8
    if there >= needed:
        if declared - needed > max(2, frame_bits // 8 - 1) and frame_bits >= 8:
            extra = (declared * 8 - frame_bits * frames) // frame_bits
            faults.append(Quality("frame-count-mismatch", f"{extra} frames more than Number of Frames says"))
        return frames
    whole = there * 8 // frame_bits
    share = 100 * there / needed if needed else 0
    if whole < 1 or frames == 1:
        raise HeaderFault("truncated", f"truncated: {share:.0f} % of the pixel data is there")
    code = "truncated" if there < declared else "frame-count-mismatch"
    faults.append(Quality(code, f"{whole} of {frames} frames are there"))
    return whole


@lru_cache(maxsize=512)
def _shared(layout: PixelLayout) -> PixelLayout:
    """One instance for all equal layouts."""
    return layout

"""What a file lays over one of its frames: overlay planes and shutter, cut to the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medviewer.formats.catalog import FrameRef
from medviewer.formats.dicom.headers.overlay_planes import overlay_bits
from medviewer.formats.dicom.pixels.stored import elements_of, read_stored
from medviewer.volume.overlay_plane import FrameGraphics, OverlayPlane, laid_over
from medviewer.volume.shutter import closed


def frame_graphics(frame: FrameRef, pixel_aspect: float = 1.0) -> FrameGraphics:
    """Overlay planes and shutter of one frame.

    Args:
        frame: which.
        pixel_aspect: height of a pixel to its width, for round shutters.

    Raises:
        PixelFault: overlay bits in the pixels cannot be decoded.
        OSError, SourceFault: the file cannot be read any more.
    """
    layout = frame.layout
    assert layout is not None
    rows, columns = layout.rows, layout.columns
    lines: NDArray[np.bool_] | None = None
    regions: NDArray[np.bool_] | None = None
    for plane in frame.overlays:
        bits = _bits(frame, plane)
        if bits is None:
            continue
        over = laid_over(bits, plane.origin, rows, columns)
        if plane.is_region:
            regions = over if regions is None else regions | over
        else:
            lines = over if lines is None else lines | over
    covered = None if frame.shutter is None else closed(frame.shutter, rows, columns, pixel_aspect)
    if frame.tile is not None:
        row, column, height, width = frame.tile
        part = slice(row, row + height), slice(column, column + width)
        lines, regions, covered = (None if m is None else m[part] for m in (lines, regions, covered))
    return FrameGraphics(lines, regions, covered, 0.0 if frame.shutter is None else frame.shutter.brightness)


def _bits(frame: FrameRef, plane: OverlayPlane) -> NDArray[np.bool_] | None:
    """Bits of the overlay's frame that lies over a frame; None where none does."""
    if plane.bit >= 0:
        return _bits_in_pixels(frame, plane)
    number = plane.frame_over(frame.frame)
    return None if number is None else overlay_bits(elements_of(frame.path), plane, number)


def _bits_in_pixels(frame: FrameRef, plane: OverlayPlane) -> NDArray[np.bool_]:
    """Bits that stand in the pixel words above (or below) the value."""
    assert frame.layout is not None
    allocated = frame.layout.bits_allocated
    whole = replace(frame.layout, bits_stored=allocated, high_bit=allocated - 1, signed=False)
    words = read_stored(replace(frame, layout=whole, tile=None)).view(whole.dtype)
    return (words.astype(np.int64) >> plane.bit & 1).astype(np.bool_)

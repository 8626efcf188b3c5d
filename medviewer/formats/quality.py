"""What each quality code means, in a sentence for people.

The codes are those of the command line's contract. A `Quality` adds what and where in this very stack.
"""

from __future__ import annotations

from collections.abc import Sequence

from medviewer.formats.catalog import Quality

#: One sentence a code: what it is, and what it means for whoever reads the picture.
SENTENCES: dict[str, str] = {
    "missing-slice": "Images are missing between others: cuts across the gap are interpolated, not acquired.",
    "uneven-spacing": "The distance between images changes: lengths through the stack need the true positions.",
    "gantry-tilt": "The gantry was tilted: each image is shown as acquired, other planes are resampled upright.",
    "duplicate-slice": "An image is there more than once: one of each is in the stack, the rest is left out or apart.",
    "mixed-orientation": "The series has images in several directions: each direction is a stack of its own.",
    "mixed-spacing": "The series has images of several pixel sizes: each size is a stack of its own.",
    "mosaic": "All slices of a moment lie as tiles in one image, as Siemens scanners store them.",
    "no-position": "The file does not say where in the patient the image lies: no other planes and no shared places.",
    "no-spacing": "The size of a pixel is unknown: nothing can be measured in millimetres.",
    "imager-spacing": "Millimetres are those of the detector, not of the patient: the beam enlarges.",
    "bad-orientation": "The stored direction of the image is impossible, so it is shown without geometry.",
    "bad-rescale": "What the header says of the values makes no sense: the values that are shown are named here.",
    "bad-window": "The stored window makes no sense: an automatic one is shown.",
    "bad-overlay": "An overlay graphic of the file is damaged and is not drawn.",
    "lossy": "The pixels were compressed with loss: fine detail may be gone or invented.",
    "burned-in": "Text is part of the pixels: it cannot be hidden and may name the patient.",
    "padding": "Some pixels are filling without tissue: they are drawn black and not measured.",
    "frame-count-mismatch": "The file does not hold as many frames as it says.",
    "truncated": "The file is cut short: what is whole is shown.",
    "private-codec": "The pixels are compressed in a maker's own way.",
    "charset-guessed": "The text is not in the character set that the file names: names may be misspelt.",
    "4d-irregular": "Not every time has an image at every place: complete times are together, the rest stands apart.",
}

#: Faults of where the pictures lie; the others (text in the picture, a guessed window) say nothing about it.
OF_GEOMETRY = frozenset(
    {
        "4d-irregular",
        "bad-orientation",
        "duplicate-slice",
        "gantry-tilt",
        "imager-spacing",
        "missing-slice",
        "mixed-orientation",
        "mixed-spacing",
        "mosaic",
        "no-position",
        "no-spacing",
        "uneven-spacing",
    }
)

#: True of the images, and no fault of theirs: said in plain text, never in amber.
QUIET = frozenset({"padding", "mosaic"})

_NAMES: dict[str, str] = {
    "missing-slice": "missing images",
    "uneven-spacing": "uneven spacing",
    "gantry-tilt": "gantry tilt",
    "duplicate-slice": "duplicate images",
    "mixed-orientation": "several directions",
    "mixed-spacing": "several pixel sizes",
    "mosaic": "mosaic",
    "no-position": "no position",
    "no-spacing": "no calibration",
    "imager-spacing": "mm at detector",
    "bad-orientation": "bad orientation",
    "bad-rescale": "bad rescale",
    "bad-window": "window replaced",
    "bad-overlay": "damaged overlay",
    "lossy": "LOSSY",
    "burned-in": "text burned in",
    "padding": "padding hidden",
    "frame-count-mismatch": "frame count differs",
    "truncated": "file cut short",
    "private-codec": "private compression",
    "charset-guessed": "guessed character set",
    "4d-irregular": "irregular 4-D",
}


def short_words(fault: Quality) -> str:
    """Two or three words for the picture, with the number that matters where there is one."""
    return fault.short or _NAMES.get(fault.code, fault.code)


def sentence(code: str) -> str:
    """What a code means."""
    return SENTENCES.get(code, "")


def counted(indices: Sequence[int], most: int = 12) -> str:
    """Indices from 0 as people count: "3, 7 to 9"; "" for none.

    >>> counted([2, 6, 7, 8])
    '3, 7 to 9'
    """
    parts: list[str] = []
    runs: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    for first, last in runs[:most]:
        parts.append(f"{first + 1}" if first == last else f"{first + 1} to {last + 1}")
    return ", ".join(parts) + (", ..." if len(runs) > most else "")

"""Words of the command line that several verbs share; each is an argparse `type`."""

from __future__ import annotations

import math

from medviewer.errors import BadInput


def _numbers(text: str, count: int, what: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count or not all(math.isfinite(number) for number in found):
        raise BadInput(f"wrong {what} {text!r}", remedy=f"write {count} numbers with commas between them, mm (LPS)")
    return found


def point(text: str) -> tuple[float, float, float]:
    """X,Y,Z in mm (LPS).

    Raises:
        BadInput: anything else.
    """
    x, y, z = _numbers(text, 3, "point")
    return x, y, z


def box(text: str) -> tuple[float, ...]:
    """X0,Y0,Z0,X1,Y1,Z1 in mm (LPS).

    Raises:
        BadInput: anything else.
    """
    return _numbers(text, 6, "box")


def size(text: str) -> tuple[int, int]:
    """Width and height of "1366x768", in pixels.

    Raises:
        BadInput: anything else, or out of 16 to 16384.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and 16 <= int(part) <= 16384 for part in parts):
        raise BadInput(f"wrong size {text!r}", remedy="write WIDTHxHEIGHT in pixels, 1366x768 say")
    return int(parts[0]), int(parts[1])

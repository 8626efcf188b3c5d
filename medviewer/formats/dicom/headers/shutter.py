"""Display shutters of a header: rectangular, circular, polygonal (PS3.3 C.7.6.11), at the top level or a frame's."""

from __future__ import annotations

from functools import lru_cache

from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.volume.shutter import Shutter

#: Numbers of a polygon's corners that are read.
_MOST_CORNERS = 20_000


def read_shutter(data: Elements) -> Shutter | None:
    """The shutter of a data set, of an item of the Frame Display Shutter group, or of a presentation state.

    A shape that is announced but lacks its numbers is left out; None where nothing is left. (The bitmap shape is an
    overlay plane of a presentation state, see `overlay_planes`.)
    """
    shapes = {shape.upper() for shape in data.texts(T.SHUTTER_SHAPE)}
    if not shapes:
        return None
    rectangle = circle = None
    polygon: tuple[tuple[float, float], ...] = ()
    if "RECTANGULAR" in shapes:
        edges = [data.number(t) for t in (T.SHUTTER_LEFT, T.SHUTTER_RIGHT, T.SHUTTER_UPPER, T.SHUTTER_LOWER)]
        left, right, upper, lower = edges
        if left is not None and right is not None and upper is not None and lower is not None and _near(*edges):
            rectangle = min(left, right), max(left, right), min(upper, lower), max(upper, lower)
    if "CIRCULAR" in shapes:
        centre, radius = data.vector(T.SHUTTER_CENTRE, 2), data.number(T.SHUTTER_RADIUS)
        if centre is not None and radius is not None and radius > 0 and _near(*centre, radius):
            circle = centre[0], centre[1], radius
    if "POLYGONAL" in shapes:
        numbers = data.numbers(T.SHUTTER_VERTICES)
        whole = len(numbers) >= 6 and len(numbers) % 2 == 0
        plain = tuple(n for n in numbers if n is not None)
        if whole and len(plain) == len(numbers) and len(plain) <= _MOST_CORNERS and _near(*plain):
            polygon = tuple(zip(plain[::2], plain[1::2], strict=True))
    if rectangle is None and circle is None and not polygon:
        return None
    value = data.number(T.SHUTTER_VALUE)
    return _shared(Shutter(rectangle, circle, polygon, min(max((value or 0.0) / 65535, 0.0), 1.0)))


def _near(*numbers: float | None) -> bool:
    """True where all numbers are places that a picture could have."""
    return all(number is not None and abs(number) < 1e6 for number in numbers)


@lru_cache(maxsize=256)
def _shared(shutter: Shutter) -> Shutter:
    """One instance for all equal shutters."""
    return shutter

"""Fill: the connected area under the pointer, in one cut."""

from __future__ import annotations

import numpy as np

from medviewer.annotation.segmentation import Segmentation
from medviewer.annotation.tools.polygon import picture_patch
from medviewer.annotation.tools.stroke import Patch
from medviewer.errors import Refused
from medviewer.volume.plane import PlaneAxes

NAME = "fill"


def fill_patch(segmentation: Segmentation, axes: PlaneAxes, position: int, pixel: tuple[float, float]) -> Patch | None:
    """The pixels of one cut that hang together with the one under the pointer and have its number (4 neighbours).

    Args:
        segmentation: what is filled.
        axes: how the picture is cut.
        position: index of the cut along the plane's through axis.
        pixel: (row, column) in the picture.

    Returns:
        The area, or None outside the picture.

    Raises:
        Refused: background that reaches the edge of the picture: an outline with a gap, or a click beside it.
    """
    from scipy import ndimage

    if not 0 <= position < axes.count(segmentation.size_kji):
        return None
    picture = axes.cut(segmentation.labelmap, position)
    row, column = (int(np.floor(n + 0.5)) for n in pixel)
    if not (0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]):
        return None
    number = picture[row, column]
    parts, _ = ndimage.label(picture == number)
    area = parts == parts[row, column]
    if number == 0 and (area[[0, -1]].any() or area[:, [0, -1]].any()):
        raise Refused(
            "the area under the pointer is open: it reaches the edge of the image",
            remedy="close the outline, or click inside it",
        )
    rows, columns = np.flatnonzero(area.any(axis=1)), np.flatnonzero(area.any(axis=0))
    part = area[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return picture_patch(segmentation.size_kji, axes, position, (int(rows[0]), int(columns[0])), part)

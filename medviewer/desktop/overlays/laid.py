"""What files lay over the shown images, as a person sees it: parts with names and colours, shown or hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import colour_of
from medviewer.formats.contours import LaidContours
from medviewer.formats.dicom.objects.dose import Dose, dose_text
from medviewer.formats.laid import INSIDE, LaidSegment, LaidSegments, Space, Target

if TYPE_CHECKING:
    from medviewer.desktop.session import ReadingSession
    from medviewer.formats.overlays import Overlay
    from medviewer.volume.grid import Grid

Rgb = tuple[int, int, int]

#: Doses below this share of the largest are not coloured.
DOSE_FROM = 0.1

#: Shares of the largest dose that the scale names and isodose lines follow.
DOSE_STEPS = (0.8, 0.6, 0.4, 0.2, DOSE_FROM)

#: How strongly a mask's fill and a dose cover the picture at first.
MASK_OPACITY, DOSE_OPACITY = 0.3, 0.4


@dataclass(frozen=True, slots=True)
class Part:
    """A segment or structure of an object.

    Attributes:
        name, colour: as shown.
        facts: "12.4 ml", "automatic"; "" where there is nothing to say.
    """

    name: str
    colour: Rgb
    facts: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class LaidObject:
    """An object over the images.

    Attributes:
        overlay: its content, and where it comes from.
        summary: one line about it.
        parts: its segments or structures in the order of the content; none for a dose.
        hidden: indices of the parts that are not drawn.
        opacity: of fills, 0 to 1.
        isodoses: of a dose: draw the lines of equal dose too.
        space: where the image's voxels lie, for a dose, which is sampled as it is drawn.
    """

    overlay: Overlay
    summary: str
    parts: tuple[Part, ...] = ()
    hidden: frozenset[int] = field(default_factory=frozenset)
    opacity: float = MASK_OPACITY
    isodoses: bool = False
    space: Space | None = None

    def with_part(self, index: int, *, shown: bool) -> LaidObject:
        """The same with one part shown or hidden."""
        return replace(self, hidden=self.hidden - {index} if shown else self.hidden | {index})

    def with_all(self, *, shown: bool) -> LaidObject:
        """The same with all parts shown or hidden; a dose has itself as its only part."""
        everything = frozenset(range(max(1, len(self.parts))))
        return replace(self, hidden=frozenset() if shown else everything)

    def looking_like(self, other: LaidObject) -> LaidObject:
        """The same with what another one hides and how strongly it covers; parts are told by their names."""
        names = {other.parts[n].name for n in other.hidden if n < len(other.parts)}
        hidden = frozenset(n for n, part in enumerate(self.parts) if part.name in names)
        if not self.parts:
            hidden = other.hidden
        return replace(self, hidden=hidden, opacity=other.opacity, isodoses=other.isodoses)

    def with_isodoses(self, shown: bool) -> LaidObject:
        """The same with or without lines of equal dose."""
        return replace(self, isodoses=shown)

    def with_opacity(self, opacity: float) -> LaidObject:
        """The same with fills that cover the picture more or less, 0 to 1."""
        return replace(self, opacity=min(1.0, max(0.0, opacity)))


def laid_object(overlay: Overlay, summary: str, target: Target) -> LaidObject:
    """An overlay as it is first shown on an image; volumes are counted here (in a job)."""
    content, grid = overlay.content, target.grid
    if isinstance(content, LaidSegments):
        parts = [_segment_part(n, s, grid, content.kind) for n, s in enumerate(content.segments)]
        return LaidObject(overlay, summary, tuple(parts))
    if isinstance(content, LaidContours):
        parts = [
            Part(s.name, s.colour or colour_of(n + 1), _contour_facts(s.kind, [c.kind for c in s.contours]))
            for n, s in enumerate(content.structures)
        ]
        return LaidObject(overlay, summary, tuple(parts))
    words = f"{overlay.kind} - {content.summary}"
    return LaidObject(overlay, words, opacity=DOSE_OPACITY, space=target.space)


def _segment_part(index: int, segment: LaidSegment, grid: Grid | None, kind: str) -> Part:
    described = segment.description
    facts = []
    if segment.is_empty:
        facts.append("empty")
    elif grid is not None:
        millilitres = np.count_nonzero(segment.mask) * grid.voxel_volume_mm3 / 1000
        facts.append(f"{millilitres:.{2 if millilitres < 10 else 1 if millilitres < 100 else 0}f} ml")
    if kind == "fractional" and not segment.is_empty:
        facts[-1:] = [f"{facts[-1]} at ½"] if grid is not None else []
    if described.algorithm_type != "MANUAL":
        facts.append(described.algorithm_type.lower())
    return Part(described.label, described.colour or colour_of(index + 1), " · ".join(facts))


def _contour_facts(kind: str, contours: list[str]) -> str:
    count = len(contours)
    points = all(c == "POINT" for c in contours)
    noun = "point" if points else "contour"
    return " · ".join(part for part in (kind, f"{count} {noun}{'s' if count != 1 else ''}") if part)


def images_under(laid: LaidObject, size_kji: tuple[int, int, int]) -> range | None:
    """The slices (from 0) that something of an object lies on; empty where all of it is outside, None for a dose."""
    content = laid.overlay.content
    if isinstance(content, LaidSegments):
        spans = [(s.start_kji[0], s.start_kji[0] + s.shares.shape[0]) for s in content.segments if not s.is_empty]
    elif isinstance(content, LaidContours):
        boxes = [(line.min(axis=0), line.max(axis=0)) for lines in content.lines for _, line in lines if len(line)]
        spans = [
            (max(int(np.rint(low[0])), 0), min(int(np.rint(high[0])) + 1, size_kji[0]))
            for low, high in boxes
            if (high >= -0.5).all() and (low <= np.asarray(size_kji) - 0.5).all()
        ]
    else:
        return None
    spans = [(first, end) for first, end in spans if first < end]
    return range(min((first for first, _ in spans), default=0), max((end for _, end in spans), default=0))


def where_it_lies(laid: LaidObject, size_kji: tuple[int, int, int], at: int) -> tuple[str, bool]:
    """Where an object lies, for the status line, counted from 1 as the pictures are.

    Args:
        laid: the object.
        size_kji: of the image.
        at: the slice that is shown, from 0.

    Returns:
        A sentence, and whether anything of it lies in the image at all.
    """
    name, images = laid.overlay.path.name, images_under(laid, size_kji)
    if images is None:
        return f"{name} lies over the images.", True
    if not images:
        return f"Nothing of {name} lies in these images.", False
    first, last = images.start + 1, images.stop
    where = f"image {first}" if first == last else f"images {first} to {last}"
    return f"{name} lies over {where}" + ("." if at in images else f"; image {at + 1} is shown."), True


def change(session: ReadingSession, path: Path, how: Callable[[LaidObject], LaidObject]) -> None:
    """Another state of one of the session's objects: `change(session, path, lambda o: o.with_part(2, shown=False))`."""
    session.set_laid(tuple(how(o) if o.overlay.path == path else o for o in session.laid))


def take_away(session: ReadingSession, path: Path) -> None:
    """Lay an object over the images no more."""
    session.set_laid(tuple(o for o in session.laid if o.overlay.path != path))


def words_at(session: ReadingSession, index_kji: tuple[int, int, int]) -> tuple[str, ...]:
    """What the objects over the images say about a voxel: names of segments, doses."""
    words: list[str] = []
    for laid in session.laid:
        content = laid.overlay.content
        if isinstance(content, LaidSegments):
            words += _segments_at(content, laid, index_kji)
        elif isinstance(content, Dose) and laid.space is not None and not laid.hidden:
            value = float(content.at(laid.space.index_to_lps(np.asarray(index_kji, dtype=np.float64))))
            if np.isfinite(value):
                words.append(dose_text(value, content.unit))
    return tuple(words)


def _segments_at(content: LaidSegments, laid: LaidObject, index_kji: tuple[int, int, int]) -> list[str]:
    found = []
    for n, segment in enumerate(content.segments):
        inside = tuple(a - b for a, b in zip(index_kji, segment.start_kji, strict=True))
        if n in laid.hidden or not all(0 <= a < size for a, size in zip(inside, segment.shares.shape, strict=True)):
            continue
        share = int(segment.shares[inside])
        if content.kind == "fractional" and share:
            found.append(f"{laid.parts[n].name} {share / 255:.2f}")
        elif share >= INSIDE:
            found.append(laid.parts[n].name)
    return found


#: Colours of a dose from none to the largest: the order that radiotherapy reads without a legend.
_STOPS: tuple[tuple[float, Rgb], ...] = (
    (0.0, (30, 40, 160)),
    (0.25, (0, 140, 255)),
    (0.45, (0, 210, 130)),
    (0.65, (250, 225, 40)),
    (0.85, (255, 120, 0)),
    (1.0, (230, 0, 30)),
)


def dose_colours() -> NDArray[np.uint8]:
    """256 RGB colours of a dose, from 0 to the largest."""
    at = [stop for stop, _ in _STOPS]
    share = np.linspace(0, 1, 256)
    channels = [np.interp(share, at, [rgb[c] for _, rgb in _STOPS]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)

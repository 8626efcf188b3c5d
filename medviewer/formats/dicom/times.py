"""Slices at one place: several times, echoes, b-values, or a double.

The first attribute that tells all pictures at one place apart decides; its values become the times of a 4-D
stack where each value has the same places, else stacks of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, Protocol, TypeVar

from medviewer.formats.catalog import Quality
from medviewer.formats.dicom.planes import FramePlane

#: Attributes in the order in which they are tried; the number of units is for labels.
_KEYS: dict[str, str] = {
    "temporal": "time {:g}", "b": "b {:g}", "b+gradient": "b {}", "echo number": "echo {:g}", "TE": "TE {:g} ms",
    "TI": "TI {:g} ms", "trigger": "trigger {:g} ms", "acquisition": "acquisition {:g}", "image type": "{}",
    "stack": "stack {}", "phase": "phase {:g}", "acquisition time": "{}", "kernel": "{}", "contrast": "{}",
    "kV": "{:g} kV", "dimension 1": "index {:g}", "dimension 2": "index {:g}", "dimension 3": "index {:g}",
    "dimension 4": "index {:g}", "time": "{}",
}  # fmt: skip

#: Only these are tried in pairs.
_PAIRED = ("temporal", "b+gradient", "echo number", "TE", "TI", "trigger", "acquisition", "image type", "stack")


class HasPlane(Protocol):
    """What is split: anything with a FramePlane and an order without geometry."""

    @property
    def plane(self) -> FramePlane:
        """Geometry and distinguishing attributes."""
        ...

    @property
    def order(self) -> tuple[int, str, int]:
        """Order without geometry."""
        ...


P = TypeVar("P", bound=HasPlane)


@dataclass(frozen=True, slots=True)
class TimeSplit(Generic[P]):
    """One stack's pictures: by time, each time in the order of places.

    Attributes:
        times: pictures of each time; all times have the same places.
        labels: a name for each time, "" where there is only one.
        name: what distinguishes this stack from its sisters, "" if nothing.
        quality: faults found on the way.
    """

    times: tuple[tuple[P, ...], ...]
    labels: tuple[str, ...]
    name: str = ""
    quality: tuple[Quality, ...] = ()


def split_times(pictures: Sequence[P], places: Sequence[int]) -> list[TimeSplit[P]]:
    """Split pictures, sorted by place, into stacks without doubles.

    Args:
        pictures: sorted along the normal.
        places: a number for each picture, equal for pictures at one place.
    """
    by_place: dict[int, list[P]] = defaultdict(list)
    for picture, place in zip(pictures, places, strict=True):
        by_place[place].append(picture)
    most = max(len(group) for group in by_place.values())
    if most == 1:
        return [TimeSplit((tuple(pictures),), ("",))]
    place_of = {id(picture): place for picture, place in zip(pictures, places, strict=True)}
    singles = [(name,) for name in _KEYS]
    for names in [*singles, *combinations(_PAIRED, 2)]:
        groups = _groups(pictures, names)
        if groups is not None and _tells_apart(groups, place_of, most):
            return _by_groups(groups, names, place_of)
    return _by_rank(by_place)


Value = tuple[float | str, ...]


def _groups(pictures: Sequence[P], names: tuple[str, ...]) -> dict[Value, list[P]] | None:
    """Pictures by their values of some attributes; None where one of them lacks one."""
    groups: dict[Value, list[P]] = defaultdict(list)
    for picture in pictures:
        value: list[float | str] = []
        for name in names:
            part = picture.plane.key(name)
            if part is None:
                return None
            value.append(part)
        groups[tuple(value)].append(picture)
    return groups


def _tells_apart(groups: dict[Value, list[P]], place_of: dict[int, int], most: int) -> bool:
    """True where no group has two pictures at one place and the groups are not a mere scatter of single pictures."""
    if not 2 <= len(groups) <= 2 * most:
        return False
    return all(len({place_of[id(p)] for p in group}) == len(group) for group in groups.values())


def _label(names: tuple[str, ...], value: Value) -> str:
    parts = []
    for name, part in zip(names, value, strict=True):
        text = part
        if name == "b+gradient" and isinstance(part, str):
            b, _, gradient = part.partition(" ")
            text = f"{float(b):g}" + (f" ({gradient})" if gradient else "")
        parts.append(_KEYS[name].format(text))
    return ", ".join(parts)


def _by_groups(groups: dict[Value, list[P]], names: tuple[str, ...], place_of: dict[int, int]) -> list[TimeSplit[P]]:
    """A 4-D stack of the groups that cover the same places; the others stand for themselves."""
    all_text = any(isinstance(part, str) for value in groups for part in value)
    ordered = sorted(groups, key=lambda value: tuple(str(p) for p in value) if all_text else value)
    by_places: dict[tuple[int, ...], list[Value]] = defaultdict(list)
    for value in ordered:
        by_places[tuple(place_of[id(p)] for p in groups[value])].append(value)
    splits: list[TimeSplit[P]] = []
    for values in by_places.values():
        times = tuple(tuple(groups[value]) for value in values)
        labels = tuple(_label(names, value) for value in values)
        if len(values) == 1:
            splits.append(TimeSplit(times, ("",), name=labels[0]))
        else:
            splits.append(TimeSplit(times, labels))
    if len(splits) > 1 and any(len(s.times) > 1 for s in splits):
        fault = Quality("4d-irregular", "not every time has a picture at every place: the rest stands apart")
        splits = [TimeSplit(s.times, s.labels, s.name, (fault,)) for s in splits]
    return splits


def _by_rank(by_place: dict[int, list[P]]) -> list[TimeSplit[P]]:
    """Nothing tells them apart but their order: times by order where all places have as many, else doubles."""
    ranked = [sorted(group, key=lambda p: p.order) for _, group in sorted(by_place.items())]
    least, most = min(map(len, ranked)), max(map(len, ranked))
    times = tuple(tuple(group[n] for group in ranked) for n in range(least))
    labels = tuple(f"time {n + 1}" for n in range(least)) if least > 1 else ("",)
    if least == most:
        return [TimeSplit(times, labels)]
    rest = tuple(p for group in ranked for p in group[least:])
    doubled = [n for n, group in enumerate(ranked) if len(group) > least]
    if least == 1:
        where = ", ".join(str(n + 1) for n in doubled[:5]) + (", ..." if len(doubled) > 5 else "")
        detail = f"{len(rest)} more picture{'s' if len(rest) > 1 else ''} at an occupied place (slice {where})"
        fault = Quality("duplicate-slice", detail)
    else:
        fault = Quality("4d-irregular", f"{len(rest)} pictures belong to no complete time")
    splits = [TimeSplit(times, labels, quality=(fault,))]
    layers = most - least
    for n in range(layers):
        layer = tuple(group[least + n] for group in ranked if len(group) > least + n)
        splits.append(
            TimeSplit((layer,), ("",), name=f"doubles {n + 1}" if layers > 1 else "doubles", quality=(fault,))
        )
    return splits

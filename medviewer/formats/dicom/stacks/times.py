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
from medviewer.formats.dicom.headers.planes import FramePlane
from medviewer.formats.dicom.stacks.time_labels import group_labels
from medviewer.formats.quality import counted

#: Attributes in the order in which they are tried.
_KEYS = (
    "temporal", "b", "b+gradient", "echo number", "TE", "TI", "trigger", "acquisition", "component", "image type",
    "stack", "phase", "acquisition time", "kernel", "contrast", "kV",
    *(f"dimension {n}" for n in range(1, 9)), "time",
)  # fmt: skip
#: Only these are tried in pairs.
_PAIRED = (
    "temporal", "b+gradient", "echo number", "TE", "TI", "trigger", "acquisition", "component", "image type", "stack",
)  # fmt: skip
#: Attributes that rise with time: where each place has its own values (a heart's triggers), their order counts.
_RISING = ("trigger", "temporal", "phase", "acquisition time", "time")
#: Where the values of these do not all cover the same places, each is a stack of its own: they are kinds of picture,
#: not moments of one measurement.
_KINDS = frozenset({"echo number", "TE", "TI", "component", "image type", "stack", "kernel", "contrast", "kV"})


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
    for name in _RISING:
        ranked = _ranked_by(by_place, name)
        if ranked is not None:
            return [ranked]
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
    """True where no group has two pictures at one place and the groups are not a mere scatter of few pictures."""
    pictures, places = sum(map(len, groups.values())), len(set(place_of.values()))
    if not 2 <= len(groups) <= 2 * most or (len(groups) > most and 2 * pictures <= len(groups) * places):
        return False
    return all(len({place_of[id(p)] for p in group}) == len(group) for group in groups.values())


def _by_groups(groups: dict[Value, list[P]], names: tuple[str, ...], place_of: dict[int, int]) -> list[TimeSplit[P]]:
    """A 4-D stack of the groups that cover the same places; the others stand for themselves."""
    ordered = sorted(groups)
    named = group_labels(names, [(value, [p.plane for p in groups[value]]) for value in ordered])
    label_of = dict(zip(ordered, named, strict=True))
    by_places: dict[tuple[int, ...], list[Value]] = defaultdict(list)
    for value in ordered:
        by_places[tuple(place_of[id(p)] for p in groups[value])].append(value)
    if len(by_places) > 1 and _KINDS.issuperset(names):
        return [TimeSplit((tuple(groups[value]),), ("",), name=label_of[value]) for value in ordered]
    splits: list[TimeSplit[P]] = []
    for values in by_places.values():
        times = tuple(tuple(groups[value]) for value in values)
        labels = tuple(label_of[value] for value in values)
        if len(values) == 1:
            splits.append(TimeSplit(times, ("",), name=labels[0]))
        else:
            splits.append(TimeSplit(times, labels))
    splits.sort(key=lambda split: -len(split.times))
    if len(splits) > 1 and len(splits[0].times) > 1:
        apart = ", ".join(split.name or f"{len(split.times)} times" for split in splits[1:6])
        more = ", ..." if len(splits) > 6 else ""
        fault = Quality("4d-irregular", f"not every time has an image at every place: {apart}{more} stand apart")
        splits = [TimeSplit(s.times, s.labels, s.name, (fault,)) for s in splits]
    return splits


def _ranked_by(by_place: dict[int, list[P]], name: str) -> TimeSplit[P] | None:
    """Times by the order of a rising attribute within each place; None where it does not tell all of them apart."""
    sizes = {len(group) for group in by_place.values()}
    if len(sizes) > 1:
        return None
    ranked: list[list[tuple[float | str, P]]] = []
    for _, group in sorted(by_place.items()):
        valued = [(value, p) for p in group if (value := p.plane.key(name)) is not None]
        if len(valued) < len(group) or len({value for value, _ in valued}) < len(group):
            return None
        ranked.append(sorted(valued, key=lambda pair: pair[0]))
    count = sizes.pop()
    labels = tuple(f"time {n + 1}" for n in range(count))
    if name == "trigger":
        means = [sum(float(group[n][0]) for group in ranked) / len(ranked) for n in range(count)]
        labels = tuple(f"trigger ≈ {mean:.0f} ms" for mean in means)
    return TimeSplit(tuple(tuple(group[n][1] for group in ranked) for n in range(count)), labels)


def _by_rank(by_place: dict[int, list[P]]) -> list[TimeSplit[P]]:
    """Nothing tells them apart but their order: times by order where all places have as many, else doubles."""
    ranked = [sorted(group, key=lambda p: p.order) for _, group in sorted(by_place.items())]
    least, most = min(map(len, ranked)), max(map(len, ranked))
    times = tuple(tuple(group[n] for group in ranked) for n in range(least))
    labels = tuple(f"time {n + 1}" for n in range(least)) if least > 1 else ("",)
    if least == most:
        return [TimeSplit(times, labels)]
    rest = tuple(p for group in ranked for p in group[least:])
    doubled = tuple(n for n, group in enumerate(ranked) if len(group) > least)
    more = f"{len(rest)} more {'image' if len(rest) == 1 else 'images'}"
    if least == 1:
        detail = f"{more} at the place of image {counted(doubled)}: kept apart, the one with the lowest number is here"
        fault = Quality("duplicate-slice", detail, f"{len(rest)} duplicate{'s' if len(rest) > 1 else ''}", doubled)
    else:
        fault = Quality("4d-irregular", f"{more} at the place of image {counted(doubled)} belong to no complete time")
    splits = [TimeSplit(times, labels, quality=(fault,))]
    layers = most - least
    for n in range(layers):
        layer = tuple(group[least + n] for group in ranked if len(group) > least + n)
        apart = Quality(fault.code, fault.detail, fault.short)
        splits.append(
            TimeSplit((layer,), ("",), name=f"doubles {n + 1}" if layers > 1 else "doubles", quality=(apart,))
        )
    return splits

"""Volumes of equal grids that come from different multi-frame files of one series, joined to one 4-D stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medviewer.formats.catalog import Quality, Stack, StackKind
from medviewer.formats.dicom.headers.planes import FramePlane
from medviewer.formats.dicom.stacks.time_labels import group_labels

#: Modalities of which each file stands for itself: another view is no other time.
ONE_BY_ONE = frozenset({"CR", "DX", "MG", "IO", "PX"})
#: What may tell the files apart, in the order in which it is tried.
_KEYS = ("temporal", "b+gradient", "TE", "TI", "trigger", "phase", "component", "acquisition", "acquisition time")


def join_files(stacks: Sequence[Stack], planes_of: Mapping[Path, Sequence[FramePlane]]) -> list[Stack]:
    """Stacks of one series with files of equal grids joined; each file becomes a time.

    Args:
        stacks: in reading order.
        planes_of: the planes of each file's frames.
    """
    joined: list[Stack] = []
    groups: list[list[Stack]] = []
    for stack in stacks:
        one_file = stack.size_kji[0] > 1 and len({f.path for f in stack.frames}) == 1
        if stack.grid is None or stack.times != 1 or not one_file or stack.modality in ONE_BY_ONE:
            joined.append(stack)
            continue
        for group in groups:
            if _fits(group[0], stack):
                group.append(stack)
                break
        else:
            groups.append([stack])
    return joined + [group[0] if len(group) == 1 else _joined(group, planes_of) for group in groups]


def _fits(first: Stack, other: Stack) -> bool:
    def facts(stack: Stack) -> tuple[object, ...]:
        return (
            stack.name, stack.dtype, stack.modality, stack.inverted, stack.sop_class_uid, stack.frame_of_reference_uid,
            stack.text.laterality,
        )  # fmt: skip

    assert first.grid is not None and other.grid is not None
    return facts(first) == facts(other) and other.grid.same_as(first.grid)


def _joined(group: Sequence[Stack], planes_of: Mapping[Path, Sequence[FramePlane]]) -> Stack:
    ordered, labels = _in_order(group, planes_of)
    faults: dict[str, Quality] = {}
    for stack in ordered:
        for fault in stack.quality:
            faults.setdefault(fault.code, fault)
    return replace(
        group[0],
        kind=StackKind.FOUR_D,
        times=len(ordered),
        frames=tuple(frame for stack in ordered for frame in stack.frames),
        time_labels=labels,
        quality=tuple(faults.values()),
    )


def _in_order(
    group: Sequence[Stack], planes_of: Mapping[Path, Sequence[FramePlane]]
) -> tuple[Sequence[Stack], tuple[str, ...]]:
    """By the first attribute that tells the files apart, with its labels; else as they come."""
    planes = [[planes_of[f.path][f.frame] for f in stack.frames] for stack in group]
    for name in _KEYS:
        values = [_first(own, name) for own in planes]
        if None in values or len(set(values)) < len(group):
            continue
        known = [value for value in values if value is not None]
        order = sorted(range(len(group)), key=lambda n: known[n])
        labels = group_labels((name,), [((known[n],), planes[n]) for n in order])
        return [group[n] for n in order], labels
    return group, tuple(f"file {n + 1}" for n in range(len(group)))


def _first(planes: Sequence[FramePlane], name: str) -> float | str | None:
    """The value of all planes; of a time of day the earliest."""
    found = [plane.key(name) for plane in planes]
    known = [value for value in found if value is not None]
    if len(known) < len(found):
        return None
    return min(known) if name == "acquisition time" or len(set(known)) == 1 else None

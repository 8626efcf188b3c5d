"""Training samples: what a case of the queue carries so that training needs neither the study nor the window.

Nodule tasks: one sample a connected lesion (of what is drawn in the window: one a segment), `images` uint8
`[k, 96, 96]` (254 is 1.0), `mask` float32 of the same shape (0 or 1, or the share of readers), `click_kji`, `pixel_mm`,
`slice_spacing_mm`. Volume tasks: `image` float32 and `label` uint8 `[k, j, i]` (numbers in the order of the card's
labels), `spacing` in mm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import Box, Segment, box_of_true
from medviewer.errors import BadInput, Refused
from medviewer.inference.nodule_crop import nodule_crop
from medviewer.learning.datasets.hippocampus import read_cases
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.datasets.volume_samples import sample_arrays
from medviewer.volume.volume import Volume

#: Slices without a mask that are kept above and below a lesion, so that its end is learned too.
END_SLICES = 2
#: A speck of fewer voxels is a slip of the hand, not a lesion.
SMALLEST_LESION = 4
#: A lesion may lose this share of its voxels at the rim of the 96 x 96 crop.
LOST_SHARE = 0.1

NODULE_KIND, VOLUME_KIND = "nodule-segment", "volume-segment"


@dataclass(frozen=True, slots=True, eq=False)
class LesionSample:
    """A sample and what it is of.

    Attributes:
        name: of the lesion inside its study ("segment 1 at 12,210,155").
        number: segment number it was drawn with.
        arrays: of the sample.
        patient: patient id where the source knows it (training sets), else "".
        ordinal: which of several lesions of one segment, from 1 in stack order.
    """

    name: str
    number: int
    arrays: dict[str, NDArray[Any]]
    patient: str = ""
    ordinal: int = 1


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What making samples needs to know of a task.

    Attributes:
        task: its name.
        kind: of its models.
        labels: names of its labels, from 1.
        config: config.json of the champion, which says how volume tasks see a picture; empty: it is looked up.
    """

    task: str
    kind: str
    labels: tuple[str, ...]
    config: Mapping[str, Any] = field(default_factory=dict)


def task_facts(task: str) -> TaskFacts:
    """Kind and labels of a task, from the card of its champion.

    Raises:
        BadInput: there is no such task.
        Refused: its models are not retrained from outlines.
    """
    from medviewer.inference.store import ModelStore

    package = ModelStore().champion(task)
    card = package.card
    if card.kind not in (NODULE_KIND, VOLUME_KIND):
        raise Refused(f"{task} does not learn from outlines ({card.kind})", remedy="queue for a segmentation task")
    return TaskFacts(card.task, card.kind, card.labels, package.config)


def samples_of_volume(
    facts: TaskFacts,
    volume: Volume,
    labelmap: NDArray[np.uint8],
    segments: Sequence[Segment] = (),
    *,
    one_a_segment: bool = False,
) -> tuple[list[LesionSample], list[str]]:
    """Samples of what was drawn in a study, and a sentence for each part that gives none.

    Args:
        facts: of the task.
        volume: the study, with geometry.
        labelmap: segment numbers `[k, j, i]` on the volume's grid; only what the task is about.
        segments: what the numbers are (volume tasks match them to the card's labels by name, else by number; nodule
            tasks take a further number for a further lesion only where it has a name of its own).
        one_a_segment: nodule tasks: each segment is one lesion, whatever its number, so only its largest part is
            taken and a stroke that went astray elsewhere is not. Else each connected part is a lesion.

    Raises:
        BadInput: no geometry, or nothing drawn, or a number that the task has no label for.
    """
    if volume.grid is None:
        raise BadInput("this study has no geometry, so no training sample can be cut from it")
    if labelmap.shape != volume.size_kji:
        raise BadInput(f"the mask {labelmap.shape} does not fit the study {volume.size_kji}")
    if not labelmap.any():
        raise BadInput("nothing is drawn, so there is nothing to learn from")
    if facts.kind == NODULE_KIND:
        if not one_a_segment:
            _check_numbers(facts, labelmap, segments)
        return _lesions(volume, labelmap, one_a_segment=one_a_segment)
    return [_whole(facts, volume, labelmap, segments)], []


def _check_numbers(facts: TaskFacts, labelmap: NDArray[np.uint8], segments: Sequence[Segment]) -> None:
    """Refuse numbers that are neither a label of the task nor a segment that somebody has named."""
    named = {s.number for s in segments if s.label.strip() not in ("", f"Segment {s.number}")}
    for number in (int(n) for n in np.unique(labelmap) if n > len(facts.labels)):
        if number not in named:
            raise _no_label(facts, number)


def _no_label(facts: TaskFacts, number: int) -> BadInput:
    known = ", ".join(f"{n} {name}" for n, name in enumerate(facts.labels, start=1))
    noun = "its only label is" if len(facts.labels) == 1 else "its labels are"
    return BadInput(f"{facts.task} has no label {number}", remedy=f"{noun} {known}")


def _lesions(
    volume: Volume, labelmap: NDArray[np.uint8], *, one_a_segment: bool
) -> tuple[list[LesionSample], list[str]]:
    from scipy import ndimage

    samples: list[LesionSample] = []
    left_out: list[str] = []
    specks: list[tuple[int, list[int]]] = []
    hull = box_of_true(labelmap != 0)
    assert hull is not None
    drawn = labelmap[hull.slices]
    for number in (int(n) for n in np.unique(drawn) if n):
        parts, count = ndimage.label(drawn == number, structure=np.ones((3, 3, 3)))
        voxels = np.bincount(parts.ravel(), minlength=count + 1)
        lesions = [n for n in range(1, count + 1) if voxels[n] >= SMALLEST_LESION]
        if one_a_segment and len(lesions) > 1:
            left_out.append(f"segment {number} lies in {len(lesions)} places: only the largest part was queued")
            lesions = [max(lesions, key=lambda n: int(voxels[n]))]
        for n, where in enumerate(ndimage.find_objects(parts, max_label=count), start=1):
            start = [a + s.start for a, s in zip(hull.start_kji, where, strict=True)]
            if voxels[n] < SMALLEST_LESION:
                specks.append((int(voxels[n]), start))
            if n not in lesions:
                continue
            mask = parts[where] == n
            sample, lost = _lesion(volume, Box.of(start, mask.shape), mask)
            if lost > LOST_SHARE:
                left_out.append(f"the lesion at {_place(start)} is larger than the networks' field and was left out")
                continue
            ordinal = 1 + sum(s.number == number for s in samples)
            samples.append(LesionSample(f"segment {number} at {_place(start)}", number, sample, ordinal=ordinal))
    return samples, left_out + _about_specks(specks)


def _about_specks(specks: Sequence[tuple[int, Sequence[int]]]) -> list[str]:
    """One sentence about all of them, or none."""
    if not specks:
        return []
    most, place = max(n for n, _ in specks), _place(specks[0][1])
    noun = "1 voxel" if most == 1 else f"{most} voxels"
    if len(specks) == 1:
        return [f"a speck of {noun} at {place} was left out"]
    return [f"{len(specks)} specks of at most {noun} were left out, the first at {place}"]


def _place(index_kji: Iterable[int]) -> str:
    return ",".join(str(int(n)) for n in index_kji)


def _lesion(volume: Volume, box: Box, mask: NDArray[np.bool_]) -> tuple[dict[str, NDArray[Any]], float]:
    """The crop around one lesion as the networks see it, and the share of its voxels that the crop loses."""
    assert volume.grid is not None
    plane = int(np.argmax(mask.sum(axis=(1, 2))))
    rows, columns = np.nonzero(mask[plane])
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    k0, j0, i0 = box.start_kji
    click = (k0 + plane, j0 + int(rows[nearest]), i0 + int(columns[nearest]))
    slices = (k0 - END_SLICES, box.stop_kji[0] + END_SLICES)
    point = volume.grid.index_to_lps(click)
    crop = nodule_crop(volume, point.tolist(), slices=slices)
    target = np.zeros(crop.images.shape, dtype=np.float32)
    index = np.argwhere(mask) + np.asarray(box.start_kji) - np.asarray(crop.start_kji)
    inside = index[np.all((index >= 0) & (index < np.asarray(target.shape)), axis=1)]
    target[tuple(inside.T)] = 1.0
    arrays: dict[str, NDArray[Any]] = {
        "images": np.rint(crop.images * 254.0).astype(np.uint8),
        "mask": target,
        "click_kji": np.asarray([c - s for c, s in zip(click, crop.start_kji, strict=True)], dtype=np.int32),
        "pixel_mm": np.asarray(crop.pixel_mm),
        "slice_spacing_mm": np.asarray(crop.slice_spacing_mm),
    }
    return arrays, 1.0 - len(inside) / int(mask.sum())


def _whole(facts: TaskFacts, volume: Volume, labelmap: NDArray[np.uint8], segments: Sequence[Segment]) -> LesionSample:
    """Image and labels of a volume task, cut, turned and spaced as the task's net sees pictures."""
    names = {s.number: s.label.lower() for s in segments}
    lookup = np.zeros(256, dtype=np.uint8)
    for number in (int(n) for n in np.unique(labelmap) if n):
        label = names.get(number, "")
        if label in facts.labels:
            lookup[number] = facts.labels.index(label) + 1
        elif number <= len(facts.labels):
            lookup[number] = number
        else:
            raise _no_label(facts, number)
    config = facts.config or task_facts(facts.task).config
    return LesionSample("all labels", 0, sample_arrays(config, volume, lookup[labelmap]))


def samples_of_data(facts: TaskFacts, folder: Path, split: str, names: Sequence[str]) -> list[LesionSample]:
    """Cases of a folder in the training data's layout, with the readers' masks.

    Args:
        facts: of the task.
        folder: `SPLIT.npz` + `SPLIT.csv` for nodules, `SPLIT.zip` for volumes.
        split: "train" or "val".
        names: the cases: nodule names or file stems.

    Raises:
        BadInput: a file is missing or broken, or a case is unknown.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, LesionSample] = {}
    if facts.kind == NODULE_KIND:
        cases = NoduleSet(folder, split)
        rows = {row["nodule"]: n for n, row in enumerate(cases.rows)}
        for name in wanted:
            if name in rows:
                case = cases[rows[name]]
                arrays: dict[str, NDArray[Any]] = {
                    "images": case.images,
                    "mask": case.fraction,
                    "click_kji": np.asarray(case.click_kji, dtype=np.int32),
                    "pixel_mm": np.asarray(case.pixel_mm),
                    "slice_spacing_mm": np.asarray(case.slice_spacing_mm),
                }
                found[name] = LesionSample(name, 1, arrays, case.patient)
    else:
        for one in read_cases(folder, split):
            if one.name in wanted:
                arrays = {"image": one.image, "label": one.label, "spacing": np.asarray(one.spacing_kji)}
                found[one.name] = LesionSample(one.name, 0, arrays, one.name)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise BadInput(f"the split '{split}' has no case {unknown[0]!r}", path=folder, remedy="check the list of cases")
    return [found[name] for name in wanted]

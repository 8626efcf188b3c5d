"""A corrected case on its way into the queue: revision, training sample, queue entry. Run in a job; files only here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer import places
from medviewer.annotation.segmentation import Box, Segmentation
from medviewer.desktop.finding import Finding
from medviewer.desktop.marked import Marked
from medviewer.desktop.tasks import TaskFacts
from medviewer.errors import BadInput
from medviewer.formats.catalog import Stack
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.annotation.revision import EditSize, SuggestionSource, Verdict
    from medviewer.learning.queue import CorrectionQueue

Array = NDArray[Any]

#: How much of the picture around a structure a 3-D network learns from.
AROUND_MM = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """All that is known when a person says that a case is done.

    Attributes:
        task: what it teaches.
        marked: the segmentation as it was then.
        numbers: the segments that count for the task.
        volume, stack: the image; no stack for one that came from nowhere.
        suggestion: the accepted finding that it began with, or None.
        author: who did it; `minutes` with hands on, `tools` used.
    """

    task: TaskFacts
    marked: Marked
    numbers: tuple[int, ...]
    volume: Volume
    stack: Stack | None
    suggestion: Finding | None
    author: str
    minutes: float = 0.0
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queued:
    """What came of it: the revision's id, and the state ("pending", "held-out") of each case that was queued."""

    revision: str
    states: tuple[str, ...]


def open_queue() -> CorrectionQueue:
    """The user's queue."""
    from medviewer.learning.queue import CorrectionQueue

    return CorrectionQueue(places.data_folder() / "queue")


def mask_of(segmentation: Segmentation, numbers: tuple[int, ...]) -> tuple[Box, NDArray[np.uint8]]:
    """The voxels of some segments, numbered 1, 2, ... in that order, in the box around them.

    Raises:
        BadInput: none of them has a voxel.
    """
    hull: Box | None = None
    for number in numbers:
        box = segmentation.box(number)
        hull = hull if box is None else box.union(hull)
    if hull is None:
        raise BadInput("nothing is outlined in these segments", remedy="outline something first")
    part = segmentation.labelmap[hull.slices]
    mask = np.zeros(part.shape, dtype=np.uint8)
    for n, number in enumerate(numbers, start=1):
        mask[part == number] = n
    return hull, mask


def nodule_sample(volume: Volume, box: Box, mask: NDArray[np.uint8]) -> dict[str, Array]:
    """A nodule as the networks learn from it: crop and mask `[k, 96, 96]` around it, stretched as at inference.

    Args:
        volume: the CT, all slices loaded.
        box: around the mask's voxels.
        mask: `[k, j, i]` of the box, not 0 inside the nodule.

    Raises:
        BadInput: the volume has no geometry.
    """
    from medviewer.inference.nodule_crop import nodule_crop

    if volume.grid is None:
        raise BadInput("this stack has no geometry, so nothing can be learned from it")
    inside = np.argwhere(mask)
    middle = inside.mean(axis=0)
    nearest = inside[np.argmin(((inside - middle) ** 2).sum(axis=1))] + np.asarray(box.start_kji)
    point = [float(v) for v in volume.grid.index_to_lps(nearest)]
    crop = nodule_crop(volume, point, slices=(box.start_kji[0], box.stop_kji[0]))
    target = np.zeros(crop.images.shape, dtype=np.float32)
    frame = Box.of(crop.start_kji, crop.images.shape)
    k0, j0, i0 = (max(a, b) for a, b in zip(frame.start_kji, box.start_kji, strict=True))
    k1, j1, i1 = (min(a, b) for a, b in zip(frame.stop_kji, box.stop_kji, strict=True))
    shared = Box((k0, j0, i0), (k1, j1, i1))
    target[shared.moved(frame.start_kji).slices] = mask[shared.moved(box.start_kji).slices] != 0
    return {
        "images": crop.images,
        "mask": target,
        "pixel_mm": np.array(crop.pixel_mm),
        "slice_spacing_mm": np.array(crop.slice_spacing_mm),
        "click_kji": np.asarray(nearest - np.asarray(frame.start_kji), dtype=np.float64),
    }


def volume_sample(volume: Volume, box: Box, mask: NDArray[np.uint8]) -> dict[str, Array]:
    """A part of a volume as the 3-D networks learn from it: values, labels 1, 2, ... and spacing.

    The structure with `AROUND_MM` on every side, cut to the volume: a whole small crop stays as it is.
    """
    if volume.grid is None:
        raise BadInput("this stack has no geometry, so nothing can be learned from it")
    reach = [int(np.ceil(AROUND_MM / s)) for s in volume.grid.spacing_kji]
    size = [n + 2 * r for n, r in zip(box.size_kji, reach, strict=True)]
    around = Box.of([a - r for a, r in zip(box.start_kji, reach, strict=True)], size).cut_to(volume.size_kji)
    assert around is not None
    label = np.zeros(around.size_kji, dtype=np.uint8)
    label[box.moved(around.start_kji).slices] = mask
    return {
        "image": volume.values(around.start_kji, around.size_kji),
        "label": label,
        "spacing": np.asarray(volume.grid.spacing_kji),
    }


def distance_from(
    suggestion: Finding | None, segmentation: Segmentation, numbers: tuple[int, ...]
) -> tuple[SuggestionSource | None, EditSize | None]:
    """Which suggestion it began with, and how far it moved from it; both None for work from scratch."""
    from medviewer.annotation.revision import SuggestionSource, edit_size

    if suggestion is None or suggestion.outline is None:
        first = next((segmentation.segments[n].provenance for n in numbers if n in segmentation.segments), None)
        if first is None or not first.model:
            return None, None
        return SuggestionSource(first.task, first.model, first.device), None
    outline = suggestion.outline
    source = SuggestionSource(outline.task, outline.model, outline.device)
    whole: Box | None = None
    for number in suggestion.numbers:
        box = segmentation.box(number)
        whole = whole if box is None else box.union(whole)
    for part in outline.segments:
        whole = Box.of(part.start_kji, part.mask.shape).union(whole)
    cut = None if whole is None else whole.cut_to(segmentation.size_kji)
    if cut is None:
        return source, None
    before = np.zeros(cut.size_kji, dtype=np.uint8)
    for part in outline.segments:
        box = Box.of(part.start_kji, part.mask.shape)
        inside = box.cut_to(segmentation.size_kji)
        if inside is not None:
            before[inside.moved(cut.start_kji).slices] |= part.mask[inside.moved(box.start_kji).slices]
    after = np.isin(segmentation.labelmap[cut.slices], suggestion.numbers)
    return source, edit_size(before, after)


def store_correction(correction: Correction, context: JobContext) -> Queued:
    """Store the revision, make the training samples, and put the cases into the queue.

    A task with one label has one case a lesion, another one case in all. Lesions that are as they were in the revision
    before, and are in the queue, are not queued again.

    Raises:
        BadInput: nothing is outlined, the study has no patient ID, or the image cannot carry it.
        SaveFailed: full disk; nothing is lost, the work is still open and in the journal.
    """
    from medviewer.annotation.revision import ImageReference, RevisionStore, Work, image_reference, verdict_of
    from medviewer.learning.queue import NewCase

    context.report(0, 3, "Storing the revision")
    segmentation, stack = correction.marked.segmentation(), correction.stack
    mask_of(segmentation, correction.numbers)
    queue = open_queue()
    patient = "" if stack is None else stack.patient_id
    if not patient.strip():
        raise BadInput("the study has no patient ID, so its patient could not be kept out of training")
    store = RevisionStore()
    before = store.latest(segmentation.stack_id)
    source, edit = distance_from(correction.suggestion, segmentation, correction.numbers)
    verdict = verdict_of(edit, segmentation.is_empty) if edit is not None else _verdict(segmentation, correction)
    work = Work(
        author=correction.author,
        verdict=verdict,
        tool_minutes=correction.minutes,
        tools=correction.tools,
        parent="" if before is None else before.id,
        suggestion=source,
        edit=edit,
    )
    image = ImageReference(segmentation.stack_id) if stack is None else image_reference(stack, correction.volume)
    revision = store.store(segmentation, image, work)
    context.report(1, 3, "Making the training sample")
    known = {(case.task, case.subject) for case in queue.cases()}
    same = unchanged(segmentation, None if before is None else store.load(before.id))
    several = len(correction.task.labels) > 1
    groups = (correction.numbers,) if several else tuple((n,) for n in correction.numbers)
    added = []
    for group in groups:
        first = segmentation.segments[group[0]]
        subject = f"{segmentation.stack_id} {first.tracking_uid}"
        if all(n in same for n in group) and (correction.task.task, subject) in known:
            continue
        box, mask = mask_of(segmentation, group)
        sample = volume_sample if several else nodule_sample
        added.append(
            queue.add(
                NewCase(
                    task=correction.task.task,
                    patient_id=patient,
                    sample=sample(correction.volume, box, mask),
                    subject=subject,
                    author=correction.author,
                    revision=revision.id,
                    verdict=verdict if len(groups) == 1 else _verdict(segmentation, correction, group),
                    source="window",
                )
            )
        )
    return Queued(revision.id, tuple(str(case.state) for case in added))


def unchanged(now: Segmentation, before: Segmentation | None) -> frozenset[int]:
    """Numbers of the segments that have the very voxels they had in an earlier segmentation of the same grid."""
    if before is None or before.grid != now.grid:
        return frozenset()
    by_uid = {segment.tracking_uid: number for number, segment in before.segments.items()}
    same = set()
    for number, segment in now.segments.items():
        drawn, earlier = now.mask(number), None
        if segment.tracking_uid in by_uid:
            earlier = before.mask(by_uid[segment.tracking_uid])
        if (
            drawn is not None
            and earlier is not None
            and drawn[0] == earlier[0]
            and np.array_equal(drawn[1], earlier[1])
        ):
            same.add(number)
    return frozenset(same)


def _verdict(segmentation: Segmentation, correction: Correction, numbers: tuple[int, ...] | None = None) -> Verdict:
    """What the segments' own marks tell: made by hand, touched, or untouched."""
    from medviewer.annotation.revision import Verdict

    chosen = [segmentation.segments[n].provenance for n in numbers or correction.numbers]
    if not any(by.model for by in chosen):
        return Verdict.FROM_SCRATCH
    return Verdict.CORRECTED if any(by.edited or not by.model for by in chosen) else Verdict.UNTOUCHED

"""A corrected case on its way into the queue: revision, training sample, queue entry. Run in a job; files only here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medviewer import places
from medviewer.annotation.segmentation import Box, Segmentation
from medviewer.desktop.annotating.marked import Marked
from medviewer.desktop.suggesting.finding import Finding
from medviewer.desktop.suggesting.tasks import TaskFacts
from medviewer.errors import BadInput
from medviewer.formats.catalog import Stack
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.annotation.revision import EditSize, SuggestionSource, Verdict
    from medviewer.learning.queue import CorrectionQueue


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
    """What came of it: the revision's id, the state ("pending", "held-out") of each case, and what gave no case."""

    revision: str
    states: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def open_queue() -> CorrectionQueue:
    """The user's queue."""
    from medviewer.learning.queue import CorrectionQueue

    return CorrectionQueue(places.data_folder() / "queue")


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

    Lesions that are as they were in the revision before, and are in the queue, are not queued again.

    Raises:
        BadInput: nothing is outlined, or nothing changed; nothing is stored then.
        SaveFailed: full disk; nothing is lost, the work is still open and in the journal.
    """
    from medviewer.annotation.revision import RevisionStore, Work, verdict_of
    from medviewer.learning import samples
    from medviewer.learning.done import finish

    segmentation, stack = correction.marked.segmentation(), correction.stack
    if stack is None:
        raise BadInput("this picture came from no file, so nothing can be stored about it")
    queue, store = open_queue(), RevisionStore()
    before = store.latest(stack.id)
    known = {case.revision for case in queue.cases(correction.task.task)}
    same = frozenset() if before is None or before.id not in known else unchanged(segmentation, store.load(before.id))
    numbers = tuple(n for n in correction.numbers if n not in same)
    if not numbers:
        raise BadInput("nothing changed since this case was queued")
    source, edit = distance_from(correction.suggestion, segmentation, correction.numbers)
    work = Work(
        author=correction.author,
        verdict=_verdict(segmentation, numbers) if edit is None else verdict_of(edit, segmentation.is_empty),
        tool_minutes=correction.minutes,
        tools=correction.tools,
        parent="" if before is None else before.id,
        suggestion=source,
        edit=edit,
    )
    facts = samples.TaskFacts(correction.task.task, correction.task.kind, correction.task.labels)
    done = finish(
        facts,
        stack,
        correction.volume,
        segmentation,
        work,
        queue=queue,
        revisions=store,
        numbers=correction.numbers if len(facts.labels) > 1 else numbers,
        context=context,
    )
    return Queued(done.revision.id, tuple(str(case.state) for case in done.cases), done.left_out)


def unchanged(now: Segmentation, before: Segmentation) -> frozenset[int]:
    """Numbers of the segments that have the very voxels they had in an earlier segmentation of the same grid."""
    if before.grid != now.grid:
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


def _verdict(segmentation: Segmentation, numbers: tuple[int, ...]) -> Verdict:
    """What the segments' own marks tell: made by hand, touched, or untouched."""
    from medviewer.annotation.revision import Verdict

    chosen = [segmentation.segments[n].provenance for n in numbers]
    if not any(by.model for by in chosen):
        return Verdict.FROM_SCRATCH
    return Verdict.CORRECTED if any(by.edited or not by.model for by in chosen) else Verdict.UNTOUCHED

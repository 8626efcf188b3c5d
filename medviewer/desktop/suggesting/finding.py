"""Finding: one lesion that was asked about, and what the cards show of it. Plain values, no Qt objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.desktop.panels.finding import FindingState, FindingView, Opinion, SegmentFigures
from medviewer.desktop.panels.parts import seconds_text
from medviewer.desktop.panels.similar import SimilarView
from medviewer.desktop.suggesting.tasks import TaskBook, TaskFacts
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import SegmentMask, SimilarCase, Suggestion

#: The rating that has a line of its own.
MALIGNANCY = "malignancy"


@dataclass(frozen=True, slots=True)
class Part:
    """What one model said beside the outline: still waiting, an answer, or the reason why there is none."""

    answer: Suggestion | None = None
    why_not: str | None = None
    failed: bool = False

    @property
    def waiting(self) -> bool:
        """True until it has said something."""
        return self.answer is None and self.why_not is None


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One lesion that was asked about, with everything said about it and the verdict.

    Attributes:
        name: "Nodule 1".
        task: the outlining task.
        prompt: where a person pointed.
        state: where it is between click and verdict.
        outline: the outlining model's word so far.
        others: the words of the family's other models, by what they do ("classify", "similar").
        sentence: why not, what went wrong, when it was accepted.
        numbers: segment numbers after it was accepted.
    """

    name: str
    task: TaskFacts
    prompt: Prompt
    state: FindingState = FindingState.RUNNING
    outline: Suggestion | None = None
    others: Mapping[str, Part] = field(default_factory=dict)
    sentence: str = ""
    numbers: tuple[int, ...] = ()

    def with_other(self, does: str, part: Part) -> Finding:
        """The same finding with what another model says."""
        return replace(self, others={**self.others, does: part})


def next_name(task: TaskFacts, segmentation: Segmentation | None) -> str:
    """A name that no segment has: "Nodule 2" for a task with one label, the task's title for others."""
    if len(task.labels) > 1:
        return task.title
    word = (task.labels[0] if task.labels else "finding").capitalize()
    taken = set() if segmentation is None else {segment.label for segment in segmentation.segments.values()}
    return next(name for n in range(1, 1000) if (name := f"{word} {n}") not in taken)


def segments_of(
    finding: Finding, segmentation: Segmentation
) -> list[tuple[Segment, tuple[int, int, int], NDArray[np.uint8]]]:
    """The segments that accepting makes: segment, start and mask each; empty masks are left out."""
    outline = finding.outline
    if outline is None:
        return []
    provenance = Provenance(finding.task.task, outline.model, finding.task.version, outline.device)
    free = (n for n in range(1, 256) if n not in segmentation.segments)
    several = len(outline.segments) > 1
    taken = {segment.label for segment in segmentation.segments.values()}
    made: list[tuple[Segment, tuple[int, int, int], NDArray[np.uint8]]] = []
    for part in outline.segments:
        if not part.voxels:
            continue
        name = finding.name
        if several:
            word = part.label.capitalize()
            name = word if word not in taken else next(t for n in range(2, 1000) if (t := f"{word} {n}") not in taken)
        made.append((Segment.named(next(free), name, provenance=provenance), part.start_kji, part.mask))
    return made


def slices_of(segments: Sequence[SegmentMask]) -> tuple[int, int] | None:
    """First and last slice with a voxel of any segment, counted from 1; None where there is none."""
    found: list[int] = []
    for segment in segments:
        drawn = np.flatnonzero(np.asarray(segment.mask.any(axis=(1, 2))))
        found += [int(segment.start_kji[0] + k) for k in drawn]
    return (min(found) + 1, max(found) + 1) if found else None


def figures_of(finding: Finding, segmentation: Segmentation | None) -> tuple[SegmentFigures, ...]:
    """Sizes as they are now: of the segments once it was accepted, of the model's outline before."""
    if finding.state is not FindingState.ACCEPTED or segmentation is None:
        segments = () if finding.outline is None else finding.outline.segments
        return tuple(SegmentFigures(s.label, s.diameter_mm, s.volume_ml) for s in segments)
    made: list[SegmentFigures] = []
    for number in finding.numbers:
        if number in segmentation.segments:
            volume = segmentation.volume_ml(number)
            diameter = float((6000.0 * volume / np.pi) ** (1.0 / 3.0)) if volume > 0 else None
            made.append(SegmentFigures(segmentation.segments[number].label, diameter, volume))
    return tuple(made)


def slices_now(finding: Finding, segmentation: Segmentation | None) -> tuple[int, int] | None:
    """First and last slice as they are now, counted from 1; None where there is none."""
    if finding.state is not FindingState.ACCEPTED or segmentation is None:
        return slices_of(() if finding.outline is None else finding.outline.segments)
    boxes = [box for n in finding.numbers if (box := segmentation.box(n)) is not None]
    if not boxes:
        return None
    return min(b.start_kji[0] for b in boxes) + 1, max(b.stop_kji[0] for b in boxes)


def first_hint(task: TaskFacts | None) -> str:
    """What to do first, for the task of the shown stack (None: no model takes it)."""
    if task is None:
        return "No model for these pictures is installed; outline by hand with the brush (B)."
    what = f"a {task.labels[0]}" if len(task.labels) == 1 else f"the {task.title[0].lower()}{task.title[1:]}"
    return f"Click {what} with Suggest, or draw a box around it. The model proposes; you decide."


def finding_view(
    finding: Finding | None,
    book: TaskBook | None,
    *,
    has_study: bool,
    task: TaskFacts | None = None,
    segmentation: Segmentation | None = None,
) -> FindingView:
    """What the finding card shows; `task` is the one that would be asked next, `segmentation` has accepted ones."""
    if finding is None:
        hint = "" if book is None else first_hint(task)
        return FindingView(FindingState.NONE, sentence=hint) if has_study else FindingView(FindingState.NO_STUDY)
    outline = finding.outline
    segments = () if outline is None else outline.segments
    doing = "Segmenting other slices" if segments else "Outlining the clicked slice"
    return FindingView(
        state=finding.state,
        headline=finding.name,
        segments=figures_of(finding, segmentation),
        slices=slices_now(finding, segmentation),
        opinion=_opinion_of(finding, book),
        doing=doing,
        sentence=finding.sentence,
        remedy={FindingState.STALE: "Suggest again", FindingState.FAILED: "Try again"}.get(finding.state, ""),
        model=_model_line(finding),
        about=finding.task.about,
        notes=() if outline is None else outline.notes,
        can_edit=bool(segments),
    )


def _model_line(finding: Finding) -> str:
    parts = [f"{finding.task.task} {finding.task.version}"]
    if finding.outline is not None:
        parts.append({"cuda": "GPU", "cpu": "CPU"}.get(finding.outline.device, finding.outline.device))
        if finding.outline.stage == "complete":
            parts.append(seconds_text(finding.outline.seconds))
    return "  ".join(parts)


def _opinion_of(finding: Finding, book: TaskBook | None) -> Opinion | None:
    part = finding.others.get("classify")
    if part is None:
        return None
    task = None if book is None else book.beside(finding.task, "classify")
    source = "" if task is None else task.source
    if part.why_not is not None or part.answer is None:
        return Opinion(why_not=part.why_not, source=source, waiting=part.waiting)
    said = part.answer
    return Opinion(
        probability=said.probability,
        interval=said.interval,
        rating=said.rating if said.rating is not None else said.ratings.get(MALIGNANCY),
        rating_interval=said.rating_interval,
        ratings={name: value for name, value in said.ratings.items() if name != MALIGNANCY},
        source=source,
    )


def similar_view(case: SimilarCase, picture: NDArray[np.uint8] | None) -> SimilarView:
    """One similar case as its tile shows it."""
    return SimilarView(
        case=case.case,
        rating=case.ratings.get(MALIGNANCY),
        diameter_mm=case.diameter_mm,
        distance=case.distance,
        ratings=dict(case.ratings),
        source=case.source,
        picture=picture,
    )

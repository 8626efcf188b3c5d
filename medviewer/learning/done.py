"""Done: a person says that a case is finished. A revision is stored, training samples are cut, the queue takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.revision import Revision, RevisionStore, Verdict, Work, image_reference
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.errors import BadInput
from medviewer.formats.catalog import Stack
from medviewer.jobs import JobContext
from medviewer.learning.queue import CorrectionQueue, NewCase, QueueCase
from medviewer.learning.samples import NODULE_KIND, LesionSample, TaskFacts, samples_of_volume
from medviewer.volume.volume import Volume


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it.

    Attributes:
        revision: the stored revision.
        cases: what the queue took, one a lesion for nodule tasks.
        left_out: a sentence for each part that gave no case.
        note: a sentence where the patient had to be guessed, else "".
    """

    revision: Revision
    cases: tuple[QueueCase, ...]
    left_out: tuple[str, ...]
    note: str = ""


def finish(
    facts: TaskFacts,
    stack: Stack,
    volume: Volume,
    segmentation: Segmentation,
    work: Work,
    *,
    queue: CorrectionQueue | None = None,
    revisions: RevisionStore | None = None,
    numbers: Sequence[int] | None = None,
    patient_id: str = "",
    one_a_segment: bool = True,
    context: JobContext | None = None,
) -> Done:
    """Store a revision and queue what was drawn. A job: it hashes all voxels and writes files.

    Args:
        facts: of the task that shall learn (`samples.task_facts`).
        stack: what was annotated; `volume`: its voxels, all loaded.
        segmentation: as it is now; give a copy if a person may go on painting meanwhile.
        work: author, verdict and so on. Single lesions nobody touched count as accepted untouched.
        queue, revisions: the user's own by default.
        numbers: segments that the task is about; by default those that its suggestions made, or that bear its
            labels, else all.
        patient_id: of the patient; by default as in the study (`patient_of`).
        one_a_segment: as of `samples_of_volume`; False for a mask of a file, where one number may be all lesions.
        context: for cancel and progress.

    Raises:
        BadInput: nothing to learn from. The revision is not stored then.
        Refused: the queue is read-only or its secret is wrong.
        SaveFailed: full disk. Nothing is lost: the work is still in memory and in the journal.
    """
    context = context or JobContext()
    queue = queue or CorrectionQueue()
    chosen = task_segments(facts, segmentation) if numbers is None else list(numbers)
    labelmap = only_numbers(segmentation, chosen)
    context.report(0, 3, "cutting training samples")
    segments = [segmentation.segments[n] for n in chosen]
    samples, left_out = samples_of_volume(facts, volume, labelmap, segments, one_a_segment=one_a_segment)
    if not samples:
        raise BadInput("; ".join(left_out) or "nothing is drawn, so there is nothing to learn from")
    patient, note = (patient_id.strip(), "") if patient_id.strip() else patient_of(stack)
    context.report(1, 3, "storing the revision")
    revision = (revisions or RevisionStore()).store(segmentation, image_reference(stack, volume), work)
    context.report(2, 3, "queueing")
    cases = [
        queue.add(
            NewCase(
                task=facts.task,
                patient_id=patient,
                sample=sample.arrays,
                subject=_subject(facts, stack, segmentation, sample),
                author=work.author,
                revision=revision.id,
                verdict=_verdict(work.verdict, [s for s in segments if sample.number in (0, s.number)]),
                source=sample.name,
            )
        )
        for sample in samples
    ]
    return Done(revision, tuple(cases), tuple(left_out), note)


def patient_of(stack: Stack) -> tuple[str, str]:
    """The patient whose study this is, for the split into trained on and held out, and a note where that is a guess.

    A file that knows no patients (NIfTI, NRRD) goes by its name without folder and extension, as the cases of the
    training data do; a DICOM study without patient ID is taken for a patient of its own.
    """
    if stack.patient_id.strip():
        return stack.patient_id.strip(), ""
    if stack.source == "dicom":
        said = "the study has no patient ID: it counts as a patient of its own"
        return f"study {stack.study_uid or stack.id}", said
    name = stack.frames[0].path.name if stack.frames else stack.id
    for extension in (".gz", ".nii", ".nrrd", ".nhdr", ".hdr", ".img"):
        name = name.removesuffix(extension)
    return name, f"the file names no patient: it counts as the patient {name!r}"


def task_segments(facts: TaskFacts, segmentation: Segmentation) -> list[int]:
    """Segments with voxels that a task is about: its own suggestions and its labels; where there are none, all."""
    drawn = [s for s in segmentation.segments.values() if segmentation.voxels(s.number)]

    def is_meant(segment: Segment) -> bool:
        words = segment.label.lower().split()
        return segment.provenance.task == facts.task or bool(words and words[0] in facts.labels)

    meant = [s.number for s in drawn if is_meant(s)]
    return meant or [s.number for s in drawn]


def only_numbers(segmentation: Segmentation, numbers: Sequence[int]) -> NDArray[np.uint8]:
    """A copy of the label map with these segments only."""
    lookup = np.zeros(256, dtype=np.uint8)
    lookup[list(numbers)] = list(numbers)
    kept: NDArray[np.uint8] = lookup[segmentation.labelmap]
    return kept


def _subject(facts: TaskFacts, stack: Stack, segmentation: Segmentation, sample: LesionSample) -> str:
    """What was drawn, so that a newer revision takes the older one's place: the tracked lesion of this stack."""
    if facts.kind != NODULE_KIND:
        return stack.id
    return f"{stack.id} {segmentation.segments[sample.number].tracking_uid} {sample.ordinal}"


def _verdict(verdict: Verdict, segments: Sequence[Segment]) -> Verdict:
    """The verdict on these segments alone: untouched only where each is a suggestion that nobody edited."""
    if all(s.provenance.model and not s.provenance.edited for s in segments):
        return Verdict.UNTOUCHED
    return Verdict.CORRECTED if verdict is Verdict.UNTOUCHED else verdict


def by_hand(author: str) -> Work:
    """The work of a mask that came from a file."""
    return Work(author=author, verdict=Verdict.FROM_SCRATCH, tools=("file",))


def followed(work: Work, parent: Revision | None) -> Work:
    """The same work as the successor of a revision."""
    return work if parent is None else replace(work, parent=parent.id)

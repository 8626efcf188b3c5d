"""What Done stores: a revision, a training sample that fits the networks, a case in the queue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotating import SIZE, small_volume

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import AddSegment, Paint, accept_proposal
from medviewer.annotation.revision import RevisionStore, Verdict
from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.desktop.annotating.marked import Marked
from medviewer.desktop.learning.corrections import Correction, Queued, open_queue, store_correction
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.suggesting.finding import Finding
from medviewer.desktop.suggesting.tasks import TaskFacts
from medviewer.errors import BadInput
from medviewer.formats.catalog import FrameRef, Stack, StackKind
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import SegmentMask, Suggestion
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume

TASK = TaskFacts("lung-nodule-segment", "Lung nodule", "1.0.0", "abc", "nodule-segment", ("CT",), ("nodule",))


def stack_of(volume: Volume, patient: str = "P1") -> Stack:
    frames = tuple(FrameRef(Path(f"{k}.dcm"), 0, None, f"1.2.{k}") for k in range(volume.size_kji[0]))
    return Stack(
        volume.stack_id,
        StackKind.VOLUME,
        frames,
        volume.size_kji,
        1,
        volume.grid,
        None,
        "int16",
        volume.modality,
        patient_id=patient,
    )


def ball(volume: Volume) -> np.ndarray:
    return (volume.voxels > 0).astype(np.uint8)


def outlined(volume: Volume, label: str = "Nodule 1", model: str = "abc") -> Editor:
    """An editor whose first segment is the ball, accepted from a model (or drawn by hand where `model` is empty)."""
    assert volume.grid is not None
    editor = Editor(Segmentation(volume.grid, volume.stack_id))
    by = Provenance(TASK.task, model, "1.0.0", "cpu") if model else Provenance()
    editor.do(accept_proposal([(Segment.named(1, label, provenance=by), (0, 0, 0), ball(volume))], editor.segmentation))
    return editor


def correction(editor: Editor, volume: Volume, patient: str = "P1", finding: Finding | None = None) -> Correction:
    numbers = tuple(editor.segmentation.segments)
    marked = Marked.of(editor.segmentation)
    return Correction(TASK, marked, numbers, volume, stack_of(volume, patient), finding, "dr. lee", 2.0, ("brush",))


def store(what: Correction) -> Queued:
    return store_correction(what, JobContext())


def test_a_copy_of_a_segmentation_is_the_segmentation() -> None:
    editor = outlined(small_volume())
    copy = Marked.of(editor.segmentation)
    again = copy.segmentation()
    assert np.array_equal(again.labelmap, editor.segmentation.labelmap)
    assert again.segments == editor.segmentation.segments
    editor.do(Paint.of_mask("x", (0, 0, 0), np.ones((1, 2, 2), bool), 1))
    assert not np.array_equal(copy.segmentation().labelmap, editor.segmentation.labelmap), "later edits are not in it"


def test_done_stores_a_revision_and_queues_the_case() -> None:
    volume = small_volume()
    queued = store(correction(outlined(volume), volume))
    assert queued.states in (("pending",), ("held-out",))
    revision = RevisionStore().get(queued.revision)
    assert (revision.work.author, revision.work.verdict) == ("dr. lee", Verdict.UNTOUCHED)
    assert revision.image.pixel_sha256
    assert len(revision.image.sop_instance_uids) == SIZE[0]
    case = open_queue().cases()[0]
    assert (case.task, case.revision, case.weight) == (TASK.task, queued.revision, 0.3), "an untouched label is weak"
    assert case.patient_hash != "P1"
    assert open_queue().sample(case.id)["mask"].sum() == ball(volume).sum()


def test_an_edited_proposal_tells_how_far_it_moved() -> None:
    volume = small_volume()
    editor = outlined(volume)
    mask = ball(volume)
    outline = Suggestion(TASK.task, "abc", "cpu", 0.1, segments=(SegmentMask.measured("nodule", (0, 0, 0), mask, 1.4),))
    prompt = Prompt.of(point_lps=(1, 1, 1))
    finding = Finding("Nodule 1", TASK, prompt, FindingState.ACCEPTED, outline, numbers=(1,))
    editor.do(Paint.of_mask("brush stroke", (6, 57, 38), np.ones((1, 1, 5), bool), 1))
    queued = store(correction(editor, volume, finding=finding))
    work = RevisionStore().get(queued.revision).work
    assert work.verdict is Verdict.CORRECTED
    assert work.edit is not None
    assert (work.edit.added, work.edit.removed) == (5, 0)
    assert work.suggestion is not None
    assert work.suggestion.model == "abc"
    assert open_queue().cases()[0].weight == 1.0


def test_done_twice_is_one_case() -> None:
    volume = small_volume()
    editor = outlined(volume)
    first = store(correction(editor, volume))
    with pytest.raises(BadInput, match="nothing changed"):
        store(correction(editor, volume))
    editor.do(Paint.of_mask("brush stroke", (6, 57, 38), np.ones((1, 1, 5), bool), 1))
    third = store(correction(editor, volume))
    assert len(third.states) == 1
    assert RevisionStore().get(third.revision).work.parent == first.revision
    cases = open_queue().cases()
    assert len(cases) == 1, "the newer outline takes the older one's place"
    assert cases[0].revision == third.revision


def test_a_lesion_that_was_trained_on_is_not_queued_again_with_the_next_one() -> None:
    volume = small_volume()
    editor = outlined(volume)
    first = store(correction(editor, volume))
    editor.do(AddSegment(Segment.named(2, "Nodule 2")))
    editor.do(Paint.of_mask("brush stroke", (2, 10, 10), np.ones((2, 5, 5), bool), 2))
    second = store(correction(editor, volume))
    assert len(second.states) == 1
    assert [case.revision for case in open_queue().cases()] == [first.revision, second.revision]


def test_each_lesion_is_a_case_of_its_own() -> None:
    volume = small_volume()
    editor = outlined(volume)
    editor.do(AddSegment(Segment.named(2, "Nodule 2")))
    editor.do(Paint.of_mask("brush stroke", (2, 10, 10), np.ones((2, 5, 5), bool), 2))
    queued = store(correction(editor, volume))
    assert len(queued.states) == 2
    assert len(set(queued.states)) == 1, "one patient is never on both sides"
    verdicts = {case.verdict for case in open_queue().cases()}
    assert verdicts == {Verdict.UNTOUCHED, Verdict.CORRECTED}


def test_a_study_without_patient_id_counts_as_a_patient_of_its_own() -> None:
    volume = small_volume()
    queued = store(correction(outlined(volume), volume, patient=" "))
    assert len(queued.states) == 1
    (case,) = open_queue().cases()
    assert case.patient_hash != open_queue().patient_hash("")


def test_empty_segments_are_refused_with_a_sentence() -> None:
    volume = small_volume()
    assert volume.grid is not None
    editor = Editor(Segmentation(volume.grid, "s"))
    editor.do(AddSegment(Segment.named(1, "Nodule 1")))
    with pytest.raises(BadInput, match="nothing is drawn"):
        store(correction(editor, volume))


@pytest.mark.data
def test_the_sample_of_a_real_nodule_holds_the_readers_consensus(public_data: Path) -> None:
    """LIDC-IDRI-0314: 3398 voxels of consensus in the whole CT are 3398 voxels in the queue's sample."""
    import SimpleITK as sitk

    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan

    catalog = scan([public_data / "lidc_demo" / "LIDC-IDRI-0314_ct_block.zip"], JobContext())
    stack = catalog.patients[0].studies[0].series[0].stacks[0]
    volume = load_volume(stack, JobContext())
    count = sitk.GetArrayFromImage(sitk.ReadImage(str(public_data / "lidc_demo" / "reader_count.nii.gz")))
    assert stack.grid is not None
    nodule = (Segment.named(1, "Nodule 1"),)
    segmentation = Segmentation.from_labelmap(stack.grid, (count >= 2).astype(np.uint8), nodule, stack.id)
    store(Correction(TASK, Marked.of(segmentation), (1,), volume, stack, None, "dr. lee"))
    sample = open_queue().sample(open_queue().cases()[0].id)
    assert sample["mask"].sum() == 3398
    ring = (sample["mask"] == 0) & (np.abs(np.indices(sample["mask"].shape)[1] - 48) < 16)
    assert sample["images"][sample["mask"] > 0].mean() > sample["images"][ring].mean() + 38

"""What Done stores: a revision, a training sample that fits the networks, a case in the queue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotating import SIZE, small_volume

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import AddSegment, Paint, accept_proposal
from medviewer.annotation.revision import RevisionStore, Verdict
from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.desktop.corrections import (
    Correction,
    Queued,
    mask_of,
    nodule_sample,
    open_queue,
    store_correction,
    volume_sample,
)
from medviewer.desktop.finding import Finding
from medviewer.desktop.marked import Marked
from medviewer.desktop.panels.finding import FindingState
from medviewer.desktop.tasks import TaskFacts
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


def test_a_nodule_sample_is_the_crop_that_inference_sees_with_the_mask_laid_on_it() -> None:
    from medviewer.inference.nodule_crop import nodule_crop

    volume = small_volume()
    box, mask = mask_of(outlined(volume).segmentation, (1,))
    sample = nodule_sample(volume, box, mask)
    assert sample["images"].shape == sample["mask"].shape == (5, 96, 96)
    assert sample["mask"].sum() == ball(volume).sum(), "no voxel of the lesion is lost"
    assert volume.grid is not None
    centre = volume.grid.index_to_lps((6, 48, 40))
    assert np.array_equal(sample["images"], nodule_crop(volume, centre, slices=(4, 9)).images)
    inside, outside = sample["images"][sample["mask"] > 0], sample["images"][sample["mask"] == 0]
    assert inside.min() > outside.max(), "tissue under the mask, air beside it"
    k, j, i = (int(n) for n in sample["click_kji"])
    assert sample["mask"][k, j, i] == 1
    assert float(sample["pixel_mm"]) == 0.75
    assert float(sample["slice_spacing_mm"]) == 2.5


def test_a_nodule_at_the_edge_of_the_volume_keeps_its_mask() -> None:
    volume = small_volume()
    assert volume.grid is not None
    editor = Editor(Segmentation(volume.grid, volume.stack_id))
    editor.do(AddSegment(Segment.named(1, "Nodule 1")))
    editor.do(Paint.of_mask("brush", (0, 0, 0), np.ones((2, 6, 6), bool), 1))
    sample = nodule_sample(volume, *mask_of(editor.segmentation, (1,)))
    assert sample["mask"].sum() == 72


def test_the_training_takes_the_sample() -> None:
    from medviewer.learning.datasets.nodule_samples import corrected_nodule

    volume = small_volume()
    sample = corrected_nodule("case", "hash", nodule_sample(volume, *mask_of(outlined(volume).segmentation, (1,))))
    assert sample.images.shape == (5, 96, 96)


def test_a_volume_sample_keeps_a_whole_small_crop_and_numbers_its_labels() -> None:
    volume = small_volume()
    assert volume.grid is not None
    editor = Editor(Segmentation(volume.grid, "s"))
    for number, name, k in ((3, "Anterior", 4), (5, "Posterior", 7)):
        editor.do(AddSegment(Segment.named(number, name)))
        editor.do(Paint.of_mask("brush", (k, 30, 30), np.ones((2, 30, 30), bool), number))
    sample = volume_sample(volume, *mask_of(editor.segmentation, (3, 5)))
    assert sorted(np.unique(sample["label"]).tolist()) == [0, 1, 2]
    assert sample["image"].shape == sample["label"].shape
    assert sample["image"].shape[0] == SIZE[0], "12 mm above and below is all of it"
    assert (sample["label"] == 1).sum() == (sample["label"] == 2).sum() == 1800


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
    editor.do(Paint.of_mask("brush stroke", (6, 60, 40), np.ones((1, 1, 5), bool), 1))
    queued = store(correction(editor, volume, finding=finding))
    work = RevisionStore().get(queued.revision).work
    assert work.verdict is Verdict.CORRECTED
    assert work.edit is not None
    assert (work.edit.added, work.edit.removed) == (5, 0)
    assert work.suggestion is not None
    assert work.suggestion.model == "abc"
    assert open_queue().cases()[0].weight == 1.0


def test_done_twice_stores_two_revisions_but_one_case() -> None:
    volume = small_volume()
    editor = outlined(volume)
    first = store(correction(editor, volume))
    second = store(correction(editor, volume))
    assert first.revision != second.revision
    assert second.states == (), "nothing changed, nothing new is queued"
    assert RevisionStore().get(second.revision).work.parent == first.revision
    editor.do(Paint.of_mask("brush stroke", (6, 60, 40), np.ones((1, 1, 5), bool), 1))
    third = store(correction(editor, volume))
    assert len(third.states) == 1
    cases = open_queue().cases()
    assert len(cases) == 1, "the newer outline takes the older one's place"
    assert cases[0].revision == third.revision


def test_each_lesion_is_a_case_of_its_own() -> None:
    volume = small_volume()
    editor = outlined(volume)
    editor.do(AddSegment(Segment.named(2, "Nodule 2")))
    editor.do(Paint.of_mask("brush stroke", (2, 10, 10), np.ones((2, 5, 5), bool), 2))
    queued = store(correction(editor, volume))
    assert len(queued.states) == 2
    assert len(set(queued.states)) == 1, "one patient is never on both sides"
    verdicts = {case.verdict for case in open_queue().cases()}
    assert verdicts == {Verdict.UNTOUCHED, Verdict.FROM_SCRATCH}


def test_a_study_without_patient_id_is_refused_before_anything_is_stored() -> None:
    volume = small_volume()
    with pytest.raises(BadInput, match="no patient ID"):
        store(correction(outlined(volume), volume, patient=" "))
    assert not RevisionStore().ids()


def test_empty_segments_are_refused_with_a_sentence() -> None:
    volume = small_volume()
    assert volume.grid is not None
    editor = Editor(Segmentation(volume.grid, "s"))
    editor.do(AddSegment(Segment.named(1, "Nodule 1")))
    with pytest.raises(BadInput, match="nothing is outlined"):
        store(correction(editor, volume))


@pytest.mark.data
def test_the_sample_of_a_real_nodule_holds_the_readers_consensus(public_data: Path) -> None:
    """LIDC-IDRI-0314: 3398 voxels of consensus in the whole CT are 3398 voxels in the crop."""
    import SimpleITK as sitk

    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import scan

    catalog = scan([public_data / "lidc_demo" / "LIDC-IDRI-0314_ct_block.zip"], JobContext())
    stack = catalog.patients[0].studies[0].series[0].stacks[0]
    volume = load_volume(stack, JobContext())
    count = sitk.GetArrayFromImage(sitk.ReadImage(str(public_data / "lidc_demo" / "reader_count.nii.gz")))
    assert stack.grid is not None
    consensus = (count >= 2).astype(np.uint8)
    segmentation = Segmentation.from_labelmap(stack.grid, consensus, (Segment.named(1, "Nodule 1"),), stack.id)
    sample = nodule_sample(volume, *mask_of(segmentation, (1,)))
    assert sample["mask"].sum() == 3398
    ring = (sample["mask"] == 0) & (np.abs(np.indices(sample["mask"].shape)[1] - 48) < 16)
    assert sample["images"][sample["mask"] > 0].mean() > sample["images"][ring].mean() + 0.15


def test_a_stack_without_geometry_teaches_nothing() -> None:
    volume = replace(small_volume(), grid=None)
    with pytest.raises(BadInput, match="no geometry"):
        nodule_sample(volume, mask_of(outlined(small_volume()).segmentation, (1,))[0], np.ones((1, 1, 1), np.uint8))

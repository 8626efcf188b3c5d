"""Training samples are cut as the networks see the world, and Done stores a revision and queues what was drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medviewer.annotation.revision import RevisionStore, Verdict, Work
from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.errors import BadInput
from medviewer.formats.catalog import FrameRef, Stack, StackKind
from medviewer.inference.nodule_crop import nodule_crop
from medviewer.learning.datasets.nodule_samples import corrected_nodule
from medviewer.learning.datasets.volume_samples import corrected_volume
from medviewer.learning.done import finish, patient_of
from medviewer.learning.queue import CorrectionQueue
from medviewer.learning.samples import TaskFacts, samples_of_data, samples_of_volume
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

NODULES = TaskFacts("lung-nodule-segment", "nodule-segment", ("nodule",))
INPUT = {
    "orientation": ["R", "A", "H"],
    "spacing_mm": 1.0,
    "coarsest_mm": 3.0,
    "smallest_mm_kji": [15, 15, 15],
    "largest_mm_kji": [80, 80, 80],
    "usual_mm_kji": [36, 50, 35],
    "margin_mm": 8.0,
    "multiple": 8,
    "mirror_axis": 2,
    "trained_on": "crops of 35 to 50 mm",
    "structure": "one hippocampus",
}
HIPPOCAMPUS = TaskFacts("hippocampus-segment", "volume-segment", ("anterior", "posterior"), {"input": INPUT})
GRID = Grid((30, 200, 210), (1.5, 0.7, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-70.0, -65.0, 100.0))


def _chest() -> Volume:
    random = np.random.default_rng(0)
    voxels = (random.normal(-850, 30, GRID.size_kji)).astype(np.int16)
    for centre in ((10, 60, 70), (20, 140, 150)):
        index = np.indices(GRID.size_kji) - np.asarray(centre)[:, None, None, None]
        voxels[np.sqrt((index[0] * 1.5) ** 2 + (index[1] * 0.7) ** 2 + (index[2] * 0.7) ** 2) < 5] = 40
    return Volume(voxels, GRID, unit="HU", modality="CT", stack_id="s1")


def _marked(volume: Volume) -> np.ndarray:
    return (volume.voxels > -300).astype(np.uint8)


def _stack(volume: Volume, patient: str = "P1") -> Stack:
    return Stack(
        id="s1", kind=StackKind.VOLUME, frames=(), size_kji=volume.size_kji, times=1, grid=volume.grid,
        spacing_kji=GRID.spacing_kji, dtype="int16", modality="CT", patient_id=patient,
    )  # fmt: skip


def test_each_lesion_becomes_a_sample_in_the_networks_grey_values() -> None:
    volume = _chest()
    labels = _marked(volume)
    labels[3, 5, 5] = 1  # a slip of the hand
    samples, left_out = samples_of_volume(NODULES, volume, labels)
    assert len(samples) == 2 and len(left_out) == 1 and "1 voxel" in left_out[0]
    truth = [int(labels[:15, 50:].sum()), int(labels[15:].sum())]
    for sample, voxels in zip(samples, truth, strict=True):
        arrays = sample.arrays
        assert arrays["mask"].sum() == voxels  # the other nodule is not in it
        assert arrays["images"].shape == arrays["mask"].shape and arrays["images"].shape[1:] == (96, 96)
        assert not arrays["mask"][[0, 1, -1, -2]].any() and arrays["mask"][2].any()
        click = tuple(int(n) for n in arrays["click_kji"])
        assert arrays["mask"][click] == 1
        inside = arrays["images"][arrays["mask"] > 0]
        assert inside.min() > 200 and np.median(arrays["images"][arrays["mask"] == 0]) < 128
        trained = corrected_nodule("case", "hash", arrays)  # what the recipe makes of it
        assert trained.click_kji == click and trained.consensus.sum() == voxels
        assert trained.pixel_mm == pytest.approx(0.7) and trained.slice_spacing_mm == pytest.approx(1.5)


def test_the_sample_is_the_very_crop_that_inference_sees() -> None:
    volume = _chest()
    samples, _ = samples_of_volume(NODULES, volume, _marked(volume))
    arrays = samples[0].arrays
    first = 10 - 3 - 2  # slices of a ball of 5 mm radius at 1.5 mm, and two more
    crop = nodule_crop(volume, GRID.index_to_lps((10, 60, 70)).tolist(), slices=(first, first + len(arrays["mask"])))
    assert np.array_equal(np.rint(crop.images * 254).astype(np.uint8), arrays["images"])


def test_what_teaches_nothing_is_told() -> None:
    volume = _chest()
    empty = np.zeros(volume.size_kji, dtype=np.uint8)
    with pytest.raises(BadInput, match="nothing is drawn"):
        samples_of_volume(NODULES, volume, empty)
    with pytest.raises(BadInput, match="geometry"):
        samples_of_volume(NODULES, Volume(volume.voxels, None), _marked(volume))
    huge = empty.copy()
    huge[5:8, 5:195, 5:195] = 1
    samples, left_out = samples_of_volume(NODULES, volume, huge)
    assert samples == [] and "larger" in left_out[0]


def test_a_stroke_that_went_astray_is_no_case_of_its_own(tmp_path: Path) -> None:
    volume = _chest()
    labels = _marked(volume)
    labels[20:, 100:][labels[20:, 100:] > 0] = 0  # the second nodule is now a few slices, smaller than the first
    labels[3, 5, 5] = labels[3, 9, 5] = 1
    source = Provenance("lung-nodule-segment", "abcdef", "1", "cpu", edited=True)
    segmentation = Segmentation.from_labelmap(GRID, labels, [Segment.named(1, "Nodule 1", provenance=source)], "s1")
    queue, revisions = CorrectionQueue(tmp_path / "q"), RevisionStore(tmp_path / "r")
    done = finish(NODULES, _stack(volume), volume, segmentation, _work(), queue=queue, revisions=revisions)
    assert len(done.cases) == 1
    assert queue.sample(done.cases[0].id)["mask"].sum() == labels[:15, 50:100].sum()
    astray, specks = done.left_out
    assert astray == "segment 1 lies in 2 places: only the largest part was queued"
    assert specks.startswith("2 specks of at most 1 voxel ")


def test_a_number_without_a_label_is_refused_unless_it_has_a_name() -> None:
    volume = _chest()
    labels = _marked(volume)
    labels[15:][labels[15:] > 0] = 7
    for segments in ((), [Segment.named(1, "Segment 1"), Segment.named(7, "Segment 7")]):
        with pytest.raises(BadInput, match="no label 7"):
            samples_of_volume(NODULES, volume, labels, segments)
    named = [Segment.named(1, "Nodule 1"), Segment.named(7, "Nodule 2")]
    samples, _ = samples_of_volume(NODULES, volume, labels, named)
    assert [s.number for s in samples] == [1, 7]
    nameless = [Segment.named(7, "Segment 7")]  # of the window: a person drew it there
    assert len(samples_of_volume(NODULES, volume, labels, nameless, one_a_segment=True)[0]) == 2


def test_labels_of_a_volume_task_go_by_name_and_lie_as_in_training() -> None:
    grid = Grid((35, 50, 36), (1.0, 1.0, 1.0), GRID.direction, (0.0, 0.0, 0.0))
    volume = Volume(np.random.default_rng(0).integers(0, 900, grid.size_kji).astype(np.int16), grid, modality="MR")
    labels = np.zeros(grid.size_kji, dtype=np.uint8)
    labels[10:15, 20:25, 10:20], labels[16:20, 20:25, 10:20] = 7, 2
    segments = [Segment.named(7, "Anterior"), Segment.named(2, "posterior")]
    ((sample,), _) = samples_of_volume(HIPPOCAMPUS, volume, labels, segments)
    arrays = sample.arrays
    # the grid's rows run to the back and its columns to the left; in training rows run to the front, columns right
    assert np.array_equal(arrays["image"], volume.values()[:, ::-1, ::-1])
    assert np.array_equal(arrays["label"] == 1, (labels == 7)[:, ::-1, ::-1])
    assert np.array_equal(arrays["label"] == 2, (labels == 2)[:, ::-1, ::-1])
    trained = corrected_volume("case", "hash", arrays, labels=2)
    assert trained.spacing_kji == (1.0, 1.0, 1.0)
    with pytest.raises(BadInput, match="no label 7"):
        samples_of_volume(HIPPOCAMPUS, volume, labels)


def _work(verdict: Verdict = Verdict.CORRECTED) -> Work:
    return Work(author="Li Na", verdict=verdict, tool_minutes=2.0)


def test_done_stores_a_revision_and_queues_each_lesion(tmp_path: Path) -> None:
    volume = _chest()
    labels = _marked(volume)
    labels[15:][labels[15:] > 0] = 2
    source = Provenance("lung-nodule-segment", "abcdef", "1", "cpu")
    segments = [
        Segment.named(1, "nodule", provenance=source),
        Segment.named(2, "nodule 2", provenance=replace(source, edited=True)),
        Segment.named(3, "ruler"),
    ]
    segmentation = Segmentation.from_labelmap(GRID, labels, segments, "s1")
    queue, revisions = CorrectionQueue(tmp_path / "q"), RevisionStore(tmp_path / "r")
    done = finish(NODULES, _stack(volume), volume, segmentation, _work(), queue=queue, revisions=revisions)
    assert [c.verdict for c in done.cases] == ["accepted untouched", "corrected"]
    assert [c.weight for c in done.cases] == [0.3, 1.0]
    assert {c.revision for c in done.cases} == {done.revision.id}
    stored = revisions.load(done.revision.id)
    assert np.array_equal(stored.labelmap, labels)
    assert len(done.revision.image.pixel_sha256) == 64
    again = finish(NODULES, _stack(volume), volume, segmentation, _work(), queue=queue, revisions=revisions)
    assert [c.id for c in again.cases] == [c.id for c in done.cases]  # the newer revision took their places
    assert len(queue.cases()) == 2 and len(revisions.ids()) == 2


def test_a_study_without_patient_id_counts_as_a_patient_of_its_own(tmp_path: Path) -> None:
    volume = _chest()
    segmentation = Segmentation.from_labelmap(GRID, _marked(volume), (), "s1")
    queue, revisions = CorrectionQueue(tmp_path / "q"), RevisionStore(tmp_path / "r")
    nameless = replace(_stack(volume, " "), study_uid="1.2.3")
    done = finish(NODULES, nameless, volume, segmentation, _work(), queue=queue, revisions=revisions)
    assert "patient of its own" in done.note
    assert done.cases[0].patient_hash == queue.patient_hash("study 1.2.3")
    told = finish(NODULES, nameless, volume, segmentation, _work(), queue=queue, revisions=revisions, patient_id="P7")
    assert told.note == "" and told.cases[0].patient_hash == queue.patient_hash("P7")


def test_a_nifti_file_goes_by_its_name_as_the_training_data_do() -> None:
    frames = (FrameRef(Path("somewhere/hippocampus_017.nii.gz"), 0),)
    stack = replace(_stack(_chest(), ""), source="nifti", frames=frames)
    assert patient_of(stack)[0] == "hippocampus_017"


def test_where_nothing_is_drawn_nothing_is_stored(tmp_path: Path) -> None:
    volume = _chest()
    queue, revisions = CorrectionQueue(tmp_path / "q"), RevisionStore(tmp_path / "r")
    with pytest.raises(BadInput, match="nothing is drawn"):
        finish(NODULES, _stack(volume), volume, Segmentation(GRID, "s1"), _work(), queue=queue, revisions=revisions)
    assert queue.cases() == () and revisions.ids() == []


@pytest.mark.data
def test_cases_of_the_public_sets_become_samples(public_data: Path) -> None:
    from medviewer.learning.datasets.lidc_nodules import NoduleSet

    cases = NoduleSet(public_data / "lidc_nodules", "val")
    names = [cases.rows[3]["nodule"], cases.rows[0]["nodule"]]
    samples = samples_of_data(NODULES, public_data / "lidc_nodules", "val", names)
    assert [s.name for s in samples] == names
    assert samples[0].patient == cases.rows[3]["patient"]
    trained = corrected_nodule("x", "y", samples[1].arrays)
    assert np.array_equal(trained.consensus, cases[0].consensus)
    with pytest.raises(BadInput, match="no case"):
        samples_of_data(NODULES, public_data / "lidc_nodules", "val", ["absent"])

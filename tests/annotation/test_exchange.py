"""A segmentation saved as DICOM SEG and opened again is the same, names, colours, codes and provenance included."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medviewer.annotation.exchange import description_of, open_seg, save_seg, segment_of
from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.volume.grid import Grid
from tests.formats.test_seg import only_stack, write_series


def test_saved_and_opened_again(tmp_path: Path) -> None:
    write_series(tmp_path / "series", Grid.plain((4, 10, 12), (2.0, 0.7, 0.7)))
    stack = only_stack(tmp_path / "series")
    assert stack.grid is not None
    labels = np.random.default_rng(0).integers(0, 3, stack.size_kji).astype(np.uint8)
    source = Provenance("lung-nodule-segment", "abcdef012345", "1.2.0", "cpu", edited=True)
    segments = [Segment.named(1, "Nodule 1", provenance=source), Segment.named(2, "肺结节"), Segment.named(9, "empty")]
    drawn = Segmentation.from_labelmap(stack.grid, labels, segments, stack.id)
    save_seg(tmp_path / "x.dcm", drawn, stack)
    back = open_seg(tmp_path / "x.dcm", stack.grid, stack_id=stack.id)
    assert np.array_equal(back.labelmap, labels)
    assert list(back.segments.values()) == segments[:2]


def test_words_of_a_segment_survive_the_way_through_a_description() -> None:
    source = Provenance("hippocampus-segment", "0123456789ab", "2.0", "cuda")
    for segment in (Segment.named(3, "anterior", provenance=source), Segment.named(4, "by hand")):
        assert segment_of(description_of(segment)) == segment
    assert description_of(Segment.named(3, "anterior", provenance=source)).algorithm_type == "AUTOMATIC"

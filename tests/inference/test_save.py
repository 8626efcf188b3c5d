"""Suggestions as values and as label volumes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medviewer.errors import BadInput
from medviewer.inference.prompt import Prompt
from medviewer.inference.save import label_volume
from medviewer.inference.suggestion import SegmentMask, SimilarCase, Suggestion
from medviewer.volume.grid import Grid


def test_segments_are_laid_where_they_start_and_cut_at_the_edges() -> None:
    ones = np.ones((2, 2, 2), np.uint8)
    said = Suggestion(
        "t",
        "m",
        "cpu",
        0.1,
        segments=(
            SegmentMask.measured("a", (1, 1, 1), ones, 1.0),
            SegmentMask.measured("b", (3, 3, 3), ones, 1.0),
            SegmentMask.measured("c", (-1, 0, 0), ones, 1.0),
            SegmentMask.measured("d", (9, 9, 9), ones, 1.0),
        ),
    )
    labels = label_volume(said, (4, 4, 4))
    assert np.bincount(labels.ravel(), minlength=5).tolist() == [64 - 13, 8, 1, 4, 0]
    assert labels[2, 2, 2] == 1 and labels[3, 3, 3] == 2 and labels[0, 0, 0] == 3 and labels[0, 1, 1] == 3


def test_measures_of_a_ball() -> None:
    k, j, i = np.indices((41, 41, 41)) - 20
    ball = (k**2 + j**2 + i**2 <= 15**2).astype(np.uint8)
    mask = SegmentMask.measured("ball", (0, 0, 0), ball, 0.125)  # 0.5 mm voxels: 7.5 mm radius
    assert mask.diameter_mm == pytest.approx(15.0, rel=0.01)
    assert mask.volume_ml == pytest.approx(4 / 3 * np.pi * 7.5**3 / 1000, rel=0.02)
    assert SegmentMask.measured("x", (0, 0, 0), ball, None).volume_ml is None


def test_the_json_document_has_the_keys_of_the_contract() -> None:
    said = Suggestion("t", "m", "cpu", 0.12345, probability=0.3, interval=(0.1, 0.5), similar=(SimilarCase("c", 0.2),))
    document = json.loads(json.dumps(said.with_note("a sentence").as_json()))
    contract = (
        "task model device seconds abstained segments probability interval rating rating_interval ratings similar"
    )
    assert set(contract.split()) | {"check_first"} <= document.keys()
    assert document["interval"] == [0.1, 0.5] and document["notes"] == ["a sentence"]
    assert {"case", "distance", "label", "diameter_mm", "ratings", "source"} <= document["similar"][0].keys()


def test_boxes_may_be_drawn_from_any_corner() -> None:
    assert Prompt.of(None, (5, 1, 9, 2, 4, 3)).box_lps == (2, 1, 3, 5, 4, 9)
    assert Prompt.of(None, (0, 0, 0, 2, 4, 6)).middle_lps == (1, 2, 3)
    for wrong in ((1, 2), (1, 2, float("nan"))):
        with pytest.raises(BadInput):
            Prompt.of(wrong)
    with pytest.raises(BadInput, match="no extent"):
        Prompt.of(None, (0, 0, 0, 0, 1, 1))


def test_a_prompt_outside_is_said_so() -> None:
    grid = Grid.plain((10, 10, 10))
    Prompt.of((9.4, 0, 0)).check_inside(grid)
    Prompt.of(None, (-5, -5, -5, 1, 1, 1)).check_inside(grid)
    for prompt in (Prompt.of((9.6, 0, 0)), Prompt.of(None, (20, 20, 20, 30, 30, 30))):
        with pytest.raises(BadInput, match="outside the volume"):
            prompt.check_inside(grid)

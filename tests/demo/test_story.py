"""The demo's frame: its report says what happened, and it touches nobody's work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medviewer.demo.story import CORRECTED, HELD_OUT, Story
from medviewer.errors import BadInput
from medviewer.jobs import JobContext


def _story(out: Path) -> Story:
    return Story(out, lambda _: None, JobContext())


def test_a_step_that_fails_stands_in_the_report(tmp_path: Path) -> None:
    story = _story(tmp_path)
    with story.step("open") as step:
        step.detail = "opened"
    with pytest.raises(BadInput), story.step("suggest"):
        raise BadInput("nothing there")
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(s["name"], s["ok"]) for s in report["steps"]] == [("open", True), ("suggest", False)]
    assert report["ok"] is False
    assert report["steps"][1]["detail"] == "nothing there."


def test_who_is_held_out_is_the_queue_s_word(tmp_path: Path) -> None:
    story = _story(tmp_path)
    corrected, held_out = story.draw_patients()
    assert len(corrected) == CORRECTED and len(held_out) == HELD_OUT >= 25
    assert not any(story.queue.is_held_out(name) for name in corrected)
    assert all(story.queue.is_held_out(name) for name in held_out)


def test_the_demo_has_a_home_of_its_own_and_empties_only_that(tmp_path: Path) -> None:
    _story(tmp_path)
    (tmp_path / "home" / "left-over").write_text("x")
    _story(tmp_path)
    assert not (tmp_path / "home" / "left-over").exists()
    strange = tmp_path / "other"
    (strange / "home").mkdir(parents=True)
    (strange / "home" / "somebody's work").write_text("x")
    with pytest.raises(BadInput, match="not a demo's"):
        _story(strange)
    assert (strange / "home" / "somebody's work").read_text() == "x"

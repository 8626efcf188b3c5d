"""The drawing tools in the real window, with real mouse and key events."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from annotating import Hand, make_window, small_volume, with_editor
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import AddSegment
from medviewer.annotation.segmentation import Segment
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.tools.suggest import box_lps
from medviewer.inference.prompt import Prompt
from medviewer.volume.grid import Grid

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    made = make_window()
    qtbot.addWidget(made)
    yield made


@pytest.fixture
def editor(window: MainWindow) -> Editor:
    return with_editor(window)


@pytest.fixture
def hand(window: MainWindow, editor: Editor) -> Hand:
    return Hand(window)


def test_a_brush_stroke_paints_a_disc_of_its_size_in_mm(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-brush")
    window.session.set_brush(diameter_mm=12.0)
    hand.click(30, 50)
    painted = editor.segmentation.labelmap[6] == 1
    area_mm2 = painted.sum() * 0.75 * 0.75
    assert area_mm2 == pytest.approx(np.pi * 6.0**2, rel=0.05)
    assert editor.segmentation.voxels(1) == painted.sum(), "a 2-D brush stays in its slice"
    rows, columns = np.nonzero(painted)
    assert rows.mean() == pytest.approx(30, abs=0.6)
    assert columns.mean() == pytest.approx(50, abs=0.6)


def test_a_fast_stroke_has_no_gaps_and_is_one_undo_step(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-brush")
    window.session.set_brush(diameter_mm=3.0)
    hand.drag((20, 10), (20, 80))
    assert np.all(editor.segmentation.labelmap[6, 20, 10:80] == 1)
    assert len(editor.history.undo_steps) == 1
    window.actions_table.do("undo")
    assert editor.segmentation.is_empty
    assert not editor.segmentation.segments, "the segment that the stroke made goes with it"


def test_esc_drops_a_running_stroke_and_its_draft(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-brush")
    hand.press(30, 30)
    hand.move(30, 60)
    assert hand.view._draft is not None
    hand.key(Qt.Key.Key_Escape)
    assert hand.view._draft is None
    hand.release(30, 60)
    assert editor.segmentation.is_empty
    assert window.session.tool == "brush", "Esc went one step back, not two"


def test_control_turns_the_brush_into_an_eraser_and_back(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-brush")
    window.session.set_brush(diameter_mm=12.0)
    hand.click(40, 40)
    before = editor.segmentation.voxels(1)
    window.session.set_brush(diameter_mm=5.0)
    hand.drag((40, 40), (40, 44), held=CTRL)
    after = editor.segmentation.voxels(1)
    assert 0 < after < before
    window.actions_table.do("tool-eraser")
    hand.drag((40, 40), (40, 44), held=CTRL)
    assert editor.segmentation.voxels(1) == before


def test_the_eraser_leaves_other_segments_alone(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-brush")
    window.session.set_brush(diameter_mm=8.0)
    hand.click(40, 30)
    window.session.set_active_segment(2)
    hand.click(40, 60)
    first = editor.segmentation.voxels(1)
    window.actions_table.do("tool-eraser")
    hand.drag((40, 20), (40, 70))
    assert editor.segmentation.voxels(2) < 5
    assert editor.segmentation.voxels(1) == first
    window.session.set_active_segment(0)
    hand.drag((40, 20), (40, 70))
    assert editor.segmentation.voxels(1) < 5, "with the background active the eraser takes all"


@pytest.mark.parametrize("diameter_mm", [8.0, 50.0])
def test_a_ball_paints_through_slices(
    window: MainWindow, editor: Editor, hand: Hand, qtbot: QtBot, diameter_mm: float
) -> None:
    window.actions_table.do("tool-brush")
    window.session.set_brush(diameter_mm=diameter_mm, is_sphere=True)
    hand.drag((48, 48), (48, 50), (48, 52), (48, 54), (48, 55))
    qtbot.waitUntil(lambda: not editor.segmentation.is_empty, timeout=30_000)
    slices = np.flatnonzero((editor.segmentation.labelmap == 1).any(axis=(1, 2)))
    reach = int(diameter_mm / 2 / 2.5)
    assert slices.min() == max(0, 6 - reach)
    assert slices.max() == min(11, 6 + reach)


def test_a_polygon_closes_by_double_click_and_backspace_takes_a_corner_back(
    window: MainWindow, editor: Editor, hand: Hand
) -> None:
    window.actions_table.do("tool-polygon")
    hand.click(20, 20)
    hand.click(20, 60)
    hand.click(80, 80)
    hand.key(Qt.Key.Key_Backspace)
    hand.click(60, 60)
    hand.double_click(60, 20)
    area = editor.segmentation.voxels(1)
    assert area == pytest.approx(40 * 40, rel=0.06)
    assert editor.segmentation.number_at((6, 40, 40)) == 1
    assert editor.segmentation.number_at((6, 70, 70)) == 0, "the corner that was taken back counts no more"


def test_enter_closes_a_polygon_and_esc_drops_it(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-polygon")
    for corner in ((20, 20), (20, 60), (60, 60)):
        hand.click(*corner)
    hand.key(Qt.Key.Key_Return)
    area = editor.segmentation.voxels(1)
    assert area == pytest.approx(40 * 40 / 2, rel=0.1)
    for corner in ((70, 20), (70, 60), (90, 60)):
        hand.click(*corner)
    hand.key(Qt.Key.Key_Escape)
    assert editor.segmentation.voxels(1) == area
    assert hand.view._draft is None


def test_two_corners_are_no_polygon_and_it_says_so(window: MainWindow, editor: Editor, hand: Hand) -> None:
    window.actions_table.do("tool-polygon")
    hand.click(20, 20)
    hand.click(20, 60)
    hand.key(Qt.Key.Key_Return)
    assert editor.segmentation.is_empty
    assert "three corners" in window.status.sentence


def test_fill_closes_the_hole_of_an_outline(window: MainWindow, editor: Editor, hand: Hand, qtbot: QtBot) -> None:
    window.actions_table.do("tool-brush")
    window.session.set_brush(diameter_mm=2.0)
    hand.drag((20, 20), (20, 60), (60, 60), (60, 20), (20, 20))
    outline = editor.segmentation.voxels(1)
    window.actions_table.do("tool-fill")
    hand.click(40, 40)
    qtbot.waitUntil(lambda: editor.segmentation.voxels(1) > outline, timeout=30_000)
    assert editor.segmentation.voxels(1) == pytest.approx(41 * 41, rel=0.15)
    assert "fill" in (editor.undo_text or "")


def test_fill_beside_an_outline_is_refused_with_a_reason(
    window: MainWindow, editor: Editor, hand: Hand, qtbot: QtBot
) -> None:
    window.actions_table.do("tool-fill")
    hand.click(5, 5)
    qtbot.waitUntil(lambda: "reaches the edge" in window.status.sentence, timeout=30_000)
    assert editor.segmentation.is_empty


def test_painting_with_an_unknown_segment_adds_it_in_the_same_step(
    window: MainWindow, editor: Editor, hand: Hand
) -> None:
    editor.do(AddSegment(Segment.named(1, "Nodule 1")))
    window.session.set_active_segment(4)
    window.actions_table.do("tool-brush")
    hand.click(30, 30)
    assert editor.segmentation.segments[4].label == "Segment 4"
    window.actions_table.do("undo")
    assert list(editor.segmentation.segments) == [1]


def test_a_tool_without_a_study_says_what_to_do(window: MainWindow) -> None:
    window.session.set_tool("brush", True)
    Hand(window).click(30, 30)
    assert window.session.editor is None


def test_a_stack_without_geometry_cannot_be_outlined_and_says_so(window: MainWindow) -> None:
    volume = small_volume()
    from dataclasses import replace

    window.session.show(None, replace(volume, grid=None))
    window.session.set_tool("brush", True)
    Hand(window).click(30, 30)
    assert "positions" in window.status.sentence


def test_a_click_with_suggest_asks_at_that_place_and_a_drag_asks_about_a_box(
    window: MainWindow, editor: Editor, hand: Hand, qtbot: QtBot
) -> None:
    window.actions_table.do("tool-suggest")
    asked: list[Prompt] = []
    window.session.asked.connect(asked.append)
    hand.click(48, 40)
    assert asked[0].point_lps == pytest.approx((40 * 0.75, 48 * 0.75, 6 * 2.5), abs=0.5)
    hand.drag((40, 30), (50, 45), (56, 50))
    box = asked[1].box_lps
    assert box is not None
    assert (box[0], box[3]) == pytest.approx((30 * 0.75, 50 * 0.75), abs=0.6)
    assert (box[1], box[4]) == pytest.approx((40 * 0.75, 56 * 0.75), abs=0.6)
    assert box[5] - box[2] == pytest.approx(20 * 0.75, abs=0.6), "as deep as its longer side"
    assert window.session.annotating is False, "asking is not painting: digits stay window presets"


def test_the_depth_of_a_box_follows_the_patient_not_the_array() -> None:
    from medviewer.desktop.tool_protocol import Kind, PlanePosition
    from medviewer.volume.plane import acquired_plane

    grid = Grid((40, 64, 64), (5.0, 0.5, 0.5), (1, 0, 0, 0, 1, 0, 0, 0, 1), (-10.0, 20.0, 100.0))

    def at(row: float, column: float) -> PlanePosition:
        index = np.array([20.0, row, column])
        return PlanePosition(Kind.PRESS, 20, row, column, index, grid.index_to_lps(index))

    box = box_lps(grid, acquired_plane(), at(10, 10), at(30, 50))
    x0, y0, z0, x1, y1, z1 = box
    assert (x0, x1, y0, y1) == pytest.approx((-5.0, 15.0, 25.0, 35.0))
    assert ((z0 + z1) / 2, z1 - z0) == pytest.approx((200.0, 20.0))

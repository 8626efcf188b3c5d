"""The human work on a stack: journalled, shown as saved, back after a crash, listed, renamed, deleted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotating import Hand, make_window, small_volume
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from medviewer.annotation.journal import journal_folder
from medviewer.desktop.annotating.work import ELSEWHERE, Work
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.panels.segments import SaveState, SegmentsCard
from medviewer.volume.volume import Volume


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    made = make_window()
    qtbot.addWidget(made)
    yield made


@pytest.fixture
def work(window: MainWindow) -> Iterator[Work]:
    made = Work(window.session, window.services, window)
    yield made
    made.close()


def show(window: MainWindow, qtbot: QtBot, volume: Volume) -> None:
    window.session.show(None, volume)
    qtbot.waitUntil(lambda: window.session.editor is not None, timeout=20_000)


def paint(window: MainWindow, row: float = 30, column: float = 30) -> None:
    window.actions_table.do("tool-brush")
    Hand(window).click(row, column)


def test_an_edit_is_in_the_journal_and_the_card_says_saved(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    show(window, qtbot, small_volume())
    assert work.view().save is SaveState.NOTHING
    paint(window)
    qtbot.waitUntil(lambda: work.view().save is SaveState.SAVED, timeout=20_000)
    assert work.journal is not None
    assert work.journal.is_confirmed
    assert len(work.view().saved_at) == 8
    assert list(journal_folder().glob("*.journal"))
    segment = work.view().segments[0]
    assert segment.name == "Segment 1"
    assert segment.origin == "by hand"
    assert segment.volume_ml == pytest.approx(np.pi * 16 * 2.5 / 1000, rel=0.1)


def test_work_comes_back_when_the_stack_is_opened_again(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    show(window, qtbot, small_volume())
    paint(window)
    editor = window.session.editor
    assert editor is not None
    marked = editor.segmentation.labelmap.copy()
    show(window, qtbot, small_volume("stack-b"))
    assert window.session.segmentation is not None
    assert window.session.segmentation.is_empty, "another stack starts empty"
    window.jobs.wait()
    window.session.show(None, small_volume())
    qtbot.waitUntil(lambda: window.session.editor is not None, timeout=20_000)
    assert window.session.segmentation is not None
    assert np.array_equal(window.session.segmentation.labelmap, marked)
    assert "is back: 1 step" in window.status.sentence
    window.actions_table.do("undo")
    assert window.session.segmentation.is_empty, "what came back can be undone"


def test_work_is_there_again_when_the_same_stack_is_shown_at_once(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    """Reading again from disk (F5) must not find the journal still locked by its own window."""
    show(window, qtbot, small_volume())
    paint(window)
    for _ in range(3):
        window.session.show(None, small_volume())
        qtbot.waitUntil(lambda: window.session.editor is not None, timeout=20_000)
        assert window.session.segmentation is not None
        assert window.session.segmentation.voxels(1) > 50


def test_leafing_through_stacks_faster_than_they_are_read_shuts_nobody_out(
    window: MainWindow, work: Work, qtbot: QtBot
) -> None:
    """A stack that is left before its journal was there must not stay locked by this very window."""
    show(window, qtbot, small_volume())
    paint(window)
    for n in range(12):
        window.session.show(None, small_volume("stack-b" if n % 2 == 0 else "stack-a"))
        if n % 3 == 0:
            qtbot.wait(5 * n)
    qtbot.waitUntil(lambda: window.session.editor is not None, timeout=20_000)
    assert window.session.segmentation is not None
    assert window.session.segmentation.voxels(1) > 0
    assert window.banner.text == ""


def test_a_stack_without_edits_leaves_no_journal(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    show(window, qtbot, small_volume())
    window.session.show(None, None)
    qtbot.waitUntil(lambda: not list(journal_folder().glob("*.journal")), timeout=20_000)


def test_work_survives_kill_9_of_the_window(
    window: MainWindow, work: Work, qtbot: QtBot, own_home: Path, tmp_path: Path
) -> None:
    """Another process paints in a real window and is killed; this one opens the same stack."""
    here = Path(__file__).parent
    script = tmp_path / "painter.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path[:0] = [{str(here)!r}, {str(here.parents[1])!r}]
            from PySide6.QtWidgets import QApplication
            app = QApplication([])
            from annotating import Hand, make_window, small_volume
            from medviewer.desktop.annotating.work import Work
            window = make_window()
            work = Work(window.session, window.services, window)
            window.session.show(None, small_volume())
            while window.session.editor is None:
                app.processEvents()
            window.actions_table.do("tool-brush")
            hand = Hand(window)
            for column in (20, 30, 40):
                hand.drag((30, column), (50, column))
            print(window.session.segmentation.voxels(1), flush=True)
            time.sleep(60)
            """
        )
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "MEDVIEWER_HOME": str(own_home)}
    painter = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True)
    assert painter.stdout is not None
    voxels = int(painter.stdout.readline())
    painter.send_signal(signal.SIGKILL)
    painter.wait()
    show(window, qtbot, small_volume())
    assert window.session.segmentation is not None
    assert window.session.segmentation.voxels(1) == voxels > 100
    assert "is back: 3 steps" in window.banner.text, "it stays until a person closes it"
    show(window, qtbot, small_volume("stack-b"))
    assert window.banner.text == "", "it was about another stack"


def leave(window: MainWindow, qtbot: QtBot) -> Path:
    """Paint three dots and close the window: the journal that is left."""
    first = Work(window.session, window.services, window)
    show(window, qtbot, small_volume())
    for row in (20, 30, 40):
        paint(window, row, row)
    assert first.journal is not None
    path = first.journal.path
    first.close()
    return path


def reopened(qtbot: QtBot) -> tuple[MainWindow, Work]:
    other = make_window()
    qtbot.addWidget(other)
    work = Work(other.session, other.services, other)
    show(other, qtbot, small_volume())
    return other, work


@pytest.mark.parametrize("inside", [True, False], ids=["in a stroke", "in the beginning"])
def test_work_that_a_damaged_file_took_is_told_and_the_file_is_kept(
    window: MainWindow, qtbot: QtBot, inside: bool
) -> None:
    path = leave(window, qtbot)
    data = bytearray(path.read_bytes())
    starts = [n for n in range(len(data)) if data[n : n + 2] == b"\x78\x01"]
    data[(starts[2] if inside else starts[0]) + 20] ^= 0xFF
    path.write_bytes(data)
    other, work = reopened(qtbot)
    kept = path.with_name(f"{path.name}.damaged")
    assert kept.read_bytes() == data
    assert "could not be read" in other.banner.text and str(kept) in other.banner.text
    assert ("is back: 1 step." in other.banner.text) == inside
    work.close()
    if not inside:
        assert not path.exists()
        another, again = reopened(qtbot)
        assert another.banner.text == "", "it is told once"
        again.close()


def test_a_torn_end_is_what_a_crash_leaves_and_frightens_nobody(window: MainWindow, qtbot: QtBot) -> None:
    path = leave(window, qtbot)
    path.write_bytes(path.read_bytes()[:-5])
    other, work = reopened(qtbot)
    assert "is back: 2 steps." in other.banner.text and "could not" not in other.banner.text
    work.close()


def test_a_second_window_on_the_same_case_waits_until_the_first_is_closed(
    window: MainWindow, work: Work, qtbot: QtBot
) -> None:
    """Two works on one case would differ, and one of them would be lost from sight."""
    show(window, qtbot, small_volume())
    paint(window)
    other = make_window()
    qtbot.addWidget(other)
    second = Work(other.session, other.services, other)
    other.session.show(None, small_volume())
    qtbot.waitUntil(lambda: "Another window is at work on this case" in other.banner.text, timeout=20_000)
    assert other.session.editor is None
    assert second.journal is None
    paint(other)
    assert other.actions_table.why_not("delete") == ELSEWHERE
    second.add()
    assert other.status.sentence == ELSEWHERE
    other.banner._button.click()
    qtbot.waitUntil(lambda: bool(other.banner.text), timeout=20_000)
    assert other.session.editor is None, "the first is still there"
    work.close()
    other.banner._button.click()
    qtbot.waitUntil(lambda: other.session.editor is not None, timeout=20_000)
    assert other.session.segmentation is not None
    assert other.session.segmentation.voxels(1) > 0
    assert "is back: 1 step" in other.banner.text
    second.close()


def test_the_undo_text_names_what_it_would_undo(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    show(window, qtbot, small_volume())
    paint(window)
    assert window.status._fields["undo"].text().startswith("Undo: brush stroke, ")
    window.actions_table.do("undo")
    assert window.status._fields["undo"].text() == ""
    assert "brush stroke" in window.status.sentence


def test_segments_are_added_renamed_hidden_and_deleted_from_the_card(
    window: MainWindow, work: Work, qtbot: QtBot
) -> None:
    card = SegmentsCard()
    qtbot.addWidget(card)
    card.segment_renamed.connect(work.rename)
    card.segment_shown.connect(work.show)
    card.add_asked.connect(work.add)
    card.delete_asked.connect(work.delete_segment)
    work.view_changed.connect(lambda: card.show_segments(work.view()))
    show(window, qtbot, small_volume())
    card.resize(354, 300)
    card.show()
    qtbot.mouseClick(card._first.button, Qt.MouseButton.LeftButton)
    assert [s.name for s in card.view.segments] == ["Segment 1"]
    line = card._lines[0]
    qtbot.mouseDClick(line, Qt.MouseButton.LeftButton)
    line._editor.setText("Nodule 7")
    qtbot.keyClick(line._editor, Qt.Key.Key_Return)
    assert card.view.segments[0].name == "Nodule 7"
    assert card.view.segments[0].code == "Nodule, lung"
    assert card.view.segments[0].code_value == "SCT 27925004"
    qtbot.mouseClick(line._eye, Qt.MouseButton.LeftButton)
    assert window.session.hidden_segments == {1}
    qtbot.mouseClick(card.delete_button, Qt.MouseButton.LeftButton)
    assert not card.view.segments
    window.actions_table.do("undo")
    assert [s.name for s in card.view.segments] == ["Nodule 7"]


def test_delete_takes_the_segment_out_of_the_shown_slice_only(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    show(window, qtbot, small_volume())
    window.session.set_brush(diameter_mm=12.0, is_sphere=True)
    paint(window)
    segmentation = window.session.segmentation
    assert segmentation is not None
    whole = segmentation.voxels(1)
    in_slice = int((segmentation.labelmap[6] == 1).sum())
    Hand(window).key(Qt.Key.Key_Delete)
    assert not (segmentation.labelmap[6] == 1).any()
    assert segmentation.voxels(1) == whole - in_slice > 0


def test_a_stack_without_geometry_has_no_editor(window: MainWindow, work: Work, qtbot: QtBot) -> None:
    window.session.show(None, replace(small_volume(), grid=None))
    qtbot.wait(50)
    assert window.session.editor is None
    assert not work.view().has_study

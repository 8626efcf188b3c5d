"""Cine and 4-D stacks play by their own clock, say honestly what was shown, and leave the window in one state."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import MRImageStorage, UltrasoundMultiFrameImageStorage
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from reading import opened

from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.playing.cine import Player, due, even_pace, pace_of
from medviewer.desktop.playing.time_bar import TimeBar
from tests.formats import samples


def test_a_frame_time_vector_is_the_rhythm() -> None:
    pace = pace_of((0.0, 100.0, 150.0, 400.0), 4, None)
    assert [due(pace, ms)[0] for ms in (0, 99, 100, 149, 150, 399, 400)] == [0, 0, 1, 1, 2, 2, 3]
    assert due(pace, pace.total_ms)[0] == 0  # from the beginning again
    double = pace.at_rate(2 * pace.fps)
    assert double.starts_ms == pytest.approx((0.0, 50.0, 75.0, 200.0))


@pytest.mark.parametrize("times", [(), (0.0, 0.0, 0.0), (5.0, 3.0, 1.0), (0.0, 40.0)])
def test_times_that_do_not_rise_are_not_believed(times: tuple[float, ...]) -> None:
    assert pace_of(times, 3, 25.0).fps == pytest.approx(25.0)


def test_the_recommended_rate_counts() -> None:
    assert pace_of((0.0, 10.0, 20.0), 3, 15.0).fps == pytest.approx(15.0)
    assert 0 < pace_of((), 3, 1e9).fps <= 120


def test_forth_and_back_shows_both_ends_once() -> None:
    pace = even_pace(4, 10.0)
    assert [due(pace, 100.0 * n + 1, sweeps=True)[0] for n in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(1.0, 500.0), min_size=1, max_size=12), st.floats(0, 1e5), st.booleans())
def test_what_is_due_began_before_and_ends_after(lengths: list[float], elapsed: float, sweeps: bool) -> None:
    starts = tuple(float(s) for s in np.cumsum([0.0, *lengths[:-1]]))
    pace = pace_of(starts, len(starts), None) if len(starts) > 1 else even_pace(1, 10.0)
    n, began, ends = due(pace, elapsed, sweeps=sweeps)
    assert 0 <= n < len(starts) and began <= elapsed + 1e-3 and ends > elapsed - 1e-3 and ends > began


class FakeClip:
    """Ten pictures; some take their time to arrive."""

    count = 10

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.there: set[int] = set(range(10))
        self.slow_s = 0.0
        self.asked = -1

    def ready(self, n: int) -> bool:
        self.asked = n
        return n in self.there

    def show(self, n: int) -> None:
        self.seen.append(n)
        time.sleep(self.slow_s)


def test_a_player_keeps_its_pace_and_its_order(qtbot) -> None:
    player, clip = Player(), FakeClip()
    player.play(clip, even_pace(10, 50.0), 3)
    qtbot.waitUntil(lambda: len(clip.seen) >= 25, timeout=3000)
    player.stop()
    steps = [(b - a) % 10 for a, b in zip(clip.seen, clip.seen[1:], strict=False)]
    assert clip.seen[0] == 3 and all(step >= 1 for step in steps)
    assert player.skipped == sum(step - 1 for step in steps)
    count = len(clip.seen)
    QTest.qWait(80)
    assert len(clip.seen) == count and not player.playing


def test_what_comes_too_late_is_left_out_and_counted(qtbot) -> None:
    player, clip = Player(), FakeClip()
    clip.slow_s = 0.03  # 10 ms a picture are asked for, 30 are needed
    player.play(clip, even_pace(10, 100.0))
    qtbot.waitUntil(lambda: len(clip.seen) >= 20, timeout=5000)
    shown = player.shown_fps
    player.stop()
    assert player.skipped >= 20
    assert shown is not None and shown < 40.0


def test_what_is_not_decoded_yet_holds_the_clock(qtbot) -> None:
    player, clip = Player(), FakeClip()
    clip.there = {0}
    player.play(clip, even_pace(10, 100.0))
    qtbot.waitUntil(lambda: player.waiting, timeout=2000)
    waited_for = clip.asked
    QTest.qWait(100)
    assert clip.seen == [0] and clip.asked == waited_for
    clip.there = set(range(10))
    qtbot.waitUntil(lambda: len(clip.seen) >= 3, timeout=2000)
    player.stop()
    assert clip.seen[1] == waited_for


# -- in the window -----------------------------------------------------------------------------------------------------


@pytest.fixture
def window(qtbot):
    made = MainWindow()
    qtbot.addWidget(made)
    made.resize(1300, 800)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()


def bar_of(window: MainWindow) -> TimeBar:
    (bar,) = window.findChildren(TimeBar)
    return bar


def four_d(folder: Path, times: int = 4) -> None:
    for n in range(times):
        samples.series(
            folder / str(n), samples.along_z(9), size=(40, 36), Modality="MR", SOPClassUID=MRImageStorage,
            TemporalPositionIdentifier=n + 1, RescaleIntercept=100 * n,
        )  # fmt: skip


def cine(folder: Path, frames: int = 12, **elements: object) -> None:
    data = samples.picture(
        samples.ramp((frames, 40, 36), dtype="uint8"), Modality="US", SOPClassUID=UltrasoundMultiFrameImageStorage,
        NumberOfFrames=frames, FrameTime=20.0, ImagePositionPatient=None, ImageOrientationPatient=None,
        RescaleSlope=None, RescaleIntercept=None, **elements,
    )  # fmt: skip
    samples.save(data, folder / "us.dcm")


def test_the_bar_is_there_for_cine_and_4d_only(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path / "ct", samples.along_z(9), size=(40, 36))
    opened(qtbot, window, tmp_path / "ct")
    assert not bar_of(window).isVisible()
    four_d(tmp_path / "mr")
    opened(qtbot, window, tmp_path / "mr")
    bar = bar_of(window)
    assert bar.isVisible() and (bar.slider.minimum(), bar.slider.maximum()) == (0, 3)
    assert bar.label.text() == "1 / 4"


def test_a_cine_plays_with_its_key_and_stops_where_it_is(qtbot, window, tmp_path: Path) -> None:
    cine(tmp_path)
    opened(qtbot, window, tmp_path)
    bar = bar_of(window)
    assert bar.rate.value() == 50.0
    wide = bar.slider.width()
    seen: list[int] = []
    window.film.player.shown.connect(seen.append)
    QTest.keyClick(window, Qt.Key.Key_C)
    qtbot.waitUntil(lambda: len(set(seen)) >= 6, timeout=3000)
    assert window.film.player.playing and bar.real.text()
    assert bar.slider.width() == wide  # what is told of the pace has its place from the start
    QTest.keyClick(window, Qt.Key.Key_C)
    assert not window.film.player.playing
    assert int(window.session.crosshair_kji[0]) == seen[-1] == bar.slider.value()


def test_times_are_flipped_through_and_the_last_one_is_taken(qtbot, window, tmp_path: Path) -> None:
    four_d(tmp_path)
    opened(qtbot, window, tmp_path)
    window.session.move_crosshair((2, 5, 7))
    changes: list[object] = []
    window.session.changed.connect(changes.append)
    window.actions_table.do("play")
    qtbot.waitUntil(lambda: len(window.moments.volumes) == 4 and window.showing.time == 2, timeout=5000)
    assert not any(c.volume for c in changes)  # nothing was opened or closed while it played
    window.actions_table.do("play")
    qtbot.waitUntil(lambda: any(c.volume for c in changes), timeout=2000)
    time_shown = window.showing.time
    assert window.session.stack.id.endswith(f"-t{time_shown}")
    value = window.session.volume.value_at((2, 5, 7))
    assert value == 100.0 * time_shown + samples.ramp((40, 36), 200)[5, 7]
    assert window.session.crosshair_kji.tolist() == [2.0, 5.0, 7.0]
    assert window.series.cards[0].isChecked()


def test_the_slider_goes_to_a_time(qtbot, window, tmp_path: Path) -> None:
    four_d(tmp_path)
    opened(qtbot, window, tmp_path)
    bar = bar_of(window)
    bar.slider.setValue(3)
    qtbot.waitUntil(lambda: window.showing.time == 3, timeout=3000)
    qtbot.waitUntil(lambda: window.session.stack.id.endswith("-t3"), timeout=3000)
    assert bar.label.text() == "4 / 4" and window.grid.views[0].notes == ("time 4 / 4",)


def test_marking_belongs_to_one_time(qtbot, window, tmp_path: Path) -> None:
    four_d(tmp_path)
    opened(qtbot, window, tmp_path)
    window.session.set_tool("window", annotating=True)
    assert "one time" in (window.actions_table.why_not("play") or "")


def test_the_public_ultrasound_plays_at_its_own_rate(qtbot, window, public_data: Path) -> None:
    opened(qtbot, window, public_data / "us_cine")
    assert bar_of(window).rate.value() == pytest.approx(30.0, abs=0.2)
    player = window.film.player
    window.actions_table.do("play")
    qtbot.waitUntil(lambda: player.shown_fps is not None and not player.waiting, timeout=10_000)
    QTest.qWait(900)
    assert player.shown_fps is not None and player.shown_fps > 10.0
    window.actions_table.do("play")


# -- upright -----------------------------------------------------------------------------------------------------------


def test_a_tilted_stack_is_shown_as_acquired_and_upright_on_request(qtbot, window, tmp_path: Path) -> None:
    slant = np.tan(np.radians(15))
    samples.series(tmp_path, [(0, 3.0 * n * slant, 3.0 * n) for n in range(12)], size=(40, 36))
    opened(qtbot, window, tmp_path)
    assert window.grid.shown_layout == "one" and not window.session.stack.derived_from
    window.session.move_crosshair((6, 10, 7))
    place = window.session.crosshair_lps
    with qtbot.waitSignal(window.opener.loaded, timeout=5000):
        QTest.keyClick(window, Qt.Key.Key_M)
    assert window.grid.shown_layout == "planes" and window.session.stack.derived_from
    assert window.session.volume.grid.is_orthogonal
    assert np.allclose(window.session.crosshair_lps, place, atol=1e-6)
    assert window.series.cards[0].isChecked()
    with qtbot.waitSignal(window.opener.loaded, timeout=5000):
        QTest.keyClick(window, Qt.Key.Key_M)
    assert window.grid.shown_layout == "one" and not window.session.stack.derived_from
    assert np.allclose(window.session.crosshair_lps, place, atol=1e-6)


def test_a_stack_with_a_gap_has_planes_through_its_true_places(qtbot, window, tmp_path: Path) -> None:
    samples.series(tmp_path, [(0, 0, z) for z in (0, 2, 4, 6, 10, 12, 14, 16)], size=(40, 36))
    opened(qtbot, window, tmp_path)
    assert window.session.volume.grid is None and window.actions_table.why_not("layout") is None
    with qtbot.waitSignal(window.opener.loaded, timeout=5000):
        window.actions_table.do("layout")
    assert window.session.volume.size_kji[0] == 9 and "interpolated" in window.session.stack.quality[0].short

"""A share that gives its files slowly: series can be chosen before all files have been looked through."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from reading import a_volume

from medviewer.desktop.main_window import MainWindow
from medviewer.formats import source
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series

#: Files that the share gives before it stops, and how long each takes, seconds.
GIVEN, EACH = 72, 0.03
SLICES = {"a": 40, "b": 60, "c": 40}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share")
    for name, slices in SLICES.items():
        write_ct_series(
            a_volume(size=(slices, 24, 32)), folder / name, text=CtText("Test^Anna", "T-1"), uid_seed=f"slow-{name}"
        )
    return folder


@pytest.fixture
def share(monkeypatch):
    """Set it, and the share gives the rest of its files."""
    go, given, first_bytes = threading.Event(), itertools.count(1), source.first_bytes

    def slowly(name, length):
        if next(given) > GIVEN:
            assert go.wait(20)
        elif not go.is_set():
            time.sleep(EACH)
        return first_bytes(name, length)

    monkeypatch.setattr(source, "first_bytes", slowly)
    yield go
    go.set()


@pytest.fixture
def window(qtbot):
    made = MainWindow()
    qtbot.addWidget(made)
    made.resize(1400, 900)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()


def card(window, slices):
    return next(card for card in window.series.cards if card.stack.size_kji[0] == slices)


def begin(qtbot, window, study) -> None:
    window.open_paths([study])
    qtbot.waitUntil(lambda: len(window.series.cards) == 2, timeout=10_000)
    assert window.opener.scanning and window.session.volume is None


def choose(qtbot, window, slices) -> None:
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        qtbot.mouseClick(card(window, slices), Qt.MouseButton.LeftButton, pos=QPoint(80, 20))
    assert window.opener.scanning and window.session.volume.size_kji[0] == slices


def end(qtbot, window, share) -> None:
    share.set()
    qtbot.waitUntil(lambda: not window.opener.scanning, timeout=10_000)
    assert sorted(card.stack.size_kji[0] for card in window.series.cards) == sorted(SLICES.values())


def test_a_series_chosen_from_the_list_so_far_stays(qtbot, window, study, share):
    begin(qtbot, window, study)
    choose(qtbot, window, 40)
    window.actions_table.do("first-slice")
    chosen = window.session.volume
    end(qtbot, window, share)
    qtbot.wait(50)
    assert window.session.volume is chosen and window.session.crosshair_kji[0] == 0
    assert card(window, 60).isChecked() is False
    assert [c.stack.id for c in window.series.cards if c.isChecked()] == [window.session.stack.id]


def test_a_series_that_was_listed_in_part_gets_its_other_images_at_the_same_place(qtbot, window, study, share):
    begin(qtbot, window, study)
    part = GIVEN - SLICES["a"]
    choose(qtbot, window, part)
    looked_at = window.session.stack.frames[3]
    window.session.move_crosshair(np.array([3.0, 5.0, 6.0]))
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        end(qtbot, window, share)
    qtbot.waitUntil(lambda: window.session.volume.size_kji[0] == 60, timeout=5000)
    k, j, i = window.session.crosshair_kji
    assert window.session.stack.frames[int(k)].path == looked_at.path and (j, i) == (5.0, 6.0)
    assert np.array_equal(window.session.volume.values(), a_volume(size=(60, 24, 32)).values())
    assert window.showing.kept.take(window.session.stack.id) is window.session.volume


def test_without_a_choice_the_likeliest_series_of_all_is_shown(qtbot, window, study, share):
    begin(qtbot, window, study)
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        end(qtbot, window, share)
    assert window.session.volume.size_kji[0] == 60


def test_nothing_is_listed_over_what_somebody_looks_at(qtbot, window, study, share, tmp_path):
    write_ct_series(a_volume(size=(6, 90, 90)), tmp_path, text=CtText("Test^Bert", "T-2"), uid_seed="looked at")
    share.set()
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.open_paths([tmp_path])
    share.clear()
    shown, catalogs = window.session.volume, []
    window.session.changed.connect(lambda changes: catalogs.append(1) if changes.catalog else None)
    window.open_paths([study])
    qtbot.wait(1500)
    assert window.opener.scanning and window.session.volume is shown and catalogs == []
    end(qtbot, window, share)
    assert catalogs == [1]


def test_reading_can_be_stopped_and_the_list_stays(qtbot, window, study, share):
    begin(qtbot, window, study)
    window.opener.cancel_scan()
    share.set()
    qtbot.waitUntil(lambda: not window.opener.scanning, timeout=10_000)
    assert len(window.series.cards) == 2 and "list holds" in window.status.sentence
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        qtbot.mouseClick(card(window, 40), Qt.MouseButton.LeftButton, pos=QPoint(80, 20))
    assert window.session.volume.size_kji[0] == 40

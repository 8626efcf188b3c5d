"""From paths to a picture, in the real window: folders, ZIPs, dropped files, wrong paths, partial loading, recent."""

from __future__ import annotations

import shutil
import threading
import zipfile

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication
from reading import a_volume

from medviewer.desktop.main_window import MainWindow
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_ct_series(a_volume(), folder, text=CtText("Test^Anna", "T-1"), uid_seed="opening")
    (folder / "letter.txt").write_text("this is no picture", encoding="utf-8")
    return folder


@pytest.fixture
def window(qtbot):
    made = MainWindow()
    qtbot.addWidget(made)
    made.resize(1400, 900)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()


def opened(qtbot, window, paths) -> None:
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.open_paths(paths)


def test_a_folder_opens_with_what_was_skipped(qtbot, window, study):
    opened(qtbot, window, [study])
    assert window.session.volume.size_kji == (20, 96, 128)
    assert bool(window.session.volume.loaded.all())
    assert np.array_equal(window.session.volume.values(), a_volume().values())
    assert len(window.series.cards) == 1 and window.series.cards[0].isChecked()
    assert [s.code for s in window.session.catalog.skipped] == ["not-dicom"]
    assert window.series._skipped.isVisible()
    assert "1 file skipped" in window.series._skipped.accessibleName()


def test_the_middle_slice_is_shown_before_the_rest_is_read(qtbot, window, study, monkeypatch):
    from medviewer.formats import load

    go, original = threading.Event(), load.load_volume

    def waits(*args, **kwargs):
        go.wait(10)
        return original(*args, **kwargs)

    monkeypatch.setattr(load, "load_volume", waits)
    with qtbot.waitSignal(window.opener.shown, timeout=10_000):
        window.open_paths([study])
    loaded = window.session.volume.loaded
    assert np.flatnonzero(loaded).tolist() == [10]
    assert window.grid.views[0].position == 10
    window.actions_table.do("first-slice")
    qtbot.waitUntil(lambda: bool(loaded[0]), timeout=5000)  # what is looked at goes before all others
    assert np.count_nonzero(loaded) == 2
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        go.set()
    assert bool(loaded.all())


def test_a_zip_opens(qtbot, window, study, tmp_path):
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(study.iterdir()):
            file.write(path, path.name)
    opened(qtbot, window, [archive])
    assert window.session.volume.size_kji == (20, 96, 128)


def test_files_can_be_dropped(qtbot, window, study):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(study))])
    event = QDropEvent(
        QPointF(400, 300), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.dropEvent(event)
    assert window.session.volume is not None


@pytest.mark.parametrize(("make", "said"), [("empty", "no files"), ("text", "not")])
def test_what_cannot_be_shown_is_a_sentence_and_the_window_stays(qtbot, window, tmp_path, make, said):
    if make == "text":
        (tmp_path / "letter.txt").write_text("hello", encoding="utf-8")
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: bool(window.banner.text), timeout=10_000)
    assert said in window.banner.text.lower()
    assert window.isVisible() and window.session.volume is None


def test_the_shown_patient_stays_until_somebody_chooses(qtbot, window, study, tmp_path):
    opened(qtbot, window, [study])
    before = window.session.volume
    other = tmp_path / "other"
    write_ct_series(a_volume(size=(6, 90, 90)), other, text=CtText("Test^Anna", "T-1"), uid_seed="other")
    window.opener._generation += 1  # a scan that was started before and is stale now
    window.session.set_catalog(window.session.catalog)
    assert window.session.volume is before


def test_thumbnails_arrive(qtbot, window, study):
    opened(qtbot, window, [study])
    qtbot.waitUntil(lambda: window.series.cards[0]._thumbnail is not None, timeout=10_000)


def test_recent_paths_are_remembered_and_forgotten(qtbot, window, study):
    opened(qtbot, window, [study])
    assert window.opener.recent() == (str(study.resolve()),)
    assert any(str(study)[-40:] in action.text() for action in window.top.open_menu.actions())
    window.opener.forget_recent()
    assert window.opener.recent() == ()


def test_going_back_to_a_series_is_instant(qtbot, window, tmp_path):
    for name, size in (("a", (9, 90, 90)), ("b", (12, 90, 90))):
        write_ct_series(a_volume(size=size), tmp_path / name, text=CtText("Test^Anna", "T-1"), uid_seed=name)
    opened(qtbot, window, [tmp_path])
    first = window.session.volume
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.actions_table.do("next-series")
    assert window.session.volume is not first
    window.actions_table.do("previous-series")
    assert window.session.volume is first
    window.actions_table.do("previous-series")
    assert "first series" in window.status.sentence


def test_the_title_names_no_patient(qtbot, window, study):
    opened(qtbot, window, [study])
    assert window.windowTitle() == "medviewer"


def test_series_cards_are_chosen_by_a_click(qtbot, window, tmp_path):
    for name, size in (("a", (9, 90, 90)), ("b", (12, 90, 90))):
        write_ct_series(a_volume(size=size), tmp_path / name, text=CtText("Test^Anna", "T-1"), uid_seed=name)
    opened(qtbot, window, [tmp_path])
    other = next(card for card in window.series.cards if not card.isChecked())
    QApplication.processEvents()
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        qtbot.mouseClick(other, Qt.MouseButton.LeftButton, pos=QPoint(80, 20))
    assert window.session.stack.id == other.stack.id
    assert other.isChecked() and sum(card.isChecked() for card in window.series.cards) == 1


def test_a_place_given_at_start_is_asked_about_once_the_study_is_there(qtbot, window, study):
    from medviewer.annotation.editor import Editor
    from medviewer.annotation.segmentation import Segmentation
    from medviewer.desktop.app import ask_when_ready

    asked = []
    window.session.asked.connect(asked.append)
    point = (10.0, 20.0, 120.0)
    ask_when_ready(window, point)
    opened(qtbot, window, [study])
    assert asked == []
    volume = window.session.volume
    window.session.editor = Editor(Segmentation(volume.grid))
    qtbot.waitUntil(lambda: len(asked) == 1, timeout=3000)
    assert asked[0].point_lps == point
    assert np.allclose(window.session.crosshair_lps, point)


def test_a_folder_that_vanished_keeps_its_pictures_when_it_is_read_again(qtbot, window, study, tmp_path):
    folder = tmp_path / "share"
    shutil.copytree(study, folder)
    opened(qtbot, window, [folder])
    shutil.rmtree(folder)
    window.opener.reload()
    qtbot.waitUntil(lambda: not window.opener.scanning, timeout=10_000)
    assert "What was read before stays open" in window.banner.text
    assert window.session.volume is not None and bool(window.session.volume.loaded.all())
    assert len(window.series.cards) == 1

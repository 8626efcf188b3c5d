"""What was read: the sentence, the window with every file and its reason, cancel while files are looked through."""

from __future__ import annotations

import csv
import threading
import time
import zipfile
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.opening.import_report import ImportReportDialog
from medviewer.desktop.opening.skipped_card import SkippedCard
from medviewer.desktop.theme import tokens
from medviewer.formats.catalog import Skipped
from tests.formats import samples
from tests.formats.hostile_files import directory_file
from tests.formats.samples import along_z


@pytest.fixture
def window(qtbot):
    made = MainWindow()
    qtbot.addWidget(made)
    made.resize(1400, 900)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()


@pytest.fixture
def mixed(tmp_path):
    """Two series, a copy, and files of which nothing can be made."""
    paths = samples.series(tmp_path / "a", along_z(5))
    samples.series(tmp_path / "b", along_z(4), SeriesInstanceUID="1.2.9", SeriesNumber=2)
    (tmp_path / "copy.dcm").write_bytes(paths[0].read_bytes())
    (tmp_path / "<b>login.dcm").write_text("<!DOCTYPE html><html>")
    (tmp_path / "empty.dcm").write_bytes(b"")
    return tmp_path


def opened(qtbot, window, paths) -> None:
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.open_paths(paths)


def dialog_of(window) -> ImportReportDialog:
    (dialog,) = [child for child in window.findChildren(ImportReportDialog) if child.isVisible()]
    return dialog


def rows(dialog) -> dict[str, list[tuple[str, str]]]:
    tree = dialog.tree
    groups = [tree.topLevelItem(n) for n in range(tree.topLevelItemCount())]
    return {g.text(0): [(g.child(n).text(0), g.child(n).text(1)) for n in range(g.childCount())] for g in groups}


def test_a_sentence_counts_what_was_read(qtbot, window, mixed):
    opened(qtbot, window, [mixed])
    assert window.status.sentence == "12 files: 9 shown in 2 series, 1 copy, 2 not shown."


def test_the_card_opens_the_report_with_every_file_under_its_reason(qtbot, window, mixed):
    opened(qtbot, window, [mixed])
    qtbot.mouseClick(window.series._skipped, Qt.MouseButton.LeftButton)
    dialog = dialog_of(window)
    assert dialog.summary.text() == "12 files: 9 shown in 2 series, 1 copy, 2 not shown"
    assert rows(dialog) == {
        "Empty files  (1)": [("empty.dcm", "empty file")],
        "No medical images  (1)": [("<b>login.dcm", "not DICOM (looks like HTML)")],
        "Copies of what is shown  (1)": [("copy.dcm", "a copy of 000.dcm, which is shown")],
    }
    qtbot.mouseClick(dialog.copy_button, Qt.MouseButton.LeftButton)
    data = QApplication.clipboard().mimeData()
    assert data.hasText() and not data.hasHtml() and "<b>login.dcm: not DICOM" in data.text()


def test_the_report_is_reached_from_the_menu_and_with_the_keyboard(qtbot, window, mixed):
    window.show_import_report()
    assert window.status.sentence == "Nothing has been read yet."
    opened(qtbot, window, [mixed])
    (entry,) = [a for a in window.top.open_menu.actions() if a.text().startswith("What was read")]
    entry.trigger()
    dialog_of(window).close()
    window.series._skipped.setFocus()
    qtbot.keyClick(window.series._skipped, Qt.Key.Key_Return)
    assert dialog_of(window).tree.topLevelItemCount() == 3


def test_the_table_is_saved_for_a_spreadsheet(qtbot, window, mixed, tmp_path_factory):
    opened(qtbot, window, [mixed])
    window.show_import_report()
    target = tmp_path_factory.mktemp("out") / "读取.csv"
    dialog_of(window).save(target)
    qtbot.waitUntil(lambda: "Saved as" in window.status.sentence, timeout=5000)
    with target.open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 12 and {row["result"] for row in found} == {"shown", "copy", "not shown"}


def test_a_table_that_cannot_be_written_is_said(qtbot, window, mixed):
    opened(qtbot, window, [mixed])
    window.show_import_report()
    dialog_of(window).save(mixed / "empty.dcm" / "x.csv")
    qtbot.waitUntil(lambda: "could not be saved" in window.banner.text, timeout=5000)


def test_nothing_to_show_offers_the_report(qtbot, window, tmp_path):
    (tmp_path / "letter.txt").write_text("hello")
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: "letter.txt" in window.banner.text, timeout=5000)
    (button,) = [b for b in window.banner.findChildren(QPushButton) if b.text() == "What was read"]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert dialog_of(window).summary.text() == "1 file: none shown, 1 not shown"


@pytest.fixture
def slow_scan(monkeypatch):
    """A scan that tells how far it is and goes on until it is cancelled or let go."""
    from medviewer.formats import scan_cache as module

    go, original = threading.Event(), module.open_catalog

    def scan(paths, context=None, **options):
        done = 0
        while context is not None and not go.wait(0.02):
            done += 10
            context.report(done, 5000, "reading headers")
        return original(paths, context, **options)

    monkeypatch.setattr(module, "open_catalog", scan)
    yield go
    go.set()


@pytest.mark.parametrize("how", ["escape", "button"])
def test_looking_through_files_shows_how_far_it_is_and_stops(how, qtbot, window, mixed, slow_scan):
    window.open_paths([mixed])
    cancel = window._empty._cancel
    qtbot.waitUntil(cancel.isVisible, timeout=5000)
    qtbot.waitUntil(lambda: "of 5,000 files" in window._empty._hint.text(), timeout=5000)
    assert "of 5,000" in window.status._job_text.text() and window.status._cancel.isVisible()
    began = time.monotonic()
    if how == "escape":
        qtbot.keyClick(window, Qt.Key.Key_Escape)
    else:
        qtbot.mouseClick(cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.opener.scanning, timeout=5000)
    assert time.monotonic() - began < 1.0
    assert "stopped" in window.status.sentence and not cancel.isVisible()
    assert window._empty._button.isVisible() and window.session.catalog is None


def test_what_was_open_stays_when_the_next_reading_is_stopped(qtbot, window, mixed, slow_scan):
    slow_scan.set()
    opened(qtbot, window, [mixed / "a"])
    slow_scan.clear()
    shown = window.session.volume
    window.open_paths([mixed / "b"])
    qtbot.waitUntil(window.status._cancel.isVisible, timeout=5000)
    qtbot.mouseClick(window.status._cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.opener.scanning, timeout=5000)
    assert window.session.volume is shown and len(window.series.cards) == 1


def test_a_directory_file_opens_what_it_names_and_says_what_is_absent(qtbot, window, tmp_path):
    for n, path in enumerate(samples.series(tmp_path / "IMAGES", along_z(3))):
        path.rename(tmp_path / "IMAGES" / f"IM{n}")
    data = directory_file("IMAGES\\IM0", "IMAGES\\IM1", "IMAGES\\GONE", "..\\..\\SECRET")
    (tmp_path / "DICOMDIR").write_bytes(data)
    opened(qtbot, window, [tmp_path / "DICOMDIR"])
    assert window.session.volume.size_kji[0] == 2
    assert {(s.path.name, s.code) for s in window.session.catalog.skipped} == {
        ("GONE", "unreadable"),
        ("DICOMDIR", "outside-folder"),
    }
    assert window.status.sentence == "3 files: 2 shown in 1 series, 1 object, 2 not shown."


def test_archives_in_archives_open_in_the_window(qtbot, window, tmp_path):
    paths = samples.series(tmp_path / "s", along_z(4))
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as file:
        for path in paths:
            file.write(path, path.name)
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w") as file:
        file.write(inner, "deep/inner.zip")
    opened(qtbot, window, [outer])
    assert bool(window.session.volume.loaded.all()) and window.session.volume.size_kji[0] == 4


def test_a_disk_that_went_is_said_and_read_again(qtbot, window, tmp_path):
    samples.series(tmp_path / "disk", along_z(4))
    samples.series(tmp_path / "disk", along_z(3), SeriesInstanceUID="1.2.8", names=["x1", "x2", "x3"], SeriesNumber=2)
    opened(qtbot, window, [tmp_path / "disk"])
    (tmp_path / "disk").rename(tmp_path / "gone")
    window.show_series(1)
    qtbot.waitUntil(lambda: "connect the disk or share again" in window.banner.text, timeout=5000)
    (tmp_path / "gone").rename(tmp_path / "disk")
    (button,) = [b for b in window.banner.findChildren(QPushButton) if b.text() == "Read again"]
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert window.banner.text == "" and bool(window.session.volume.loaded.all())


def test_one_bad_picture_in_the_middle_does_not_cost_the_others(qtbot, window, tmp_path):
    paths = samples.series(tmp_path / "s", along_z(7))
    opened_files = list(paths)

    def spoil(_: object) -> None:
        opened_files[3].write_bytes(opened_files[3].read_bytes()[:-40])

    window.session.changed.connect(lambda changes: spoil(changes) if changes.catalog else None)
    window.open_paths([tmp_path / "s"])
    qtbot.waitUntil(lambda: "picture" in window.banner.text, timeout=5000)
    assert window.session.volume.loaded.tolist() == [True, True, True, False, True, True, True]
    assert window._stacked.currentWidget() is window.grid


def test_a_text_file_beside_the_images_is_no_alarm_a_damaged_picture_is(qtbot) -> None:
    card = SkippedCard()
    qtbot.addWidget(card)
    title = card.findChildren(QLabel)[0]
    readme = Skipped(Path("README.md"), "not DICOM (looks like text)", "not-dicom")
    copy = Skipped(Path("a.dcm"), "a copy of b.dcm", "duplicate-uid")
    card.show_skipped((readme, copy))
    assert title.text() == "2 files skipped" and tokens().warn not in title.styleSheet()
    assert "1 not DICOM, 1 copy" in card.accessibleName()
    card.show_skipped((readme, Skipped(Path("c.dcm"), "cut short", "truncated")))
    assert tokens().warn in title.styleSheet()
    card.show_skipped((readme,), ("two patients share a series UID",))
    assert tokens().warn in title.styleSheet()

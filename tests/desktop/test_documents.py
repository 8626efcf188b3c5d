"""Reports, key images, presentation states and PDF in the window: listed, read, drawn, led to, and taken away."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel
from reading import a_volume

from medviewer.desktop.documents import private_files
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.panels.document import DocumentPanel, DocumentView, State
from medviewer.desktop.viewport.marks import Mark, in_cut, marks_of, shapes
from medviewer.formats.dicom.ct_writer import CtText, write_ct_series
from medviewer.formats.dicom.objects.sr import read_report
from medviewer.formats.dicom.objects.sr_measurements import measurements
from medviewer.formats.dicom.objects.sr_text import Role, TextLine
from medviewer.formats.scan import scan
from medviewer.volume.plane import PlaneName, acquired_plane, plane_axes
from medviewer.volume.window import Window
from tests.formats.document_samples import (
    encapsulated_document,
    key_images,
    measurement_report,
    report_in_patient,
)
from tests.formats.presentation_samples import item, presentation_state


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A CT of eight slices: report on the third, key images on the second and seventh, state on the fourth."""
    folder = tmp_path_factory.mktemp("study")
    write_ct_series(a_volume(size=(8, 96, 128)), folder, text=CtText("Test^Anna", "T-1"), uid_seed="documents")
    images = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    for image in images:  # what highdicom asks of an image
        image.PatientBirthDate = image.get("PatientBirthDate", "")
    measurement_report(images[2], folder / "sr.dcm")
    key_images([images[1], images[6]], folder / "ko.dcm", "two of them")
    presentation_state(
        [images[3]], folder / "ps.dcm", SoftcopyVOILUTSequence=[item(WindowCenter=100, WindowWidth=200)],
        RescaleSlope=1, RescaleIntercept=0, RescaleType="HU", ImageRotation=90,
    )  # fmt: skip
    encapsulated_document(folder / "pdf.dcm", b"%PDF-1.4\n%%EOF\n", "application/pdf")
    return folder


@pytest.fixture
def window(qtbot, study):
    made = MainWindow()
    qtbot.addWidget(made)
    made.resize(1500, 900)
    made.show()
    qtbot.waitExposed(made)
    made.open_paths([study])
    qtbot.waitUntil(lambda: made.session.volume is not None and bool(made.session.volume.loaded.all()), timeout=10_000)
    yield made
    made.close()


def click_row(qtbot, window, kind: str) -> None:
    """Click the row of the first object of a kind in the list of series."""
    row = next(row for row in window.series.rows if row.object.kind == kind)
    QTest.mouseClick(row, Qt.MouseButton.LeftButton)
    QApplication.processEvents()


def shown_text(window) -> str:
    return window.documents.panel.text.toPlainText()


def test_a_report_is_read_drawn_led_to_and_taken_away(qtbot, window):
    session = window.session
    session.move_crosshair([7, 0, 0])
    click_row(qtbot, window, "SR")
    qtbot.waitUntil(lambda: len(session.marks) == 3, timeout=5000)
    assert "Imaging Measurement Report" in shown_text(window) and "Length: 12.25 mm" in shown_text(window)
    assert {mark.slice_k for mark in session.marks} == {2}
    assert next(row for row in window.series.rows if row.object.kind == "SR").isChecked()
    line = next(n for n, text in enumerate(shown_text(window).split("\n")) if text == "Length: 7.5 mm")
    block = window.documents.panel.text.document().findBlockByNumber(line)
    box = window.documents.panel.text.document().documentLayout().blockBoundingRect(block)
    at = QPoint(60, round(box.center().y()) - window.documents.panel.text.verticalScrollBar().value())
    QTest.mouseClick(window.documents.panel.text.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert session.crosshair_kji[0] == 2 and session.chosen_mark is not None
    before = window.grid.views[0].grab().toImage()
    QTest.mouseClick(window.documents.panel.switch, Qt.MouseButton.LeftButton)
    assert session.marks == ()
    assert window.grid.views[0].grab().toImage() != before
    QTest.mouseClick(window.documents.panel.switch, Qt.MouseButton.LeftButton)
    assert len(session.marks) == 3
    click_row(qtbot, window, "SR")
    assert session.marks == () and window.documents.panel.isHidden()


def test_key_images_have_a_star_and_keys_lead_to_them(qtbot, window):
    session = window.session
    click_row(qtbot, window, "KO")
    qtbot.waitUntil(lambda: bool(session.key_slices), timeout=5000)
    assert dict(session.key_slices) == {1: "For Referring Provider", 6: "For Referring Provider"}
    assert "Key Object Description: two of them" in shown_text(window)
    session.move_crosshair([3, 48, 64])
    window.grid.views[0].setFocus()
    QTest.keyClick(window, Qt.Key.Key_K)
    assert session.crosshair_kji[0] == 6
    QTest.keyClick(window, Qt.Key.Key_K)
    assert session.crosshair_kji[0] == 1
    QTest.keyClick(window, Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    assert session.crosshair_kji[0] == 6


def test_a_presentation_state_is_applied_to_its_slice_only(qtbot, window):
    session = window.session
    own = session.window
    session.move_crosshair([0, 48, 64])
    click_row(qtbot, window, "PR")
    qtbot.waitUntil(lambda: session.presented is not None, timeout=5000)
    view = window.grid.views[0]
    assert session.crosshair_kji[0] == 3  # it led to the slice that it is for
    assert (session.window.width, session.window.level) == (200, 100)
    assert (view.axes.down, view.axes.right, view.axes.flip_right) == (2, 1, True)
    session.move_crosshair([4, 48, 64])
    assert (
        session.presented is None and session.window == own and view.axes == plane_axes(session.volume.grid, view.name)
    )
    session.move_crosshair([3, 48, 64])
    assert session.presented is not None
    click_row(qtbot, window, "PR")
    assert session.presented is None and session.window == own


def test_a_pdf_is_handed_out_only_when_asked(qtbot, window, monkeypatch):
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url) or True)
    click_row(qtbot, window, "PDF")
    qtbot.waitUntil(window.documents.panel.action.isVisible, timeout=5000)
    assert opened == [] and "Letter" in shown_text(window)
    QTest.mouseClick(window.documents.panel.action, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(opened), timeout=5000)
    path = Path(opened[0].toLocalFile())
    assert path.read_bytes() == b"%PDF-1.4\n%%EOF\n"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "Test" not in str(path) and "T-1" not in str(path)


def test_copies_of_dead_processes_go_and_those_of_living_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(private_files.tempfile, "gettempdir", lambda: str(tmp_path))
    dead, living, other = (tmp_path / name for name in ("medviewer-shown-999999999-x", "medviewer-shown-1-x", "other"))
    for folder in (dead, living, other):
        folder.mkdir()
        (folder / "a.pdf").write_bytes(b"%PDF-")
    private_files.forget_leftovers()
    assert not dead.exists() and living.exists() and other.exists()


def test_a_damaged_report_costs_a_sentence(qtbot, study, tmp_path):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in sorted(study.iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    window.open_paths([folder])
    qtbot.waitUntil(lambda: window.session.volume is not None, timeout=10_000)
    whole = (folder / "sr.dcm").read_bytes()
    (folder / "sr.dcm").write_bytes(whole[: len(whole) // 2])
    click_row(qtbot, window, "SR")
    qtbot.waitUntil(
        lambda: window.documents.panel.shown is not None and window.documents.panel.shown.state is State.DAMAGED,
        timeout=5000,
    )
    assert "cannot be read" in shown_text(window)
    window.close()


def test_a_report_alone_says_that_its_images_are_missing(qtbot, study):
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    window.open_paths([study / "sr.dcm"])
    qtbot.waitUntil(lambda: window.session.catalog is not None, timeout=10_000)
    qtbot.waitUntil(lambda: "not among the open files" in shown_text(window), timeout=5000)
    assert window.documents.panel.shown.targets == frozenset()
    assert window.documents.panel.switch.isHidden()  # there are no pictures that measurements could be on
    window.close()


def test_a_report_of_another_patient_over_these_images_is_told(qtbot, study, tmp_path):
    for path in sorted(study.iterdir()):
        if path.name.startswith(("ko", "ps", "pdf")):
            continue
        data = pydicom.dcmread(path)
        if path.name == "sr.dcm":
            data.PatientName, data.PatientID = "Other^Ben", "T-2"
        data.save_as(tmp_path / path.name)
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    window.open_paths([tmp_path])
    qtbot.waitUntil(lambda: bool(window.series.rows), timeout=10_000)
    click_row(qtbot, window, "SR")
    words = "Another patient: the SR names Other Ben, the images Test Anna."
    qtbot.waitUntil(lambda: any(words in label.text() for label in window.status.findChildren(QLabel)), timeout=5000)
    window.close()


# -- the panel ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def panel(qtbot):
    made = DocumentPanel()
    qtbot.addWidget(made)
    made.resize(400, 600)
    return made


def test_text_is_never_interpreted_and_is_copied_plain(qtbot, panel):
    said = ("<b>bold</b> <img src='file:///etc/passwd'>", "=cmd|' /C calc'!A0", "مرحبا <i>x</i>", "&lt;tag&gt;")
    panel.show_document(DocumentView("SR", "<h1>Title</h1>", lines=tuple(TextLine(text) for text in said)))
    assert panel.text.toPlainText().split("\n") == list(said)
    panel.text.selectAll()
    copied = panel.text.createMimeDataFromSelection()
    assert copied.formats() == ["text/plain"] and copied.text() == "\n".join(said)


def test_a_long_report_is_written_in_pieces_and_searched_whole(qtbot, panel):
    lines = tuple(TextLine(f"line {n}" + (" needle" if n == 2900 else "")) for n in range(3000))
    panel.show_document(DocumentView("SR", "Long", lines=lines))
    assert panel.text.document().blockCount() < 3000  # the window is not kept waiting
    panel.activateWindow()
    QTest.keyClick(panel.text, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    panel.search()
    QTest.keyClicks(panel.field, "needle")
    assert panel.text.textCursor().selectedText() == "needle" and panel.text.textCursor().blockNumber() == 2900
    panel.field.clear()
    QTest.keyClicks(panel.field, "absent")
    assert panel._found.text() == "not found"
    QTest.keyClick(panel.field, Qt.Key.Key_Escape)
    assert panel.field.isHidden() or not panel.field.isVisible()


def test_a_megabyte_on_one_line_is_cut_with_a_word(qtbot, panel):
    panel.show_document(DocumentView("SR", "Big", lines=(TextLine("x" * 1_000_000),)))
    assert len(panel.text.toPlainText()) < 21_000 and panel.text.toPlainText().endswith("prints it whole)")


def test_empty_loading_and_damaged_have_their_words(qtbot, panel):
    for state, words in ((State.SHOWN, "This document has no content."), (State.LOADING, "Reading…")):
        panel.show_document(DocumentView("SR", "x", state))
        assert panel.text.toPlainText() == words
    panel.show_document(DocumentView("SR", "x", State.DAMAGED, sentence="It is cut short."))
    assert panel.text.toPlainText() == "It is cut short."


def test_lines_lead_by_enter_too(qtbot, panel):
    chosen = []
    panel.line_chosen.connect(chosen.append)
    lines = (TextLine("Title", 0, Role.TITLE), TextLine("there"), TextLine("nowhere"))
    panel.show_document(DocumentView("SR", "x", lines=lines, targets=frozenset({1})))
    for n in (1, 2):
        panel.mark_line(n)
        QTest.keyClick(panel.text, Qt.Key.Key_Return)
    assert chosen == [1]


# -- geometry of marks -------------------------------------------------------------------------------------------------


def test_points_in_the_patient_are_seen_in_every_plane_through_them(study, tmp_path):
    stack = next(scan([study]).stacks())
    image = pydicom.dcmread(stack.frames[2].path)
    image.PatientBirthDate = ""
    grid = stack.grid
    where = grid.index_to_lps((2, 30, 40))
    path = report_in_patient(image, tmp_path / "sr.dcm", "POINT", [list(where)])
    report = read_report(path)
    (mark,) = marks_of(measurements(report), stack, grid, verified=report.is_verified)
    assert np.allclose(mark.points_kji, [[2, 30, 40]])
    for name, at in ((PlaneName.AXIAL, 2), (PlaneName.CORONAL, 30), (PlaneName.SAGITTAL, 40)):
        axes = plane_axes(grid, name)
        seen = [n for n in range(axes.count(stack.size_kji)) if in_cut(mark, axes, stack.size_kji, n)]
        assert seen == [at]


def test_an_ellipsoid_is_cut_where_its_equation_says():
    size, centre, radii = (40, 60, 80), np.array([20.0, 30.0, 40.0]), np.array([8.0, 12.0, 20.0])
    ends = [centre + sign * radii[axis] * np.eye(3)[axis] for axis in range(3) for sign in (-1, 1)]
    (mark,) = shapes("ELLIPSOID", np.array(ends), None)
    axes = acquired_plane()
    drawn = in_cut(mark, axes, size, 24)
    rows, columns = drawn.lines[0].T
    inside = (4 / 8) ** 2 + ((rows - 30) / 12) ** 2 + ((columns - 40) / 20) ** 2
    assert np.allclose(inside, 1.0)
    assert in_cut(mark, axes, size, 29) is None and in_cut(mark, axes, size, 12) is None


def test_a_line_through_slices_is_marked_where_it_crosses():
    mark = Mark("POLYLINE", np.array([[0.0, 10, 10], [10.0, 30, 50]]), None)
    axes = acquired_plane()
    drawn = in_cut(mark, axes, (11, 64, 64), 5)
    assert drawn.points == ((20.0, 30.0),) and drawn.lines == ()


def test_what_a_person_chose_goes_on_through_the_slices_of_a_state(qtbot, study, tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    paths = [path for path in sorted(study.iterdir()) if path.name not in ("sr.dcm", "ko.dcm", "ps.dcm", "pdf.dcm")]
    for path in paths:
        (folder / path.name).write_bytes(path.read_bytes())
    images = [pydicom.dcmread(path) for path in paths]
    presentation_state(images, folder / "ps.dcm", SoftcopyVOILUTSequence=[item(WindowCenter=100, WindowWidth=200)])
    window = MainWindow()
    qtbot.addWidget(window)
    window.resize(1500, 900)
    window.show()
    window.open_paths([folder])
    qtbot.waitUntil(lambda: window.session.volume is not None, timeout=10_000)
    session, view = window.session, window.grid.views[0]
    click_row(qtbot, window, "PR")
    qtbot.waitUntil(lambda: session.presented is not None, timeout=5000)
    view.set_placing(view.placing.zoomed(2.0, 100, 100))
    session.set_window(Window(500.0, 50.0))
    session.set_inverted(True)
    placing = view.placing
    session.move_crosshair([1, 40, 40])
    assert session.presented.slice_k == 1 and (session.window, session.inverted) == (Window(500.0, 50.0), True)
    assert view.placing == placing
    click_row(qtbot, window, "PR")
    assert session.presented is None and not session.inverted
    window.close()

"""Text of files is never markup: a study whose every text is HTML is opened, and all that is shown is looked at."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import Qt as CoreQt
from PySide6.QtGui import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QLabel,
    QMenu,
    QTextBrowser,
    QTextEdit,
    QToolTip,
    QWidget,
)

from medviewer.desktop.app import fill_right_column, make_window
from medviewer.desktop.plain import tip
from tests.formats import samples
from tests.formats.hostile_files import element
from tests.formats.samples import along_z
from tests.fuzz.bases import base
from tests.fuzz.structure import elements

MARK = "<b>x</b><img src=file:///etc/passwd>"
_TEXTS = (b"LO", b"SH", b"ST", b"LT", b"UT", b"PN")


def marked(data: bytes) -> bytes:
    """A file with every text of its top level and of its first sequences replaced by markup."""
    for old in reversed(elements(data)):
        if old.tag >> 16 == 2 or old.vr not in _TEXTS or old.tag == 0x00080005:
            continue
        nested = any(e.vr == b"SQ" and e.value <= old.at < e.end and e.length != 0xFFFFFFFF for e in elements(data))
        if not nested:
            value = MARK.encode()[: 64 if old.vr in (b"LO", b"PN") else 16 if old.vr == b"SH" else 1000]
            data = data[: old.at] + element(old.tag, old.vr, value) + data[old.end :]
    return data


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "<b>study<b>"
    texts = {
        "PatientName": MARK, "PatientID": MARK, "StudyDescription": MARK, "SeriesDescription": MARK,
        "InstitutionName": MARK, "ProtocolName": MARK, "AccessionNumber": "<b>x</b>", "Manufacturer": MARK,
        "BodyPartExamined": "<B>X</B>", "ContrastBolusAgent": MARK, "ConvolutionKernel": "<b>x</b>",
        "PatientSex": "<b>", "PatientAge": "<b>", "Laterality": "<b>x</b>", "RescaleType": "<b>x</b>",
    }  # fmt: skip
    import pydicom

    with pydicom.config.disable_value_validation():
        samples.series(folder, along_z(6), size=(24, 20), **texts)
    seg = base("made:seg.dcm").replace(b"part 1", b"<b>x</")
    (folder / "seg.dcm").write_bytes(marked(seg))
    (folder / f"{MARK[:16].replace('/', '')}.txt").write_text("hello")
    (folder / "zz.dcm").write_bytes((folder / "000.dcm").read_bytes()[:-30])
    return folder


def strings(widget: QWidget):
    """(what, text, is it shown as markup) of everything one widget can show."""
    if isinstance(widget, QLabel):
        rich = widget.textFormat() is not CoreQt.TextFormat.PlainText and Qt.mightBeRichText(widget.text())
        yield "label", widget.text(), rich
    elif isinstance(widget, QAbstractButton):
        yield "button", widget.text(), False
    elif isinstance(widget, (QTextEdit, QTextBrowser)):
        html = widget.toHtml()
        yield "text", widget.toPlainText(), "<img" in html or 'font-weight:700;">x' in html
    if isinstance(widget, QAbstractItemView):
        model = widget.model()
        todo = [model.index(row, 0) for row in range(model.rowCount())] if model is not None else []
        while todo:
            index = todo.pop()
            todo += [model.index(row, 0, index) for row in range(model.rowCount(index))]
            for column in range(model.columnCount(index.parent())):
                data = model.data(index.siblingAtColumn(column), CoreQt.ItemDataRole.ToolTipRole) or ""
                yield "tip of a row", data, Qt.mightBeRichText(data) and "<b>" in data
    for kind in ("toolTip", "statusTip", "whatsThis"):
        text = getattr(widget, kind)()
        yield kind, text, Qt.mightBeRichText(text) and ("<b>" in text.replace("&lt;b&gt;", "") or "<img" in text)


def everything(window) -> list[tuple[str, str, str]]:
    found = []
    for top in QApplication.topLevelWidgets():
        for widget in [top, *top.findChildren(QWidget)]:
            found += [(type(widget).__name__, what, text) for what, text, rich in strings(widget) if rich]
            silent = isinstance(widget, QMenu) and not widget.toolTipsVisible()
            for action in [] if silent else widget.actions():
                if Qt.mightBeRichText(action.toolTip()) and "<b>" in action.toolTip():
                    found.append((type(widget).__name__, "action", action.toolTip()))
    return found


def test_nothing_of_a_file_is_read_as_markup(qtbot, study, monkeypatch):
    window = make_window()
    qtbot.addWidget(window)
    window.resize(1500, 900)
    window.show()
    fill_right_column(window)
    with qtbot.waitSignal(window.opener.loaded, timeout=10_000):
        window.open_paths([study])
    document = json.dumps([str(s) for s in window.session.catalog.skipped])
    assert "<b>" in document and MARK in window.session.stack.text.patient_name.replace("=", "=")[: len(MARK)]
    qtbot.wait(200)
    window.show_import_report()
    window.status.say(f"Opened {MARK}")
    window.banner.show_text(f"Nothing in {MARK} can be shown", "warn")
    for found in window.session.catalog.objects:
        window._open_object(found)
    qtbot.wait(400)
    QApplication.processEvents()
    assert everything(window) == []
    seen = [text for top in QApplication.topLevelWidgets() for w in [top, *top.findChildren(QWidget)]
            for _, text, _ in strings(w) if "<b>x</b>" in text or "&lt;b&gt;" in text]  # fmt: skip
    assert len(seen) >= 5, "the test looks at nothing"
    window.close()


def test_a_walk_that_meets_markup_finds_it(qtbot):
    label = QLabel(f"{MARK}")
    qtbot.addWidget(label)
    label.setToolTip(MARK)
    assert [what for what, _, rich in strings(label) if rich] == ["label", "toolTip"]
    label.setTextFormat(CoreQt.TextFormat.PlainText)
    label.setToolTip(tip(MARK))
    assert [what for what, _, rich in strings(label) if rich] == []


def test_a_tooltip_reads_as_it_is_written(qtbot):
    from PySide6.QtGui import QTextDocument

    for text in (MARK, "a < b & c", "plain", "two\nlines <i>"):
        document = QTextDocument()
        document.setHtml(tip(text)) if Qt.mightBeRichText(tip(text)) else document.setPlainText(tip(text))
        assert document.toPlainText() == text
    assert not QToolTip.isVisible()

"""The notice of the first start: asked once a version, or accepted by the environment."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from medviewer.desktop.notice import WORDING, Notice, accept, is_accepted


def test_the_environment_counts_as_acceptance(monkeypatch):
    monkeypatch.setenv("MEDVIEWER_NOTICE", "accepted")
    assert is_accepted()


def test_it_is_asked_once(qtbot, monkeypatch):
    monkeypatch.delenv("MEDVIEWER_NOTICE", raising=False)
    assert not is_accepted()
    notice = Notice()
    qtbot.addWidget(notice)
    notice.accepted.connect(accept)
    notice.open()
    button = next(b for b in notice.findChildren(QPushButton) if b.text() == "I understand")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert is_accepted()


def test_leaving_is_not_accepting(qtbot, monkeypatch):
    monkeypatch.delenv("MEDVIEWER_NOTICE", raising=False)
    notice = Notice()
    qtbot.addWidget(notice)
    notice.accepted.connect(accept)
    notice.open()
    notice.reject()
    assert not is_accepted()


def test_it_says_what_the_program_is_not_for():
    assert "Not a medical device" in WORDING and "Not for primary diagnosis" in WORDING

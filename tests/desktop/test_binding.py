"""The Qt binding keeps count of None: PySide6 6.12.0 under Python 3.11 did not, and aborted within a minute."""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject


def test_a_thousand_void_calls_lose_no_reference_to_none() -> None:
    thing = QObject()
    before = sys.getrefcount(None)
    for _ in range(1000):
        thing.setObjectName("x")
    assert before - sys.getrefcount(None) < 100

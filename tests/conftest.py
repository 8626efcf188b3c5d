"""What all tests share: a home of their own, no screen, and the public data where somebody has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("MEDVIEWER_NOTICE", "accepted")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a user folder of its own: nobody's library or queue is touched."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MEDVIEWER_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def public_data() -> Path:
    """The folder of public studies (see docs/public-data.md); the test is skipped where nobody has it."""
    named = os.environ.get("MEDVIEWER_PUBLIC_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public data folder is absent: set MEDVIEWER_PUBLIC_DATA to run this test")
    return folder

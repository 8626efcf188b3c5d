"""What tests of the formats share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpus_folder() -> Path:
    """The corpus of difficult files, no part of the project (its files have licences of their own)."""
    named = os.environ.get("MEDVIEWER_CORPUS")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("the corpus of difficult files is absent: set MEDVIEWER_CORPUS to run this test")
    return folder

"""A job can be cancelled, and an error says what, where and what to do."""

from __future__ import annotations

import pytest

from medviewer.errors import BadInput, Cancelled
from medviewer.jobs import JobContext, Progress


def test_a_cancelled_job_stops_at_its_next_report() -> None:
    seen: list[Progress] = []
    context = JobContext(listener=seen.append)
    context.report(1, 4)
    context.token.cancel()
    with pytest.raises(Cancelled):
        context.report(2, 4)
    assert [p.fraction for p in seen] == [0.25]


def test_an_error_is_one_sentence() -> None:
    error = BadInput("the folder is empty", path="/studies/a", remedy="choose a folder with images")
    assert error.sentence == "the folder is empty (/studies/a); choose a folder with images."
    assert error.exit_code == 2

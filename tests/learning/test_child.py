"""A job in a child: results, errors with their sentence, and a cancel that leaves no process behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from medviewer.errors import Cancelled, MedviewerError, Refused
from medviewer.jobs import CancelToken, JobContext, Progress
from medviewer.learning.child import run_in_child

HERE = "tests.learning.test_child"


def doubles(request: int, context: JobContext) -> int:
    context.report(1, 2, "half way", partial={"loss": 0.5})
    return request * 2


def refuses(_: int, __: JobContext) -> None:
    raise Refused("the gate says no", remedy="collect more cases")


def breaks(_: int, __: JobContext) -> None:
    raise ZeroDivisionError


def vanishes(_: int, __: JobContext) -> None:
    os._exit(7)


def sleeps_with_a_grandchild(folder: str, context: JobContext) -> None:
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(folder, "pids").write_text(f"{os.getpid()} {grandchild.pid}")
    while True:
        time.sleep(1)


def priority(_: int, __: JobContext) -> int:
    return int(psutil.Process().nice())


def test_result_and_progress_arrive() -> None:
    heard: list[Progress] = []
    assert run_in_child(f"{HERE}:doubles", 21, JobContext(listener=heard.append)) == 42
    assert heard[0].message == "half way"
    assert heard[0].partial == {"loss": 0.5}


def test_an_error_keeps_its_kind_and_its_sentence() -> None:
    with pytest.raises(Refused, match="the gate says no; collect more cases"):
        run_in_child(f"{HERE}:refuses", 0, JobContext())


@pytest.mark.parametrize("job", ["breaks", "vanishes"])
def test_a_child_that_breaks_is_an_error_with_a_sentence(job: str) -> None:
    with pytest.raises(MedviewerError):
        run_in_child(f"{HERE}:{job}", 0, JobContext())


def test_it_runs_at_low_priority() -> None:
    assert run_in_child(f"{HERE}:priority", 0, JobContext()) > psutil.Process().nice()


def test_cancel_kills_the_whole_tree_quickly(tmp_path: Path) -> None:
    token = CancelToken()
    took: list[float] = []

    def cancel_when_it_runs() -> None:
        while not (tmp_path / "pids").exists():
            time.sleep(0.02)
        time.sleep(0.1)
        took.append(time.monotonic())
        token.cancel()

    threading.Thread(target=cancel_when_it_runs, daemon=True).start()
    with pytest.raises(Cancelled):
        run_in_child(f"{HERE}:sleeps_with_a_grandchild", str(tmp_path), JobContext(token))
    assert time.monotonic() - took[0] < 2.0
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        deadline = time.monotonic() + 2
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"process {pid} outlived the cancel"
            time.sleep(0.02)

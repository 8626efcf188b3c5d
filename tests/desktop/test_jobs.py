"""Jobs: one outcome, callbacks in the Qt thread, stale results dropped, progress after a while."""

from __future__ import annotations

import threading
import time

from medviewer.desktop.jobs import SHOW_AFTER_MS, Jobs, Outcome
from medviewer.errors import BadInput


def test_work_runs_elsewhere_and_its_result_arrives_here(qtbot):
    jobs, here = Jobs(), threading.current_thread()
    seen = {}

    def work(_):
        seen["worker"] = threading.current_thread()
        return 42

    job = jobs.start("count", work, on_done=lambda r: seen.update(result=r, at=threading.current_thread()))
    qtbot.waitUntil(lambda: "result" in seen)
    assert seen["result"] == 42
    assert seen["worker"] is not here and seen["at"] is here
    assert job.outcome is Outcome.DONE and not jobs.busy


def test_a_failure_is_a_sentence(qtbot):
    jobs, said = Jobs(), []

    def work(_):
        raise BadInput("this is no study", remedy="choose another folder")

    jobs.start("open", work, on_failed=said.append)
    qtbot.waitUntil(lambda: bool(said))
    assert said == ["this is no study; choose another folder."]


def test_a_bug_is_a_sentence_without_its_message(qtbot):
    jobs, said = Jobs(), []

    def work(_):
        raise KeyError("Doe^John")

    jobs.start("open", work, on_failed=said.append)
    qtbot.waitUntil(lambda: bool(said))
    assert "KeyError" in said[0] and "Doe" not in said[0]


def test_cancel_takes_effect_soon(qtbot):
    jobs, outcome = Jobs(), []

    def work(context):
        for n in range(10_000):
            context.report(n, 10_000)
            time.sleep(0.005)

    job = jobs.start("long", work, on_cancelled=lambda: outcome.append(time.monotonic()))
    qtbot.wait(50)
    asked = time.monotonic()
    job.cancel()
    qtbot.waitUntil(lambda: bool(outcome), timeout=2000)
    assert outcome[0] - asked < 0.3
    assert job.outcome is Outcome.CANCELLED


def test_a_stale_result_is_dropped(qtbot):
    jobs, wanted, seen = Jobs(), [True], []
    go = threading.Event()

    def work(context):
        context.report(1, 2, partial="first")
        go.wait(2)
        return "second"

    jobs.start("case A", work, on_partial=seen.append, on_done=seen.append, wanted=lambda: wanted[0])
    qtbot.waitUntil(lambda: seen == ["first"])
    wanted[0] = False
    go.set()
    qtbot.waitUntil(lambda: not jobs.busy)
    assert seen == ["first"]


def test_quick_work_is_never_shown_and_long_work_is(qtbot):
    jobs, go = Jobs(), threading.Event()
    shown = []
    jobs.changed.connect(lambda: shown.append(len(jobs.visible)))
    jobs.start("quick", lambda _: None)
    qtbot.waitUntil(lambda: not jobs.busy)
    assert max(shown) == 0
    jobs.start("long", lambda _: go.wait(3))
    qtbot.wait(SHOW_AFTER_MS // 2)
    assert not jobs.visible
    qtbot.waitUntil(lambda: len(jobs.visible) == 1, timeout=2000)
    go.set()
    qtbot.waitUntil(lambda: not jobs.visible)


def test_many_reports_do_not_flood_the_window(qtbot):
    jobs, calls = Jobs(), []

    def work(context):
        for n in range(20_000):
            context.report(n, 20_000)

    jobs.start("chatty", work, on_progress=calls.append)
    qtbot.waitUntil(lambda: not jobs.busy, timeout=5000)
    assert 1 <= len(calls) < 5000
    assert calls[-1].done == 19_999

"""The bench of the window's heartbeat: the ruler itself, and (slow) the real measurement."""

from __future__ import annotations

import json
import time

import pytest

from medviewer.bench.figures import machine, row
from medviewer.cli.main import main


def test_the_heartbeat_sees_a_window_that_is_deaf(qtbot):
    from medviewer.desktop.heartbeat import Heartbeat, wait_until

    heart = Heartbeat()
    heart.begin("quiet")
    wait_until(lambda: False, 0.3)
    heart.begin("deaf")
    wait_until(lambda: False, 0.05)
    time.sleep(0.2)
    wait_until(lambda: False, 0.05)
    heart.stop()
    assert max(heart.gaps_ms["deaf"]) >= 195
    assert len(heart.gaps_ms["quiet"]) > 10
    assert max(heart.own_ms["deaf"]) < 100, "sleeping is not computing"
    count = len(heart.gaps_ms["deaf"])
    wait_until(lambda: False, 0.05)
    assert len(heart.gaps_ms["deaf"]) == count, "stopped is stopped"


def test_waiting_ends_when_it_is_so_or_after_too_long(qtbot):
    from medviewer.desktop.heartbeat import wait_until

    began = time.monotonic()
    assert wait_until(lambda: time.monotonic() > began + 0.05, 5)
    assert not wait_until(lambda: False, 0.05)
    assert time.monotonic() - began < 3


def test_a_row_has_the_contract_s_figures():
    assert row("gap", "ms", []) == {
        "what": "gap", "unit": "ms", "median": None, "p95": None, "p99": None, "max": None, "n": 0,
    }  # fmt: skip
    figures = row("gap", "ms", [float(n) for n in range(101)])
    assert (figures["median"], figures["p95"], figures["p99"], figures["max"], figures["n"]) == (50, 95, 99, 100, 101)
    assert "cores" in machine()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["bench", "nonsense"], "no bench"), (["bench", "responsiveness", "/no/such/folder"], "nothing at this path")],
)
def test_wrong_wishes_are_said(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_folder_needs_a_place(tmp_path, capsys):
    assert main(["bench", "responsiveness", str(tmp_path)]) == 2
    assert "--at" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.data
def test_the_window_stays_alive_while_models_and_a_training_run(public_data, capsys):
    study = public_data / "lidc_demo" / "LIDC-IDRI-0314_ct_block.zip"
    assert main(["bench", "responsiveness", str(study), "--at=-57.2,131.3,-520.4", "--seconds", "6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "responsiveness" and told["n"] > 100
    assert {"event-loop gap, suggesting", "event-loop gap, training"} <= {r["what"] for r in told["rows"]}
    assert told["gap_p99_ms"] <= 50 and told["gap_max_ms"] <= 250

"""`medviewer train`: what it prints and how it ends. The training itself is tested in tests/learning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medviewer.cli.main import main
from medviewer.errors import Cancelled
from medviewer.jobs import JobContext
from medviewer.learning import train_process
from medviewer.learning.retrain import TrainingOutcome


def outcome(passed: bool) -> TrainingOutcome:
    check = {"name": "better on held-out", "passed": passed or None, "sentence": "as it is"}
    gate = {"passed": passed, "verdict": "passed" if passed else "cannot-tell", "reason": "as it is",
            "metrics": {"golden": None, "held-out": None}, "checks": [check]}  # fmt: skip
    return TrainingOutcome("lung-nodule-segment", "1-c1", "abc", "def", gate, "0" * 64, 12.3)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    heard: list[Any] = []

    def train(request: Any, context: JobContext) -> TrainingOutcome:
        heard.append(request)
        return outcome(passed=request.seed == 1)

    monkeypatch.setattr(train_process, "train", train)
    return heard


def test_a_candidate_that_passes_ends_with_zero_and_one_document(
    asked: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "lung-nodule-segment", "--from-queue", "--seed", "1", "--steps", "7", "--json"]
    assert main(arguments) == 0
    document = json.loads(capfd.readouterr().out)
    assert {"candidate", "champion", "gate", "seconds"} <= set(document)
    assert {"passed", "reason", "metrics"} <= set(document["gate"])
    assert (asked[0].steps, asked[0].from_queue, asked[0].data) == (7, True, None)


def test_a_gate_that_says_no_ends_with_three_and_still_one_document(
    asked: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "lung-nodule-segment", "--from-queue", "--json"]) == 3
    captured = capfd.readouterr()
    assert json.loads(captured.out)["gate"]["passed"] is False
    assert "as it is" in captured.err


def test_for_people_it_lists_the_checks(asked: list[Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "lung-nodule-segment", "--from-queue"]) == 3
    assert "better on held-out" in capfd.readouterr().out


@pytest.mark.parametrize("words", [[], ["--data", "/no/such/folder"], ["--from-queue", "--steps", "many"]])
def test_wrong_options_are_bad_input(asked: list[Any], words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "lung-nodule-segment", *words]) == 2
    assert not asked
    assert capfd.readouterr().err.strip()


def test_a_cancel_ends_with_130(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def train(request: Any, context: JobContext) -> TrainingOutcome:
        raise Cancelled

    monkeypatch.setattr(train_process, "train", train)
    assert main(["train", "lung-nodule-segment", "--from-queue"]) == 130


def test_an_empty_queue_is_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "no-such-task", "--from-queue"]) == 2
    assert "no-such-task" in capfd.readouterr().err

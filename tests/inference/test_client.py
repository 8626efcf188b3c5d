"""The real inference process: it answers, stops when told, and is started again when it dies."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medviewer.errors import BadInput, Cancelled, MedviewerError, Refused
from medviewer.inference.client import PROCESSOR_SENTENCE, RESTARTED_SENTENCE, InferenceClient, ask
from medviewer.inference.package import ModelPackage
from medviewer.inference.predict import predict
from medviewer.inference.prompt import Prompt
from medviewer.inference.store import ModelStore
from medviewer.inference.suggestion import Suggestion
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume
from tests.inference.conftest import blob_volume

Make = Callable[..., ModelPackage]
TASK = "blob-segment"
SLOW = "slow-segment"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, make_package: Make) -> Path:
    """A user folder with a small model, and one that takes a while: 12 members."""
    folder = tmp_path_factory.mktemp("client-home")
    make_package(folder / "data" / "models", "1")
    wide = {"name": "unet3d", "channels": [4, 4], "inputs": 1, "classes": 3, "coarse_heads": 0}
    make_package(folder / "data" / "models", "1", members=12, card={"task": SLOW}, config={"network": wide})
    return folder


@pytest.fixture(autouse=True)
def same_home(home: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is started again finds the same user folder."""
    monkeypatch.setenv("MEDVIEWER_HOME", str(home))


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[InferenceClient]:
    client = InferenceClient(device="cpu", log_path=home / "log.txt")  # its thread starts with the first question
    yield client
    client.shutdown()
    assert client.process_id is None


@pytest.fixture
def volume() -> Volume:
    return blob_volume()


class Answers:
    """Collects what the client calls back."""

    def __init__(self) -> None:
        self.all: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    @property
    def hooks(self) -> dict[str, Callable[[Any], None]]:
        return {
            "on_partial": lambda s: self.all.put(("partial", s)),
            "on_done": lambda s: self.all.put(("done", s)),
            "on_error": lambda e: self.all.put(("error", e)),
        }

    def next(self, timeout: float = PATIENCE) -> tuple[str, Any]:
        return self.all.get(timeout=timeout)


def test_the_process_answers_as_the_same_call_in_this_process(
    client: InferenceClient, home: Path, volume: Volume
) -> None:
    far = ask(client, TASK, volume, Prompt(), PATIENCE)
    near = predict(TASK, volume, device="cpu")
    assert [s.label for s in far.segments] == ["near", "far"]
    for a, b in zip(far.segments, near.segments, strict=True):
        assert a.start_kji == b.start_kji and np.array_equal(a.mask, b.mask)
        assert a.voxels == int(b.mask.sum())
    assert far.model == near.model and far.device == "cpu"


def test_the_window_process_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys, medviewer.inference.client, medviewer.inference.store, medviewer.inference.predict; "
        "print([m for m in ('torch', 'scipy', 'SimpleITK') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_errors_cross_the_pipe_with_their_sentence(client: InferenceClient, volume: Volume) -> None:
    with pytest.raises(BadInput, match="no task 'nonsense'"):
        ask(client, "nonsense", volume, Prompt(), PATIENCE)
    with pytest.raises(BadInput, match="outside the volume"):
        ask(client, TASK, volume, Prompt.of((500, 0, 0)), PATIENCE)


def test_a_ct_is_answered_with_a_reason(client: InferenceClient) -> None:
    said = ask(client, TASK, blob_volume(modality="CT"), Prompt(), PATIENCE)
    assert said.abstained is not None and "trained on MR" in said.abstained and not said.segments


def test_cancel_takes_effect_within_300_ms(client: InferenceClient, volume: Volume) -> None:
    ask(client, TASK, volume, Prompt(), PATIENCE)
    big = blob_volume(40)
    answers = Answers()
    handle = client.predict(SLOW, big, Prompt(), generation=7, **answers.hooks)
    assert handle.generation == 7
    assert answers.next()[0] == "partial"
    pid = client.process_id
    begun = time.monotonic()
    handle.cancel()
    kind, error = answers.next(5)
    assert kind == "error" and isinstance(error, Cancelled)
    assert time.monotonic() - begun < 0.3
    small = predict_time(client, volume)
    overloaded = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)  # then one pass may outlast the patience of 2 s
    if not overloaded:
        assert time.monotonic() - begun < 0.3 + 3 * max(small, 0.1)  # free for the next question
        assert client.process_id == pid
    with pytest.raises(queue.Empty):
        answers.all.get(timeout=0.5)  # nothing comes after the cancel


def test_cancelling_a_question_that_waits_does_not_disturb_the_one_that_runs(client: InferenceClient) -> None:
    running, waiting = Answers(), Answers()
    client.predict(SLOW, blob_volume(40), Prompt(), **running.hooks)
    assert running.next()[0] == "partial"
    pid = client.process_id
    client.predict(TASK, blob_volume(), Prompt(), **waiting.hooks).cancel()
    assert isinstance(waiting.next(1)[1], Cancelled)
    kind, said = running.next()
    while kind == "partial":
        kind, said = running.next()
    assert kind == "done" and client.process_id == pid and not said.notes


def predict_time(client: InferenceClient, volume: Volume) -> float:
    begun = time.monotonic()
    ask(client, TASK, volume, Prompt(), PATIENCE)
    return time.monotonic() - begun


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_process_that_does_not_stop_is_replaced(client: InferenceClient, volume: Volume) -> None:
    ask(client, TASK, volume, Prompt(), PATIENCE)
    pid = client.process_id
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # as if it hung
    answers, other = Answers(), Answers()
    handle = client.predict(TASK, volume, Prompt(), **answers.hooks)
    client.predict(TASK, volume, Prompt(), **other.hooks)
    time.sleep(0.1)
    handle.cancel()
    assert isinstance(answers.next(1)[1], Cancelled)
    kind, said = other.next()
    assert kind == "done" and isinstance(said, Suggestion)
    assert client.process_id != pid


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_process_is_started_again_and_the_question_answered(client: InferenceClient) -> None:
    answers = Answers()
    client.predict(SLOW, blob_volume(32), Prompt(), **answers.hooks)
    assert answers.next()[0] == "partial"
    pid = client.process_id
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    kind, said = answers.next()
    while kind == "partial":
        kind, said = answers.next()
    assert kind == "done" and RESTARTED_SENTENCE in said.notes
    assert client.process_id not in (None, pid)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_question_that_kills_twice_ends_with_a_sentence(client: InferenceClient, volume: Volume) -> None:
    answers = Answers()
    client.predict(SLOW, blob_volume(40), Prompt(), **answers.hooks)
    dead = []
    for _ in range(2):
        while (pid := client.process_id) is None or pid in dead:
            time.sleep(0.01)
        kind, said = answers.next()
        assert kind == "partial"
        dead.append(pid)
        os.kill(pid, signal.SIGKILL)
    while kind == "partial":
        kind, said = answers.next()
    assert kind == "error" and isinstance(said, MedviewerError) and "once more after a restart" in said.sentence
    assert ask(client, TASK, volume, Prompt(), PATIENCE).segments  # and the next question is answered


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_after_two_deaths_on_an_unknown_device_the_processor_computes(home: Path, volume: Volume) -> None:
    client = InferenceClient(device="auto")
    answers = Answers()
    try:
        client.predict(TASK, volume, Prompt(), **answers.hooks)
        dead: list[int] = []
        while len(dead) < 2:
            pid = client.process_id
            if pid is None or pid in dead:
                time.sleep(0.01)
                continue
            os.kill(pid, signal.SIGKILL)  # long before torch is there
            dead.append(pid)
        kind, said = answers.next()
        while kind == "partial":
            kind, said = answers.next()
        assert kind == "done" and said.device == "cpu" and PROCESSOR_SENTENCE in said.notes
    finally:
        client.shutdown()


def test_a_promotion_counts_from_the_next_question_on(
    client: InferenceClient, home: Path, make_package: Make, volume: Volume
) -> None:
    store = ModelStore(own=home / "data" / "models")
    first = ask(client, TASK, volume, Prompt(), PATIENCE)
    make_package(home / "data" / "models", "2", shift=0.4)
    store.promote(TASK, "2")
    second = ask(client, TASK, volume, Prompt(), PATIENCE)
    store.rollback(TASK)
    third = ask(client, TASK, volume, Prompt(), PATIENCE)
    assert first.model == third.model != second.model


def test_a_model_damaged_while_in_use_is_refused(
    client: InferenceClient, home: Path, make_package: Make, volume: Volume
) -> None:
    package = make_package(home / "data" / "models", "1", card={"task": "fragile-segment"})
    assert ask(client, "fragile-segment", volume, Prompt(), PATIENCE).segments
    path = package.weights[0]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Refused, match="does not match its manifest"):
        ask(client, "fragile-segment", volume, Prompt(), PATIENCE)


def test_warm_then_fast(client: InferenceClient, volume: Volume) -> None:
    ready = threading.Event()
    devices: list[str] = []
    client.warm(TASK, lambda device: (devices.append(device), ready.set()), lambda error: pytest.fail(str(error)))
    assert ready.wait(PATIENCE) and devices == ["cpu"]
    assert predict_time(client, volume) < 5.0


def test_many_volumes_share_little_memory(client: InferenceClient) -> None:
    for size in (16, 18, 20, 22, 24, 26):
        assert ask(client, TASK, blob_volume(size), Prompt(), PATIENCE).segments
    assert len(client._shelf) <= 2


def test_slices_that_arrive_later_are_seen(client: InferenceClient) -> None:
    full = blob_volume(20)
    arriving = Volume(np.full_like(full.voxels, 7), full.grid, modality="MR", stack_id="arriving")
    arriving.loaded[:] = False
    said = ask(client, TASK, arriving, Prompt(), PATIENCE)
    assert said.abstained is not None and "one grey value" in said.abstained
    arriving.voxels[:] = full.voxels
    arriving.loaded[:] = True
    assert ask(client, TASK, arriving, Prompt(), PATIENCE).abstained is None


def test_cancelling_in_this_process_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDVIEWER_HOME", str(home))
    context = JobContext()
    context.listener = lambda _: context.token.cancel()
    with pytest.raises(Cancelled):
        predict(SLOW, blob_volume(40), device="cpu", context=context)

"""The decoding processes: what a hostile frame costs, what goes on beside it, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from medviewer.errors import Cancelled
from medviewer.formats.catalog import PixelLayout
from medviewer.formats.dicom.pixels.decoding.limits import Limits, limits_for
from medviewer.formats.dicom.pixels.decoding.pool import DecodingPool
from medviewer.formats.dicom.pixels.decoding.process import EncodedFrame
from medviewer.formats.dicom.pixels.decoding.series import Wanted, decode_series
from medviewer.formats.dicom.pixels.native import PixelFault
from medviewer.jobs import CancelToken

LAYOUT = PixelLayout(5, 7, 1, 16, 16, 15, False, "MONOCHROME2", 0, 1, "1.2.840.10008.1.2.5")


def frame(words: bytes, out: np.ndarray | None = None) -> EncodedFrame:
    def fill(room: memoryview) -> None:
        room[:] = words

    return EncodedFrame(len(words), fill, LAYOUT, out)


def limits(_: PixelLayout, length: int) -> Limits:
    """One second for the words that hang, so that tests need not wait; enough for a busy machine for all others."""
    return Limits(256 << 20, 1.0 if length in (len(b"spin"), len(b"hang 30")) else 30.0)


@pytest.fixture
def processes() -> Iterator[DecodingPool]:
    before = set(children())
    made = DecodingPool(2, "tests.formats.hostile_decoders:decode", limits)
    yield made
    made.close()
    deadline = time.monotonic() + 3
    while set(children()) - before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(children()) <= before, "a process, alive or zombie, stayed behind"


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children()]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (b"spin", "bad-pixels", "decoding took longer than 1 s and was stopped"),
        (b"hang 30", "bad-pixels", "decoding took longer than 1 s and was stopped"),
        (b"hog", "too-large", "decoding needs more memory"),
        (b"creep", "too-large", "decoding needs more"),
        (b"crash", "bad-pixels", "the decoder crashed on the compressed picture"),
        (b"leave", "bad-pixels", "the decoder crashed on the compressed picture"),
        (b"raise", "bad-pixels", "the compressed picture is damaged (KeyError)"),
        (b"large", "bad-pixels", "larger than the header says"),
        (b"other", "bad-pixels", "of another size than the header says"),
        (b"babble", "bad-pixels", "the decoder was damaged by the compressed picture"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
def test_a_hostile_frame_costs_a_sentence_and_the_next_is_decoded(
    processes: DecodingPool, words: bytes, code: str, sentence: str
) -> None:
    began = time.monotonic()
    with pytest.raises(PixelFault) as fault:
        processes.decode(frame(words))
    assert (fault.value.code, sentence in fault.value.reason) == (code, True), fault.value.reason
    assert time.monotonic() - began < 20
    assert processes.decode(frame(b"good one")).tolist() == [[8] * 7] * 5


def test_what_a_decoder_prints_is_no_answer(processes: DecodingPool) -> None:
    assert processes.decode(frame(b"print")).max() == 5


def test_memory_is_watched_where_the_kernel_sets_no_limit(
    processes: DecodingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the kernel is told five times what the watchdog is told: as on a system without address space limits
    made = DecodingPool(1, "tests.formats.hostile_decoders:decode", lambda _l, _n: Limits(1000 << 20, 30.0))
    from medviewer.formats.dicom.pixels.decoding import pool as pool_module

    judge = pool_module._judge

    def judge_lower(process: pool_module.DecodingProcess) -> None:
        if process.watched is not None:
            process.watched.memory = 200 << 20
        judge(process)

    monkeypatch.setattr(pool_module, "_judge", judge_lower)
    try:
        with pytest.raises(PixelFault, match=r"decoding needs more than the 200 MB") as fault:
            made.decode(frame(b"creep"))
        assert fault.value.code == "too-large"
    finally:
        made.close()


def test_frames_of_a_series_go_on_around_the_hostile_ones(processes: DecodingPool) -> None:
    words = [b"good %d" % n for n in range(30)]
    words[3], words[11], words[20] = b"crash", b"spin", b"raise"
    outs = np.zeros((30, 5, 7), np.uint16)
    wanted = [Wanted(n, lambda n=n: frame(words[n], outs[n])) for n in range(30)]
    told = dict(decode_series(wanted, CancelToken(), processes))
    assert sorted(told) == list(range(30))
    assert {n for n, fault in told.items() if fault is not None} == {3, 11, 20}
    assert all((outs[n] == len(words[n])).all() for n in range(30) if n not in (3, 11, 20))


def test_the_wanted_frame_comes_first_and_faults_of_reading_cost_their_frame(processes: DecodingPool) -> None:
    located: list[int] = []

    def locate(n: int) -> EncodedFrame:
        located.append(n)
        if n == 4:
            raise OSError(5, "Input/output error")
        if n == 6:

            def fill(room: memoryview) -> None:
                raise PixelFault("truncated", "the file has become shorter")

            return EncodedFrame(10, fill, LAYOUT)
        return frame(b"x" * (n + 10))

    stored: dict[int, int] = {}
    wanted = [Wanted(n, lambda n=n: locate(n), lambda v, n=n: stored.update({n: int(v[0, 0])})) for n in range(12)]
    list(decode_series([Wanted(n, lambda: frame(b"sleep 0.1")) for n in range(4)], CancelToken(), processes))  # warm
    told = list(decode_series(wanted, CancelToken(), processes))
    assert located[0] == 0  # it is begun first; which process ends first is the system's affair
    faults = {n: str(fault) for n, fault in told if fault is not None}
    assert set(faults) == {4, 6} and "shorter" in faults[6] and "Input/output" in faults[4]
    assert stored == {n: n + 10 for n in range(12) if n not in (4, 6)}


def test_cancel_ends_a_decoder_that_would_go_on(processes: DecodingPool) -> None:
    token = CancelToken()
    threading.Timer(0.3, token.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        processes.decode(frame(b"sleep 0.9"), token)
    assert time.monotonic() - began < 0.8
    token = CancelToken()
    threading.Timer(0.2, token.cancel).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        list(decode_series([Wanted(n, lambda: frame(b"sleep 0.9")) for n in range(9)], token, processes))
    assert time.monotonic() - began < 1.2
    assert processes.decode(frame(b"fine!")).max() == 5


def test_a_process_that_is_killed_from_outside_is_replaced(processes: DecodingPool) -> None:
    processes.decode(frame(b"fine!"))
    [idle] = processes.process_ids
    os.kill(idle, signal.SIGKILL)
    assert processes.decode(frame(b"better")).max() == 6
    [busy] = processes.process_ids
    threading.Timer(0.2, os.kill, (busy, signal.SIGKILL)).start()
    assert processes.decode(frame(b"sleep 0.6")).max() == 9  # tried again: it was not the frame's fault
    assert busy not in processes.process_ids


def test_a_single_frame_passes_a_series(processes: DecodingPool) -> None:
    done: list[float] = []
    wanted = [Wanted(n, lambda: frame(b"sleep 0.1")) for n in range(16)]
    series = threading.Thread(
        target=lambda: [done.append(time.monotonic()) for _ in decode_series(wanted, CancelToken(), processes)]
    )
    series.start()
    time.sleep(0.25)
    processes.decode(frame(b"fine!"))
    came = time.monotonic()
    series.join()
    assert len(done) == 16 and sum(moment > came for moment in done) >= 6


def test_an_abandoned_series_leaves_nothing_in_the_pipes(processes: DecodingPool) -> None:
    for _ in range(3):
        series = decode_series(
            [Wanted(n, lambda n=n: frame(b"x" * (n + 10))) for n in range(40)], CancelToken(), processes
        )
        next(series)
        series.close()
        assert processes.decode(frame(b"eight ex")).max() == 8


def test_processes_are_reused(processes: DecodingPool) -> None:
    processes.decode(frame(b"fine!"))
    first = processes.process_ids
    for n in range(20):
        processes.decode(frame(b"x" * (n + 10)))
    assert processes.process_ids == first


PROGRAM = """
import sys, threading, time
sys.path.insert(0, {root!r})
from tests.formats.test_decoding import frame
from medviewer.formats.dicom.pixels.decoding.limits import Limits
from medviewer.formats.dicom.pixels.decoding.pool import DecodingPool
made = DecodingPool(2, "tests.formats.hostile_decoders:decode", lambda _l, _n: Limits(256 << 20, 1.0))
made.decode(frame(b"fine!"))
threading.Thread(target=made.decode, args=(frame({words!r}),), daemon=True).start()
time.sleep(0.2)
made.decode(frame(b"fine!"))
print(*made.process_ids, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("words", [b"sleep 0.5", b"spin"])
def test_processes_end_with_a_program_that_is_killed(words: bytes) -> None:
    root = str(Path(__file__).resolve().parents[2])
    program = subprocess.Popen([sys.executable, "-c", PROGRAM.format(root=root, words=words)], stdout=subprocess.PIPE)
    assert program.stdout is not None
    numbers = [int(word) for word in program.stdout.readline().split()]
    assert numbers  # two, unless the machine is so busy that the second has not begun
    program.kill()
    program.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(runs(number) for number in numbers):
        time.sleep(0.05)
    assert not any(runs(number) for number in numbers)


def runs(number: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_script_without_a_main_guard_may_read_pictures(tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    sample = get_testdata_file("MR_small_RLE.dcm", download=False)
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from medviewer.formats.load import load_volume\n"
        "from medviewer.formats.scan import scan\n"
        f"print(load_volume(next(scan([Path({str(sample)!r})]).stacks())).voxels.shape)\n"
    )
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)}, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "(1, 64, 64)"
    assert told.stderr == ""


def test_limits_follow_the_header() -> None:
    from dataclasses import replace

    small = limits_for(LAYOUT, 100)
    assert small.seconds < 11 and small.memory <= 512 << 20
    wide = limits_for(replace(LAYOUT, rows=20_000, columns=20_000), 1 << 20)
    assert wide.memory > 20_000 * 20_000 * 12 and wide.seconds > 600


def test_a_system_that_starts_no_process_costs_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    made = DecodingPool(2)
    told = dict(decode_series([Wanted(n, lambda: frame(b"fine!")) for n in range(5)], CancelToken(), made))
    assert len(told) == 5 and all("cannot be started (Cannot allocate memory)" in str(fault) for fault in told.values())


def test_a_process_that_cannot_start_is_told_apart() -> None:
    made = DecodingPool(1, "tests.formats.no_such_module:decode")
    with pytest.raises(PixelFault, match="cannot start") as fault:
        made.decode(frame(b"fine!"))
    assert fault.value.code == "no-codec"
    made.close()


def test_the_frozen_program_is_its_own_decoding_process(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Path(sys.executable).with_name("medviewer")
    if not program.exists():
        pytest.skip("the command is not installed beside this Python")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    made = DecodingPool(1, "tests.formats.hostile_decoders:decode")
    assert made.decode(frame(b"fine!")).max() == 5
    [number] = made.process_ids
    assert "--decoding-process" in psutil.Process(number).cmdline()
    made.close()

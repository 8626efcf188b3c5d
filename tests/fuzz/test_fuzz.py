"""Twenty seconds of fuzzing in the everyday tests; `make fuzz` takes ten minutes."""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz import harness
from tests.fuzz.bases import base, bases
from tests.fuzz.mutate import mutate
from tests.fuzz.splice import Splice, apply, from_hex

SECONDS = 20.0
SEED = 1


def test_no_damaged_file_is_more_than_a_sentence() -> None:
    """The same files each time, so that a red run is the change's fault; `make fuzz` looks at others."""
    seed = int(os.environ.get("MEDVIEWER_FUZZ_SEED") or SEED)
    report = harness.run(SECONDS, seed)
    print(report.text)
    assert report.executions > 20, f"too few to say anything: {report.text}"
    assert not report.findings, report.text


def test_a_seed_makes_the_same_cases() -> None:
    assert [harness.case(5, n) for n in range(20)] == [harness.case(5, n) for n in range(20)]
    assert harness.case(5, 1) != harness.case(6, 1)


def test_splices_say_all_about_a_damaged_file() -> None:
    rng = random.Random(3)
    for name in ("made:ct.dcm", "made:j2k.dcm", "made:volume.nii", "made:volume.nrrd", "made:study.zip"):
        whole = base(name)
        splices = [s for _ in range(20) for s in mutate(whole, rng, base("made:rle.dcm"), name)]
        rows = [(s.at, s.remove, s.insert.hex()) for s in splices]
        assert apply(whole, from_hex(*rows)) == apply(whole, splices) != whole


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("import os; os.kill(os.getpid(), 11)", "died"),
        ("import time; time.sleep(60)", "no answer"),
        ("b'x' * (1100 << 20)", "grew"),
    ],
)
def test_the_harness_sees_what_goes_wrong(
    code: str, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fuzzer that notices nothing is worth nothing: its oracle is replaced by one that fails in a known way."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(
        "import sys, types\n"
        "module = types.ModuleType('tests.fuzz.oracle')\n"
        f"def check_file(path, like=b''):\n    {code}\n"
        "module.check_file = check_file\n"
        "sys.modules['tests.fuzz.oracle'] = module\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    if what == "no answer":
        monkeypatch.setattr(harness, "HANG_S", 8.0)
    (finding,) = harness.run(0.2, 1).findings[:1]
    assert what in finding.what and finding.base in bases()


def test_a_splice_beyond_the_end_changes_nothing() -> None:
    assert apply(b"abc", [Splice(10, 2)]) == b"abc"

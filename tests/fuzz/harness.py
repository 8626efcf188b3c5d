"""Runs cases in a child process with limits on memory and time, and notes every one that it does not survive.

A case is known by seed and number: `python -m tests.fuzz --seed 7 --only 1234` makes it again.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.bases import bases
from tests.fuzz.mutate import mutate
from tests.fuzz.splice import Splice, apply

#: A case may take this long before its child is killed (machines are busy), and this much CPU before it is called slow.
HANG_S, SLOW_S = 60.0, 6.0
#: A child may address this much, and keep this much beside what it had before the case.
ADDRESS_BYTES, GROWTH_BYTES = 8 << 30, 1 << 30
#: Files that are no pictures, by their names: fewer than the others, with readers of their own.
_OBJECT = re.compile(r"objects/|seg|SR|report|rt(dose|struct|plan)|DICOMDIR|PR0|liver", re.IGNORECASE)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that was not survived.

    Attributes:
        number: of the case.
        what: the last line of the traceback, or how the child died.
        where: the frame of ours it came from; findings of one place are counted once.
        base, splices: the recipe.
    """

    number: int
    what: str
    where: str
    base: str
    splices: tuple[Splice, ...]

    def text(self, seed: int) -> str:
        """For the terminal, with the recipe as it goes into a test."""
        rows = ", ".join(splice.text() for splice in self.splices)
        return f'case {self.number} of seed {seed}: {self.what}\n  {self.where}\n  ("{self.base}", [{rows}])'


@dataclass(slots=True)
class Report:
    """What a run found."""

    seed: int
    executions: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def text(self) -> str:
        """For people."""
        counts = f"{self.executions} executions in {self.seconds:.0f} s, {len(self.findings)} findings"
        head = f"fuzz seed {self.seed}: {counts}"
        return "\n".join([head, *(finding.text(self.seed) for finding in self.findings)])


def case(seed: int, number: int) -> tuple[str, list[Splice]]:
    """Base and splices of a case."""
    rng = random.Random(f"{seed}:{number}")
    names = list(bases())
    kind = rng.choice(("made:", "pydicom:", "corpus:", "objects"))
    some = [n for n in names if (n.startswith(kind) if kind != "objects" else _OBJECT.search(n))] or names
    name = rng.choice(some)
    return name, mutate(bases()[name], rng, bases()[rng.choice(names)], name)


def file_name(base_name: str) -> str:
    """The name under which a case is written: endings matter to some readers."""
    return f"case-{Path(base_name.replace(':', '/')).name}"


def run(seconds: float, seed: int, *, start: int = 0, verbose: bool = False) -> Report:
    """Fuzz for some seconds in children, one after the other."""
    report = Report(seed)
    began = time.monotonic()
    number = start
    seen: set[str] = set()
    while (left := seconds - (time.monotonic() - began)) > 0:
        number, finding = _child(seed, number, left, report)
        if finding is not None and finding.where not in seen:
            seen.add(finding.where)
            report.findings.append(finding)
            if verbose:
                print(finding.text(seed), flush=True)
    report.seconds = time.monotonic() - began
    return report


def _child(seed: int, start: int, seconds: float, report: Report) -> tuple[int, Finding | None]:
    """Let one child work until it finds something, dies, hangs, grows or time is over; the next number."""
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.harness", str(seed), str(start), str(seconds)],
            cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert child.stdout is not None
        number, what, where, hung = start, "", "", False
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(timeout=HANG_S):
                    hung = True
                    os.kill(child.pid, signal.SIGUSR1)  # where it hangs
                    time.sleep(0.5)
                    break
                line = child.stdout.readline().decode("utf-8", "replace").rstrip("\n")
                word, _, rest = line.partition(" ")
                if word == "begin":
                    number = int(rest)
                elif word == "end":
                    report.executions += 1
                    number += 1
                elif word == "found":
                    report.executions += 1
                    what, _, where = rest.partition("\t")
                else:
                    break
        _kill(child)
        if what:
            return number + 1, Finding(number, what, where, *_recipe(seed, number))
        code = child.returncode
        if not hung and code == 0:
            return number, None
        report.executions += 1
        errors.seek(0)
        said = errors.read()[-20000:].decode("utf-8", "replace")
        what = f"no answer in {HANG_S:.0f} s" if hung else f"the process died ({code})"
        lines = [line.strip() for line in said.splitlines() if "/medviewer/" in line]
        return number + 1, Finding(number, what, lines[0] if lines else said.strip()[-300:], *_recipe(seed, number))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """The child and what it started."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=2)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _recipe(seed: int, number: int) -> tuple[str, tuple[Splice, ...]]:
    name, splices = case(seed, number)
    return name, tuple(splices)


def try_case(name: str, data: bytes, folder: Path) -> tuple[str, str] | None:
    """Check one file in this process; what happened and where, None where all is well."""
    from tests.fuzz.oracle import check_file

    path = folder / file_name(name)
    path.write_bytes(data)
    before = _resident()
    began = time.process_time()  # of this process: the machine may be busy with other work
    try:
        check_file(path, bases().get(name, b""))
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:300]}".replace("\n", " "), _where(error)
    if _resident() - before > GROWTH_BYTES:
        return f"grew by {(_resident() - before) >> 20} MB", f"memory of {name}"
    took = time.process_time() - began
    return (f"took {took:.1f} s", f"time of {name}") if took > SLOW_S else None


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/medviewer/" in f.filename] or frames
    last = ours[-1]
    place = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    return f"{place} {error}"[:100] if type(error).__name__ == "Broken" else place


def _resident() -> int:
    """Greatest resident size of this program so far, in bytes (`ru_maxrss` would hold what its parent once had)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system does not say how large this process was")


def _work(seed: int, start: int, seconds: float) -> None:
    """The child: one case after the other until time is over; ends after a finding."""
    import resource

    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bases()  # takes a moment, and is no fuzzing
    until = time.monotonic() + seconds
    number = start
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        while time.monotonic() < until:
            print("begin", number, flush=True)
            name, splices = case(seed, number)
            found = try_case(name, apply(bases()[name], splices), Path(folder))
            if found is not None:
                print("found", "\t".join(part.replace("\t", " ").replace("\n", " ") for part in found), flush=True)
                return
            print("end", number, flush=True)
            for file in Path(folder).iterdir():
                file.unlink()
            number += 1


if __name__ == "__main__":
    _work(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

"""`python -m tests.fuzz [--seconds 600] [--seed N] [--only NUMBER]`: exit code 1 where something was found."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import harness
from tests.fuzz.bases import bases
from tests.fuzz.splice import apply


def main() -> int:
    """Fuzz, or make one case again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="of the run; another one each time by default")
    parser.add_argument("--only", type=int, default=None, help="make this case again, in this process")
    parser.add_argument("--keep", type=Path, default=None, help="with --only: write the damaged file here")
    arguments = parser.parse_args()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    if arguments.only is None:
        print(f"fuzz seed {seed}, {len(bases())} whole files", flush=True)
        report = harness.run(arguments.seconds, seed, verbose=True)
        print(report.text.splitlines()[0])
        return 1 if report.findings else 0
    name, splices = harness.case(seed, arguments.only)
    data = apply(bases()[name], splices)
    print(harness.Finding(arguments.only, f"{len(data)} bytes", "", name, tuple(splices)).text(seed))
    if arguments.keep is not None:
        arguments.keep.write_bytes(data)
    logging.basicConfig(level=logging.DEBUG)  # what a scan swallows is in the log
    with tempfile.TemporaryDirectory() as folder:
        from tests.fuzz.oracle import check_file

        path = Path(folder) / harness.file_name(name)
        path.write_bytes(data)
        check_file(path, bases()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())

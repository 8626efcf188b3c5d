"""`medviewer self-test`: is this installation whole?"""

from __future__ import annotations

import argparse

from medviewer.cli.output import print_json

HELP = "check resources, models, decoders, Qt and graphics card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(arguments: argparse.Namespace) -> int:
    """One line a row; exit code 0 only if all that is needed is well, else 4."""
    from medviewer.bench.self_test import run_self_test

    rows = []
    for row in run_self_test():
        rows.append(row)
        if not arguments.json:
            word = "ok  " if row.ok else ("FAIL" if row.needed else "none")
            print(f"{word}  {row.name:<32} {row.detail}  ({row.seconds:.1f} s)", flush=True)
    well = all(row.ok for row in rows if row.needed)
    if arguments.json:
        print_json({"ok": well, "rows": rows})
    return 0 if well else 4

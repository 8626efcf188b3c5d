"""`medviewer bench NAME`: the figures of this program."""

from __future__ import annotations

import argparse
from pathlib import Path

from medviewer.errors import BadInput

HELP = "measures this program: responsiveness"

NAMES = ("responsiveness",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and on what."""
    parser.add_argument("name", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="a chest CT (the phantom study)")
    parser.add_argument("--at", metavar="X,Y,Z", help="a nodule in FOLDER, mm (LPS)")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each part (15)")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.name not in NAMES:
        raise BadInput(f"there is no bench {arguments.name!r}", remedy=f"known are: {', '.join(NAMES)}")
    if arguments.folder is not None and not arguments.folder.exists():
        raise BadInput("there is nothing at this path", path=arguments.folder)
    from medviewer.bench.responsiveness import measure, verdict

    document = measure(arguments.folder, _point(arguments.at), arguments.seconds)
    if arguments.json:
        from medviewer.cli.output import print_json

        print_json(document)
    else:
        print(verdict(document))
    return 0


def _point(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    from medviewer.cli.render import point_of

    return point_of(text)

"""`medviewer bench NAME`: the figures of this program."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medviewer.cli.arguments import point
from medviewer.errors import BadInput

NAMES = ("scan", "load", "codecs", "scroll", "window", "responsiveness")

HELP = f"measures this program: {', '.join(NAMES)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and on what."""
    parser.add_argument("name", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="a CT series, or a ZIP of one")
    parser.add_argument("--at", type=point, metavar="X,Y,Z", help="responsiveness: a nodule in FOLDER, mm (LPS)")
    parser.add_argument("--seconds", type=float, default=15.0, help="responsiveness: length of each part (15)")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    name, folder = arguments.name, arguments.folder
    if name not in NAMES:
        raise BadInput(f"there is no bench {name!r}", remedy=f"known are: {', '.join(NAMES)}")
    if folder is not None and not folder.exists():
        raise BadInput("there is nothing at this path", path=folder)
    if name == "responsiveness":
        from medviewer.bench.responsiveness import measure, verdict

        document = measure(folder, arguments.at, arguments.seconds)
        text = verdict(document)
    elif name == "codecs":
        from medviewer.bench.codecs import codec_figures, told

        document = codec_figures(folder)
        text = told(document)
    else:
        document = _read(name, folder)
        text = "\n".join(
            f"{r['what']}: median {r['median']}, p99 {r['p99']}, max {r['max']} {r['unit']} (n = {r['n']})"
            for r in document["rows"]
        )
    if arguments.json:
        from medviewer.cli.output import print_json_line

        print_json_line(document)
    else:
        print(text)
    return 0


def _read(name: str, folder: Path | None) -> Mapping[str, Any]:
    if name == "scan":
        from medviewer.bench.scan import scan_figures

        return scan_figures(folder)
    if name == "load":
        from medviewer.bench.load import load_figures

        return load_figures(folder)
    if folder is None:
        raise BadInput(f"bench {name} needs a folder to work on", remedy=f"write `medviewer bench {name} FOLDER`")
    from medviewer.bench.reading import picture_figures

    return picture_figures(name, folder)

"""`medviewer [open] [PATH...]`: the window, with these folders, files and ZIPs opened."""

from __future__ import annotations

import argparse
from pathlib import Path

from medviewer.cli.arguments import point, size
from medviewer.errors import BadInput

#: What people call the layouts elsewhere, and ours.
LAYOUTS = {"one": "one", "1x1": "one", "planes": "planes", "2x2": "planes", "mpr": "planes"}

HELP = "the window, with these folders, files and ZIPs opened"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths, and what checks need."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="folders, files or ZIPs")
    parser.add_argument("--screenshot", type=Path, metavar="OUT.png", help="write a picture of the window and end")
    parser.add_argument("--after-seconds", type=float, default=3.0, metavar="N", help="when to take it (3)")
    parser.add_argument(
        "--layout", choices=tuple(LAYOUTS), help="one view, or three planes with a crosshair (2x2 and mpr mean planes)"
    )
    parser.add_argument("--task", help="the task that suggestions use first")
    parser.add_argument("--at", type=point, metavar="X,Y,Z", help="ask for a suggestion at this place (mm, LPS)")
    parser.add_argument("--size", type=size, metavar="WxH", help="size of the window in pixels")


def run(arguments: argparse.Namespace) -> int:
    """Open the window."""
    for path in arguments.paths:
        if not path.exists():
            word = str(path)
            if "/" not in word and "\\" not in word and "." not in word:
                raise BadInput(f"there is no verb and no file named {word!r}", remedy="see `medviewer --help`")
            raise BadInput("there is nothing at this path", path=path)
    if arguments.task is not None:
        from medviewer.inference.store import ModelStore

        if arguments.task not in (known := ModelStore().tasks()):
            raise BadInput(f"there is no task {arguments.task!r}", remedy=f"known are {', '.join(known)}")
    from medviewer.desktop.app import Wish, run_window

    return run_window(
        Wish(
            paths=tuple(arguments.paths),
            screenshot=arguments.screenshot,
            after_seconds=arguments.after_seconds,
            layout=LAYOUTS.get(arguments.layout),
            task=arguments.task,
            at_lps=arguments.at,
            size=arguments.size,
        )
    )

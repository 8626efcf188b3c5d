"""`medviewer render`: the very picture that the window would show, through the same code."""

from __future__ import annotations

import argparse
from pathlib import Path

from medviewer.cli.arguments import point, size
from medviewer.errors import BadInput

HELP = "one picture of a stack as the window shows it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to show, and how."""
    parser.add_argument("path", type=Path, metavar="PATH")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--stack", metavar="ID", help="the stack, as `medviewer inspect` names it (the first volume)")
    parser.add_argument("--plane", choices=("axial", "coronal", "sagittal"), help="the plane (the acquired one)")
    parser.add_argument("--slice", type=int, metavar="K", help="index of the cut, from 0")
    parser.add_argument("--at", type=point, metavar="X,Y,Z", help="a point in mm (LPS) that the cut goes through")
    parser.add_argument("--window", metavar="W,L or NAME", help="width and level, a preset's name, auto or file")
    parser.add_argument("--invert", action="store_true", help="invert the grey scale")
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FILE",
        help="what to lay over it: SEG, RTSTRUCT, RTDOSE, NIfTI or NRRD mask, SR, KO, presentation state",
    )
    parser.add_argument(
        "--size", type=size, metavar="WxH", default=(900, 900), help="size of the picture in pixels (900x900)"
    )
    parser.add_argument("--no-text", action="store_true", help="without text, letters and scale bar")


def run(arguments: argparse.Namespace) -> int:
    """Render one picture."""
    if arguments.slice is not None and arguments.at is not None:
        raise BadInput("--slice and --at say the same thing twice", remedy="give one of them")
    if not arguments.path.exists():
        raise BadInput("there is nothing at this path", path=arguments.path)
    if arguments.out.suffix.lower() != ".png":
        raise BadInput("a picture is written as PNG", path=arguments.out, remedy="give a name that ends in .png")
    from medviewer.desktop.render import Picture, render

    written = render(
        Picture(
            path=arguments.path,
            stack_id=arguments.stack,
            plane=arguments.plane,
            position=arguments.slice,
            at_lps=arguments.at,
            window=arguments.window,
            inverted=arguments.invert,
            overlay=arguments.overlay,
            size=arguments.size,
            with_text=not arguments.no_text,
        ),
        arguments.out,
    )
    over = written.get("overlay", {})
    if arguments.json:
        from medviewer.cli.output import print_json

        print_json(written)
    else:
        print(f"{arguments.out}: {written['plane']} cut {written['slice'] + 1} of {written['slices']}")
        for note in (*over.get("notes", ()), *over.get("refused", ())):
            print(f"  {note}")
    return 0

"""`medviewer demo`: the whole circle on synthetic patients."""

from __future__ import annotations

import argparse
from pathlib import Path

from medviewer.cli.output import context_for_terminal, print_json
from medviewer.errors import MedviewerError

HELP = "the main job end to end on a synthetic chest CT"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="where to leave the results")


def run(arguments: argparse.Namespace) -> int:
    """Tell the story, take the picture, and with a display leave the window open."""
    from medviewer.demo.picture import leave_window_open, take_picture
    from medviewer.demo.story import Story

    def say(line: str) -> None:
        if not arguments.json:
            print(line, flush=True)

    say("medviewer demo: synthetic patients only. Research use, not for diagnosis.")
    story = Story(arguments.out, say, context_for_terminal())
    try:
        story.tell()
        take_picture(story)
    except MedviewerError:
        story.write()
        if arguments.json:
            print_json(story.report.as_json())
            return 1
        raise
    document = story.report.as_json()
    if arguments.json:
        print_json(document)
    say(f"{'all':<9} {document['seconds']:6.1f} s  {arguments.out / 'report.json'}, {arguments.out / 'screenshot.png'}")
    if leave_window_open(story):
        say("The window stays open on the result.")
    return 0 if story.report.ok else 1

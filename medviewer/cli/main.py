"""`medviewer VERB ...`: finds the verb's module, runs it, and turns errors into a sentence and an exit code.

A verb is a module of this package with `HELP`, `add_arguments(parser)` and `run(arguments) -> int`; only the module of
the verb that was asked for is imported.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from medviewer import __version__
from medviewer.errors import MedviewerError

#: Every verb with its module, in the order in which the help lists them.
VERBS: dict[str, str] = {
    "open": "open",
    "inspect": "inspect",
    "render": "render",
    "convert": "convert",
    "predict": "predict",
    "similar": "similar",
    "models": "models",
    "queue": "queue",
    "train": "train",
    "demo": "demo",
    "self-test": "self_test",
    "bench": "bench",
}

_EPILOGUE = (
    "Without a verb the window opens. For research and education: not a medical device, not for diagnosis.\n"
    "Exit codes: 0 done, 1 a bug of ours, 2 bad input, 3 refused on purpose, 4 missing on this machine, 130 cancelled."
)


class _Parser(argparse.ArgumentParser):
    """Wrong options end like every other bad input: one sentence, exit code 2, JSON if it was asked for."""

    def error(self, message: str) -> None:  # type: ignore[override]
        from medviewer.errors import BadInput

        raise BadInput(f"wrong command line: {message}", remedy=f"see `{self.prog} --help`")


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"medviewer.cli.{VERBS[verb]}")


def _overview() -> str:
    lines = [f"usage: medviewer [VERB] ...   ({__version__})", ""]
    lines += [f"  {verb:<10} {_module(verb).HELP}" for verb in VERBS]
    return "\n".join([*lines, "", "`medviewer VERB --help` says more.", _EPILOGUE])


def _report(error: MedviewerError, wants_json: bool) -> int:
    if wants_json:
        from medviewer.cli.output import print_json

        print_json({"error": error.sentence, "exit_code": error.exit_code})
    print(error.sentence, file=sys.stderr)
    return error.exit_code


def _bug(wants_json: bool, debug: bool) -> int:
    from medviewer.places import log_folder

    trace = traceback.format_exc()
    try:
        log = log_folder() / "medviewer.log"
        with log.open("a", encoding="utf-8") as file:
            file.write(trace)
        sentence = f"a bug of ours; the details lie in {log}"
    except (MedviewerError, OSError):
        sentence = "a bug of ours; the log cannot be written, so run the same with --debug to see the details"
    if wants_json:
        from medviewer.cli.output import print_json

        print_json({"error": sentence, "exit_code": 1})
    print(sentence, file=sys.stderr)
    if debug:
        traceback.print_exc()
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--version"]:
        print(f"medviewer {__version__}")
        return 0
    if words[:1] in (["--help"], ["-h"], ["help"]):
        print(_overview())
        return 0
    verb = words.pop(0) if words and words[0] in VERBS else "open"
    wants_json = "--json" in words
    debug = "--debug" in words
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, format="%(levelname)s %(message)s")
    try:
        module = _module(verb)
        parser = _Parser(prog=f"medviewer {verb}", description=module.HELP, epilog=_EPILOGUE, allow_abbrev=False)
        module.add_arguments(parser)
        known = {option for action in parser._actions for option in action.option_strings}
        if "--json" not in known:
            parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
        parser.add_argument("--debug", action="store_true", help="show tracebacks")
        return int(module.run(_parsed(parser, _join_coordinates(words))))
    except MedviewerError as error:
        if debug:
            traceback.print_exc()
        return _report(error, wants_json)
    except KeyboardInterrupt:
        from medviewer.errors import Cancelled

        return _report(Cancelled(), wants_json)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        return _bug(wants_json, debug)


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Options may stand anywhere (`bench load --json FOLDER`), but for verbs that have verbs of their own."""
    if any(action.nargs == argparse.PARSER for action in parser._actions):
        return parser.parse_args(words)
    return parser.parse_intermixed_args(words)


def _join_coordinates(words: Sequence[str]) -> list[str]:
    """Let `--at -57.2,131.3,-520.4` pass: argparse would take the value for an option."""
    joined: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("--at", "--box", "--window") and rest and rest[0].startswith("-") and "," in rest[0]:
            word = f"{word}={rest.pop(0)}"
        joined.append(word)
    return joined


def run() -> None:
    """The entry of the installed command."""
    multiprocessing.freeze_support()
    if sys.argv[1:2] == ["--decoding-process"]:  # how the frozen program starts its decoding processes
        from medviewer.formats.dicom.pixels.decoding.child import main as decode

        decode(*sys.argv[2:4])
    sys.exit(main())


if __name__ == "__main__":
    run()

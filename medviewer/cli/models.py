"""`medviewer models`: the model store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from medviewer.cli.output import context_for_terminal, print_json
from medviewer.errors import BadInput, Refused

HELP = "list, check, add, promote, roll back and measure models"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb of its own, then what that needs."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="all versions of all tasks")
    show = verbs.add_parser("show", help="the card and figures of a version")
    verify = verbs.add_parser("verify", help="hashes, weights and golden cases")
    add = verbs.add_parser("add", help="take a package into the store")
    promote = verbs.add_parser("promote", help="make a version that passed the gate the one in use")
    rollback = verbs.add_parser("rollback", help="back to the version in use before")
    evaluate = verbs.add_parser("evaluate", help="measure a model on labelled data")
    show.add_argument("task", metavar="TASK")
    show.add_argument("version", metavar="VERSION", nargs="?", help="name or start of the id; else the one in use")
    verify.add_argument("task", metavar="TASK", nargs="?")
    verify.add_argument("version", metavar="VERSION", nargs="?")
    add.add_argument("folder", metavar="FOLDER", type=Path)
    promote.add_argument("task", metavar="TASK")
    promote.add_argument("version", metavar="VERSION")
    promote.add_argument(
        "--without-gate", action="store_true", help="put a version into use that no gate let through; needs --reason"
    )
    rollback.add_argument("task", metavar="TASK")
    for verb in (promote, rollback):
        verb.add_argument("--reason", default="", help="kept in the history")
    evaluate.add_argument("task", metavar="TASK")
    evaluate.add_argument("data", metavar="DATA", type=Path, help="a folder laid out like the training data")
    evaluate.add_argument("--split", default="val")
    evaluate.add_argument("--model", metavar="VERSION", help="another version than the one in use")
    for verb in (listing, show, verify, add, promote, rollback, evaluate):
        verb.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
        verb.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")


def run(arguments: argparse.Namespace) -> int:
    """Run the action; 3 where `verify` finds a fault."""
    from medviewer.inference.store import ModelStore

    actions = {
        "list": _list,
        "show": _show,
        "verify": _verify,
        "add": _add,
        "promote": _promote,
        "rollback": _rollback,
        "evaluate": _evaluate,
    }
    code, document, lines = actions[arguments.action](ModelStore(), arguments)
    if arguments.json:
        print_json(document)
    else:
        print("\n".join(lines))
    return code


Answer = tuple[int, dict[str, Any], list[str]]


def _list(store: Any, _: argparse.Namespace) -> Answer:
    entries = store.entries()
    rows = [
        {
            "task": e.task,
            "version": e.version,
            "id": e.id[:12],
            "champion": e.champion,
            "source": e.source,
            "title": e.title,
            "fault": e.fault,
        }
        for e in entries
    ]
    lines = [
        f"{'*' if row['champion'] else ' '} {row['task']:<24}{row['version']:<20}{row['source']:<9}{row['id']:<14}"
        f"{row['fault'] or row['title']}"
        for row in rows
    ]
    return 0, {"models": rows}, [*lines, "* in use"] if lines else ["no models"]


def _show(store: Any, arguments: argparse.Namespace) -> Answer:
    from medviewer.inference.card import card_text

    package = store.get(arguments.task, arguments.version)
    document = {
        "task": package.card.task,
        "version": package.card.version,
        "id": package.id,
        "champion": any(e.champion and e.id == package.id for e in store.entries(arguments.task)),
        "folder": package.folder,
        "card": dict(package.card.facts),
        "metrics": dict(package.metrics),
        "calibration": dict(package.calibration),
    }
    return 0, document, [f"id = {package.id}", card_text(package.card.facts).rstrip()]


def _verify(store: Any, arguments: argparse.Namespace) -> Answer:
    if arguments.task is None:
        wanted = [(entry.task, entry.version) for entry in store.entries()]
    elif arguments.version is None:
        wanted = [(arguments.task, entry.version) for entry in store.entries(arguments.task)]
    else:
        wanted = [(arguments.task, arguments.version)]
    rows: list[dict[str, Any]] = []
    for task, version in wanted:
        try:
            package = store.verify(task, version)
            rows.append({"task": task, "version": version, "id": package.short_id, "ok": True, "reason": None})
        except Refused as error:
            rows.append({"task": task, "version": version, "id": "", "ok": False, "reason": error.sentence})
    if not rows:
        raise BadInput("there is no model to check", remedy="add one with `medviewer models add FOLDER`")
    well = all(row["ok"] for row in rows)
    lines = [f"{'ok  ' if r['ok'] else 'FAIL'} {r['task']} {r['version']}  {r['reason'] or r['id']}" for r in rows]
    return (0 if well else Refused.exit_code), {"ok": well, "models": rows}, lines


def _add(store: Any, arguments: argparse.Namespace) -> Answer:
    package = store.add(arguments.folder)
    return _told(package, f"added {package.card.task} {package.card.version}; the model in use stays as it was")


def _promote(store: Any, arguments: argparse.Namespace) -> Answer:
    from medviewer.learning.promote import promote_version

    promoted = promote_version(
        store, arguments.task, arguments.version, reason=arguments.reason, without_gate=arguments.without_gate
    )
    name = f"{promoted.package.card.task} {promoted.package.card.version}"
    if promoted.gate == "none":
        print(f"WARNING: NO GATE PASSED {name}: nothing shows that it is better than the model before", file=sys.stderr)
    code, document, lines = _told(promoted.package, f"{name} is in use from the next suggestion on")
    return code, {**document, "gate": promoted.gate}, lines


def _rollback(store: Any, arguments: argparse.Namespace) -> Answer:
    package = store.rollback(arguments.task, reason=arguments.reason)
    return _told(package, f"{package.card.task} {package.card.version} is in use again")


def _told(package: Any, sentence: str) -> Answer:
    document = {
        "task": package.card.task,
        "version": package.card.version,
        "id": package.id,
        "folder": package.folder,
    }
    return 0, document, [sentence]


def _evaluate(store: Any, arguments: argparse.Namespace) -> Answer:
    from medviewer.learning.evaluate import evaluate

    package = store.get(arguments.task, arguments.model)
    document = evaluate(arguments.task, arguments.data, arguments.split, package, context_for_terminal())
    lines = [
        f"{document['task']} {document['model']}: {document['n_cases']} cases of {document['n_patients']} patients"
    ]
    for name, figure in document["metrics"].items():
        bounds = "" if figure["low"] is None else f"  [{figure['low']:.3f} to {figure['high']:.3f}]"
        value = "  none" if figure["value"] is None else f"{figure['value']:.3f}"
        lines.append(f"  {name:<24}{value}{bounds}  n {figure['n']}")
    return 0, document, lines

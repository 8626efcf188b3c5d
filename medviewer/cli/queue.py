"""`medviewer queue ...`: the correction queue from the command line."""

from __future__ import annotations

import argparse
import csv
import getpass
import hashlib
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medviewer.errors import BadInput

if TYPE_CHECKING:
    from medviewer.annotation.segmentation import Segment
    from medviewer.formats.masks import LaidMask
    from medviewer.learning.queue import CorrectionQueue, QueueCase
    from medviewer.learning.samples import TaskFacts

#: What a case's id looks like.
_CASE_ID = re.compile(r"case-\d+")

HELP = "list, add, show, export or remove corrected cases that wait for training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    verbs = parser.add_subparsers(dest="action", required=True, metavar="list|add|show|export|remove")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        one = verbs.add_parser(name, help=text, description=text)
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
        one.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks")
        return one

    listing = verb("list", "the cases and where they stand")
    listing.add_argument("task", nargs="?", help="only of this task")
    listing.add_argument("--state", help="only in this state: pending, training, used, held-out, returned")
    adding = verb("add", "add what is drawn in a study, or cases of a folder laid out like the training data")
    adding.add_argument("task", help="the task that shall learn, as `medviewer models list` shows it")
    adding.add_argument("path", nargs="?", type=Path, help="the study: folder, file or ZIP")
    adding.add_argument("--mask", type=Path, metavar="FILE", help="what is drawn in it: DICOM SEG, .nii.gz or .nrrd")
    adding.add_argument("--stack", metavar="ID", help="the stack, if the study has several")
    adding.add_argument("--data", type=Path, metavar="DIR", help="a folder laid out like the training data")
    adding.add_argument("--split", default="val", help="split of that folder (default: val)")
    adding.add_argument("--cases", type=Path, metavar="FILE", help="names of its cases, one a line (or CSV, or JSON)")
    adding.add_argument("--patient", default="", metavar="ID", help="whose study it is, where the files do not say")
    adding.add_argument("--author", metavar="NAME", help="whose work it is (default: your account's name)")
    showing = verb("show", "one case with its story and its sample")
    showing.add_argument("case", help="id, as `list` shows it")
    exporting = verb("export", "write cases and their training samples into a folder")
    exporting.add_argument("out", type=Path, metavar="DIR", help="an empty or new folder")
    exporting.add_argument(
        "case", nargs="*", metavar="ID", help="only these cases, as `list` shows them (default: all)"
    )
    exporting.add_argument("--task", help="only of this task")
    exporting.add_argument("--state", help="only in this state")
    removing = verb("remove", "remove cases with their training samples")
    removing.add_argument("case", nargs="+", help="ids, as `list` shows them")


def run(arguments: argparse.Namespace) -> int:
    """Run the action."""
    from medviewer.learning.queue import CorrectionQueue

    queue = CorrectionQueue()
    if queue.why_read_only is not None:
        print(queue.why_read_only, file=sys.stderr)
    actions = {"list": _list, "add": _add, "show": _show, "export": _export, "remove": _remove}
    return actions[arguments.action](queue, arguments)


def _print(arguments: argparse.Namespace, document: dict[str, Any], lines: Sequence[str]) -> int:
    from medviewer.cli.output import print_json

    if arguments.json:
        print_json(document)
    else:
        print("\n".join(lines))
    return 0


def _line(case: QueueCase) -> str:
    return f"{case.id:<11} {case.state:<9} {case.task:<22} {case.time[:16]:<17} {case.patient_hash[:8]}  {case.author}"


def _list(queue: CorrectionQueue, arguments: argparse.Namespace) -> int:
    cases = queue.cases(arguments.task, arguments.state)
    lines = [_line(c) for c in cases] or ["the queue is empty" if not arguments.state else "no such case"]
    return _print(arguments, {"cases": [c.as_json() for c in cases]}, lines)


def _add(queue: CorrectionQueue, arguments: argparse.Namespace) -> int:
    from medviewer.learning.samples import task_facts

    from_study = arguments.path is not None or arguments.mask is not None
    if from_study == (arguments.data is not None):
        raise BadInput("say what to add", remedy="give PATH with --mask FILE, or --data DIR with --cases FILE")
    facts = task_facts(arguments.task)
    author = arguments.author or getpass.getuser()
    adder = _add_data if arguments.data is not None else _add_study
    cases, left_out = adder(queue, facts, arguments, author)
    for sentence in left_out:
        print(sentence, file=sys.stderr)
    document = {"cases": [c.as_json() for c in cases], "left_out": list(left_out)}
    return _print(arguments, document, [_line(c) for c in cases])


def _add_data(
    queue: CorrectionQueue, facts: TaskFacts, arguments: argparse.Namespace, author: str
) -> tuple[Sequence[QueueCase], Sequence[str]]:
    from medviewer.annotation.revision import Verdict
    from medviewer.learning.queue import NewCase
    from medviewer.learning.samples import samples_of_data

    if arguments.cases is None:
        raise BadInput("say which cases to add", remedy="give --cases FILE with their names")
    names = case_names(arguments.cases)
    added = [
        queue.add(
            NewCase(
                task=facts.task,
                patient_id=sample.patient,
                sample=sample.arrays,
                subject=f"{arguments.split}/{sample.name}",
                author=author,
                verdict=Verdict.CORRECTED,
                source=f"{arguments.split} split, {sample.name}",
            )
        )
        for sample in samples_of_data(facts, arguments.data, arguments.split, names)
    ]
    return added, ()


def _add_study(
    queue: CorrectionQueue, facts: TaskFacts, arguments: argparse.Namespace, author: str
) -> tuple[Sequence[QueueCase], Sequence[str]]:
    from medviewer.annotation.segmentation import Segmentation
    from medviewer.cli.output import context_for_terminal
    from medviewer.formats.carry import Use, grid_for
    from medviewer.formats.choose import open_stack
    from medviewer.formats.load import load_volume
    from medviewer.formats.masks import read_mask
    from medviewer.learning.done import by_hand, finish

    if arguments.path is None or arguments.mask is None:
        raise BadInput("say what is drawn in which study", remedy="give PATH and --mask FILE")
    context = context_for_terminal()
    stack = open_stack([arguments.path], arguments.stack, context)
    grid = grid_for(stack, Use.MARKS)
    laid = read_mask(arguments.mask, grid, context)
    if laid.note:
        print(f"the mask was {laid.note}", file=sys.stderr)
    volume = load_volume(stack, context)
    segments = _segments(laid, stack.id)
    segmentation = Segmentation.from_labelmap(grid, laid.labelmap, segments, stack.id)
    done = finish(
        facts,
        stack,
        volume,
        segmentation,
        by_hand(author),
        queue=queue,
        patient_id=arguments.patient,
        one_a_segment=False,
        context=context,
    )
    if done.note:
        print(done.note, file=sys.stderr)
    return done.cases, done.left_out


def _segments(laid: LaidMask, stack_id: str) -> list[Segment]:
    """Segments of a mask; those without a tracking UID get one that is the same next time."""
    from dataclasses import replace

    from medviewer.annotation.exchange import segment_of

    segments = []
    for description in laid.segments:
        segment = segment_of(description)
        if not description.tracking_uid:
            digest = hashlib.sha256(f"{stack_id} {description.number}".encode()).digest()
            segment = replace(segment, tracking_uid=f"2.25.{int.from_bytes(digest[:16], 'big')}")
        segments.append(segment)
    return segments


def case_names(path: Path) -> list[str]:
    """Names of cases in a file: a JSON list, a CSV with a column `nodule`, `case`, `name` or `id`, or one a line.

    Raises:
        BadInput: the file cannot be read or holds no name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("the list of cases cannot be read", path=path) from error
    names: list[str] = []
    if text.lstrip().startswith(("[", "{")):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise BadInput("the list of cases is no valid JSON", path=path) from error
        entries = found.get("cases", []) if isinstance(found, dict) else found
        names = [str(e.get("id", "")) if isinstance(e, dict) else str(e) for e in entries]
    else:
        rows = list(csv.reader(io.StringIO(text)))
        head = [cell.strip().lower() for cell in rows[0]] if rows else []
        known = [n for n, cell in enumerate(head) if cell in ("nodule", "case", "name", "id")]
        column, body = (known[0], rows[1:]) if known else (0, rows)
        names = [row[column].strip() for row in body if len(row) > column and not row[0].startswith("#")]
    names = [name for name in names if name]
    if not names:
        raise BadInput("the list of cases is empty", path=path)
    return names


def _show(queue: CorrectionQueue, arguments: argparse.Namespace) -> int:
    case, sample = queue.get(arguments.case), queue.sample(arguments.case)
    shapes = {name: list(array.shape) for name, array in sample.items()}
    events = [
        {"time": e.time, "before": e.before, "after": e.after, "run": e.run, "note": e.note}
        for e in queue.events(arguments.case)
    ]
    document = {"cases": [case.as_json()], "events": events, "sample": shapes}
    lines = [f"{name}: {value}" for name, value in case.as_json().items()]
    lines += [
        f"{e['time'][:19]}  {e['before'] or 'new'} -> {e['after']}  {e['run']} {e['note']}".rstrip() for e in events
    ]
    lines += [f"{name}: {' x '.join(map(str, shape)) or 'number'}" for name, shape in shapes.items()]
    return _print(arguments, document, lines)


def _export(queue: CorrectionQueue, arguments: argparse.Namespace) -> int:
    import numpy as np

    from medviewer.cli.output import json_text
    from medviewer.formats.atomic import write_whole

    out: Path = arguments.out
    if _CASE_ID.fullmatch(str(out)):
        raise BadInput(f"{out} is a case, not a folder", remedy=f"name the folder first: export DIR {out}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput("cases are exported into an empty folder only", path=out, remedy="name another one")
    cases = queue.cases(arguments.task, arguments.state)
    if arguments.case:
        wanted = {queue.get(case_id).id for case_id in arguments.case}
        cases = tuple(case for case in cases if case.id in wanted)
    if not cases:
        raise BadInput("there is no such case in the queue", remedy="see `medviewer queue list`")
    document = {"cases": [c.as_json() for c in cases]}
    for case in cases:
        buffer = io.BytesIO()
        arrays: dict[str, Any] = queue.sample(case.id)
        np.savez_compressed(buffer, **arrays)
        write_whole(out / f"{case.id}.npz", buffer.getvalue())
    write_whole(out / "cases.json", json_text(document).encode())
    return _print(arguments, {**document, "folder": str(out)}, [f"{_counted(len(cases))} written to {out}"])


def _counted(cases: int) -> str:
    return "1 case" if cases == 1 else f"{cases} cases"


def _remove(queue: CorrectionQueue, arguments: argparse.Namespace) -> int:
    removed = [queue.get(case_id) for case_id in arguments.case]
    queue.remove(arguments.case)
    return _print(arguments, {"cases": [c.as_json() for c in removed]}, [f"removed {c.id}" for c in removed])

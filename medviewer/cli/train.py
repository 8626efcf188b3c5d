"""`medviewer train TASK`: a candidate from the champion, judged by the gate."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from medviewer.errors import BadInput
from medviewer.jobs import JobContext

HELP = "train a candidate from corrected cases and let the gate judge it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("task", help="name of the task, as `medviewer models list` shows it")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the public training data, for the replay")
    parser.add_argument("--from-queue", action="store_true", help="learn from the pending cases of the queue")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of each network (by default the recipe's own)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Train; exit code 3 where the gate does not let the candidate through."""
    from medviewer.cli.output import context_for_terminal, print_json
    from medviewer.learning.train_process import TrainingRequest, train

    if arguments.data is not None and not arguments.data.is_dir():
        raise BadInput("there is no such folder of training data", path=arguments.data)
    if arguments.data is None and not arguments.from_queue:
        raise BadInput("there is nothing to learn from", remedy="give --from-queue, or --data with a folder, or both")
    request = TrainingRequest(
        task=arguments.task,
        data=None if arguments.data is None else arguments.data.resolve(),
        from_queue=arguments.from_queue,
        steps=arguments.steps,
        seed=arguments.seed,
    )
    context = context_for_terminal()
    with _interrupt_cancels(context):
        outcome = train(request, context)
    gate = outcome.report
    if arguments.json:
        print_json(outcome.as_json())
    else:
        print(f"candidate {outcome.candidate} of {outcome.task}, from {outcome.champion}, {outcome.seconds:.0f} s")
        for check in gate["checks"]:
            mark = {True: "yes", False: "no", None: "cannot tell"}[check["passed"]]
            print(f"  {check['name']:<24} {mark:<12} {check['sentence']}")
        print(f"gate: {gate['reason']}")
        if outcome.passed:
            print(f"promote it with `medviewer models promote {outcome.task} {outcome.candidate}`")
    if not outcome.passed:
        print(f"the gate did not pass: {gate['reason']}", file=sys.stderr)
    return 0 if outcome.passed else 3


@contextlib.contextmanager
def _interrupt_cancels(context: JobContext) -> Iterator[None]:
    """Ctrl+C and a polite end from outside cancel the job, so that the cases go back to pending."""

    def cancel(_: int, __: FrameType | None) -> None:
        context.token.cancel()

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

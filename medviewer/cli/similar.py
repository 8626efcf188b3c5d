"""`medviewer similar`: the cases of the library that readers would rate most like the nodule at a point."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medviewer.cli.arguments import point
from medviewer.cli.output import context_for_terminal, print_json
from medviewer.errors import BadInput, Refused

HELP = "cases most like the nodule at a point"
TASK = "lung-nodule-similar"
MOST = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PATH, where to look, and how many."""
    parser.add_argument("path", metavar="PATH", type=Path, help="folder, file or ZIP")
    parser.add_argument("--at", metavar="X,Y,Z", type=point, required=True, help="click, LPS millimetres")
    parser.add_argument("-k", type=int, default=5, help="how many cases (5)")
    parser.add_argument("--stack", metavar="ID", help="a stack of `medviewer inspect`; else the one that suits")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="VERSION", help="another version than the one in use")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 with cases, 3 where the model abstains (the reason stands in the JSON)."""
    from medviewer.formats.carry import Use, grid_for
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import nothing_opened, scan
    from medviewer.inference.device import resolve_device
    from medviewer.inference.input_stack import input_stack
    from medviewer.inference.predict import wrong_modality
    from medviewer.inference.prompt import Prompt
    from medviewer.inference.similar_nodule import find_similar
    from medviewer.inference.store import ModelStore
    from medviewer.inference.suggestion import Suggestion

    if not 1 <= arguments.k <= MOST:
        raise BadInput(f"-k {arguments.k} is no number of cases", remedy=f"ask for 1 to {MOST}")
    package = ModelStore().get(TASK, arguments.model)
    prompt = Prompt.of(arguments.at)
    device = resolve_device(arguments.device)
    context = context_for_terminal()
    catalog = scan([arguments.path], context)
    if next(catalog.stacks(), None) is None:
        raise nothing_opened([arguments.path], catalog)
    stack = input_stack(catalog, package.card, prompt, arguments.stack)
    prompt.check_inside(grid_for(stack, Use.SUGGESTION))
    volume = load_volume(stack.at_time(0), context)
    reason = wrong_modality(package, volume)
    if reason is None:
        suggestion = find_similar(
            package, volume, prompt, device, context, k=arguments.k, patient=stack.patient_id or ""
        )
    else:
        suggestion = Suggestion(TASK, package.short_id, device, 0.0, abstained=reason)
    document: dict[str, Any] = {**suggestion.as_json(), "stack": stack.id}
    if arguments.json:
        print_json(document)
    if suggestion.abstained is not None:
        if arguments.json:
            return Refused.exit_code
        raise Refused(f"no similar cases: {suggestion.abstained.rstrip('.')}")
    if not arguments.json:
        _tell(document)
    return 0


def _tell(document: dict[str, Any]) -> None:
    for number, case in enumerate(document["similar"], 1):
        size = "" if case["diameter_mm"] is None else f"  {case['diameter_mm']:.1f} mm"
        rating = case["ratings"].get("malignancy")
        opinion = "" if rating is None else f"  readers' malignancy {rating:.1f}"
        print(f"{number:>3}  distance {case['distance']:.4f}  {case['label']:<10}{size}{opinion}  {case['source']}")
    for note in document["notes"]:
        print(f"note: {note}")
    print("Labels are readers' opinion, not pathology. For research and education. Not for diagnosis or treatment.")

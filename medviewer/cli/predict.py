"""`medviewer predict`: one suggestion of a model on a study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from medviewer.cli.arguments import box, point
from medviewer.cli.output import context_for_terminal, print_json
from medviewer.errors import Refused

HELP = "ask a model for a suggestion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """TASK PATH and where to look."""
    parser.add_argument("task", metavar="TASK", help="a task of `medviewer models list`")
    parser.add_argument("path", metavar="PATH", type=Path, help="folder, file or ZIP")
    parser.add_argument("--stack", metavar="ID", help="a stack of `medviewer inspect`; else the one that suits")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--at", metavar="X,Y,Z", type=point, help="click, LPS millimetres")
    where.add_argument("--box", metavar="X0,Y0,Z0,X1,Y1,Z1", type=box, help="box, LPS millimetres")
    parser.add_argument("--out", metavar="FILE", type=Path, help="mask as .dcm (SEG), .nii.gz or .nrrd")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--model", metavar="VERSION", help="another version than the one in use")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 with a suggestion, 3 where the model abstains (the reason stands in the JSON)."""
    from medviewer.formats.carry import Use, grid_for
    from medviewer.formats.load import load_volume
    from medviewer.formats.scan import nothing_opened, scan
    from medviewer.inference.device import resolve_device
    from medviewer.inference.input_stack import input_stack
    from medviewer.inference.predict import suggest_with
    from medviewer.inference.prompt import Prompt
    from medviewer.inference.save import check_out_name, save_suggestion
    from medviewer.inference.store import ModelStore

    package = ModelStore().get(arguments.task, arguments.model)
    prompt = Prompt.of(arguments.at, arguments.box)
    resolve_device(arguments.device)
    context = context_for_terminal()
    catalog = scan([arguments.path], context)
    if next(catalog.stacks(), None) is None:
        raise nothing_opened([arguments.path], catalog)
    stack = input_stack(catalog, package.card, prompt, arguments.stack)
    prompt.check_inside(grid_for(stack, Use.SUGGESTION))
    if arguments.out is not None:
        check_out_name(arguments.out, stack)
    volume = load_volume(stack.at_time(0), context)
    suggestion = suggest_with(package, volume, prompt, device=arguments.device, context=context)
    if arguments.out is not None and suggestion.abstained is None:
        save_suggestion(arguments.out, suggestion, stack.at_time(0), package)
    document = {**suggestion.as_json(), "stack": stack.id}
    if suggestion.abstained is not None:
        refused = Refused(f"no suggestion: {suggestion.abstained.rstrip('.')}")
        if not arguments.json:
            raise refused
        print_json({**document, "error": refused.sentence, "exit_code": refused.exit_code})
        print(refused.sentence, file=sys.stderr)
        return refused.exit_code
    if arguments.json:
        print_json(document)
    if not arguments.json:
        _tell(document, arguments.out)
    return 0


def _shown(name: str, value: float) -> str:
    """Two decimals; a probability is never shown as a certainty."""
    if name == "probability" and not 0.005 <= value < 0.995:
        return ">0.99" if value > 0.5 else "<0.01"
    return f"{value:.2f}"


def _tell(document: dict[str, object], out: Path | None) -> None:
    print(f"{document['task']} (model {document['model']}, {document['device']}, {document['seconds']} s)")
    for segment in document["segments"]:  # type: ignore[attr-defined]
        size = "" if segment["volume_ml"] is None else f"  {segment['volume_ml']:.2f} ml"
        width = "" if segment["diameter_mm"] is None else f"  as a ball {segment['diameter_mm']:.1f} mm across"
        print(f"  {segment['label']:<12}{segment['voxels']:>8} voxels{size}{width}")
    for name in ("probability", "rating"):
        if document[name] is not None:
            bounds = document["interval" if name == "probability" else "rating_interval"]
            between = "" if bounds is None else "  [{:.2f} to {:.2f}]".format(*bounds)  # type: ignore[misc]
            print(f"  {name:<12}{_shown(name, float(document[name]))}{between}")  # type: ignore[arg-type]
    for case in document["similar"]:  # type: ignore[attr-defined]
        print(f"  similar     {case['case']}  distance {case['distance']:.3f}  {case['label']}")
    if document["check_first"]:
        print(f"  look first at slices {', '.join(str(k + 1) for k in document['check_first'])}")  # type: ignore[attr-defined]
    for note in document["notes"]:  # type: ignore[attr-defined]
        print(f"  note: {note}")
    if out is not None:
        print(f"  written to {out}")
    print("For research and education. Not for diagnosis or treatment.")

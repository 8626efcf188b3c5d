"""`medviewer convert`: stacks, masks, structures and doses to NIfTI and NRRD; masks to STL, SEG and RTSTRUCT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medviewer.cli.output import context_for_terminal, print_json
from medviewer.errors import BadInput
from medviewer.formats import convert, convert_masks

HELP = "write a stack or a mask as .nii.gz, .nrrd or .stl, or a mask as DICOM (--as seg/rtstruct --reference FOLDER)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("path", type=Path, metavar="PATH", help="folder, file or ZIP archive")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file to write; its name says the format")
    parser.add_argument("--stack", metavar="ID", help="which stack, as `inspect` names it")
    parser.add_argument("--as", dest="kind", choices=("seg", "rtstruct"), help="write a mask as a DICOM object")
    parser.add_argument(
        "--reference", type=Path, metavar="FOLDER", help="the series that a mask, structures or a dose are laid on"
    )
    parser.add_argument("--segment", metavar="N or NAME", help="only this segment or structure")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 3 where the geometry cannot carry it."""
    context = context_for_terminal()
    path, out, reference = arguments.path, arguments.out, arguments.reference
    job = convert_masks.MaskJob(path, out, reference, arguments.segment)
    if arguments.kind is not None:
        if reference is None:
            raise BadInput("a DICOM object lies on a series", remedy="add --reference FOLDER")
        done = convert_masks.to_dicom(job, arguments.kind, context)
    else:
        form = convert.format_of(out)
        if form == "stl":
            done = convert_masks.to_surface(job, context)
        elif reference is not None or arguments.segment is not None or convert_masks.is_object(path, context):
            done = convert_masks.to_volume_file(job, form, context)
        else:
            done = convert.to_volume_file(path, out, form, arguments.stack, context)
    document: dict[str, Any] = {"out": str(out), **done}
    if arguments.json:
        print_json(document)
    else:
        note = f" ({done['note']})" if done.get("note") else ""
        print(f"{out}: {done['what']}{note}")
    return 0

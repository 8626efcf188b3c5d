"""`medviewer inspect`: what lies in folders, files and archives, without opening a window."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from medviewer.cli.object_words import add_words, object_words
from medviewer.cli.output import context_for_terminal, print_json
from medviewer.formats.carry import Use, why_not
from medviewer.formats.catalog import Catalog, Quality, Stack
from medviewer.formats.digest import FailedFrame, StackDigest, as_skipped, digest
from medviewer.formats.object_facts import add_facts, object_facts, with_facts
from medviewer.formats.scan import nothing_opened, scan
from medviewer.formats.scan_cache import open_catalog
from medviewer.jobs import JobContext

HELP = "list patients, studies, series and stacks, other objects, and what is skipped and why"

_SHOWN_SKIPS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folder, file or ZIP archive")
    parser.add_argument("--pixels", action="store_true", help="decode all pixels: hashes, least, greatest, mean value")
    parser.add_argument("--frames", action="store_true", help="one row a frame, in stack order")
    parser.add_argument(
        "--text", action="store_true", help="the words of all reports and other documents (of a file named: always)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 2 only where nothing could be opened; files that were skipped are listed."""
    context = context_for_terminal()
    catalog = open_catalog(arguments.paths, context)
    digests: dict[str, StackDigest] = {}
    if arguments.pixels:
        catalog, digests = _with_pixels(catalog, arguments.paths, context)
    facts = object_facts(catalog, context, pixels=arguments.pixels)
    catalog = with_facts(catalog, facts)
    error = nothing_opened(arguments.paths, catalog) if catalog.is_empty else None
    named = None if arguments.text else frozenset(arguments.paths)
    if arguments.json:
        document = catalog_document(catalog, digests, with_frames=arguments.frames)
        add_facts(document, facts)
        add_words(document, catalog, named)
        if error is not None:
            document |= {"error": error.sentence, "exit_code": error.exit_code}
        print_json(document)
    else:
        print("\n".join(_lines(catalog, digests, with_frames=arguments.frames)))
        for words in object_words(catalog, named):
            print("\n" + "\n".join(words.lines))
    if error is not None:
        print(error.sentence, file=sys.stderr)
        return error.exit_code
    return 0


def _with_pixels(catalog: Catalog, paths: list[Path], context: JobContext) -> tuple[Catalog, dict[str, StackDigest]]:
    """Digests of all stacks; files without one good frame are taken out and the stacks built anew."""
    digests = {stack.id: digest(stack, context) for stack in catalog.stacks()}
    frames = Counter(frame.path for stack in catalog.stacks() for frame in stack.frames)
    failed = [failure for one in digests.values() for failure in one.failed]
    failures = Counter(failure.path for failure in failed)
    hopeless = {path for path, count in failures.items() if count == frames[path]}
    if hopeless:
        first: dict[Path, FailedFrame] = {}
        for failure in failed:
            first.setdefault(failure.path, failure)
        catalog = scan(paths, context, leave_out=[as_skipped(first[path]) for path in hopeless])
        digests = {
            stack.id: digests[stack.id] if _is_same(stack, digests.get(stack.id)) else digest(stack, context)
            for stack in catalog.stacks()
        }
    return catalog, digests


def _is_same(stack: Stack, known: StackDigest | None) -> bool:
    return known is not None and not known.failed and len(known.frame_sha256) == len(stack.frames)


def _faulty(stack: Stack, found: StackDigest | None) -> Stack:
    """The stack with frames that could not be decoded named."""
    if found is None or not found.failed:
        return stack
    first = found.failed[0]
    code = "truncated" if first.code == "truncated" else "frame-count-mismatch"
    detail = f"{len(found.failed)} of {len(stack.frames)} frames cannot be shown: {first.reason}"
    return replace(stack, quality=(*(q for q in stack.quality if q.code != code), Quality(code, detail)))


def catalog_document(catalog: Catalog, digests: dict[str, StackDigest], *, with_frames: bool) -> dict[str, Any]:
    """The JSON document of the command line's contract."""
    return {
        "files": catalog.files,
        "warnings": list(catalog.warnings),
        "skipped": [{"path": str(s.path), "reason": s.reason, "code": s.code} for s in catalog.skipped],
        "patients": [
            {
                "name": patient.name,
                "id": patient.id,
                "studies": [
                    {
                        "uid": study.uid,
                        "date": study.date,
                        "description": study.description,
                        "series": [
                            {
                                "uid": series.uid,
                                "number": series.number,
                                "modality": series.modality,
                                "description": series.description,
                                "stacks": [
                                    stack_document(s, digests.get(s.id), with_frames=with_frames) for s in series.stacks
                                ],
                            }
                            for series in study.series
                        ],
                    }
                    for study in patient.studies
                ],
            }
            for patient in catalog.patients
        ],
        "objects": [
            {"path": str(o.path), "kind": o.kind, "summary": o.summary, "patient": o.patient} for o in catalog.objects
        ],
    }


def stack_document(stack: Stack, found: StackDigest | None, *, with_frames: bool) -> dict[str, Any]:
    """STACK of the command line's contract."""
    stack = _faulty(stack, found)
    plain = [window for window in stack.windows if window.table is None]  # a table's width says little
    window = next(iter(plain or stack.windows), None)
    document: dict[str, Any] = {
        "id": stack.id,
        "kind": stack.kind.value,
        "name": stack.name,
        "size": list(stack.size_kji),
        "times": stack.times,
        "spacing": None if stack.spacing_kji is None else list(stack.spacing_kji),
        "direction": None if stack.direction is None else list(stack.direction),
        "origin": None if stack.origin_lps is None else list(stack.origin_lps),
        "dtype": stack.dtype,
        "modality": stack.modality,
        "window": None if window is None else [window.width, window.level],
        "unit": stack.unit,
        "inverted": stack.inverted,
        "three_d": stack.grid is not None,
        "quality": [{"code": q.code, "detail": q.detail} for q in stack.quality],
    }
    if stack.layout is not None:
        document["photometric"] = stack.layout.photometric
        document["transfer_syntax"] = stack.layout.transfer_syntax
    if stack.time_labels:
        document["time_labels"] = list(stack.time_labels)
    if stack.frame_times_ms:
        document["frame_times_ms"] = list(stack.frame_times_ms)
    if stack.display_fps is not None:
        document["display_fps"] = stack.display_fps
    if stack.text.calibration:
        document["calibration"] = stack.text.calibration
    document["cannot"] = {use.value: reason for use in Use if (reason := why_not(stack, use)) is not None}
    if found is not None:
        document |= {"sha256": found.sha256, "min": found.low, "max": found.high, "mean": found.mean}
        if found.sha256_file is not None:
            document["sha256_file"] = found.sha256_file
    if with_frames:
        document["frames"] = [
            {
                "path": str(frame.path),
                "frame": frame.frame,
                "sha256": None if found is None else found.frame_sha256[n],
                "position": None if frame.position_lps is None else list(frame.position_lps),
            }
            for n, frame in enumerate(stack.frames)
        ]
    return document


def _lines(catalog: Catalog, digests: dict[str, StackDigest], *, with_frames: bool) -> list[str]:
    lines = []
    for patient in catalog.patients:
        lines.append(f"{patient.name or '(no name)'}  [{patient.id or 'no ID'}]")
        for study in patient.studies:
            lines.append(f"  study {_date(study.date)} {study.description}".rstrip())
            for series in study.series:
                number = "" if series.number is None else f"{series.number}: "
                lines.append(f"    {number}{series.modality} {series.description}".rstrip())
                for stack in series.stacks:
                    lines += _stack_lines(stack, digests.get(stack.id), with_frames)
    lines += [f"! {warning}" for warning in catalog.warnings]
    if catalog.objects:
        lines.append("other objects")
        lines += [f"  {o.kind}: {o.summary}  ({o.path})" for o in catalog.objects]
    if catalog.skipped:
        lines.append(f"skipped {len({s.path for s in catalog.skipped})} of {catalog.files} files")
        groups: dict[tuple[Path, str, str], list[str]] = {}
        for skip in catalog.skipped:
            groups.setdefault((skip.path.parent, skip.reason, skip.code), []).append(skip.path.name)
        shown = list(groups.items())[:_SHOWN_SKIPS]
        for (folder, reason, code), names in shown:
            what = f"{folder / names[0]}" if len(names) == 1 else f"{len(names)} files in {folder}"
            lines.append(f"  {what}: {reason} [{code}]")
        if len(groups) > len(shown):
            lines.append(f"  and more, for {len(groups) - len(shown)} other reasons (all of them with --json)")
    return lines


def _date(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date


def _stack_lines(stack: Stack, found: StackDigest | None, with_frames: bool) -> list[str]:
    stack = _faulty(stack, found)
    times = f" x {stack.times} times" if stack.times > 1 else ""
    size = " x ".join(str(n) for n in stack.size_kji)
    spacing = ""
    if stack.spacing_kji is not None:
        spacing = ", " + " x ".join("?" if s is None else f"{s:g}" for s in stack.spacing_kji) + " mm"
    name = f" {stack.name}" if stack.name else ""
    lines = [f"      {stack.kind.value}{name} {size}{times}{spacing}, {stack.dtype}  [{stack.id}]"]
    lines += [f"        ! {q.code}: {q.detail}" for q in stack.quality]
    if found is not None and found.low is not None:
        lines.append(f"        values {found.low:g} to {found.high:g}, mean {found.mean:g}; sha256 {found.sha256}")
    if with_frames:
        lines += [f"        {n + 1}: {f.path} frame {f.frame + 1}" for n, f in enumerate(stack.frames)]
    return lines

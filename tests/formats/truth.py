"""Tables of right answers for `medviewer inspect`, and what is wrong with an answer.

A row's `expected` is `ok`, `ok-warn:REASON`, `ok-or-refuse:REASON`, `ok-first-frame`, `refuse:REASON` or
`object:KIND`; a word of the whole answer is returned for the first thing that is wrong, None for a right one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, str]
Answer = dict[str, Any]

#: Lengths and places in mm, cosines.
TOLERANCE = 1e-3
GEOMETRY_CODES = frozenset(
    {"missing-slice", "uneven-spacing", "gantry-tilt", "duplicate-slice", "mixed-orientation", "mixed-spacing"}
)
#: What a series' problem must be called in the answer, one of these.
NAMED = {
    "missing-slice": {"missing-slice"},
    "uneven-spacing": {"uneven-spacing", "missing-slice"},  # a gap of whole steps is a gap
    "gantry-tilt": {"gantry-tilt"},
    "duplicate": {"duplicate-slice", "duplicate-uid"},
    "mixed-orientation": {"mixed-orientation"},
    "mixed-spacing": {"mixed-spacing"},
    "no-geometry": {"no-position", "no-spacing"},
    "mosaic": {"mosaic"},
}
#: Damage that leaves something worth showing, if the damage is named.
MAY_BE_SHOWN = frozenset(
    {"truncated", "pixel-data-too-short", "rescale-slope", "bits-stored", "number-of-frames", "frame-size-mismatch"}
)
#: Kinds that hold pixels of their own and may be shown.
WITH_PIXELS = frozenset({"SEG", "LABELMAP", "RTDOSE"})


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file."""
    csv.field_size_limit(10**8)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stacks_of(answer: Answer) -> list[Answer]:
    """All stacks of an answer."""
    return [
        stack
        for patient in answer["patients"]
        for study in patient["studies"]
        for series in study["series"]
        for stack in series["stacks"]
    ]


def codes_of(stack: Answer) -> set[str]:
    """The codes of a stack's quality."""
    return {entry["code"] for entry in stack["quality"]}


def wrong_with_file(row: Row, answer: Answer) -> str | None:
    """What is wrong with the answer for one DICOM file."""
    expected, _, reason = row["expected"].partition(":")
    shown, skipped, objects = stacks_of(answer), answer["skipped"], answer["objects"]
    if not all(skip["reason"] and skip["code"] for skip in skipped):
        return "skipped without a reason"
    refused = bool(skipped)
    either = expected == "ok-or-refuse" or "or refuse" in row["note"] or "refuse with a reason" in row["note"]
    if reason in ("no-pixels", "no-pixel-data"):
        if shown:
            return "shown, though it has no pixels"
        return _wrong_name(row, objects[0]["patient"]) if objects else None if refused else "not mentioned"
    if expected == "object":
        return _wrong_object(row, reason, answer, either=either)
    if not shown and refused and (expected == "refuse" or either):
        return None
    if expected == "refuse":
        if not shown:
            return "neither shown nor skipped"
        return None if reason in MAY_BE_SHOWN and all(map(codes_of, shown)) else "shown, though it must be refused"
    if len(shown) != 1:
        return f"{len(shown)} stacks, not 1; skipped {skipped}"
    if expected == "ok-first-frame":
        return None
    if expected == "ok-warn" and not codes_of(shown[0]):
        return "shown without a warning"
    name = answer["patients"][0]["name"]
    return _wrong_pixels(row, shown[0]) or _wrong_place(row, shown[0]) or _wrong_name(row, name)


def _wrong_object(row: Row, kind: str, answer: Answer, *, either: bool) -> str | None:
    shown, skipped, objects = stacks_of(answer), answer["skipped"], answer["objects"]
    if kind == "DICOMDIR":
        if "traversal" in row["path"] and not any(skip["code"] == "outside-folder" for skip in skipped):
            return "references that leave the folder are not named"
        return None if objects or shown or skipped else "not listed"
    for found in objects:
        if found["kind"] == kind:
            return _wrong_name(row, found["patient"])
    if (shown and kind in WITH_PIXELS) or (either and skipped):
        return None
    return f"not listed as {kind}: {[found['kind'] for found in objects]}"


def _wrong_pixels(row: Row, stack: Answer) -> str | None:
    tolerance = float(row["tolerance"] or 0)
    disputed = row.get("judgement", "").startswith("disputed")
    if row["sha256"] and not tolerance and not disputed:
        found = {stack["sha256"], stack.get("sha256_file")}
        if row["sha256"] not in found:
            return f"sha256 {stack['sha256']}, not {row['sha256']}"
    low, high, mean = (_plain(row[f"mod_{name}"]) or _plain(row[name]) for name in ("min", "max", "mean"))
    if not (low and high and mean) or int(_plain(row["frames"]) or 1) > 1:
        return None
    slope = re.match(r"[-+.\deE]+", row["rescale"])
    factor = abs(float(slope.group())) if slope else 1.0
    allowed = {"min": 2 * factor * tolerance, "max": 2 * factor * tolerance, "mean": 0.0}
    if tolerance:
        allowed["mean"] = factor * max(0.5, tolerance)
    for name, text in (("min", low), ("max", high), ("mean", mean)):
        value = float(text)
        if abs(stack[name] - value) > allowed[name] + 6e-7 + 1e-4 * max(abs(value), factor):
            return f"{name} {stack[name]}, not {value}"
    return None


def _wrong_place(row: Row, stack: Answer) -> str | None:
    if row["expected"] != "ok" or stack["kind"] != "single" or int(_plain(row["frames"]) or 1) > 1:
        return None
    spacing = numbers(row["spacing"]) if row["spacing_source"] == "PixelSpacing" else []
    if len(spacing) == 2 and min(spacing) > 0 and _far((stack["spacing"] or [0, 0, 0])[1:], spacing):
        return f"spacing {stack['spacing']}, not {row['spacing']}"
    for name, given in (("direction", numbers(row["orientation"])), ("origin", numbers(row["position"]))):
        if given and stack[name] is not None and _far(stack[name][: len(given)], given):
            return f"{name} {stack[name]}, not {given}"
    return None


def _wrong_name(row: Row, given: str) -> str | None:
    wanted = row["patient_name_expected"].strip()
    if not wanted or row["category"] == "broken-made":  # there the column tells a story
        return None
    same = [re.sub(r"[\^= ]+", " ", text or "").strip() for text in (given, wanted)]
    return None if same[0] == same[1] else f"name {given!r}, not {wanted!r}"


def wrong_with_series(rows: Sequence[Row], answer: Answer) -> str | None:
    """What is wrong with the answer for a folder with one case; `rows` are its expected stacks."""
    found = stacks_of(answer)
    said = {code for stack in found for code in codes_of(stack)} | {skip["code"] for skip in answer["skipped"]}
    problems = {problem for row in rows for problem in row["problem_codes"].split(";") if problem}
    for problem in problems & NAMED.keys():
        if not NAMED[problem] & said:
            return f"{problem} is not named (only {sorted(said)})"
    if not problems and said & GEOMETRY_CODES:
        return f"{sorted(said & GEOMETRY_CODES)} named, though nothing is wrong"
    if "4d" in problems and not any(stack["kind"] == "4d" for stack in found) and len(found) < 3:
        return "4-D neither recognised nor split"
    for row in rows:
        if row["sha256_volume"] and "duplicate" not in problems:
            wrong = _wrong_stack(row, found)
            if wrong:
                return f"stack {row['stack']}: {wrong}"
    return None


def _wrong_stack(row: Row, found: Sequence[Answer]) -> str | None:
    same = [stack for stack in found if stack["sha256"] == row["sha256_volume"]]
    if not same:
        return "no stack with these voxels in this order"
    stack = same[0]
    if stack["size"] != [int(row[name]) for name in ("slices", "rows", "columns")]:
        return f"size {stack['size']}"
    if len(stack["frames"]) != int(row["images"]):
        return f"{len(stack['frames'])} frames, not {row['images']}"
    if "no-geometry" in row["problem_codes"] or not row["direction_row"]:
        return None
    if stack["frames"][-1]["position"] is None or _far(stack["frames"][-1]["position"], numbers(row["last_lps"])):
        return f"the last slice at {stack['frames'][-1]['position']}, not {row['last_lps']}"
    steps = numbers(row["slice_distances"])
    if len(steps) == 1 and abs(stack["spacing"][0] - steps[0]) > TOLERANCE:
        return f"step {stack['spacing'][0]}, not {steps[0]}"
    wanted = {
        "origin": numbers(row["origin_lps"]),
        "spacing": numbers(row["pixel_spacing"]),
        "direction": numbers(row["direction_row"]) + numbers(row["direction_col"]),
    }
    given = {"origin": stack["origin"], "spacing": stack["spacing"][1:], "direction": stack["direction"][:6]}
    wrong = [name for name, value in wanted.items() if _far(given[name], value)]
    return f"{wrong[0]} {given[wrong[0]]}, not {wanted[wrong[0]]}" if wrong else None


def wrong_with_volume(row: Row, answer: Answer) -> str | None:
    """What is wrong with the answer for one NIfTI or NRRD file."""
    shown = stacks_of(answer)
    if row["expected"].startswith("refuse"):
        return "shown, though it must be refused" if shown else None
    if len(shown) != 1:
        return f"{len(shown)} stacks, not 1; skipped {answer['skipped']}"
    stack = shown[0]
    size = [int(v) for v in (row["nibabel_shape"] or row["sitk_size"]).split("x")]
    i, j, k, times = (*size, 1, 1)[:4]
    if stack["size"] != [k, j, i] or stack["times"] != times:
        return f"size {stack['size']} x {stack['times']}, not {size} (i, j, k, t)"
    low, high = _plain(row["min"]), _plain(row["max"])
    for name, text in (("min", low), ("max", high)):
        if text and abs(stack[name] - float(text)) > TOLERANCE * max(1.0, abs(float(text))):
            return f"{name} {stack[name]}, not {text}"
    if row["sha256_fortran"] and not row["dtype"].startswith(">") and row["sha256_fortran"] != stack["sha256"]:
        return f"sha256 {stack['sha256']}, not {row['sha256_fortran']}"
    origin, spacing = numbers(row["sitk_origin_lps"])[:3], numbers(row["sitk_spacing"])[:3]
    if stack["origin"] is not None and len(origin) == 3 and _far(stack["origin"], origin):
        return f"origin {stack['origin']}, not {origin}"
    if stack["origin"] is not None and len(spacing) == 3 and _far(stack["spacing"], spacing[::-1]):
        return f"spacing {stack['spacing']}, not {spacing[::-1]} (k, j, i)"
    return None


def numbers(text: str) -> list[float]:
    """Numbers between blanks, commas and backslashes; [] where one of them is none."""
    parts = [part for part in re.split(r"[\\, ]+", text.strip()) if part]
    return [float(part) for part in parts] if all(_plain(part) for part in parts) else []


def _plain(text: str) -> str:
    return text if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text or "", re.IGNORECASE) else ""


def _far(given: Sequence[float] | None, wanted: Sequence[float]) -> bool:
    return (
        given is None
        or len(given) != len(wanted)
        or any(abs(a - b) > TOLERANCE for a, b in zip(given, wanted, strict=True))
    )

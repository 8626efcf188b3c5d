"""What became of every file of a scan: shown, listed as an object, a copy, or not shown and why. Text and CSV of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medviewer.formats.catalog import Catalog, Skipped
from medviewer.formats.dicom.text import one_line

#: A cell that begins like this is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COPY = "duplicate-uid"

#: What the codes of files that are not shown are called in headings.
HEADINGS: dict[str, str] = {
    "not-dicom": "No medical images",
    "empty": "Empty files",
    "unreadable": "Could not be read",
    "truncated": "Cut short",
    "no-pixels": "Without pixels",
    "no-codec": "No decoder for them",
    "bad-header": "Headers that contradict themselves",
    "bad-pixels": "Damaged pixels",
    "bad-rescale": "Values without a scale",
    "unsupported": "Of a kind that is not read",
    "too-large": "Too large, refused",
    "encrypted": "Encrypted",
    "zip-unsafe": "Unsafe archives, refused",
    "outside-folder": "Lead out of the folder, refused",
    _COPY: "Copies of what is shown",
}


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are not shown for one reason.

    Attributes:
        code: the skip code of the command line's contract.
        heading: for people, without a count.
        files: in the order of paths.
    """

    code: str
    heading: str
    files: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the files of a scan.

    Attributes:
        files: how many were looked at.
        shown: files with pictures that are shown, and in how many series.
        series: see `shown`.
        objects: files that are no pictures of their own.
        skipped: entries of what is not shown; an archive that is cut is one beside its members.
        copies: how many of these are copies of what is shown.
        groups: files that are not shown, the most frequent reason first, copies last.
        warnings: sentences about the whole.
    """

    files: int
    shown: int
    series: int
    objects: int
    skipped: int
    copies: int
    groups: tuple[Group, ...]
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """ "512 files: 500 shown in 3 series, 8 objects, 4 not shown"."""
        parts = [f"{self.shown} shown in {_count(self.series, 'series', 'series')}" if self.shown else "none shown"]
        if self.objects:
            parts.append(_count(self.objects, "object", "objects"))
        if self.copies:
            parts.append(_count(self.copies, "copy", "copies"))
        rest = self.skipped - self.copies
        if rest:
            parts.append(f"{rest} not shown")
        return f"{_count(self.files, 'file', 'files')}: {', '.join(parts)}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def import_report(catalog: Catalog) -> ImportReport:
    """Count and group what a scan found."""
    shown = {frame.path for stack in catalog.stacks() for frame in stack.frames}
    series = [series for p in catalog.patients for study in p.studies for series in study.series]
    by_code: dict[str, list[Skipped]] = {}
    for skip in catalog.skipped:
        by_code.setdefault(skip.code, []).append(skip)
    groups = [Group(code, HEADINGS.get(code, code), tuple(files)) for code, files in by_code.items()]
    groups.sort(key=lambda group: (group.code == _COPY, -len(group.files), group.heading))
    return ImportReport(
        files=catalog.files,
        shown=len(shown),
        series=len(series),
        objects=len(catalog.objects),
        skipped=len(catalog.skipped),
        copies=len(by_code.get(_COPY, [])),
        groups=tuple(groups),
        warnings=catalog.warnings,
    )


def as_text(catalog: Catalog) -> str:
    """The report as lines of plain text, file by file."""
    report = import_report(catalog)
    lines = [f"{report.summary}."]
    lines += [f"! {warning}" for warning in report.warnings]
    for group in report.groups:
        lines += ["", f"{group.heading}: {len(group.files)}"]
        lines += [f"  {one_line(str(skip.path))}: {skip.reason}" for skip in group.files]
    if catalog.objects:
        lines += ["", f"Objects: {len(catalog.objects)}"]
        lines += [f"  {one_line(str(found.path))}: {found.summary}" for found in catalog.objects]
    return "\n".join(lines) + "\n"


def as_csv(catalog: Catalog) -> str:
    """One row a file: path, what became of it, code, reason. No cell is a formula, whatever a file says."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("path", "result", "code", "reason"))
    for path, result, code, reason in sorted(_rows(catalog), key=lambda row: str(row[0])):
        writer.writerow([harmless(one_line(text, 32000)) for text in (str(path), result, code, reason)])
    return out.getvalue()


def _rows(catalog: Catalog) -> Iterator[tuple[Path, str, str, str]]:
    for stack in catalog.stacks():
        faults = "; ".join(f"{fault.code}: {fault.detail}" for fault in stack.quality)
        for path in dict.fromkeys(frame.path for frame in stack.frames):
            yield path, "shown", "", faults
    for found in catalog.objects:
        yield found.path, "object", found.kind, found.summary
    for skip in catalog.skipped:
        yield skip.path, "copy" if skip.code == _COPY else "not shown", skip.code, skip.reason


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before what would begin one."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell

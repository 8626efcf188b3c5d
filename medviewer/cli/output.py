"""What the command line writes: one JSON document, or lines for people."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.jobs import JobContext, Progress

#: Halves of pairs, which stand for bytes that are no UTF-8; JSON has no place for them.
_SURROGATES = re.compile("[\ud800-\udfff]")


def _plain(value: Any) -> Any:
    """Turn what `json` does not know into what it does; NaN and infinity become null (JSON has neither)."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def json_text(document: Any) -> str:
    """The JSON text of a document (UTF-8, no escapes, no NaN)."""
    return json.dumps(_plain(document), ensure_ascii=False, allow_nan=False, indent=1)


def print_json(document: Any) -> None:
    """Write exactly one JSON document to stdout: UTF-8, whatever bytes a file name or a text is made of."""
    sys.stdout.buffer.write(_SURROGATES.sub("\ufffd", json_text(document)).encode() + b"\n")
    sys.stdout.buffer.flush()


def print_json_line(document: Any) -> None:
    """As `print_json`, in one line: for programs that read the last one."""
    text = json.dumps(_plain(document), ensure_ascii=False, allow_nan=False)
    sys.stdout.buffer.write(_SURROGATES.sub("\ufffd", text).encode() + b"\n")
    sys.stdout.buffer.flush()


def context_for_terminal() -> JobContext:
    """A job context that writes progress to stderr, on a terminal only."""
    if not sys.stderr.isatty():
        return JobContext()

    def show(progress: Progress) -> None:
        total = "" if progress.total is None else f" / {progress.total}"
        sys.stderr.write(f"\r\x1b[K{progress.message} {progress.done}{total}")
        if progress.total is not None and progress.done >= progress.total:
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    return JobContext(listener=show)

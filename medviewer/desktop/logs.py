"""The window's log: rotating files in `places.log_folder()`, without patient data.

Messages of exceptions may quote a file name or a header, so only the type and the places in our code are written.
"""

from __future__ import annotations

import logging
import logging.handlers
import traceback

from medviewer import places


def traceback_without_text(error: BaseException) -> str:
    """File, line and function of each frame and the error's type; no message, no source text, no values."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"  {'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno} {frame.name}" for frame in frames]
    return "\n".join([*lines, f"  {type(error).__name__}"])


def start_log() -> None:
    """Write the program's log into the user's log folder (1 MB, three files kept); a full disk is no reason to stop."""
    try:
        handler = logging.handlers.RotatingFileHandler(
            places.log_folder() / "medviewer.log", maxBytes=1_000_000, backupCount=2, encoding="utf-8"
        )
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger("medviewer")
    root.addHandler(handler)
    root.setLevel(logging.INFO)

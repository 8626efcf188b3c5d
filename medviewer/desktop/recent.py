"""Recently opened paths: a short list in the settings folder, and what is remembered of their scans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from medviewer import places

#: How many are remembered.
RECENT = 10


def _file() -> Path:
    return places.config_folder() / "recent.json"


def recent_paths() -> tuple[str, ...]:
    """Recently opened paths that still exist, the newest first."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(found, list):
        return ()
    return tuple(p for p in found if isinstance(p, str) and Path(p).exists())[:RECENT]


def remember(paths: Sequence[Path]) -> bool:
    """Put paths in front; False where the home cannot be written, which is no reason not to show a picture."""
    newest = [str(path.resolve()) for path in paths[:RECENT]]
    rest = [path for path in recent_paths() if path not in newest]
    try:
        _file().write_text(json.dumps((newest + rest)[:RECENT]), encoding="utf-8")
    except OSError:
        return False
    return True


def forget() -> None:
    """Empty the list, and what is remembered of the scans."""
    from medviewer.formats import scan_cache

    _file().unlink(missing_ok=True)
    scan_cache.forget()

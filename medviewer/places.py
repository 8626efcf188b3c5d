"""Where things lie: shipped data (models, resources) and the user's own folders.

The shipped folders are found in three situations alike: in a checkout (beside the package), installed from a
wheel (`medviewer/_data`), and frozen by PyInstaller (`sys._MEIPASS/medviewer/_data`).
The environment variable `MEDVIEWER_HOME` moves everything of the user's into one folder (tests, kiosks).
"""

from __future__ import annotations

import os
from pathlib import Path

from medviewer.errors import BadInput

_PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    packed = _PACKAGE / "_data" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


def resources_folder() -> Path:
    """The shipped resources: presets, icons, translations, the phantom's recipe."""
    return _shipped("resources")


def shipped_models_folder() -> Path:
    """The models that came with the program: one folder a task, one below it a version. Read only."""
    return _shipped("models")


def _user(kind: str) -> Path:
    home = os.environ.get("MEDVIEWER_HOME")
    if home:
        folder = Path(home) / kind
    else:
        import platformdirs  # late: a few milliseconds that `--version` need not pay

        base = {
            "data": platformdirs.user_data_path,
            "cache": platformdirs.user_cache_path,
            "log": platformdirs.user_log_path,
            "config": platformdirs.user_config_path,
        }[kind]
        folder = base("medviewer", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BadInput(
            f"the folder for your work cannot be made ({error.strerror})",
            path=folder,
            remedy="give it write permission, or set MEDVIEWER_HOME to a folder that can be written",
        ) from error
    return folder


def data_folder() -> Path:
    """The user's work: library, revisions, queue, own models. Never deleted by the program."""
    return _user("data")


def cache_folder() -> Path:
    """What can be made again: thumbnails, unpacked archives."""
    return _user("cache")


def log_folder() -> Path:
    """Log files. They carry no patient data."""
    return _user("log")


def config_folder() -> Path:
    """The user's settings."""
    return _user("config")

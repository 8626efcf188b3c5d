"""Shipped data is found, and the user's folders can be moved as one."""

from __future__ import annotations

from pathlib import Path

from medviewer import places


def test_what_is_shipped_is_there() -> None:
    assert (places.resources_folder() / "gate.toml").is_file()
    assert list(places.shipped_models_folder().glob("*/*/MANIFEST.json"))


def test_the_user_s_folders_lie_in_one_home(own_home: Path) -> None:
    for folder in (places.data_folder(), places.cache_folder(), places.log_folder(), places.config_folder()):
        assert folder.is_dir() and folder.parent == own_home

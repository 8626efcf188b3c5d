"""The keys table: no clashes, a person's wishes, and what the window does with a key."""

from __future__ import annotations

import pytest

from medviewer.desktop.keys import TABLE, Keymap, changed, clashes, load_table
from medviewer.errors import BadInput


def test_no_two_actions_want_the_same_key_in_one_mode():
    assert clashes(TABLE) == ()


def test_digits_are_windows_while_reading_and_segments_while_annotating():
    keymap = Keymap()
    assert keymap.action("2", "read") == "preset-2"
    assert keymap.action("0", "read") == "preset-10"
    assert keymap.action("2", "annotate") == "segment-2"
    assert keymap.action("0", "annotate") == "segment-0"


def test_no_single_letter_destroys_work():
    harmless = {"delete"}
    for binding in TABLE:
        if binding.action in ("undo", "redo", "save", "done", "reload"):
            assert all("+" in key or key.startswith("F") for key in binding.keys), binding
    assert harmless  # Del acts on a slice of one segment and is undone by Ctrl+Z


def test_a_wish_replaces_a_key(tmp_path):
    wishes = tmp_path / "keys.toml"
    wishes.write_text('next-slice = ["J", "Down"]\n', encoding="utf-8")
    keymap = Keymap(load_table(wishes))
    assert keymap.action("J", "read") == "next-slice"
    assert keymap.hint("next-slice") == "(J)"


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"next-slice": "W"}, "wanted by"),
        ({"no-such-thing": "J"}, "no action"),
        ({"next-slice": "Nonsense+Q+Q"}, "unknown key"),
    ],
)
def test_wrong_wishes_are_said(wish, said):
    with pytest.raises(BadInput, match=said):
        changed(TABLE, wish)


def test_a_broken_keys_file_is_said(tmp_path):
    wishes = tmp_path / "keys.toml"
    wishes.write_text("next-slice = [", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be read"):
        load_table(wishes)


def test_without_a_file_the_table_stands(tmp_path):
    assert load_table(tmp_path / "keys.toml") is TABLE

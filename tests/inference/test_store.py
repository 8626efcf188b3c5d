"""The store: which model is in use, changed atomically, and back in one step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.inference.package import ModelPackage
from medviewer.inference.runners import RUNNERS
from medviewer.inference.store import ModelStore

Make = Callable[..., ModelPackage]
TASK = "blob-segment"


@pytest.fixture
def store(make_package: Make, tmp_path: Path) -> ModelStore:
    make_package(tmp_path / "shipped", "1")
    make_package(tmp_path / "own", "2", shift=0.1)
    return ModelStore(tmp_path / "shipped", tmp_path / "own")


def test_the_highest_shipped_version_is_in_use_at_first(store: ModelStore, make_package: Make) -> None:
    assert store.champion(TASK).card.version == "1"
    make_package(store.shipped, "10", shift=0.2)
    make_package(store.shipped, "9", shift=0.3)
    assert store.champion(TASK).card.version == "10"


def test_promote_and_rollback(store: ModelStore) -> None:
    promoted = store.promote(TASK, "2", reason="better", gate_report="ab")
    assert store.champion(TASK).id == promoted.id
    assert ModelStore(store.shipped, store.own).champion(TASK).card.version == "2"
    assert [entry.champion for entry in store.entries(TASK)] == [False, True]
    store.rollback(TASK)
    assert store.champion(TASK).card.version == "1"
    with pytest.raises(BadInput, match="no earlier"):
        store.rollback(TASK)
    lines = (store.own / TASK / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["version"] for line in lines] == ["2", "1"]


def test_promoting_the_model_in_use_keeps_the_way_back(store: ModelStore) -> None:
    store.promote(TASK, "2")
    store.promote(TASK, "2")
    assert store.rollback(TASK).card.version == "1"


def test_by_the_start_of_the_id(store: ModelStore) -> None:
    package = store.get(TASK, "2")
    assert store.get(TASK, package.short_id).card.version == "2"
    with pytest.raises(BadInput, match="no version"):
        store.get(TASK, "3")


def test_unknown_task(store: ModelStore) -> None:
    for call in (store.champion, store.get, store.rollback, store.verify):
        with pytest.raises(BadInput, match="known tasks: blob-segment"):
            call("brain-segment")


def test_a_damaged_model_is_listed_with_its_fault_and_never_promoted(store: ModelStore) -> None:
    path = store.get(TASK, "2").weights[0]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    fault = next(entry.fault for entry in store.entries(TASK) if entry.version == "2")
    assert fault is not None and "does not match its manifest" in fault
    with pytest.raises(Refused, match="does not match its manifest"):
        store.promote(TASK, "2")
    assert store.champion(TASK).card.version == "1"


def test_files_exchanged_after_the_promotion_are_noticed(store: ModelStore, make_package: Make) -> None:
    import shutil

    store.promote(TASK, "2")
    shutil.rmtree(store.own / TASK / "2")
    make_package(store.own, "2", shift=0.5)
    with pytest.raises(Refused, match="not the model that was promoted"):
        store.champion(TASK)
    assert store.rollback(TASK).card.version == "1"


def test_a_full_disk_leaves_the_champion(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveFailed, match="No space left"):
        store.promote(TASK, "2")
    monkeypatch.undo()
    assert store.champion(TASK).card.version == "1"
    assert not list((store.own / TASK).glob("*.tmp"))


def test_add_copies_after_all_checks(store: ModelStore, make_package: Make, tmp_path: Path) -> None:
    other = make_package(tmp_path / "elsewhere", "3", shift=0.7)
    added = store.add(other.folder)
    assert added.folder == store.own / TASK / "3" and added.id == other.id
    assert store.champion(TASK).card.version == "1"
    with pytest.raises(Refused, match="has a version 3 already"):
        store.add(other.folder)
    with pytest.raises(BadInput):
        store.add(tmp_path)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"kind": "lump-segment"}, "its kind is lump-segment"),
        ({"input": {"modalities": ["CT"], "prompt": "optional"}}, "its modalities is CT"),
        ({"input": {"modalities": ["MR"], "prompt": "required"}}, "its prompt is required"),
        ({"output": {"labels": ["far", "near"]}}, "its labels is far, near"),
    ],
)
def test_a_card_that_lies_about_its_task_is_refused(
    store: ModelStore,
    make_package: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    card: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.setitem(RUNNERS, "lump-segment", "medviewer.inference.segment_volume")
    other = make_package(tmp_path / "elsewhere", "3", card=card)
    with pytest.raises(Refused, match=words):
        store.add(other.folder)
    assert not (store.own / TASK / "3").exists()
    make_package(store.own, "3", card=card)
    with pytest.raises(Refused, match=words):
        store.promote(TASK, "3")
    assert store.champion(TASK).card.version == "1"


def test_the_first_package_of_a_new_task_is_added(store: ModelStore, make_package: Make, tmp_path: Path) -> None:
    other = make_package(tmp_path / "elsewhere", card={"task": "drop-segment", "output": {"labels": ["a", "b"]}})
    assert store.add(other.folder).card.task == "drop-segment"
    assert store.champion("drop-segment").id == other.id


DAMAGED = ["", "{", "[]", '{"version": 3}', '{"version": "1", "previous": "2"}', '{"version": "1", "previous": [{}]}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_pointer_is_a_fault_with_a_remedy_and_promote_writes_it_anew(store: ModelStore, text: str) -> None:
    store.promote(TASK, "2")
    pointer = store.own / TASK / "champion.json"
    pointer.write_text(text)
    with pytest.raises(Refused, match=f"models promote {TASK} 2"):
        store.champion(TASK)
    assert all("cannot be read" in (entry.fault or "") for entry in store.entries(TASK))
    assert store.champion(TASK, restored=True).card.version == "2"
    assert store.needs_no_gate(store.get(TASK, "2"))
    store.promote(TASK, "2")
    assert store.champion(TASK).card.version == "2"
    assert store.rollback(TASK).card.version == "1"


def test_rollback_with_a_damaged_pointer_goes_by_the_history(store: ModelStore, make_package: Make) -> None:
    make_package(store.own, "3", shift=0.2)
    pointer = store.own / TASK / "champion.json"
    for version in "232":
        store.promote(TASK, version)
    store.rollback(TASK)
    pointer.write_text("{")
    assert store.rollback(TASK).card.version == "2"
    with (store.own / TASK / "history.jsonl").open("a") as history:
        history.write("half a li")
    pointer.write_bytes(b"\xff")
    assert store.rollback(TASK).card.version == "1"


def test_rollback_with_a_damaged_pointer_and_no_history_leads_to_the_shipped_version(store: ModelStore) -> None:
    (store.own / TASK / "champion.json").write_text("{")
    assert not store.needs_no_gate(store.get(TASK, "2"))
    assert store.rollback(TASK).card.version == "1"
    assert store.champion(TASK).card.version == "1"


def test_a_card_of_another_task_in_the_folder(store: ModelStore) -> None:
    (store.own / TASK / "2").rename(store.own / TASK / "4")
    with pytest.raises(Refused, match="the card in this folder"):
        store.get(TASK, "4")
    (store.own / TASK / "5").symlink_to(store.shipped / TASK / "1")
    with pytest.raises(Refused, match="link"):
        store.get(TASK, "5")


def test_verify_runs_the_golden_case(store: ModelStore) -> None:
    assert store.verify(TASK).card.version == "1"

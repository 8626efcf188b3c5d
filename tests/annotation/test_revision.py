"""A revision is there whole or not at all, says where it comes from, and never changes."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from medviewer.annotation.revision import (
    EditSize,
    ImageReference,
    RevisionStore,
    SuggestionSource,
    Verdict,
    Work,
    edit_size,
    pixel_sha256,
    verdict_of,
)
from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

GRID = Grid((4, 6, 8), (2.5, 0.71, 0.7), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-1.1, 2.2, 3.3))
IMAGE = ImageReference("stack-1", "1.2", "1.2.3", "1.2.4", ("1.2.3.1", "1.2.3.2"), "ab" * 32)


def _drawn() -> Segmentation:
    labels = np.zeros(GRID.size_kji, dtype=np.uint8)
    labels[1:3, 2:4, 3:6] = 1
    labels[2, 5, 7] = 2
    source = Provenance("lung-nodule-segment", "abcdef", "1.0", "cpu", edited=True)
    segments = [Segment.named(1, "结节 1", provenance=source), Segment.named(2, "Nodule 2")]
    return Segmentation.from_labelmap(GRID, labels, segments, "stack-1")


def _work(**other: object) -> Work:
    known = {
        "author": "张 Wei",
        "verdict": Verdict.CORRECTED,
        "tool_minutes": 1.25,
        "tools": ("brush stroke", "undo"),
        "suggestion": SuggestionSource("lung-nodule-segment", "abcdef", "cpu"),
        "edit": EditSize(3, 5, 0.875),
    }
    return Work(**{**known, **other})  # type: ignore[arg-type]


def test_a_revision_comes_back_with_voxels_and_provenance(tmp_path: Path) -> None:
    store = RevisionStore(tmp_path)
    drawn = _drawn()
    revision = store.store(drawn, IMAGE, _work())
    again = RevisionStore(tmp_path)
    assert again.get(revision.id) == revision
    loaded = again.load(revision.id)
    assert np.array_equal(loaded.labelmap, drawn.labelmap)
    assert dict(loaded.segments) == dict(drawn.segments)
    assert loaded.grid == GRID and loaded.stack_id == "stack-1"
    assert not revision.is_weak and store.get(revision.id).work == _work()


def test_revisions_follow_each_other_and_the_first_stays_as_it_was(tmp_path: Path) -> None:
    store = RevisionStore(tmp_path)
    first = store.store(_drawn(), IMAGE, _work())
    before = {p: p.read_bytes() for p in (tmp_path / first.id).iterdir()}
    second = store.store(_drawn(), IMAGE, _work(parent=first.id, verdict=Verdict.UNTOUCHED))
    other = store.store(_drawn(), ImageReference("stack-2"), _work())
    assert store.ids() == sorted([first.id, second.id, other.id], reverse=True)
    assert store.latest("stack-1") == second and second.is_weak
    assert store.latest("stack-9") is None
    assert [r.id for r in store.revisions("stack-1")] == [second.id, first.id]
    assert {p: p.read_bytes() for p in (tmp_path / first.id).iterdir()} == before
    assert all(p.stat().st_mode & 0o222 == 0 for p in before)


def test_an_empty_revision_tells_of_a_rejected_suggestion(tmp_path: Path) -> None:
    store = RevisionStore(tmp_path)
    revision = store.store(Segmentation(GRID, "stack-1"), IMAGE, _work(verdict=Verdict.REJECTED))
    assert store.load(revision.id).is_empty


@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_full_disk_leaves_no_half_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: int) -> None:
    store = RevisionStore(tmp_path)
    kept = store.store(_drawn(), IMAGE, _work())
    calls = 0
    real = os.fsync

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > when:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SaveFailed, match="still open"):
            store.store(_drawn(), IMAGE, _work())
    assert RevisionStore(tmp_path).ids() == [kept.id]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_revision_that_was_not_recorded_is_found_and_recorded(tmp_path: Path) -> None:
    store = RevisionStore(tmp_path)
    revision = store.store(_drawn(), IMAGE, _work())
    (tmp_path / "revisions.jsonl").write_text('{"id": "torn')
    (tmp_path / ".half.tmp").mkdir()
    assert store.ids() == [revision.id]
    assert revision.id in (tmp_path / "revisions.jsonl").read_text()


def test_damage_and_unknown_names_are_told(tmp_path: Path) -> None:
    store = RevisionStore(tmp_path)
    for name in ("absent", "", "../x", ".hidden"):
        with pytest.raises(BadInput, match="no revision"):
            store.get(name)
    revision = store.store(_drawn(), IMAGE, _work())
    mask = tmp_path / revision.id / "mask.bin"
    mask.chmod(0o600)
    whole = mask.read_bytes()
    mask.write_bytes(whole[:-4])
    with pytest.raises(BadInput, match="damaged"):
        store.load(revision.id)
    head = tmp_path / revision.id / "revision.json"
    head.chmod(0o600)
    newer = json.loads(head.read_text())
    newer["version"] = 99
    head.write_text(json.dumps(newer))
    with pytest.raises(Refused, match="newer"):
        store.get(revision.id)


def test_the_size_of_an_edit_and_the_verdict_that_it_tells() -> None:
    before, after = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    before[0, :2], after[0, 1:] = 1, 1
    edit = edit_size(before, after)
    assert edit == EditSize(4, 4, 0.5)
    assert verdict_of(edit, is_empty=False) is Verdict.CORRECTED
    assert verdict_of(edit_size(before, before), is_empty=False) is Verdict.UNTOUCHED
    assert verdict_of(edit_size(before, before * 0), is_empty=True) is Verdict.REJECTED
    assert verdict_of(None, is_empty=False) is Verdict.FROM_SCRATCH
    assert edit_size(before * 0, before * 0).dice == 1.0


def test_the_pixel_hash_is_that_of_the_stored_values() -> None:
    voxels = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    assert pixel_sha256(Volume(voxels, None)) == hashlib.sha256(voxels.astype("<i2").tobytes()).hexdigest()

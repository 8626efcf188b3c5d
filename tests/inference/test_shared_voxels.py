"""Voxels that two processes see: the same values either way, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medviewer import places
from medviewer.inference import shared_voxels
from medviewer.inference.shared_voxels import Shelf, attach
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume


def volume(seed: int = 0) -> Volume:
    voxels = np.random.default_rng(seed).integers(-1000, 3000, (5, 6, 7)).astype(np.int16)
    return Volume(voxels, Grid.plain((5, 6, 7)), slope=2.0, modality="CT", padding=(-1000, -900), stack_id="s")


@pytest.mark.parametrize("room", [True, False])
def test_the_volume_comes_back_the_same(monkeypatch: pytest.MonkeyPatch, room: bool) -> None:
    monkeypatch.setattr(shared_voxels, "_shared_memory_holds", lambda needed: room)
    gone: list[str] = []
    shelf, original = Shelf(gone.append), volume()
    shared = shelf.put(original)
    assert shared.is_file is not room
    attached = attach(shared)
    back = attached.volume
    assert np.array_equal(back.voxels, original.voxels) and back.voxels.dtype == original.voxels.dtype
    assert (back.slope, back.padding, back.grid) == (2.0, (-1000, -900), original.grid)
    with pytest.raises(ValueError, match="read-only"):
        back.voxels[0, 0, 0] = 1
    del back
    attached.close()
    shelf.clear()
    assert gone == [shared.name]
    assert not list(places.cache_folder().glob("voxels-*")) and not Path("/dev/shm", shared.name).exists()


def test_one_copy_a_volume_and_few_volumes() -> None:
    gone: list[str] = []
    shelf = Shelf(gone.append)
    kept = [volume(n) for n in range(5)]
    names = [shelf.put(one).name for one in kept]
    assert shelf.put(kept[-1]).name == names[-1]
    assert len(shelf) == 2 and gone == names[:3]
    shelf.put(volume(9), in_use={names[-1], names[-2]})
    assert names[-1] not in gone and names[-2] not in gone
    shelf.clear()


def test_another_array_of_the_same_stack_is_copied_anew() -> None:
    shelf = Shelf(lambda _: None)
    first = shelf.put(volume(1)).name
    assert shelf.put(volume(2)).name != first
    shelf.clear()

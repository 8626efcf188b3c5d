"""Surfaces have the right volume, lie at the right place and point outwards."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from medviewer.errors import BadInput
from medviewer.formats.mesh import signed_volume, surface, write_stl
from tests.formats.test_nifti import grid_of

pytest.importorskip("skimage", reason="surfaces need scikit-image")


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_balls_surface(mirrored: bool) -> None:
    grid = grid_of((0.5, -0.3, 0.2), (12, 40, 60), mirrored=mirrored)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size_kji), indexing="ij"), axis=-1)
    centre = grid.index_to_lps((5.5, 20, 30))
    mask = np.linalg.norm(grid.index_to_lps(index) - centre, axis=-1) < 11
    points, triangles = surface(mask, grid)
    assert signed_volume(points, triangles) == pytest.approx(mask.sum() * grid.voxel_volume_mm3, rel=0.05)
    assert np.allclose(points.mean(axis=0), centre, atol=0.6)


def test_a_mask_at_the_border_is_closed() -> None:
    grid = grid_of((0, 0, 0), (3, 3, 3))
    points, triangles = surface(np.ones((3, 3, 3), bool), grid)
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    assert np.all(np.unique(edges, axis=0, return_counts=True)[1] == 2)
    assert signed_volume(points, triangles) > 0


def test_the_file_says_its_frame_and_holds_all_triangles(tmp_path: Path) -> None:
    grid = grid_of((0, 0, 0), (3, 3, 3))
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, 1] = True
    write_stl(tmp_path / "x.stl", mask, grid)
    data = (tmp_path / "x.stl").read_bytes()
    (count,) = struct.unpack_from("<I", data, 80)
    assert b"SPACE=LPS" in data[:80] and len(data) == 84 + 50 * count and count == 8


def test_an_empty_mask_has_no_surface(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="empty"):
        write_stl(tmp_path / "x.stl", np.zeros((3, 3, 3)), grid_of((0, 0, 0), (3, 3, 3)))

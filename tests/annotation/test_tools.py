"""What the pen covers, measured against brute force in millimetres; and that nobody leaves gaps."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import AddSegment, Paint
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.annotation.tools.brush import brush, paint_patch
from medviewer.annotation.tools.eraser import erase
from medviewer.annotation.tools.fill import fill_patch
from medviewer.annotation.tools.polygon import polygon_mask, polygon_patch
from medviewer.annotation.tools.stroke import Patch, next_size, stroke_patch, within_values
from medviewer.errors import Refused
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneName, acquired_plane, plane_axes
from medviewer.volume.volume import Volume

NAMES = list(PlaneName)


def _oblique(size: tuple[int, int, int], spacing: tuple[float, float, float], angle: float, tilt: float = 0.0) -> Grid:
    c, s = np.cos(angle), np.sin(angle)
    i, j = np.array([c, s, 0.0]), np.array([-s, c, 0.0])
    k = np.array([0.0, np.sin(tilt), np.cos(tilt)])
    return Grid(size, spacing, (*i.tolist(), *j.tolist(), *k.tolist()), (-7.0, 11.0, 130.0))


def _full(patch: Patch | None, size: tuple[int, int, int]) -> np.ndarray:
    whole = np.zeros(size, dtype=bool)
    if patch is not None:
        whole[patch.box.slices] = patch.mask
    return whole


def _brute_force(grid: Grid, a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Distance in mm of every voxel centre (LPS) from the line between two indices."""
    index = np.moveaxis(np.indices(grid.size_kji), 0, -1).astype(float)
    points, start, end = grid.index_to_lps(index), grid.index_to_lps(a), grid.index_to_lps(b)
    way = end - start
    length = float(way @ way)
    share = np.clip(((points - start) @ way) / length, 0, 1) if length else np.zeros(points.shape[:3])
    return np.linalg.norm(points - start - share[..., None] * way, axis=-1) - radius


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.floats(0.4, 5.0)] * 3),
    st.floats(-0.7, 0.7),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from(NAMES),
    st.booleans(),
    st.tuples(*[st.floats(-6, 26)] * 4),
    st.floats(0.5, 12.0),
)
def test_the_pen_covers_what_is_near_its_way_in_millimetres(
    spacing: tuple[float, float, float],
    angle: float,
    tilt: float,
    name: PlaneName,
    ball: bool,
    ends: tuple[float, float, float, float],
    diameter: float,
) -> None:
    grid = _oblique((9, 18, 20), spacing, angle, tilt)
    axes = plane_axes(grid, name)
    position = grid.size_kji[axes.through] // 2
    patch = stroke_patch(grid, axes, position, ends[:2], ends[2:], diameter, ball=ball)
    a = axes.to_index(grid.size_kji, position, *ends[:2])
    b = axes.to_index(grid.size_kji, position, *ends[2:])
    outside_by = _brute_force(grid, a, b, diameter / 2)
    if not ball:
        in_cut = np.zeros(grid.size_kji, dtype=bool)
        where: list[slice | int] = [slice(None)] * 3
        where[axes.through] = position
        in_cut[tuple(where)] = True
        outside_by[~in_cut] = np.inf
    got = _full(patch, grid.size_kji)
    line = np.rint(a + np.linspace(0, 1, 400)[:, None] * (b - a)).astype(int)
    passed = {tuple(p) for p in line.tolist()}
    assert got[outside_by < -1e-3].all()
    extra = np.argwhere(got & (outside_by > 1e-3))
    half_diagonal = 1.0
    for voxel in extra.tolist():  # only voxels that the pen's own centre passed through
        assert tuple(voxel) in passed or np.min(np.linalg.norm(line - np.asarray(voxel), axis=1)) <= half_diagonal


def test_a_fast_hand_leaves_no_gap_however_small_the_pen() -> None:
    from scipy import ndimage

    grid = Grid.plain((1, 200, 200), (1.0, 0.5, 0.5))
    segmentation = Segmentation(grid)
    editor = Editor(segmentation)
    editor.do(AddSegment(Segment.named(1, "nodule")))
    random = np.random.default_rng(1)
    for diameter in (0.05, 0.5, 3.0):
        editor.begin("brush stroke")
        events = [tuple(p) for p in random.uniform(0, 199, (12, 2)).tolist()]
        for before, now in pairwise(events):
            piece = brush(segmentation, 1, acquired_plane(), 0, before, now, diameter)
            assert piece is not None
            editor.do(piece)
        editor.finish()
        assert ndimage.label(segmentation.labelmap[0], np.ones((3, 3)))[1] == 1
        editor.undo()


def test_the_area_of_a_dab_is_that_of_its_circle() -> None:
    grid = Grid.plain((1, 400, 400), (1.0, 0.5, 0.25))
    patch = stroke_patch(grid, acquired_plane(), 0, (200.3, 200.1), (200.3, 200.1), 20.0)
    assert patch is not None
    assert patch.mask.sum() * 0.125 == pytest.approx(np.pi * 100, rel=0.01)
    ball = stroke_patch(
        Grid.plain((60, 60, 60), (0.8, 0.5, 0.5)), acquired_plane(), 30, (30, 30), (30, 30), 15.0, ball=True
    )
    assert ball is not None
    assert ball.mask.sum() * 0.2 == pytest.approx(np.pi / 6 * 15**3, rel=0.02)


def test_a_pen_outside_the_picture_covers_nothing() -> None:
    grid = Grid.plain((3, 10, 10))
    assert stroke_patch(grid, acquired_plane(), 1, (-50, -50), (-40, -40), 5.0) is None
    assert stroke_patch(grid, acquired_plane(), 7, (5, 5), (5, 5), 2.0) is None
    assert stroke_patch(grid, acquired_plane(), 1, (np.nan, 5), (5, 5), 2.0) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_the_screen_shows_is_where_the_hand_was(name: PlaneName) -> None:
    grid = Grid((6, 8, 10), (2.0, 1.0, 1.0), (-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (0.0, 0.0, 0.0))
    axes = plane_axes(grid, name)
    segmentation = Segmentation(grid)
    AddSegment(Segment.named(1, "nodule")).apply(segmentation)
    patch = stroke_patch(grid, axes, 2, (1, 2), (1, 2), 0.5)
    assert patch is not None
    paint_patch(1, patch).apply(segmentation)
    picture = axes.cut(segmentation.labelmap, 2)
    assert np.argwhere(picture).tolist() == [[1, 2]]
    shown = patch.in_picture(axes, grid.size_kji, 2)
    assert shown is not None
    assert (np.argwhere(shown[1]) + shown[0]).tolist() == [[1, 2]]
    assert patch.in_picture(axes, grid.size_kji, 3) is None
    outline = polygon_patch(grid.size_kji, axes, 3, [(0.5, 0.5), (0.5, 3.5), (4.5, 3.5), (4.5, 0.5)])
    assert outline is not None
    paint_patch(1, outline).apply(segmentation)
    drawn = np.argwhere(axes.cut(segmentation.labelmap, 3))
    assert drawn.min(axis=0).tolist() == [1, 1] and drawn.max(axis=0).tolist() == [4, 3] and len(drawn) == 12


def test_the_eraser_takes_only_its_own_segment() -> None:
    segmentation = Segmentation(Grid.plain((1, 10, 10)))
    for number in (1, 2):
        AddSegment(Segment.named(number, "x")).apply(segmentation)
        Paint.of_mask("p", (0, 0, 5 * number - 5), np.ones((1, 10, 5), dtype=bool), number).apply(segmentation)
    piece = erase(segmentation, 1, acquired_plane(), 0, (5, 4.5), (5, 4.5), 4.0)
    assert piece is not None and piece.name == "eraser stroke"
    piece.apply(segmentation)
    assert segmentation.voxels(1) < 50 and segmentation.voxels(2) == 50
    everything = erase(segmentation, None, acquired_plane(), 0, (5, 4.5), (5, 4.5), 4.0)
    assert everything is not None
    everything.apply(segmentation)
    assert segmentation.voxels(2) < 50


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=9))
def test_a_polygon_holds_the_centres_inside_it_by_the_even_odd_rule(corners: list[tuple[float, float]]) -> None:
    mask = polygon_mask(corners, 20, 20)
    for row in range(20):
        for column in range(20):
            inside = False
            for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
                (y0, x0), (y1, x1) = sorted((start, end))
                if (y0 <= row) != (y1 <= row) and column >= x0 + (row - y0) * (x1 - x0) / (y1 - y0):
                    inside = not inside
            assert mask[row, column] == inside


@settings(max_examples=60, deadline=None)
@example(y=2.0, x=2.0, angle=1.53515625)
@given(st.floats(2, 17), st.floats(2, 17), st.floats(0, 6.28))
def test_two_polygons_with_a_common_edge_share_no_pixel_and_leave_none_out(y: float, x: float, angle: float) -> None:
    far = 100.0
    a = (y + far * np.sin(angle), x + far * np.cos(angle))
    b = (y - far * np.sin(angle), x - far * np.cos(angle))
    side = (far * np.cos(angle), -far * np.sin(angle))
    one = polygon_mask([a, b, (b[0] + side[0], b[1] + side[1]), (a[0] + side[0], a[1] + side[1])], 20, 20)
    other = polygon_mask([b, a, (a[0] - side[0], a[1] - side[1]), (b[0] - side[0], b[1] - side[1])], 20, 20)
    assert not (one & other).any()
    assert (one | other).all()


def test_a_polygon_without_a_centre_inside_is_nothing() -> None:
    size = (3, 10, 10)
    assert polygon_patch(size, acquired_plane(), 0, [(1.1, 1.1), (1.1, 1.4), (1.4, 1.2)]) is None
    assert polygon_patch(size, acquired_plane(), 0, [(1, 1), (2, 2)]) is None
    assert polygon_patch(size, acquired_plane(), 9, [(0, 0), (0, 9), (9, 9)]) is None
    assert polygon_patch(size, acquired_plane(), 0, [(-9, -9), (-9, -3), (-3, -3)]) is None


def test_fill_takes_the_closed_area_and_refuses_an_open_one() -> None:
    segmentation = Segmentation(Grid.plain((3, 20, 20)))
    AddSegment(Segment.named(1, "nodule")).apply(segmentation)
    ring = np.zeros((1, 8, 8), dtype=bool)
    ring[0, [0, -1], :] = ring[0, :, [0, -1]] = True
    Paint.of_mask("p", (1, 4, 5), ring, 1).apply(segmentation)
    patch = fill_patch(segmentation, acquired_plane(), 1, (7.2, 8.4))
    assert patch is not None and patch.mask.sum() == 36
    paint_patch(1, patch, name="fill").apply(segmentation)
    assert segmentation.voxels(1) == 64
    with pytest.raises(Refused, match="open"):
        fill_patch(segmentation, acquired_plane(), 1, (0, 0))
    assert fill_patch(segmentation, acquired_plane(), 1, (50, 0)) is None
    assert fill_patch(segmentation, acquired_plane(), 8, (5, 5)) is None


def test_the_threshold_brush_keeps_values_in_range() -> None:
    voxels = np.arange(100, dtype=np.int16).reshape(1, 10, 10)
    volume = Volume(voxels, Grid.plain((1, 10, 10)), slope=1.0, intercept=-1000.0)
    patch = Patch((0, 0, 0), np.ones((1, 10, 10), dtype=bool))
    kept = within_values(patch, volume, -990, -981)
    assert kept is not None and kept.mask.sum() == 10 and kept.mask[0, 1].all()
    assert within_values(patch, volume, 500, 600) is None


def test_pen_sizes_step_through_their_list() -> None:
    assert next_size(8.0, 1) == 12.0
    assert next_size(8.0, -1) == 5.0
    assert next_size(0.5, -3) == 0.5
    assert next_size(100.0, 1) == 100.0


def test_a_brush_step_does_not_depend_on_the_size_of_the_volume() -> None:
    """A 20 mm brush on a 512 x 512 slice: the median of 100 steps, doing included, stays below 5 ms."""
    for slices in (4, 400):
        grid = Grid.plain((slices, 512, 512), (1.25, 0.7, 0.7))
        segmentation = Segmentation(grid)
        editor = Editor(segmentation)
        editor.do(AddSegment(Segment.named(1, "nodule")))
        times = []
        for n in range(100):
            began = time.perf_counter()
            piece = brush(segmentation, 1, acquired_plane(), 2, (100 + 3 * n, 200), (103 + 3 * n, 204), 20.0)
            assert piece is not None
            editor.do(piece)
            times.append(time.perf_counter() - began)
        assert np.median(times) < 0.005

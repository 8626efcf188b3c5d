"""Real events in a real view: wheel, drags, clicks, zoom, and the pixels that come out."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from reading import AXIAL, CORONAL, SAGITTAL, Bench, a_volume, wheel

from medviewer.annotation.editor import Editor
from medviewer.annotation.operations import Paint
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.desktop.presets import drag_gain
from medviewer.desktop.viewport.placing import Placing
from medviewer.inference.suggestion import SegmentMask, Suggestion
from medviewer.volume.window import GreyMapper, Window

LEFT, RIGHT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton
SHIFT, CONTROL, ALT = (
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)


def drag(view, start, end, button=LEFT, held=Qt.KeyboardModifier.NoModifier) -> None:
    QTest.mousePress(view, button, held, QPoint(*start))
    QTest.mouseMove(view, QPoint(*end))
    QTest.mouseRelease(view, button, held, QPoint(*end))
    QApplication.processEvents()


def plain(view) -> None:
    """Nothing but the picture."""
    view.show_text = view.show_crosshair = False
    view.is_active = False
    view.set_active(False)


def grey_of(view) -> np.ndarray:
    image = view.grab().toImage()
    ratio = image.devicePixelRatio()
    assert ratio == 1.0
    pixels = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    assert np.array_equal(pixels[..., 0], pixels[..., 2]), "a grey picture has no colour"
    return pixels[:, : image.width(), 1].copy()


@pytest.mark.parametrize("direction", [AXIAL, CORONAL, SAGITTAL])
def test_pixels_on_the_screen_are_the_mapper_s(qtbot, direction):
    volume = a_volume(direction)
    bench = Bench(qtbot, volume)
    for view in bench.grid.views:
        plain(view)
        rows, columns = view.axes.picture_size(volume.size_kji)
        view.resize(columns, rows)
        row_mm, column_mm = view.pixel_mm
        if row_mm != column_mm:
            continue  # pixels that are not square are stretched: compared below
        view.set_placing(Placing.fitted((rows, columns), (row_mm, column_mm), (columns, rows)))
        wanted = GreyMapper(volume, bench.session.window).grey(view.axes.cut(volume.voxels, view.position))
        assert np.array_equal(grey_of(view), wanted)


def test_voxels_keep_their_true_proportions(qtbot):
    volume = a_volume(spacing=(3.0, 1.0, 1.0))
    bench = Bench(qtbot, volume)
    coronal = bench.grid.views[1]
    width, height = coronal.placing.rectangle()[2:]
    assert width / height == pytest.approx(128 * 1.0 / (20 * 3.0))
    plain(coronal)
    coronal.smooth = False
    coronal.resize(128 * 3, 20 * 9)
    picture = grey_of(coronal)
    wanted = GreyMapper(volume, bench.session.window).grey(coronal.axes.cut(volume.voxels, coronal.position))
    assert np.array_equal(picture[4::9, 1::3], wanted)


def test_a_slice_far_down_is_next_and_up_is_before(qtbot):
    bench = Bench(qtbot, a_volume())
    start = bench.view.position
    wheel(bench.view, -1)
    assert bench.view.position == start + 1
    wheel(bench.view, 2)
    assert bench.view.position == start - 1
    wheel(bench.view, -1, SHIFT)
    assert bench.view.position == min(19, start + 9)
    for _ in range(50):
        wheel(bench.view, -1)
    assert bench.view.position == 19


def test_half_detents_of_a_fine_wheel_add_up(qtbot):
    bench = Bench(qtbot, a_volume())
    start = bench.view.position
    for n in range(4):
        event = QWheelEvent(
            QPointF(50, 50), QPointF(50, 50), QPoint(), QPoint(0, -60), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(bench.view, event)
        assert bench.view.position == start + (n + 1) // 2


def test_left_drag_widens_to_the_right_and_raises_the_level_upwards(qtbot):
    volume = a_volume()
    bench = Bench(qtbot, volume)
    gain = drag_gain(volume)
    drag(bench.view, (100, 200), (150, 170))
    window = bench.session.window
    assert window.width == pytest.approx(1500 + 50 * gain)
    assert window.level == pytest.approx(-600 + 30 * gain)


def test_drag_is_fast_with_shift_and_fine_with_control(qtbot):
    volume = a_volume()
    gain = drag_gain(volume)
    for held, factor in ((SHIFT, 4.0), (CONTROL, 0.25)):
        bench = Bench(qtbot, volume)
        QTest.mousePress(bench.view, LEFT, held, QPoint(100, 200))
        where = QPointF(120, 200)
        event = QMouseEvent(
            QEvent.Type.MouseMove, where, bench.view.mapToGlobal(where), Qt.MouseButton.NoButton, LEFT, held
        )
        QApplication.sendEvent(bench.view, event)
        QTest.mouseRelease(bench.view, LEFT, held, QPoint(120, 200))
        assert bench.session.window.width == pytest.approx(1500 + 20 * gain * factor)


def test_escape_in_a_drag_puts_the_window_back(qtbot):
    bench = Bench(qtbot, a_volume())
    QTest.mousePress(bench.view, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(100, 200))
    QTest.mouseMove(bench.view, QPoint(180, 260))
    assert bench.session.window != Window(1500.0, -600.0)
    assert bench.view.close_story()
    assert bench.session.window == Window(1500.0, -600.0)


def test_a_click_moves_the_crosshair_in_all_views(qtbot):
    volume = a_volume()
    bench = Bench(qtbot, volume)
    axial, coronal, sagittal = bench.grid.views
    x, y = axial.placing.to_screen(10, 40)
    QTest.mouseClick(axial, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(round(x), round(y)))
    assert np.allclose(bench.session.crosshair_kji, (10, 10, 40), atol=0.2)
    assert coronal.position == 10
    assert sagittal.position == 40
    centre = coronal.screen_of(bench.session.crosshair_kji)
    _, column = coronal.placing.to_picture(centre.x(), centre.y())
    assert column == pytest.approx(40, abs=0.2)
    x, y = coronal.placing.to_screen(3, 20)
    QTest.mouseClick(coronal, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(round(x), round(y)))
    assert axial.position == 16, "heads up: row 3 of the coronal picture is the fourth slice from the top"
    assert sagittal.position == 20


def test_a_click_s_place_is_right_in_the_patient(qtbot):
    for direction in (AXIAL, CORONAL, SAGITTAL):
        volume = a_volume(direction)
        bench = Bench(qtbot, volume)
        for view in bench.grid.views:
            x, y = view.placing.to_screen(5, 7)
            QTest.mouseClick(view, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(round(x), round(y)))
            expected = volume.grid.index_to_lps(view.axes.to_index(volume.size_kji, view.position, 5, 7))
            assert np.linalg.norm(bench.session.crosshair_lps - expected) < 0.6


@pytest.mark.parametrize(
    ("direction", "large"),
    [(AXIAL, ("A", "L", "P", "R")), (CORONAL, ("H", "L", "F", "R")), (SAGITTAL, ("H", "P", "F", "A"))],
)
def test_orientation_letters_in_three_acquisition_planes(qtbot, direction, large):
    bench = Bench(qtbot, a_volume(direction))
    letters = {view.name.value: view.axes.edge_letters(bench.session.volume.grid) for view in bench.grid.views}
    assert bench.view.axes.through == 0, "the large view shows the acquired plane"
    assert bench.view.axes.edge_letters(bench.session.volume.grid) == large
    assert letters == {"axial": ("A", "L", "P", "R"), "coronal": ("H", "L", "F", "R"), "sagittal": ("H", "P", "F", "A")}


def test_a_bright_spot_on_the_patient_s_right_is_on_the_left_of_the_screen(qtbot):
    for direction in (AXIAL, CORONAL):
        volume = a_volume(direction)
        volume.voxels[:] = -1000
        spot = volume.grid.centre_lps + np.array([-15.0, 0.0, 0.0])  # x falls towards the patient's right
        k, j, i = np.rint(volume.grid.lps_to_index(spot)).astype(int)
        volume.voxels[k - 1 : k + 2, j - 2 : j + 3, i - 2 : i + 3] = 1000
        bench = Bench(qtbot, volume)
        plain(bench.view)
        bright = np.argwhere(grey_of(bench.view) > 200)
        assert len(bright)
        assert bright[:, 1].mean() < bench.view.width() / 2


def test_control_wheel_zooms_about_the_pointer(qtbot):
    bench = Bench(qtbot, a_volume())
    before = bench.view.placing.to_picture(120, 80)
    zoom = bench.view.placing.zoom
    wheel(bench.view, 1, CONTROL, QPointF(120, 80))
    assert bench.view.placing.zoom == pytest.approx(zoom * 1.15)
    assert bench.view.placing.to_picture(120, 80) == pytest.approx(before)


def test_middle_drag_pans_and_right_drag_zooms(qtbot):
    bench = Bench(qtbot, a_volume())
    before = bench.view.placing.to_screen(10, 10)
    drag(bench.view, (200, 200), (230, 190), MIDDLE)
    after = bench.view.placing.to_screen(10, 10)
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((30, -10))
    zoom, fixed = bench.view.placing.zoom, bench.view.placing.to_picture(200, 200)
    drag(bench.view, (200, 200), (200, 150), RIGHT)
    assert bench.view.placing.zoom > zoom
    assert bench.view.placing.to_picture(200, 200) == pytest.approx(fixed)


def test_a_right_click_that_does_not_move_asks_for_the_menu(qtbot):
    bench = Bench(qtbot, a_volume())
    with qtbot.waitSignal(bench.view.menu_wanted, timeout=1000):
        QTest.mouseClick(bench.view, RIGHT, Qt.KeyboardModifier.NoModifier, QPoint(60, 60))
    with qtbot.assertNotEmitted(bench.view.menu_wanted, wait=50):
        drag(bench.view, (60, 60), (60, 90), RIGHT)


def test_double_click_shows_one_view_alone_and_back(qtbot):
    bench = Bench(qtbot, a_volume())
    coronal = bench.grid.views[1]
    width = coronal.width()
    QTest.mouseDClick(coronal, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(50, 50))
    QApplication.processEvents()
    assert not bench.view.isVisible()
    assert coronal.width() > 2 * width
    QTest.mouseDClick(coronal, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(50, 50))
    QApplication.processEvents()
    assert bench.view.isVisible()


def test_inverting_turns_the_picture_but_not_the_padding(qtbot):
    volume = a_volume()
    volume.voxels[:, :5] = -2000
    from dataclasses import replace

    padded = replace(volume, padding=(-2000, -2000))
    bench = Bench(qtbot, padded)
    plain(bench.view)
    bench.view.resize(128, 96)
    before = grey_of(bench.view)
    bench.session.set_inverted(True)
    after = grey_of(bench.view)
    assert np.array_equal(after[5:], 255 - before[5:])
    assert not after[:5].any() and not before[:5].any()


def test_the_picture_is_made_once_for_what_lies_over_it(qtbot, monkeypatch):
    bench = Bench(qtbot, a_volume())
    made = []
    original = bench.grid.source.cut
    monkeypatch.setattr(bench.grid.source, "cut", lambda *a: made.append(a) or original(*a))
    bench.view.repaint()
    bench.session.set_overlay(opacity=0.5)
    QTest.mouseMove(bench.view, QPoint(99, 99))
    bench.view.repaint()
    assert not made, "hovering and overlays leave the grey picture alone"
    wheel(bench.view, -1)
    bench.view.repaint()
    assert len([a for a in made if a[0] is bench.view.axes]) == 1


def with_segment(bench: Bench) -> Editor:
    volume = bench.session.volume
    labels = np.zeros(volume.size_kji, dtype=np.uint8)
    labels[8:13, 10:20, 30:44] = 1
    segment = Segment(1, "nodule", (230, 159, 0))
    editor = Editor(Segmentation.from_labelmap(volume.grid, labels, [segment]))
    bench.session.set_editor(editor)
    return editor


def colours(view) -> np.ndarray:
    image = view.grab().toImage()
    pixels = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return pixels[:, : image.width(), :3].astype(int)


def is_coloured(picture: np.ndarray, row: float, column: float) -> bool:
    blue, _, red = picture[round(row), round(column)]
    return bool(red - blue > 20)


def test_segments_lie_over_the_picture_at_the_same_place_in_every_plane(qtbot):
    bench = Bench(qtbot, a_volume())
    with_segment(bench)
    bench.session.move_crosshair((10, 15, 36))
    for view in bench.grid.views:
        plain(view)
        picture = colours(view)
        inside = view.screen_of(np.array([10.0, 15.0, 36.0]))
        outside = view.screen_of(np.array([10.0, 40.0, 10.0]) if view is bench.view else np.array([3.0, 15.0, 36.0]))
        assert is_coloured(picture, inside.y(), inside.x())
        assert not is_coloured(picture, outside.y(), outside.x())


def test_an_edit_recolours_what_it_touched(qtbot):
    bench = Bench(qtbot, a_volume())
    editor = with_segment(bench)
    plain(bench.view)
    bench.view.repaint()
    editor.do(Paint.of_mask("brush", (10, 30, 5), np.ones((1, 6, 6), dtype=bool), 1))
    where = bench.view.screen_of(np.array([10.0, 33.0, 8.0]))
    assert is_coloured(colours(bench.view), where.y(), where.x())
    editor.undo()
    assert not is_coloured(colours(bench.view), where.y(), where.x())


def test_hidden_overlays_and_peeking(qtbot):
    bench = Bench(qtbot, a_volume())
    with_segment(bench)
    plain(bench.view)
    where = bench.view.screen_of(np.array([10.0, 15.0, 36.0]))
    assert is_coloured(colours(bench.view), where.y(), where.x())
    bench.session.set_overlay(visible=False)
    assert not is_coloured(colours(bench.view), where.y(), where.x())
    bench.session.set_overlay(visible=True)
    bench.session.set_hidden_segments(frozenset({1}))
    assert not is_coloured(colours(bench.view), where.y(), where.x())


def test_a_proposal_is_violet_and_only_in_its_slices(qtbot):
    bench = Bench(qtbot, a_volume())
    bench.session.volume.voxels[:] = -300
    mask = np.ones((3, 8, 8), dtype=np.uint8)
    segment = SegmentMask("nodule", (9, 20, 20), mask)
    bench.session.set_proposal(Suggestion("lung-nodule-segment", "m", "cpu", 0.1, segments=(segment,)))
    plain(bench.view)
    inside = bench.view.screen_of(np.array([10.0, 24.0, 24.0]))
    blue, green, red = colours(bench.view)[round(inside.y()), round(inside.x())]
    assert blue > green and red > green, "violet: more blue and red than green"
    bench.session.move_crosshair((15, 24, 24))
    blue, green, red = colours(bench.view)[round(inside.y()), round(inside.x())]
    assert blue == green == red


def test_slices_that_have_not_arrived_are_black_and_appear(qtbot):
    volume = a_volume()
    volume.voxels[:] = 1000
    loaded = volume.loaded
    loaded[:] = False
    loaded[10] = True
    bench = Bench(qtbot, volume)
    for view in bench.grid.views:
        plain(view)
    coronal = bench.grid.views[1]
    assert grey_of(bench.view).max() == 255
    lines = grey_of(coronal)[:, coronal.width() // 2]
    assert 0 < np.count_nonzero(lines) < len(lines) / 10
    bench.session.move_crosshair((3, 24, 32))
    assert grey_of(bench.view).max() == 0
    loaded[3] = True
    bench.session.slices_arrived(range(3, 4))
    assert grey_of(bench.view).max() == 255


def test_the_value_under_the_pointer_and_its_place_are_said(qtbot):
    from medviewer.desktop.viewport.corner_text import ViewState, view_lines

    volume = a_volume()
    bench = Bench(qtbot, volume)
    x, y = bench.view.placing.to_screen(12, 34)
    QTest.mouseMove(bench.view, QPoint(round(x), round(y)))
    assert bench.view.pointer_index() == (10, 12, 34)
    state = ViewState(bench.view.axes, 10, bench.session.window, 1.0, bench.view.pointer_index())
    lines = view_lines(None, volume, state)
    value = int(volume.voxels[10, 12, 34])
    assert f"{value} HU".replace("-", "−") in lines[1]
    assert "(4.0, −8.0, 120.0) mm" in lines[1]
    assert lines[0] == "W 1500  L −600   Lung"


def test_what_is_no_number_is_drawn_black(qtbot):
    volume = a_volume()
    values = volume.voxels.astype(np.float32)
    values[:, :4] = np.nan
    from dataclasses import replace

    bench = Bench(qtbot, replace(volume, voxels=values))
    plain(bench.view)
    bench.view.resize(128, 96)
    assert not grey_of(bench.view)[:4].any()


def test_a_question_to_a_model_takes_the_crosshair_along(qtbot):
    from medviewer.desktop.tool_protocol import ToolLook

    def ask(view, press):
        yield

    ask.look = ToolLook(colour_is_ai=True, annotates=False)
    bench = Bench(qtbot, a_volume(), {"suggest": ask})
    bench.session.set_tool("suggest")
    x, y = bench.view.placing.to_screen(20, 30)
    QTest.mouseClick(bench.view, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(round(x), round(y)))
    assert np.allclose(bench.session.crosshair_kji, (10, 20, 30), atol=0.2)


def test_a_side_view_stays_under_the_click_and_follows_a_crosshair_that_left_it(qtbot):
    bench = Bench(qtbot, a_volume(size=(10, 120, 300)))
    coronal = bench.grid.views[1]
    assert coronal.placing.rectangle()[2] > coronal.width(), "a strip is enlarged"
    before = coronal.placing
    QTest.mouseClick(coronal, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(20, coronal.height() // 2))
    assert coronal.placing == before
    for column in (0, 299):
        bench.session.move_crosshair((5, 60, column))
        where = coronal.screen_of(bench.session.crosshair_kji)
        assert 0 <= where.x() <= coronal.width()

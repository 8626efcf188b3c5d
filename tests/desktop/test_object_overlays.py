"""Segmentations, structures and doses over the images: opened from the list, shown, hidden, refused, edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from medviewer.cli.main import main
from medviewer.desktop.circle import build_right_column
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.overlays.laid import images_under, where_it_lies, words_at
from medviewer.desktop.overlays.objects import ObjectRow
from medviewer.desktop.panels.column import RightColumn
from medviewer.desktop.viewport.laid_layer import contour_paths
from medviewer.formats.scan import scan
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneName, plane_axes
from tests.formats.object_samples import write_dose, write_segmentation, write_structures
from tests.formats.test_seg import write_series

SIZE = (6, 40, 44)
GRID = Grid(SIZE, (2.5, 1.0, 1.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), (-20.0, 10.0, 400.0))
RED, BLUE = (200, 20, 20), (20, 60, 220)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT with an overlapping SEG, a fractional one, structures, a dose, and a SEG of somewhere else."""
    folder = tmp_path_factory.mktemp("study")
    write_series(folder / "ct", GRID)
    (stack,) = scan([folder / "ct"]).stacks()
    both = np.zeros((*SIZE, 2), dtype=np.uint8)
    both[2:5, 5:20, 5:20, 0] = 1
    both[2:5, 12:30, 12:30, 1] = 1
    write_segmentation(folder / "overlap.dcm", stack, both, "BINARY", 2)
    share = np.zeros(SIZE, dtype=np.float32)
    share[3, 8:12, 8:12], share[3, 12:16, 8:12] = 0.25, 0.8
    write_segmentation(folder / "fraction.dcm", stack, share, "FRACTIONAL", 1)
    square = GRID.index_to_lps([[3, 10, 10], [3, 10, 30], [3, 30, 30], [3, 30, 10]])
    write_structures(
        folder / "rt.dcm", stack, [("Liver", [("CLOSED_PLANAR", square)]), ("PTV", [("CLOSED_PLANAR", square + 3)])],
        colours=[RED, BLUE],
    )  # fmt: skip
    values = np.full((4, 20, 20), 30.0)
    values[:, 10, 10] = 60.0
    write_dose(folder / "dose.dcm", stack, values, origin=(-18, 12, 401), spacing=(2, 2), offsets=[0, 4, 8, 12])
    stranger = pydicom.dcmread(folder / "overlap.dcm")
    stranger.FrameOfReferenceUID, stranger.SOPInstanceUID = "1.2.3.4", "1.2.3.5"
    stranger.save_as(folder / "stranger.dcm")
    return folder


class Window:
    """The main window on the study."""

    def __init__(self, study: Path, qtbot: QtBot) -> None:
        self.main = MainWindow(right_column=build_right_column)
        qtbot.addWidget(self.main)
        self.qtbot = qtbot
        self.main.resize(1300, 800)
        self.main.show()
        self.main.open_paths([study])
        session = self.session = self.main.session
        qtbot.waitUntil(lambda: session.volume is not None and bool(session.volume.loaded.all()), timeout=20_000)
        qtbot.waitUntil(lambda: session.editor is not None, timeout=20_000)
        column = self.main.findChild(RightColumn)
        assert isinstance(column, RightColumn)
        self.card = column.overlays

    def row(self, name: str) -> ObjectRow:
        return next(r for r in self.main.series.rows if r.object.path.name == name)

    def click(self, name: str) -> None:
        self.qtbot.mouseClick(self.row(name), Qt.MouseButton.LeftButton)

    def lay(self, name: str) -> None:
        before = len(self.session.laid)
        self.click(name)
        self.qtbot.waitUntil(lambda: len(self.session.laid) == before + 1, timeout=20_000)

    def picture(self) -> QImage:
        QApplication.processEvents()
        return self.main.grid.views[0].grab().toImage()

    def colour_at(self, index_kji: tuple[int, int, int]) -> tuple[int, int, int]:
        """Screen colour of a voxel in the acquired view."""
        view = self.main.grid.views[0]
        where = view.screen_of(np.asarray(index_kji, dtype=np.float64))
        pixel = self.picture().pixelColor(where.toPoint())
        return pixel.red(), pixel.green(), pixel.blue()


@pytest.fixture
def window(study: Path, qtbot: QtBot):  # type: ignore[no-untyped-def]
    made = Window(study, qtbot)
    made.session.move_crosshair((3, 35, 40))
    made.session.set_inverted(False)
    yield made
    made.main.close()


def test_objects_are_listed_under_their_series_and_never_as_pictures(window: Window) -> None:
    names = {r.object.path.name: r for r in window.main.series.rows}
    assert set(names) == {"overlap.dcm", "fraction.dcm", "rt.dcm", "dose.dcm", "stranger.dcm"}
    assert all(r.isEnabled() for r in names.values()) and len(window.main.series.cards) == 1
    assert names["rt.dcm"].object.summary == "RTSTRUCT - Plan A - 2 structures: Liver, PTV"
    assert window.card.isHidden()


def test_overlapping_segments_are_both_drawn_and_each_can_be_hidden(window: Window) -> None:
    bare = {at: window.colour_at(at) for at in ((3, 8, 8), (3, 16, 16), (3, 25, 25), (3, 2, 2))}
    window.lay("overlap.dcm")
    assert window.row("overlap.dcm").isChecked() and not window.card.isHidden()
    first, shared, second = (window.colour_at(at) for at in ((3, 8, 8), (3, 16, 16), (3, 25, 25)))
    assert len({first, shared, second, bare[3, 8, 8]}) == 4
    assert window.colour_at((3, 2, 2)) == bare[3, 2, 2]
    assert words_at(window.session, (3, 16, 16)) == ("S1", "S2")
    line = window.card.blocks[0].lines[0]
    window.qtbot.mouseClick(line.eye, Qt.MouseButton.LeftButton)
    assert window.colour_at((3, 8, 8)) == bare[3, 8, 8] and window.colour_at((3, 16, 16)) == second
    window.qtbot.mouseClick(line.eye, Qt.MouseButton.LeftButton)
    assert window.colour_at((3, 16, 16)) == shared
    window.click("overlap.dcm")  # a second click takes it away
    assert window.session.laid == () and window.card.isHidden()
    assert {at: window.colour_at(at) for at in bare} == bare and not window.row("overlap.dcm").isChecked()


def test_fractions_cover_by_their_share(window: Window) -> None:
    bare = window.colour_at((3, 10, 10))
    window.lay("fraction.dcm")
    low, high = window.colour_at((3, 9, 10)), window.colour_at((3, 14, 10))
    moved = [sum(abs(a - b) for a, b in zip(colour, bare, strict=True)) for colour in (low, high)]
    assert 0 < moved[0] < 0.5 * moved[1]
    assert words_at(window.session, (3, 10, 10)) == ("S1 0.25",) and words_at(window.session, (3, 14, 9)) == (
        "S1 0.80",
    )
    window.card.blocks[0].slider.setValue(0)
    assert window.colour_at((3, 14, 10)) == bare


def test_contours_are_lines_in_their_plane_and_chords_in_others(window: Window) -> None:
    window.lay("rt.dcm")
    assert words_at(window.session, (3, 20, 20)) == ()  # a line has no inside
    view = window.main.grid.views[0]
    edge = view.screen_of(np.asarray((3.0, 10.0, 20.0)))
    image = window.picture()
    reds = [
        image.pixelColor(round(edge.x()), round(edge.y()) + dy).red()
        - image.pixelColor(round(edge.x()), round(edge.y()) + dy).blue()
        for dy in (-1, 0, 1)
    ]
    assert max(reds) > 80  # the upper edge of the liver's square
    laid = window.session.laid[0].overlay.content
    lines = laid.lines[0]  # type: ignore[union-attr]
    acquired = plane_axes(GRID, PlaneName.ACQUIRED)
    assert all(path.isEmpty() for path in contour_paths(lines, SIZE, acquired, 2))
    box = contour_paths(lines, SIZE, acquired, 3)[0].boundingRect()
    assert np.allclose((box.left(), box.top(), box.right(), box.bottom()), (10.5, 10.5, 30.5, 30.5), atol=1e-3)
    coronal = plane_axes(GRID, PlaneName.CORONAL)
    within, chord = contour_paths(lines, SIZE, coronal, 20)
    assert within.isEmpty()
    row = SIZE[0] - 1 - 3 if coronal.flip_down else 3
    assert np.allclose(
        (chord.boundingRect().left(), chord.boundingRect().right(), chord.boundingRect().top()),
        (10.5, 30.5, row + 0.5),
        atol=1e-3,
    )
    assert contour_paths(lines, SIZE, coronal, 5)[1].isEmpty()


def test_the_status_line_says_on_which_images_an_object_lies(window: Window) -> None:
    window.lay("rt.dcm")
    (laid,) = window.session.laid
    assert images_under(laid, SIZE) == range(3, 5)
    assert where_it_lies(laid, SIZE, 3) == ("rt.dcm lies over images 4 to 5.", True)
    assert where_it_lies(laid, SIZE, 0) == ("rt.dcm lies over images 4 to 5; image 1 is shown.", True)
    assert where_it_lies(laid, (2, 40, 44), 0) == ("Nothing of rt.dcm lies in these images.", False)
    said: list[tuple[str, str]] = []
    window.click("rt.dcm")  # a second click takes it away
    window.session.move_crosshair((0, 35, 40))
    window.main.services.say = lambda text, tone="plain": said.append((text, tone))  # type: ignore[method-assign]
    window.lay("rt.dcm")
    assert said[-1] == ("rt.dcm lies over images 4 to 5; image 1 is shown.", "good")
    window.lay("fraction.dcm")
    assert said[-1] == ("fraction.dcm lies over image 4; image 1 is shown.", "good")


def test_a_dose_has_a_wash_a_scale_and_a_value_at_the_cursor(window: Window) -> None:
    bare = window.colour_at((3, 20, 30))
    window.lay("dose.dcm")
    assert window.colour_at((3, 20, 30)) != bare
    hot = window.colour_at((3, 22, 22))  # 60 Gy lie at x 2, y 32
    assert hot[0] > hot[2] + 40  # red
    window.session.set_window(window.session.window)
    assert words_at(window.session, (3, 22, 22)) == ("60.0 Gy",)
    assert words_at(window.session, (3, 5, 5)) == ("30.0 Gy",) and words_at(window.session, (3, 0, 0)) == ()
    view = window.main.grid.views[0]
    where = view.screen_of(np.asarray((3.0, 22.0, 22.0)))
    before = window.picture().copy(0, view.height() - 80, 300, 80)
    window.qtbot.mouseMove(view, where.toPoint())
    assert window.picture().copy(0, view.height() - 80, 300, 80) != before


def test_what_belongs_elsewhere_is_refused_with_a_sentence(window: Window) -> None:
    window.click("stranger.dcm")
    window.qtbot.waitUntil(lambda: "frame of reference" in window.main.banner.text, timeout=20_000)
    assert window.session.laid == ()


def test_a_copy_is_edited_and_what_is_lost_is_said(window: Window) -> None:
    window.lay("overlap.dcm")
    window.qtbot.mouseClick(window.card.blocks[0].edit, Qt.MouseButton.LeftButton)
    session = window.session
    window.qtbot.waitUntil(lambda: bool(session.segmentation and session.segmentation.segments), timeout=20_000)
    assert session.segmentation is not None
    labels = np.asarray(session.segmentation.labelmap)
    assert [s.label for s in session.segmentation.segments.values()] == ["S1", "S2"]
    assert np.count_nonzero(labels == 2) == 3 * 18 * 18 and np.count_nonzero(labels == 1) == 3 * (225 - 64)
    assert "192 voxels belong to several segments" in window.main.banner.text
    assert session.editor is not None
    session.editor.undo()
    assert not session.segmentation.labelmap.any()


def test_a_series_in_the_same_place_keeps_the_objects_and_another_drops_them(window: Window) -> None:
    window.lay("overlap.dcm")
    session = window.session
    assert session.stack is not None and session.volume is not None
    session.show(session.stack, session.volume)
    assert len(session.laid) == 1
    session.show(None, None)
    assert session.laid == ()


def test_the_command_line_draws_the_same(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    ct = str(study / "ct")
    assert main(["render", ct, str(tmp_path / "bare.png"), "--slice", "3", "--no-text", "--size", "400x400"]) == 0
    bare = QImage(str(tmp_path / "bare.png"))
    for name, parts in (("overlap", 2), ("fraction", 1), ("rt", 2), ("dose", 0)):
        out = tmp_path / f"{name}.png"
        words = ["--slice", "3", "--no-text", "--size", "400x400", "--overlay", str(study / f"{name}.dcm"), "--json"]
        capsys.readouterr()
        assert main(["render", ct, str(out), *words]) == 0
        said = json.loads(capsys.readouterr().out)["overlay"]
        assert len(said["parts"]) == parts and QImage(str(out)) != bare
    assert main(["render", ct, str(tmp_path / "x.png"), "--overlay", str(study / "stranger.dcm")]) == 3
    assert "frame of reference" in capsys.readouterr().err and not (tmp_path / "x.png").exists()


def test_another_series_of_the_same_space_shows_the_objects_as_they_looked(study: Path, qtbot: QtBot) -> None:
    """A series on a coarser grid in the same frame of reference: masks are laid on it anew."""
    from dataclasses import replace as changed

    from medviewer.volume.volume import Volume

    made = Window(study, qtbot)
    session = made.session
    made.lay("overlap.dcm")
    made.lay("rt.dcm")
    qtbot.mouseClick(made.card.blocks[0].lines[1].eye, Qt.MouseButton.LeftButton)
    assert session.stack is not None
    coarse = Grid((6, 20, 22), (2.5, 2.0, 2.0), GRID.direction, (-19.5, 10.5, 400.0))
    stack = changed(session.stack, id="coarse", grid=coarse, size_kji=coarse.size_kji)
    session.show(stack, Volume(np.zeros(coarse.size_kji, np.int16), coarse, unit="HU", modality="CT"))
    qtbot.waitUntil(lambda: len(session.laid) == 2, timeout=20_000)
    by_name = {o.overlay.path.name: o for o in session.laid}
    assert by_name["overlap.dcm"].hidden == {1} and by_name["overlap.dcm"].overlay.content.size_kji == (6, 20, 22)
    assert words_at(session, (3, 4, 4)) == ("S1",)
    session.show(changed(stack, id="other", frame_of_reference_uid="9.9"), session.volume)
    QApplication.processEvents()
    assert session.laid == ()
    made.main.close()

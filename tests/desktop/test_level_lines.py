"""Lines of equal value: those of the slower tracer for masks, circles for cones, and Qt gets the very points."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtGui import QPainterPath
from pytestqt.qtbot import QtBot

from medviewer.desktop.viewport.contours import outlines
from medviewer.desktop.viewport.level_lines import level_lines, mask_lines, path_of_pieces


def pairs(ends: np.ndarray) -> set[tuple[tuple[float, float], ...]]:
    return {tuple(sorted(map(tuple, piece))) for piece in ends.tolist()}


@pytest.mark.parametrize("seed", range(6))
def test_masks_have_the_outlines_of_the_other_tracer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((rng.integers(1, 30), rng.integers(1, 30))) > rng.random()
    truth = [np.stack([line, np.roll(line, -1, axis=0)], axis=1) for line in outlines(mask, (3, -2))]
    expected = pairs(np.concatenate(truth)) if truth else set()
    assert pairs(mask_lines(mask, (3, -2))) == expected


def test_a_cone_has_circles() -> None:
    rows, columns = np.mgrid[-40:41, -50:51].astype(np.float32)
    pieces = level_lines(100 - np.hypot(rows, columns), 80.0)
    assert np.allclose(np.hypot(pieces[..., 0] - 40, pieces[..., 1] - 50), 20.0, atol=0.02) and len(pieces) > 100
    assert len(level_lines(np.zeros((5, 5), np.float32), 1.0)) == 0


def test_qt_gets_the_very_points(qtbot: QtBot) -> None:
    path = path_of_pieces(np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.5, 6.0], [7.0, 8.25]]]))
    kinds = QPainterPath.ElementType
    found = [(path.elementAt(n).type, path.elementAt(n).x, path.elementAt(n).y) for n in range(path.elementCount())]
    assert found == [
        (kinds.MoveToElement, 2.5, 1.5),
        (kinds.LineToElement, 4.5, 3.5),
        (kinds.MoveToElement, 6.5, 6.0),
        (kinds.LineToElement, 8.75, 7.5),
    ]
    assert path_of_pieces(np.zeros((0, 2, 2))).isEmpty()

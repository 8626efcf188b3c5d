"""The shipped models through the real window, the real inference process and the mouse. Minutes on a busy machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotating import Hand, make_window
from pytestqt.qtbot import QtBot

from medviewer.desktop.circle import Circle, build_right_column
from medviewer.desktop.main_window import MainWindow
from medviewer.desktop.panels.column import RightColumn
from medviewer.desktop.panels.finding import FindingState
from medviewer.inference.store import ModelStore
from medviewer.inference.suggestion import Suggestion

pytestmark = [pytest.mark.slow, pytest.mark.data]

#: A busy machine may take this long for anything.
PATIENCE_MS = 180_000


def needs(task: str) -> None:
    if task not in ModelStore().tasks():
        pytest.skip(f"no {task} is shipped in this checkout")


@pytest.fixture
def window(qtbot: QtBot) -> Iterator[MainWindow]:
    made = make_window(build_right_column)
    qtbot.addWidget(made)
    yield made
    made.close()


def circle_of(window: MainWindow) -> Circle:
    column = window.findChild(RightColumn)
    assert isinstance(column, RightColumn)
    assert isinstance(column.circle, Circle)
    return column.circle


def open_and_wait(window: MainWindow, qtbot: QtBot, path: Path) -> Circle:
    window.open_paths([path])
    session = window.session

    def ready() -> bool:
        return session.volume is not None and bool(session.volume.loaded.all()) and session.editor is not None

    qtbot.waitUntil(ready, timeout=PATIENCE_MS)
    circle = circle_of(window)
    qtbot.waitUntil(lambda: circle.proposals.book is not None, timeout=PATIENCE_MS)
    return circle


def click_at(window: MainWindow, point_lps: tuple[float, float, float]) -> None:
    """Go to the slice, take Suggest, click on the point."""
    session, view = window.session, window.grid.active
    session.go_to(point_lps)
    volume = session.volume
    assert volume is not None
    assert volume.grid is not None
    _, row, column = view.axes.from_index(volume.size_kji, volume.grid.lps_to_index(point_lps))
    window.actions_table.do("tool-suggest")
    Hand(window).click(row, column)


def test_a_click_on_the_nodule_of_lidc_0314_outlines_it_as_well_as_a_reader(
    window: MainWindow, qtbot: QtBot, public_data: Path
) -> None:
    import SimpleITK as sitk

    needs("lung-nodule-segment")
    circle = open_and_wait(window, qtbot, public_data / "lidc_demo" / "LIDC-IDRI-0314_ct_block.zip")
    qtbot.waitUntil(lambda: circle.inference.device != "", timeout=PATIENCE_MS)
    stages: list[str] = []

    def note() -> None:
        shown: Suggestion | None = window.session.proposal
        if shown is not None and (not stages or stages[-1] != shown.stage):
            stages.append(shown.stage)

    circle.proposals.changed.connect(note)
    click_at(window, (-57.2, 131.35, -520.36))
    finding = circle.proposals
    qtbot.waitUntil(
        lambda: finding.finding is not None and finding.finding.state is FindingState.PROPOSED, timeout=PATIENCE_MS
    )
    assert stages == ["clicked-slice", "complete"], "the clicked slice comes first"
    assert finding.accept()
    counted = sitk.GetArrayFromImage(sitk.ReadImage(str(public_data / "lidc_demo" / "reader_count.nii.gz")))
    truth = counted >= 2
    segmentation = window.session.segmentation
    assert segmentation is not None
    outlined = segmentation.labelmap == 1
    dice = 2 * np.count_nonzero(outlined & truth) / (np.count_nonzero(outlined) + np.count_nonzero(truth))
    assert dice > 0.755, "the readers agree with each other at 0.755 to 0.885"


def test_esc_stops_a_running_suggestion_within_300_ms(window: MainWindow, qtbot: QtBot, public_data: Path) -> None:
    needs("lung-nodule-segment")
    circle = open_and_wait(window, qtbot, public_data / "lidc_demo" / "LIDC-IDRI-0314_ct_block.zip")
    qtbot.waitUntil(lambda: circle.inference.device != "", timeout=PATIENCE_MS)
    click_at(window, (-57.2, 131.35, -520.36))
    assert circle.inference.busy
    began = time.perf_counter()
    window.actions_table.do("cancel")
    qtbot.waitUntil(lambda: not circle.inference.busy, timeout=PATIENCE_MS)
    assert time.perf_counter() - began < 0.3
    assert window.session.proposal is None


def test_a_hippocampus_is_outlined_in_both_parts(window: MainWindow, qtbot: QtBot, public_data: Path) -> None:
    needs("hippocampus-segment")
    images = sorted(p for p in (public_data / "hippocampus" / "loose").rglob("*.nii*") if "label" not in p.name.lower())
    if not images:
        pytest.skip("no loose hippocampus image in the public data")
    circle = open_and_wait(window, qtbot, images[0])
    circle.proposals.choose_task("hippocampus-segment")
    window.actions_table.do("suggest-here")
    finding = circle.proposals
    qtbot.waitUntil(
        lambda: finding.finding is not None and finding.finding.state is not FindingState.RUNNING, timeout=PATIENCE_MS
    )
    assert finding.finding is not None
    assert finding.finding.state is FindingState.PROPOSED, finding.finding.sentence
    assert finding.accept()
    segmentation = window.session.segmentation
    assert segmentation is not None
    assert [s.label for s in segmentation.segments.values()] == ["Anterior", "Posterior"]
    assert all(0.3 < segmentation.volume_ml(n) < 4.0 for n in segmentation.segments)


def test_the_inference_process_ends_with_the_window(window: MainWindow, qtbot: QtBot, public_data: Path) -> None:
    needs("lung-nodule-segment")
    circle = open_and_wait(window, qtbot, public_data / "lidc_demo" / "LIDC-IDRI-0314_ct_block.zip")
    qtbot.waitUntil(lambda: circle.inference._client.process_id is not None, timeout=PATIENCE_MS)
    number = circle.inference._client.process_id
    assert number is not None
    window.close()

    def gone() -> bool:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        return False

    qtbot.waitUntil(gone, timeout=10_000)

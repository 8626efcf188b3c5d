"""Presentation states: what they say is read, and what is odd in them costs nothing."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medviewer.errors import BadInput
from medviewer.formats.dicom.objects.gsps import read_presentation
from medviewer.formats.scan import scan
from tests.formats.presentation_samples import item, lut, presentation_state


@pytest.fixture(scope="module")
def image() -> Dataset:
    return pydicom.dcmread(get_testdata_file("CT_small.dcm"))


def test_what_a_state_says_is_read(image: Dataset, tmp_path: Path) -> None:
    path = presentation_state(
        [image],
        tmp_path / "ps.dcm",
        SoftcopyVOILUTSequence=[item(WindowCenter=[40, 50], WindowWidth=[400, 80])],
        RescaleSlope=2,
        RescaleIntercept=-1000,
        RescaleType="HU",
        ImageRotation=270,
        ImageHorizontalFlip="Y",
        PresentationLUTShape="INVERSE",
        GraphicLayerSequence=[
            item(GraphicLayer="TOP", GraphicLayerOrder=2),
            item(GraphicLayer="BELOW", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=65535),
        ],
        GraphicAnnotationSequence=[
            item(
                GraphicLayer="TOP",
                TextObjectSequence=[
                    item(
                        UnformattedTextValue="<b>two</b>\r\nlines\x07",
                        AnchorPointAnnotationUnits="DISPLAY",
                        AnchorPoint=[0.5, 0.25],
                        AnchorPointVisibility="Y",
                    )
                ],
                GraphicObjectSequence=[
                    item(
                        GraphicAnnotationUnits="PIXEL",
                        GraphicDimensions=2,
                        NumberOfGraphicPoints=2,
                        GraphicData=[1.0, 2.0, 3.0, 4.0],
                        GraphicType="POLYLINE",
                        GraphicFilled="N",
                    )
                ],
            )
        ],
    )
    state = read_presentation(path)
    assert (state.label, state.description, state.creator, state.created) == (
        "TEST STATE", "as asked", "Doe, Jane", "2026-01-02",
    )  # fmt: skip
    assert [(w.width, w.level) for w in state.voi[0].windows] == [(400, 40), (80, 50)]
    assert (state.rescale, state.rotation, state.flip, state.inverse) == ((2.0, -1000.0, "HU"), 270, True, True)
    assert [(layer.name, layer.colour) for layer in state.layers] == [("BELOW", (255, 255, 255)), ("TOP", None)]
    (annotation,) = state.annotations
    assert annotation.texts[0].text == "<b>two</b>\nlines"
    assert (annotation.texts[0].anchor, annotation.texts[0].anchor_in_pixels) == ((0.5, 0.25), False)
    assert annotation.graphics[0].points == ((1.0, 2.0), (3.0, 4.0))
    (listed,) = scan([path]).objects
    assert listed.summary == "PR - 'TEST STATE', 2 annotations, for 1 image"
    assert listed.referenced_series == (image.SeriesInstanceUID,)


def test_odd_states_are_read_as_far_as_they_make_sense(image: Dataset, tmp_path: Path) -> None:
    path = presentation_state(
        [image],
        tmp_path / "ps.dcm",
        ImageRotation=45,
        SoftcopyVOILUTSequence=[item(WindowCenter=40, WindowWidth=-3), item(VOILUTSequence=[lut(0, 8, [])])],
        GraphicAnnotationSequence=[
            item(
                GraphicObjectSequence=[item(GraphicType="CIRCLE", GraphicData=[1.0, float("nan")]), item()],
                TextObjectSequence=[item(UnformattedTextValue="nowhere"), item()],
            )
        ],
        DisplayedAreaSelectionSequence=[item(PresentationSizeMode="SCALE TO FIT")],
    )
    state = read_presentation(path)
    assert state.rotation == 0 and state.areas == () and state.drawn == 0
    assert all(not voi.windows for voi in state.voi)


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(BadInput, match="no presentation state"):
        read_presentation(Path(get_testdata_file("CT_small.dcm")))


def test_every_prefix_is_read_or_refused(image: Dataset, tmp_path: Path) -> None:
    whole = presentation_state(
        [image], tmp_path / "ps.dcm", SoftcopyVOILUTSequence=[item(WindowCenter=40, WindowWidth=400)]
    )
    data, path = whole.read_bytes(), tmp_path / "cut.dcm"
    for end in range(0, len(data), 31):
        path.write_bytes(data[:end])
        try:
            read_presentation(path)
        except BadInput as refused:
            assert refused.sentence

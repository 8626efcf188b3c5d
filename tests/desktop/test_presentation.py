"""A presentation state applied: the same picture as DCMTK makes of it, in the right place, and gone when taken away."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from PySide6.QtGui import QImage

from medviewer.cli.main import main
from medviewer.desktop.documents.presentation import (
    corners_of,
    marks_of_state,
    placing_of_area,
    presented_frame,
    presented_graphics,
    slices_of_state,
    turned_axes,
)
from medviewer.desktop.viewport.placing import Placing
from medviewer.formats import load
from medviewer.formats.dicom.objects.gsps import read_presentation
from medviewer.formats.scan import scan
from medviewer.jobs import JobContext
from medviewer.volume.window import GreyMapper
from tests.formats.document_samples import measurement_report
from tests.formats.presentation_samples import item, lut, presentation_state

HU = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}
VOI = [item(WindowCenter=40, WindowWidth=400)]


def _modality_lut():
    made = lut(0, 12, [n // 2 for n in range(4096)])
    made.ModalityLUTType = "US"
    return [made]


#: What is asked for, and how far DCMTK may round otherwise.
CASES = {
    "window": (dict(SoftcopyVOILUTSequence=VOI, **HU), 1),
    "inverse": (dict(SoftcopyVOILUTSequence=VOI, PresentationLUTShape="INVERSE", **HU), 1),
    "no modality step": ({"SoftcopyVOILUTSequence": [item(WindowCenter=1064, WindowWidth=400)]}, 1),
    "modality table": (
        {"SoftcopyVOILUTSequence": [item(WindowCenter=500, WindowWidth=1000)], "ModalityLUTSequence": _modality_lut()},
        1,
    ),
    "VOI table": (
        dict(
            SoftcopyVOILUTSequence=[
                item(VOILUTSequence=[lut(-500, 8, [min(255, int(n**0.8)) for n in range(1000)], signed=True)])
            ],
            **HU,
        ),
        0,
    ),
    "presentation table": (
        dict(
            SoftcopyVOILUTSequence=VOI,
            PresentationLUTShape=None,
            PresentationLUTSequence=[lut(0, 10, [int((n / 255) ** 2 * 1023) for n in range(256)])],
            **HU,
        ),
        3,
    ),
    **{
        f"{degrees} degrees{' mirrored' if flip == 'Y' else ''}": (
            dict(SoftcopyVOILUTSequence=VOI, ImageRotation=degrees, ImageHorizontalFlip=flip, **HU),
            1,
        )
        for degrees in (0, 90, 180, 270)
        for flip in "NY"
    },
}


def of_dcmtk(image, state, folder):
    """The grey values that DCMTK makes of an image under a presentation state."""
    if shutil.which("dcmp2pgm") is None:
        pytest.skip("dcmp2pgm (DCMTK) is not installed")
    out = folder / "dcmtk.pgm"
    subprocess.run(["dcmp2pgm", "-q", "-p", str(state), str(image), str(out)], check=True, timeout=20)
    data = out.read_bytes()
    head = re.match(rb"P5\s+(?:#.*\s+)*(\d+)\s+(\d+)\s+(\d+)\s", data)
    return np.frombuffer(data[head.end() :], np.uint8).reshape(int(head[2]), int(head[1]))


@pytest.fixture(scope="module")
def image_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "ct.dcm"
    pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(path)
    return path


def opened(path):
    stack = next(scan([path]).stacks())
    return stack, load.load_volume(stack, JobContext())


@pytest.mark.parametrize("name", CASES)
def test_the_grey_values_are_those_of_dcmtk(image_file, tmp_path, name):
    values, tolerance = CASES[name]
    path = presentation_state([pydicom.dcmread(image_file)], tmp_path / "ps.dcm", **values)
    stack, volume = opened(image_file)
    state = read_presentation(path)
    assert slices_of_state(state, stack) == {0}
    frame = presented_frame(state, stack, volume, 0)
    ours = GreyMapper(frame.volume, frame.window).grey(frame.axes.cut(frame.volume.voxels, 0))
    theirs = of_dcmtk(image_file, path, tmp_path)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= tolerance


def test_the_polarity_of_the_state_takes_the_place_of_the_image_s(tmp_path):
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    data.PhotometricInterpretation = "MONOCHROME1"
    image_file = tmp_path / "ct.dcm"
    data.save_as(image_file)
    for shape in ("IDENTITY", "INVERSE"):
        path = presentation_state(
            [data], tmp_path / "ps.dcm", SoftcopyVOILUTSequence=VOI, PresentationLUTShape=shape, **HU
        )
        stack, volume = opened(image_file)
        frame = presented_frame(read_presentation(path), stack, volume, 0)
        ours = GreyMapper(frame.volume, frame.window).grey(frame.axes.cut(frame.volume.voxels, 0))
        assert np.abs(ours.astype(int) - of_dcmtk(image_file, path, tmp_path)).max() <= 1


def test_render_shows_the_picture_of_dcmtk(image_file, tmp_path, capsys):
    path = presentation_state(
        [pydicom.dcmread(image_file)], tmp_path / "ps.dcm", SoftcopyVOILUTSequence=VOI, ImageRotation=90,
        ImageHorizontalFlip="Y", **HU,
    )  # fmt: skip
    out = tmp_path / "out.png"
    asked = ["render", str(image_file), str(out), "--overlay", str(path), "--size", "128x128", "--no-text", "--json"]
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["overlay"]["kind"] == "PR"
    image = QImage(str(out)).convertToFormat(QImage.Format.Format_Grayscale8)
    lines = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.bytesPerLine())[:, :128]
    assert np.abs(lines.astype(int) - of_dcmtk(image_file, path, tmp_path)).max() <= 2


def test_render_refuses_a_state_of_other_images(image_file, tmp_path, capsys):
    other = pydicom.dcmread(image_file)
    other.SOPInstanceUID = "1.2.3.4"
    path = presentation_state([other], tmp_path / "ps.dcm")
    assert main(["render", str(image_file), str(tmp_path / "out.png"), "--overlay", str(path)]) == 3
    assert "none of the images that it refers to" in capsys.readouterr().err


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [False, True])
def test_axes_turn_as_numpy_does(degrees, flip):
    picture = np.arange(12).reshape(1, 3, 4)
    turned = np.rot90(picture[0], -degrees // 90)
    expected = turned[:, ::-1] if flip else turned
    axes = turned_axes(degrees, flip)
    assert np.array_equal(axes.cut(picture, 0), expected)
    rows, columns = axes.picture_size((1, 3, 4))
    assert (rows, columns) == expected.shape
    for row in range(rows):
        for column in range(columns):
            k, j, i = (int(n) for n in axes.to_index((1, 3, 4), 0, row, column))
            assert picture[k, j, i] == expected[row, column]


def test_the_displayed_area_fills_the_view(image_file, tmp_path):
    path = presentation_state(
        [pydicom.dcmread(image_file)], tmp_path / "ps.dcm", ImageRotation=90,
        DisplayedAreaSelectionSequence=[
            item(
                DisplayedAreaTopLeftHandCorner=[21, 120], DisplayedAreaBottomRightHandCorner=[60, 41],
                PresentationSizeMode="SCALE TO FIT", PresentationPixelAspectRatio=[1, 1],
            )
        ],
    )  # fmt: skip
    stack, volume = opened(image_file)
    frame = presented_frame(read_presentation(path), stack, volume, 0)
    top, left, bottom, right = corners_of(frame.area, frame.axes, volume.size_kji)
    assert (bottom - top, right - left) == (40, 80)  # 40 columns became rows, 80 rows became columns
    pixel = volume.grid.spacing_kji[1:]
    whole = Placing.fitted(frame.axes.picture_size(volume.size_kji), pixel, (800, 800))
    placing = frame.placing(whole, 0.25, 1.0)
    assert np.allclose(placing.to_screen(top, left), (0, 200)) and np.allclose(
        placing.to_screen(bottom, right), (800, 600)
    )
    row, column = frame.axes.from_index(volume.size_kji, (0, 119, 20))[1:]  # pixel 21\\120 is at the top left
    x, y = placing.to_screen(row, column)
    assert 0 < x < 10 and 200 < y < 210


@pytest.mark.parametrize(
    ("mode", "more", "scale"), [("TRUE SIZE", {}, 4.0), ("MAGNIFY", {"PresentationPixelMagnificationRatio": 3.0}, None)]
)
def test_true_size_and_magnification(image_file, tmp_path, mode, more, scale):
    path = presentation_state(
        [pydicom.dcmread(image_file)], tmp_path / "ps.dcm",
        DisplayedAreaSelectionSequence=[
            item(
                DisplayedAreaTopLeftHandCorner=[1, 1], DisplayedAreaBottomRightHandCorner=[128, 128],
                PresentationSizeMode=mode, PresentationPixelSpacing=[0.661468, 0.661468], **more,
            )
        ],
    )  # fmt: skip
    stack, volume = opened(image_file)
    frame = presented_frame(read_presentation(path), stack, volume, 0)
    whole = Placing.fitted((128, 128), volume.grid.spacing_kji[1:], (500, 500))
    placing = placing_of_area(frame.area, frame.axes, volume.size_kji, whole, 0.25, 2.0)
    if scale is not None:
        assert placing.scale == pytest.approx(scale)  # a screen pixel is a quarter of a millimetre
    else:
        assert placing.zoom == pytest.approx(1.5)  # three device pixels, two of which are a logical one


def test_annotations_lie_where_the_standard_says(image_file, tmp_path):
    shapes = [
        item(GraphicAnnotationUnits="PIXEL", GraphicType="POINT", GraphicData=[10.5, 20.5], GraphicFilled="N"),
        item(GraphicAnnotationUnits="DISPLAY", GraphicType="POINT", GraphicData=[0.0, 0.0], GraphicFilled="N"),
        item(GraphicAnnotationUnits="DISPLAY", GraphicType="POINT", GraphicData=[1.0, 1.0], GraphicFilled="N"),
        item(
            GraphicAnnotationUnits="PIXEL",
            GraphicType="CIRCLE",
            GraphicData=[64.0, 64.0, 64.0, 74.0],
            GraphicFilled="Y",
        ),
    ]
    path = presentation_state(
        [pydicom.dcmread(image_file)], tmp_path / "ps.dcm", ImageRotation=90,
        GraphicLayerSequence=[
            item(GraphicLayer="L", GraphicLayerOrder=1, GraphicLayerRecommendedDisplayGrayscaleValue=65535)
        ],
        GraphicAnnotationSequence=[item(GraphicLayer="L", GraphicObjectSequence=shapes)],
    )  # fmt: skip
    stack, _ = opened(image_file)
    point, first, last, circle = marks_of_state(read_presentation(path), stack)
    assert point.points_kji.tolist() == [[0, 20, 10]]  # 0\\0 is the corner, so 10.5 is the middle of column 10
    assert first.points_kji.tolist() == [
        [0, 127.5, -0.5]
    ]  # rotated clockwise, the lower left corner comes to the top left
    assert last.points_kji.tolist() == [[0, -0.5, 127.5]]
    assert np.allclose(np.hypot(*(circle.points_kji[:, 1:] - 63.5).T), 10) and circle.filled
    assert point.colour == (255, 255, 255)


def test_shutters_and_overlays_of_the_state_take_the_place_of_the_image_s(image_file, tmp_path):
    bits = np.zeros((128, 128), np.uint8)
    bits[:4] = 1
    packed = np.packbits(bits, bitorder="little").tobytes()
    data = pydicom.dcmread(image_file)
    data.ShutterShape, data.ShutterLeftVerticalEdge, data.ShutterRightVerticalEdge = "RECTANGULAR", 50, 60
    data.ShutterUpperHorizontalEdge, data.ShutterLowerHorizontalEdge = 50, 60
    for group, on in ((0x6000, True), (0x6002, False)):
        for tag, vr, value in (
            (0x10, "US", 128), (0x11, "US", 128), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1),
            (0x102, "US", 0), (0x3000, "OW", packed if on else bytes(len(packed))),
        ):  # fmt: skip
            data.add_new(group << 16 | tag, vr, value)
    changed = tmp_path / "ct.dcm"
    data.save_as(changed)
    stack, _ = opened(changed)
    plain = presented_graphics(read_presentation(presentation_state([data], tmp_path / "a.dcm")), stack, 0)
    assert plain.lines is None and plain.covered is None  # nothing is switched on, and the state has no shutter
    path = presentation_state(
        [data], tmp_path / "b.dcm", ShutterShape="CIRCULAR", CenterOfCircularShutter=[64, 64],
        RadiusOfCircularShutter=20, ShutterPresentationValue=65535,
    )  # fmt: skip
    state = pydicom.dcmread(path)
    state.add_new(0x60001001, "CS", "L")
    state.save_as(path)
    found = presented_graphics(read_presentation(path), stack, 0)
    assert np.array_equal(found.lines, bits.astype(bool))
    assert not found.covered[63, 63] and found.covered[63, 90] and found.brightness == 1.0
    state.add_new(0x60040010, "US", 128)
    state.add_new(0x60040011, "US", 128)
    state.add_new(0x60040040, "CS", "G")
    state.add_new(0x60040050, "SS", [1, 1])
    state.add_new(0x60040100, "US", 1)
    state.add_new(0x60040102, "US", 0)
    state.add_new(0x60043000, "OW", packed)
    state.ShutterShape, state.ShutterOverlayGroup = "BITMAP", 0x6004
    state.save_as(path)
    found = presented_graphics(read_presentation(path), stack, 0)
    assert np.array_equal(found.covered, bits.astype(bool))


def test_render_draws_a_report_s_regions_on_its_image(image_file, tmp_path, capsys):
    image = pydicom.dcmread(image_file)
    path = measurement_report(image, tmp_path / "sr.dcm")
    pictures = []
    for more in ([], ["--overlay", str(path)]):
        out = tmp_path / f"{len(more)}.png"
        assert main(["render", str(image_file), str(out), "--size", "512x512", "--no-text", *more]) == 0
        shown = QImage(str(out)).convertToFormat(QImage.Format.Format_RGB888)
        lines = np.frombuffer(shown.constBits(), dtype=np.uint8).reshape(512, -1)[:, : 512 * 3]
        pictures.append(lines.reshape(512, 512, 3).astype(int))
    capsys.readouterr()
    drawn = np.abs(pictures[1] - pictures[0]).max(axis=2) > 60
    # the circle about column 20, row 30 with radius 10, four screen pixels a pixel: on its rim, not in its middle
    for x, y in ((20, 40), (20, 20), (10, 30)):
        assert drawn[4 * y - 3 : 4 * y + 4, 4 * x - 3 : 4 * x + 4].any()
    assert not drawn[4 * 30 - 3 : 4 * 30 + 4, 4 * 16 - 3 : 4 * 16 + 4].any()

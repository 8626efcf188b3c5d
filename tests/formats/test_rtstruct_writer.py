"""Contours rasterised by another rule give the very mask back; the file passes dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.formats.dicom.objects.rtstruct_writer import contours, write_rtstruct
from medviewer.formats.dicom.objects.seg_read import SegDescription
from medviewer.formats.scan import scan
from tests.formats import samples

pytest.importorskip("skimage", reason="contours need scikit-image")


def filled(rings: list[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixel centres inside an odd number of rings, counted edge by edge along each row."""
    inside = np.zeros(shape, dtype=int)
    for ring in rings:
        for (y0, x0), (y1, x1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            for row in range(shape[0]):
                if (y0 > row) != (y1 > row):
                    at = x0 + (row - y0) / (y1 - y0) * (x1 - x0)
                    inside[row, : int(np.ceil(at))] += 1
    return np.asarray(inside % 2 == 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.9))
def test_any_mask_comes_back(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((9, 11)) < share
    assert np.array_equal(filled(contours(mask), mask.shape), mask)


def test_a_ring_is_one_contour_with_a_keyhole() -> None:
    mask = np.zeros((12, 12), bool)
    mask[2:10, 2:10] = True
    mask[4:8, 4:8] = False
    mask[5:7, 5:7] = True
    rings = contours(mask)
    assert len(rings) == 2 and np.array_equal(filled(rings, mask.shape), mask)


def test_the_file_lies_on_its_images_and_is_valid(tmp_path: Path) -> None:
    orientation = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)
    samples.series(tmp_path / "ct", samples.along_z(4), size=(16, 12), orientation=orientation, PatientBirthDate="",
                   PatientSex="O", StudyTime="", AccessionNumber="", StudyID="", ReferringPhysicianName="")  # fmt: skip
    (stack,) = scan([tmp_path / "ct"]).stacks()
    assert stack.grid is not None
    labels = np.zeros(stack.size_kji, np.uint8)
    labels[1:3, 3:9, 2:8] = 1
    labels[1, 5, 4] = 0
    labels[2, 11:14, 8:11] = 5
    path = tmp_path / "rs.dcm"
    count = write_rtstruct(path, labels, stack, [SegDescription(1, "结节"), SegDescription(5, "second")])
    assert count == 3 and [o.kind for o in scan([path]).objects] == ["RTSTRUCT"]
    data = pydicom.dcmread(path)
    assert [str(r.ROIName) for r in data.StructureSetROISequence] == ["结节", "second"]
    back = np.zeros_like(labels)
    for roi, value in zip(data.ROIContourSequence, (1, 5), strict=True):
        for contour in roi.ContourSequence:
            index = stack.grid.lps_to_index(np.array(contour.ContourData, dtype=float).reshape(-1, 3))
            k = round(float(index[0, 0]))
            assert np.allclose(index[:, 0], k, atol=1e-3)
            assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == stack.frames[k].sop_instance_uid
            back[k][filled([index[:, 1:]], (16, 12))] = value
    assert np.array_equal(back, labels)
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (dicom3tools) is not installed")
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
    assert [line for line in said.splitlines() if line.startswith("Error")] == []


def test_nothing_drawn_is_nothing_saved(tmp_path: Path) -> None:
    samples.series(tmp_path / "ct", samples.along_z(2))
    (stack,) = scan([tmp_path / "ct"]).stacks()
    with pytest.raises(BadInput, match="nothing is drawn"):
        write_rtstruct(tmp_path / "x.dcm", np.zeros(stack.size_kji, np.uint8), stack, [])

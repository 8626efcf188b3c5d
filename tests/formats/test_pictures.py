"""Pictures of real files beside those of DCMTK's dcmj2pnm, a family of its own: within one grey level.

The corpus is no part of the project, DCMTK no dependency; the test is skipped where one of them is absent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from medviewer.formats import load
from medviewer.formats.scan import scan
from medviewer.volume.window import GreyMapper

#: Files of which our rules and DCMTK's are the same: each has a window, a table or colours.
FILES = (
    "files/bits-lut/GH1308.dcm", "files/bits-lut/KarstenHilbertRF.dcm", "files/bits-lut/OutOfBoundsOverlay.dcm",
    "files/bits-lut/TEST_1_study_1234.dcm", "files/bits-lut/dicom_3.dcm", "files/photometric/Monochrome1-Jpeg.dcm",
    "files/photometric/PM5644-960x540_JPEG-Baseline_YBR422.dcm", "files/photometric/TestPattern_Palette.dcm",
    "files/photometric/TestPattern_Palette_16.dcm", "files/photometric/US-PAL-8-10x-echo",
    "files/photometric/TestPattern_JPEG-Baseline_YBRFull.dcm", "files/photometric/ctbrain1.dcm",
    "files/photometric/dx_image.dcm", "files/photometric/gdcm-CR-MONO1-10-chest.dcm", "files/wg04/CT2_RLE",
    "made/voi_linear.dcm", "made/voi_sigmoid.dcm", "made/voi_lut_sequence.dcm",
    "made/windows_three.dcm", "made/presentation_lut_inverse.dcm",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus() -> Path:
    named = os.environ.get("MEDVIEWER_CORPUS")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "corpus"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the corpus of difficult files is absent: set MEDVIEWER_CORPUS to run this test")
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("DCMTK's dcmj2pnm is absent")
    return folder


def _pnm(path: Path) -> NDArray[np.uint8]:
    """A binary PGM or PPM as [rows, columns, 3]."""
    data = path.read_bytes()
    words: list[bytes] = []
    at = 0
    while len(words) < 4:
        while data[at : at + 1].isspace():
            at += 1
        end = data.index(b"\n", at) if data[at : at + 1] == b"#" else at
        if end > at:
            at = end
            continue
        while not data[end : end + 1].isspace():
            end += 1
        words.append(data[at:end])
        at = end
    columns, rows, _ = (int(word) for word in words[1:])
    samples = 3 if words[0] == b"P6" else 1
    picture = np.frombuffer(data, np.uint8, rows * columns * samples, at + 1).reshape(rows, columns, samples)
    return np.repeat(picture, 3 // samples, axis=2)


@pytest.mark.data
@pytest.mark.parametrize("name", FILES)
def test_the_picture_is_dcmtks(corpus: Path, tmp_path: Path, name: str) -> None:
    stack = next(scan([corpus / name]).stacks())
    windows = stack.frames[0].windows
    if stack.is_colour:
        ours, voi = load.read_frame_rgb(stack, 0), []
    else:
        volume = load.empty_volume(stack)
        load.read_slice(stack, volume, 0)
        ours = np.repeat(GreyMapper(volume, windows[0]).grey(volume.voxels[0])[..., None], 3, axis=2)
        voi = ["+Wl", "1"] if windows[0].table is not None else ["+Wi", "1"]
    out = tmp_path / "dcmtk.pnm"
    frame = str(stack.frames[0].frame + 1)
    subprocess.run(
        ["dcmj2pnm", "-q", "-O", "+op", "+F", frame, *voi, str(corpus / name), str(out)], check=True, timeout=30
    )
    theirs = _pnm(out)
    assert ours.shape == theirs.shape
    assert int(np.abs(ours.astype(int) - theirs.astype(int)).max()) <= 1

"""Colour models to RGB: video range as DCMTK has it, samples of few bits over the whole scale."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from samples import picture, save

from medviewer.formats.dicom.pixels.colour import eight_bit, partial_to_rgb
from medviewer.formats.load import read_frame_rgb
from medviewer.formats.scan import scan

#: ITU-R BT.601 colour bars of 75 % as studios have them, and black and white.
BARS = {
    (16, 128, 128): (0, 0, 0), (235, 128, 128): (255, 255, 255), (180, 128, 128): (191, 191, 191),
    (162, 44, 142): (191, 191, 0), (131, 156, 44): (0, 191, 191), (112, 72, 58): (0, 191, 0),
    (84, 184, 198): (191, 0, 191), (65, 100, 212): (191, 0, 0), (35, 212, 114): (0, 0, 191),
}  # fmt: skip


def test_colour_bars_of_video() -> None:
    shown = partial_to_rgb(np.array(list(BARS), dtype=np.uint8))
    assert np.abs(shown.astype(int) - np.array(list(BARS.values()))).max() <= 1


def test_ybr_partial_422_is_dcmtks(tmp_path: Path) -> None:
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("DCMTK's dcmj2pnm is absent")
    rows, columns = 12, 16
    groups = np.random.default_rng(7).integers(16, 236, (rows * columns // 2, 4)).astype("u1")
    data = picture(
        np.zeros((rows, columns, 3), "u1"), PhotometricInterpretation="YBR_PARTIAL_422", SamplesPerPixel=3,
        PlanarConfiguration=0,
    )  # fmt: skip
    data.PixelData = groups.tobytes()
    path = save(data, tmp_path / "a.dcm")
    (stack,) = scan([path]).stacks()
    out = tmp_path / "a.ppm"
    subprocess.run(["dcmj2pnm", "-q", "+op", str(path), str(out)], check=True, timeout=30)
    theirs = np.frombuffer(out.read_bytes()[-rows * columns * 3 :], np.uint8).reshape(rows, columns, 3)
    assert np.abs(read_frame_rgb(stack, 0).astype(int) - theirs).max() <= 2  # DCMTK cuts fractions off three times


@pytest.mark.parametrize(("bits", "dtype"), [(5, "u1"), (8, "u1"), (10, "u2"), (12, "u2"), (16, "u2")])
def test_samples_of_any_width_reach_from_black_to_white(bits: int, dtype: str) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64).astype(dtype)
    shown = eight_bit(ramp, bits)
    assert shown[0] == 0 and shown[-1] == 255 and np.abs(shown - ramp / (2**bits - 1) * 255).max() <= 1.0

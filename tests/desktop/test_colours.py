"""Colours go through the file's ICC profile as LittleCMS takes them; a profile that is none changes nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PySide6.QtGui import QColorSpace, QImage

from medviewer.cli.main import main
from medviewer.desktop.colours import to_srgb
from tests.formats.samples import picture, save

NAMED = QColorSpace.NamedColorSpace


def profile(name: NAMED) -> bytes:
    return bytes(QColorSpace(name).iccProfile().data())


@pytest.mark.parametrize("name", [NAMED.AdobeRgb, NAMED.DisplayP3, NAMED.ProPhotoRgb])
def test_colours_are_those_of_littlecms(name):
    cms = pytest.importorskip("PIL.ImageCms")
    image = pytest.importorskip("PIL.Image")
    rgb = np.random.default_rng(6).integers(0, 256, (61, 47, 3)).astype(np.uint8)
    source = cms.ImageCmsProfile(io.BytesIO(profile(name)))
    truth = np.asarray(cms.profileToProfile(image.fromarray(rgb), source, cms.createProfile("sRGB"), renderingIntent=1))
    shown = to_srgb(rgb, profile(name))
    assert np.abs(shown.astype(int) - truth).max() <= 1
    assert np.abs(shown.astype(int) - rgb).mean() > 5


@pytest.mark.parametrize("made", [b"", b"rubbish" * 50, profile(NAMED.SRgb), b"\0" * 16 + b"CMYK" + b"\0" * 200])
def test_what_is_no_other_profile_changes_nothing(made):
    rgb = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    assert to_srgb(rgb, made) is rgb


def test_a_picture_is_shown_through_its_profile(tmp_path):
    pixels = np.full((16, 16, 3), (200, 60, 40), dtype=np.uint8)
    data = picture(pixels, PhotometricInterpretation="RGB", SamplesPerPixel=3, PlanarConfiguration=0, PixelSpacing=None)
    data.ICCProfile = profile(NAMED.AdobeRgb)
    path = save(data, tmp_path / "a.dcm")
    assert main(["render", str(path), str(tmp_path / "a.png"), "--size", "160x160", "--no-text"]) == 0
    shown = QImage(str(tmp_path / "a.png")).pixelColor(80, 80)
    wanted = to_srgb(pixels, data.ICCProfile)[0, 0].tolist()
    assert [shown.red(), shown.green(), shown.blue()] == wanted and wanted[0] > 220

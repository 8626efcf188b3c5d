"""Corner text: what is said, what is left out, and how numbers are written."""

from __future__ import annotations

import pytest
from reading import a_volume

from medviewer.desktop.viewport.corner_text import (
    ViewState,
    age_text,
    badges,
    date_text,
    name_text,
    number,
    scale_bar,
    series_lines,
    sex_text,
    who,
)
from medviewer.formats.catalog import StackText
from medviewer.volume.plane import PlaneName, plane_axes
from medviewer.volume.window import Window


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Doe^John", "Doe John"),
        ("Wang^XiaoDong=王^小东", "Wang XiaoDong  王 小东"),
        ("Doe^John^^Dr", "Doe John Dr"),
        ("", ""),
        ("^", ""),
    ],
)
def test_names(name, said):
    assert name_text(name) == said


def test_empty_facts_take_no_line():
    assert who(StackText()) == ()
    assert who(StackText(patient_id="17", patient_sex="F")) == ("ID 17", "F")
    assert not any("None" in line or "nan" in line for line in who(StackText(patient_name="A^B")))


def test_control_characters_and_very_long_text_do_not_reach_the_screen():
    (line,) = who(StackText(patient_name="A" * 500 + "\x07\n"))
    assert len(line) <= 40 and line.isprintable()


def test_dates_ages_and_numbers():
    assert date_text("20000101") == "2000-01-01"
    assert date_text("2000") == "2000"
    assert age_text("064Y") == "64 y"
    assert number(-600.0) == "−600"
    assert number(float("nan")) == "n/a"
    assert number(0.1234) == "0.123"


def test_image_numbers_count_from_one_and_places_are_the_patient_s():
    volume = a_volume()
    axial = plane_axes(volume.grid, PlaneName.AXIAL)
    lines = series_lines(None, volume, ViewState(axial, 0, Window(1, 1), 1.0))
    assert lines[0] == "Image 1 / 20"
    assert lines[1] == "z 100.0 mm"
    coronal = plane_axes(volume.grid, PlaneName.CORONAL)
    lines = series_lines(None, volume, ViewState(coronal, 2, Window(1, 1), 1.0))
    assert lines[0] == "Cut 3 / 96"
    assert lines[1] == "y −18.0 mm"


def test_partial_loading_is_said():
    volume = a_volume()
    volume.loaded[12:] = False
    assert badges(None, volume) == ("12 of 20 slices",)


@pytest.mark.parametrize("scale", [0.05, 0.4, 1.0, 1.76, 7.3, 55.0])
def test_the_scale_bar_is_a_round_length_that_fits(scale):
    length, label = scale_bar(scale, 600)
    digits = f"{length:.10f}".strip("0.").rstrip(".")
    assert digits in ("1", "2", "5")
    assert length * scale <= 0.35 * 600 + 1e-9
    assert length * scale >= 0.12 * 600
    assert label == (f"{length / 10:g} cm" if length >= 10 else f"{length:g} mm")


@pytest.mark.parametrize(("written", "shown"), [("F", "F"), ("m ", "M"), ("O", "O"), ("ÄÐ", ""), ("", "")])
def test_a_garbled_sex_is_not_shown(written: str, shown: str) -> None:
    assert sex_text(StackText(patient_sex=written)) == shown

"""What is written in the corners of a view. Plain strings from the header and the view's state; no Qt.

Empty facts take no line. What is computed here and not read from the file carries an "≈".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medviewer.desktop.presets import name_of
from medviewer.formats.quality import QUIET, short_words
from medviewer.volume.grid import Grid
from medviewer.volume.plane import PlaneAxes, PlaneName
from medviewer.volume.volume import Volume
from medviewer.volume.window import VoiFunction, Window

if TYPE_CHECKING:
    from medviewer.formats.catalog import Stack, StackText

#: Longer header texts are cut on the picture (the series list shows them whole).
_LONGEST = 40

#: Faults that change nothing in how this picture is read stand in the series list only.
_NOT_ON_PICTURE = frozenset({"charset-guessed", "private-codec", "mixed-orientation", "mixed-spacing"})


@dataclass(frozen=True, slots=True)
class CornerText:
    """Lines of the four corners; below the top right one the amber badges, then plain notes (`quiet`)."""

    top_left: tuple[str, ...] = ()
    top_right: tuple[str, ...] = ()
    bottom_left: tuple[str, ...] = ()
    bottom_right: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewState:
    """What the view knows itself: its plane, cut, window, zoom and the voxel under the pointer.

    `under_pointer` is what the objects over the images say about that voxel, `colour` the red, green and blue of a
    picture with colours there. `own_window` says that the window is this frame's own; `hides` names what is left out
    of the picture ("overlay off", "shutter open"), `padding` says that it has some, drawn black.
    """

    axes: PlaneAxes
    position: int
    window: Window
    zoom: float
    pointer_kji: tuple[int, int, int] | None = None
    under_pointer: tuple[str, ...] = ()
    colour: tuple[int, int, int] | None = None
    own_window: bool = False
    hides: tuple[str, ...] = ()
    padding: bool = False
    notes: tuple[str, ...] = field(default=())


def minus(text: str) -> str:
    """A hyphen before a number as a true minus sign."""
    return text.replace("-", "−")


def number(value: float) -> str:
    """A value as short as its size allows: integers whole, small floats with three significant digits."""
    if not math.isfinite(value):
        return "n/a"
    if float(value).is_integer() or abs(value) >= 100:
        return minus(f"{value:.0f}")
    return minus(f"{value:.3g}")


def date_text(dicom_date: str) -> str:
    """20000101 as 2000-01-01; anything else as it stands."""
    digits = dicom_date.strip()
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}" if len(digits) == 8 and digits.isdigit() else digits


def time_text(dicom_time: str) -> str:
    """HHMMSS.ffffff as HH:MM; anything else as nothing."""
    digits = dicom_time.strip()[:4]
    return f"{digits[:2]}:{digits[2:4]}" if len(digits) == 4 and digits.isdigit() else ""


def name_text(patient_name: str) -> str:
    """A person name for the eye: components apart by blanks, further groups (ideographic, phonetic) behind it."""
    groups = [" ".join(part for part in group.split("^") if part.strip()) for group in patient_name.split("=")]
    return "  ".join(dict.fromkeys(group.strip() for group in groups if group.strip()))


def age_text(age: str) -> str:
    """064Y as 64 y."""
    digits, unit = age.strip()[:-1], age.strip()[-1:]
    return f"{int(digits)} {unit.lower()}" if digits.isdigit() and unit in "YMWD" else age.strip()


def sex_text(text: StackText) -> str:
    """The code of the sex (M, F, O); what else a file writes there is often garbled, and left out."""
    code = text.patient_sex.strip().upper()[:1]
    return code if code in "MFO" else ""


def _cut(text: str) -> str:
    plain = "".join(ch for ch in text if ch.isprintable()).strip()
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def who(text: StackText) -> tuple[str, ...]:
    """Top left: name, ID, birth date, sex and age."""
    person = "  ".join(part for part in (sex_text(text), age_text(text.patient_age)) if part)
    birth = date_text(text.patient_birth_date)
    name = name_text(text.patient_name)
    if name and text.guessed:
        name = f"≈ {name}"
    identity = text.patient_id.strip()
    lines = (name, f"ID {identity}" if identity and identity != name else "", f"*{birth}" if birth else "", person)
    return tuple(_cut(line) for line in lines if line)


def what(text: StackText) -> tuple[str, ...]:
    """Top right: institution, study, date and time."""
    when = "  ".join(part for part in (date_text(text.study_date), time_text(text.study_time)) if part)
    lines = (
        text.institution,
        text.study_description,
        when,
        f"Acc. {text.accession_number}" if text.accession_number else "",
    )
    return tuple(_cut(line) for line in lines if line.strip())


def window_text(window: Window) -> str:
    """Width and level of a window with its shape and the file's name for it; of a table its name."""
    if window.table is not None:
        return f"VOI table   {_cut(window.explanation)}".rstrip()
    words = [f"W {number(window.width)}  L {number(window.level)}", _cut(window.explanation)]
    if window.function is VoiFunction.SIGMOID:
        words.append("sigmoid")
    return "   ".join(word for word in words if word)


def _value_text(stack: Stack | None, volume: Volume, state: ViewState) -> str:
    """The value under the pointer with its unit; of a colour picture its samples."""
    if state.pointer_kji is None:
        return ""
    if stack is not None and stack.is_colour:
        return "" if state.colour is None else "   R {} G {} B {}".format(*state.colour)
    if volume.is_padding(state.pointer_kji):
        return "   padding"
    value = volume.value_at(state.pointer_kji)
    return "" if value is None else f"   {number(value)} {volume.unit}".rstrip()


def view_lines(stack: Stack | None, volume: Volume, state: ViewState) -> tuple[str, ...]:
    """Bottom left: window, zoom, value and place under the pointer, how the picture was taken."""
    preset = name_of(state.window, volume)
    lines = ["   ".join(part for part in (window_text(state.window), preset, "own" * state.own_window) if part)]
    if stack is not None and stack.is_colour:
        lines = []  # colours have no window
    second = f"{state.zoom * 100:.0f} %"
    if state.pointer_kji is not None:
        second += _value_text(stack, volume, state)
        if volume.grid is not None and volume.grid.oriented:
            x, y, z = volume.grid.index_to_lps(np.asarray(state.pointer_kji, dtype=np.float64))
            second += "   " + minus(f"({x:.1f}, {y:.1f}, {z:.1f}) mm")
    lines.append(second)
    if state.under_pointer:
        lines.append(_cut("   ".join(state.under_pointer)))
    if stack is not None:
        lines += [line for line in (_technique(stack),) if line]
    return tuple(lines)


def _technique(stack: Stack) -> str:
    text = stack.text
    facts: tuple[str, ...]
    if stack.modality == "CT":
        facts = (
            f"{text.kvp:.0f} kV" if text.kvp else "",
            f"{text.tube_current_ma:.0f} mA" if text.tube_current_ma else "",
            text.kernel,
        )
    elif stack.modality == "MR":
        facts = (
            f"TR {text.repetition_ms:.0f}" if text.repetition_ms else "",
            f"TE {number(text.echo_ms)}" if text.echo_ms else "",
            f"TI {text.inversion_ms:.0f}" if text.inversion_ms else "",
            f"FA {text.flip_degrees:.0f}°" if text.flip_degrees else "",
            f"{number(text.field_tesla)} T" if text.field_tesla else "",
        )
    else:
        facts = (f"{text.kvp:.0f} kV" if text.kvp else "",)
    return _cut("   ".join(fact for fact in facts if fact))


def series_lines(stack: Stack | None, volume: Volume, state: ViewState) -> tuple[str, ...]:
    """Bottom right: series, image number and place, thickness and spacing."""
    axes, grid = state.axes, volume.grid
    acquired = axes.through == 0
    total = axes.count(volume.size_kji)
    lines: list[str] = []
    if stack is not None:
        text = stack.text
        series = "" if text.series_number is None else f"Series {text.series_number}"
        description = text.series_description or text.protocol
        lines.append(_cut(": ".join(part for part in (series, description) if part)))
        lines.append(_cut(stack.name))
        view = " ".join(part for part in (text.laterality, text.view) if part)
        lines.append("" if view in stack.name else _cut(view))
        lines += state.notes
    lines.append(f"{'Image' if acquired else 'Cut'} {state.position + 1} / {total}")
    if grid is None and stack is not None and acquired and state.position < len(stack.frames):
        lines += _place_of_frame(stack, state.position)
    if grid is not None and not grid.oriented:
        lines.append(f"≈ {grid.spacing_kji[axes.through]:.2f} mm apart" if total > 1 else "")
    elif grid is not None:
        middle = (np.asarray(volume.size_kji) - 1) / 2
        middle[axes.through] = state.position
        place = grid.index_to_lps(middle)
        main = {PlaneName.SAGITTAL: 0, PlaneName.CORONAL: 1}.get(axes.name, 2)
        if axes.name is PlaneName.ACQUIRED:
            main = int(np.argmax(np.abs((grid.axis_k, grid.axis_j, grid.axis_i)[axes.through])))
        lines.append(minus(f"{'xyz'[main]} {place[main]:.1f} mm"))
        thickness = None if stack is None else stack.text.thickness_mm
        step = f"≈ {_apart_mm(grid, axes.through):.2f} mm apart" if total > 1 else ""
        thick = f"{number(thickness)} mm thick" if thickness and acquired else ""
        lines.append("   ".join(part for part in (thick, step) if part))
    return tuple(line for line in lines if line)


def _apart_mm(grid: Grid, through: int) -> float:
    """Distance of neighbouring cuts along their normal; a tilted stack's third axis is longer than that."""
    if through != 0:
        return grid.spacing_kji[through]
    normal = np.cross(grid.axis_i, grid.axis_j)
    return float(abs(grid.axis_k @ normal) * grid.spacing_kji[0])


def _place_of_frame(stack: Stack, position: int) -> list[str]:
    """Where an image of a stack without a grid lies, and how far the next one is."""
    here = stack.frames[position].position_lps
    if here is None or stack.direction is None:
        return []
    normal = np.asarray(stack.direction[6:9])
    main = int(np.argmax(np.abs(normal)))
    lines = [minus(f"{'xyz'[main]} {here[main]:.1f} mm")]
    after = stack.frames[position + 1].position_lps if position + 1 < len(stack.frames) else None
    if after is not None:
        lines.append(f"≈ {abs(float((np.asarray(after) - here) @ normal)):.2f} mm to the next")
    return lines


def badges(stack: Stack | None, volume: Volume) -> tuple[str, ...]:
    """Faults that whoever reads this picture must know, and how much of it has arrived."""
    found: list[str] = []
    if stack is not None:
        for quality in stack.quality:
            label = short_words(quality)
            if quality.code == "lossy" and ":" in stack.text.lossy:
                label = f"LOSSY {stack.text.lossy.split()[-1]}"
            if quality.code not in _NOT_ON_PICTURE | QUIET and label not in found:
                found.append(label)
    missing = int(np.count_nonzero(~volume.loaded))
    if missing:
        found.append(f"{volume.loaded.size - missing} of {volume.loaded.size} slices")
    return tuple(found)


def corner_text(stack: Stack | None, volume: Volume, state: ViewState, *, brief: bool = False) -> CornerText:
    """All corners of a view; `brief` views (the small ones beside a large one) leave the patient to the large one."""
    if brief:
        return CornerText(
            bottom_right=series_lines(None, volume, state)[:2],
            bottom_left=(f"{state.zoom * 100:.0f} %",),
        )
    text = None if stack is None else stack.text
    return CornerText(
        top_left=() if text is None else who(text),
        top_right=() if text is None else what(text),
        bottom_left=view_lines(stack, volume, state),
        bottom_right=series_lines(stack, volume, state),
        badges=(*badges(stack, volume), *state.hides),
        quiet=("padding hidden",) if state.padding else (),
    )


def scale_bar(scale: float, short_side: float) -> tuple[float, str] | None:
    """Length (mm) and label of a bar of 20 to 35 % of the view's short side, in steps of 1, 2, 5; or None."""
    low, high = 0.20 * short_side / scale, 0.35 * short_side / scale
    if not (math.isfinite(low) and low > 0):
        return None
    for exponent in range(math.floor(math.log10(low)) + 1, math.floor(math.log10(low)) - 1, -1):
        for digit in (5, 2, 1):
            length = digit * 10.0**exponent
            if low <= length <= high:
                return length, f"{length / 10:g} cm" if length >= 10 else f"{length:g} mm"
    nearest = max((d * 10.0**e for e in range(-3, 5) for d in (1, 2, 5) if d * 10.0**e <= high), default=0.0)
    return (nearest, f"{nearest / 10:g} cm" if nearest >= 10 else f"{nearest:g} mm") if nearest else None

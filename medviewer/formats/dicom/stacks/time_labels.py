"""Names for the times of a 4-D stack and for its sisters: "b 1000", "TE 20 ms", "phase", "12.5 s"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medviewer.formats.dicom.headers.planes import FramePlane

_WORDS: dict[str, str] = {
    "temporal": "time {:g}", "b": "b {:g}", "echo number": "echo {:g}", "TE": "TE {:g} ms", "TI": "TI {:g} ms",
    "trigger": "trigger {:g} ms", "acquisition": "acquisition {:g}", "component": "{}", "image type": "{}",
    "stack": "stack {}", "phase": "phase {:g}", "kernel": "kernel {}", "contrast": "contrast {}", "kV": "{:g} kV",
}  # fmt: skip
#: What telling pictures apart by a mere number may mean: the first attribute that says the same in better words.
_BETTER: dict[str, tuple[str, ...]] = {
    "temporal": ("b+gradient", "TE", "TI", "trigger", "phase", "component"),
    "echo number": ("TE",),
    "acquisition": ("b+gradient", "TE", "TI", "trigger", "contrast", "kernel", "kV", "component", "acquisition time"),
    "stack": ("TE", "TI", "b+gradient", "component"),
    "dimension": ("b+gradient", "TE", "TI", "trigger", "phase", "component", "image type"),
    "acquisition time": ("b+gradient", "TE", "TI", "trigger"),
    "time": ("b+gradient", "TE", "TI", "trigger"),
}
#: Image Type values as people say them (Siemens, Philips and GE write them differently).
_TYPES: dict[str, str] = {
    "M": "magnitude", "MAGNITUDE": "magnitude", "M_FFE": "magnitude", "M_SE": "magnitude", "M_IR": "magnitude",
    "P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "P_FFE": "phase", "P_SE": "phase", "R": "real",
    "REAL": "real", "R_FFE": "real", "I": "imaginary", "IMAGINARY": "imaginary", "I_FFE": "imaginary",
    "ADC": "ADC", "EADC": "exponential ADC", "TRACEW": "trace", "FA": "FA", "WATER": "water", "W": "water",
    "FAT": "fat", "F": "fat", "IN_PHASE": "in phase", "IP": "in phase", "OUT_PHASE": "out of phase",
    "OPP_PHASE": "out of phase", "OP": "out of phase", "VELOCITY": "velocity",
}  # fmt: skip

Group = tuple[tuple[float | str, ...], Sequence[FramePlane]]


def group_labels(names: tuple[str, ...], groups: Sequence[Group]) -> tuple[str, ...]:
    """A label for each group of pictures.

    Args:
        names: the attributes that tell the groups apart.
        groups: their values, and the planes of each group's pictures.
    """
    if len(names) == 1:
        for better in _BETTER.get(names[0].rstrip(" 0123456789"), ()):
            values = [_constant(planes, better) for _, planes in groups]
            if None not in values and len(set(values)) == len(groups):
                return _labels(better, [v for v in values if v is not None])
            if better == "b+gradient" and None not in values and len(set(values)) > 1:
                return _labels(better, [v for v in values if v is not None])  # repeats are counted
    parts = [_labels(name, [value[n] for value, _ in groups]) for n, name in enumerate(names)]
    return tuple(", ".join(part for part in row if part) for row in zip(*parts, strict=True))


def _constant(planes: Sequence[FramePlane], name: str) -> float | str | None:
    found = {plane.key(name) for plane in planes}
    return found.pop() if len(found) == 1 else None


def _labels(name: str, values: Sequence[float | str]) -> tuple[str, ...]:
    if name == "b+gradient":
        return _diffusion_labels([str(value) for value in values])
    if name in ("acquisition time", "time"):
        return _time_labels([str(value) for value in values])
    if name.startswith("dimension"):
        return tuple(f"time {n + 1}" for n in range(len(values))) if len(set(values)) > 1 else ("",) * len(values)
    if name == "image type":
        return _type_labels([str(value) for value in values])
    return tuple(_WORDS[name].format(value) for value in values)


def _diffusion_labels(values: Sequence[str]) -> tuple[str, ...]:
    """ "b 0", "b 1000, direction 2": directions are counted within their b-value."""
    b_values = [float(value.partition(" ")[0]) for value in values]
    several = {b for b, count in Counter(b_values).items() if count > 1}
    seen: Counter[float] = Counter()
    labels = []
    for b, value in zip(b_values, values, strict=True):
        seen[b] += 1
        word = "direction" if value.partition(" ")[2].strip() else "no."
        labels.append(f"b {b:g}, {word} {seen[b]}" if b in several else f"b {b:g}")
    return tuple(labels)


def _time_labels(values: Sequence[str]) -> tuple[str, ...]:
    """Seconds since the first; plain numbers where a time cannot be read."""
    seconds = [seconds_of(value) for value in values]
    known = [s for s in seconds if s is not None]
    if len(known) < len(values):
        return tuple(f"time {n + 1}" for n in range(len(values)))
    first = min(known)
    offsets = tuple(f"{s - first:.1f} s" for s in known)
    if len(set(offsets)) < len(set(values)):
        return tuple(f"time {n + 1}" for n in range(len(values)))
    return offsets


def seconds_of(text: str) -> float | None:
    """Seconds of the day of a TM, or since the month's begin of a DT."""
    digits = text.strip().replace(":", "").partition("+")[0]
    whole, _, fraction = digits.partition(".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()):
        return None
    day = 0
    if len(whole) >= 14:
        day, whole = int(whole[6:8]), whole[8:14]
    if len(whole) != 6:
        return None
    return day * 86400.0 + int(whole[:2]) * 3600 + int(whole[2:4]) * 60 + int(whole[4:]) + float(f"0.{fraction or 0}")


def _type_labels(values: Sequence[str]) -> tuple[str, ...]:
    """What differs between Image Types, in words where they have some."""
    split = [value.split("\\") for value in values]
    common = set(split[0]).intersection(*split[1:]) if len(split) > 1 else set()
    labels = []
    for parts in split:
        own = list(dict.fromkeys(_TYPES.get(part.upper(), part) for part in parts if part not in common))
        labels.append(" ".join(own) or " ".join(parts))
    return tuple(labels)

"""One line for people about documents and other objects without pictures, and the series that they refer to.

The scan's header leaves out what these lines need, so the file is read a second time; it is small. A file that cannot
be read so keeps the line that its header alone gives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medviewer.errors import MedviewerError
from medviewer.formats import source
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Elements
from medviewer.formats.dicom.objects import document as D
from medviewer.formats.dicom.objects.document import ImageReference, count_text

_log = logging.getLogger(__name__)

#: Larger files are not read a second time for their line.
_MAX_SIZE = 16 << 20

_CHANNELS, _SAMPLES, _FREQUENCY, _WAVEFORMS = 0x003A0005, 0x003A0010, 0x003A001A, 0x54000100
_MAPPED_IMAGES, _MAPPINGS, _UNITS, _MAP_LABEL = 0x00409094, 0x00409096, 0x004008EA, 0x00409210
_GROUPS, _GROUP_LABEL, _GROUP_COUNT = 0x006A0002, 0x006A0005, 0x006A000C
_POINT_ROWS, _POINT_COLUMNS = 0x00289001, 0x00289002
_FACTS: dict[int, bytes] = {
    _CHANNELS: b"US", _SAMPLES: b"UL", _FREQUENCY: b"DS", _WAVEFORMS: b"SQ", _MAPPED_IMAGES: b"SQ", _MAPPINGS: b"SQ",
    _UNITS: b"SQ", _MAP_LABEL: b"SH", _GROUPS: b"SQ", _GROUP_LABEL: b"LO", _GROUP_COUNT: b"UL", _POINT_ROWS: b"UL",
    _POINT_COLUMNS: b"UL", T.ROWS: b"US", T.COLUMNS: b"US", T.FRAMES: b"IS", T.CONTENT_LABEL: b"CS",
}  # fmt: skip

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CLASS_NAMES = {
    "9.1.1": "12-lead ECG", "9.1.2": "ECG", "9.1.3": "ambulatory ECG", "9.1.4": "12-lead ECG",
    "9.2.1": "pressure curves", "9.3.1": "cardiac electrophysiology", "9.4.1": "voice recording",
    "9.4.2": "audio recording", "9.5.1": "arterial pulse", "9.6.1": "respiration", "9.6.2": "respiration",
    "9.7.1": "EEG", "9.7.2": "EMG", "9.7.3": "EOG", "9.7.4": "sleep EEG", "9.8.1": "body position",
    "66": "raw data", "66.1": "spatial registration", "66.2": "spatial fiducials",
    "66.3": "deformable registration", "66.5": "surface segmentation", "68.1": "surface scan mesh",
    "68.2": "surface scan point cloud", "66.6": "tractography", "104.2": "clinical document (CDA)",
    "481.4": "RT beams record", "481.6": "RT brachytherapy record", "481.7": "RT treatment summary",
    "481.9": "RT ion beams record",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """What a line and the list of series need.

    Attributes:
        parts: parts of the summary after the kind; empty where nothing better than the label is known.
        series: UIDs of series that the object refers to.
    """

    parts: tuple[str, ...] = ()
    series: tuple[str, ...] = ()


def summary_of(path: Path, kind: str, sop_class: str, label: str) -> Summary:
    """What there is to say about an object; never raises.

    Args:
        path: the file.
        kind: as in `ObjectFile.kind`.
        sop_class: its SOP class UID.
        label: what the header's title or label says.
    """
    describe = _DESCRIBE.get(kind)
    try:
        if kind in ("PDF", "M3D") or sop_class == f"{_STORAGE}104.2":
            return _encapsulated(path, sop_class, label)
        if describe is None or source.size_of(path) > _MAX_SIZE:
            name = _CLASS_NAMES.get(sop_class.removeprefix(_STORAGE), "")
            return Summary(tuple(part for part in (name, label) if part)) if name else Summary()
        return describe(path, sop_class, label)
    except (MedviewerError, OSError, source.SourceFault) as error:
        _log.debug("no facts about an object: %s", type(error).__name__)
        return Summary()


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _series(references: tuple[ImageReference, ...]) -> tuple[str, ...]:
    return D.unique(reference.series_uid for reference in references)


def _report(path: Path, _: str, label: str) -> Summary:
    from medviewer.formats.dicom.objects.sr import read_report
    from medviewer.formats.dicom.objects.sr_measurements import measurements

    report = read_report(path)
    count = len(measurements(report))
    state = "verified" if report.is_verified else "not verified"
    title = report.title or label
    return Summary(
        (_joined(title, count_text(count, "measurement") if count else "", state),), _series(report.evidence)
    )


def _selection(path: Path, _: str, __: str) -> Summary:
    from medviewer.formats.dicom.objects.ko import key_selection
    from medviewer.formats.dicom.objects.sr import read_report

    report = read_report(path)
    selection = key_selection(report)
    instances = {image.sop_instance_uid for image in selection.images}
    first = selection.description.split("\n")[0][:80]
    line = _joined(selection.title, *selection.modifiers, count_text(len(instances), "image"))
    named = _series(selection.images) or _series(report.evidence)
    return Summary(tuple(part for part in (line, first) if part), named)


def _encapsulated(path: Path, sop_class: str, label: str) -> Summary:
    """Of a large file its own size stands for the document's: the rest is some kilobytes of header."""
    from medviewer.formats.dicom.objects.encapsulated import read_encapsulated, size_text

    size = source.size_of(path)
    if size <= _MAX_SIZE:
        found = read_encapsulated(path)
        size, label = len(found.data), found.title or label
    form = {"104.2": "CDA", "104.3": "STL", "104.4": "OBJ", "104.5": "MTL"}.get(sop_class.removeprefix(_STORAGE), "")
    return Summary((_joined(form, label or "no title", size_text(size)),))


def _data(path: Path) -> Elements:
    return D.read_document(path, _FACTS).data


def _waveform(path: Path, sop_class: str, label: str) -> Summary:
    data = _data(path)
    groups = data.items(_WAVEFORMS)
    channels = sum(group.integer(_CHANNELS) or 0 for group in groups)
    seconds = [
        (group.number(_SAMPLES) or 0) / frequency
        for group in groups
        if (frequency := group.number(_FREQUENCY) or 0) > 0
    ]
    name = _CLASS_NAMES.get(sop_class.removeprefix(_STORAGE), "waveform")
    length = f"{max(seconds):.3g} s" if seconds else ""
    return Summary(
        (_joined(name, count_text(channels, "channel") if channels else "", length),) + ((label,) if label else ())
    )


def _value_map(path: Path, _: str, label: str) -> Summary:
    from medviewer.formats.dicom.objects.sr import unit_text

    data = _data(path)
    charsets = data.texts(T.CHARSET)
    units, images, labels = [], set(), []
    for mapped in data.items(_MAPPED_IMAGES):
        images |= {item.text(D.REFERENCED_INSTANCE) for item in mapped.items(D.REFERENCED_IMAGES)}
        for mapping in mapped.items(_MAPPINGS):
            units.append(unit_text(D.coded(mapping, _UNITS, charsets)))
            labels.append(D.words(mapping, _MAP_LABEL, charsets))
    series = D.unique(item.text(T.SERIES_UID) for item in data.items(T.REFERENCED_SERIES))
    what = ", ".join(D.unique(labels)[:3]) or label
    in_unit = ", ".join(D.unique(units)[:3])
    line = _joined(
        what, f"in {in_unit}" if in_unit else "", f"for {count_text(len(images), 'image')}" if images else ""
    )
    return Summary((line,) if line else (), series)


def _annotations(path: Path, _: str, label: str) -> Summary:
    data = _data(path)
    charsets = data.texts(T.CHARSET)
    groups = data.items(_GROUPS)
    count = sum(int(group.number(_GROUP_COUNT) or 0) for group in groups)
    names = [D.words(group, _GROUP_LABEL, charsets) for group in groups[:4]]
    line = _joined(f"{count_text(count, 'annotation')} in {count_text(len(groups), 'group')}", *D.unique(names))
    series = D.unique(item.text(T.SERIES_UID) for item in data.items(T.REFERENCED_SERIES))
    return Summary((line, label) if label else (line,), series)


def _spectroscopy(path: Path, _: str, label: str) -> Summary:
    data = _data(path)
    rows, columns = data.integer(T.ROWS) or 1, data.integer(T.COLUMNS) or 1
    points = data.integer(_POINT_COLUMNS) or data.integer(_POINT_ROWS)
    voxels = f"{rows} × {columns} voxels" if rows * columns > 1 else "single voxel"
    line = _joined(voxels, f"{points} points" if points else "", "spectra are not shown")
    return Summary((label, line) if label else (line,))


def _without_pixels(_: Path, sop_class: str, label: str) -> Summary:
    from medviewer.formats.dicom.objects.sr_text import noun_of

    what = f"{noun_of(sop_class)} without pixels" if sop_class.startswith(_STORAGE) else "a data set without pixels"
    return Summary(tuple(part for part in (what, label) if part))


def _presentation(path: Path, _: str, __: str) -> Summary:
    from medviewer.formats.dicom.objects.gsps import read_presentation

    state = read_presentation(path)
    return Summary((state.summary,), _series(state.images))


_DESCRIBE: dict[str, Callable[[Path, str, str], Summary]] = {
    "SR": _report,
    "KO": _selection,
    "PR": _presentation,
    "WAVEFORM": _waveform,
    "RWV": _value_map,
    "ANN": _annotations,
    "MR-spectroscopy": _spectroscopy,
    "no-pixels": _without_pixels,
}

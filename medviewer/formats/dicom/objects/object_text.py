"""What an object says, as lines of plain text: the same lines in the window and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medviewer.errors import BadInput
from medviewer.formats.catalog import Catalog, ObjectFile
from medviewer.formats.dicom.objects.document import count_text
from medviewer.formats.dicom.objects.sr_text import Role, TextLine, noun_of, report_lines
from medviewer.volume.window import Window

#: Kinds that have words of their own.
WITH_TEXT = frozenset({"SR", "KO", "PR", "PDF", "M3D"})


def places_of(catalog: Catalog) -> dict[str, str]:
    """Where each open image is to be found, by its SOP Instance UID; "" for other objects, which have no place."""
    places = {found.sop_instance_uid: "" for found in catalog.objects}
    for patient in catalog.patients:
        for study in patient.studies:
            for series in study.series:
                name = "" if series.number is None else f"series {series.number}"
                for stack in series.stacks:
                    slices = stack.size_kji[0]
                    for n, frame in enumerate(stack.frames):
                        time, k = divmod(n, slices)
                        image = f"image {k + 1}" + (f" of time {time + 1}" if stack.times > 1 else "")
                        several = frame.sop_instance_uid in places
                        parts = (name,) if several else (name, image)
                        places[frame.sop_instance_uid] = ", ".join(part for part in parts if part)
    places.pop("", None)
    return places


def has_text(found: ObjectFile) -> bool:
    """True where `object_lines` has more to say than the summary."""
    return found.kind in WITH_TEXT or (found.kind == "other" and found.summary.startswith("other - CDA"))


def object_lines(found: ObjectFile, places: Mapping[str, str] | None = None) -> list[TextLine]:
    """The words of an object.

    Args:
        found: the object.
        places: as `places_of` gives them; None: nothing is said about where the objects are that it points at.

    Raises:
        BadInput: the file cannot be read.
    """
    if found.kind in ("SR", "KO"):
        from medviewer.formats.dicom.objects.sr import read_report

        return report_lines(read_report(found.path), places)
    if found.kind == "PR":
        return _presentation(found.path, places)
    if has_text(found):
        return _encapsulated(found.path)
    return [TextLine(found.summary)]


def _presentation(path: Path, places: Mapping[str, str] | None) -> list[TextLine]:
    from medviewer.formats.dicom.objects.gsps import read_presentation

    state = read_presentation(path)
    title = state.label or state.description or "Presentation state"
    lines = [TextLine(title, 0, Role.TITLE)]
    if state.description and state.description != title:
        lines.append(TextLine(state.description))
    lines.append(TextLine(f"A {state.kind} presentation state", 0, Role.CONTEXT))
    if not state.is_grayscale:
        lines.append(
            TextLine(f"Its {state.kind} rules are not applied here; only what is drawn is shown.", 0, Role.WARNING)
        )
    made = ", ".join(part for part in (state.creator, state.created) if part)
    if made:
        lines.append(TextLine(f"Made by {made}" if state.creator else f"Made {made}", 0, Role.CONTEXT))
    images = {image.sop_instance_uid: image for image in state.images}
    first = next(iter(images.values()), None)
    if first is None:
        lines.append(TextLine("It names no image.", 0, Role.WARNING))
    else:
        lines.append(TextLine(f"For {count_text(len(images), noun_of(first.sop_class))}"))
    missing = 0 if places is None else sum(uid not in places for uid in images)
    if missing:
        which = "None of them is" if missing == len(images) else f"{missing} of them are not"
        lines.append(TextLine(f"{which} among the open files.", 0, Role.WARNING))
    for voi in state.voi:
        told = [_window_text(window) for window in voi.windows]
        lines.append(TextLine(", ".join(told) or "no usable window"))
    if state.is_grayscale and not any(voi.windows for voi in state.voi):
        lines.append(TextLine("no window of its own: the image's stays", 0, Role.CONTEXT))
    if state.shutter is not None or state.bitmap_shutter:
        lines.append(TextLine("a shutter"))
    if state.rotation or state.flip:
        turned = [f"rotated {state.rotation}°" if state.rotation else "", "mirrored" if state.flip else ""]
        lines.append(TextLine(", ".join(part for part in turned if part)))
    for number, annotation in enumerate(state.annotations, 1):
        drawn = len(annotation.graphics)
        heading = f"Annotation {number}" + (f", layer {annotation.layer}" if annotation.layer else "")
        lines.append(TextLine(heading, 0, Role.HEADING))
        for text in annotation.texts:
            lines += [TextLine(line, 1) for line in text.text.split("\n")]
        if drawn:
            shapes = ", ".join(dict.fromkeys(graphic.shape.lower() for graphic in annotation.graphics))
            lines.append(TextLine(f"{count_text(drawn, 'shape')}: {shapes}", 1, Role.CONTEXT))
        if annotation.compounds:
            lines.append(TextLine(f"{count_text(annotation.compounds, 'compound graphic')} not drawn", 1, Role.WARNING))
    return lines


def _window_text(window: Window) -> str:
    what = f"window {window.width:g} / {window.level:g}" if window.table is None else "a lookup table"
    return what + (f" ({window.explanation})" if window.explanation else "")


def _encapsulated(path: Path) -> list[TextLine]:
    from medviewer.formats.dicom.objects.encapsulated import cda_lines, read_encapsulated, size_text, why_no_pdf

    found = read_encapsulated(path)
    lines = [TextLine(found.title or found.form, 0, Role.TITLE)]
    lines.append(TextLine(f"{found.form}, {size_text(len(found.data))}", 0, Role.CONTEXT))
    if found.form == "PDF":
        reason = why_no_pdf(found)
        words = reason or "It is shown on request only, by the program of this computer that shows PDF files."
        lines.append(TextLine(words, 0, Role.WARNING if reason else Role.FACT))
    elif found.form == "CDA":
        try:
            told = cda_lines(found.data)
        except BadInput as fault:
            raise BadInput(fault.what, path=path) from fault
        lines += [TextLine(text, depth, Role.HEADING if head else Role.FACT) for depth, head, text in told]
        if not told:
            lines.append(TextLine("It holds no text for people.", 0, Role.WARNING))
    elif not found.data:
        lines.append(TextLine("The file names a model but holds none.", 0, Role.WARNING))
    else:
        lines.append(TextLine("Models are listed, not shown; convert them with another program.", 0, Role.WARNING))
    return lines

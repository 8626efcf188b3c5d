"""What a structured report measures and where: the groups of TID 1500 reports, and any number with a graphic.

TID 1500 puts the region of a group beside its numbers (TID 1410 and 1411, PS3.16); other writers hang the graphic
below the number that was inferred from it. Both end here as a `Measurement` that a view can draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from medviewer.formats.dicom.objects.document import ImageReference, unique
from medviewer.formats.dicom.objects.sr import ContentItem, Graphic, Report

#: Measurement Group, PS3.16 DCM.
GROUP = "125007"
_TRACKING_ID = "112039"
_FINDING = (("121071", "DCM"),)
_SITE = frozenset({("363698007", "SCT"), ("G-C0E3", "SRT")})
_DEVICE = "121007"
_OBSERVER_TYPE = "121005"
_ALGORITHM = "111001"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One finding that was measured, or one number with its place.

    Attributes:
        title: what was measured: its finding, tracking identifier or name.
        values: "Length 23.4 mm", as drawn beside the graphic.
        graphics: where.
        images: pictures that it refers to without a graphic.
        by_device: an algorithm made it, no person is named.
        items: the content items that tell of it.
    """

    title: str
    values: tuple[str, ...]
    graphics: tuple[Graphic, ...]
    images: tuple[ImageReference, ...] = ()
    by_device: bool = False
    items: tuple[ContentItem, ...] = field(default=(), compare=False, repr=False)

    def references(self) -> tuple[ImageReference, ...]:
        """All pictures that it lies in or refers to, those with graphics first."""
        with_graphics = (image for graphic in self.graphics for image in graphic.images)
        return tuple(dict.fromkeys((*with_graphics, *self.images)))


def measurements(report: Report) -> tuple[Measurement, ...]:
    """The measurements of a report in its order."""
    by_device = _observer_is_device(report.root) is True
    return tuple(_below(report.root, by_device))


def _below(item: ContentItem, by_device: bool) -> Iterator[Measurement]:
    for child in item.children:
        if child.value_type == "CONTAINER":
            device = _observer_is_device(child)
            inside = by_device if device is None else device
            yield from _group(child, inside) if child.is_named(GROUP) else _below(child, inside)
        elif child.value_type in ("NUM", "CODE", "TEXT"):
            graphics = tuple(_graphics(child))
            if graphics or child.value_type == "NUM":
                yield _single(child, graphics, by_device)
        elif child.value_type in ("SCOORD", "SCOORD3D") and child.graphic is not None:
            yield _single(child, (child.graphic,), by_device)


def _group(group: ContentItem, by_device: bool) -> Iterator[Measurement]:
    """One measurement for what the group shares, and one for each number that has a graphic of its own."""
    shared: list[Graphic] = []
    values: list[str] = []
    own: list[Measurement] = []
    images: list[ImageReference] = []
    items: list[ContentItem] = [group]
    nested: list[Measurement] = []
    for child in group.children:
        if child.value_type == "CONTAINER":
            nested += _below(ContentItem("CONTAINER", children=(child,)), by_device)
            continue
        graphics = tuple(_graphics(child))
        if child.value_type == "NUM" and graphics:
            own.append(_single(child, graphics, by_device))
            continue
        shared += graphics
        items += child.walk()
        if child.value_type == "NUM":
            values.append(value_text(child))
        elif child.reference is not None and child.relationship == "CONTAINS":
            images.append(child.reference)
    title = _group_title(group)
    if shared or values or images or not own:
        yield Measurement(title, tuple(values), tuple(shared), tuple(images), by_device, tuple(items))
    for one in own:
        yield Measurement(title, one.values, one.graphics, one.images, by_device, one.items)
    yield from nested


def _group_title(group: ContentItem) -> str:
    finding, site, tracking = "", "", ""
    for child in group.children:
        if child.name is None:
            continue
        key = (child.name.value, child.name.scheme)
        if key in _FINDING and not finding:
            finding = child.value
        elif key in _SITE and not site:
            site = child.value
        elif child.is_named(_TRACKING_ID) and not tracking:
            tracking = child.value
    named = ", ".join(unique((finding, site)))
    return named or tracking or group.label or "Measurement"


def _single(item: ContentItem, graphics: tuple[Graphic, ...], by_device: bool) -> Measurement:
    value = value_text(item) if item.value_type == "NUM" else item.value.split("\n")[0][:120]
    values = (value,) if value and value != item.label else ()
    return Measurement(item.label or "Region", values, graphics, (), by_device, tuple(item.walk()))


def value_text(item: ContentItem) -> str:
    """Name and value of a NUM item as drawn beside a graphic: three significant digits, or one decimal in mm."""
    if item.number is None:
        return f"{item.label} {item.value}".strip()
    return f"{item.label} {number_text(item.number, item.unit)}".strip()


def number_text(number: float, unit: str) -> str:
    """A number with its unit: counts whole, millimetres with one decimal, others with three significant digits."""
    size = abs(number)
    if number == int(number) and size < 1e6:
        text = f"{int(number)}"
    elif unit == "mm" or (10 <= size < 100):
        text = f"{number:.1f}"
    elif size >= 100:
        text = f"{number:.0f}" if size < 1e6 else f"{number:.3g}"
    else:
        text = f"{number:.2f}" if size >= 1 else f"{number:.3g}"
    return f"{text}{unit}" if unit in ("°", "%") else f"{text} {unit}".rstrip()


def _graphics(item: ContentItem) -> Iterator[Graphic]:
    """Graphics of an item and below it, down to the next container."""
    if item.graphic is not None:
        yield item.graphic
    for child in item.children:
        if child.value_type != "CONTAINER":
            yield from _graphics(child)


def _observer_is_device(container: ContentItem) -> bool | None:
    """True where only a device is named as observer, False where a person is; None where nobody is named."""
    kinds = [
        child.code.value for child in container.children if child.is_named(_OBSERVER_TYPE) and child.code is not None
    ]
    if kinds:
        return all(kind == _DEVICE for kind in kinds)
    if any(child.is_named(_ALGORITHM) for child in container.children):
        return True
    return None

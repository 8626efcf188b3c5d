"""The recipe of a phantom: what it is made of and what lies in it, read from `resources/phantom/NAME.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medviewer.errors import BadInput
from medviewer.places import resources_folder

Table = Mapping[str, Any]

_NEEDED = {
    "study": ("size_kji", "spacing_kji", "top_z", "middle_xy", "table_gap"),
    "tissue": ("air", "lung", "fat", "muscle", "blood", "marrow", "cortex", "liver"),
    "body": ("scale", "cage_half_width", "cage_half_depth", "branches"),
    "scanner": ("pixel_mm", "slice_spacing_mm", "blur_mm", "noise"),
}


@dataclass(frozen=True, slots=True)
class NodulePlan:
    """A nodule that the recipe puts into the study.

    Attributes:
        kind: a name below `[kind]` of the recipe.
        diameter_mm: diameter of the sphere that it is made from.
        centre: where its middle is wanted, mm in the frame of the anatomy (x, y, z).
        hu: value of its solid part, or None to draw one from the kind's range.
    """

    kind: str
    diameter_mm: float
    centre: tuple[float, float, float]
    hu: float | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a phantom is made of; each table keeps the words of the file."""

    name: str
    description: str
    study: Table
    tissue: Table
    body: Table
    scanner: Table
    kinds: Mapping[str, Table]
    nodules: tuple[NodulePlan, ...]

    def kind(self, name: str) -> Table:
        """The table of one kind of nodule; raises `BadInput` for a name that the recipe does not have."""
        if name not in self.kinds:
            known = ", ".join(sorted(self.kinds))
            raise BadInput(f"the phantom has no nodules of kind {name!r}", remedy=f"kinds are {known}")
        return self.kinds[name]


def draw(rng: np.random.Generator, entry: Any, *, logarithmic: bool = False) -> float:
    """A number of a recipe: itself, or drawn evenly from `[low, high]` (evenly in its logarithm on request)."""
    if isinstance(entry, int | float):
        return float(entry)
    low, high = (float(v) for v in entry)
    if logarithmic:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def load_recipe(name: str = "chest") -> Recipe:
    """The shipped recipe of that name, or the recipe in a TOML file if `name` is a path to one.

    Raises:
        BadInput: there is no such recipe, it is not TOML, or a part is missing.
    """
    path = Path(name) if name.endswith(".toml") else resources_folder() / "phantom" / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise BadInput(f"there is no phantom recipe {name!r}", path=path) from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"the phantom recipe is not valid TOML: {error}", path=path) from error
    for part, keys in _NEEDED.items():
        missing = [key for key in keys if key not in table.get(part, {})]
        if missing:
            raise BadInput(f"the phantom recipe lacks {part}.{missing[0]}", path=path)
    recipe = Recipe(
        name=str(table.get("name", path.stem)),
        description=str(table.get("description", "")),
        study=table["study"],
        tissue=table["tissue"],
        body=table["body"],
        scanner=table["scanner"],
        kinds=table.get("kind", {}),
        nodules=tuple(_nodule(entry, path) for entry in table.get("nodule", [])),
    )
    for plan in recipe.nodules:
        recipe.kind(plan.kind)
    return recipe


def _nodule(entry: Table, path: Path) -> NodulePlan:
    try:
        x, y, z = (float(v) for v in entry["centre"])
        hu = None if "hu" not in entry else float(entry["hu"])
        return NodulePlan(str(entry["kind"]), float(entry["diameter_mm"]), (x, y, z), hu)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"a nodule of the phantom recipe cannot be read: {error}", path=path) from error

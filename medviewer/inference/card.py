"""The card of a task: what a model is for, what it was measured on, what it does not do. `card.toml` in words.

The part that the program acts on (kind, input, output, weights) is read into `TaskCard`; everything else is text and
figures for people and stays in `TaskCard.facts`, in the card's own order.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medviewer.errors import Refused

#: Names of tasks and versions become names of folders.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

PromptUse = Literal["required", "optional", "none"]


@dataclass(frozen=True, slots=True)
class TaskCard:
    """The card of one version of one task.

    Attributes:
        task: the task's name, "hippocampus-segment".
        title: for people.
        version: the name of the version's folder.
        kind: which runner serves it ("volume-segment", "nodule-segment", ...; `medviewer.inference.predict`).
        modalities: DICOM modalities that it accepts; empty: any.
        prompt: whether a click or a box is needed.
        labels: names of the output's segments, in the order of the net's classes (background left out).
        weights: tensor facts that must agree with config.json and the weights: `files`, `parameters`, `inputs`,
            `classes`, as far as the card states them.
        facts: the whole card.
    """

    task: str
    title: str
    version: str
    kind: str
    modalities: tuple[str, ...]
    prompt: PromptUse
    labels: tuple[str, ...]
    weights: Mapping[str, int]
    facts: Mapping[str, Any]

    @property
    def intended_use(self) -> str:
        """What the model is for."""
        return str(self.facts.get("intended_use", ""))

    @property
    def not_intended(self) -> str:
        """What it is not for."""
        return str(self.facts.get("not_intended", ""))


def parse_card(text: str) -> TaskCard:
    """Read a `card.toml`.

    Raises:
        Refused: no valid TOML, or a part that the program needs is missing or of the wrong type.
    """
    try:
        facts = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"the model's card is no valid TOML: {error}") from error
    return card_of(facts)


def card_of(facts: Mapping[str, Any]) -> TaskCard:
    """The card with these facts.

    Raises:
        Refused: a part that the program needs is missing or of the wrong type.
    """

    def text(name: str) -> str:
        value = facts.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(f"the model's card has no text for `{name}`")
        return value

    def part(name: str) -> Mapping[str, Any]:
        value = facts.get(name, {})
        if not isinstance(value, Mapping):
            raise Refused(f"`{name}` of the model's card must be a table")
        return value

    def words(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
        value = table.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Refused(f"`{name}` of the model's card must be a list of words")
        return tuple(value)

    task, version = text("task"), text("version")
    for name in (task, version):
        check_name(name)
    prompt = part("input").get("prompt", "none")
    if prompt not in ("required", "optional", "none"):
        raise Refused("`input.prompt` of the model's card must be required, optional or none")
    weights = part("weights")
    if not all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in weights.values()):
        raise Refused("`weights` of the model's card must hold whole numbers")
    return TaskCard(
        task=task,
        title=text("title"),
        version=version,
        kind=text("kind"),
        modalities=words(part("input"), "modalities"),
        prompt=prompt,
        labels=words(part("output"), "labels"),
        weights=dict(weights),
        facts=facts,
    )


def check_name(name: str) -> str:
    """The name, if it may be a folder's name (lower case, digits, `.`, `_`, `-`).

    Raises:
        Refused: it may not.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise Refused(f"{name!r} is no name for a task or a version")
    return name


def card_text(facts: Mapping[str, Any]) -> str:
    """The facts as TOML: text, numbers, truth values, lists of these, and tables of these, one level deep or more."""
    return "\n".join(_table(facts, ())) + "\n"


def _table(facts: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [] if not path else [f"[{'.'.join(_key(p) for p in path)}]"]
    lines += [f"{_key(k)} = {_value(v)}" for k, v in facts.items() if not isinstance(v, Mapping) and v is not None]
    for name, value in facts.items():
        if isinstance(value, Mapping):
            lines += ["", *_table(value, (*path, str(name)))]
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for plain, code in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        escaped = escaped.replace(plain, code)
    return f'"{escaped}"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"a card cannot hold {type(value).__name__}")

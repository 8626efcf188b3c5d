"""Which models can say something about the shown stack, and what stands on their cards. Read in a job."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medviewer.errors import MedviewerError
from medviewer.inference.card import TaskCard
from medviewer.inference.package import ModelPackage
from medviewer.inference.store import ModelStore


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """One task with its champion, as far as the window needs it.

    Attributes:
        task, title, version, model: names; `model` is the id that suggestions carry.
        kind: which runner serves it ("nodule-segment").
        modalities: that it accepts; empty for any.
        labels: names of its segments.
        source: whose opinion it is and how well it was measured, for people; empty where nothing is known.
        about: what it is for, not for, and where it fails, from its card.
        previous: version that a roll back leads to, or empty.
        fault: why its champion cannot be used, or None.
    """

    task: str
    title: str
    version: str
    model: str
    kind: str
    modalities: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    source: str = ""
    about: str = ""
    previous: str = ""
    fault: str | None = None

    @property
    def family(self) -> str:
        """Tasks of one family look at the same thing: "nodule" of "nodule-segment"."""
        return self.kind.partition("-")[0]

    @property
    def does(self) -> str:
        """What it does: "segment", "classify", "similar"."""
        return self.kind.rpartition("-")[2]

    def takes(self, modality: str) -> bool:
        """True where pictures of this modality are its business."""
        return not self.modalities or modality in ("", "OT", *self.modalities)


@dataclass(frozen=True, slots=True)
class TaskBook:
    """All tasks of the model store."""

    tasks: tuple[TaskFacts, ...] = field(default=())

    def outlining(self, modality: str) -> tuple[TaskFacts, ...]:
        """The tasks that outline something in pictures of this modality."""
        return tuple(t for t in self.tasks if t.does == "segment" and t.fault is None and t.takes(modality))

    def beside(self, task: TaskFacts, does: str) -> TaskFacts | None:
        """The task of the same family that does something else ("classify", "similar"), or None."""
        return next((t for t in self.tasks if t.family == task.family and t.does == does and t.fault is None), None)

    def named(self, task: str) -> TaskFacts | None:
        """A task by its name."""
        return next((t for t in self.tasks if t.task == task), None)


def read_task_book(store: ModelStore | None = None) -> TaskBook:
    """Read the champions of all tasks (hashes are checked: not for the Qt thread)."""
    shelf = store or ModelStore()
    found: list[TaskFacts] = []
    for task in shelf.tasks():
        try:
            package = shelf.champion(task)
        except MedviewerError as error:
            found.append(TaskFacts(task, task, "", "", "", fault=error.sentence))
            continue
        found.append(facts_of(package, previous_version(shelf, task)))
    return TaskBook(tuple(found))


def facts_of(package: ModelPackage, previous: str = "") -> TaskFacts:
    """What the window needs of a package."""
    card = package.card
    return TaskFacts(
        task=card.task,
        title=card.title,
        version=card.version,
        model=package.short_id,
        kind=card.kind,
        modalities=card.modalities,
        labels=card.labels,
        source=source_sentence(card.kind, package.metrics),
        about=about_text(card),
        previous=previous,
    )


def about_text(card: TaskCard) -> str:
    """Intended use, what it is not for, and known failures, wrapped for a tooltip."""
    parts = (
        ("", card.intended_use),
        ("Not for: ", card.not_intended.removeprefix("Not for ")),
        ("Known failures: ", str(card.facts.get("known_failures", ""))),
    )
    return "\n".join(textwrap.fill(f"{head}{text}", 80) for head, text in parts if text)


def previous_version(store: ModelStore, task: str) -> str:
    """The version that a roll back would lead to, or empty."""
    earlier = store._pointer(task).get("previous", [])
    return str(earlier[-1]["version"]) if earlier else ""


def find_metric(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The figure of this name anywhere in metrics.json: a table with `value`, the val split's before others."""
    splits = sorted(metrics, key=lambda key: (key != "val", key))
    here = metrics.get(name)
    if isinstance(here, Mapping) and "value" in here:
        return here
    for key in splits:
        inside = metrics[key]
        if isinstance(inside, Mapping):
            found = find_metric(inside, name)
            if found is not None:
                return found
    return None


def source_sentence(kind: str, metrics: Mapping[str, Any]) -> str:
    """Whose opinion a model repeats and how well, with n; the figures are those of its metrics.json."""
    does = kind.rpartition("-")[2]
    name, words = {"classify": ("auc", "AUC"), "segment": ("dice", "Dice"), "similar": ("p@5", "P@5")}.get(
        does, ("", "")
    )
    figure = find_metric(metrics, name) if name else None
    measured = "" if figure is None else f"{words} {figure_text(figure)}."
    if does == "classify":
        return f"Opinion of radiologists as learnt from LIDC, not pathology. {measured}".strip()
    return measured


def figure_text(figure: Mapping[str, Any]) -> str:
    """ "0.90 [0.85, 0.94], n = 183"."""
    text = f"{figure['value']:.2f}"
    if figure.get("low") is not None and figure.get("high") is not None:
        text += f" [{figure['low']:.2f}, {figure['high']:.2f}]"
    if figure.get("n") is not None:
        text += f", n = {figure['n']}"
    return text

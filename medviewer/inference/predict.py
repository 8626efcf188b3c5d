"""One suggestion: from a task's name, a volume and a prompt to what the champion says about it."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence

from medviewer.errors import BadInput
from medviewer.inference.device import resolve_device
from medviewer.inference.package import ModelPackage
from medviewer.inference.prompt import Prompt
from medviewer.inference.runners import runner_module
from medviewer.inference.store import ModelStore
from medviewer.inference.suggestion import Suggestion
from medviewer.jobs import JobContext
from medviewer.volume.volume import Volume


def predict(
    task: str,
    volume: Volume,
    *,
    point_lps: Sequence[float] | None = None,
    box_lps: Sequence[float] | None = None,
    patient: str = "",
    device: str = "auto",
    context: JobContext | None = None,
    store: ModelStore | None = None,
) -> Suggestion:
    """Ask the champion of a task for a suggestion.

    Args:
        task: the task's name.
        volume: the voxels, all of them loaded.
        point_lps: the click, mm (LPS).
        box_lps: x0, y0, z0, x1, y1, z1, mm (LPS).
        patient: id of the patient, whose own cases are left out where similar ones are looked for.
        device: "auto", "cpu" or "cuda".
        context: cancel; partial suggestions come through `context.report(partial=...)`.
        store: where the models lie.

    Returns:
        The suggestion; with `abstained` where the model must not be used on this input.

    Raises:
        BadInput: unknown task, a click outside the volume or missing, a volume without geometry.
        Refused: the model package does not pass its checks.
        MissingHere: the graphics card that was asked for is not there.
        Cancelled: a person asked for it.
    """
    package = (store or ModelStore()).champion(task)
    prompt = Prompt.of(point_lps, box_lps, patient)
    return suggest_with(package, volume, prompt, device=device, context=context or JobContext())


def suggest_with(
    package: ModelPackage, volume: Volume, prompt: Prompt, *, device: str, context: JobContext
) -> Suggestion:
    """As `predict`, with a model package in hand (a candidate, say)."""
    card = package.card
    if volume.grid is None:
        raise BadInput("this stack carries no geometry: nothing can be measured on it", remedy="open another series")
    prompt.check_inside(volume.grid)
    if card.prompt == "required" and prompt.middle_lps is None:
        raise BadInput(f"{card.task} needs a click or a box", remedy="point at the place (--at X,Y,Z or --box ...)")
    runs_on = resolve_device(device)
    begun = time.perf_counter()
    reason = wrong_modality(package, volume)
    if reason is not None:
        return Suggestion(card.task, package.short_id, runs_on, time.perf_counter() - begun, abstained=reason)
    module = importlib.import_module(runner_module(card.kind))
    suggestion: Suggestion = module.suggest(package, volume, prompt, runs_on, context)
    return suggestion


def wrong_modality(package: ModelPackage, volume: Volume) -> str | None:
    """Why the task does not take pictures of this modality, or None. An unknown modality ("" or "OT") passes."""
    wanted = package.card.modalities
    if not wanted or volume.modality in ("", "OT", *wanted):
        return None
    return (
        f"{package.card.title} was trained on {' and '.join(wanted)}, this series is {volume.modality}: "
        "it makes no suggestion here"
    )

"""The runner of the kind "volume-segment": a 3-D net that sees a whole small crop at once, hippocampus for one.

What the net was trained on, where it looks and how the answer comes back: `medviewer.inference.volume_crop`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.device import run_with_fallback
from medviewer.inference.package import ModelPackage
from medviewer.inference.prompt import Prompt
from medviewer.inference.suggestion import SegmentMask, Suggestion
from medviewer.inference.volume_crop import InputRule, crop_grid, sample, to_native
from medviewer.inference.volume_patch import normalise, pad_to_multiple
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

Float = NDArray[np.float32]

#: Values at or below this, in pictures of unknown modality, are Hounsfield units of air.
AIR_HU = -500.0


def suggest(package: ModelPackage, volume: Volume, prompt: Prompt, device: str, context: JobContext) -> Suggestion:
    """Segment the crop that the volume is, or that the box or click names.

    Args:
        package: a package of the kind "volume-segment".
        volume: with a Grid.
        prompt: a box or click where the volume is larger than the crops of training.
        device: "cpu" or "cuda".
        context: cancel; the first member's answer comes as a partial Suggestion.

    Returns:
        One segment a label on the native grid, with class probabilities as `fraction`; or why not.
    """
    from medviewer.inference.nets import nets_of

    if volume.grid is None:
        raise ValueError("the caller checks that there is geometry")
    nets_of(package, device)  # loading is not part of the time that the suggestion states
    begun = time.perf_counter()
    rule = InputRule.of(package.config)

    def say(reason: str) -> Suggestion:
        return Suggestion(package.card.task, package.short_id, device, time.perf_counter() - begun, abstained=reason)

    target = crop_grid(volume.grid, prompt, rule, package.card.title)
    if isinstance(target, str):
        return say(target)
    image = sample(volume, target)
    reason = _unfit(image, volume)
    if reason is not None:
        return say(reason)

    def answer(parts: Sequence[Float], used: str, complete: bool) -> Suggestion:
        probabilities = np.mean(parts, axis=0)
        start, native = to_native(probabilities, target, volume.grid) if volume.grid else ((0, 0, 0), probabilities)
        segments = _segments(package, native, start, volume.grid)
        stage: Any = "complete" if complete else "clicked-slice"
        seconds = time.perf_counter() - begun
        checks = _least_sure(native, start[0])
        return Suggestion(
            package.card.task,
            package.short_id,
            used,
            seconds,
            segments=segments,
            check_first=checks,
            stage=stage,
        )

    def compute(where: str, batch: int) -> list[Float]:
        parts: list[Float] = []
        for number in range(len(package.weights)):
            parts.append(member_probabilities(package, number, image, where, batch, context))
            if number == 0 and len(package.weights) > 1:
                context.report(1, len(package.weights), "first member", partial=answer(parts, where, False))
        return parts

    parts, used, notes = run_with_fallback(compute, device, 2)
    reason = _doubtful(package, parts, rule.spacing_mm**3)
    if reason is not None:
        return say(reason)
    done = answer(parts, used, True)
    for note in notes:
        done = done.with_note(note)
    return done


def label_map(package: ModelPackage, image: Float, context: JobContext) -> tuple[NDArray[np.uint8], str | None]:
    """The final labels of one crop as `suggest` would draw them, and why it would keep them back (or None).

    Args:
        package: the model.
        image: `[k, j, i]`, oriented and spaced as in training.
        context: cancel.

    Returns:
        uint8 `[k, j, i]`, 0 background, then the card's labels from 1; and the reason.
    """
    parts = [member_probabilities(package, n, image, "cpu", 2, context) for n in range(len(package.weights))]
    labels = np.zeros(image.shape, dtype=np.uint8)
    for number, segment in enumerate(_segments(package, np.mean(parts, axis=0), (0, 0, 0), None), start=1):
        labels[segment.mask > 0] = number
    spacing = InputRule.of(package.config).spacing_mm
    return labels, _doubtful(package, parts, spacing**3)


def golden_outputs(package: ModelPackage, inputs: Mapping[str, NDArray[Any]], device: str) -> dict[str, NDArray[Any]]:
    """Class probabilities and label map of `inputs["image"]` (`[k, j, i]`, oriented and spaced as in training)."""
    context = JobContext()
    image = np.asarray(inputs["image"], dtype=np.float32)
    parts = [member_probabilities(package, n, image, device, 2, context) for n in range(len(package.weights))]
    mean = np.mean(parts, axis=0)
    return {"probabilities": mean.astype(np.float32), "labels": mean.argmax(axis=0).astype(np.uint8)}


def warm(package: ModelPackage, device: str) -> None:
    """Load the networks and answer one question about noise, so that the first real one is answered at full speed."""
    rule = InputRule.of(package.config)
    size = tuple(max(1, round(mm / rule.spacing_mm)) for mm in rule.usual_mm)
    noise = np.random.default_rng(0).normal(100.0, 20.0, size).astype(np.float32)
    grid = Grid.plain(size, (rule.spacing_mm,) * 3)
    suggest(package, Volume(noise, grid, modality="MR"), Prompt(), device, JobContext())


def member_probabilities(
    package: ModelPackage, member: int, image: Float, device: str, batch: int, context: JobContext
) -> Float:
    """Class probabilities `[classes, k, j, i]` of one member, averaged over the picture and its mirror.

    Args:
        package: the model.
        member: which weights file.
        image: `[k, j, i]`, grey values as they are, oriented and spaced as in training.
        device: where it runs.
        batch: 2 to compute picture and mirror at once, 1 one after the other.
        context: cancel is looked for before each pass.
    """
    from medviewer.inference.nets import nets_of

    rule = InputRule.of(package.config)
    return mirrored_probabilities(
        nets_of(package, device)[member], image, rule.multiple, rule.mirror_axis, device, batch, context
    )


def mirrored_probabilities(
    net: Any, image: Float, multiple: int, mirror_axis: int | None, device: str, batch: int, context: JobContext
) -> Float:
    """As `member_probabilities`, for a network in hand (training uses it)."""
    import torch

    padded, inside = pad_to_multiple(normalise(image), multiple)
    views = [padded] if mirror_axis is None else [padded, np.flip(padded, mirror_axis)]
    stack = torch.from_numpy(np.stack(views).copy())[:, None]
    outputs = []
    with torch.inference_mode():
        for first in range(0, len(stack), batch):
            context.check()
            outputs.append(net(stack[first : first + batch].to(device)).float().softmax(1).cpu())
    context.check()
    both = torch.cat(outputs).numpy()
    mean = both[0] if mirror_axis is None else (both[0] + np.flip(both[1], mirror_axis + 1)) / 2
    cut: Float = np.ascontiguousarray(mean[(slice(None), *inside)], dtype=np.float32)
    return cut


def _segments(
    package: ModelPackage, probabilities: Float, start: tuple[int, int, int], grid: Grid | None
) -> tuple[SegmentMask, ...]:
    share = float(package.config.get("output", {}).get("drop_below", 0.0))
    winner = probabilities.argmax(axis=0)
    voxel = None if grid is None else grid.voxel_volume_mm3
    return tuple(
        SegmentMask.measured(
            label, start, without_specks(winner == number, share), voxel, np.ascontiguousarray(probabilities[number])
        )
        for number, label in enumerate(package.card.labels, start=1)
    )


def without_specks(mask: NDArray[np.bool_], share: float) -> NDArray[np.uint8]:
    """The mask without its connected parts (26 neighbours) that hold less than `share` of its voxels."""
    from scipy import ndimage

    parts, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count <= 1 or share <= 0:
        return mask.astype(np.uint8)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= share * mask.sum()
    keep[0] = False
    kept: NDArray[np.uint8] = keep[parts].astype(np.uint8)
    return kept


def _least_sure(probabilities: Float, first_k: int, count: int = 3) -> tuple[int, ...]:
    """The slices where the most voxels are undecided (their best class has less than 3 of 4), most first."""
    undecided = (probabilities.max(axis=0) < 0.75).sum(axis=(1, 2))
    order = np.argsort(-undecided, kind="stable")[:count]
    return tuple(first_k + int(k) for k in order if undecided[k] > 0)


def _unfit(image: Float, volume: Volume) -> str | None:
    """Why grey values are nothing for the net, or None."""
    if not np.all(np.isfinite(image)):
        return "the picture holds values that are not finite: no suggestion is made on it"
    if float(np.ptp(image)) == 0.0 or not np.any(normalise(image)):
        return "the picture has one grey value only here: there is nothing to draw"
    if volume.modality != "MR" and float(np.percentile(image, 5)) <= AIR_HU:
        return "the grey values look like Hounsfield units of a CT: this model was trained on MR only"
    return None


def _doubtful(package: ModelPackage, parts: Sequence[Float], voxel_mm3: float) -> str | None:
    """Why the answer is kept back, by the thresholds of calibration.json, or None."""
    limits = package.calibration.get("abstain", {})
    labels = [part.argmax(axis=0) for part in parts]
    drawn = np.mean([np.count_nonzero(label) for label in labels]) * voxel_mm3 / 1000.0
    low, high = (float(v) for v in limits.get("volume_ml", (0.0, np.inf)))
    if not low <= drawn <= high:
        return (
            f"the model drew {drawn:.1f} ml, outside the {low:.1f} to {high:.1f} ml that it was trained on: "
            "this is probably not the place or the kind of picture that it knows"
        )
    agreement = member_agreement(labels)
    wanted = float(limits.get("agreement", 0.0))
    if agreement is not None and agreement < wanted:
        return f"the model's members disagree here (Dice {agreement:.2f} among them, {wanted:.2f} is asked for)"
    return None


def member_agreement(labels: Sequence[NDArray[Any]]) -> float | None:
    """Mean Dice of all pairs of label maps over all labels together; None for a single member."""
    values = []
    for n, first in enumerate(labels):
        for second in labels[n + 1 :]:
            total = np.count_nonzero(first) + np.count_nonzero(second)
            same = np.count_nonzero((first == second) & (first > 0))
            values.append(2.0 * same / total if total else 1.0)
    return float(np.mean(values)) if values else None

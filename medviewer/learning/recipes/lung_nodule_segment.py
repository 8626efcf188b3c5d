"""How `lung-nodule-segment` is trained: from scratch, or on from a champion with corrections.

Loss and schedule follow nnU-Net (Isensee et al. 2021) where it matters on a CPU: batch Dice with cross-entropy, but
AdamW with a cosine, an exponential average of the weights, and the readers' share as target (label softening).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medviewer.inference.lesion import component_at_click
from medviewer.inference.networks.unet25d import Shape, UNet25d
from medviewer.inference.segment_nodule import crop_logits
from medviewer.learning.datasets.lidc_nodules import NoduleSet, part_of_train
from medviewer.learning.datasets.nodule_samples import NoduleSample
from medviewer.learning.nodule_batches import Batch, NodulePool, draw, pool_of

State = dict[str, Tensor]
Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is; written into the model's metrics.

    Attributes:
        steps: length in steps; None: `seconds` of wall time decide (then the run is not repeatable to the bit).
        replay_share: share of a batch from the replay pool where there are corrections.
        whole: weight of the Dice of the whole batch with the consensus.
        by_sample: weight of the Dice of each sample that holds some nodule.
        dropout: share of the deepest features that is left out of a step.
        distil: weight of the champion's answers on replay samples (0: none).
        judge_every_s: seconds between two looks at the early-stop patients.
        watch_every_s: seconds between two looks at the cases that are only watched.
    """

    shape: Shape = field(default_factory=Shape)
    steps: int | None = None
    seconds: float | None = None
    batch: int = 16
    window: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.05
    average: float = 0.999
    clip: float = 12.0
    replay_share: float = 0.5
    whole: float = 1.0
    by_sample: float = 0.0
    dropout: float = 0.0
    distil: float = 0.0
    judge_every_s: float = 300.0
    watch_every_s: float = 20.0
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("give either steps or seconds")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came out: the averaged weights of the best look, the Dice there, and how long it took."""

    state: State
    dice: float
    steps: int
    seconds: float


def loss_of(logits: Tensor, fraction: Tensor, whole: float = 1.0, by_sample: float = 0.0) -> Tensor:
    """Cross-entropy with the readers' share, and Dice over the batch with the consensus and with the share.

    Args:
        logits, fraction: `[B, H, W]`.
        whole: weight of the Dice with the consensus.
        by_sample: weight of a further Dice for each sample that holds some nodule; it lets a small one count as much
            as a large one, at the price of false marks where there is nothing.
    """
    p = torch.sigmoid(logits)
    hard = (fraction >= 0.5).float()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, fraction)
    total = entropy + whole * _batch_dice(p, hard) + 0.5 * _batch_dice(p, fraction)
    if by_sample <= 0:
        return total
    area = hard.sum((1, 2))
    each = 1 - (2 * (p * hard).sum((1, 2)) + 5.0) / (p.sum((1, 2)) + area + 5.0)
    held = (area > 0).float()
    return total + by_sample * (each * held).sum() / held.sum().clamp(min=1.0)


def _batch_dice(p: Tensor, g: Tensor) -> Tensor:
    return 1 - (2 * (p * g).sum() + 1e-5) / (p.sum() + g.sum() + 1e-5)


def fit(
    replay: NodulePool,
    settings: Settings,
    *,
    corrections: NodulePool | None = None,
    start: State | None = None,
    teacher: State | None = None,
    early_stop: Sequence[NoduleSample] = (),
    watch: Sequence[NoduleSample] = (),
    report: Report = lambda _: None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Train one network.

    Args:
        replay: what the model was (or is) made of.
        settings: how.
        corrections: a person's cases; half of each batch comes from them.
        start: weights to go on from; None: fresh ones.
        teacher: the champion's weights whose answers on replay samples are kept (with `settings.distil`).
        early_stop: cases that choose the best moment; none: the last moment is taken.
        watch: cases whose Dice is told along the way, for a person's eyes; they choose nothing.
        report: told `{"step", "done", "loss", ["dice"], ...}` now and then; may raise to stop.
        checkpoint: file to save to every two minutes and to go on from if it is there.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    net = UNet25d(settings.shape)
    net.dropout = settings.dropout
    if start is not None:
        net.load_state_dict(start)
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    master = None
    if teacher is not None and settings.distil > 0:
        master = UNet25d(settings.shape).eval()
        master.load_state_dict(teacher)
    half_precision = _bfloat16_is_faster(net, settings)
    step, before, best = 0, 0.0, Fitted(average, -1.0, 0, 0.0)
    if checkpoint is not None and checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(kept["net"])
        optimiser.load_state_dict(kept["optimiser"])
        average, step, before = kept["average"], int(kept["step"]), float(kept["seconds"])
        best = Fitted(kept["best"], float(kept["best_dice"]), int(kept["best_step"]), 0.0)
        rng.bit_generator.state = json.loads(kept["rng"])
    began = saved = judged = told = time.monotonic()
    losses: list[float] = []
    if watch:
        dice = _mean_dice(average, settings, watch)
        report({"step": step, "done": 0.0, "dice": dice, "champion_dice": dice, "n": len(watch)})
    watched = time.monotonic()
    from_replay = settings.batch
    if corrections is not None:
        from_replay = max(1, round(settings.batch * settings.replay_share))

    def done() -> float:
        if settings.steps is not None:
            return step / settings.steps
        return (before + time.monotonic() - began) / float(settings.seconds or 1.0)

    while (share := done()) < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _pace(share, settings.warm_up)
        batch = draw(replay, from_replay, rng, window=settings.window, slices=settings.shape.slices)
        if corrections is not None and from_replay < settings.batch:
            more = draw(
                corrections, settings.batch - from_replay, rng, window=settings.window, slices=settings.shape.slices
            )
            batch = Batch(*(torch.cat([getattr(batch, f), getattr(more, f)]) for f in ("x", "scalars", "fraction")))
        with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
            logits = net(batch.x, batch.scalars)
        loss = loss_of(logits.float(), batch.fraction, settings.whole, settings.by_sample)
        if master is not None:
            with torch.inference_mode():
                answers = torch.sigmoid(master(batch.x[:from_replay], batch.scalars[:from_replay]))
            kept_to = torch.nn.functional.binary_cross_entropy_with_logits(
                logits[:from_replay].float(), answers.clone()
            )
            loss = loss + settings.distil * kept_to
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimiser.step()
        step += 1
        _blend(average, net, min(settings.average, (1 + step) / (10 + step)))
        losses.append(float(loss.detach()))
        now = time.monotonic()
        if now - told > 2.0 or step == settings.steps:
            report({"step": step, "done": min(1.0, done()), "loss": float(np.mean(losses)), "best_dice": best.dice})
            told, losses = now, losses[-20:]
        if watch and (now - watched > settings.watch_every_s or step == settings.steps):
            dice = _mean_dice(average, settings, watch)
            report({"step": step, "done": min(1.0, done()), "dice": dice, "n": len(watch)})
            watched = time.monotonic()
        if early_stop and now - judged > settings.judge_every_s:
            best = _judged(best, average, settings, early_stop, step, report, done())
            judged = time.monotonic()
        if checkpoint is not None and now - saved > 120.0:
            _save(checkpoint, net, optimiser, average, best, step, before + now - began, rng)
            saved = now
    seconds = before + time.monotonic() - began
    if early_stop:
        best = _judged(best, average, settings, early_stop, step, report, 1.0)
    else:
        best = Fitted(average, float("nan"), step, seconds)
    if checkpoint is not None:
        _save(checkpoint, net, optimiser, average, best, step, seconds, rng)
    return replace(best, seconds=seconds)


def dice_at_click(logits: NDArray[np.float32], case: NoduleSample, level: float = 0.0) -> float:
    """3-D Dice of the component at the click with the consensus; `level` is the logit from which on a voxel counts."""
    spacing = (case.slice_spacing_mm, case.pixel_mm, case.pixel_mm)
    mask = component_at_click(logits > level, case.click_kji, spacing)
    truth = case.consensus
    both = float(np.logical_and(mask, truth).sum())
    return 2 * both / max(1.0, float(mask.sum() + truth.sum()))


def _dice_of(net: UNet25d, case: NoduleSample) -> float:
    logits = crop_logits([net], case.images, case.click_kji, case.pixel_mm, case.slice_spacing_mm)
    return dice_at_click(logits, case)


def _mean_dice(state: State, settings: Settings, cases: Sequence[NoduleSample]) -> float:
    net = UNet25d(settings.shape).eval()
    net.load_state_dict(state)
    return float(np.mean([_dice_of(net, case) for case in cases]))


def _judged(
    best: Fitted,
    average: State,
    settings: Settings,
    cases: Sequence[NoduleSample],
    step: int,
    report: Report,
    done: float,
) -> Fitted:
    dice = _mean_dice(average, settings, cases)
    report({"step": step, "done": min(1.0, done), "dice": dice, "n": len(cases)})
    if dice > best.dice:
        return Fitted({k: v.clone() for k, v in average.items()}, dice, step, 0.0)
    return best


def _pace(share: float, warm_up: float) -> float:
    """Share of the full learning rate: up over the warm-up, then down a cosine to 1 %."""
    if share < warm_up:
        return max(0.01, share / warm_up)
    along = (share - warm_up) / (1 - warm_up)
    return float(0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(1.0, along))))


def _blend(average: State, net: UNet25d, keep: float) -> None:
    with torch.no_grad():
        for name, now in net.state_dict().items():
            average[name].lerp_(now, 1 - keep)


def _bfloat16_is_faster(net: UNet25d, settings: Settings) -> bool:
    """Try both once on this machine: with AVX512-BF16 half precision halves the time, without it is far slower."""
    x = torch.randn(8, settings.shape.slices + 2, settings.window, settings.window)
    numbers = torch.zeros(8, 3)
    times = {}
    for half in (False, True, False, True):
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            net(x, numbers).float().sum().backward()
        times[half] = time.process_time() - began
    net.zero_grad(set_to_none=True)
    return times[True] < times[False]


def _save(
    path: Path,
    net: UNet25d,
    optimiser: torch.optim.Optimizer,
    average: State,
    best: Fitted,
    step: int,
    seconds: float,
    rng: np.random.Generator,
) -> None:
    made = path.with_suffix(".tmp")
    torch.save(
        {
            "net": net.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": average,
            "best": best.state,
            "best_dice": best.dice,
            "best_step": best.steps,
            "step": step,
            "seconds": seconds,
            "rng": json.dumps(rng.bit_generator.state),
        },
        made,
    )
    made.replace(path)


def described(settings: Settings) -> dict[str, Any]:
    """The settings as they go into metrics.json."""
    return {**asdict(settings), "shape": settings.shape.to_config()}


def train_members(
    data: Path, members: Sequence[Settings], workplace: Path, report: Report = lambda _: None
) -> tuple[Fitted, ...]:
    """Train an ensemble from scratch on the patients of `data`'s train split that are carved for fitting.

    Args:
        data: a folder with `train.npz` and `train.csv`.
        members: one entry a network (they differ in their seed at least).
        workplace: folder for checkpoints; an interrupted run goes on from them.
        report: told what `fit` tells, with `member` added.
    """
    train = NoduleSet(data, "train")
    parts = [part_of_train(patient) for patient in train.patients]
    pool = pool_of(train[n] for n, part in enumerate(parts) if part == "fit")
    early_stop = [train[n] for n, part in enumerate(parts) if part == "early-stop"]
    workplace.mkdir(parents=True, exist_ok=True)
    fitted = []
    for number, settings in enumerate(members):
        fitted.append(
            fit(
                pool,
                settings,
                early_stop=early_stop,
                report=lambda message, number=number: report({"member": number, **message}),  # type: ignore[misc]
                checkpoint=workplace / f"member-{number}.pt",
            )
        )
    return tuple(fitted)

"""How hippocampus-segment is trained: a small 3-D U-Net on MR crops, Dice + cross-entropy, deep supervision, EMA.

The schedule (a cosine) runs over a number of steps or over a budget of wall-clock seconds that is fixed before
the run starts; nothing is stopped early, and the delivered `val` split is not looked at. A run writes a
checkpoint every minute and continues from it.

    python -m medviewer.learning.recipes.hippocampus_segment --data data/hippocampus --out run --seconds 2400
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from medviewer.inference.networks.unet3d import UNet3D
from medviewer.inference.segment_volume import mirrored_probabilities
from medviewer.inference.volume_patch import normalise
from medviewer.jobs import JobContext
from medviewer.learning.datasets.hippocampus import LABELS, part_of, read_cases
from medviewer.learning.volume_augmentation import Augmentation, view

#: The net of the package's `config.json`.
NETWORK: dict[str, Any] = {
    "name": "unet3d",
    "channels": [16, 32, 64, 128],
    "inputs": 1,
    "classes": 1 + len(LABELS),
    "coarse_heads": 1,
}


#: A checkpoint is written this often.
SAVE_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One training run.

    Attributes:
        steps: number of steps; None where `seconds` decides.
        seconds: wall-clock budget; used where `steps` is None.
        seed: of the weights, the order and the views.
        batch: volumes a step.
        rate: peak learning rate of AdamW.
        decay: weight decay.
        ema: decay of the averaged weights that are shipped.
        patch_kji: size of a view; the labels of the train split span at most 37 x 47 x 27 voxels.
        threads: torch threads.
    """

    steps: int | None = None
    seconds: float | None = None
    seed: int = 0
    batch: int = 2
    rate: float = 2e-3
    decay: float = 1e-3
    ema: float = 0.998
    patch_kji: tuple[int, int, int] = (40, 56, 32)
    threads: int = 1


def soft_dice_loss(probabilities: Tensor, one_hot: Tensor) -> Tensor:
    """1 - Dice of the foreground classes, summed over batch and voxels ("batch dice"); finite on empty batches."""
    axes = (0, 2, 3, 4)
    overlap = (probabilities * one_hot).sum(axes)[1:]
    total = (probabilities.sum(axes) + one_hot.sum(axes))[1:]
    return 1.0 - ((2.0 * overlap + 1e-5) / (total + 1e-5)).mean()


def loss_of(pyramid: Sequence[Tensor], label: Tensor, classes: int) -> Tensor:
    """Cross-entropy + soft Dice over all heads; each coarser head weighs half of the one before.

    Args:
        pyramid: logits `[n, classes, k, j, i]`, each of half the size of the one before.
        label: int64 `[n, k, j, i]` at full size.
        classes: background included.
    """
    total = torch.zeros(())
    weights = [0.5**n for n in range(len(pyramid))]
    for level, (logits, weight) in enumerate(zip(pyramid, weights, strict=True)):
        step = 2**level
        target = label[:, ::step, ::step, ::step]
        one_hot = F.one_hot(target, classes).permute(0, 4, 1, 2, 3).float()
        logits32 = logits.float()
        part = F.cross_entropy(logits32, target) + soft_dice_loss(logits32.softmax(1), one_hot)
        total = total + part * (weight / sum(weights))
    return total


def predict_probabilities(nets: Sequence[UNet3D], image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean class probabilities `[classes, k, j, i]` of nets and of the left-right mirror, for one raw crop."""
    parts = [mirrored_probabilities(net, image, 8, 2, "cpu", 2, JobContext()) for net in nets]
    mean: NDArray[np.float32] = np.mean(parts, axis=0)
    return mean


def dice_by_label(predicted: NDArray[Any], truth: NDArray[Any]) -> list[float]:
    """Dice of each foreground label of two label maps."""
    out = []
    for value in range(1, 1 + len(LABELS)):
        a, b = predicted == value, truth == value
        total = int(a.sum()) + int(b.sum())
        out.append(float(2 * np.count_nonzero(a & b) / total) if total else float("nan"))
    return out


class Labelled(Protocol):
    """What is trained on: a public case or a person's correction."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def label(self) -> NDArray[np.uint8]: ...  # noqa: D102


def train(
    cases: Sequence[Labelled],
    settings: Settings,
    folder: Path,
    context: JobContext,
    start: Mapping[str, Tensor] | None = None,
    watch: Sequence[Labelled] = (),
    *,
    odds: Sequence[float] | None = None,
    distil: float = 0.0,
    network: Mapping[str, Any] = NETWORK,
) -> dict[str, Tensor]:
    """Train one net and return its averaged weights (deep supervision heads left out).

    Args:
        cases: labelled crops.
        odds: how often each case is seen, in any unit; None: all alike.
        distil: weight of keeping to the answers of `start` (cross-entropy with its probabilities), 0 for none.
        network: of config.json; heads for deep supervision help a new net, and disturb one that is gone on with.
        settings: the run; with the same settings an interrupted run in `folder` is continued.
        folder: for `checkpoint.pt` (read back with `weights_only`) and `log.jsonl`.
        context: cancel and progress; `partial` is a dict with step, loss and rate.
        start: weights to start from; None for new ones.
        watch: cases whose Dice is logged now and then, for people to look at; nothing is chosen by it.

    Raises:
        Cancelled: a person asked for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    random = torch.Generator().manual_seed(settings.seed)
    classes = int(network["classes"])
    net = UNet3D.from_config(dict(network))
    teacher: UNet3D | None = None
    if start is not None:
        net.load_state_dict(start, strict=False)
        if distil > 0:
            teacher = UNet3D.from_config({**network, "coarse_heads": 0})
            teacher.load_state_dict(start)
            teacher.eval()
    chances = torch.tensor(odds if odds is not None else [1.0] * len(cases), dtype=torch.float64)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.decay)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    images = [torch.from_numpy(normalise(case.image)) for case in cases]
    labels = [torch.from_numpy(case.label.astype(np.int64)) for case in cases]
    step, spent, checkpoint = 0, 0.0, folder / "checkpoint.pt"
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        average, step, spent = saved["average"], int(saved["step"]), float(saved["spent"])
        random.set_state(saved["random"])
    half_precision = bfloat16_is_faster(net, settings)
    began = time.monotonic() - spent
    last_save = last_watch = time.monotonic()
    while (done := _fraction(settings, step, time.monotonic() - began)) < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, done / 0.03 + 0.02) * (0.5 + 0.5 * math.cos(math.pi * done))
        picks = torch.multinomial(chances, settings.batch, replacement=True, generator=random).tolist()
        views = [view(images[n], labels[n], classes, settings.patch_kji, Augmentation(), random) for n in picks]
        batch, target = torch.stack([v[0] for v in views]), torch.stack([v[1] for v in views])
        net.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
            pyramid = net.pyramid(batch)
        loss = loss_of(pyramid, target, classes)
        if teacher is not None:
            with torch.inference_mode():
                wanted = teacher(batch).softmax(1)
            loss = loss + distil * F.cross_entropy(pyramid[0].float(), wanted.clone())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 12.0)
        optimiser.step()
        step += 1
        keep = min(settings.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in net.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        now = time.monotonic()
        seconds = now - began
        facts = {"step": step, "seconds": round(seconds, 1), "loss": round(float(loss.detach()), 4), "done": done}
        context.report(step, settings.steps, "training", partial=facts)
        if step % 50 == 0:
            _log(folder, facts)
        if now - last_save > SAVE_EVERY_SECONDS:
            _save(checkpoint, net, optimiser, average, step, seconds, random)
            last_save = time.monotonic()
        if watch and now - last_watch > 600:
            _log(folder, {"step": step, "watch": _watched(average, watch, network)})
            last_watch = time.monotonic()
    _save(checkpoint, net, optimiser, average, step, time.monotonic() - began, random)
    _log(
        folder, {"step": step, "finished": True, "bfloat16": half_precision, "watch": _watched(average, watch, network)}
    )
    return {name: value for name, value in average.items() if not name.startswith("coarse.")}


def bfloat16_is_faster(net: UNet3D, settings: Settings) -> bool:
    """True where a training step in bfloat16 takes less processor time here (only with AVX512-BF16 or AMX it does)."""
    batch = torch.zeros((settings.batch, 1, *settings.patch_kji))
    times = []
    for enabled in (False, True):
        for _ in range(2):  # the first one builds kernels
            begun = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                out = net(batch)
            out.float().mean().backward()
        times.append(time.process_time() - begun)
    net.zero_grad(set_to_none=True)
    return times[1] < times[0]


def _fraction(settings: Settings, step: int, seconds: float) -> float:
    if settings.steps is not None:
        return step / settings.steps if settings.steps > 0 else 1.0
    if settings.seconds is None:
        raise ValueError("give steps or seconds")
    return seconds / settings.seconds


def _watched(average: dict[str, Tensor], watch: Sequence[Labelled], network: Mapping[str, Any]) -> list[float]:
    if not watch:
        return []
    net = UNet3D.from_config(dict(network))
    net.load_state_dict(average)
    net.eval()
    dices = [dice_by_label(predict_probabilities([net], case.image).argmax(0), case.label) for case in watch]
    return [round(float(value), 4) for value in np.nanmean(dices, axis=0)]


def _log(folder: Path, facts: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(facts) + "\n")


def _save(
    path: Path,
    net: UNet3D,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    spent: float,
    random: torch.Generator,
) -> None:
    state = {
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average,
        "step": step,
        "spent": spent,
        "random": random.get_state(),
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def main() -> None:
    """Train the members of a release; each ends as `member-N.safetensors` in the out folder."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, nargs="+", required=True, help="wall-clock budget of each member")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    cases = read_cases(args.data, "train")
    fit = [case for case in cases if part_of(case.name) == "fit"]
    watch = [case for case in cases if part_of(case.name) == "calibrate"]
    for member, seconds in enumerate(args.seconds):
        target = args.out / f"member-{member}.safetensors"
        if target.is_file():
            continue
        settings = Settings(seconds=seconds, seed=member, threads=args.threads)
        folder = args.out / f"member-{member}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "settings.json").write_text(json.dumps({**asdict(settings), "n_fit": len(fit)}, indent=1))
        weights = train(fit, settings, folder, JobContext(), watch=watch)
        save_file({name: value.contiguous().clone() for name, value in weights.items()}, target)


if __name__ == "__main__":
    main()

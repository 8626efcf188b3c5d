"""Train one member of the nodule classifier's ensemble.

Members are trained on four fifths of the train patients each (fold by a hash of the patient), so every train nodule
has one prediction by a network that never saw its patient. Calibration, stacking and conformal intervals use those
predictions alone. The schedule is fixed beforehand: nothing is stopped or chosen on the fold left out.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medviewer.inference.networks.nodule_cnn import ORDINAL, NoduleNet, NoduleNetConfig, NoduleOutput
from medviewer.inference.nodule_patch import (
    CROP_SIZE,
    SLICES,
    Pose,
    sample,
    sampling_matrix,
    slice_weights,
)

FOLDS = 5


@dataclass(slots=True)
class RatedNodules:
    """Nodules with what the readers said, as the recipe needs them.

    Attributes:
        images: one float32 [k, 96, 96] per nodule, 0 to 1, scanner padding removed.
        fractions: one float32 [k, 96, 96] per nodule: share of readers who drew the voxel.
        pixel_mm, spacing_mm: geometry [n].
        patients: patient of each nodule [n].
        ordinal: share of readers above 1, 2, 3, 4 for each of `ORDINAL` [n, 7, 4].
        means: mean of each rating of `ORDINAL` [n, 7].
        calcified: share of readers who saw calcium [n].
        diameter_mm, volume_mm3: size of the consensus [n].
    """

    images: list[NDArray[np.float32]]
    fractions: list[NDArray[np.float32]]
    pixel_mm: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]
    patients: list[str]
    ordinal: NDArray[np.float32]
    means: NDArray[np.float64]
    calcified: NDArray[np.float32]
    diameter_mm: NDArray[np.float64]
    volume_mm3: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def malignant(self) -> NDArray[np.float32]:
        """1 where the mean malignancy is above 3, 0 below, 0.5 where it is 3 [n]."""
        mean = self.means[:, ORDINAL.index("malignancy")]
        return (0.5 * (1 + np.sign(mean - 3))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard one member is trained."""

    epochs: int = 45
    batch: int = 24
    rate: float = 3e-3
    decay: float = 2e-2
    warm_up: float = 0.15
    average: float = 0.99
    other_ratings: float = 0.2
    size: float = 0.3
    mask: float = 1.0


def fold_of(patient: str) -> int:
    """Fold 0 to 4 of a patient: a second hash, independent of the one that split train from val."""
    digest = hashlib.sha256(f"nodule fold {patient}".encode()).hexdigest()
    return int(digest[:8], 16) % FOLDS


def random_pose(rng: np.random.Generator, n_slices: int, spacing_mm: float) -> Pose:
    """A random turn, mirror, shift (a click is never quite in the middle) and a small change of scale."""
    reach = min(2.0, 0.25 * n_slices * spacing_mm)
    return Pose(
        shift_kji_mm=(rng.uniform(-reach, reach), rng.normal(0, 1.3), rng.normal(0, 1.3)),
        angle=rng.uniform(-math.pi, math.pi),
        scale=float(np.exp(np.clip(rng.normal(0, 0.07), -0.15, 0.15))),
        mirror=bool(rng.integers(2)),
        upside_down=bool(rng.integers(2)),
    )


def recolour(blocks: Tensor, rng: np.random.Generator) -> Tensor:
    """Random gain, offset and gamma per block, a little per slice, and noise: the crops have lost their HU."""
    n = len(blocks)

    def column(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).reshape(n, -1, 1, 1)

    gamma = column(np.exp(rng.uniform(-0.3, 0.3, n)))
    gain = column(np.exp(rng.uniform(-0.22, 0.22, n)))
    offset = column(rng.uniform(-0.08, 0.08, n))
    flicker = column(rng.normal(1, 0.02, (n, SLICES)))
    noise = torch.from_numpy(rng.standard_normal(blocks.shape, np.float32)) * column(rng.uniform(0, 0.025, n))
    return blocks.clamp(1e-4, 1).pow(gamma) * gain * flicker + offset + noise


def make_batch(
    nodules: RatedNodules, chosen: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Augmented blocks [n, SLICES, SIZE, SIZE] of the chosen nodules and their targets."""
    both = np.empty((len(chosen), 2, SLICES, CROP_SIZE, CROP_SIZE), np.float32)
    matrices = np.empty((len(chosen), 2, 3), np.float32)
    size = np.empty((len(chosen), 2), np.float32)
    for row, n in enumerate(chosen):
        image, fraction = nodules.images[n], nodules.fractions[n]
        pose = random_pose(rng, len(image), nodules.spacing_mm[n])
        lower, upper, weight = slice_weights(len(image), nodules.spacing_mm[n], pose)
        share = weight[:, None, None]
        both[row, 0] = image[lower] * (1 - share) + image[upper] * share
        both[row, 1] = fraction[lower] * (1 - share) + fraction[upper] * share
        matrices[row] = sampling_matrix(nodules.pixel_mm[n], pose)
        size[row] = (
            math.log(nodules.diameter_mm[n] * pose.scale),
            math.log(nodules.volume_mm3[n] * pose.scale**3),
        )
    turned = torch.from_numpy(matrices)
    blocks = recolour(sample(torch.from_numpy(both[:, 0]), turned), rng)
    return blocks, {
        "mask": sample(torch.from_numpy(both[:, 1]), turned),
        "malignant": torch.from_numpy(nodules.malignant[chosen]),
        "ordinal": torch.from_numpy(nodules.ordinal[chosen]),
        "calcified": torch.from_numpy(nodules.calcified[chosen]),
        "size": torch.from_numpy(size),
    }


def loss_of(out: NoduleOutput, target: dict[str, Tensor], schedule: Schedule) -> Tensor:
    """The weighted sum of all heads' losses."""
    bce = functional.binary_cross_entropy_with_logits
    ratings = bce(out.ordinal, target["ordinal"], reduction="none").mean((0, 2))
    index = ORDINAL.index("malignancy")
    others = ratings.sum() - ratings[index]
    drawn, wanted = out.mask.sigmoid(), target["mask"]
    dice = 1 - (2 * (drawn * wanted).sum() + 1) / (drawn.sum() + wanted.sum() + 1)
    return (
        bce(out.malignant, target["malignant"])
        + ratings[index]
        + schedule.other_ratings * (others + bce(out.calcified, target["calcified"]))
        + schedule.size * functional.smooth_l1_loss(out.size - _SIZE_CENTRE, target["size"] - _SIZE_CENTRE)
        + schedule.mask * (bce(out.mask, wanted) + dice)
    )


_SIZE_CENTRE = torch.tensor([2.2, 5.6])


def start_net(config: NoduleNetConfig | None, seed: int) -> NoduleNet:
    """A fresh network, its size head starting at the middle of the training sizes."""
    torch.manual_seed(seed)
    net: NoduleNet = NoduleNet(config).to(memory_format=torch.channels_last)
    with torch.no_grad():
        net.to_size.bias.copy_(_SIZE_CENTRE)
    return net


def train_member(
    nodules: RatedNodules,
    chosen: NDArray[np.int64],
    seed: int,
    folder: Path,
    schedule: Schedule,
    config: NoduleNetConfig | None = None,
    log: Callable[[str], None] = print,
) -> NoduleNet:
    """Train one member on the chosen nodules; a run that was stopped goes on from `folder`'s last epoch.

    Returns:
        the averaged network (exponential moving average of the weights), in eval mode.
    """
    folder.mkdir(parents=True, exist_ok=True)
    net, mean = start_net(config, seed), start_net(config, seed)
    optimiser = torch.optim.AdamW(net.parameters(), schedule.rate, weight_decay=schedule.decay)
    state = folder / "state.pt"
    first = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        net.load_state_dict(saved["net"])
        mean.load_state_dict(saved["mean"])
        optimiser.load_state_dict(saved["optimiser"])
        first = int(saved["epoch"])
    per_epoch = len(chosen) // schedule.batch
    total = schedule.epochs * per_epoch
    started = time.process_time()
    for epoch in range(first, schedule.epochs):
        rng = np.random.default_rng((seed, epoch))
        torch.manual_seed(seed * 1000 + epoch)
        order = rng.permutation(chosen)
        net.train()
        losses = []
        for step in range(per_epoch):
            done = epoch * per_epoch + step
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate * _rate(done / total, schedule.warm_up)
            blocks, target = make_batch(nodules, order[step * schedule.batch : (step + 1) * schedule.batch], rng)
            loss = loss_of(net(blocks), target, schedule)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimiser.step()
            _follow(mean, net, min(schedule.average, (1 + done) / (10 + done)))
            losses.append(float(loss.detach()))
        log(f"epoch {epoch + 1} loss {np.mean(losses):.4f} cpu {time.process_time() - started:.0f}s")
        saving = folder / "state.tmp"
        torch.save(
            {
                "net": net.state_dict(),
                "mean": mean.state_dict(),
                "optimiser": optimiser.state_dict(),
                "epoch": epoch + 1,
            },
            saving,
        )
        saving.replace(state)
    mean.eval()
    return mean


def _rate(done: float, warm_up: float) -> float:
    if done < warm_up:
        return 0.1 + 0.9 * done / warm_up
    return 0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def _follow(mean: NoduleNet, net: NoduleNet, keep: float) -> None:
    with torch.no_grad():
        for old, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)

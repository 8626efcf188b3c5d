"""Several nodule networks asked together: each block is seen as it is and mirrored, by every member.

Used by the classifier, by the search for similar cases and by the recipes, so that what is measured is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from medviewer.inference.nets import nets_of
from medviewer.inference.networks.nodule_cnn import NoduleNet
from medviewer.inference.nodule_patch import PIXEL_MM, SIZE, SLICES
from medviewer.inference.package import ModelPackage

_BATCH = 32


@dataclass(frozen=True, slots=True, eq=False)
class NodulePrediction:
    """What the members say about n blocks; the views of a block (mirrored or not) are averaged already.

    Attributes:
        malignant: logit of "mean rating above 3" [members, n].
        above: probability that a reader's rating is above 1, 2, 3, 4, per rating of `ORDINAL` [members, n, 7, 4].
        calcified: expected share of readers who see calcium [members, n].
        size: log of diameter in mm, log of volume in mm3 [members, n, 2].
        hidden: the vector below the heads [members, n, h].
        mask: expected share of readers, mean of the members [n, SLICES, SIZE, SIZE].
    """

    malignant: NDArray[np.float64]
    above: NDArray[np.float64]
    calcified: NDArray[np.float64]
    size: NDArray[np.float64]
    hidden: NDArray[np.float32]
    mask: NDArray[np.float32]

    @property
    def ratings(self) -> NDArray[np.float64]:
        """Expected ratings 1 to 5 in the order of `ORDINAL` [members, n, 7]."""
        expected: NDArray[np.float64] = 1 + self.above.sum(-1)
        return expected

    @property
    def area_mm2(self) -> NDArray[np.float64]:
        """Area of the drawn nodule in each slice [n, SLICES]."""
        area: NDArray[np.float64] = (self.mask >= 0.5).sum((2, 3)) * PIXEL_MM**2
        return area


class NoduleEnsemble:
    """The members of one package, ready to be asked."""

    def __init__(self, members: Sequence[NoduleNet], device: str = "cpu") -> None:
        self.device = device
        self.members = [member.to(device, memory_format=torch.channels_last).eval() for member in members]

    def __len__(self) -> int:
        return len(self.members)

    def predict(self, blocks: torch.Tensor, mirrored: bool = True) -> NodulePrediction:
        """Ask every member about blocks float32 [n, SLICES, SIZE, SIZE]; `mirrored` averages four views of each."""
        if blocks.shape[1:] != (SLICES, SIZE, SIZE):
            raise ValueError(f"blocks of shape {tuple(blocks.shape)}, not [n, {SLICES}, {SIZE}, {SIZE}]")
        views: list[list[int]] = [[], [3], [2], [2, 3]] if mirrored else [[]]
        told: list[dict[str, NDArray[Any]]] = []
        for member in self.members:
            with torch.inference_mode():
                parts = [
                    self._ask(member, blocks[n : n + _BATCH].to(self.device), views)
                    for n in range(0, len(blocks), _BATCH)
                ]
            told.append({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        return NodulePrediction(
            malignant=np.stack([t["malignant"] for t in told]).astype(np.float64),
            above=np.stack([t["above"] for t in told]).astype(np.float64),
            calcified=np.stack([t["calcified"] for t in told]).astype(np.float64),
            size=np.stack([t["size"] for t in told]).astype(np.float64),
            hidden=np.stack([t["hidden"] for t in told]),
            mask=np.mean([t["mask"] for t in told], axis=0, dtype=np.float32),
        )

    @staticmethod
    def _ask(member: NoduleNet, blocks: torch.Tensor, views: list[list[int]]) -> dict[str, NDArray[Any]]:
        sums: dict[str, torch.Tensor] = {}
        for flips in views:
            out = member(blocks.flip(flips) if flips else blocks)
            seen = {
                "malignant": out.malignant,
                "above": out.ordinal.sigmoid(),
                "calcified": out.calcified.sigmoid(),
                "size": out.size,
                "hidden": out.hidden,
                "mask": out.mask.sigmoid().flip(flips) if flips else out.mask.sigmoid(),
            }
            sums = {name: seen[name] + sums[name] if sums else seen[name] for name in seen}
        return {name: (total / len(views)).float().cpu().numpy() for name, total in sums.items()}


def load_ensemble(package: ModelPackage, device: str = "cpu") -> NoduleEnsemble:
    """The members of a package on a device (`medviewer.inference.nets` keeps the last few in memory)."""
    return NoduleEnsemble([cast(NoduleNet, net) for net in nets_of(package, device)], device)

"""The network behind lung-nodule-malignancy and lung-nodule-similar.

A slim U-shaped 2.5-D network: every slice of the block goes through the same 2-D layers, neighbouring slices are
mixed at the two deepest levels, a light decoder draws the nodule (the readers' fraction), and the drawn nodule tells
the heads where to pool: features inside, in a ring around, the areas, and the grey values. The heads say what readers
said: seven ordinal ratings as cumulative probabilities (CORAL: Cao, Mirjalili, Raschka 2020), calcified or not,
malignant or not, and size. All heads read one small hidden vector, which is also what similarity is built on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from medviewer.inference.nodule_patch import PIXEL_MM, SLICES

ORDINAL = ("subtlety", "sphericity", "margin", "lobulation", "spiculation", "texture", "malignancy")
"""Ratings on an ordinal scale 1 to 5, in the order of the network's `ordinal` output."""
LEVELS = 4
"""Cumulative questions of a five-step scale: more than 1, 2, 3, 4?"""


@dataclass(frozen=True, slots=True)
class NoduleNetConfig:
    """Widths of the network. `config.json` of a model package holds exactly these keys."""

    widths: tuple[int, int, int, int] = (12, 32, 64, 96)
    decoder: tuple[int, int] = (48, 24)
    hidden: int = 64
    dropout: float = 0.3

    def as_json(self) -> dict[str, object]:
        """Plain values for `config.json`."""
        return asdict(self)


@dataclass(slots=True)
class NoduleOutput:
    """What the network says about a batch of n blocks.

    Attributes:
        malignant: logit of "mean rating above 3" [n].
        ordinal: cumulative logits [n, 7, 4] in the order of `ORDINAL`.
        calcified: logit of the share of readers who saw calcium [n].
        size: log of diameter in mm and log of volume in mm3 [n, 2].
        mask: logits of the reader fraction [n, SLICES, SIZE, SIZE].
        hidden: the vector that all heads read [n, hidden].
    """

    malignant: Tensor
    ordinal: Tensor
    calcified: Tensor
    size: Tensor
    mask: Tensor
    hidden: Tensor


def _layer(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Neighbours(nn.Module):
    """Mix each slice's features with those of the slices below and above (a residual step)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(3 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """[n * SLICES, c, h, w] in and out."""
        _, c, h, w = features.shape
        blocks = features.view(-1, SLICES, c, h, w)
        below = torch.cat([blocks[:, :1], blocks[:, :-1]], 1).reshape(-1, c, h, w)
        above = torch.cat([blocks[:, 1:], blocks[:, -1:]], 1).reshape(-1, c, h, w)
        return features + self.mix(torch.cat([below, features, above], 1))


class NoduleNet(nn.Module):
    """Blocks [n, SLICES, SIZE, SIZE] with values 0 to 1 in, `NoduleOutput` out."""

    def __init__(self, config: NoduleNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NoduleNetConfig()
        a, b, c, d = config.widths
        deep, shallow = config.decoder
        self.stem = _layer(1, a)
        self.down1 = nn.Sequential(_layer(a, b, 2), _layer(b, b))
        self.down2 = nn.Sequential(_layer(b, c, 2), _layer(c, c))
        self.mix2 = _Neighbours(c)
        self.down3 = nn.Sequential(_layer(c, d, 2), _layer(d, d))
        self.mix3 = _Neighbours(d)
        self.up2 = _layer(d + c, deep)
        self.up1 = _layer(deep + b, shallow)
        self.draw = nn.Conv2d(shallow, 4, 1)
        pooled = 2 * d + 2 * (deep + c) + shallow + SLICES + 8
        self.body = nn.Sequential(
            nn.BatchNorm1d(pooled),
            nn.Dropout(config.dropout),
            nn.Linear(pooled, config.hidden),
            nn.ReLU(inplace=True),
        )
        self.late = nn.Dropout(config.dropout)
        self.to_malignant = nn.Linear(config.hidden, 1)
        self.to_ordinal = nn.Linear(config.hidden, len(ORDINAL))
        self.thresholds = nn.Parameter(torch.linspace(1.5, -1.5, LEVELS).repeat(len(ORDINAL), 1))
        self.to_calcified = nn.Linear(config.hidden, 1)
        self.to_size = nn.Linear(config.hidden, 2)

    def forward(self, blocks: Tensor) -> NoduleOutput:
        """See the class."""
        n = len(blocks)
        slices = blocks.reshape(n * SLICES, 1, *blocks.shape[-2:])
        stem = self.stem((slices - 0.35) * 4)
        first = self.down1(stem)
        second = self.mix2(self.down2(first))
        third = self.mix3(self.down3(second))
        up2 = self.up2(torch.cat([functional.interpolate(third, scale_factor=2), second], 1))
        up1 = self.up1(torch.cat([functional.interpolate(up2, scale_factor=2), first], 1))
        mask = functional.pixel_shuffle(self.draw(up1), 2)
        hidden = self.body(self._pool(n, slices, second, third, up2, up1, mask.detach().sigmoid()))
        late = self.late(hidden)
        ordinal = self.to_ordinal(late)[:, :, None] + self.thresholds
        return NoduleOutput(
            malignant=self.to_malignant(late)[:, 0],
            ordinal=ordinal,
            calcified=self.to_calcified(late)[:, 0],
            size=self.to_size(late),
            mask=mask.view(n, SLICES, *mask.shape[-2:]),
            hidden=hidden,
        )

    def _pool(
        self, n: int, slices: Tensor, second: Tensor, third: Tensor, up2: Tensor, up1: Tensor, inside: Tensor
    ) -> Tensor:
        def block_mean(features: Tensor, weight: Tensor) -> Tensor:
            total = (features * weight).flatten(2).sum(2).view(n, SLICES, -1).sum(1)
            return total / (weight.flatten(1).sum(1).view(n, SLICES).sum(1)[:, None] + 1e-3)

        whole = third.flatten(2).mean(2).view(n, SLICES, -1)
        around = functional.max_pool2d(inside, 7, 1, 3) - inside
        inside2, around2 = functional.avg_pool2d(inside, 4), functional.avg_pool2d(around, 4)
        areas = inside.flatten(1).sum(1).view(n, SLICES) * PIXEL_MM**2
        wide = (inside > 0.5).float()
        rows = wide.amax(3).flatten(1).sum(1).view(n, SLICES).amax(1, keepdim=True)
        columns = wide.amax(2).flatten(1).sum(1).view(n, SLICES).amax(1, keepdim=True)
        grey_in, grey_out = block_mean(slices, inside), block_mean(slices, around)
        spread = (block_mean(slices**2, inside) - grey_in**2).clamp(min=1e-6).sqrt()
        spread_out = (block_mean(slices**2, around) - grey_out**2).clamp(min=1e-6).sqrt()
        doubt = (inside * (1 - inside)).flatten(1).sum(1).view(n, SLICES).sum(1, keepdim=True)
        total = areas.sum(1, keepdim=True)
        return torch.cat(
            [
                whole.mean(1),
                whole.amax(1),
                block_mean(second, inside2),
                block_mean(second, around2),
                block_mean(up2, inside2),
                block_mean(up2, around2),
                block_mean(up1, functional.avg_pool2d(inside, 2)),
                (areas + 1).log(),
                (rows + 1).log(),
                (columns + 1).log(),
                (total + 1).log(),
                (doubt + 1).log() - 0.5 * (total + 1).log(),
                grey_in,
                grey_out,
                spread,
                spread_out,
            ],
            1,
        )

"""A 3-D U-Net with skip connections, instance norm and deep supervision.

Blocks as in nnU-Net (Isensee et al., Nature Methods 2021): two 3x3x3 convolutions a level, instance norm,
leaky ReLU, strided convolutions down, transposed convolutions up (max-pooling and trilinear upsampling have no
deterministic backward pass on CUDA).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceNorm(nn.Module):
    """Instance norm with scale and offset, computed as group norm with one group a channel (faster on CPUs)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, c, k, j, i]` in and out."""
        return F.group_norm(x, self.weight.shape[0], self.weight, self.bias)


def _block(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(into, out, 3, stride, 1, bias=False), InstanceNorm(out), nn.LeakyReLU(0.01, inplace=True)
    )


class UNet3D(nn.Module):
    """A 3-D U-Net.

    Args:
        channels: feature channels of each level, finest first; every level below the first halves the size.
        inputs: channels of the image.
        classes: output channels, background included.
        coarse_heads: extra heads at this many coarser levels, used only in training (deep supervision).
    """

    def __init__(
        self, channels: Sequence[int] = (16, 32, 64, 128), inputs: int = 1, classes: int = 3, coarse_heads: int = 1
    ) -> None:
        super().__init__()
        widths = tuple(int(c) for c in channels)
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            into = inputs if level == 0 else widths[level - 1]
            self.down.append(nn.Sequential(_block(into, width, 1 if level == 0 else 2), _block(width, width)))
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for width, below in zip(widths[-2::-1], widths[:0:-1], strict=True):
            self.up.append(nn.ConvTranspose3d(below, width, 2, 2))
            self.merge.append(nn.Sequential(_block(2 * width, width), _block(width, width)))
        self.head = nn.Conv3d(widths[0], classes, 1)
        self.coarse = nn.ModuleList(nn.Conv3d(widths[1 + n], classes, 1) for n in range(coarse_heads))

    @classmethod
    def from_config(cls, network: dict[str, Any]) -> UNet3D:
        """The net that `config.json` of a model package describes in its `network` part."""
        return cls(
            channels=network["channels"],
            inputs=int(network.get("inputs", 1)),
            classes=int(network["classes"]),
            coarse_heads=int(network.get("coarse_heads", 0)),
        )

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Logits `[n, classes, ...]` at full size first, then of each coarse head, each half the size before."""
        skips: list[Tensor] = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        skips.pop()
        features: list[Tensor] = []
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
            features.append(x)
        features.reverse()
        coarse = [head(feature) for head, feature in zip(self.coarse, features[1:], strict=False)]
        return [self.head(features[0]), *coarse]

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[n, classes, k, j, i]` of images `[n, inputs, k, j, i]`; every size a multiple of 2**(levels-1)."""
        logits: Tensor = self.pyramid(x)[0]
        return logits

"""A 2.5-D U-Net: a few neighbouring slices and the place of the click in, one slice of logits out.

The network is told which object is meant: one channel holds a blob at the click within the slice, another the same
in space, and three numbers (pixel size, slice distance, distance from the clicked slice) scale and shift the deepest
features. So it can say "nothing here any more" beyond the ends of a lesion, where only vessels go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medviewer.errors import Refused

#: Radius (sigma, mm) of the blob at the click within the slice, and of the one in space.
IN_SLICE_SIGMA_MM = 3.0
IN_SPACE_SIGMA_MM = 6.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What the network looks like; this, and no code, is what a model's config.json holds.

    Attributes:
        slices: neighbouring slices that go in (odd; the middle one is answered).
        channels: features of each level, the finest first.
    """

    slices: int = 5
    channels: tuple[int, ...] = (16, 32, 64, 128, 128)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """Read and check the entry `network` of a config.json.

        Raises:
            Refused: the numbers describe no network of this kind.
        """
        try:
            slices, channels = int(config["slices"]), tuple(int(c) for c in config["channels"])
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"the model's config describes no 2.5-D U-Net ({error})") from error
        if not (1 <= slices <= 15 and slices % 2 == 1 and 2 <= len(channels) <= 6 and min(channels) >= 1):
            raise Refused("the model's config describes no 2.5-D U-Net")
        if max(channels) > 512:
            raise Refused("the model's config describes a network larger than this program runs")
        return cls(slices, channels)

    def to_config(self) -> dict[str, Any]:
        """The entry `network` of config.json."""
        return {"name": "unet25d", **asdict(self), "channels": list(self.channels)}

    @property
    def divisor(self) -> int:
        """Rows and columns must be multiples of this."""
        return int(2 ** (len(self.channels) - 1))


class _Level(nn.Module):
    """Twice convolution, instance norm, leaky ReLU; the first convolution may halve the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int, scalars: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.InstanceNorm2d(outputs, affine=True)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.InstanceNorm2d(outputs, affine=True)
        self.act = nn.LeakyReLU(0.01)
        self.film = nn.Linear(scalars, 2 * outputs) if scalars else None
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, scalars: Tensor | None = None) -> Tensor:
        x = self.act(self.first_norm(self.first(x)))
        x = self.second_norm(self.second(x))
        if self.film is not None and scalars is not None:
            # After the norm: before it, whatever is constant over the picture would be taken out again.
            scale, shift = self.film(scalars)[:, :, None, None].chunk(2, dim=1)
            x = x * (1 + scale) + shift
        answer: Tensor = self.act(x)
        return answer


class UNet25d(nn.Module):
    """The network. `forward(x [B, slices + 2, H, W], scalars [B, 3]) -> logits [B, H, W]`."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape = shape or Shape()
        self.dropout = 0.0  # share of the deepest features left out of a training step
        inputs, channels = shape.slices + 2, shape.channels
        last = len(channels) - 1
        self.down = nn.ModuleList(
            _Level(inputs if n == 0 else channels[n - 1], c, 1 if n == 0 else 2, 3 if n == last else 0)
            for n, c in enumerate(channels)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels[n + 1], channels[n], 2, 2) for n in range(last))
        self.join = nn.ModuleList(_Level(2 * channels[n], channels[n], 1) for n in range(last))
        self.out = nn.Conv2d(channels[0], 1, 1)

    def forward(self, x: Tensor, scalars: Tensor) -> Tensor:
        """Logits `[B, H, W]`; H and W must be multiples of the shape's `divisor`."""
        skips: list[Tensor] = []
        for level in self.down:
            x = level(x, scalars)
            skips.append(x)
        x = nn.functional.dropout2d(x, self.dropout, self.training)
        for n in reversed(range(len(self.up))):
            x = self.join[n](torch.cat([self.up[n](x), skips[n]], dim=1))
        logits: Tensor = self.out(x)[:, 0]
        return logits


def guide(rows_mm: Tensor, columns_mm: Tensor, away_mm: Tensor) -> Tensor:
    """The two channels that say where the click is.

    Args:
        rows_mm, columns_mm: `[B, H, W]`, distance of each pixel from the click along both axes.
        away_mm: `[B]`, distance of the slice from the clicked slice.

    Returns:
        `[B, 2, H, W]`: the blob within the slice, the blob in space.
    """
    square = rows_mm**2 + columns_mm**2
    in_slice = torch.exp(-square / (2 * IN_SLICE_SIGMA_MM**2))
    in_space = torch.exp(-(square + (away_mm**2)[:, None, None]) / (2 * IN_SPACE_SIGMA_MM**2))
    return torch.stack([in_slice, in_space], dim=1)


def scalars(pixel_mm: Tensor, spacing_mm: Tensor, away_mm: Tensor) -> Tensor:
    """`[B, 3]`: pixel size, slice distance, distance from the clicked slice, each brought to about -2..2."""
    return torch.stack(
        [(pixel_mm - 0.68) / 0.12, torch.log(spacing_mm / 1.5), away_mm.abs().clamp(max=30.0) / 10.0], dim=1
    )


def neighbours(count: int, wanted: Sequence[int], slices: int) -> NDArray[np.int64]:
    """Indices `[len(wanted), slices]` of the slices that go in with each wanted one; the ends are repeated."""
    reach = slices // 2
    index: NDArray[np.int64] = np.asarray(wanted, dtype=np.int64)[:, None] + np.arange(-reach, reach + 1)
    return np.clip(index, 0, count - 1)


def slice_logits(
    net: UNet25d,
    images: NDArray[np.float32],
    click_kji: Sequence[float],
    pixel_mm: float,
    spacing_mm: float,
    wanted: Sequence[int],
    *,
    device: str = "cpu",
    mirrored: bool = False,
) -> NDArray[np.float32]:
    """Logits of some slices of a crop.

    Args:
        net: the network in eval mode, on `device`.
        images: `[k, H, W]` float32 in 0..1.
        click_kji: the click in voxels of the crop.
        pixel_mm, spacing_mm: size of a pixel and distance of neighbouring slices.
        wanted: the slices to answer.
        mirrored: average over the four mirrorings of the picture (four times the work).

    Returns:
        `[len(wanted), H, W]` float32.
    """
    stack = torch.from_numpy(images[neighbours(images.shape[0], wanted, net.shape.slices)]).to(device)
    count, _, height, width = stack.shape
    k, j, i = (float(v) for v in click_kji)
    away = (torch.tensor(list(wanted), dtype=torch.float32, device=device) - k) * spacing_mm
    rows = ((torch.arange(height, device=device) - j) * pixel_mm)[None, :, None].expand(count, height, width)
    columns = ((torch.arange(width, device=device) - i) * pixel_mm)[None, None, :].expand(count, height, width)
    x = torch.cat([stack, guide(rows, columns, away)], dim=1)
    numbers = scalars(torch.full_like(away, pixel_mm), torch.full_like(away, spacing_mm), away)
    below, beside = -height % net.shape.divisor, -width % net.shape.divisor
    if below or beside:
        x = nn.functional.pad(x, (0, beside, 0, below), mode="replicate")
    with torch.inference_mode():
        total = net(x, numbers)
        if mirrored:
            for axes in ((2,), (3,), (2, 3)):
                total = total + torch.flip(net(torch.flip(x, axes), numbers), [a - 1 for a in axes])
            total = total / 4
    answer: NDArray[np.float32] = total[:, :height, :width].float().cpu().numpy()
    return answer

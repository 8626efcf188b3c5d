"""Which network a package's `config.json` means: names of networks, not code, stand in packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from medviewer.errors import Refused


def _unet3d(network: dict[str, Any]) -> nn.Module:
    from medviewer.inference.networks.unet3d import UNet3D

    return UNet3D.from_config(network)


def _unet25d(network: dict[str, Any]) -> nn.Module:
    from medviewer.inference.networks.unet25d import Shape, UNet25d

    return UNet25d(Shape.from_config(network))


def _nodule_cnn(network: dict[str, Any]) -> nn.Module:
    from medviewer.inference.networks.nodule_cnn import NoduleNet, NoduleNetConfig

    parts: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in network.items() if name != "name"
    }
    return NoduleNet(NoduleNetConfig(**parts))


#: Every network that a package may name in `network.name` of its config.json.
NETWORKS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "unet3d": _unet3d,
    "unet25d": _unet25d,
    "nodule_cnn": _nodule_cnn,
}

#: A network with more parameters than this is not built: its numbers come from a file.
LARGEST_PARAMETERS = 200_000_000


def build(network: Mapping[str, Any]) -> nn.Module:
    """The network of the entry `network` of a config.json, in evaluation mode, with untrained weights.

    Raises:
        Refused: an unknown name, or numbers that describe no network.
    """
    shape = _shape_only(network)
    if sum(parameter.numel() for parameter in shape.parameters()) > LARGEST_PARAMETERS:
        raise Refused("the model's config describes a network larger than this program runs")
    return NETWORKS[str(network["name"])](dict(network)).eval()


def expected_tensors(network: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, dtype as safetensors writes it: "F32", "I64") of every tensor that the network loads.

    Raises:
        Refused: as `build`.
    """
    names = {torch.float32: "F32", torch.int64: "I64"}
    return {
        name: (tuple(tensor.shape), names.get(tensor.dtype, str(tensor.dtype)))
        for name, tensor in _shape_only(network).state_dict().items()
    }


def _shape_only(network: Mapping[str, Any]) -> nn.Module:
    """The network without memory for its weights (torch's meta device)."""
    name = network.get("name")
    if name not in NETWORKS:
        raise Refused(f"the model's config names an unknown network {name!r}", remedy="update medviewer")
    try:
        with torch.device("meta"):
            return NETWORKS[str(name)](dict(network))
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Refused(f"the model's config describes no {name} network ({error})") from error

"""Networks as ordered, named layers: images in [0, 1] -> named activations, frozen, normalisation inside."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dmt.errors import UserError, nearest_name


class Backbone(Protocol):
    """What a feature extractor reads: named layers in the order of computation."""

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that can be read, from pixels upwards."""

    def __call__(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Map ``(B, 3, H, W)`` in [0, 1] to ``{layer: (B, C, h, w)}``, in network order."""


class Standardize(nn.Module):
    """``(x - mean) / std`` per colour channel, for ``(B, 3, H, W)`` in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


MOST_LISTED = 30  # names in an error
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # torchvision's constants for its ImageNet networks
IMAGENET_STD = (0.229, 0.224, 0.225)


class LayeredNetwork(nn.Module):
    """A frozen chain of named layers that runs no further than the last layer asked for.

    Args:
        stem: maps ``(B, 3, H, W)`` in [0, 1] to the first layer's input (the network's own normalisation).
        layers: named layers in order; a name stands for the activation *after* its non-linearity.
    """

    def __init__(self, stem: nn.Module, layers: Mapping[str, nn.Module]):
        super().__init__()
        self.stem = stem
        self.layers = nn.ModuleDict(layers)
        self.eval().requires_grad_(False)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(self.layers)

    def forward(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        require_layers(layers, self.layer_names)
        wanted, found = set(layers), {}
        x = self.stem(images)
        for name, layer in self.layers.items():
            x = layer(x)
            if name in wanted:
                found[name] = x
                if len(found) == len(wanted):
                    break
        return found


class JointNetwork(nn.Module):
    """Several networks side by side on the same image, each giving some of the layers.

    Ours: where the full weights of one network cannot be had, the lower layers of one stand beside the upper
    layers of another.

    Args:
        networks: the networks.
        layers: for every network, the names of the layers read from it; no name twice.
    """

    def __init__(self, networks: Sequence[Backbone], layers: Sequence[Sequence[str]]):
        super().__init__()
        self.networks = nn.ModuleList(networks)  # type: ignore[arg-type]
        self.layers = [tuple(names) for names in layers]
        names = self.layer_names
        if len(set(names)) != len(names):
            raise UserError(f"the layers of a joint network must differ, got {names}")
        for network, wanted in zip(networks, self.layers, strict=True):
            require_layers(wanted, network.layer_names)
        self.eval().requires_grad_(False)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(name for names in self.layers for name in names)

    def extra_repr(self) -> str:
        return f"layers={self.layers}"

    def forward(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        require_layers(layers, self.layer_names)
        found: dict[str, Tensor] = {}
        for network, names in zip(self.networks, self.layers, strict=True):
            wanted = [name for name in names if name in layers]
            if wanted:
                found |= network(images, wanted)
        return found


def require_layers(layers: Collection[str], known: Sequence[str]) -> None:
    """Raise a ``UserError`` that names the first unknown layer and its nearest known name."""
    for name in layers:
        if name not in known:
            hint = nearest_name(name, known)
            listed = [*known[:MOST_LISTED], "..."] if len(known) > MOST_LISTED + 1 else known
            raise UserError(f"the backbone has no layer {name!r}{hint} (layers: {', '.join(listed)})")


def network_fingerprint(network: nn.Module) -> str:
    """SHA-256 over a network's structure (its printed form) and every weight and buffer."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

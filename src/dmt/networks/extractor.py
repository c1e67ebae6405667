"""Images -> normalised activations of named layers -> one vector per image, and back."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from dmt.errors import UserError
from dmt.networks.network import Backbone, network_fingerprint, require_layers


@dataclass(frozen=True)
class FeatureLayout:
    """Where each layer's activation lies in the feature vector.

    Args:
        shapes: layer -> (C, h, w), in the order in which the layers are laid one after the other.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, activations: Mapping[str, Tensor]) -> Self:
        """The layout of activations ``{layer: (B, C, h, w)}``."""
        return cls({layer: tuple(value.shape[1:]) for layer, value in activations.items()})

    @property
    def size(self) -> int:
        """The length D of a feature vector."""
        return sum(prod(shape) for shape in self.shapes.values())

    def columns(self, layers: Collection[str]) -> list[slice]:
        """Where some of the layers lie, in the order of the vector."""
        ends = np.cumsum([prod(shape) for shape in self.shapes.values()]).tolist()
        return [
            slice(start, end)
            for layer, start, end in zip(self.shapes, [0, *ends], ends, strict=False)
            if layer in layers
        ]

    def pack(self, activations: Mapping[str, Tensor]) -> Tensor:
        """``{layer: (B, C, h, w)}`` -> ``(B, D)``."""
        return torch.cat([activations[layer].flatten(1) for layer in self.shapes], dim=1)

    def unpack(self, features: Tensor) -> dict[str, Tensor]:
        """``(B, D)`` -> ``{layer: (B, C, h, w)}``, as views; the inverse of ``pack``."""
        parts = features.split([prod(shape) for shape in self.shapes.values()], dim=1)
        return {
            layer: part.reshape(-1, *shape) for (layer, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


class FeatureExtractor(nn.Module):
    """A backbone read at some layers, each layer divided by its mean activation on the data.

    The paper's network is VGG-19 rescaled so that every channel has mean activation 1 over natural images (Gatys
    et al., arXiv 1508.06576). Here the scale is measured on the data (``measure_scales``) and, by default, one per
    layer: with nearly dead channels a scale per channel makes the inversion crawl.

    Args:
        backbone: the network.
        layers: the layers Omega that make up the feature vector.
        scales: layer -> mean activation, a scalar or ``(C, 1, 1)``; layers without one stay as they are.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str], scales: Mapping[str, Tensor] | None = None):
        super().__init__()
        if not layers:
            raise UserError("layers must name at least one layer of the backbone")
        require_layers(layers, backbone.layer_names)
        self.backbone = backbone
        self.layers = tuple(name for name in backbone.layer_names if name in layers)
        self._scaled_layers = tuple(scales or {})
        self._layouts: dict[tuple[int, int], FeatureLayout] = {}  # found by a pass through the network
        for layer, scale in (scales or {}).items():
            self.register_buffer(_buffer(layer), scale.clone())

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever a trainer asks for: the network is frozen."""
        return super().train(False)

    @property
    def scales(self) -> dict[str, Tensor]:
        """Layer -> the number (or ``(C, 1, 1)``) its activation is divided by."""
        return {layer: self.get_buffer(_buffer(layer)) for layer in self._scaled_layers}

    @property
    def fingerprint(self) -> dict[str, str]:
        """What determines a feature vector besides the image: network, weights, layers, normalisation."""
        scales = hashlib.sha256()
        for layer, scale in sorted(self.scales.items()):
            scales.update(layer.encode() + scale.cpu().numpy().tobytes())
        return {
            "network": network_fingerprint(self.backbone)[:16],  # type: ignore[arg-type]
            "layers": ",".join(self.layers),
            "normalization": scales.hexdigest()[:16],
        }

    def activations(
        self, images: Tensor, layers: Collection[str], precision: torch.dtype = torch.float32
    ) -> dict[str, Tensor]:
        """Normalised activations of any layers in one pass: ``(B, 3, H, W)`` in [0, 1] -> ``{layer: (B, C, h, w)}``.

        Args:
            images: pictures.
            layers: which to read.
            precision: of the convolutions and of what comes back; see ``dmt.networks.precision``.
        """
        with nullcontext() if precision == torch.float32 else torch.autocast(images.device.type, precision):
            found = self.backbone(images.contiguous(memory_format=torch.channels_last), layers)
        return {
            layer: value / self.get_buffer(_buffer(layer)) if layer in self._scaled_layers else value
            for layer, value in found.items()
        }

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Normalised activations of the extractor's own layers."""
        return self.activations(images, self.layers)

    def layout(self, height: int, width: int) -> FeatureLayout:
        """The layout of the feature vectors of ``(B, 3, height, width)`` images.

        Raises:
            UserError: the images are too small for the network.
        """
        if (height, width) not in self._layouts:
            self._layouts[height, width] = self._measured_layout(height, width)
        return self._layouts[height, width]

    def _measured_layout(self, height: int, width: int) -> FeatureLayout:
        device = next(iter(self.backbone.state_dict().values())).device  # type: ignore[attr-defined]
        try:
            with torch.no_grad():
                return FeatureLayout.of(self(torch.zeros(1, 3, height, width, device=device)))
        except RuntimeError as error:
            raise UserError(
                f"images of {height} x {width} pixels do not fit the network; set a larger data.image_size"
            ) from error

    def vectors(self, images: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """Feature vectors: ``(B, 3, H, W)`` in [0, 1] -> ``(B, D)``; ``precision`` as in ``activations``."""
        activations = self.activations(images, self.layers, precision)
        return FeatureLayout.of(activations).pack(activations)


class PooledExtractor(FeatureExtractor):
    """A backbone whose activations are averaged in the cells of a grid.

    A layer has up to a million numbers for a picture and no probe could be fitted to them, nor those of all layers be
    held. The means of 4 x 4 cells keep roughly where things are, which the mouth of a face needs, and are as many per
    channel for every layer (ours).

    Args:
        backbone: the network.
        layers: which of its layers.
        grid: cells along each side; a smaller layer has as many as it has places.
    """

    def __init__(self, backbone: Backbone, layers: Sequence[str], grid: int = 4):
        super().__init__(backbone, layers)
        self.grid = grid

    def activations(
        self, images: Tensor, layers: Collection[str], precision: torch.dtype = torch.float32
    ) -> dict[str, Tensor]:
        """As ``FeatureExtractor``'s, averaged: ``{layer: (B, C, grid, grid)}``."""
        return self.averaged(super().activations(images, layers, precision))

    def averaged(self, activations: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Activations ``{layer: (B, C, h, w)}``, averaged."""
        return {layer: self._averaged(value) for layer, value in activations.items()}

    def _averaged(self, activation: Tensor) -> Tensor:
        height, width = activation.shape[-2:]
        return adaptive_avg_pool2d(activation, (min(self.grid, height), min(self.grid, width)))


def measure_scales(
    backbone: Backbone,
    batches: Iterable[Tensor],
    per: str = "layer",
    floor: float = 0.05,
    seen: Callable[[Mapping[str, Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Measure every layer's mean absolute activation over images (after a ReLU that is the mean activation).

    Args:
        backbone: the network.
        batches: images, each ``(B, 3, H, W)`` in [0, 1].
        per: ``layer``, ``channel``, or ``none`` (no scales).
        floor: per channel, no scale is below this share of the layer's mean, so that a nearly dead channel is not
            blown up (ours).
        seen: told every batch's activations, of all layers.

    Returns:
        Layer -> mean activation, a scalar or ``(C, 1, 1)``, in float32.

    Raises:
        UserError: unknown ``per``, or no images.
    """
    if per not in ("layer", "channel", "none"):
        raise UserError(f"normalization must be layer, channel or none, got {per!r}")
    if per == "none" and seen is None:
        return {}
    sums: dict[str, Tensor] = {}
    count = 0
    for images in batches:
        with torch.no_grad():
            found = backbone(images.contiguous(memory_format=torch.channels_last), backbone.layer_names)
        if seen is not None:
            seen(found)
        for layer, value in found.items():
            sums[layer] = sums.get(layer, 0) + value.double().abs().mean(dim=(2, 3)).sum(dim=0)
        count += len(images)
    if count == 0:
        raise UserError("there are no images to measure the layers' mean activation on")
    scales: dict[str, Tensor] = {}
    if per == "none":
        return scales
    for layer, total in sums.items():
        channel_means = total / count
        layer_mean = channel_means.mean()
        if not layer_mean > 0:
            raise UserError(f"layer {layer!r} is 0 on every image; choose another backbone, or normalization=none")
        if per == "layer":
            scales[layer] = layer_mean.float()
        else:
            scales[layer] = channel_means.clamp_min(floor * layer_mean).reshape(-1, 1, 1).float()
    return scales


def _buffer(layer: str) -> str:
    return "scale_" + layer.replace(".", ":")  # no dots in a buffer's name, and no two layers with one buffer

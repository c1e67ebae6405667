"""Input and result -> how different they look, by a network's activations (LPIPS)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torch import Tensor

from dmt.errors import UserError
from dmt.networks import Backbone
from dmt.networks.network import require_layers
from dmt.networks.weights import load_tensors

# The ends of LPIPS's seven slices of SqueezeNet 1.1, by the names in conf/backbone/squeezenet1_1.yaml
LAYERS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
EPSILON = 1e-8  # inside the root, as torchmetrics has it
SMALLEST = 17  # pixels a side from which on SqueezeNet's third pooling has something to pool


class PerceptualDistance:
    """LPIPS (Zhang et al., CVPR 2018) with SqueezeNet 1.1, in a column ``NAME``: 0 if equal, lower is closer.

    ``sum_l mean_hw <w_l, (a_l / |a_l| - b_l / |b_l|)^2>``, where a_l and b_l are the activations of both pictures at
    layer l, normalised over channels at each place, and w_l >= 0 the linear head learnt from human judgements. It
    is at least 0 and at most ``2 sum_l max w_l`` = 11.3. The heads are version 0.1 and ship with torchmetrics; its own
    class takes no trunk but downloads one, so that the sum is ours. LPIPS scales pictures as torchvision's ImageNet
    networks do, so that the backbone's own normalisation serves.

    The heads were learnt on torchvision's weights. Any others, such as Gluon's, give other numbers: compare values only
    within one set of weights.

    Args:
        network: SqueezeNet 1.1 with the layers ``LAYERS``, pictures in [0, 1].

    Raises:
        UserError: the network lacks a layer.
    """

    looks_at_one = True  # or two: what it says of them takes no others

    def __init__(self, network: Backbone):
        require_layers(LAYERS, network.layer_names)
        self.network = network
        self.heads = squeezenet_heads()

    def columns(self, name: str, before: Sequence[Tensor], after: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {name: np.array([self.distance(x, y) for x, y in zip(before, after, strict=True)])}

    @torch.no_grad()
    def distance(self, image: Tensor, reference: Tensor) -> float:
        """LPIPS of two pictures ``(3, H, W)`` in [0, 1].

        Raises:
            UserError: the pictures are too small for the network.
        """
        height, width = image.shape[1:]
        if min(height, width) < SMALLEST:
            raise UserError(
                f"pictures of {height} x {width} pixels are too small for LPIPS, which needs {SMALLEST}; "
                "set a larger data.image_size"
            )
        activations = self.network(torch.stack([image, reference]).clamp(0, 1), LAYERS)
        return sum(
            layer_distance(activations[layer], weights) for layer, weights in zip(LAYERS, self.heads, strict=True)
        )


def layer_distance(pair: Tensor, weights: Tensor) -> float:
    """``mean_hw <w, (a / |a| - b / |b|)^2>`` of one layer's activations of two pictures.

    Args:
        pair: ``(2, C, h, w)``.
        weights: ``(C,)``.
    """
    first, second = pair / (pair.square().sum(dim=1, keepdim=True) + EPSILON).sqrt()
    return float(((first - second).square() * weights[:, None, None]).sum(dim=0).mean())


def squeezenet_heads() -> list[Tensor]:
    """LPIPS's weights ``(C,)`` of every layer, from the installed torchmetrics.

    Raises:
        UserError: it does not hold them.
    """
    path = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/squeeze.pth"
    if not path.is_file():
        raise UserError(f"LPIPS's heads are not at {path}: pip install 'torchmetrics>=1.6'")
    tensors = load_tensors(path)
    return [tensors[f"lin{number}.model.1.weight"].flatten() for number in range(len(LAYERS))]

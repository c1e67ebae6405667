"""A small network for digits, whose weights come with the package: the backbone that needs no download."""

from pathlib import Path

from torch import Tensor, nn

from dmt.errors import UserError
from dmt.networks.network import LayeredNetwork
from dmt.networks.weights import load_into, load_tensors, tensors_sha256
from dmt.ranges import Cells

WEIGHTS = Path(__file__).with_name("digits.safetensors")
"""Trained on scikit-learn's digits by ``python docs/digits_network.py``; 94 kB."""
SHA256 = "251d5ee56ea2201a"  # the start of what ``tensors_sha256`` says of them; docs/digits_network.py prints it


class Luminance(nn.Module):
    """``(B, 3, H, W)`` -> the mean of the channels, ``(B, 1, H, W)``: grey input stays grey under its gradient."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=1, keepdim=True)


def digits_network(width: Cells = 16) -> LayeredNetwork:
    """Three convolutions with ReLU, pooled after the first two: ``conv1``, ``conv2``, ``conv3``, random weights.

    Ours: the smallest network on whose features digits can be told apart and redrawn.

    Args:
        width: channels of ``conv1``; the next two have twice and four times as many.
    """

    def convolution(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())

    return LayeredNetwork(
        Luminance(),
        {
            "conv1": convolution(1, width),
            "pool1": nn.MaxPool2d(2),
            "conv2": convolution(width, 2 * width),
            "pool2": nn.MaxPool2d(2),
            "conv3": convolution(2 * width, 4 * width),
        },
    )


def digits_backbone() -> LayeredNetwork:
    """``digits_network`` with the weights that come with the package, frozen.

    >>> digits_backbone().layer_names
    ('conv1', 'pool1', 'conv2', 'pool2', 'conv3')
    """
    network, tensors = digits_network(), load_tensors(WEIGHTS)
    if not tensors_sha256(tensors).startswith(SHA256):
        raise UserError(f"{WEIGHTS} is damaged; install dmt again")
    load_into(network, tensors, WEIGHTS)
    return network.eval().requires_grad_(False)

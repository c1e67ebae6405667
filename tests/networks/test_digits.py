"""The network that comes with the package, read by a linear classifier of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from dmt.data import Digits
from dmt.networks import digits_backbone, digits_network

HALF = 900  # scikit-learn's example of these digits, too, learns from the first half and is tested on the second


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


def mistakes(points: np.ndarray, digits: Digits) -> float:
    """The share of the second half that a linear reader of the first half takes for another digit."""
    reader = RidgeClassifier().fit(points[:HALF], digits.digits[:HALF])
    return 1 - reader.score(points[HALF:], digits.digits[HALF:])


def test_the_network_that_comes_with_the_package_tells_digits_apart(digits):
    """By what its last layer holds in the 2 x 2 cells that it was trained with: where a stroke is tells digits apart.

    Its weights have seen all digits, but the reader has not: it is far better than one of the pixels, and than one of
    the same network with random weights.
    """
    torch.manual_seed(0)
    images = torch.stack([digits.read(i, 32) for i in range(len(digits.names))])

    def pooled(network: nn.Module) -> np.ndarray:
        with torch.no_grad():
            return adaptive_avg_pool2d(network(images, ["conv3"])["conv3"], 2).flatten(1).numpy()

    of_network = mistakes(pooled(digits_backbone()), digits)
    assert of_network < 0.05
    assert of_network < 0.5 * mistakes(digits.pixels.reshape(len(images), -1), digits)
    assert of_network < 0.5 * mistakes(pooled(digits_network()), digits)


def test_it_is_frozen():
    network = digits_backbone()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())

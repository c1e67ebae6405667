"""The second study: how general is each layer of a network, by what it costs to train on top of another's layers."""

from dmt.transfer.networks import WeightLayers, caffenet, narrow_network, torchvision_network
from dmt.transfer.splits import Halves, HalvesByKind, ListedHalves, RandomHalves, Split
from dmt.transfer.study import TransferStudy

__all__ = [
    "Halves",
    "HalvesByKind",
    "ListedHalves",
    "RandomHalves",
    "Split",
    "TransferStudy",
    "WeightLayers",
    "caffenet",
    "narrow_network",
    "torchvision_network",
]

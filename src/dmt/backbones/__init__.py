"""Networks whose layers the manifold is built on."""

from dmt.backbones.digits import digits_network
from dmt.backbones.network import Backbone, JointNetwork, LayeredNetwork, network_fingerprint
from dmt.backbones.torchvision_network import TorchvisionNetwork
from dmt.backbones.vgg import vgg19, vgg19_distilled

__all__ = [
    "Backbone",
    "JointNetwork",
    "LayeredNetwork",
    "TorchvisionNetwork",
    "digits_network",
    "network_fingerprint",
    "vgg19",
    "vgg19_distilled",
]

"""Networks whose layers the manifold is built on."""

from dmt.networks.digits import digits_backbone, digits_network
from dmt.networks.network import Backbone, JointNetwork, LayeredNetwork, network_fingerprint
from dmt.networks.torchvision_network import TorchvisionNetwork
from dmt.networks.vgg import vgg19, vgg19_distilled

__all__ = [
    "Backbone",
    "JointNetwork",
    "LayeredNetwork",
    "TorchvisionNetwork",
    "digits_backbone",
    "digits_network",
    "network_fingerprint",
    "vgg19",
    "vgg19_distilled",
]

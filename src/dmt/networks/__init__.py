"""Networks whose layers the manifold is built on."""

from dmt.networks.any_backbone import module_backbone, timm_backbone, torchvision_backbone
from dmt.networks.digits import digits_backbone, digits_network
from dmt.networks.module_network import ModuleNetwork
from dmt.networks.network import Backbone, JointNetwork, LayeredNetwork, network_fingerprint
from dmt.networks.vgg import vgg19, vgg19_distilled
from dmt.networks.weights import first_of

__all__ = [
    "Backbone",
    "JointNetwork",
    "LayeredNetwork",
    "ModuleNetwork",
    "digits_backbone",
    "digits_network",
    "first_of",
    "module_backbone",
    "network_fingerprint",
    "timm_backbone",
    "torchvision_backbone",
    "vgg19",
    "vgg19_distilled",
]

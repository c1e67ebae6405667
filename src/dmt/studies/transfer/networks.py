"""A number of classes -> a network as a chain of weight layers, the unit in which the study copies and freezes.

A layer is a convolution or a linear map with all that follows it up to the next one: ReLU, pooling, normalisation,
dropout.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import torch
import torchvision
from annotated_types import Len
from torch import Tensor, fx, nn
from torch.fx.passes.split_module import split_module

from dmt.errors import UserError, nearest_name
from dmt.networks.network import IMAGENET_MEAN, IMAGENET_STD, Standardize
from dmt.ranges import Cells, Kernel, ShareBelowOne, Width

CAFFENET_MEAN = tuple(mean / 255 for mean in (122.7, 116.7, 104.0))  # of ImageNet's training pictures, R, G, B


class WeightLayers(nn.Sequential):
    """A chain of weight layers of which the first do not learn.

    What is frozen stays in evaluation mode, so that the running statistics of batch normalisation stay too; dropout
    among it stays on while the rest is trained, as in the paper.

    Args:
        layers: name -> layer, in order.
        n_frozen: how many of the first are frozen.
    """

    def __init__(self, layers: dict[str, nn.Module], n_frozen: int = 0):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.n_frozen = n_frozen
        for layer in self.frozen:
            layer.requires_grad_(False)
        self.train(self.training)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the layers."""
        return tuple(self._modules)

    @property
    def frozen(self) -> list[nn.Module]:
        """The layers that do not learn."""
        return list(self)[: self.n_frozen]

    def part(self, first: int, stop: int) -> "WeightLayers":
        """The layers from position ``first`` to before ``stop``, the same objects, frozen or not as they are here."""
        layers = dict(list(self.named_children())[first:stop])
        return WeightLayers(layers, max(0, min(self.n_frozen, stop) - first))

    def train(self, mode: bool = True) -> "WeightLayers":
        super().train(mode)
        for module in (module for layer in self.frozen for module in layer.modules()):
            if not isinstance(module, nn.Dropout):
                module.training = False
        return self


class Scale(nn.Module):
    """``(x - mean) * 255`` per colour channel for ``(B, 3, H, W)`` in [0, 1]: what Caffe's networks read."""

    mean: Tensor

    def __init__(self, mean: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) * 255


def caffenet(classes: int, image_size: int = 227) -> WeightLayers:
    """The network of Yosinski et al. (2014), section 3 and supplement, as printed, with its initial weights.

    Where we differ: channels come as red, green, blue, and the mean is one colour, not a picture.

    Args:
        classes: outputs.
        image_size: pixels of a side, 227 in the paper; at least 67.

    Raises:
        UserError: a smaller size.
    """
    side = (((image_size - 11) // 4 + 1) - 3) // 2 + 1
    side = ((side - 3) // 2 + 1 - 3) // 2 + 1
    if side < 1:
        raise UserError(f"net=caffenet needs pictures of at least 67 pixels, got data.image_size={image_size}")

    def pool_and_norm() -> list[nn.Module]:
        return [nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)]

    conv1 = _gaussian(nn.Conv2d(3, 96, 11, stride=4), 0.01, bias=0)
    conv2 = _gaussian(nn.Conv2d(96, 256, 5, padding=2, groups=2), 0.01, bias=1)
    conv3 = _gaussian(nn.Conv2d(256, 384, 3, padding=1), 0.01, bias=0)
    conv4 = _gaussian(nn.Conv2d(384, 384, 3, padding=1, groups=2), 0.01, bias=1)
    conv5 = _gaussian(nn.Conv2d(384, 256, 3, padding=1, groups=2), 0.01, bias=1)
    return _layers(
        conv1=[Scale(CAFFENET_MEAN), conv1, nn.ReLU(), *pool_and_norm()],
        conv2=[conv2, nn.ReLU(), *pool_and_norm()],
        conv3=[conv3, nn.ReLU()],
        conv4=[conv4, nn.ReLU()],
        conv5=[conv5, nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()],
        fc6=[_gaussian(nn.Linear(256 * side**2, 4096), 0.005, bias=1), nn.ReLU(), nn.Dropout(0.5)],
        fc7=[_gaussian(nn.Linear(4096, 4096), 0.005, bias=1), nn.ReLU(), nn.Dropout(0.5)],
        fc8=[_gaussian(nn.Linear(4096, classes), 0.01, bias=0)],
    )


def narrow_network(
    classes: int,
    image_size: int = 32,
    *,
    channels: Annotated[Sequence[Width], Len(5, 5)] = (24, 48, 64, 64, 48),
    hidden: Width = 192,
    kernel: Kernel = 3,
    stride: Cells = 1,
    dropout: ShareBelowOne = 0.5,
) -> WeightLayers:
    """Eight layers in the places of the paper's, for small pictures: pooled by halves after conv1, conv2 and conv5.

    Ours: narrow and without batch normalisation, since only such a network, on a task that it does not learn by
    heart, can show the fragile co-adaptation of layers. Initial weights are He's (arXiv 1502.01852), zero biases.

    Args:
        classes: outputs.
        image_size: pixels of a side, a multiple of ``8 * stride``.
        channels: of the five convolutions.
        hidden: units of fc6 and of fc7.
        kernel: pixels of conv1's side, odd.
        stride: of conv1.
        dropout: after fc6 and fc7, in [0, 1).

    Raises:
        UserError: a size that cannot be halved so often, or another number of channels than five.
    """
    if image_size < 8 * stride or image_size % (8 * stride):
        raise UserError(f"data.image_size must be a multiple of {8 * stride} for this network, got {image_size}")
    if len(channels) != 5:
        raise UserError(f"net.network.channels must be five numbers, got {list(channels)}")
    side = image_size // (8 * stride)

    conv1 = _he(nn.Conv2d(3, channels[0], kernel, stride, padding=kernel // 2))
    conv2, conv3, conv4, conv5 = (_he(nn.Conv2d(*both, 3, padding=1)) for both in pairwise(channels))
    return _layers(
        conv1=[Standardize(IMAGENET_MEAN, IMAGENET_STD), conv1, nn.ReLU(), nn.MaxPool2d(2)],
        conv2=[conv2, nn.ReLU(), nn.MaxPool2d(2)],
        conv3=[conv3, nn.ReLU()],
        conv4=[conv4, nn.ReLU()],
        conv5=[conv5, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()],
        fc6=[_he(nn.Linear(channels[4] * side**2, hidden)), nn.ReLU(), nn.Dropout(dropout)],
        fc7=[_he(nn.Linear(hidden, hidden)), nn.ReLU(), nn.Dropout(dropout)],
        fc8=[_he(nn.Linear(hidden, classes))],
    )


def torchvision_network(classes: int, image_size: int, *, name: str, cuts: Sequence[str]) -> WeightLayers:
    """Any torchvision classification network, untrained, cut into layers.

    Args:
        classes: outputs.
        image_size: pixels of a side; any that the network can take.
        name: torchvision's name, for example ``resnet18``.
        cuts: names of the modules after which a layer ends, in order, for example ``["maxpool", "layer1", "layer2"]``;
            what follows the last is one more layer.

    Raises:
        UserError: unknown network or module, or a cut where more than one tensor would have to cross.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UserError(f"torchvision has no network {name!r}{nearest_name(name, known)}")
    network = torchvision.models.get_model(name, weights=None, num_classes=classes)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # an in-place ReLU would overwrite cached activations
    graph = fx.GraphModule(network, _Tracer().trace(network))
    layer_of = _layer_of_each_node(graph.graph, cuts, name)
    parts = split_module(graph, network, lambda node: layer_of[node])
    steps = [node for node in parts.graph.nodes if node.op == "call_module"]
    arguments = [[node for node in parts.graph.nodes if node.op == "placeholder"], *([step] for step in steps[:-1])]
    for step, expected, cut in zip(steps, arguments, ["", *cuts], strict=True):
        if list(step.args) != expected:
            place = f"after {cut!r}" if cut else "at all"
            raise UserError(f"{name} cannot be cut {place}, for several tensors are in use there; cut after a block")
    layers: dict[str, nn.Module] = {}
    for position, (step, last) in enumerate(zip(steps, [*cuts, "head"], strict=True)):
        layer = parts.get_submodule(str(step.target))
        stem = [Standardize(IMAGENET_MEAN, IMAGENET_STD)] if position == 0 else []
        layers[last.replace(".", "_")] = nn.Sequential(*stem, layer)
    try:
        with torch.no_grad():
            result = WeightLayers(layers).eval()(torch.zeros(1, 3, image_size, image_size))
    except RuntimeError as error:
        raise UserError(f"{name} cannot take pictures of {image_size} pixels ({error}); set data.image_size") from error
    if not isinstance(result, Tensor):
        found = type(result).__name__
        raise UserError(f"{name} gives more than the scores of classes ({found}); choose another network")
    return WeightLayers(layers)


class _Tracer(fx.Tracer):
    """Leaves whole what acts otherwise in training, so that it does as its layer is told."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, torchvision.ops.StochasticDepth) or super().is_leaf_module(module, name)


def _layer_of_each_node(graph: fx.Graph, cuts: Sequence[str], name: str) -> dict[fx.Node, int]:
    nodes = list(graph.nodes)
    modules_of = [{path for path, _ in node.meta.get("nn_module_stack", {}).values()} for node in nodes]
    ends = []
    for cut in cuts:
        inside = [i for i, modules in enumerate(modules_of) if cut in modules]
        if not inside:
            known = {module for modules in modules_of for module in modules}
            raise UserError(f"{name} has no module {cut!r}{nearest_name(cut, known)}; see net.network.cuts")
        ends.append(inside[-1])
    if any(later <= earlier for earlier, later in pairwise(ends)):
        raise UserError(f"net.network.cuts must be in the network's order, got {list(cuts)}")
    return {node: sum(end < i for end in ends) for i, node in enumerate(nodes)}


def _layers(**layers: list[nn.Module]) -> WeightLayers:
    return WeightLayers({name: nn.Sequential(*modules) for name, modules in layers.items()})


def _gaussian(module: Any, std: float, bias: float) -> Any:
    nn.init.normal_(module.weight, std=std)
    nn.init.constant_(module.bias, bias)
    return module


def _he(module: Any) -> Any:
    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    nn.init.zeros_(module.bias)
    return module

"""VGG-19 (Simonyan and Zisserman, arXiv 1409.1556) as named layers: the paper's network, and a narrow copy of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from dmt.errors import UserError
from dmt.networks.network import IMAGENET_MEAN, IMAGENET_STD, LayeredNetwork, Standardize, require_layers
from dmt.networks.weights import find_weights, load_into, load_tensors, tensors_sha256
from dmt.ranges import Checksum, Pooling

# torchvision's index of every convolution in `features`, block by block; a max pooling ends each block
CONVOLUTIONS = {
    "conv1": (0, 2),
    "conv2": (5, 7),
    "conv3": (10, 12, 14, 16),
    "conv4": (19, 21, 23, 25),
    "conv5": (28, 30, 32, 34),
}
WIDTHS = (64, 128, 256, 512, 512)
NARROW_WIDTHS = (16, 32, 64, 128, 128)
NARROW_SHA256 = "513de539e8ed9b23954951985b9037d5990cf26475e5b9586ba3f2ebd3247e4f"

POOLINGS: Mapping[str, Callable[[bool], nn.Module]] = {
    "max": lambda ceil: nn.MaxPool2d(2, 2, ceil_mode=ceil),
    "average": lambda ceil: nn.AvgPool2d(2, 2, ceil_mode=ceil),
}


def vgg19(
    weights: Sequence[str] | None,
    weights_dir: str | Path = "~/.cache/dmt/weights",
    url: str | None = None,
    sha256: Checksum = "",
    last_layer: str = "conv5_1",
    pooling: Pooling = "max",
    ceil_mode: bool = True,
) -> LayeredNetwork:
    """VGG-19 with layers ``conv1_1, conv1_2, pool1, conv2_1, ...``, each conv read after its ReLU.

    Ceil-mode pooling is Caffe's and so the paper's: 125 -> 63 -> 32 -> 16 -> 8 pixels, where torchvision's floor
    mode gives 125 -> 62 -> 31 -> 15 -> 7.

    Args:
        weights: file names with torchvision's keys (see ``find_weights``); ``None`` leaves random weights.
        weights_dir: where the files are kept.
        url: where the first file can be downloaded from.
        sha256: the start of that file's SHA-256.
        last_layer: the network is cut after this layer.
        pooling: ``max`` (the paper) or ``average`` (Gatys et al., arXiv 1508.06576, for smoother gradients).
        ceil_mode: whether pooling rounds sizes up.

    Raises:
        UserError: unknown layer or pooling, weights missing or of another network.
    """
    network = LayeredNetwork(
        Standardize(IMAGENET_MEAN, IMAGENET_STD),
        _vgg_layers(WIDTHS, "zeros", last_layer, pooling, ceil_mode),
    )
    if weights is not None:
        path = find_weights(weights, weights_dir, url, sha256)
        load_into(network.layers, _by_layer(load_tensors(path)), path)
    return network


def vgg19_distilled(
    weights: Sequence[str] | None,
    weights_dir: str | Path = "~/.cache/dmt/weights",
    url: str | None = None,
    last_layer: str = "conv5_1",
    pooling: Pooling = "max",
    ceil_mode: bool = True,
) -> LayeredNetwork:
    """VGG-19 with a quarter of the channels, distilled from the normalised VGG-19 up to conv5_1.

    Source: Wang et al., Collaborative Distillation for Ultra-Resolution Universal Style Transfer, CVPR 2020. Its
    convolutions pad by reflection, and a 1x1 convolution does the mean and the order of the channels. Arguments
    and errors as in ``vgg19``; a file from the authors' repository is converted on reading, and one whose tensors
    are not the published ones is refused.
    """
    network = LayeredNetwork(nn.Conv2d(3, 3, 1), _vgg_layers(NARROW_WIDTHS, "reflect", last_layer, pooling, ceil_mode))
    if weights is not None:
        path = find_weights(weights, weights_dir, url)
        tensors = _with_torchvision_keys(load_tensors(path))
        if tensors_sha256(tensors) != NARROW_SHA256:
            raise UserError(f"{path} is not the published distilled VGG-19 (its checksum differs); fetch it again")
        load_into(network.layers, _by_layer(tensors), path)
        load_into(network.stem, {"weight": tensors["pre.weight"], "bias": tensors["pre.bias"]}, path)
    return network


def _vgg_layers(
    widths: Sequence[int], padding_mode: Literal["zeros", "reflect"], last_layer: str, pooling: str, ceil_mode: bool
) -> dict[str, nn.Module]:
    if pooling not in POOLINGS:
        raise UserError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    layers: dict[str, nn.Module] = {}
    channels = 3
    for number, (block, width) in enumerate(zip(CONVOLUTIONS, widths, strict=True), start=1):
        for position in range(1, len(CONVOLUTIONS[block]) + 1):
            convolution = nn.Conv2d(channels, width, 3, padding=1, padding_mode=padding_mode)
            layers[f"{block}_{position}"] = nn.Sequential(convolution, nn.ReLU())
            channels = width
        layers[f"pool{number}"] = POOLINGS[pooling](ceil_mode)
    require_layers([last_layer], tuple(layers))
    names = list(layers)
    return {name: layers[name] for name in names[: names.index(last_layer) + 1]}


def _layer_of_index() -> dict[int, str]:
    return {
        index: f"{block}_{position}"
        for block, indices in CONVOLUTIONS.items()
        for position, index in enumerate(indices, start=1)
    }


def _by_layer(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``features.10.weight`` -> ``conv3_1.0.weight``; other keys (classifier, aux) are dropped."""
    return {
        f"{layer}.0.{kind}": tensors[f"features.{index}.{kind}"]
        for index, layer in _layer_of_index().items()
        for kind in ("weight", "bias")
        if f"features.{index}.{kind}" in tensors
    }


def _with_torchvision_keys(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``conv31`` -> ``features.10``, ``conv31_aux`` -> ``aux.10``, ``conv0`` -> ``pre``: the authors' names to ours."""
    names = {"conv0": "pre"}
    for index, layer in _layer_of_index().items():
        names[layer.replace("_", "")] = f"features.{index}"
        names[layer.replace("_", "") + "_aux"] = f"aux.{index}"
    converted = {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        converted[f"{names.get(module, module)}.{kind}"] = tensor
    return converted

"""The name of a network of torchvision or timm, or a function that builds one -> a backbone, with its weights."""

import importlib
import os
import sys
import urllib.error
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from dmt.errors import UserError, nearest_name
from dmt.networks.module_network import ModuleNetwork
from dmt.networks.network import IMAGENET_MEAN, IMAGENET_STD
from dmt.networks.weights import find_weights, load_into, load_tensors
from dmt.ranges import Builder, Checksum, Colour, Deviation, Side

DEFAULT = "default"  # weights: those that the library itself downloads
WEIGHTS_DIR = "~/.cache/dmt/weights"

Layers = Mapping[str, str] | Sequence[str] | None


def torchvision_backbone(
    name: str,
    layers: Layers = None,
    *,
    weights: str | Sequence[str] | None = DEFAULT,
    weights_dir: str | Path = WEIGHTS_DIR,
    url: str | None = None,
    sha256: Checksum = "",
    options: Mapping[str, Any] | None = None,
    input_size: Side | None = None,
) -> ModuleNetwork:
    """Any network of torchvision for classification or segmentation.

    Args:
        name: torchvision's name, for example ``resnet50``.
        layers: names of its modules, or ours -> names of its modules; ``None``: its stages and blocks.
        weights: a file with torchvision's keys, or several, best first (see ``find_weights``); ``default``: those that
            torchvision downloads; ``None``: random ones.
        weights_dir: where files are kept.
        url: where the first file can be downloaded from.
        sha256: the start of that file's SHA-256.
        options: further arguments of torchvision's constructor, such as ``num_classes``.
        input_size: see ``ModuleNetwork``.

    Raises:
        UserError: unknown network or module; weights missing, not to be downloaded, or of another network.
    """
    from torchvision import models  # slow, and needed by few

    known = models.list_models(module=models) + models.list_models(module=models.segmentation)
    if name not in known:
        raise UserError(f"torchvision has no network {name!r}{nearest_name(name, known)}")
    arguments = dict(options or {})
    if name in models.list_models(module=models.segmentation):
        arguments.setdefault("weights_backbone", None)  # or torchvision downloads them
    try:
        network = models.get_model(name, weights="DEFAULT" if weights == DEFAULT else None, **arguments)
    except (urllib.error.URLError, OSError) as error:
        file = Path(models.get_model_weights(name)["DEFAULT"].url).name
        raise UserError(
            f"{file} could not be downloaded ({error}): put it into {Path(torch.hub.get_dir()) / 'checkpoints'}, "
            "name a file of your own as weights, or weights=null for random ones"
        ) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"options of {name}: {_first_line(error)}") from error
    if weights != DEFAULT:
        _load(network, weights, weights_dir, url, sha256)
    return ModuleNetwork(network, layers, input_size=input_size)


def timm_backbone(
    name: str,
    layers: Layers = None,
    *,
    weights: str | Sequence[str] | None = DEFAULT,
    weights_dir: str | Path = WEIGHTS_DIR,
    options: Mapping[str, Any] | None = None,
    input_size: Side | None = None,
) -> ModuleNetwork:
    """Any network of timm (``pip install 'dmt[timm]'``), pictures standardised as timm says.

    Args:
        name: timm's name, with the tag of its weights or without, for example ``convnext_tiny.fb_in1k``.
        layers: names of its modules, or ours -> names of its modules; ``None``: its stages and blocks.
        weights: a file with timm's keys, or several, best first (see ``find_weights``); ``default``: those that timm
            downloads; ``None``: random ones.
        weights_dir: where files are kept.
        options: further arguments of ``timm.create_model``, such as ``dynamic_img_size`` (a vision transformer that
            takes several sizes).
        input_size: see ``ModuleNetwork``.

    Raises:
        UserError: timm is not installed; unknown network or module; weights missing, not to be downloaded, or of
            another network.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError("networks of timm need it: pip install 'dmt[timm]'") from error
    if ":" not in name and not timm.is_model(name.split(".")[0]):
        raise UserError(f"timm has no network {name!r}{nearest_name(name.split('.')[0], timm.list_models())}")
    try:
        network = timm.create_model(name, pretrained=weights == DEFAULT, **(options or {}))
    except Exception as error:  # a missing connection has a class of its own in each library that timm downloads with
        remedy = "; without a connection name a file of your own as weights, or weights=null for random ones"
        raise UserError(f"timm's {name}: {_first_line(error)}{remedy if weights == DEFAULT else ''}") from error
    if weights != DEFAULT:
        _load(network, weights, weights_dir)
    said: Mapping[str, Any] = getattr(network, "pretrained_cfg", {})
    return ModuleNetwork(
        network,
        layers,
        mean=said.get("mean", IMAGENET_MEAN),
        std=said.get("std", IMAGENET_STD),
        input_size=input_size,
    )


def module_backbone(
    builder: Builder,
    layers: Layers = None,
    *,
    weights: str | Sequence[str] | None = None,
    weights_dir: str | Path = WEIGHTS_DIR,
    options: Mapping[str, Any] | None = None,
    mean: Colour = IMAGENET_MEAN,
    std: Deviation = IMAGENET_STD,
    input_size: Side | None = None,
    channels: Literal["first", "last"] | None = None,
) -> ModuleNetwork:
    """A network of your own, made by a function or class of an installed module or one in the working folder.

    Args:
        builder: where the function is, for example ``my_package.nets:build``; a method of a class as ``nets:Net.make``.
        layers: names of modules, or ours -> names of modules; ``None``: stages and blocks.
        weights: a file, or several, best first (see ``find_weights``); ``None``: those that the function gives.
        weights_dir: where files are kept.
        options: what the function is called with.
        mean: see ``ModuleNetwork``; 0 for a network that standardises pictures itself.
        std: see ``ModuleNetwork``; 1 for such a network.
        input_size: see ``ModuleNetwork``.
        channels: see ``ModuleNetwork``.

    Raises:
        UserError: there is no such function, it fails, or it makes no network; weights missing or of another network.
    """
    network = built_network(builder, weights, weights_dir, options)
    return ModuleNetwork(network, layers, mean=mean, std=std, input_size=input_size, channels=channels)


def built_network(
    builder: str,
    weights: str | Sequence[str] | None = None,
    weights_dir: str | Path = WEIGHTS_DIR,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """What a function makes, with its weights; arguments and errors as ``module_backbone``."""
    build = imported(builder)
    try:
        network = build(**(options or {}))
    except Exception as error:  # whatever the user's function raises
        raise UserError(f"builder {builder} failed: {type(error).__name__}: {_first_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"builder {builder} must make a torch.nn.Module, got {type(network).__name__}")
    _load(network, weights, weights_dir)
    return network


def imported(builder: str) -> Any:
    """What ``MODULE:NAME`` names, of the working folder or an installed package; raises ``UserError``."""
    module_name, _, path = builder.partition(":")
    if not module_name or not path:
        raise UserError(f"builder must be MODULE:FUNCTION, such as my_package.nets:build, got {builder!r}")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.append(folder)  # for good: what the function imports later is found there, too
    importlib.invalidate_caches()
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise UserError(
            f"builder {builder}: {type(error).__name__}: {_first_line(error)}; run the command in the folder where "
            f"{module_name.split('.')[0]} lies, or install it"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise UserError(f"builder {builder}: there is no {name!r} in it{nearest_name(name, dir(found))}")
        found = getattr(found, name)
    return found


def _load(
    network: nn.Module,
    weights: str | Sequence[str] | None,
    weights_dir: str | Path,
    url: str | None = None,
    sha256: Checksum = "",
) -> None:
    if weights is not None:
        path = find_weights([weights] if isinstance(weights, str) else weights, weights_dir, url, sha256)
        load_into(network, load_tensors(path), path)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]

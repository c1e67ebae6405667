"""Any network as a backbone: its modules, read by name while it runs."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dmt.errors import UserError, nearest_name, require_whole_number
from dmt.networks.forms import Form, form_of
from dmt.networks.main_layers import main_layers
from dmt.networks.network import IMAGENET_MEAN, IMAGENET_STD, Standardize, require_layers
from dmt.networks.trial import Call, outputs_of, trial

log = logging.getLogger(__name__)

CLASS = ".class"  # ends the name of the layer of class and register tokens
BATCH = 2  # pictures of a trial
SIZES = (224, 256, 32, 28, 64, 128, 299, 384, 448, 512, 518)  # pixels; 224 is what networks for ImageNet take


class ModuleNetwork(nn.Module):
    """Any network, frozen, whose layers are outputs of its modules; it runs no further than the last one asked for.

    What a module gives becomes ``(B, C, h, w)``: ``(B, H, W, C)`` is permuted; of tokens ``(B, T, C)`` those of places
    become a grid, and class and register tokens before them (``T`` less the largest square) are a layer of their own,
    ``NAME.class``, ``(B, C, 1, how many)``; ``(B, C)`` becomes ``(B, C, 1, 1)``. Where a module gives a tuple or a
    mapping, its first tensor counts; of a module called several times, the last output. In-place activations are
    switched off, and what another step would write over is copied.

    Pictures of a size that the network does not take are brought to one that it takes.

    Args:
        network: maps ``(B, 3, H, W)``, standardised, to anything; changed in place: frozen, in float32.
        layers: names of modules (``layer3.2``), or ours -> names of modules; ``None``: some twenty of its stages and
            blocks, see ``main_layers``.
        mean: of pictures in [0, 1], per colour channel, which the network's input has less.
        std: which the network's input is divided by, per colour channel.
        input_size: height and width in pixels that all pictures are brought to; ``None``: pictures stay as they are
            if the network takes them for all of its layers here, else the first size that it takes.
        channels: which axis of outputs is the channels', ``first`` or ``last``; ``None``: found by trying two sizes.

    Raises:
        UserError: an unknown module, one that gives no activations, or a network that takes no picture that was tried.

    >>> network = ModuleNetwork(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)))
    >>> network.layer_names
    ('1', '2')
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Mapping[str, str] | Sequence[str] | None = None,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        input_size: int | None = None,
        channels: str | None = None,
    ):
        super().__init__()
        if channels not in (None, "first", "last"):
            raise UserError(f"channels must be first, last or null, got {channels!r}")
        if input_size is not None:
            require_whole_number("input_size", input_size, "a number of pixels or null", least=1)
        switch_off_in_place(network)
        self.stem = Standardize(mean, std)
        self.network = network.float()
        self.input_size = input_size
        self.eval().requires_grad_(False)

        modules = _modules_of(network, layers)
        self.taken_size, calls = self._first_taken(None if modules is None else list(modules.values()))
        if modules is None:
            modules = {name: name for name in main_layers(network, calls)}
            if not modules:
                raise UserError(f"{self.title} has no modules whose activations could be read; name some as layers")
        self._layers = self._tried(modules, channels)
        self._sizes: dict[tuple[int, int], tuple[int, int]] = {}  # of pictures -> what they are brought to

    @property
    def title(self) -> str:
        """What the network is called: its class."""
        return type(self.network).__name__

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(self._layers)

    def extra_repr(self) -> str:
        layers = ", ".join(f"{name}={layer}" for name, layer in self._layers.items())
        return f"{layers}, input_size={self.input_size}, taken_size={self.taken_size}"

    def forward(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        require_layers(layers, self.layer_names)
        wanted = {name: layer for name, layer in self._layers.items() if name in layers}
        if not wanted:
            return {}
        height, width = self._size_of(images)
        if (height, width) != tuple(images.shape[-2:]):
            images = interpolate(images, (height, width), mode="bilinear", antialias=True)
        calls = {layer.module: layer.calls for layer in wanted.values()}
        copied = [layer.module for layer in wanted.values() if layer.is_overwritten]
        found = outputs_of(self.network, self.stem(images), calls, copied)
        return {name: layer.activation(found[layer.module], height, width) for name, layer in wanted.items()}

    def _size_of(self, images: Tensor) -> tuple[int, int]:
        """Height and width that pictures are brought to, found by a pass through the network for each size."""
        if self.input_size is not None:
            return self.input_size, self.input_size
        height, width = images.shape[-2:]
        if (height, width) not in self._sizes:
            modules = {layer.module for layer in self._layers.values()}
            calls, error = trial(self.network, self.stem(images.new_zeros(1, 3, height, width)), modules)
            side = self.taken_size
            takes = {call.name for call in calls} == modules
            self._sizes[height, width] = (height, width) if takes else (side, side)
            if not takes:
                reason = f"{height} x {width} pixels ({_first_line(error)})"
                log.info("%s does not take pictures of %s: they are brought to %d x %d", self.title, reason, side, side)
        return self._sizes[height, width]

    def _first_taken(self, names: list[str] | None) -> tuple[int, list[Call]]:
        """The first size that the network takes, and the calls of its modules there (``None``: of all)."""
        wanted = _module_names(self.network) if names is None else names
        sizes = list(_usual_sizes(self.network)) if self.input_size is None else [self.input_size]
        first_error: Exception | None = None
        for size in sizes:
            calls, error = trial(self.network, self._blank(size, size), wanted)
            if error is None or (names is not None and {call.name for call in calls} == set(names)):
                return size, calls
            first_error = first_error or error
        tried = ", ".join(str(size) for size in sizes)
        raise UserError(
            f"{self.title} takes no batch of pictures (B, 3, H, W) with sides of {tried} pixels "
            f"({_first_line(first_error)}); set input_size to one that it takes, or name lower layers"
        ) from first_error

    def _tried(self, modules: Mapping[str, str], channels: str | None) -> dict[str, "_Layer"]:
        """The layers, by what their modules give at the size that is taken and at another."""
        names, size = set(modules.values()), self.taken_size
        calls, _ = trial(self.network, self._blank(size, size), names, hold=True)
        last = {call.name: call for call in calls}
        elsewhere: dict[str, Call] = {}
        smaller = size - 32 if size > 64 else max(size // 2, 1)
        for height, width in ((size, smaller), (smaller, smaller)):
            others, _ = trial(self.network, self._blank(height, width), names)
            if {call.name for call in others} == set(last):
                elsewhere = {call.name: call for call in others}
                break
        forms: dict[str, Form] = {}
        for name in modules.values():
            if name not in last:
                raise UserError(f"module {name!r} of {self.title} is not called when the network runs")
            shape, other = last[name].shape, elsewhere[name].shape if name in elsewhere else None
            form = None if shape is None or shape[0] != BATCH else form_of(shape, other, channels)
            if form is None:
                raise UserError(
                    f"module {name!r} of {self.title} gives {shape or 'no tensor'} for a batch of {BATCH}; a layer "
                    "gives (B, C, H, W), (B, H, W, C), (B, T, C) or (B, C)"
                )
            forms[name] = form
        counts = Counter(call.name for call in calls)
        order = {call.name: position for position, call in enumerate(calls)}  # the last call's
        layers: dict[str, _Layer] = {}
        for layer, name in sorted(modules.items(), key=lambda item: order[item[1]]):
            layers[layer] = _Layer(name, forms[name], counts[name], last[name].is_overwritten)
            if forms[name].prefix:
                layers[layer + CLASS] = replace(layers[layer], is_class=True)
        return layers

    def _blank(self, height: int, width: int) -> Tensor:
        device = next((tensor.device for tensor in self.network.state_dict().values()), self.stem.mean.device)
        return self.stem.to(device)(torch.zeros(BATCH, 3, height, width, device=device))


@dataclass(frozen=True)
class _Layer:
    """Where a layer is read."""

    module: str
    form: Form
    calls: int  # of the module, until its last output
    is_overwritten: bool  # whether a later step writes over it
    is_class: bool = False  # the tokens without a place, not those with one

    def activation(self, output: Tensor, height: int, width: int) -> Tensor:
        return self.form.unplaced(output) if self.is_class else self.form.places(output, height, width)


def switch_off_in_place(network: nn.Module) -> None:
    """Have no activation overwrite what it gets, which may be a layer that is read before it."""
    for module in network.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - mypy takes attributes of a module for tensors


def _modules_of(network: nn.Module, layers: Mapping[str, str] | Sequence[str] | None) -> dict[str, str] | None:
    """Layer -> module; a list's names are both, and a class token's layer comes with that of its module."""
    if layers is None:
        return None
    if isinstance(layers, str) or not layers:
        raise UserError(f"layers must be a list of names of modules, or null, got {layers!r}")
    modules = dict(layers) if isinstance(layers, Mapping) else {name: name for name in map(str, layers)}
    known = _module_names(network)
    found: dict[str, str] = {}
    for layer, name in modules.items():
        if name not in known and name.endswith(CLASS):
            layer, name = layer.removesuffix(CLASS), name.removesuffix(CLASS)
        if name not in known:
            children = ", ".join(child for child, _ in network.named_children())
            raise UserError(
                f"{type(network).__name__} has no module {name!r}{nearest_name(name, known)} (its own: {children})"
            )
        found[layer] = name
    return found


def _module_names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_modules(remove_duplicate=False) if name]


def _usual_sizes(network: nn.Module) -> Iterator[int]:
    """Sizes to try: what the network says of itself, as those of timm, torchvision and transformers do; then others."""
    places = (("patch_embed", "img_size"), ("default_cfg", "input_size"), ("config", "image_size"))
    said: list[Any] = [getattr(network, "image_size", None)]
    for holder, name in places:
        held = getattr(network, holder, None)
        said.append(held.get(name) if isinstance(held, Mapping) else getattr(held, name, None))
    sides = [size[-1] if isinstance(size, tuple | list) and size else size for size in said]
    yield from dict.fromkeys([*(side for side in sides if isinstance(side, int)), *SIZES])


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200]

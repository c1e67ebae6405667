"""What a network's modules gave -> the names of some twenty that stand for its way from pixels upwards."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from dmt.networks.trial import Call

MOST = 20
FEW = 4  # fewer are no way
BULK = 2 / 3  # what holds so much of the weights is the network itself, not a part of it


def main_layers(network: nn.Module, calls: Sequence[Call], most: int = MOST) -> list[str]:
    """Choose layers: the network's stages, or the blocks in them where these are not too many (ours).

    The network is opened, then level by level whatever is a chain (``nn.Sequential``) or holds two thirds of the
    weights, until there would be more than ``most``. Of convolution, normalisation and non-linearity in a row the last
    is taken; what is called more than once, has no places (pooled vectors, scores of classes) or gives back what it
    got is left out.

    Args:
        network: the network.
        calls: of all its modules.
        most: how many layers.

    Returns:
        Names of modules in the order in which they end, none twice.
    """
    counts = Counter(call.name for call in calls)
    of_name = {call.name: call for call in calls if counts[call.name] == 1}
    modules = dict(network.named_modules(remove_duplicate=False))
    children: dict[str, list[str]] = defaultdict(list)
    for name in of_name:
        children[_parent(name, counts)].append(name)
    total = sum(parameter.numel() for parameter in network.parameters())

    def opens(name: str, few: bool) -> bool:
        if sum(parameter.numel() for parameter in modules[name].parameters()) >= BULK * total > 0:
            return True
        return isinstance(modules[name], nn.Sequential) and (few or any(children[child] for child in children[name]))

    def is_single(name: str) -> bool:
        return not any(_dimensions(modules[child]) for child in children[name])

    def tidied(names: Sequence[str]) -> list[str]:
        kept = [name for name in names if _has_places(of_name[name].shape) and not of_name[name].is_input]
        finished = {  # by the normalisation or non-linearity that follows at once
            name
            for name, following in pairwise(kept)
            if _parent(name, counts) == _parent(following, counts)
            and is_single(name) and is_single(following)
            and _dimensions(modules[name]) and max(_dimensions(modules[following]), default=0) < 2
        }  # fmt: skip
        return [name for name in kept if name not in finished]

    level = children[""]
    while True:
        few = len(tidied(level)) < FEW
        opened = [
            inner for name in level for inner in (children[name] if children[name] and opens(name, few) else [name])
        ]
        if opened == level or not tidied(opened) or (not few and len(tidied(opened)) > most):
            break
        level = opened
    names = tidied(level)
    return names if len(names) <= most else [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


def _parent(name: str, called: Counter[str]) -> str:
    """The nearest module around this one that is called; the empty string for the network."""
    while name:
        name = name.rpartition(".")[0]
        if name in called:
            break
    return name


def _dimensions(module: nn.Module) -> list[int]:
    """Of every parameter: 2 or more are those of a convolution or a matrix."""
    return [parameter.ndim for parameter in module.parameters()]


def _has_places(shape: tuple[int, ...] | None) -> bool:
    return shape is not None and (len(shape) == 3 or (len(shape) == 4 and sum(side > 1 for side in shape[1:]) > 1))

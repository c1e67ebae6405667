"""A network and a picture -> which modules were called, in which order, and what they gave."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dmt.errors import UserError


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Args:
        name: of the module.
        shape: of the tensor that it gave; ``None`` if it gave none.
        is_input: whether that is what it got, perhaps as a view (dropout, identity, flatten, permute).
        is_overwritten: whether a later step writes over it; only where the outputs are held.
    """

    name: str
    shape: tuple[int, ...] | None
    is_input: bool = False
    is_overwritten: bool = False


class _Stop(BaseException):
    """Everything asked for has been seen; not an ``Exception``, which a network might catch."""


def outputs_of(
    network: nn.Module, images: Tensor, calls: Mapping[str, int], copied: Collection[str] = ()
) -> dict[str, Tensor]:
    """Run a network no further than the last of some modules, and keep what they give.

    Args:
        network: any.
        images: its input.
        calls: name of a module -> how often it is called; the last output counts.
        copied: modules whose output is copied, since a later step writes over it.

    Raises:
        UserError: a module was not called.
    """
    found: dict[str, Tensor] = {}
    left = dict(calls)

    def keep(name: str, _: object, output: Any) -> None:
        tensor = tensor_of(output)
        assert tensor is not None, f"{name} gave a tensor when it was tried"
        found[name] = tensor.clone() if name in copied else tensor
        left[name] -= 1
        if max(left.values()) <= 0:
            raise _Stop

    _with_hooks(network, images, calls, keep)
    for name in calls:
        if name not in found:
            raise UserError(f"module {name!r} of the network is not called for pictures of this size")
    return found


@torch.no_grad()
def trial(
    network: nn.Module, images: Tensor, names: Collection[str], hold: bool = False
) -> tuple[list[Call], Exception | None]:
    """Run a network to its end, and see what its modules give.

    Args:
        network: any.
        images: its input.
        names: of modules.
        hold: hold what they give to the end, and see which of it is overwritten.

    Returns:
        Every call in order of its end, and what ended the run early, if anything did.
    """
    calls: list[Call] = []
    held: list[tuple[Tensor | None, int]] = []

    def see(name: str, arguments: tuple[object, ...], output: Any) -> None:
        tensor = tensor_of(output)
        first = arguments[0] if arguments else None
        is_input = isinstance(first, Tensor) and tensor is not None and _is_same(first, tensor)
        calls.append(Call(name, None if tensor is None else tuple(tensor.shape), is_input))
        if hold:
            held.append((tensor, 0 if tensor is None else tensor._version))

    error: Exception | None = None
    try:
        _with_hooks(network, images, names, see)
    except Exception as caught:  # a network refuses a size in ways of its own
        error = caught
    if hold:
        overwritten = [tensor is not None and tensor._version != version for tensor, version in held]
        calls = [
            Call(call.name, call.shape, call.is_input, over) for call, over in zip(calls, overwritten, strict=True)
        ]
    return calls, error


def tensor_of(output: Any) -> Tensor | None:
    """The first tensor of what a module gave: itself, or in a tuple, a list or a mapping."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else []
    return next((tensor for value in values if (tensor := tensor_of(value)) is not None), None)


def _is_same(first: Tensor, second: Tensor) -> bool:
    return first is second or (
        first.device.type != "meta" and first.data_ptr() == second.data_ptr() and first.numel() == second.numel()
    )


def _with_hooks(network: nn.Module, images: Tensor, names: Collection[str], tell: Any) -> None:
    modules = dict(network.named_modules(remove_duplicate=False))
    handles = []
    try:
        for name in names:
            hook = lambda _, arguments, output, name=name: tell(name, arguments, output)  # noqa: E731
            handles.append(modules[name].register_forward_hook(hook))
        network(images)
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()

"""Which objects a configuration may name as its parts: what is one in dmt and in the libraries that it is made of.

A configuration is data, and may be somebody else's. ``_target_`` in it names what is imported and called, so that no
more can be named than classes that are parts of a run, and functions that make one. What is to be called beyond that
is said by the command itself: ``targets=[my_package]``, or the environment's ``DMT_TARGETS=my_package``.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from types import FunctionType
from typing import Any, get_type_hints

from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from dmt.cli.command import parsed
from dmt.errors import UserError

PACKAGES = ("dmt", "torch", "torchvision", "pytorch_lightning", "lightning", "optuna")
CLOSED = ("dmt.app", "dmt.cli", "dmt.storage", "dmt.errors", "dmt.ranges")  # rooms of ours without parts of a run
OPEN = ("dmt.storage.limits",)  # but for these
PARTS = {  # classes of others whose subclasses are parts of a run
    "torch.nn.modules.module.Module",
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.optim.optimizer.Optimizer",
    "torch.utils.data.dataset.Dataset",
    "torch.utils.data.sampler.Sampler",
    "pytorch_lightning.accelerators.accelerator.Accelerator",
    "pytorch_lightning.callbacks.callback.Callback",
    "pytorch_lightning.core.datamodule.LightningDataModule",
    "pytorch_lightning.loggers.logger.Logger",
    "pytorch_lightning.profilers.profiler.Profiler",
    "pytorch_lightning.strategies.strategy.Strategy",
    "pytorch_lightning.trainer.trainer.Trainer",
    "optuna.pruners._base.BasePruner",
    "optuna.samplers._base.BaseSampler",
}
HYDRAS = ("hydra._internal.", "hydra.experimental.callbacks.", "hydra_plugins.")  # launchers, sweepers, callbacks
OUR_CALLBACK = "dmt.cli.folders.OutputFolder"
LOGS = re.compile(r"(logging(\.handlers)?\.\w*(Handler|Formatter)|colorlog\.ColoredFormatter)")
NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")  # of an object in a package, nothing private
CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")  # MODULE:FUNCTION
VARIABLE = "DMT_TARGETS"


def trusted_by(command: Sequence[str]) -> tuple[str, ...]:
    """The packages, modules or objects that the command and the environment trust beside ours.

    >>> trusted_by(["targets=[my_package]", "lambda=1"])
    ('my_package',)
    """
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    for argument in command:
        if argument.lstrip("+").startswith("targets="):
            try:
                value = parsed(argument).value()
            except HydraException:
                continue
            named += [str(name) for name in value] if isinstance(value, list) else [str(value)]
    return tuple(name for name in named if name)


def target(name: object, place: str, trusted: Sequence[str] = ()) -> Callable[..., Any]:
    """The class or function that a configuration names.

    Args:
        name: as ``dmt.traversal.kernels.RBF``.
        place: where it is named, for the message.
        trusted: what else may be named, as ``trusted_by`` says.

    Raises:
        UserError: there is none of this name, or it is nothing that a configuration may name.
    """
    written = str(name)
    own = isinstance(name, str) and _is_below(written, trusted)
    if not own and not (isinstance(name, str) and NAME.fullmatch(name) and _is_below(name, PACKAGES)):
        package = written.split(".")[0].split(":")[0]
        is_name = package.isidentifier() and len(package) < 64
        advice = f"; if it is code that you trust: targets=[{package}]" if is_name else ""
        raise UserError(
            f"{place}._target_ must name a part of dmt, torch, torchvision, Lightning or Optuna, "
            f"got {shortened(written)!r}{advice}"
        )
    try:
        found = _located(written)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{place}._target_: there is no {shortened(written)}") from error
    if not callable(found) or not (own or _is_part(found)):
        raise UserError(
            f"{place}._target_ must name a class or function that makes a part of a run, got {shortened(written)}"
        )
    return found


@cache
def made_by(target: Callable[..., Any]) -> Any:
    """What a class or function makes: the class, or what the function says; ``None`` where nobody says."""
    if isinstance(target, type):
        return target
    try:
        return get_type_hints(target).get("return")
    except (NameError, TypeError):
        return None


def require_named(code: str, place: str, command: Sequence[str], trusted: Sequence[str]) -> None:
    """Raise a ``UserError`` where ``MODULE:FUNCTION`` is to be called, and only a file of settings says so."""
    if not CODE.fullmatch(code):
        return
    module = code.partition(":")[0]
    if any(code in argument for argument in command) or _is_below(module, trusted):
        return
    raise UserError(
        f"{place}: {code} would be run, and only a file says so; if it is code that you trust: targets=[{module}]"
    )


def require_trusted_hydra(hydra: DictConfig, trusted: Sequence[str] = ()) -> None:
    """Raise a ``UserError`` where Hydra's own settings name what is none of its parts and no handler of logs."""
    for place, key, value in _strings(hydra, "hydra"):
        if key == "_target_":
            is_known = value == OUR_CALLBACK or value.startswith(HYDRAS) or _is_below(value, trusted)
        elif key in ("()", "class", "factory"):
            is_known = LOGS.fullmatch(value) is not None or _is_below(value, trusted)
        else:
            is_known = not value.startswith("ext://") or value in ("ext://sys.stdout", "ext://sys.stderr")
        if not is_known:
            package = value.removeprefix("ext://").split(".")[0]
            raise UserError(
                f"{place}.{key} must name a part of Hydra or a handler of logs, got {value!r}; "
                f"if it is code that you trust: targets=[{package}]"
            )


def _strings(node: DictConfig | ListConfig, place: str) -> Iterator[tuple[str, str, str]]:
    """Every text below a node: where it stands, under which key, and what it says."""
    keys = list(node) if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        if OmegaConf.is_missing(node, key):
            continue
        value = node._get_node(key) if OmegaConf.is_interpolation(node, key) else node[key]
        if OmegaConf.is_interpolation(node, key):
            if key in ("_target_", "()", "class", "factory"):
                value = node[key]
            else:
                continue
        if isinstance(value, DictConfig | ListConfig):
            yield from _strings(value, f"{place}.{key}")
        elif isinstance(value, str):
            yield place, str(key), value


def shortened(text: str) -> str:
    """Text in one line of at most 64 characters that can be printed."""
    shown = " ".join(text[:500].split())
    shown = shown if shown.isprintable() else ascii(shown)
    return f"{shown[:60]} ..." if len(shown) > 64 else shown


@cache
def _located(name: str) -> Any:
    """The object of a dotted name: of the longest part that is a module, what is below it."""
    parts = name.split(".")
    found: Any = import_module(parts[0])
    for at, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            import_module(".".join(parts[:at]))
        found = getattr(found, part)
    return found


def _is_part(found: Any) -> bool:
    module, name = getattr(found, "__module__", None) or "", getattr(found, "__qualname__", ".")
    is_closed = _is_below(module, CLOSED) and not _is_below(module, OPEN)
    if "." in name or is_closed or not isinstance(found, type | FunctionType):
        return False
    if isinstance(found, type):
        return _is_below(module, ("dmt",)) or any(
            f"{each.__module__}.{each.__qualname__}" in PARTS for each in found.__mro__
        )
    made = made_by(found)
    makes_one = isinstance(made, type) and _is_below(made.__module__, PACKAGES)
    return makes_one and (
        _is_below(module, ("dmt",)) or (_is_below(module, ("torchvision.models",)) and _is_part(made))
    )


def _is_below(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith((f"{package}.", f"{package}:")) for package in packages)

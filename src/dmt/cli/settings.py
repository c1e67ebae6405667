"""A composed configuration -> the same, checked: every value is one that whatever it fills takes.

What a part of a run takes is in its signature. What no signature says, the settings of ``conf/base.yaml``, is here.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import pytorch_lightning as pl
from annotated_types import Interval
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from dmt.cli.signatures import Part, described, parameters, value_of
from dmt.cli.signatures import is_default as is_default_of
from dmt.cli.targets import made_by, require_named, shortened, target, trusted_by
from dmt.data import EditData, Framing, Selection
from dmt.data.tables import Table
from dmt.editing import LambdaRule
from dmt.errors import UserError, nearest_name
from dmt.inversion import Constraints, Realise
from dmt.inversion.parametrizations import Parametrization
from dmt.inversion.regularizers import Regularizer
from dmt.judges import Judge
from dmt.networks import Backbone
from dmt.ranges import Code, Count, CountOrNone, Label, Lambda, Scalar, Seed, Side
from dmt.solvers import LBFGS
from dmt.storage.limits import Limits
from dmt.studies.layers import LayerScores
from dmt.traversal.kernels import Kernel

MOST_SAID = 3  # wrong settings that are told at once
DEEPEST = 40  # levels of a configuration
REFERENCE = re.compile(r"\$\{([a-zA-Z]\w*(?:\.\w+)*)\}")
MOST_THREADS = max(64, os.cpu_count() or 1)
Frames = Annotated[int, Interval(ge=0, le=1000)]
Devices = Annotated[int, Interval(ge=-1, le=4096)]
Whatever = Callable[..., Any]  # a part of which nobody knows more

SETTINGS: dict[str, Any] = {  # of conf/base.yaml and of the groups, by their dotted names
    "net": Mapping[str, Any],
    "framing": Framing | None,
    "regularizer": Mapping[str, Regularizer | None],
    "parametrization": Parametrization,
    "judges": Mapping[str, Judge],
    "auto": LambdaRule,
    "solver": Mapping[str, LBFGS],
    "kernel": Kernel,
    "data": EditData | Table,
    "data.image_size": Side | None,
    "method": Whatever,
    "selection": Selection | None,
    "backbone": Backbone,
    "task": Any,
    "logger": Any,
    "manifold": Any,
    "lambda": Lambda | Literal["auto"],
    "images": str | Sequence[Scalar],
    "n_images": Count,
    "faces": Literal["largest", "all"],
    "person": str | None,
    "figure": Whatever | None,
    "study": Whatever | None,
    "study.editor.table": Table | None,
    "transfer": Mapping[str, Any] | None,
    "layers": str | Sequence[str],
    "layer_names": Mapping[str, Sequence[str]],
    "scores": LayerScores,
    "output": Mapping[str, Any],
    "output.animation": Literal["none", "gif", "mp4"],
    "output.frames": Frames,
    "output.mark": bool,
    "keep": Sequence[Label] | None,
    "target_features": Literal["residual", "projected"],
    "witness": Mapping[str, Any],
    "witness.weighting": Literal["mean", "sum"],
    "plans": Annotated[int, Interval(ge=1, le=1000)],
    "fixed": Sequence[str],
    "constraints": Constraints,
    "realise": Realise | None,
    "trainer": pl.Trainer,
    "trainer.devices": Devices | Sequence[CountOrNone] | str,
    "seed": Seed | None,
    "precision": Literal["auto", "float32", "bfloat16"],
    "threads": Annotated[int, Interval(ge=1, le=MOST_THREADS)] | None,
    "progress": bool,
    "normalization": Literal["layer", "channel", "none"],
    "manifold_path": str | None,
    "keep_features": bool,
    "limits": Limits,
    "targets": Sequence[str],
    "data_dir": str,
    "weights_dir": str,
    "cache_dir": str,
    "output_dir": str,
}


@dataclass(frozen=True)
class _Wrong:
    place: str
    message: str


def check_settings(cfg: DictConfig, command: Sequence[str] | None = None, only: Sequence[str] | None = None) -> None:
    """Raise a ``UserError`` that names each wrong setting, its value and what it takes; build nothing.

    A whole number that is written as another (``1e3``) becomes one, and a number that names something becomes text.

    Args:
        cfg: the configuration.
        command: the settings that somebody typed, which may name code that is called; ``None``: all may, for it is
            Python that made the configuration.
        only: the names of the settings and groups to look at; ``None``: all.

    Raises:
        UserError: in one line.
    """
    wrong = [_Wrong(name, f"{name} cannot be left out") for name in SETTINGS if "." not in name and name not in cfg]
    wrong += _Check(cfg, command).of(cfg, "", 0, only)
    said = list({each.place: each.message for each in wrong}.values())
    if said:
        more = f"; and {len(said) - MOST_SAID} more are wrong" if len(said) > MOST_SAID else ""
        raise UserError("; ".join(said[:MOST_SAID]) + more)


class _Check:
    """Goes through a configuration once."""

    def __init__(self, cfg: DictConfig, command: Sequence[str] | None):
        self.cfg = cfg
        self.command = command
        self.trusted = trusted_by(command or ())

    def of(
        self, node: DictConfig | ListConfig, place: str, depth: int, only: Sequence[str] | None = None
    ) -> Iterator[_Wrong]:
        """What is wrong in a part of the configuration, and below it."""
        if depth > DEEPEST:
            raise UserError(f"{place.split('.')[0]} is made of itself, or too deep")
        made = self._target(node, place) if isinstance(node, DictConfig) and "_target_" in node else None
        takes = {} if made is None else parameters(made)
        for key in only or _keys(node):
            value = _read(node, key)
            if value is _MISSING or (made is not None and str(key).startswith("_")):
                continue
            below = f"{place}.{key}" if place else str(key)
            if below == "hydra":  # whose own parts are looked at before Hydra starts
                continue
            origin = self._origin(node, key) or below
            annotation = SETTINGS.get(below)
            if annotation is None and made is not None:
                if str(key) not in takes and "**" not in takes:
                    yield _Wrong(below, f"there is no {below}{nearest_name(str(key), takes)}")
                    continue
                annotation = takes.get(str(key), takes.get("**"))
            is_default = made is not None and is_default_of(made, str(key), value)
            if annotation is not None and not is_default and not (origin != below and _is_settled(origin, value)):
                yield from self._value(annotation, value, origin, origin != below)
            if isinstance(value, DictConfig | ListConfig) and origin == below:
                yield from self.of(value, below, depth + 1)

    def _target(self, node: DictConfig, place: str) -> Callable[..., Any]:
        """What a part names; raises a ``UserError`` where it may not be named, or is named in a way of its own."""
        for key in map(str, node):
            if key.startswith("_") and key not in ("_target_", "_partial_"):
                raise UserError(f"{place}.{key} is no setting; a part has arguments with names, _target_ and _partial_")
        if not isinstance(node.get("_partial_", False), bool):
            raise UserError(f"{place}._partial_ must be true or false, got {_shown(node.get('_partial_'))}")
        return target(_read(node, "_target_"), place, self.trusted)

    def _value(self, annotation: Any, value: Any, place: str, is_reference: bool) -> Iterator[_Wrong]:
        plain = self._plain(value, place, 0)
        if is_reference and isinstance(plain, Part):
            plain = Part(None)  # which one is looked at where it stands
        if self.command is not None and isinstance(plain, str) and _is_code(annotation):
            require_named(plain, place, self.command, self.trusted)
        try:
            taken = value_of(annotation, plain)
        except (ValueError, RecursionError):
            named = " ".join([place, *(f"({origin})" for origin in self._origins(value))])
            yield _Wrong(place, f"{named} must be {described(annotation)}, got {_shown(plain)}")
            return
        if _is_plain(taken) and repr(taken) != repr(plain) and not _is_float(taken, plain):
            OmegaConf.update(self.cfg, place, taken, merge=False)

    def _plain(self, value: Any, place: str, depth: int) -> Any:
        """A value without Hydra's containers, with a ``Part`` for whatever describes one."""
        if depth > DEEPEST:
            raise UserError(f"{place} is made of itself, or too deep")
        if isinstance(value, ListConfig):
            inside = (_read(value, at) for at in range(len(value)))
            return [self._plain(each, place, depth + 1) for each in inside if each is not _MISSING]
        if not isinstance(value, DictConfig):
            return value
        if "_target_" in value:
            made = made_by(target(_read(value, "_target_"), place, self.trusted))
            return Part(made, bool(value.get("_partial_", False)))
        inside = ((key, _read(value, key)) for key in value)
        return {key: self._plain(each, place, depth + 1) for key, each in inside if each is not _MISSING}

    def _origins(self, value: Any) -> list[str]:
        """Where the members of a list stand that only refer to other settings."""
        places = range(len(value)) if isinstance(value, ListConfig) else ()
        return [origin for at in places if (origin := self._origin(value, at)) is not None]

    def _origin(self, node: DictConfig | ListConfig, key: Any) -> str | None:
        """Where a value stands that another only refers to, ``${data.image_size}``."""
        found = None
        seen: set[str] = set()
        while OmegaConf.is_interpolation(node, key):
            referred = REFERENCE.fullmatch(str(node._get_node(key)._value()))  # type: ignore[union-attr]
            if referred is None or referred[1] in seen:
                break
            found = referred[1]
            seen.add(found)
            parent, _, key = found.rpartition(".")
            node = OmegaConf.select(self.cfg, parent) if parent else self.cfg
            if not isinstance(node, DictConfig) or key not in node:
                break
        return found


_MISSING = object()


def _keys(node: DictConfig | ListConfig) -> list[Any]:
    return list(node) if isinstance(node, DictConfig) else list(range(len(node)))


def _read(node: DictConfig | ListConfig, key: Any) -> Any:
    try:
        return node[key]
    except (MissingMandatoryValue, InterpolationToMissingValueError):
        return _MISSING


def _is_settled(origin: str, value: Any) -> bool:
    """Whether a value that another refers to is null where it stands, for what is found out later."""
    return value is None and origin in SETTINGS


def _is_code(annotation: Any) -> bool:
    return any(isinstance(each, Code) or _is_code(each) for each in get_args(annotation))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | None)


def _is_float(taken: Any, given: Any) -> bool:
    """Whether nothing but a whole number has become one with a point, which is left as it was written."""
    if isinstance(taken, list) and isinstance(given, list):
        return all(repr(a) == repr(b) or _is_float(a, b) for a, b in zip(taken, given, strict=True))
    return isinstance(taken, float) and isinstance(given, int)


def _shown(value: Any) -> str:
    if isinstance(value, Part):
        return getattr(value.made, "__name__", "another part")
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value[:8]))}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_shown(each)}' for key, each in list(value.items())[:4])}}}"
    words = {None: "null", True: "true", False: "false"}
    return shortened(words[value] if value is None or isinstance(value, bool) else str(value)) or "no text"

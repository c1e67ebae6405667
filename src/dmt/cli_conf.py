"""``conf/`` -> its groups, their options, what the comments say, and every setting that a command has."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

HYDRA_VERSION = "1.3"  # as the entry points say
GLOBAL = "# @package _global_"  # heads a file whose settings are not named after its group
LINE = re.compile(r"( *)([^\s#:-][^:#]*):(?:\s(.*))?$")


class Setting(NamedTuple):
    """A line of a configuration file: the value as it is written there, and what its comment says."""

    value: str
    comment: str


def groups(conf: Path) -> list[str]:
    """Name what can be chosen: the folders of ``conf/``."""
    return sorted(folder.name for folder in conf.iterdir() if folder.is_dir())


def options(conf: Path, group: str) -> list[str]:
    """Name the options of a group: the files of its folder."""
    return sorted(file.stem for file in (conf / group).glob("*.yaml"))


def first_sentence(file: Path) -> str:
    """Return the first sentence of the comment that heads a file; empty where there is none."""
    lines = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            lines.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.?])\s+(?=[A-Z])", " ".join(lines))[0]


def commented_settings(file: Path) -> dict[str, Setting]:
    """Read the settings of a file by their dotted names, in its order, each with the comment beside or above it."""
    found: dict[str, Setting] = {}
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in file.read_text("utf-8").splitlines():
        if line.lstrip().startswith("#"):
            above.append(line.strip(" #"))
            continue
        text, _, beside = line.partition(" # ")
        match = LINE.match(text.rstrip())
        if match:
            indent, name, value = len(match[1]), match[2].strip("'\""), (match[3] or "").strip()
            while parents and parents[-1][0] >= indent:
                parents.pop()
            parents.append((indent, name))
            dotted = ".".join(parent for _, parent in parents)
            found[dotted] = Setting(value, " ".join([*above, beside.strip()]).strip())
        above = []
    return found


def own_settings(conf: Path, group: str, option: str) -> set[str]:
    """Every setting that an option brings, by its dotted name; those of options that it builds on are among them."""
    file = conf / group / f"{option}.yaml"
    content = OmegaConf.to_container(OmegaConf.load(file))
    if not isinstance(content, dict):
        return set()
    bases = [base for base in content.pop("defaults", []) if isinstance(base, str) and base in options(conf, group)]
    prefix = "" if file.read_text("utf-8").startswith(GLOBAL) else f"{group}."
    own = {f"{prefix}{name}" for name in names(content)}
    return own.union(*(own_settings(conf, group, base) for base in bases))


def composed(conf: Path, program: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a command's whole configuration, ``hydra`` included; nothing that Hydra keeps for all is touched.

    Raises:
        HydraException: where Hydra refuses the overrides.
    """
    version.setbase(HYDRA_VERSION)
    loader = ConfigLoaderImpl(create_config_search_path(str(conf.resolve())))
    return loader.load_configuration(program, list(overrides), RunMode.RUN, validate_sweep_overrides=False)


def composed_as_far_as_possible(conf: Path, program: str, choices: Sequence[str]) -> DictConfig:
    """Compose with each of the choices of options, ``GROUP=OPTION``, that Hydra takes beside those before it."""
    try:
        return composed(conf, program, choices)
    except (HydraException, OmegaConfBaseException, ValueError):
        pass
    taken: list[str] = []
    cfg = composed(conf, program, [])
    for choice in choices:
        try:
            cfg = composed(conf, program, [*taken, choice])
        except (HydraException, OmegaConfBaseException, ValueError):
            continue
        taken.append(choice)
    return cfg


def names(content: Any, prefix: str = "") -> Iterator[str]:
    """Go through the dotted names of all that a configuration holds, nodes before what they hold.

    >>> list(names({"data": {"size": 3, "parts": [{"a": 1}, 2], "_target_": "x"}}))
    ['data', 'data.size', 'data.parts', 'data.parts.0', 'data.parts.0.a']
    """
    if isinstance(content, dict):
        children = content.items()
    elif isinstance(content, list):
        children = {i: child for i, child in enumerate(content) if isinstance(child, dict)}.items()
    else:
        return
    for key, child in children:
        if not str(key).startswith("_"):
            yield f"{prefix}{key}"
            yield from names(child, f"{prefix}{key}.")

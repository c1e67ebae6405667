"""A command line -> the configuration that Hydra makes of it, as far as it can be made."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathElement
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dmt.cli.conf_files import groups, names, options, own_settings

HYDRA_VERSION = "1.3"  # as the entry points say


@dataclass(frozen=True)
class Command:
    """A command line beside the configuration that Hydra would make of the choices in it."""

    conf: Path
    program: str
    arguments: tuple[str, ...]

    @cached_property
    def overrides(self) -> list[Override]:
        """The arguments that can be read; of those with several values the first."""
        read = []
        for argument in self.arguments:
            try:
                override = parsed(argument)
                if override.is_sweep_override():
                    value = next(override.sweep_string_iterator())
                    override = parsed(f"{override.get_key_element()}={value}")
            except (HydraException, StopIteration):
                continue
            read.append(override)
        return read

    @cached_property
    def groups(self) -> list[str]:
        return groups(self.conf)

    @cached_property
    def cfg(self) -> DictConfig:
        choices = [override.input_line or "" for override in self.overrides if override.key_or_group in self.groups]
        return composed_as_far_as_possible(self.conf, self.program, choices)

    @cached_property
    def choices(self) -> dict[str, str | None]:
        """The option chosen of each group; ``GROUP@PLACE`` where a group serves in several places."""
        return dict(self.cfg.hydra.runtime.choices)

    @cached_property
    def content(self) -> Any:
        """The configuration as plain dicts and lists, its interpolations as they are written."""
        return OmegaConf.to_container(self.cfg, resolve=False)

    @cached_property
    def settings(self) -> list[str]:
        """The dotted names of all settings, and the groups."""
        return list(dict.fromkeys([*names(self.content), *self.groups]))

    @cached_property
    def own(self) -> list[str]:
        """The settings that are not Hydra's."""
        return [name for name in self.settings if name.split(".")[0] != "hydra"]

    def value_of(self, name: str) -> str:
        """What an argument sets ``name`` to, as it is written."""
        given = [argument.partition("=") for argument in self.arguments]
        return next((value for key, _, value in given if key.lstrip("+~") == name), "")

    def default_of(self, name: str) -> Any:
        """What ``name`` is unless it is set; None where it is nothing."""
        node = self.content
        for key in name.split("."):
            node = node.get(key) if isinstance(node, dict) else None
        return node

    def options(self, group: str) -> list[str]:
        return options(self.conf, group)

    def settings_of_options(self, group: str) -> set[str]:
        """What the options of a group bring, all together."""
        return {name for option in self.options(group) for name in own_settings(self.conf, group, option)}

    def options_with(self, name: str) -> list[str]:
        """The options, as GROUP=OPTION, that would bring a setting which this command lacks."""
        found: list[str] = []
        for group in (name.split(".")[0], "experiment"):
            if group in self.groups and not found:
                found = [
                    f"{group}={option}"
                    for option in self.options(group)
                    if option != self.choices.get(group) and name in own_settings(self.conf, group, option)
                ]
        return sorted(found, key=len)


def parsed(argument: str) -> Override:
    """Read an argument as Hydra does.

    Raises:
        OverrideParseException: where it cannot be read.
    """
    return OverridesParser.create().parse_overrides([argument])[0]


def composed(conf: Path, program: str, overrides: Sequence[str], folders: Sequence[Path] = ()) -> DictConfig:
    """Compose a command's whole configuration, ``hydra`` included; nothing that Hydra keeps for all is touched.

    Args:
        conf: the configuration folder.
        program: the name of the primary configuration.
        overrides: the settings of the command line.
        folders: others to search, as ``--config-dir`` says.

    Raises:
        HydraException: where Hydra refuses the overrides.
    """
    version.setbase(HYDRA_VERSION)
    search = create_config_search_path(str(conf.resolve()))
    for at, folder in enumerate(folders, len(search.get_path()) - 1):  # the last must stay where it is
        search.get_path().insert(at, SearchPathElement("command-line", folder.resolve().as_uri()))
    loader = ConfigLoaderImpl(search)
    with warnings.catch_warnings(action="ignore"):  # Hydra will compose once more, and warn
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

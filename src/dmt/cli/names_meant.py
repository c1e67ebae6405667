"""What a setting's name or value that Hydra does not take may have been meant as: one line."""

import re
import shlex
from collections.abc import Sequence

from hydra.errors import ConfigCompositionException
from omegaconf.errors import OmegaConfBaseException

from dmt.cli.arguments import NAMED
from dmt.cli.command import Command
from dmt.cli.conf_files import first_sentence
from dmt.cli.names import GONE, MEANT, OF_PARTS, RENAMED, bare, nearest_settings, spelt_like
from dmt.errors import nearest_name

SEE_HELP = "--help lists the settings"


def uncomposed(error: ConfigCompositionException, command: Command) -> str | None:
    """Answer what Hydra says of an override that it has read and cannot apply."""
    text = str(error)
    if found := re.match(r"Could not override '(.*)'\.", text):
        name = found[1]
        if isinstance(error.__cause__, OmegaConfBaseException):
            inner = str(error.__cause__.full_key or "")
            name = inner if inner.startswith(f"{name}.") and name in command.settings else name
        return no_setting(name, command, command.value_of(name))
    if found := re.match(r"Could not delete from config\. '(.*)' does not exist", text):
        return no_setting(found[1], command, "")
    if found := re.match(r"Could not append to config\. An item is already at '(.*)'", text):
        return f"{found[1]} is a setting already: write {assignment(found[1], command.value_of(found[1]))}, without +"
    if found := re.match(r"Multiple values for ([^.]*)\.", text):
        value = command.value_of(found[1])
        return f"an option of {found[1]} is chosen already: write {found[1]}={value}, without +" if value else None
    if found := re.match(r"force-add of config groups is not supported: '\+\+(.*)'", text):
        return f"an option is chosen without +: write {in_a_shell([found[1]])}"
    if found := re.match(r"Override (.*) looks like a config group override, but config group '(.*)' does", text):
        return f"there is no group {found[2]!r}{nearest_name(found[2], command.groups)}"
    if found := re.match(r"Error merging override (.*)", text):
        return f"cannot set {found[1]}" + (f": {_first_line(error.__cause__)}" if error.__cause__ else "")
    if found := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?:\n| requires)", text):
        return _several_values(found[1], command)
    return None


def _several_values(argument: str, command: Command) -> str:
    name, _, value = argument.partition("=")
    takes_name = name.startswith(NAMED) and not isinstance(command.default_of(name), list)
    takes_list = not takes_name and name not in command.groups and isinstance(command.default_of(name), list | None)
    brackets = f"; a list has brackets: {assignment(name, f'[{value}]')}" if takes_list and "(" not in value else ""
    quotes = f"; a name with a comma has quotes: {assignment(name, quoted(value))}" if takes_name else ""
    return f"{argument} has several values; for a run with each write {in_a_shell(['-m', argument])}{brackets}{quotes}"


def not_given(name: str, command: Command) -> str:
    """Say that a setting has no value yet, and what it stands for."""
    group = name.split(".")[0]
    option = command.choices.get(group)
    if not option or group not in command.groups:
        return f"{name} must be given: {name}=VALUE"
    about = first_sentence(command.conf / group / f"{option}.yaml")
    return f"{group}={option} needs {name}=VALUE" + (f" ({about.rstrip('.')})" if about else "")


def no_setting(name: str, command: Command, value: str) -> str:
    """Say that a command has no setting of this name, and which name it may be."""
    if "@" in name:
        places = [key for key in command.choices if "/" not in key]
        return f"there is no {name!r} to choose an option for{nearest_name(name, places)}"
    moved = _gone(name, command) or _renamed(name, command)
    if moved:
        return moved
    said = f"there is no setting {name!r}"
    meant = _meant(name, command, value)
    if meant:
        return f"{said}; {meant}"
    with_it = command.options_with(name) if "." in name else []
    if with_it:
        group = name.split(".")[0]
        chosen = f" with {group}={command.choices[group]}" if command.choices.get(group) else ""
        return f"{said}{chosen}; there is with {_either(with_it[:4])}"
    pool = command.settings if name.startswith("hydra.") else command.own
    near = nearest_settings(name, pool)
    if near:
        return f"{said}; did you mean {_either([repr(each) for each in near])}?"
    group, parent = name.split(".")[0], name.rpartition(".")[0]
    wider = set() if group == name or group not in command.groups else command.settings_of_options(group)
    near = spelt_like(name.rpartition(".")[2], [each for each in wider if each.rpartition(".")[0] == parent], 0.6)
    if near:
        return f"{said}; did you mean {near[0]!r}, with {_either(command.options_with(near[0])[:4])}?"
    inside = [each.removeprefix(f"{parent}.") for each in pool if each.rpartition(".")[0] == parent]
    return f"{said}; {parent} has {', '.join(inside)}" if parent and inside else f"{said}; {SEE_HELP}"


def _gone(name: str, command: Command) -> str | None:
    for entry, reason in GONE.items():
        choice, _, old = entry.rpartition(" ")
        group, _, option = choice.partition("=")
        if _is_within(name, old) and (not choice or command.choices.get(group) == option):
            return f"there is no {old} any more: {reason}"
    return None


def _renamed(name: str, command: Command) -> str | None:
    for old, new in RENAMED.items():
        if not _is_within(name, old):
            continue
        candidates = [each + name.removeprefix(old) for each in new]
        for candidate in candidates:
            if candidate in command.settings:
                return f"{name} is now called {candidate}"
        for candidate in candidates:
            if with_it := command.options_with(candidate):
                return f"{name} is now called {candidate}; there is one with {_either(with_it[:4])}"
    return None


def _meant(name: str, command: Command, value: str) -> str | None:
    meant = {bare(typed): meant for typed, meant in MEANT.items()}.get(bare(name))
    if meant is None:
        return None
    if isinstance(meant, str) and "=" in meant:
        return f"write {in_a_shell([part.format(value or 'VALUE') for part in meant.split()])}"
    known = [each for each in ([meant] if isinstance(meant, str) else meant) if each in command.settings]
    return f"did you mean {known[0]!r}?" if known else None


def quoted(text: str) -> str:
    """Text in double quotes."""
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


def in_a_shell(words: Sequence[str]) -> str:
    """Words as one types them in a shell."""
    return shlex.join(words)


def assignment(name: str, value: str) -> str:
    """``NAME=VALUE`` as one types it in a shell."""
    return in_a_shell([f"{OF_PARTS.get(name, name)}={value}"])


def example(name: str, command: Command) -> str:
    """A value of a setting, to show how it is written."""
    if name in command.groups:
        return str(command.choices.get(name) or next(iter(command.options(name)), "OPTION"))
    value = command.default_of(name)
    return str(value) if isinstance(value, str | int | float) and "$" not in str(value) else "VALUE"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _is_within(name: str, node: str) -> bool:
    return name == node or name.startswith(f"{node}.")


def _either(choices: Sequence[str]) -> str:
    *most, last = choices
    return f"{', '.join(most)} or {last}" if most else last

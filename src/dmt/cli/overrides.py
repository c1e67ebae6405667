"""A command line that Hydra refuses -> one line that says what is wrong with it, and what to write instead."""

import argparse
import contextlib
import difflib
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException
from PIL import Image

from dmt.cli.command import Command, composed, parsed
from dmt.cli.conf_files import commented_settings, first_sentence, options
from dmt.cli.names import (
    GONE,
    LAUNCHERS,
    MEANT,
    NOTHING,
    OF_PARTS,
    RENAMED,
    REPLACED,
    bare,
    nearest_settings,
    spelt_like,
)
from dmt.cli.targets import require_trusted_hydra, trusted_by
from dmt.errors import UserError, nearest_name

SEVERAL = "several"  # the task of several at once
NAMED = ("task.", "person", "data.catalog.")  # settings whose values are names of other people's
PLAIN = re.compile(r"[\w-]+")
INFINITE = re.compile(r"""(?<=[=\[,:])(\s*)([+-]?)(?:\.inf|∞)(?=\s*(?:[],}]|$))""", re.IGNORECASE)  # a value of its own
SEE_HELP = "--help lists the settings"
WRITTEN = "settings are written name=value"
AS_IN = f"{WRITTEN}, as in task=frowning"


def with_several_tasks(arguments: Sequence[str]) -> list[str]:
    """The same arguments, with ``task=[smiling,senior]`` written as Hydra takes it: ``task=several`` with both in it.

    ``data=table``, which has one kind of task, brings it: in Hydra's list of defaults tasks decide about data.

    >>> with_several_tasks(["task=[smiling,senior]"])
    ['task=several', '+task@task.smiling=smiling', '+task@task.senior=senior']
    >>> with_several_tasks(["data=table", "lambda=auto"])
    ['data=table', 'lambda=auto', 'task=table']
    """
    found: list[str] = []
    if "data=table" in arguments and not any(argument.startswith("task=") for argument in arguments):
        arguments = [*arguments, "task=table"]
    for argument in arguments:
        inside = re.fullmatch(r"task=\[\s*([\w, ]+?)\s*\]", argument)
        if inside is None:
            found.append(argument)
            continue
        names = [name.strip() for name in inside[1].split(",")]
        found += [f"task={SEVERAL}", *(f"+task@task.{name}={name}" for name in dict.fromkeys(names))]
    return found


def with_infinity(arguments: Sequence[str]) -> list[str]:
    """The same arguments, with infinity written as Hydra's command line takes it: ``inf``, where YAML has ``.inf``.

    Names of other people's, such as those of classes, are left as they are.

    >>> with_infinity(["lambda=.inf", "figure.lambdas=[.inf,0.3]", "images=[a.inf]"])
    ['lambda=inf', 'figure.lambdas=[inf,0.3]', 'images=[a.inf]']
    """

    def written(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2].strip('+')}inf"

    return [a if a.lstrip("+").startswith(NAMED) else INFINITE.sub(written, a) for a in arguments]


def as_hydra_takes_them(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command line, with what we take and Hydra does not written in its way."""
    return with_infinity(with_several_tasks(arguments))


def require_names(arguments: Sequence[str]) -> None:
    """Refuse ``=3``, of which Hydra makes a traceback.

    Raises:
        UserError: an argument has no name.
    """
    for argument in arguments:
        if argument.partition("=")[0].strip(" +~") == "":
            raise UserError(f"{argument!r} has no name: {AS_IN}")


def check_overrides(arguments: Sequence[str], conf: Path, program: str) -> None:
    """Say what is wrong with a command line before Hydra starts, where Hydra would say it unclearly or late.

    It takes everything that Hydra takes, but for one value for a setting of several parts (``output=x``).

    Args:
        arguments: what follows the program's name.
        conf: the configuration folder.
        program: the name of the primary configuration, such as ``traverse``.

    Raises:
        UserError: in one line.
    """
    try:
        flags, unknown = _flags(arguments)
    except UserError:
        unknown = _single_dashes(arguments)
        if not unknown:
            raise
        raise UserError(_stray(unknown, arguments, Command(conf, program, ()))) from None
    command = Command(conf, flags.config_name or program, tuple(flags.overrides))
    if flags.package and flags.cfg is None:  # -person=x, which Hydra reads as -p erson=x
        unknown += [word for word in _single_dashes(arguments) if word[1:].partition("=")[0] in command.settings]
    if unknown:
        raise UserError(_stray(unknown, arguments, command))
    if flags.experimental_rerun:
        raise UserError("--experimental-rerun reads a pickle, which may run anything; use --config-dir, --config-name")
    _require_one_task_of_hydra(flags)
    composes = not (flags.help or flags.hydra_help or flags.shell_completion)
    if not composes:
        return
    if _is_elsewhere(flags):
        _require_trusted_hydra(flags, conf, program)
        return
    if any("hydra" in argument for argument in flags.overrides):
        _require_trusted_hydra(flags, conf, program)
    if flags.info:
        return
    for argument in flags.overrides:
        try:
            override = parsed(argument)
        except OverrideParseException:
            raise UserError(_unreadable(argument, command)) from None
        if not override.key_or_group:
            raise UserError(f"{argument!r} has no name: {AS_IN}")
        if override.key_or_group == "output_dir" and override.is_sweep_override():
            raise UserError("output_dir is one folder for the whole sweep, and each job has its own below it; give one")
        _require_options(override, conf)
        _require_parts(override, conf)


def explain(error: BaseException, arguments: Sequence[str], conf: Path, program: str) -> str | None:
    """Say in one line what an error of Hydra's means to who typed the command.

    Args:
        error: what Hydra raised, before or in a run.
        arguments: what follows the program's name.
        conf: the configuration folder.
        program: the name of the primary configuration, such as ``traverse``.

    Returns:
        The line, or None where the error's own words are as good.
    """
    try:
        flags, _ = _flags(arguments)
        if _is_elsewhere(flags) or any(isinstance(each, UserError) for each in _chain(error)):
            return None
        return _explain(error, Command(conf, flags.config_name or program, tuple(flags.overrides)))
    except (UserError, HydraException, OmegaConfBaseException):  # the configuration itself is at fault
        return None


def _explain(error: BaseException, command: Command) -> str | None:
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, command)
    if isinstance(error, MissingConfigException):
        group, _, option = (error.missing_cfg_file or "").strip("/").rpartition("/")
        group, option = (group, option) if group else (option, "")
        known = command.options(group) or list(error.options or [])
        return _no_option(group, option, known) if known else None
    if any(isinstance(each, MissingMandatoryValue | InterpolationToMissingValueError) for each in _chain(error)):
        found = re.search(r"Missing mandatory value: ([\w.]+)", str(error))
        return _not_given(found[1], command) if found else None
    if isinstance(error, ConfigCompositionException):
        return _uncomposed(error, command)
    return None


# Arguments that are no settings


def _flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Read a command line as Hydra does: its flags and the overrides, and what it cannot read."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return get_args_parser().parse_known_args(list(arguments))
    except SystemExit as end:
        if not end.code:
            raise  # --version, which was answered
        raise UserError(said.getvalue().rpartition("error: ")[2].strip()) from None


def _single_dashes(arguments: Sequence[str]) -> list[str]:
    """Words after a single dash, such as -images=x: Hydra has no such flags."""
    return [argument for argument in arguments if re.match(r"-[a-zA-Z][\w.]{2,}", argument)]


def _is_elsewhere(flags: argparse.Namespace) -> bool:
    """Whether the configuration may come from folders that we do not know."""
    searched = any(argument.lstrip("+").startswith("hydra.searchpath=") for argument in flags.overrides)
    return bool(flags.config_path or flags.config_dir or searched)


def _require_trusted_hydra(flags: argparse.Namespace, conf: Path, program: str) -> None:
    """Raise a ``UserError`` where settings of Hydra's, which acts on them before we see any, name what they may not."""
    try:
        folders = [Path(folder).resolve() for folder in (flags.config_dir,) if folder]
        cfg = composed(Path(flags.config_path or conf), flags.config_name or program, flags.overrides, folders)
        require_trusted_hydra(cfg.hydra, trusted_by(flags.overrides))
    except (HydraException, OmegaConfBaseException, ValueError):
        return  # Hydra says so itself


def _require_one_task_of_hydra(flags: argparse.Namespace) -> None:
    given = {
        "--run": flags.run,
        "--multirun": flags.multirun,
        "--cfg": flags.cfg is not None,
        "--shell-completion": flags.shell_completion,
        "--info": flags.info is not None,
    }
    chosen = [flag for flag, is_given in given.items() if is_given]
    if len(chosen) > 1 and not flags.help and not flags.hydra_help:
        raise UserError(f"only one of {' and '.join(chosen)} can be given")
    if flags.resolve and flags.cfg is None and not flags.help:
        raise UserError("--resolve is of use with --cfg only: --cfg job --resolve")


def _stray(unknown: Sequence[str], arguments: Sequence[str], command: Command) -> str:
    """Answer what Hydra's command line does not know: flags, or settings after them."""
    flag = next((argument for argument in unknown if argument.startswith("-")), None)
    if flag is None:
        if "-m" not in arguments:
            return "flags must be before the settings or after them, not between them"
        settings = [argument for argument in arguments if argument != "-m"]
        return f"-m must be before the settings: {_shell(['-m', *settings])}"
    name, _, value = flag.lstrip("-").partition("=")
    name = name.replace("-", "_")
    after = list(arguments)[list(arguments).index(flag) + 1 :]
    if not value and after and "=" not in after[0]:
        value = after[0]
    if name in command.settings:
        return f"settings are written without dashes: write {_written(name, value or _example(name, command))}"
    hydras = [option for action in get_args_parser()._actions for option in action.option_strings]
    near = difflib.get_close_matches(flag.partition("=")[0], hydras, n=1, cutoff=0.8)
    if near:
        return f"there is no flag {flag!r}; did you mean {near[0]!r}?"
    return f"settings are written name=value, without dashes, and {_no_setting(name, command, value)}"


def _unreadable(argument: str, command: Command) -> str:
    """Answer an argument that is no NAME=VALUE, or whose value Hydra cannot read."""
    given = command.arguments
    after = list(given[given.index(argument) + 1 :]) if argument in given else []
    loose = list(takewhile(lambda word: "=" not in word and not word.startswith("-"), after))
    if "=" not in argument:
        return _no_equals_sign(argument, after, loose, command)
    key, _, value = argument.partition("=")
    dotted = re.sub(r"\[(\d+)\]", r".\1", key.strip())
    written = f"{dotted}={value.strip()}"
    if dotted != key and _reads(written):
        return f"a setting's name has no spaces or brackets: write {_shell([written])}"
    joint = "" if value.endswith(",") and not value.startswith(("[", "{")) else " "
    for repaired in _repairs(key, joint.join([value, *loose]) if loose else value):
        if _reads(repaired):
            return f"cannot read {argument!r}: write {_shell([repaired])}"
    return f"cannot read {argument!r}; text with brackets, commas or quotes of its own is written 'NAME=\"TEXT\"'"


def _no_equals_sign(argument: str, after: list[str], loose: list[str], command: Command) -> str:
    given = command.arguments
    at = given.index(argument) if argument in given else 0
    before, _, value = given[at - 1].partition("=") if at else ("", "", "")
    name, colon, rest = argument.partition(":")
    if argument.lower() in ("help", "?"):
        return "write --help for help"
    if colon and name in command.settings:
        return f"{WRITTEN}: write {_written(name, rest.strip())}"
    if argument in command.settings:
        if after and after[0].startswith("="):
            loose = [after[0][1:] or "".join(after[1:2])]
        if not loose:
            return f"{argument} needs a value: write {_written(argument, _example(argument, command))}"
        return f"{WRITTEN}: write {_written(argument, loose[0])}"
    owners = {option: group for group in (*command.groups, "experiment", "task") for option in command.options(group)}
    if argument in owners:
        return f"{WRITTEN}: write {owners[argument]}={argument}"
    if argument.endswith("/") or f".{argument.lower().rpartition('.')[2]}" in {*Image.registered_extensions(), ".heic"}:
        return f"{WRITTEN}: write {_written('images', f'[{argument}]')}"
    if before in command.settings and before not in command.groups:
        whole = _written(before, " ".join([value, argument, *loose]))
        return f"{argument!r} is no setting; a value with spaces needs quotes: {whole}"
    near = difflib.get_close_matches(argument.lower(), [*owners, *command.own], n=1, cutoff=0.7)
    if not near:
        return f"{argument!r} is no setting: {AS_IN}; {SEE_HELP}"
    name, value = (owners[near[0]], near[0]) if near[0] in owners else (near[0], _example(near[0], command))
    return f"{argument!r} is no setting: {WRITTEN}; did you mean {_written(name, value)}?"


# Options of groups


def _require_options(override: Override, conf: Path) -> None:
    """Raise a ``UserError`` where an option is named that is not there, in any of the runs of a sweep."""
    group = override.key_or_group
    if override.is_delete() or not PLAIN.fullmatch(group) or not (conf / group).is_dir():
        return
    if override.is_sweep_override():
        if override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
            for text in override.sweep_string_iterator():
                _require_options(parsed(f"{override.get_key_element()}={text}"), conf)
        return
    value = override.value()
    for name in value if isinstance(value, list) else [value]:
        if isinstance(name, dict):
            continue
        if not isinstance(name, str):
            name = (override.input_line or "").partition("=")[2] if name is value else str(name)
        elif not PLAIN.fullmatch(name) and name:
            continue  # a path or an interpolation
        if not (conf / group / f"{name}.yaml").is_file():
            raise UserError(_no_option(group, name, options(conf, group)))


def _require_parts(override: Override, conf: Path) -> None:
    """Raise a ``UserError`` where a setting of several parts is given one value; Hydra takes it, nobody reads it."""
    name, value = override.key_or_group, override.value()
    written = (override.input_line or "").partition("=")[2]
    if "." in name or isinstance(value, dict) or value is None or "${" in written or (conf / name).is_dir():
        return
    if f"{name}={written}" in REPLACED:
        raise UserError(_replaced(f"{name}={written}"))
    settings = [setting for file in sorted(conf.glob("*.yaml")) for setting in commented_settings(file)]
    inside = [setting.removeprefix(f"{name}.") for setting in settings if setting.startswith(f"{name}.")]
    if inside:
        parts = [part for part in inside if "." not in part]
        leaf = next(part for part in inside if not any(other.startswith(f"{part}.") for other in inside))
        meant = f"did you mean {_written(name, written)}?" if name in OF_PARTS else f"write one, as {name}.{leaf}=VALUE"
        raise UserError(f"{name} has the parts {', '.join(parts)}; {meant}")


def _replaced(choice: str) -> str:
    return f"there is no {choice} any more; write {REPLACED[choice]}"


def _no_option(group: str, name: str, known: Sequence[str]) -> str:
    if group == "hydra/launcher" and name in LAUNCHERS:
        return f"hydra/launcher={name} needs a package: pip install 'dmt[{LAUNCHERS[name]}]'"
    if f"{group}={name}" in REPLACED:
        return _replaced(f"{group}={name}")
    there_are = f"(there are {', '.join(known)})"
    if not name:
        return f"{group}= names no option {there_are}"
    is_none = name.lower() in NOTHING and "none" in known
    near = "; did you mean 'none'?" if is_none else nearest_name(name, known)
    return f"{group} has no option {name!r}{near} {there_are}"


# Settings


def _uncomposed(error: ConfigCompositionException, command: Command) -> str | None:
    """Answer what Hydra says of an override that it has read and cannot apply."""
    text = str(error)
    if found := re.match(r"Could not override '(.*)'\.", text):
        name = found[1]
        if isinstance(error.__cause__, OmegaConfBaseException):
            inner = str(error.__cause__.full_key or "")
            name = inner if inner.startswith(f"{name}.") and name in command.settings else name
        return _no_setting(name, command, command.value_of(name))
    if found := re.match(r"Could not delete from config\. '(.*)' does not exist", text):
        return _no_setting(found[1], command, "")
    if found := re.match(r"Could not append to config\. An item is already at '(.*)'", text):
        return f"{found[1]} is a setting already: write {_written(found[1], command.value_of(found[1]))}, without +"
    if found := re.match(r"Multiple values for ([^.]*)\.", text):
        value = command.value_of(found[1])
        return f"an option of {found[1]} is chosen already: write {found[1]}={value}, without +" if value else None
    if found := re.match(r"force-add of config groups is not supported: '\+\+(.*)'", text):
        return f"an option is chosen without +: write {_shell([found[1]])}"
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
    brackets = f"; a list has brackets: {_written(name, f'[{value}]')}" if takes_list and "(" not in value else ""
    quotes = f"; a name with a comma has quotes: {_written(name, _quoted(value))}" if takes_name else ""
    return f"{argument} has several values; for a run with each write {_shell(['-m', argument])}{brackets}{quotes}"


def _not_given(name: str, command: Command) -> str:
    group = name.split(".")[0]
    option = command.choices.get(group)
    if not option or group not in command.groups:
        return f"{name} must be given: {name}=VALUE"
    about = first_sentence(command.conf / group / f"{option}.yaml")
    return f"{group}={option} needs {name}=VALUE" + (f" ({about.rstrip('.')})" if about else "")


def _no_setting(name: str, command: Command, value: str) -> str:
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
        return f"write {_shell([part.format(value or 'VALUE') for part in meant.split()])}"
    known = [each for each in ([meant] if isinstance(meant, str) else meant) if each in command.settings]
    return f"did you mean {known[0]!r}?" if known else None


# Small things


def _reads(argument: str) -> bool:
    try:
        parsed(argument)
    except HydraException:
        return False
    return True


def _repairs(key: str, value: str) -> Iterator[str]:
    """What may have been meant by a value that cannot be read."""
    value = value.strip()
    yield f"{key}={value}"
    yield f"{key}={value.rstrip(',')}"
    if value.startswith("["):
        inner = [part.strip().strip("'\"") for part in value.strip("[]").split(",")]
        yield f"{key}=[{','.join(inner)}]"
        yield f"{key}=[{','.join(part if _reads(f'x={part}') else _quoted(part) for part in inner)}]"
    yield f"{key}={_quoted(value)}"


def _quoted(text: str) -> str:
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


def _shell(words: Sequence[str]) -> str:
    return shlex.join(words)


def _written(name: str, value: str) -> str:
    """``NAME=VALUE`` as one types it in a shell."""
    return _shell([f"{OF_PARTS.get(name, name)}={value}"])


def _example(name: str, command: Command) -> str:
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


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__

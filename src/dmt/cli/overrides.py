"""A command line that Hydra refuses -> one line that says what is wrong with it, and what to write instead."""

import argparse
import contextlib
import difflib
import io
import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException
from PIL import Image

from dmt.cli.arguments import AS_IN, WRITTEN
from dmt.cli.command import Command, composed, parsed
from dmt.cli.conf_files import commented_settings, options
from dmt.cli.names import (
    LAUNCHERS,
    NOTHING,
    OF_PARTS,
    REPLACED,
)
from dmt.cli.names_meant import SEE_HELP, assignment, example, in_a_shell, no_setting, not_given, quoted, uncomposed
from dmt.cli.targets import require_trusted_hydra, trusted_by
from dmt.errors import UserError, causes, nearest_name

PLAIN = re.compile(r"[\w-]+")


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
        if _is_elsewhere(flags) or any(isinstance(each, UserError) for each in causes(error)):
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
    if any(isinstance(each, MissingMandatoryValue | InterpolationToMissingValueError) for each in causes(error)):
        found = re.search(r"Missing mandatory value: ([\w.]+)", str(error))
        return not_given(found[1], command) if found else None
    if isinstance(error, ConfigCompositionException):
        return uncomposed(error, command)
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
        return f"-m must be before the settings: {in_a_shell(['-m', *settings])}"
    name, _, value = flag.lstrip("-").partition("=")
    name = name.replace("-", "_")
    after = list(arguments)[list(arguments).index(flag) + 1 :]
    if not value and after and "=" not in after[0]:
        value = after[0]
    if name in command.settings:
        return f"settings are written without dashes: write {assignment(name, value or example(name, command))}"
    hydras = [option for action in get_args_parser()._actions for option in action.option_strings]
    near = difflib.get_close_matches(flag.partition("=")[0], hydras, n=1, cutoff=0.8)
    if near:
        return f"there is no flag {flag!r}; did you mean {near[0]!r}?"
    return f"settings are written name=value, without dashes, and {no_setting(name, command, value)}"


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
        return f"a setting's name has no spaces or brackets: write {in_a_shell([written])}"
    joint = "" if value.endswith(",") and not value.startswith(("[", "{")) else " "
    for repaired in _repairs(key, joint.join([value, *loose]) if loose else value):
        if _reads(repaired):
            return f"cannot read {argument!r}: write {in_a_shell([repaired])}"
    return f"cannot read {argument!r}; text with brackets, commas or quotes of its own is written 'NAME=\"TEXT\"'"


def _no_equals_sign(argument: str, after: list[str], loose: list[str], command: Command) -> str:
    given = command.arguments
    at = given.index(argument) if argument in given else 0
    before, _, value = given[at - 1].partition("=") if at else ("", "", "")
    name, colon, rest = argument.partition(":")
    if argument.lower() in ("help", "?"):
        return "write --help for help"
    if colon and name in command.settings:
        return f"{WRITTEN}: write {assignment(name, rest.strip())}"
    if argument in command.settings:
        if after and after[0].startswith("="):
            loose = [after[0][1:] or "".join(after[1:2])]
        if not loose:
            return f"{argument} needs a value: write {assignment(argument, example(argument, command))}"
        return f"{WRITTEN}: write {assignment(argument, loose[0])}"
    owners = {option: group for group in (*command.groups, "experiment", "task") for option in command.options(group)}
    if argument in owners:
        return f"{WRITTEN}: write {owners[argument]}={argument}"
    if argument.endswith("/") or f".{argument.lower().rpartition('.')[2]}" in {*Image.registered_extensions(), ".heic"}:
        return f"{WRITTEN}: write {assignment('images', f'[{argument}]')}"
    if before in command.settings and before not in command.groups:
        whole = assignment(before, " ".join([value, argument, *loose]))
        return f"{argument!r} is no setting; a value with spaces needs quotes: {whole}"
    near = difflib.get_close_matches(argument.lower(), [*owners, *command.own], n=1, cutoff=0.7)
    if not near:
        return f"{argument!r} is no setting: {AS_IN}; {SEE_HELP}"
    name, value = (owners[near[0]], near[0]) if near[0] in owners else (near[0], example(near[0], command))
    return f"{argument!r} is no setting: {WRITTEN}; did you mean {assignment(name, value)}?"


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
        meant = (
            f"did you mean {assignment(name, written)}?" if name in OF_PARTS else f"write one, as {name}.{leaf}=VALUE"
        )
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
        yield f"{key}=[{','.join(part if _reads(f'x={part}') else quoted(part) for part in inner)}]"
    yield f"{key}={quoted(value)}"

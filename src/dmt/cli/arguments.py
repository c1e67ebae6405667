"""A command line, with what we take and Hydra does not written in Hydra's way."""

import re
from collections.abc import Sequence

from dmt.errors import UserError

SEVERAL = "several"  # the task of several at once
NAMED = ("task.", "person", "data.catalog.")  # settings whose values are names of other people's
INFINITE = re.compile(r"""(?<=[=\[,:])(\s*)([+-]?)(?:\.inf|∞)(?=\s*(?:[],}]|$))""", re.IGNORECASE)  # a value of its own
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

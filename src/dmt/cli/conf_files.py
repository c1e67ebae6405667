"""``conf/`` -> its groups, their options, and what the comments say, without Hydra."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

GLOBAL = "# @package _global_"  # heads a file whose settings are not named after its group
LINE = re.compile(r"( *)([^\s#:-][^:#]*):(?:\s(.*))?$")
DEFAULT = re.compile(r"^  - (\w+): ([^#\n]*)", re.MULTILINE)  # in a list of defaults
BASES = re.compile(r"^  - (\w+)", re.MULTILINE)  # in a list of defaults: options of the same group


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


def defaults(conf: Path, program: str) -> dict[str, str]:
    """What is chosen of each group unless one chooses: the lists of defaults of ``base.yaml`` and of the program."""
    files = [conf / f"{name}.yaml" for name in ("base", program)]
    texts = [file.read_text("utf-8") for file in files if file.is_file()]
    found = {group: option.strip(" []") for text in texts for group, option in DEFAULT.findall(text)}
    return {group: "" if option == "null" else option for group, option in found.items()}


def first_sentence(file: Path) -> str:
    """Return the first sentence of the comment that heads a file; empty where there is none."""
    lines = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            lines.append(line.removeprefix("#").strip())
            if line.endswith((".", ":")):
                break
    return re.split(r"(?<=[.?])\s+(?=[A-Z])", " ".join(lines))[0].removesuffix(":")


def commented_settings(file: Path) -> dict[str, Setting]:
    """Read the settings of a file by their dotted names, in its order, each with the comment beside or above it.

    What is written in one line, ``{a: 1}``, is one setting; ``_target_`` and its like are none.
    """
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
            if name[0] not in "_<" and dotted != "defaults":
                found[dotted] = Setting(value, " ".join([*above, beside.strip()]).strip())
        above = []
    return found


def own_settings(conf: Path, group: str, option: str) -> set[str]:
    """Every setting that an option brings, by its dotted name; those of options that it builds on are among them."""
    file = conf / group / f"{option}.yaml"
    text = file.read_text("utf-8")
    prefix = "" if text.startswith(GLOBAL) else f"{group}."
    own = {f"{prefix}{name}" for name in commented_settings(file)}
    known = set(options(conf, group)) - {option}
    return own.union(*(own_settings(conf, group, base) for base in BASES.findall(text) if base in known))


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

"""``conf/`` and its comments -> what ``--help`` prints: one page, or all about one group, option or setting."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from dmt.cli.conf_files import Setting, commented_settings, defaults, first_sentence, groups, options
from dmt.errors import UserError, nearest_name

WIDTH = 100
FLAGS = ("-h", "--help")
FROM_ENVIRONMENT = re.compile(r'oc\.env:(\w+),"(.*)"')

GROUPS = {  # in the order of a page
    "task": "what is to change",
    "experiment": "set-ups",
    "data": "whose pictures",
    "method": "how they are changed",
    "selection": "which of them make the two sides",
    "backbone": "the network",
    "manifold": "what an edit moves on",
    "framing": "what of a photograph is edited",
    "kernel": "of the witness function",
    "auto": "what lambda=auto looks at",
    "regularizer": "what holds the pixels back",
    "parametrization": "what of the pixels is moved",
    "solver": "how long is sought",
    "judges": "of the results",
    "net": "the network that the transfer study trains",
    "logger": "where results are logged",
}


@dataclass(frozen=True)
class Page:
    """What the help of a program says that ``conf/`` does not."""

    about: str
    examples: dict[str, str]  # arguments -> what they do
    settings: tuple[str, ...]  # those that are shown, with the comments of conf/base.yaml
    others: tuple[str, ...]  # groups that this program has no use for
    results: str


PAGES = {
    "traverse": Page(
        "Changes the class of pictures (smiling to frowning, young to old, a 3 to an 8) and as little else as "
        "possible. The features that this takes are computed first, kept, and found again.",
        {
            "experiment=digits": "needs no download",
            "task=frowning lambda=0.5": "eight faces of LFW",
            "task=senior 'images=[Harrison_Ford_0001,photos/me.jpg]'": "these two",
            "-m task=frowning,senior lambda=1,0.7,0.5": "six runs, a table",
            "task=senior lambda=auto": "as far as it takes",
            "experiment=fig6_lambda task=frowning": "the paper's fig. 6",
        },
        ("lambda", "images", "faces", "layers", "keep", "output.animation", "trainer.accelerator", "threads"),
        ("net",),
        "the edited photographs, crops/, grid.png, results.csv, results.json, log.txt, config.yaml; a sweep (-m) adds "
        "sweep.png and sweep.csv",
    ),
    "train": Page(
        "Fits what is fitted once, the manifold of a data set, or makes a study of networks. traverse fits a "
        "missing manifold by itself; the options are the same for both.",
        {
            "": "the manifold of LFW",
            "experiment=digits": "of digits: no download",
            "experiment=layer_scores task=frowning": "which layers carry a class",
            "experiment=transfer": "how general layers are",
            "experiment=transfer_tiny_imagenet transfer.plan=true": "what that will take",
            "experiment=transfer_report": "its tables and figures",
        },
        ("layers", "normalization", "keep_features", "transfer", "scores", "trainer.accelerator", "threads"),
        ("method", "auto", "regularizer", "parametrization", "solver", "judges"),
        "log.txt, config.yaml, and the tables and figures of a study",
    ),
}


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for help.

    >>> wants_help(["task=senior", "--help"]), wants_help(["--hydra-help"])
    (True, False)
    """
    return any(flag in arguments for flag in FLAGS)


def help_topic(arguments: Sequence[str]) -> str | None:
    """What help is asked about: the word after the flag, or one before it that is no setting; None for all.

    >>> help_topic(["--help", "task"]), help_topic(["task", "-h"]), help_topic(["task=senior", "--help"])
    ('task', 'task', None)
    """
    at = next(i for i, argument in enumerate(arguments) if argument in FLAGS)
    after = [argument for argument in arguments[at + 1 :] if not argument.startswith("-")]
    before = [argument for argument in arguments[:at] if not argument.startswith("-") and "=" not in argument]
    return next(iter([*after, *before]), None)


def help_text(program: str, conf: Path, topic: str | None = None, command: str | None = None) -> str:
    """Write the help of a program, or of one thing that can be chosen or set.

    Args:
        program: the name of the primary configuration, ``traverse`` or ``train``.
        conf: the configuration folder.
        topic: a group (``task``), an option (``task=attribute``) or a setting (``lambda``); None: all in brief.
        command: how the program was started; ``python PROGRAM.py`` where it is not said.

    Returns:
        Lines of at most 100 characters, but for what is shown of a file.

    Raises:
        UserError: where there is no such topic.
    """
    command = command or f"python {program}.py"
    if topic is None:
        return _page(PAGES.get(program, PAGES["traverse"]), program, conf, command)
    group, _, option = topic.partition("=")
    if option and group in groups(conf):
        return _option_page(conf, group, option)
    if group in groups(conf):
        return _group_page(conf, group, program, command)
    return _setting_page(conf, group)


def _page(page: Page, program: str, conf: Path, command: str) -> str:
    examples = {f"{command} {arguments}".rstrip(): what for arguments, what in page.examples.items()}
    settings = _all_settings(conf)
    shown = {name: settings[name] for name in page.settings if name in settings}
    chosen = [group for group in [*GROUPS, *groups(conf)] if group in groups(conf) and group not in page.others]
    environment = {
        found[1]: f"{setting.comment} ({found[2]})"
        for setting in settings.values()
        if (found := FROM_ENVIRONMENT.search(setting.value))
    }
    more = {
        "--help NAME": "more of a group (--help task), an option (task=senior), a setting (output.frames)",
        "--cfg job": "the whole configuration of a command, which is not run",
        "--hydra-help": "sweeps (-m), launchers, folders of configuration of your own",
    }
    return "\n".join(
        [
            *wrap(page.about, WIDTH),
            "",
            f"usage: {command} [-m] [GROUP=OPTION ...] [SETTING=VALUE ...]",
            "",
            *_rows(examples, 2, WIDTH),
            "",
            "groups, * the option unless you choose one",
            *_rows({group: _choice(conf, group, program) for group in dict.fromkeys(chosen)}, 2, 20),
            "",
            "settings, the most used",
            *_rows({_written(name, setting): setting.comment for name, setting in shown.items()}, 2, 28),
            "",
            *wrap(f"results: outputs/DATE/TIME-{program}/, or output_dir=PATH: {page.results}", WIDTH),
            "",
            "environment variables: folders, what lies in them, and where they are unless you say",
            *_rows(environment, 2, 18),
            "",
            "more",
            *_rows(more, 2, 18),
            "  README.md and docs/ of the project: what the results mean, and what each choice brings",
        ]
    )


def _group_page(conf: Path, group: str, program: str, command: str) -> str:
    chosen = defaults(conf, program).get(group)
    rows = {
        f"{option}{'*' * (option == chosen)}": _about(conf / group / f"{option}.yaml")
        for option in options(conf, group)
    }
    return "\n".join(
        [
            f"{group}=OPTION" + (f": {GROUPS[group]}" if group in GROUPS else ""),
            *(["* unless you choose one"] if chosen else []),
            "",
            *_rows(rows, 2, 2 + max(map(len, rows)) + 2),
            "",
            f"What can be set in an option: {command} --help {group}={next(iter(options(conf, group)))}",
        ]
    )


def _option_page(conf: Path, group: str, option: str) -> str:
    if option not in options(conf, group):
        known = options(conf, group)
        raise UserError(f"{group} has no option {option!r}{nearest_name(option, known)} (there are {', '.join(known)})")
    file = conf / group / f"{option}.yaml"
    text = file.read_text("utf-8").rstrip()
    prefix = "" if text.startswith("# @package _global_") else f"{group}."
    return f"{group}={option} is {file.relative_to(conf.parent)}; what is in it is set by {prefix}NAME=VALUE\n\n{text}"


def _setting_page(conf: Path, name: str) -> str:
    comments: dict[str, str] = {}
    brought: dict[str, list[str]] = {}
    for choice, settings in _sources(conf).items():
        for each, setting in settings.items():
            if each == name or each.startswith(f"{name}."):
                line = _written(each, setting)
                comments[line] = comments.get(line) or setting.comment
                brought.setdefault(line, []).extend([choice] if choice else [])
    if not comments:
        known = [*groups(conf), *(each for settings in _sources(conf).values() for each in settings)]
        near = nearest_name(name, known) or "; --help lists the groups and some settings"
        raise UserError(f"no help on {name!r}{near}")
    rows = {}
    for line, comment in comments.items():
        first, *others = brought[line] or [""]
        origin = ", ".join([f"with {first}", *(other.partition("=")[2] for other in others)]) if first else ""
        rows[line] = "; ".join(part for part in (comment, origin) if part)
    return "\n".join(_rows(rows, 0, 40))


def _sources(conf: Path) -> dict[str, dict[str, Setting]]:
    """All settings with their comments, by GROUP=OPTION; those of every command under the empty name."""
    found = {"": _all_settings(conf)}
    for group in groups(conf):
        if group != "experiment":
            for option in options(conf, group):
                settings = commented_settings(conf / group / f"{option}.yaml")
                found[f"{group}={option}"] = {f"{group}.{name}": setting for name, setting in settings.items()}
    return found


def _all_settings(conf: Path) -> dict[str, Setting]:
    files = sorted(conf.glob("*.yaml"))
    return {name: setting for file in files for name, setting in commented_settings(file).items()}


def _written(name: str, setting: Setting) -> str:
    return f"{name}={setting.value}" if setting.value else name


def _choice(conf: Path, group: str, program: str) -> str:
    chosen = defaults(conf, program).get(group)
    listed = ", ".join(f"{option}{'*' * (option == chosen)}" for option in options(conf, group))
    return f"{GROUPS[group]}: {listed}" if group in GROUPS else listed


def _about(file: Path) -> str:
    """What an option is: the comment that heads its file, or else what it sets."""
    settings = commented_settings(file)
    return first_sentence(file) or ", ".join(f"{name}={value}" for name, (value, _) in settings.items() if value)


def _rows(texts: dict[str, str], indent: int, column: int) -> Iterator[str]:
    """Two columns, the second wrapped; it begins on a line of its own where the first is too long."""
    widest = max(map(len, texts), default=0)
    column = min(column, indent + widest + 2)
    for name, text in texts.items():
        lines = wrap(text, WIDTH - column) or [""]
        if indent + len(name) + 2 > column:
            yield " " * indent + name
        else:
            yield (f"{' ' * indent}{name}".ljust(column) + lines.pop(0)).rstrip()
        yield from (" " * column + line for line in lines if line)

"""What of the manual no file has, for MkDocs: every option, the reference, notebooks, formulas.

``mkdocs.yml`` names it as a hook. The options are those of ``conf/``, the reference is that of the docstrings; these
pages exist only while the site is built. Formulas are ``$...$`` and ``$$...$$`` in the pages' sources, as GitHub has
them, and become MathML, for which a browser needs no script.
"""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import yaml
from latex2mathml.converter import convert
from markdown import Extension, Markdown
from markdown.inlinepatterns import InlineProcessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import dmt
from dmt.cli.conf_files import GLOBAL, commented_settings, defaults, groups, options
from dmt.cli.help import GROUPS

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
SOURCES = ROOT / "src"
TARGET = re.compile(r"_target_: *(dmt\.[\w.]+)")
NO_REFERENCE = ("errors", "storage")  # rooms in which a user of the package names nothing but UserError


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let pages have formulas."""
    config.markdown_extensions.append(Formulas())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    pages = {"options.md": options_page(), "api/index.md": reference_index()}
    pages |= {f"api/{room}.md": reference_page(room) for room in rooms()}
    pages |= {f"{file.stem}.md": notebook_page(file) for file in ROOT.glob("docs/*.ipynb")}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


class Formulas(Extension):
    """Markdown: ``$x^2$`` in a line and ``$$...$$`` as a paragraph, as MathML, for which browsers need no script."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the library's name
        """Before backslashes are read, after code."""
        md.inlinePatterns.register(_Formula(r"\$\$(.+?)\$\$|\$([^\s$](?:[^$\n]*[^\s$])?)\$", md), "formulas", 185)


class _Formula(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str | Element | None, int | None, int | None]:  # type: ignore[override]  # noqa: N802
        alone = m[1] is not None
        formula = convert(m[1] or m[2], display="block" if alone else "inline")
        formula = f'<span class="formula">{formula}</span>' if alone else formula
        return self.md.htmlStash.store(formula), m.start(0), m.end(0)


# ------------------------------------------------------------------ options


def options_page() -> str:
    """Every group, every option, every setting: what it is unless one says otherwise, what it does, where it goes."""
    chosen = defaults(CONF, "base") | defaults(CONF, "traverse")
    parts = [
        "# Every option",
        "This page is made from the files in `conf/` when the manual is built; `python traverse.py --help NAME` prints "
        "the same in a terminal. A *group* is a folder, an *option* a file in it, chosen by `GROUP=OPTION`; what an "
        "option brings is set by `GROUP.NAME=VALUE`. `null` is nothing, `???` must be given, `${...}` is the value of "
        "another setting. [Choices](choices.md) says what to choose.",
        "The last column is where a setting goes: the class or function whose argument it is.",
        "## The groups",
        *_table(
            ("group", "what it decides", "options, the default in bold"),
            ((f"[`{group}`](#{group})", GROUPS.get(group, ""), _listed(group, chosen)) for group in _groups()),
        ),
        "## Settings of every command",
    ]
    for file, about in (
        ("base", "Of both programs."),
        ("train", "Of `train.py` alone."),
        ("fit", "Of what is fitted."),
    ):
        parts += [about, *_settings(CONF / f"{file}.yaml", "")]
    for group in _groups():
        parts += [f"## {group} {{#{group}}}", f"`{group}=OPTION`: {GROUPS.get(group, 'see its options')}."]
        for option in options(CONF, group):
            parts += _option(group, option, chosen.get(group) == option)
    return "\n\n".join(parts) + "\n"


def _option(group: str, option: str, is_default: bool) -> Iterator[str]:
    file = CONF / group / f"{option}.yaml"
    yield f"### `{group}={option}`{' (the default)' if is_default else ''} {{#{group}-{option}}}"
    if about := _heading(file):
        yield about
    if brings := list(_brings(group, file).values()):
        yield f"Brings {', '.join(brings)}."
    yield from _settings(file, "" if file.read_text("utf-8").startswith(GLOBAL) else f"{group}.")


def _settings(file: Path, prefix: str) -> Iterator[str]:
    """A table of the settings of a file; nothing where it has none."""
    goes = _destinations(file)
    settings = {
        name: setting
        for name, setting in commented_settings(file).items()
        if name.split(".")[0] not in ("hydra", "override /")
    }
    rows = [
        (f"`{prefix}{name}`", _code(setting.value), _plain(setting.comment), _linked(goes.get(name, "")))
        for name, setting in settings.items()
    ]
    if rows := [row for row in rows if any(row[1:])]:
        yield from _table(("setting", "unless you say", "what", "goes to"), rows)


def destinations(content: Any, prefix: str = "", target: str = "") -> dict[str, str]:
    """For each dotted name what takes it: the nearest ``_target_`` above."""
    found = {}
    if isinstance(content, dict):
        target = content.get("_target_", target)
        for key, value in content.items():
            if not str(key).startswith("_"):
                inside = destinations(value, f"{prefix}{key}.", target)
                own = value.get("_target_", target) if isinstance(value, dict) else target
                found |= {f"{prefix}{key}": own} | inside
    return found


def _destinations(file: Path) -> dict[str, str]:
    """Those of a file, and of the options of its group that it builds on."""
    own = destinations(yaml.safe_load(file.read_text("utf-8")) or {})
    bases = [CONF / name.replace("=", "/") for name in _brings(file.parent.name, file)]
    inherited = [_destinations(base.with_suffix(".yaml")) for base in bases if base.parent == file.parent]
    return {name: place or next((i[name] for i in inherited if i.get(name)), "") for name, place in own.items()}


def _brings(group: str, file: Path) -> dict[str, str]:
    """What else is chosen with an option: ``GROUP=OPTION``, and the same as a link."""
    content = yaml.safe_load(file.read_text("utf-8")) or {}
    chosen = []
    for item in content.get("defaults", []) if file.parent != CONF else []:
        if isinstance(item, dict):  # override /GROUP@...: OPTION, or several
            ((key, value),) = item.items()
            values = value if isinstance(value, list) else [value]
            chosen += [(re.split(r"[/@]", key)[1], each) for each in values if each is not None]
        elif item != "_self_":  # OPTION@... of its own group, or /GROUP/OPTION@...
            *of, option = item.partition("@")[0].strip("/").split("/")
            chosen.append((of[0] if of else group, option))
    return {f"{place}={each}": f"[`{place}={each}`](#{place}-{each})" for place, each in chosen}


def _groups() -> list[str]:
    """In the order of the help page; whatever has come since, after that."""
    return list(dict.fromkeys([*(group for group in GROUPS if group in groups(CONF)), *groups(CONF)]))


def _listed(group: str, chosen: dict[str, str]) -> str:
    return ", ".join(
        f"[{'**' if chosen.get(group) == option else ''}{option}{'**' if chosen.get(group) == option else ''}]"
        f"(#{group}-{option})"
        for option in options(CONF, group)
    )


def _heading(file: Path) -> str:
    """The comment that heads a file, as a paragraph, its lists as they are."""
    lines = []
    for line in file.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            text = line.removeprefix("#").removeprefix(" ")
            lines.append(f"\n{text}" if text.startswith("- ") and lines and not lines[-1].startswith("- ") else text)
    return _plain("\n".join(lines))


def _table(heads: tuple[str, ...], rows: Any) -> Iterator[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    yield "\n".join([*lines, *("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)])


def _code(value: str) -> str:
    return f"`{value}`" if value else ""


def _plain(comment: str) -> str:
    """A comment as Markdown: what Markdown would read as marks stays what it is; names of pages become links."""
    return re.sub(r"docs/(\w+)\.md", r"[\1](\1.md)", re.sub(r"([*<>\[\]$\\])", r"\\\1", comment))


def _linked(target: str) -> str:
    if not target:
        return ""
    name = f"`{target.rpartition('.')[2]}`"
    return f"[{name}][{target}]" if target in documented() else f"`{target}`"


# ------------------------------------------------------------------ reference


@cache
def rooms() -> dict[str, list[str]]:
    """Public names by room: those that it exports, those that the package exports, those that ``conf/`` names."""
    named = {f"{place}.{name}" for name, place in dmt._PLACES.items()}
    named |= {name for file in CONF.rglob("*.yaml") for name in TARGET.findall(file.read_text("utf-8"))}
    found = {}
    for room in _rooms_in_order():
        exported, origins = _exports(SOURCES / "dmt" / room / "__init__.py")
        names = {f"dmt.{room}.{name}" for name in exported}
        others = {name for name in named if name.startswith(f"dmt.{room}.")} - {origins.get(n, n) for n in names}
        if (room not in NO_REFERENCE) and (names | others):
            found[room] = sorted(names | others, key=lambda name: name.rpartition(".")[2].lower())
    return found


def documented() -> set[str]:
    """Whatever the reference has."""
    return {name for names in rooms().values() for name in names}


def _rooms_in_order() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("| `src/dmt/` |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)


def _exports(file: Path) -> tuple[list[str], dict[str, str]]:
    """What a package exports by ``__all__``, and from where each name comes."""
    exported: list[str] = []
    origins = {}
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            exported = ast.literal_eval(node.value)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(file.parent.relative_to(SOURCES).parts)
            origins |= {f"{package}.{a.asname or a.name}": f"{node.module}.{a.name}" for a in node.names}
    return exported, origins


def reference_index() -> str:
    """The names that ``import dmt`` offers, and the rooms."""
    rows = []
    for name, place in sorted(dmt._PLACES.items(), key=lambda item: item[0].lower()):
        full = f"{place}.{name}"
        full = full if full in documented() else next((n for n in documented() if n.endswith(f".{name}")), "")
        rows.append((f"[`dmt.{name}`][{full}]" if full else f"`dmt.{name}`", f"`{place}`"))
    about = {room: _docstring(SOURCES / "dmt" / room / "__init__.py") for room in rooms()}
    return "\n\n".join(
        [
            "# Reference",
            "What `import dmt` offers; [From Python](../python.md) shows how it is used. The other pages have what the "
            "rooms of the package export and what the files in `conf/` name. `dmt.UserError` is raised where what you "
            "asked for cannot be: its one line says what to do instead.",
            *_table(("name", "where it lies"), rows),
            "## By room",
            *_table(
                ("room", "what lies there"), [(f"[`dmt.{room}`]({room}.md)", text) for room, text in about.items()]
            ),
        ]
    )


def reference_page(room: str) -> str:
    """All public names of a room."""
    about = _docstring(SOURCES / "dmt" / room / "__init__.py")
    return "\n\n".join([f"# dmt.{room}", about, *(f"::: {name}" for name in rooms()[room])]) + "\n"


def _docstring(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split("\n\n")[0]


# ------------------------------------------------------------------ notebooks


def notebook_page(file: Path) -> str:
    """What is written in a notebook, without what it shows when it is run."""
    parts = []
    for cell in json.loads(file.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join([*parts, f"To run it: [{file.name}]({file.name})."]) + "\n"

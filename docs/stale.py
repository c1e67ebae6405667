"""Which tables and pictures of the documentation no longer show today's defaults: ``python docs/stale.py``.

Above a table stands, as a comment that readers do not see, the command that it was made by and a hash of the
configuration that the command has::

    <!-- made by: python traverse.py experiment=digits | configuration 3fa91c2e -->
    <!-- made by: python benchmarks/main_job.py edit | runs: traverse.py lambda=0.7,0.5 | configuration 0a9c63fd -->

``runs`` says what a script runs, several commands with ; between them; ``of: backbone,regularizer`` which parts of
their configuration the script reads, where it is not all. ``configuration none``: no configuration has a part in it.
``configuration unknown: WHY``: it was made with settings that cannot be given any more. Of pictures the same stands in
``images/made_by.json``, which ``docs/figures.py`` writes.

A changed default changes the hash of every command that uses it; commands that set it themselves keep theirs. What is
null does not count, so that a new option that is null makes nothing stale. Code is not looked at.

After a table was made again: ``python docs/stale.py --renew PAGE.md[:LINE]`` writes today's hash.
"""

import argparse
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product, takewhile
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dmt.cli.arguments import as_hydra_takes_them
from dmt.cli.command import composed, parsed

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MADE_BY = ROOT / "docs" / "images" / "made_by.json"
MARK = re.compile(
    r"<!-- made by: (?P<command>[^|]*?)(?: \| runs: (?P<runs>[^|]*?))?(?: \| of: (?P<of>[^|]*?))?"
    r" \| configuration (?P<hash>.*?) -->"
)
RULE = re.compile(r"\s*\|[-|: ]+\|")
NUMBER = re.compile(r"\s*[*(+\u2212-]*[\d.]*\d")
UNHASHED = ("none", "unknown")
# Where things lie and how they are shown; not what comes out
ELSEWHERE = ("data_dir", "weights_dir", "cache_dir", "output_dir")
APART = (
    "hydra",
    "logger",
    "threads",
    "progress",
    "trainer",
    "output",
    "keep_features",
    "limits",
    "targets",
    *ELSEWHERE,
)


@dataclass(frozen=True)
class Made:
    """A table or a picture, and what it was made by.

    Args:
        place: the file that says so, from the root; and the line, or the picture's name.
        command: as one gives it.
        runs: the programs' command lines that it comes to.
        configuration: the hash it was made with, ``none`` or ``unknown``.
        of: the parts of the configuration that count, with commas; empty: all.
    """

    place: str
    command: str
    runs: str
    configuration: str
    of: str = ""

    @property
    def today(self) -> str:
        """The hash that it would be made with today."""
        return self.configuration if self.configuration.startswith(UNHASHED) else configuration(self.runs, self.of)

    @property
    def complaint(self) -> str | None:
        """What is wrong with it, in a line; None: nothing."""
        try:
            if self.today == self.configuration:
                return None
        except Exception as error:  # of Hydra: an option that is no more
            return f"{self.place}: its command does not compose any more ({str(error).splitlines()[0]}): {self.command}"
        return f"{self.place}: stale, made with other defaults than today's; make it again: {self.command}"


def configuration(runs: str, of: str = "", conf: Path = ROOT / "conf") -> str:
    """The hash of the configurations of command lines, ``traverse.py NAME=VALUE ...; train.py ...``."""
    parts, texts = of.split(",") if of else None, [runs]
    for program, options in _command_lines(runs, conf):
        told = _told(conf, program, options)
        texts.append(json.dumps({key: told.get(key) for key in parts} if parts else told, sort_keys=True))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def _command_lines(runs: str, conf: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each program with its overrides; of a sweep each choice of options, with the first of its other values."""
    for line in runs.split(";"):
        program, *words = [word for word in shlex.split(line) if word not in ("python", "-m")]
        overrides = [parsed(word) for word in as_hydra_takes_them(words) if not word.startswith("hydra")]
        each = []
        for one in overrides:
            values = list(one.sweep_string_iterator()) if one.is_sweep_override() else []
            values = values if (conf / one.key_or_group).is_dir() else values[:1]
            each.append([f"{one.get_key_element()}={value}" for value in values] or [str(one.input_line)])
        for options in product(*each):
            yield program.removesuffix(".py"), options


@cache
def _told(conf: Path, program: str, options: tuple[str, ...]) -> dict[str, Any]:
    """What of a command's configuration has a part in what comes out."""
    cfg = composed(conf, program, [*options, *(f"{name}={name}" for name in ELSEWHERE)])
    whole = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]), resolve=True)
    assert isinstance(whole, dict)
    told = {key: value for key, value in whole.items() if key not in APART}
    layers = told.get("layers")
    told["layers"] = told.pop("layer_names", {}).get(layers, layers) if isinstance(layers, str) else layers
    told.pop("layer_names", None)
    for judge in (told.get("judges") or {}).values():  # what is made of their numbers
        judge.pop("shows", None)
        judge.pop("by", None)
    if "Table" not in str(told["data"].get("_target_")):
        told = {key: value for key, value in told.items() if key not in ("plans", "fixed", "constraints")}
    if not told.get("study"):
        told = {key: value for key, value in told.items() if key not in ("net", "transfer")}
        told = told if layers == "auto" else {key: value for key, value in told.items() if key != "scores"}
        told = told if told["lambda"] == "auto" else {key: value for key, value in told.items() if key != "auto"}
    return _plain(told)


def _plain(node: Any) -> Any:
    """Without what is null or empty ({}), and without the modules in which classes happen to lie."""
    if isinstance(node, dict):
        inside = {key: _plain(value) for key, value in node.items()}
        inside = {key: value for key, value in inside.items() if value is not None and value != {}}
        return {key: value.rpartition(".")[2] if key == "_target_" else value for key, value in inside.items()}
    return [_plain(each) for each in node] if isinstance(node, list) else node


def made() -> Iterator[Made]:
    """Every table and picture that says what it was made by."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for mark in MARK.finditer(text):
            line = text.count("\n", 0, mark.start()) + 1
            runs = mark["runs"] or mark["command"]
            yield Made(f"{page.relative_to(ROOT)}:{line}", mark["command"], runs, mark["hash"], mark["of"] or "")
    for name, entry in json.loads(MADE_BY.read_text("utf-8")).items():
        place = f"{MADE_BY.relative_to(ROOT)}:{name}"
        yield Made(place, entry["command"], "; ".join(entry.get("runs", [])), entry["configuration"])


def unmarked() -> Iterator[str]:
    """Where a table of numbers stands below nothing that says what it was made by, or a picture is shown."""
    known = json.loads(MADE_BY.read_text("utf-8"))
    for page in PAGES:
        lines = page.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            place = f"{page.relative_to(ROOT)}:{number}"
            yield from (
                f"{place}: {name}" for name in re.findall(r"!\[.*?\]\(.*?images/(.*?)\)", line) if name not in known
            )
            if (
                RULE.fullmatch(line)
                and _is_measured(lines[number:])
                and "<!-- made by" not in "".join(lines[number - 4 : number])
            ):
                yield place


def _is_measured(rows: Sequence[str]) -> bool:
    """Whether half of the rows of the table that begins here have two numbers or more."""
    table = [row.strip().strip("|").split("|") for row in takewhile(lambda row: row.strip().startswith("|"), rows)]
    return 2 * sum(sum(bool(NUMBER.match(cell)) for cell in row) >= 2 for row in table) >= len(table)


def renew(name: str) -> list[str]:
    """Write today's hashes into a page, ``PAGE.md``, or into one line of it, ``PAGE.md:LINE``; the lines' numbers."""
    file, _, line = name.partition(":")
    (page,) = [page for page in PAGES if page.name == Path(file).name] or sys.exit(f"there is no page {file!r}")
    lines, renewed = page.read_text("utf-8").split("\n"), []
    for number, text in enumerate(lines, 1):
        mark = MARK.search(text)
        if mark and line in ("", str(number)) and not mark["hash"].startswith(UNHASHED):
            start, end = mark.span("hash")
            lines[number - 1] = (
                text[:start] + configuration(mark["runs"] or mark["command"], mark["of"] or "") + text[end:]
            )
            renewed.append(f"{page.name}:{number}")
    page.write_text("\n".join(lines), "utf-8")
    return renewed


def main() -> None:
    """List what is stale, and exit with 1 if anything is; or renew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renew", metavar="PAGE.md[:LINE]", help="write today's hash, after the table was made again")
    args = parser.parse_args()
    if args.renew:
        print("\n".join(renew(args.renew)) or "nothing there has a hash")
        return
    complaints = [complaint for each in made() if (complaint := each.complaint)]
    print("\n".join(complaints) or "everything shows today's defaults, or says with which it was made")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()

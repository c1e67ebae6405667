"""Run the benchmarks one after the other: ``python benchmarks/all.py``, or with ``--quick`` for daily use.

Every section is one of the other scripts in a process of its own; its peak memory is the operating system's count
(``wait4``: of the largest process of the section, and no less than this small one's). Before each, the load of
everything else on the machine is measured. What the sections print goes into ``table.md``; ``table.json`` has the same
tables as data. A section whose data is missing is left out and says so. The limits are those of the full sizes on two
cores; the exit code is 1 where one is missed, or a section fails.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from pathlib import Path

import psutil

from peak_memory import peak_gb

HERE = Path(__file__).resolve().parent
BUSY = 0.1  # share of all cores that others use, above which a row says so
PACKAGES = ("dmt", "torch", "torchvision", "pytorch-lightning", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Limit:
    """What a column must reach in every row that matches.

    Args:
        rows: column -> pattern of its cells.
        column: which.
        least: the least value, or
        most: the largest one.
    """

    rows: Mapping[str, str]
    column: str
    least: float = float("-inf")
    most: float = float("inf")


@dataclass(frozen=True)
class Section:
    """A script with its options.

    Args:
        name: of the section.
        script: its file and options.
        quick: the same, for daily use.
        needs: data that it reads: ``lfw`` and names of files of weights.
        limits: that its full sizes must keep.
    """

    name: str
    script: Sequence[str]
    quick: Sequence[str]
    needs: Sequence[str] = ()
    limits: Sequence[Limit] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a section: what it printed, or why it did not run or end well."""

    section: Section
    text: str = ""
    problem: str = ""
    seconds: float = 0.0
    peak: float = 0.0
    others: float = 0.0

    @property
    def tables(self) -> list[list[dict[str, str]]]:
        """The tables that it printed, as rows of column -> cell."""
        return tables_of(self.text)


HYBRID = ("lfw", "vgg19_conv3_4_tvinput.safetensors", "vgg19_distilled16x_conv5_1.safetensors")
SECTIONS = (
    Section(
        "walk",
        ["walk.py"],
        ["walk.py", "--lambdas", "0.15", "--runs", "3"],
        limits=[
            Limit({"images": "1", "way": "now"}, "ms", most=20),
            Limit({"images": "64", "way": "now"}, "ms an image", most=2),
        ],
    ),
    Section("products", ["pca.py", "products"], ["pca.py", "products", "--quick"]),
    Section(
        "pca",
        ["pca.py", "case", "--sklearn"],
        ["pca.py", "case", "--sklearn", "--quick"],
        limits=[
            Limit({"fit": "exact"}, "s", most=20),
            Limit({"fit": "streaming"}, "s", most=45),
            Limit({"fit": "[es]*[tg]"}, "peak GB", most=4),
            Limit({"fit": "[es]*[tg]"}, "orthonormality error", most=1e-5),
        ],
    ),
    Section(
        "features",
        ["features.py"],
        ["features.py", "--pictures", "64", "--backbones", "vgg19_distilled"],
        needs=HYBRID,
        limits=[Limit({}, "share", least=0.8)],
    ),
    Section(
        "inversion",
        ["inversion.py"],
        ["inversion.py", "--backbones", "vgg19_distilled", "--size", "64", "--batch", "2"],
        needs=HYBRID,
        limits=[
            Limit({"solver": "ours*, 1 at a time"}, "times faster", least=4),
            Limit({"solver": "ours*, 16 at a time"}, "times faster", least=8),
            Limit({"solver": "ours*, 16 at a time"}, "s an image", most=12),
            Limit({"solver": "ours*, 16 at a time"}, "share of the bare network", least=0.9),
            Limit({"solver": "ours*"}, "per iteration", most=1.1),
        ],
    ),
    Section(
        "distributed",
        ["distributed.py"],
        ["distributed.py", "--images", "16", "--options", "experiment=digits", "manifold.n_components=16"],
    ),
)


def main() -> None:
    """Run the sections asked for, print their rows and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [section.name for section in SECTIONS]
    parser.add_argument("sections", nargs="*", choices=[*names, []], help=f"any of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, without limits")
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks"), help="of the tables")
    args = parser.parse_args()
    machine = describe_machine()
    outcomes = []
    for section in SECTIONS:
        if not args.sections or section.name in args.sections:
            outcomes.append(run(section, args.quick))
            print(row_of(outcomes[-1]), flush=True)
        write(args.output, machine, outcomes, [])
    limits = [] if args.quick else [row for outcome in outcomes if not outcome.problem for row in verdicts(outcome)]
    write(args.output, machine, outcomes, limits)
    print(f"\n{args.output / 'table.md'} and table.json")
    failed = [outcome for outcome in outcomes if outcome.problem and not outcome.problem.startswith("left out")]
    if failed or any(row["kept"] != "yes" for row in limits):
        sys.exit(1)


def describe_machine() -> dict[str, str]:
    """Processor, cores, memory, system and versions."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "system": platform.platform(),
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
        ),
    }


def missing(needs: Sequence[str]) -> str:
    """What of the data is not there, empty if nothing."""
    data, weights = (
        Path(os.environ.get(name, f"~/.cache/dmt/{default}")).expanduser()
        for name, default in (("DMT_DATA", "data"), ("DMT_WEIGHTS", "weights"))
    )
    files = [data / "lfw_attributes.txt" if need == "lfw" else weights / need for need in needs]
    return ", ".join(str(file) for file in files if not file.exists())


def run(section: Section, quick: bool) -> Outcome:
    """Run a section in a process of its own."""
    if absent := missing(section.needs):
        return Outcome(section, problem=f"left out, for there is no {absent}")
    others = psutil.cpu_percent(interval=2) / 100
    script, *options = section.quick if quick else section.script
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, HERE / script, *options], stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0), errors.seek(0)
        problem = f"failed: {(errors.read().strip().splitlines() or ['?'])[-1]}" if status else ""
        return Outcome(section, output.read(), problem, seconds, peak_gb(usage), others)


def tables_of(text: str) -> list[list[dict[str, str]]]:
    """The Markdown tables of a text, as rows of column -> cell."""
    tables = []
    for block in re.findall(r"(?:^\|.*\|[ ]*\n?)+", text, re.MULTILINE):
        header, rule, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()]
        assert set("".join(rule)) <= set("-: ")
        tables.append([dict(zip(header, row, strict=True)) for row in rows])
    return tables


def verdicts(outcome: Outcome) -> list[dict[str, str]]:
    """A row for each limit: the worst value in the rows that match, and whether that keeps it."""
    rows = [row for table in outcome.tables for row in table]
    found = []
    for limit in outcome.section.limits:
        matching = [
            number(row[limit.column])
            for row in rows
            if limit.column in row and all(fnmatchcase(row.get(key, ""), want) for key, want in limit.rows.items())
        ]
        is_least = limit.least > float("-inf")
        worst = (min if is_least else max)(matching, default=float("nan"))
        kept = limit.least <= worst <= limit.most
        found.append(
            {
                "section": outcome.section.name,
                "of": ", ".join(limit.rows.values()) or "all",
                "column": limit.column,
                "limit": f"at least {limit.least:g}" if is_least else f"at most {limit.most:g}",
                "worst": f"{worst:g}",
                "kept": "yes" if kept else "no" if matching else "not measured",
            }
        )
    return found


def number(cell: str) -> float:
    """The number of a cell; a percentage is a share."""
    return float(cell.rstrip("%")) / 100 if cell.endswith("%") else float(cell)


def row_of(outcome: Outcome) -> str:
    """A section in a line of a table."""
    others = f"{outcome.others:.0%}{' (busy)' if outcome.others > BUSY else ''}"
    end = outcome.problem or "done"
    return f"| {outcome.section.name} | {outcome.seconds:.0f} | {outcome.peak:.2f} | {others} | {end} |"


def write(
    folder: Path, machine: Mapping[str, str], outcomes: Sequence[Outcome], limits: Sequence[Mapping[str, str]]
) -> None:
    """``table.md`` and ``table.json``, with the verdicts on the limits."""
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "| section | seconds | peak GB | load of others | |", "|---|---|---|---|---|", *map(row_of, outcomes)]
    if limits:
        lines += ["", f"| {' | '.join(limits[0])} |", "|---" * len(limits[0]) + "|"]
        lines += [f"| {' | '.join(row.values())} |" for row in limits]
    for outcome in outcomes:
        lines += ["", f"## {outcome.section.name}", "", outcome.text.strip() or outcome.problem]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    sections = [
        {
            "section": outcome.section.name,
            "seconds": outcome.seconds,
            "peak_gb": outcome.peak,
            "load_of_others": outcome.others,
            "problem": outcome.problem,
            "tables": outcome.tables,
        }
        for outcome in outcomes
    ]
    document = {"machine": dict(machine), "limits": list(limits), "sections": sections}
    (folder / "table.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

"""``python -m tests.mutants --seed 1 --count 50``: does a line of the mathematics that is changed fail the tests?

mutmut (``pip install mutmut==3.8.1``) makes the mutants, below ``mutants/``; ``[tool.mutmut]`` in pyproject.toml says
of which files, and which tests are run. From each package some are drawn and tried, one after another, by the tests
that call the changed function; where these take more than a minute in all, by those in the package's folder alone.
"""

import argparse
import importlib
import json
import math
import random
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

PACKAGES = ("traversal", "inversion", "solvers", "manifolds", "studies")
COLUMNS = ("killed", "timeout", "survived", "no tests")


def wilson(part: int, whole: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share, 95 %."""
    share, spread = part / whole, z * z / whole
    half = z * math.sqrt((share * (1 - share) + spread / 4) / whole)
    return (share + spread / 2 - half) / (1 + spread), (share + spread / 2 + half) / (1 + spread)


def found() -> dict[str, int | None]:
    """Every mutant that was made -> its exit code."""
    files = sorted(Path("mutants/src").rglob("*.py.meta"))
    return {name: code for file in files for name, code in json.loads(file.read_text())["exit_code_by_key"].items()}


def drawn(names: list[str], count: int, seed: int) -> list[str]:
    """Some of the mutants of one package, the same for the same seed; with a larger count, these and others."""
    names = sorted(names)
    random.Random(seed).shuffle(names)
    return names[:count]


def narrow(file: Path, most: float = 60) -> None:
    """Leave a function whose tests take more seconds in all no tests but those of its own package."""
    stats = json.loads(file.read_text())
    for function, tests in (by_function := stats["tests_by_mangled_function_name"]).items():
        if sum(stats["duration_by_test"][test] for test in tests) > most:
            own = [test for test in tests if test.split("/")[1] == function.split(".")[1]]
            by_function[function] = own or tests
    file.write_text(json.dumps(stats))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("packages", nargs="*", choices=[*PACKAGES, []], metavar="PACKAGE", help=", ".join(PACKAGES))
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--count", type=int, default=50, help="mutants of each package")
    parser.add_argument("--again", action="store_true", help="try those once more that were not killed")
    parser.add_argument("--shown", action="store_true", help="show what was found before, and try nothing")
    asked = parser.parse_args(arguments)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("dmt", "tests")]:
        del sys.modules[name]  # those of mutants/ are meant; an installed dmt is imported as Python starts
    mutmut = importlib.import_module("mutmut.__main__")
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.create_mutants(1)
    if not (stats := Path("mutants/mutmut-stats.json")).exists():  # which tests call which function, and their times
        mutmut.setup_source_paths()
        mutmut.collect_or_load_stats(mutmut.get_mutant_runner(1))
    narrow(stats)
    there: dict[str, list[str]] = {package: [] for package in asked.packages or PACKAGES}
    for name in found():
        if (package := name.split(".")[1]) in there:
            there[package].append(name)
    samples = {package: drawn(names, asked.count, asked.seed) for package, names in there.items()}
    statuses = {name: mutmut.status_by_exit_code[code] for name, code in found().items()}
    wanted = ("survived", "timeout", "no tests", "not checked") if asked.again else tuple({*statuses.values()})
    names = [name for sample in samples.values() for name in sample if statuses[name] in wanted]
    if names and not asked.shown:
        mutmut.cli.main(["run", "--max-children", "1", *names], standalone_mode=False)
        statuses = {name: mutmut.status_by_exit_code[code] for name, code in found().items()}
    for sample in samples.values():
        for name in sample:
            if statuses[name] not in ("killed", "timeout"):
                print(f"\n{name}: {statuses[name]}\n{mutmut.get_diff_for_mutant(name)}")
    print("\n| package | mutants | tried | killed | timed out | survived | not reached | share |\n|" + "---|" * 8)
    samples["all"], there["all"] = [*chain(*samples.values())], [*chain(*there.values())]
    for package, sample in samples.items():
        tried = [name for name in sample if statuses[name] != "not checked"]
        counts = Counter(statuses[name] for name in tried)
        dead = counts["killed"] + counts["timeout"]
        low, high = wilson(dead, len(tried)) if tried else (0.0, 1.0)
        numbers = " | ".join(str(counts[column]) for column in COLUMNS)
        share = f"{dead / max(1, len(tried)):.0%} ({low:.0%} to {high:.0%})"
        print(f"| {package} | {len(there[package])} | {len(tried)} | {numbers} | {share} |")


if __name__ == "__main__":
    main()

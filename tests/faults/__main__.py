"""``python -m tests.faults [NAME ...] --seed 1 --count 300``: fault campaigns, and a table of what became of them."""

import argparse
import importlib
import logging
import sys
import time
import warnings
from importlib.util import find_spec

import torch

CAMPAIGNS = {  # name -> module of this package, with campaign(seed, count) -> what became of it
    "kills": "test_kills",
    "damaged": "test_damaged",
    "first_runs": "test_first_runs",
    "settings": "test_settings",
    "pictures": "test_pictures",
    "labels": "test_labels",
    "signals": "test_signals",
    "sweeps": "test_sweeps",
}
COLUMNS = ("tried", "silent", "tracebacks", "failures")


def run(name: str, seed: int, count: int) -> dict[str, int]:
    """What became of ``count`` faults of a campaign: how many were tried, and how many of them went wrong, and how."""
    module = importlib.import_module(f"tests.faults.{CAMPAIGNS[name]}")
    warnings.simplefilter("ignore")  # no word of the thousand trainers
    for chatty in ("pytorch_lightning", "lightning_fabric", "lightning"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    return module.campaign(seed, count)


def main(arguments: list[str] | None = None) -> int:
    there = [name for name, module in CAMPAIGNS.items() if find_spec(f"tests.faults.{module}")]
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*there, []], metavar="NAME", help=f"of {', '.join(there)}; all")
    parser.add_argument("--seed", type=int, default=0, help="of what is random")
    parser.add_argument("--count", type=int, default=100, help="faults of each campaign")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    bad = 0
    print(f"{'campaign':12}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'seconds':>12}")
    for name in asked.names or there:
        began = time.monotonic()
        found = run(name, asked.seed, asked.count)
        numbers = "".join(f"{found.get(column, 0):>12}" for column in COLUMNS)
        print(f"{name:12}{numbers}{time.monotonic() - began:>12.0f}", flush=True)
        bad += sum(found.get(column, 0) for column in COLUMNS[1:])
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

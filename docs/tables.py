"""Print the tables of docs/transfer.md from the runs that lie beside it: ``python docs/tables.py [NAME ...]``.

Every number is rounded once, from the runs themselves.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from dmt.studies.transfer.differences import SIMILAR, differences
from dmt.studies.transfer.gains import gains
from dmt.studies.transfer.original import original_runs
from dmt.studies.transfer.rows import read_runs

STORE = Path(__file__).resolve().parent / "transfer" / "tiny_imagenet.csv"
COLUMNS = {"BnB": "BnB - base", "AnB": "AnB - base", "AnB - BnB": "AnB - BnB", "BnB+": "BnB+ - base"} | {
    "AnB+": "AnB+ - base", "random, frozen": "random, frozen - base"
}  # fmt: skip
PRINTED = {"1-7": (1.6, 1.4), "3-7": (1.8, 1.4), "5-7": (2.1, 1.7)}  # table 1 of the paper: over base, over BnB+


def transfer_2014() -> str:
    """Table 1 of the runs of 2014, unpaired as the paper has it, and paired."""
    runs = original_runs()
    found = gains(runs.assign(top1=runs["top1_best10"]))
    found = found[found["split"] == SIMILAR].set_index(["pairing", "difference_of", "layers"])
    lines = [
        "| layers | AnB+ - base, printed | unpaired | of it, ease of the targets | **paired** "
        "| AnB+ - BnB+, printed | unpaired | of it, ease of the targets | **by base** |",
        "|---" * 9 + "|",
    ]
    for layers, (over_base, over_selffer) in PRINTED.items():
        unpaired, paired = (found.loc[(kind, "AnB+ - base", layers)] for kind in ("unpaired", "paired"))
        beside, by_base = (found.loc[(kind, "AnB+ - BnB+", layers)] for kind in ("unpaired", "by base"))
        last = f"**{round(by_base['gain'], 2) + 0.0:+.2f}**"  # no minus before 0.00
        sd = f"{paired['sd']:.2f}".lstrip("0")
        count = f"{paired['networks']} networks" if layers == "1-7" else paired["networks"]
        cells = [
            layers,
            f"{over_base} | {unpaired['gain']:+.2f} | {unpaired['of_targets']:+.2f}",
            f"**{paired['gain']:+.2f}** (sd {sd}, {count})",
            f"{over_selffer} | {beside['gain']:+.2f} | {beside['of_targets']:+.2f} | {last}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def transfer_tiny_imagenet() -> str:
    """Differences to the base of the same target on random divisions of Tiny-ImageNet, in points of top-1."""
    found = differences(read_runs(STORE))
    found = found[found["split"] == SIMILAR].set_index(["difference_of", "n"])
    lines = [f"| n | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for n in range(1, 8):
        cells = [_with_interval(found.loc[(name, n)]) for name in COLUMNS.values()]
        lines.append(f"| {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_interval(row: pd.Series) -> str:
    text = f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"
    return f"**{text}**" if row["low"] > 0 or row["high"] < 0 else text


TABLES: dict[str, Callable[[], str]] = {
    "transfer_2014": transfer_2014,
    "transfer_tiny_imagenet": transfer_tiny_imagenet,
}

if __name__ == "__main__":
    for each in sys.argv[1:] or TABLES:
        print(f"{each}\n\n{TABLES[each]()}\n")

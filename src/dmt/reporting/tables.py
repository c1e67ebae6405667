"""Rows of numbers and words -> a CSV file, or aligned text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dmt.editing.records import Record
from dmt.storage.files import replacing


def write_table(path: Path, rows: Sequence[Record]) -> None:
    """Write rows as CSV, whole or not at all; what a row lacks stays empty, a number that is none is ``nan``."""
    columns = columns_of(rows)
    table = pd.DataFrame([[_cell(row, column) for column in columns] for row in rows], columns=columns, dtype=object)
    with replacing(path) as partial:
        table.to_csv(partial, index=False, na_rep="nan", lineterminator="\r\n", encoding="utf-8")


def text_table(rows: Sequence[Record]) -> str:
    """Rows as aligned text: words begin at the left, numbers end at the right and have four digits.

    >>> print(text_table([{"layer": "conv1", "auc": 0.87654}, {"layer": "all", "auc": 1.0, "auto": "*"}]))
    layer     auc  auto
    conv1  0.8765
    all         1  *
    """
    aligned = []
    for column in columns_of(rows):
        values = [_cell(row, column) for row in rows]
        cells = [column, *map(_in_words, values)]
        width = max(map(len, cells))
        is_of_words = all(isinstance(value, str) for value in values)
        aligned.append([cell.ljust(width) if is_of_words else cell.rjust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every column of the rows, in the order in which they first have it."""
    return list(dict.fromkeys(column for row in rows for column in row))


def _cell(row: Record, column: str) -> str | float:
    value = row.get(column)
    return "" if value is None else value


def _in_words(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

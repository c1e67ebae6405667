"""Rows of numbers and words -> a CSV file, or aligned text."""

import csv
from collections.abc import Sequence
from pathlib import Path

from dmt.editing.records import Record


def write_table(path: Path, rows: Sequence[Record]) -> None:
    """Write rows as CSV; a column that a row lacks stays empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def text_table(rows: Sequence[Record]) -> str:
    """Rows as aligned text, numbers to four digits."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([_in_words(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _in_words(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

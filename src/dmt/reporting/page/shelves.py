"""Rows of numbers and words -> a table of a page, which sorts and filters."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from dmt.editing.records import Record
from dmt.reporting.tables import columns_of


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table: words, the number that it is sorted by, where it leads."""

    text: str
    value: float | None = None
    link: str = ""


@dataclass(frozen=True)
class Shelf:
    """A table, as templates know it."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def shelf(caption: str, rows: Sequence[Record], links: Mapping[str, Sequence[str]] | None = None) -> Shelf:
    """Rows as a table.

    >>> shelf("runs", [{"lambda": 0.31234, "changed": "yes"}]).rows
    [[Cell(text='0.3123', value=0.31234, link=''), Cell(text='yes', value=None, link='')]]

    Args:
        caption: of the table.
        rows: numbers and words.
        links: column -> an address for each row, empty where there is none.
    """
    columns, leads = columns_of(rows), links or {}
    body = [
        [cell(row.get(column, ""), leads[column][at] if column in leads else "") for column in columns]
        for at, row in enumerate(rows)
    ]
    return Shelf(caption, columns, body)


def cell(value: object, link: str = "") -> Cell:
    """A value as a table shows it: four digits of a number; nothing where there is none."""
    if value is None:
        return Cell("", None, link)
    if isinstance(value, bool) or not isinstance(value, Real):
        return Cell(str(value), None, link)
    number = float(value)
    return Cell("", None, link) if math.isnan(number) else Cell(f"{number:.4g}", number, link)

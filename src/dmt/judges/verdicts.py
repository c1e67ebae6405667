"""Columns of a record, as judges write them -> verdicts on the edit of one picture, and their rates over many."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dmt.errors import require_side

Numbers = Mapping[str, object]
HALF = 0.5
ENDS = ("before", "after")


class Wish(NamedTuple):
    """What a judge shall say of a result, where it is known which of its sides is the target's.

    Args:
        judge: its name.
        beyond: the side of the threshold, ``above`` or ``below``.
        threshold: in the judge's own unit.
    """

    judge: str
    beyond: str
    threshold: float = HALF

    def __str__(self) -> str:
        return f"{self.judge} {self.beyond} {self.threshold:.4g}"

    @classmethod
    def all_of(cls, text: str) -> "list[Wish]":
        """Wishes as a record has them.

        >>> Wish.all_of("happy below 0.5; age above 41.2")[1]
        Wish(judge='age', beyond='above', threshold=41.2)
        """
        parts = [part.rsplit(" ", 2) for part in text.split("; ") if part]
        return [cls(judge, beyond, float(threshold)) for judge, beyond, threshold in parts]

    def verdict(self, record: Numbers) -> str:
        """``yes``: the result is where it shall be; ``already``: the input was, too; ``no``; empty: nobody knows."""
        ends = [_is_beyond(_number(record, f"{self.judge}_{end}"), self.beyond, self.threshold) for end in ENDS]
        before, after = ends
        return "" if None in ends else "no" if not after else "already" if before else "yes"


def reached(record: Numbers, judge: str, beyond: str, threshold: float = HALF) -> bool | None:
    """Whether the result is on the target's side: ``JUDGE_after`` is strictly beyond the threshold.

    Like all verdicts it is ``None`` where a column is missing or no finite number, and rates leave such records out.

    >>> reached({"happy_before": 0.9, "happy_after": 0.2}, "happy", "below")
    True

    Args:
        record: column -> value.
        judge: name of the judge, ``happy`` reads ``happy_before`` and ``happy_after``.
        beyond: the side of the threshold on which the target lies, ``above`` or ``below``.
        threshold: where the judge is undecided.

    Raises:
        UserError: ``beyond`` is neither.
    """
    return _is_beyond(_number(record, f"{judge}_after"), beyond, threshold)


def age_shift(record: Numbers, judge: str = "age") -> float | None:
    """By how many years the result looks older than the input; below 0 it looks younger."""
    before, after = _number(record, f"{judge}_before"), _number(record, f"{judge}_after")
    return None if before is None or after is None else after - before


def gender_flipped(record: Numbers, judge: str = "male", threshold: float = HALF) -> bool | None:
    """Whether the probability of a man crossed the threshold, in either direction."""
    before, after = _number(record, f"{judge}_before"), _number(record, f"{judge}_after")
    return None if before is None or after is None else (before > threshold) != (after > threshold)


def crossing_rate(records: Iterable[Numbers], judge: str, beyond: str, threshold: float = HALF) -> float:
    """Share of the pictures not yet on the target's side whose result is there, in [0, 1], higher is better.

    It is nan if there is no such picture. Args and errors as in ``reached``.
    """
    answers = [
        reached(record, judge, beyond, threshold)
        for record in records
        if _is_beyond(_number(record, f"{judge}_before"), beyond, threshold) is False
    ]
    known = [answer for answer in answers if answer is not None]
    return sum(known) / len(known) if known else math.nan


def _is_beyond(value: float | None, beyond: str, threshold: float) -> bool | None:
    require_side("beyond", beyond)
    if value is None:
        return None
    return value > threshold if beyond == "above" else value < threshold


def _number(record: Numbers, column: str) -> float | None:
    """A column's number; words, such as the empty cell of a table, are none."""
    value = record.get(column)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

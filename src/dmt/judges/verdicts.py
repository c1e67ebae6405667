"""Columns of a record, as judges write them -> verdicts on the edit of one picture, and their rates over many."""

import math
from collections.abc import Iterable, Mapping

from dmt.errors import require_side

Numbers = Mapping[str, object]
HALF = 0.5


def reached(record: Numbers, judge: str, beyond: str, threshold: float = HALF) -> bool | None:
    """Whether the result is on the target's side: ``JUDGE_after`` is strictly beyond the threshold.

    Like all verdicts it is ``None`` where a column is missing or no finite number, and rates leave such records out.

    Args:
        record: column -> value.
        judge: name of the judge, ``happy`` reads ``happy_before`` and ``happy_after``.
        beyond: the side of the threshold on which the target lies, ``above`` or ``below``.
        threshold: where the judge is undecided.

    Raises:
        UserError: ``beyond`` is neither.
    """
    return _is_beyond(_number(record, f"{judge}_after"), beyond, threshold)


def flipped(record: Numbers, judge: str, beyond: str, threshold: float = HALF) -> bool | None:
    """Whether the edit took the picture from the source's side to the target's.

    Args and errors as in ``reached``. A picture that was on the target's side before is not flipped, whatever it
    shows after.
    """
    other = {"above": "below", "below": "above"}.get(beyond, beyond)
    was_source = _is_beyond(_number(record, f"{judge}_before"), other, threshold)
    is_target = reached(record, judge, beyond, threshold)
    return None if was_source is None or is_target is None else was_source and is_target


def identity_kept(record: Numbers, column: str = "identity", least: float = HALF) -> bool | None:
    """Whether the cosine of the embeddings of input and result is above ``least``, in [-1, 1].

    With the judge of faces two pictures of one person have .45 on average and of two people .06, so that .5 asks more
    than that it might be the same person.
    """
    cosine = _number(record, column)
    return None if cosine is None else cosine > least


def age_shift(record: Numbers, judge: str = "age") -> float | None:
    """By how many years the result looks older than the input; below 0 it looks younger."""
    before, after = _number(record, f"{judge}_before"), _number(record, f"{judge}_after")
    return None if before is None or after is None else after - before


def gender_flipped(record: Numbers, judge: str = "male", threshold: float = HALF) -> bool | None:
    """Whether the probability of a man crossed the threshold, in either direction."""
    before, after = _number(record, f"{judge}_before"), _number(record, f"{judge}_after")
    return None if before is None or after is None else (before > threshold) != (after > threshold)


def verdicts(record: Numbers, judge: str, beyond: str, threshold: float = HALF) -> dict[str, bool | float]:
    """All verdicts that the record has the columns for, by name, and its ``shrinkage``.

    Args and errors as in ``reached``.

    >>> verdicts({"happy_before": 0.9, "happy_after": 0.2, "identity": 0.4}, "happy", "below")
    {'reached': True, 'flipped': True, 'identity_kept': False}
    """
    found = {
        "reached": reached(record, judge, beyond, threshold),
        "flipped": flipped(record, judge, beyond, threshold),
        "identity_kept": identity_kept(record),
        "age_shift": age_shift(record),
        "gender_flipped": gender_flipped(record),
        "shrinkage": _number(record, "shrinkage"),
    }
    return {name: value for name, value in found.items() if value is not None}


def flip_rate(records: Iterable[Numbers], judge: str, beyond: str, threshold: float = HALF) -> float:
    """Share of all pictures whose result is on the target's side, in [0, 1], higher is better; nan if there is none.

    Pictures that the judge saw on the target's side before count, too; ``crossing_rate`` leaves them out.
    """
    return _share(reached(record, judge, beyond, threshold) for record in records)


def crossing_rate(records: Iterable[Numbers], judge: str, beyond: str, threshold: float = HALF) -> float:
    """Share of the pictures not yet on the target's side whose result is there, in [0, 1], higher is better.

    It is nan if there is no such picture.
    """
    open_to_change = [
        record for record in records if _is_beyond(_number(record, f"{judge}_before"), beyond, threshold) is False
    ]
    return flip_rate(open_to_change, judge, beyond, threshold)


def _share(answers: Iterable[bool | None]) -> float:
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

"""Verdicts on edits, counted by hand."""

import math

import pytest

from dmt.errors import UserError
from dmt.judges.verdicts import Wish, age_shift, crossing_rate, gender_flipped, reached


def happy(before: float, after: float) -> dict[str, object]:
    return {"happy_before": before, "happy_after": after}


@pytest.mark.parametrize(
    ("record", "is_reached"),
    [
        (happy(0.9, 0.1), True),
        (happy(0.9, 0.6), False),
        (happy(0.2, 0.1), True),  # it was there before
        (happy(0.2, 0.9), False),  # the wrong way
        (happy(0.9, 0.5), False),  # undecided is not beyond
        (happy(0.5, 0.1), True),
    ],
)
def test_a_picture_reaches_the_target(record, is_reached):
    assert reached(record, "happy", "below") is is_reached
    mirrored = {column: 1 - value for column, value in record.items()}
    assert reached(mirrored, "happy", "above") is is_reached


def test_the_threshold_may_be_an_age():
    record = {"age_before": 41.0, "age_after": 58.0}
    assert reached(record, "age", "above", 50) is True
    assert reached(record, "age", "above", 60) is False
    assert crossing_rate([record], "age", "above", 50) == 1
    assert math.isnan(crossing_rate([record], "age", "above", 40)), "it was above 40 before"


RECORDS = [
    happy(0.9, 0.1),
    happy(0.9, 0.8),
    happy(0.8, 0.2),
    happy(0.3, 0.1),
    happy(0.3, 0.7),
    happy(0.5, 0.4),
]


def test_rates_by_hand():
    assert crossing_rate(RECORDS, "happy", "below") == pytest.approx(3 / 4)  # two were at the target before
    assert crossing_rate(RECORDS, "happy", "above") == pytest.approx(1 / 3)  # three are not above


def test_records_without_a_verdict_are_left_out_of_rates():
    unknown = [{}, happy(0.9, math.nan), {"happy_before": 0.9, "happy_after": ""}]
    assert [reached(record, "happy", "below") for record in unknown] == [None] * 3
    assert crossing_rate([*RECORDS, *unknown], "happy", "below") == pytest.approx(3 / 4)
    assert math.isnan(crossing_rate(unknown, "happy", "below"))
    assert math.isnan(crossing_rate([happy(0.1, 0.1)], "happy", "below"))


def test_age_shifts_either_way():
    assert age_shift({"age_before": 30.5, "age_after": 42}) == 11.5
    assert age_shift({"age_before": 30.5, "age_after": 20}) == -10.5
    assert age_shift({"age_before": 30.5}) is None


@pytest.mark.parametrize(("before", "after", "expected"), [(0.9, 0.1, True), (0.1, 0.9, True), (0.9, 0.6, False)])
def test_gender_flips_either_way(before, after, expected):
    assert gender_flipped({"male_before": before, "male_after": after}) is expected


def test_a_side_that_is_none_is_an_error():
    with pytest.raises(UserError, match="beyond must be above or below, got 'over'"):
        reached(happy(0.9, 0.1), "happy", "over")


def test_wishes_are_read_as_they_are_written():
    wishes = [Wish("happy", "below"), Wish("geometry_width", "above", 41.25)]
    assert Wish.all_of("; ".join(map(str, wishes))) == wishes
    assert Wish.all_of("") == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(0.2, 0.6, "yes"), (0.7, 0.6, "already"), (0.7, 0.5, "no"), (math.nan, 0.6, ""), ("", 0.6, "")],
)
def test_a_wish_is_fulfilled_strictly_beyond_its_threshold(before, after, expected):
    assert Wish("p", "above").verdict({"p_before": before, "p_after": after}) == expected

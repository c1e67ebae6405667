"""Verdicts on edits, counted by hand."""

import math

import pytest

from dmt.errors import UserError
from dmt.judges.verdicts import (
    age_shift,
    crossing_rate,
    flip_rate,
    flipped,
    gender_flipped,
    identity_kept,
    reached,
    verdicts,
)


def happy(before: float, after: float) -> dict[str, object]:
    return {"happy_before": before, "happy_after": after}


@pytest.mark.parametrize(
    ("record", "is_reached", "is_flipped"),
    [
        (happy(0.9, 0.1), True, True),
        (happy(0.9, 0.6), False, False),
        (happy(0.2, 0.1), True, False),  # it was there before
        (happy(0.2, 0.9), False, False),  # the wrong way
        (happy(0.9, 0.5), False, False),  # undecided is not beyond
        (happy(0.5, 0.1), True, False),  # undecided was not the source's
    ],
)
def test_a_picture_reaches_the_target_and_is_flipped_there(record, is_reached, is_flipped):
    assert reached(record, "happy", "below") is is_reached
    assert flipped(record, "happy", "below") is is_flipped
    mirrored = {column: 1 - value for column, value in record.items()}
    assert reached(mirrored, "happy", "above") is is_reached
    assert flipped(mirrored, "happy", "above") is is_flipped


def test_the_threshold_may_be_an_age():
    record = {"age_before": 41.0, "age_after": 58.0}
    assert flipped(record, "age", "above", 50) is True
    assert flipped(record, "age", "above", 60) is False
    assert flipped(record, "age", "above", 40) is False


RECORDS = [
    happy(0.9, 0.1),
    happy(0.9, 0.8),
    happy(0.8, 0.2),
    happy(0.3, 0.1),
    happy(0.3, 0.7),
    happy(0.5, 0.4),
]


def test_rates_by_hand():
    assert flip_rate(RECORDS, "happy", "below") == pytest.approx(4 / 6)
    assert crossing_rate(RECORDS, "happy", "below") == pytest.approx(3 / 4)  # two were at the target before
    assert flip_rate(RECORDS, "happy", "above") == pytest.approx(2 / 6)
    assert crossing_rate(RECORDS, "happy", "above") == pytest.approx(1 / 3)  # three are not above


def test_records_without_a_verdict_are_left_out_of_rates():
    unknown = [{}, happy(0.9, math.nan), {"happy_before": 0.9, "happy_after": ""}]
    assert [flipped(record, "happy", "below") for record in unknown] == [None] * 3
    assert flip_rate([*RECORDS, *unknown], "happy", "below") == pytest.approx(4 / 6)
    assert crossing_rate([*RECORDS, *unknown], "happy", "below") == pytest.approx(3 / 4)
    assert math.isnan(flip_rate(unknown, "happy", "below"))
    assert math.isnan(crossing_rate([happy(0.1, 0.1)], "happy", "below"))


def test_identity_is_kept_above_one_half():
    assert [identity_kept({"identity": cosine}) for cosine in (0.51, 0.5, -0.2)] == [True, False, False]
    assert identity_kept({"likeness": 0.4}, "likeness", least=0.3) is True
    assert identity_kept({}) is None


def test_age_shifts_either_way():
    assert age_shift({"age_before": 30.5, "age_after": 42}) == 11.5
    assert age_shift({"age_before": 30.5, "age_after": 20}) == -10.5
    assert age_shift({"age_before": 30.5}) is None


@pytest.mark.parametrize(("before", "after", "expected"), [(0.9, 0.1, True), (0.1, 0.9, True), (0.9, 0.6, False)])
def test_gender_flips_either_way(before, after, expected):
    assert gender_flipped({"male_before": before, "male_after": after}) is expected


def test_all_verdicts_of_a_full_record_and_of_a_poor_one():
    record = {
        **happy(0.9, 0.2),
        "age_before": 30.0,
        "age_after": 33.0,
        "male_before": 0.2,
        "male_after": 0.3,
        "identity": 0.8,
        "shrinkage": 0.15,
        "image": "x",
    }
    assert verdicts(record, "happy", "below") == {
        "reached": True,
        "flipped": True,
        "identity_kept": True,
        "age_shift": 3.0,
        "gender_flipped": False,
        "shrinkage": 0.15,
    }
    assert verdicts({"image": "x", "shrinkage": 0.15}, "happy", "below") == {"shrinkage": 0.15}


@pytest.mark.parametrize("verdict", [reached, flipped, verdicts])
def test_a_side_that_is_none_is_an_error(verdict):
    with pytest.raises(UserError, match="beyond must be above or below, got 'over'"):
        verdict(happy(0.9, 0.1), "happy", "over")

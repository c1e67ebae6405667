"""Numbers in sentences."""

import pytest

from dmt.app.words import lambda_of, step_in_words, verdict_in_words
from dmt.reporting.progress import Step


def test_more_strength_is_a_smaller_lambda():
    values = [lambda_of(place / 2) for place in range(21)]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == (2.0, 0.3)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(0.1, 0.9, "Changed: yes."), (0.1, 0.4, "Changed: no."), (0.6, 0.9, "Changed: it was so before.")],
)
def test_a_judge_of_classes_decides(before, after, said):
    first = verdict_in_words({"classes_before": before, "classes_after": after}, False, "<b>")[0]
    assert first.startswith(said)
    assert "“<b>”" in first  # the page escapes


def test_without_a_judge_the_edit_measures_itself():
    line = verdict_in_words({"witness_before": 0.04, "witness_after": 0.01}, False)[0]
    assert "75% of the way to the border" in line
    line = verdict_in_words({"witness_before": 0.04, "witness_after": -0.01}, False)[0]
    assert "went over to the target's side" in line


def test_what_was_kept_and_reached():
    record = {"identity": 0.9, "psnr": 40.0, "realised": 0.71, "lambda": 0.62}
    assert "still clearly the same person" in verdict_in_words(record, False)[0]
    assert "71%" in verdict_in_words(record, False)[1]
    assert verdict_in_words(record, True)[1] == "Just enough was λ = 0.62 for this picture."
    assert "no longer surely" in verdict_in_words({**record, "identity": 0.2}, False)[0]


def test_what_is_unknown_is_not_said():
    assert verdict_in_words({"witness_before": float("nan"), "realised": float("nan")}, False) == []


def test_time_left_is_said_of_what_is_known_to_come():
    assert step_in_words(Step("editing", 3, 150)) == "Changing the picture, step 3"  # nobody knows yet of how many
    further = Step("editing", 20, 48, attempt=2, round=3, seconds_left=31.0)
    assert step_in_words(further) == (
        "Changing the picture, try 2, round 3, step 20 of about 48, about 35 s left of this round"
    )
